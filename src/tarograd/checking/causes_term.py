"""Causes that are a term too many or too few."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations

import numpy as np

from tarograd.checking.case import Case
from tarograd.checking.jacobians import matrices
from tarograd.checking.report import Cause
from tarograd.checking.subject import Array, Values


def extra_or_missing(case: Case) -> Cause | None:
    """The difference is a constant, a multiple of the leaf, or a projection."""
    return _multiple_of_leaf(case) or _projection(case) or _constant(case)


def _term(name: str, case: Case, what: str, evidence: str, confidence: float = 0.9) -> Cause:
    verb = "is missing" if name == "missing-term" else "is there once too often"
    fix = "add it to" if name == "missing-term" else "leave it out of"
    return Cause(
        name,
        case.leaf,
        f"{what} {verb}",
        f"{evidence}, here and at {len(case.others)} other points",
        f"{fix} the gradient of {case.leaf}",
        confidence,
    )


def _multiple_of_leaf(case: Case) -> Cause | None:
    """A regularizer: the difference is λ times the parameter itself."""

    def ratio(o: Case) -> float | None:
        gap, x = (o.a - o.n).ravel(), o.x.ravel()
        if o.bench.y.size != 1 or x.size < 2:
            return None
        k = float(gap @ x / (x @ x)) if np.any(x) else 0.0
        if not k or np.any(
            np.abs(gap - k * x) > np.maximum(o.tolerance, 1e-5 * abs(k) * np.max(np.abs(x)))
        ):
            return None
        return k / float(o.c[0])

    ratios = [ratio(o) for o in (case, *case.others)]
    k = ratios[0]
    if k is None or any(r is None or abs(r - k) > 1e-4 * abs(k) for r in ratios):
        return None
    name = "missing-term" if k < 0 else "extra-term"
    what = f"a term {abs(k):.4g} · {case.leaf}, such as the gradient of a regularizer,"
    return _term(name, case, what, f"analytic - numeric = {k:.4g} · {case.leaf}")


def _constant(case: Case) -> Cause | None:
    """The Jacobians differ by a matrix that does not depend on the point."""
    given = matrices(case)
    if given is None:
        return None
    a, n, tolerance = given
    e = a - n
    skip = a.shape[0] == a.shape[1] and np.allclose(e, e[0, 0] * np.eye(len(e)), atol=tolerance)
    vary = [_stays(case, o, e, tolerance) for o in case.others]
    if any(v is None for v in vary) or not (any(vary) or skip):
        return None
    if skip:
        k = float(e[0, 0])
        what = "the path straight through (a skip connection)"
        said = f"the difference is {k:.4g} times the upstream gradient"
        return _term("missing-term" if k < 0 else "extra-term", case, what, said)
    if _follows_data(case, e, tolerance):
        return Cause(
            "wrong-tensor",
            case.leaf,
            "what is subtracted for the targets is not what the loss uses (labels for one-hot?)",
            "the difference depends on the targets only: it stays at other points, and changes "
            "with other targets",
            "turn the labels into one-hot rows before subtracting them",
            0.8,
        )
    fewer = np.count_nonzero(np.abs(a) > tolerance) < np.count_nonzero(np.abs(n) > tolerance)
    missing = bool(fewer) or float(np.linalg.norm(a)) < float(np.linalg.norm(n))
    name = "missing-term" if missing else "extra-term"
    return _term(name, case, "a linear term", "the difference of the Jacobians is constant")


def _stays(case: Case, other: Case, e: Array, tolerance: float) -> bool | None:
    """None unless the difference is the same elsewhere; then whether the Jacobian is another."""
    rows = ~(case.left_out | other.left_out) if other.numeric.shape == e.shape else np.zeros(0)
    if not rows.any() or np.any(np.abs((other.claimed - other.numeric) - e)[rows] > 10 * tolerance):
        return None
    return bool(np.any(np.abs(other.numeric - case.numeric)[rows] > 100 * tolerance))


def _follows_data(case: Case, e: Array, tolerance: float) -> bool:
    """Whether the difference changes with inputs that are not differentiated, such as labels."""
    values = dict(case.bench.values)
    changed = False
    for name in case.bench.subject.inputs:
        if name not in case.bench.leaves and values[name].ndim:
            values[name] = np.roll(values[name], 1, axis=0)
            changed |= not np.array_equal(values[name], case.bench.values[name])
    other = case.at(values) if changed else None
    if other is None or not other.has_matrices or other.numeric.shape != e.shape:
        return False
    return bool(np.any(np.abs(other.claimed - other.numeric - e) > 10 * tolerance))


def _projection(case: Case) -> Cause | None:
    """A normalization whose statistics were held constant: what is missing lies along 1, x or y."""
    shape = case.x.shape
    outputs = case.bench.outputs
    if len(outputs) != 1 or outputs[0].shape != shape or case.x.size < 4:
        return None
    axes = range(len(shape))
    sets = [s for k in (1, 2, len(shape)) for s in combinations(axes, k)]
    for along in dict.fromkeys(sets):
        if int(np.prod([shape[i] for i in along])) < 4:
            continue
        for words in ("1", "x", "1 and x", "y"):
            if all(_spanned(o, along, words) for o in (case, *case.others)) and case.others:
                name = _fewer(case)
                what = f"the part along axis {along} through a mean, a norm or a sum"
                said = f"the difference lies along {words} on axis {along}"
                return _term(name, case, what, said)
    return None


def _spanned(case: Case, along: tuple[int, ...], words: str) -> bool:
    """Whether the difference is, group by group, a combination of the named vectors."""

    def groups(v: Array) -> Array:
        last = range(-len(along), 0)
        length = int(np.prod([v.shape[i] for i in along]))
        return np.moveaxis(v, along, tuple(last)).reshape(-1, length)

    gap = groups(case.a - case.n)
    named = {"1": np.ones(case.x.shape), "x": case.x, "y": case.bench.outputs[0].astype(float)}
    basis = [groups(named[w]) for w in words.split(" and ")]
    for i, row in enumerate(gap):
        b = np.stack([v[i] for v in basis], axis=1)
        b = b / np.maximum(np.linalg.norm(b, axis=0), 1e-300)
        fitted = b @ np.linalg.lstsq(b, row, rcond=None)[0]
        if np.any(np.abs(fitted - row) > 2 * case.tolerance):
            return False
    return True


def other_use(case: Case) -> Cause | None:
    """What is missing is the claim itself with two arrays exchanged, or one transposed."""
    if not case.others:
        return None
    for words, turn in _exchanges(case):
        if all(_completed(o, turn) for o in (case, *case.others)):
            said = f"the claim plus the claim with {words} is the numeric gradient"
            return _term("missing-term", case, "the term of the second use", said)
    return None


def _exchanges(case: Case) -> Iterator[tuple[str, Callable[[Values], dict[str, Array]]]]:
    values = case.bench.values
    floats = [n for n, x in values.items() if x.dtype.kind == "f"]
    for n in floats:
        for i, j in combinations(range(values[n].ndim), 2):
            if values[n].shape[i] == values[n].shape[j] > 1:
                words = f"axes {i} and {j} of {n} exchanged"
                yield words, partial(_swapped, name=n, axes=(i, j))
    for p, q in combinations(floats, 2):
        if values[p].shape == values[q].shape:
            yield f"{p} and {q} exchanged", partial(_exchanged, p=p, q=q)


def _swapped(v: Values, name: str, axes: tuple[int, int]) -> dict[str, Array]:
    return {**v, name: np.swapaxes(v[name], *axes)}


def _exchanged(v: Values, p: str, q: str) -> dict[str, Array]:
    return {**v, p: v[q], q: v[p]}


def _completed(case: Case, turn: Callable[[Values], dict[str, Array]]) -> bool:
    rest = case.bench.gradients(case.c, turn(case.bench.values))[case.leaf]
    return bool(np.all(np.abs(case.a + rest - case.n) <= case.tolerance))


def through_statistic(case: Case) -> Cause | None:
    """What is missing is of low rank: it goes through one number, a mean or a norm or a sum."""
    found = [_low_rank(o) for o in (case, *case.others)]
    if not case.others or any(f is None or f == "no" for f in found):
        return None
    name = "extra-term" if all(f == "extra" for f in found) else "missing-term"
    what = "the path through a mean, a norm or a sum"
    said = "in every group of elements the difference of the Jacobians goes through one number"
    return _term(name, case, what, said, 0.75)


def invariance(case: Case) -> Cause | None:
    """Forward does not change along a direction along which the claim says that it does."""
    if not case.others:
        return None
    for words in ("as a whole", *(f"shifted along axis {i}" for i in range(case.x.ndim))):
        if all(_ignored(o, words) for o in (case, *case.others)):
            what = "the part that takes out the mean, the norm or the sum"
            said = f"forward stays the same when {case.leaf} is {words}, the claim does not"
            said = said.replace("is as a whole", "grows as a whole")
            return _term("missing-term", case, what, said, 0.75)
    return None


def _ignored(case: Case, words: str) -> bool:
    """Whether the numeric gradient is 0 along such directions, and the claimed one is not."""
    n, a, axis = case.n, case.a, None
    if words == "as a whole":
        n, a = n * case.x, a * case.x
    else:
        axis = int(words.split()[-1])
        if case.x.shape[axis] < 2:
            return False
    rounding = 1e-6 * np.abs(n).sum(axis=axis) + 5 * float(np.sum(case.bar))
    small = np.all(np.abs(n.sum(axis=axis)) <= rounding)
    return bool(small and np.any(np.abs(a.sum(axis=axis)) > 1e-2 * np.abs(a).sum(axis=axis)))


def _low_rank(case: Case) -> str | None:
    given = matrices(case)
    if given is None:
        return None
    a, n, tolerance = given
    kinds = set()
    for rows, cols in _blocks((np.abs(a) > tolerance) | (np.abs(n) > tolerance)):
        inner = [m[np.ix_(rows, cols)] for m in (a - n, a, n)]
        if not np.any(np.abs(inner[0]) > tolerance):
            continue
        x = case.x.ravel()[cols]
        if len(cols) > 2 and _annihilates(inner[2], x) and not _annihilates(inner[1], x):
            along = np.outer(inner[0] @ x / (x @ x), x)
            if np.all(np.abs(along - inner[0]) <= 10 * tolerance):
                kinds.add("missing")
                continue
        if min(len(rows), len(cols)) < 4:
            return None
        e, has, should = (_rank(m, tolerance) for m in inner)
        off = ~np.eye(len(rows), len(cols), dtype=bool)
        if np.mean(np.abs(inner[0]) > tolerance) < 0.8:  # a number that all share reaches all
            return None
        if e > 2 or should < 2 * e + 1 or not np.any(np.abs(inner[0])[off] > tolerance):
            return None
        kinds.add("extra" if has < should and len(rows) == len(cols) else "missing")
    return kinds.pop() if len(kinds) == 1 else None


def _annihilates(m: Array, x: Array) -> bool:
    """Whether the function does not change when x grows as a whole."""
    return bool(np.all(np.abs(m @ x) <= 1e-5 * (np.abs(m) @ np.abs(x)) + 1e-300))


def _rank(m: Array, tolerance: float) -> int:
    values = np.linalg.svd(m, compute_uv=False)
    return int(np.count_nonzero(values > max(1e-5 * values[0], 10 * tolerance)))


def _blocks(linked: Array) -> Iterator[tuple[Array, Array]]:
    """The outputs and elements that hang together."""
    left: Array = np.any(linked, axis=1)
    while left.any():
        rows: Array = np.zeros(len(linked), bool)
        rows[np.flatnonzero(left)[0]] = True
        while True:
            cols = linked[rows].any(axis=0)
            more = np.asarray(linked[:, cols].any(axis=1))
            if np.array_equal(more, rows):
                break
            rows = more
        yield np.flatnonzero(rows), np.flatnonzero(cols)
        left &= ~rows


def _fewer(case: Case) -> str:
    """Missing if the claimed Jacobian couples fewer elements or is larger where n is projected."""
    given = matrices(case)
    if given is None:
        return "missing-term"
    a, n, tolerance = given
    fewer = np.count_nonzero(np.abs(a) > tolerance) <= np.count_nonzero(np.abs(n) > tolerance)
    return "missing-term" if fewer else "extra-term"


def lost_coupling(case: Case) -> Cause | None:
    """Every entry of the claimed Jacobian is right or 0, or the other way round."""
    kinds = [_lost(o) for o in (case, *case.others)]
    if kinds[0] is None or any(k != kinds[0] for k in kinds) or not case.others:
        return None
    patterns = [np.abs(o.claimed - o.numeric) > 1e-6 * o.size for o in (case, *case.others)]
    if any(p.shape == patterns[0].shape and np.any(p != patterns[0]) for p in patterns[1:]):
        what = "pass on" if kinds[0] == "extra-term" else "block"
        return Cause(
            "mask",
            case.leaf,
            f"paths {what} a gradient that they should not: a mask is missing or wrong",
            "the entries of the Jacobian are right or 0, and which are wrong depends on the values",
            "use the mask or argmax that forward used",
            0.85,
        )
    what = "the effect of the other elements (off the diagonal of the Jacobian)"
    if kinds[0] == "extra-term":
        what = "an effect between elements that don't depend on each other"
    return _term(kinds[0], case, what, "the entries of the Jacobian that are there are right")


def _lost(case: Case) -> str | None:
    given = matrices(case)
    if given is None:
        return None
    a, n, tolerance = given
    has_a, has_n, equal = np.abs(a) > tolerance, np.abs(n) > tolerance, np.abs(a - n) <= tolerance
    if equal.all() or not (has_a & has_n & equal).any():
        return None
    if np.all(equal | ~has_a):
        return "missing-term"
    return "extra-term" if np.all(equal | ~has_n) else None
