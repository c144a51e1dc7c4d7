"""Causes that are a term too many or too few."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations

import numpy as np

from tarograd.checking.case import Case
from tarograd.checking.jacobians import changes, chosen_by_leaf, matrices
from tarograd.checking.report import Cause
from tarograd.checking.subject import Array, Values


def extra_or_missing(case: Case) -> Cause | None:
    """The difference is a constant, or a multiple of the leaf."""
    return _multiple_of_leaf(case) or _constant(case)


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
    if any(v is None for v in vary):  # it may depend on the others, and not on the leaf
        vary = []
        for o in case.others:
            moved = case.at({**case.bench.values, case.leaf: o.x})
            known = moved is not None and moved.has_matrices
            vary.append(_stays(case, moved, e, tolerance) if known and moved else None)
            if vary[-1] is None:
                break
    if any(v is None for v in vary) or not (any(vary) or skip):
        return None
    if skip:
        k = float(e[0, 0])
        what = "the path straight through (a skip connection)"
        said = f"the difference is {k:.4g} times the upstream gradient"
        return _term("missing-term" if k < 0 else "extra-term", case, what, said)
    targets = _of_targets(case, e, tolerance)
    if targets:
        return targets
    return _linear_term(case, _alone(case, e))


def _linear_term(case: Case, name: str | None) -> Cause:
    """What a difference of the Jacobians that is constant says, by where it is all there is."""
    said = "the difference of the Jacobians is constant, and "
    if name == "sign":
        said += f"where {case.leaf} is 0 the claim is -1 times the numeric gradient"
        why, fix = "a linear term has the wrong sign", "turn its sign"
        return Cause("sign", case.leaf, why, said, fix, 0.85)
    if name:
        said += "there are points where it is all that is left of the "
        said += f"{'numeric' if name == 'missing-term' else 'claimed'} one"
        return _term(name, case, "a linear term", said)
    return Cause(
        "missing-term",
        case.leaf,
        "a linear term is missing, or it is another one than in the function",
        f"the difference of the Jacobians is constant, at {1 + len(case.others)} random points, "
        "and the numeric one is not",
        f"look for what the gradient of {case.leaf} adds without multiplying it by a variable",
        0.73,
    )


def _alone(case: Case, e: Array) -> str | None:
    """Which of the Jacobians the constant is a part of: where nothing else is left of it.

    "sign" where the leaf is 0 and the one is the negative of the other.
    """
    values, size = case.bench.values, float(np.max(np.abs(e)))
    where = np.abs(e) > 1e-3 * size
    touched = np.any(where, axis=0).reshape(case.x.shape)
    leaf = [np.full_like(case.x, k) for k in (0.0, 25.0, -25.0)]
    leaf += [np.where(touched, k, -k).astype(case.x.dtype) for k in (25.0, -25.0)]
    others = [n for n in case.bench.leaves if n != case.leaf]
    leaf += [x for n, x in values.items() if n != case.leaf and x.shape == case.x.shape]
    points = [{case.leaf: x.astype(case.x.dtype)} for x in leaf]
    points += [{n: np.zeros_like(values[n])} for n in others]
    found = set()
    for k, point in enumerate(points):
        there = case.at({**values, **point})
        if there is None or not there.has_matrices or there.numeric.shape != e.shape:
            continue
        if np.max(np.abs(there.claimed - there.numeric - e)) > 1e-3 * size:
            continue
        if k == 0 and np.max(np.abs(there.claimed + there.numeric)) <= 1e-6 * size:
            return "sign"
        if np.max(np.abs(there.claimed)[where]) <= 1e-3 * size:
            found.add("missing-term")
        if np.max(np.abs(there.numeric)[where]) <= 1e-3 * size:
            found.add("extra-term")
    return found.pop() if len(found) == 1 else None


def _stays(case: Case, other: Case, e: Array, tolerance: float) -> bool | None:
    """None unless the difference is the same elsewhere; then whether the Jacobian is another."""
    rows = ~(case.left_out | other.left_out) if other.numeric.shape == e.shape else np.zeros(0)
    if not rows.any() or np.any(np.abs((other.claimed - other.numeric) - e)[rows] > 10 * tolerance):
        return None
    return bool(np.any(np.abs(other.numeric - case.numeric)[rows] > 100 * tolerance))


def _of_targets(case: Case, e: Array, tolerance: float) -> Cause | None:
    """A difference that depends on labels, masks or indices only."""
    follows = _follows_data(case, e, tolerance)
    if follows == "numeric alone":
        said = "the difference depends on the targets only, and the claim does not know them"
        return _term("missing-term", case, "the term of the targets", said)
    if follows == "turned":
        why = "the term of the targets has the wrong sign"
        said = "what other targets change in the claim is -1 times what they change in the function"
        return Cause("sign", case.leaf, why, said, "subtract what was added", 0.9)
    if not follows:
        return None
    return Cause(
        "wrong-tensor",
        case.leaf,
        "what is subtracted for the targets is not what the loss uses (labels for one-hot?)",
        "the difference depends on the targets only: it stays at other points, and changes "
        "with other targets",
        "turn the labels into one-hot rows before subtracting them",
        0.8,
    )


def _follows_data(case: Case, e: Array, tolerance: float) -> str:
    """Whether the difference changes with inputs that are not differentiated, such as labels."""
    values = dict(case.bench.values)
    changed = False
    for name in case.bench.subject.inputs:
        if name not in case.bench.leaves and values[name].ndim:
            values[name] = np.roll(values[name], 1, axis=0)
            changed |= not np.array_equal(values[name], case.bench.values[name])
    other = case.at(values) if changed else None
    if other is None or not other.has_matrices or other.numeric.shape != e.shape:
        return ""
    if not np.any(np.abs(other.claimed - other.numeric - e) > 10 * tolerance):
        return ""
    claimed, numeric = other.claimed - case.claimed, other.numeric - case.numeric
    if np.all(np.abs(claimed) <= tolerance):
        return "numeric alone"
    return "turned" if np.all(np.abs(claimed + numeric) <= 10 * tolerance) else "both"


def other_use(case: Case) -> Cause | None:
    """What is missing is the claim itself with two arrays exchanged, or one transposed."""
    if not case.others:
        return None
    for words, turn in _exchanges(case):
        if all(_completed(o, turn) for o in (case, *case.others)):
            said = f"the claim plus the claim with {words} is the numeric gradient"
            return _term("missing-term", case, "the term of the second use", said)
    shape = case.bench.outputs[0].shape if len(case.bench.outputs) == 1 else ()
    for i, j in combinations(range(len(shape)), 2):
        if shape[i] == shape[j] > 1 and all(_completed_by(o, i, j) for o in (case, *case.others)):
            said = f"the claim plus the claim under the upstream gradient with axes {i} and {j} "
            said += "exchanged is the numeric gradient"
            return _term("missing-term", case, "the term of the second use", said)
    return None


def _completed_by(case: Case, i: int, j: int) -> bool:
    """Whether the claim under the upstream gradient with exchanged axes is what is missing."""
    shape = case.bench.outputs[0].shape
    turned = np.swapaxes(case.c.reshape(shape), i, j).reshape(-1)
    rest = case.bench.gradients(turned)[case.leaf]
    return bool(np.all(np.abs(case.a + rest - case.n) <= case.tolerance))


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


def lost_coupling(case: Case) -> Cause | None:
    """Every entry of the claimed Jacobian is right or 0, or the other way round."""
    kinds = [_lost(o) for o in (case, *case.others)]
    if kinds[0] is None or any(k != kinds[0] for k in kinds) or not case.others:
        return None
    if changes([case, *case.others]):
        if not chosen_by_leaf(case):
            return None  # indices or positions that are another input
        what = "pass on" if kinds[0] == "extra-term" else "block"
        return Cause(
            "mask",
            case.leaf,
            f"paths {what} a gradient that they should not: a mask is missing or wrong",
            "the entries of the Jacobian are right or 0, and which are wrong depends on the values",
            "use the mask or argmax that forward used",
            0.85,
        )
    what = f"a part of the paths from {case.leaf} to the outputs"
    gap = np.abs(case.claimed - case.numeric)
    if case.bench.y.size == case.x.size and np.all(np.diag(gap) <= 1e-6 * case.size):
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
