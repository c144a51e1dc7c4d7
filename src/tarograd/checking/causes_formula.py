"""Causes that are a wrong derivative: a factor that depends on the values, or was rounded."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from tarograd.checking.case import Case
from tarograd.checking.jacobians import matrices
from tarograd.checking.known import in_words
from tarograd.checking.points import elsewhere, samples, with_batch
from tarograd.checking.report import Cause
from tarograd.checking.subject import Array, Values


def formula(case: Case) -> Cause | None:
    """A wrong derivative: the ratio of claimed to numeric is a function of the element's value."""
    given = matrices(case)
    if given is None or not case.others:
        return None
    if all(_half_of_product(o) for o in (case, *case.others)):
        return Cause(
            "missing-term",
            case.leaf,
            "one of the two terms of the product rule is missing",
            "for y = x · g(x) the claim is only g(x), which is y / x, or only x · g'(x), at three "
            "random points",
            "(x g)' = g + x g'",
            0.9,
        )
    for rows in (True, False):
        if all(_proportional(o, rows) for o in (case, *case.others)):
            what = "output" if rows else "element"
            if not (_by_output(case) if rows else _local(case)):
                continue
            if not rows and _steps(case):
                return Cause(
                    "mask",
                    case.leaf,
                    "the slopes on the sides of a threshold are wrong",
                    "analytic / numeric of an element stays when its value grows, and changes "
                    "when it changes its sign",
                    "use the mask that forward used, and the slope of its side",
                    0.85,
                )
            return _wrong_derivative(case, what)
    return None


def _wrong_derivative(case: Case, what: str) -> Cause:
    written, right = in_words(case, claimed=True), in_words(case, claimed=False)
    why, fix = "the formula of the derivative is wrong", "derive the formula again"
    if written:
        why += f": it is dout * {written}"
    fix = (
        f"d{case.leaf} = dout * {right}" if right else f"{fix}, or write it in terms of the output"
    )
    return Cause(
        "formula",
        case.leaf,
        why,
        f"for each {what} analytic and numeric are proportional, with a ratio that depends on its "
        f"value alone: {_ratios(case)}",
        fix,
        0.8,
    )


def by_rows(case: Case) -> Cause | None:
    """A wrong factor for each output, of which no more is known."""
    cases = (case, *case.others)
    if not case.others or not (
        all(_proportional(o, True) for o in cases) or all(map(_proportional_where_wrong, cases))
    ):
        return None
    return Cause(
        "formula",
        case.leaf,
        "the factor with which each output passes its gradient on is wrong",
        "for each output analytic and numeric are proportional, with a ratio that depends on "
        f"the values, at {1 + len(case.others)} random points",
        "derive that factor again",
        0.75,
    )


def _half_of_product(case: Case) -> bool:
    """Whether the claim is y / x, or what the derivative is beside that."""
    if case.bench.y.size != case.x.size or case.left_out.any():
        return False
    with np.errstate(all="ignore"):
        part = (case.c * case.bench.y).reshape(case.x.shape) / case.x
    return bool(np.all(np.isfinite(part))) and (case.fits(part) or case.fits(case.n - part))


def rounded(case: Case) -> Cause | None:
    """The claim moves in steps: something that it is computed from was kept in a short dtype."""
    if case.bench.ulp > 1e-10 or case.left_out.any():
        return None
    with np.errstate(all="ignore"):
        error = np.abs(case.a / case.n - 1)[np.abs(case.n) > 1e-2 * case.size]
    if not error.size or not 1e-10 < np.max(error) < 1e-2:
        return None
    part = 0.02 * float(np.median(error))
    values, leaves = case.bench.values, case.bench.leaves

    def moved(by: float) -> Array:
        there = {n: v * (1 + by) if n in leaves else v for n, v in values.items()}
        return case.bench.gradients(case.c, there)[case.leaf]

    nearby, farther = moved(part), moved(1e3 * part)
    changes = np.abs(farther - case.a) > 0
    stays = changes & (nearby == case.a)
    if np.count_nonzero(stays) < 0.3 * np.count_nonzero(changes) or not changes.any():
        return None
    return Cause(
        "downcast",
        case.leaf,
        "what backward uses was rounded to a shorter dtype",
        f"off by {np.max(error):.0e}; when the values move by {part:.0e} of themselves the claim "
        "stays the same to the last bit, when they move more it jumps",
        "keep the dtype of the input: no astype(np.float32 or np.float16)",
        0.9,
    )


def _proportional(case: Case, rows: bool) -> bool:
    given = matrices(case)
    if given is None:
        return False
    a, n, tolerance = given
    if not rows:
        a, n = a.T, n.T
    norm = np.sum(n * n, axis=1)
    with np.errstate(all="ignore"):
        k = np.where(norm > 0, np.sum(a * n, axis=1) / norm, 0)
    if rows and np.max(np.count_nonzero(np.abs(n) > tolerance, axis=1), initial=0) < 2:
        return False  # one number is proportional to any other
    return bool(np.all(np.abs(a - k[:, None] * n) <= 10 * tolerance))


def _proportional_where_wrong(case: Case) -> bool:
    """Whether the wrong entries of each output have one ratio, and other outputs another."""
    given = matrices(case)
    if given is None:
        return False
    ratios, tolerance = [], given[2]
    for claimed, numeric in zip(*given[:2], strict=True):
        wrong = np.abs(claimed - numeric) > 10 * tolerance
        if np.count_nonzero(wrong) < 2:
            continue
        top, bottom = claimed[wrong], numeric[wrong]
        k = float(top @ bottom) / float(bottom @ bottom) if np.any(bottom) else 0.0
        if not k or np.any(np.abs(top - k * bottom) > 10 * tolerance):
            return False
        ratios.append(k)
    return len(ratios) > 1 and float(np.ptp(ratios)) > 1e-3 * float(np.max(np.abs(ratios)))


def _by_output(case: Case) -> bool:
    """Whether the ratio is a function of the output: near outputs have near ratios."""
    outputs, ratios = [], []
    for o in (case, *case.others):
        a, n = o.claimed, o.numeric
        norm = np.sum(n * n, axis=1)
        live = norm > 1e-12 * np.max(norm)
        outputs += list(o.bench.y[live])
        ratios += list(np.sum(a * n, axis=1)[live] / norm[live])
    order = np.argsort(outputs)
    k = np.argsort(np.argsort(ratios))[order]  # ranks: a few huge ratios say nothing
    steps, apart = np.abs(np.diff(k)), np.abs(k[:, None] - k)
    return bool(np.mean(steps) < 0.5 * apart[np.triu_indices(len(k), 1)].mean())


def _local(case: Case) -> bool:
    """Whether the ratio of an element stays when the other elements change."""
    half = (np.arange(case.x.size) % 2 == 0).reshape(case.x.shape)
    mixed = np.where(half, case.x, elsewhere(case.bench)[case.leaf])
    other = case.at({**case.bench.values, case.leaf: mixed})
    if other is None:
        return False
    with np.errstate(all="ignore"):
        before, after = case.a / case.n, other.a / other.n
    known = np.isfinite(before) & np.isfinite(after) & half
    same = np.abs(before - after) <= 1e-4 * np.abs(before) + 1e-6
    changed = np.abs(before - after) > 1e-4 * np.abs(before) + 1e-6
    return bool(known.any() and np.all(same[known]) and (changed & ~half).any())


def _steps(case: Case) -> bool:
    """Whether the ratio of an element does not change with its size, but with its sign."""

    def ratios(factor: float) -> Array | None:
        other = case.at({**case.bench.values, case.leaf: factor * case.x})
        with np.errstate(all="ignore"):
            return other.a / other.n if other is not None else None

    here, larger, turned = ratios(1.0), ratios(1.3), ratios(-1.0)
    if here is None or larger is None or turned is None:
        return False
    known = np.isfinite(here) & np.isfinite(larger) & np.isfinite(turned)
    same = np.abs(here - larger) <= 1e-5 * np.abs(here) + 1e-9
    changed = np.abs(here - turned) > 1e-3 * np.abs(here)
    return bool(known.any() and np.all(same[known]) and changed[known].mean() > 0.5)


def _ratios(case: Case) -> str:
    with np.errstate(all="ignore"):
        ratio = (case.a / case.n).ravel()
    told = np.isfinite(ratio) & case.wrong.ravel()
    chosen = [i for i in np.argsort(case.x, axis=None) if told[i]]
    chosen = chosen[:: max(1, len(chosen) // 3)][:4]
    return ", ".join(f"{ratio[i]:.4g} at {case.x.ravel()[i]:.3g}" for i in chosen)


def multiplier(case: Case) -> Cause | None:
    """For one sample the ratio to the numeric gradient is the same under any upstream one."""
    alone = with_batch(case.bench, 1)
    start = dict(case.bench.values) if alone is None else alone
    first = _fixed_ratio(case, start)
    second = _fixed_ratio(
        case, {n: v if n not in case.bench.leaves else 0.7 * v for n, v in start.items()}
    )
    if first is None or second is None or case.left_out.any():
        return None
    ratio, one = first
    changes = not np.allclose(ratio, second[0], equal_nan=True)
    if not changes or not np.any(np.abs(ratio - 1) > 1e-6):
        return None
    seen = "for one sample analytic / numeric is the same under every upstream gradient, and "
    seen += f"varies with the values: from {np.nanmin(ratio):.4g} to {np.nanmax(ratio):.4g}"
    taken = _other_factor(case, one)
    if taken:
        why = f"the upstream gradient is right, but it is multiplied with {taken}"
        return Cause("wrong-tensor", case.leaf, why, seen, "use what forward multiplied with", 0.8)
    pair = _known_ratio(one, ratio)
    if pair:
        why = f"{pair[0]} is used in place of {pair[1]}"
        seen += f": it is {pair[0]} / {pair[1]}"
        return Cause("wrong-tensor", case.leaf, why, seen, f"use {pair[1]}", 0.8)
    return _derivative(case, one, seen)


def _derivative(case: Case, one: Case, seen: str) -> Cause | None:
    """A wrong factor that is known to be a function of one array, or of one product."""
    source = _depends_on(case, one)
    if source is not None:
        why = f"the factor that comes from {source} is a wrong derivative"
        seen += f"; it changes with the elements of {source} in the same places, and nothing else"
    elif _own_column(case, one):
        why = f"the derivative at what {case.leaf} is used in is wrong"
        seen += "; the ratio of a column does not change when the other columns and weights do"
    else:
        return None
    return Cause("formula", case.leaf, why, seen, "derive that factor again", 0.8)


def _own_column(case: Case, one: Case) -> bool:
    """Whether the ratio in a column of a weight or bias is a function of that column alone."""
    values, inputs = one.bench.values, samples(case.bench)
    columns = one.x.shape[-1] if one.x.ndim else 0
    if case.leaf in inputs or columns < 2:
        return False
    beside = {
        n
        for n in one.bench.leaves
        if values[n].shape[-1:] == (columns,)
        and (n == case.leaf or _along(Case(one.bench, n, one.c), _profile(one.n)))
    }
    before, changed = _safe_ratio(one).reshape(one.x.shape), False
    bad = np.flatnonzero(np.any(one.wrong.reshape(-1, columns), axis=0))
    for kept in (np.isin(np.arange(columns), p) for p in (bad[: len(bad) // 2], bad[::2])):
        there = dict(values)
        for n in one.bench.leaves:
            if n not in inputs:
                x, moved = values[n], 1.2 * values[n] + 0.1
                there[n] = np.where(kept, x, moved) if n in beside else moved
                there[n] = there[n].astype(x.dtype)
        other = case.at(there)
        if other is None:
            return False
        after = _safe_ratio(other).reshape(one.x.shape)
        known = np.isfinite(before) & np.isfinite(after)
        stays = np.abs(after - before) <= 1e-4 * np.abs(before) + 1e-6
        if not known[..., kept].any() or not np.all(stays[..., kept][known[..., kept]]):
            return False
        changed |= bool(np.any(~stays[..., ~kept][known[..., ~kept]]))
    return changed


def _profile(n: Array) -> Array:
    """What arrives at the columns, but for a factor."""
    rows = n.reshape(-1, n.shape[-1])
    row: Array = rows[np.argmax(np.abs(rows).sum(axis=1))]
    return row / max(float(np.linalg.norm(row)), 1e-300)


def _along(case: Case, profile: Array) -> bool:
    """Whether the same arrives at another leaf: it is part of the same product and sum."""
    rows = case.n.reshape(-1, profile.size)
    return bool(np.all(np.abs(rows - np.outer(rows @ profile, profile)) <= 1e-6 * case.size))


def _depends_on(case: Case, one: Case) -> str | None:
    """The array of which the ratio is a function, element by element, if there is one."""
    values, shape = one.bench.values, one.x.shape
    floats = [n for n in one.bench.leaves if values[n].size > 1]
    for name in floats:
        x = values[name]
        if x.shape not in (shape, (1, *shape)):
            continue
        rest = {n: values[n] * 1.3 + 0.1 for n in floats if n != name}
        half = np.arange(x.size) % 2 == 0
        mixed = np.where(half, x.ravel(), 1.1 * x.ravel() + 0.1).reshape(x.shape)
        others = [case.at({**values, **p}) for p in (rest, {name: mixed})]
        if any(o is None for o in others):
            continue
        before, free, half_changed = (_safe_ratio(o) for o in (one, *others) if o is not None)
        known = np.isfinite(before) & np.isfinite(free) & np.isfinite(half_changed)
        stays = np.abs(free - before) <= 1e-4 * np.abs(before) + 1e-6
        moves = np.abs(half_changed - before) > 1e-4 * np.abs(before) + 1e-6
        if known.any() and np.all(stays[known]) and np.array_equal(moves[known], ~half[known]):
            return name
    return None


def _safe_ratio(case: Case) -> Array:
    """Analytic / numeric, NaN where the numeric gradient is too small for it."""
    with np.errstate(all="ignore"):
        ratio = np.where(np.abs(case.n) > 1e-3 * case.size, case.a / case.n, np.nan)
    return np.asarray(ratio.ravel())


def _fixed_ratio(case: Case, values: Values) -> tuple[Array, Case] | None:
    """Analytic / numeric at a point, if it is the same under two upstream gradients."""
    one = case.at(values)
    if one is None:
        return None
    two = Case(one.bench, case.leaf)
    known = (np.abs(one.n) > 1e-3 * one.size) & (np.abs(two.n) > 1e-3 * two.size)
    if np.count_nonzero(known) < 0.5 * known.size:
        return None
    with np.errstate(all="ignore"):
        first, second = one.a / one.n, two.a / two.n
    if np.any(np.abs(first - second)[known] > 1e-4 * np.abs(first)[known] + 1e-6):
        return None
    return np.where(known, first, np.nan), one


def _other_factor(case: Case, one: Case) -> str | None:
    """For a weight and one sample: an input that only one of the two gradients is a product with.

    The gradient of a weight is an outer product of what it is multiplied with and what arrives.
    """
    if case.leaf in samples(case.bench) or case.x.ndim != 2:
        return None
    for n in samples(case.bench):
        x = one.bench.values[n].ravel()
        for axis in (0, 1):
            if x.dtype.kind != "f" or x.size != case.x.shape[axis] or x.size < 2:
                continue
            claimed, numeric = (_times(g, x, axis, one.tolerance) for g in (one.a, one.n))
            if claimed is None and numeric is None:
                continue
            if claimed is not None and numeric is not None:
                return None
            other = np.linalg.svd(one.a if claimed is None else one.n)
            row = claimed if numeric is None else numeric
            assert row is not None
            arriving = other[2][0] if axis == 0 else other[0][:, 0]
            alike = abs(float(row @ arriving)) >= (1 - 1e-6) * float(np.linalg.norm(row))
            if other[1][1] <= 1e-6 * other[1][0] and alike:
                return f"{n} itself" if numeric is None else f"another array than {n}"
    return None


def _times(gradient: Array, x: Array, axis: int, tolerance: float) -> Array | None:
    """The other factor, if the gradient is x times something along an axis."""
    rows = np.moveaxis(gradient, axis, 0)
    other = x @ rows / (x @ x)
    exact = np.all(np.abs(rows - np.outer(x, other)) <= 10 * tolerance)
    return np.asarray(other) if exact else None


def _known_ratio(case: Case, ratio: Array) -> tuple[str, str] | None:
    """The two arrays of which the ratio is, if they are inputs, outputs or parameters."""
    seen = np.unique(np.round(ratio[np.isfinite(ratio)], 9))
    seen = seen[np.abs(seen - 1) > 1e-6]
    arrays = {n: v for n, v in case.bench.values.items() if v.dtype.kind == "f"}
    arrays |= {f"output {i}": np.asarray(y, float) for i, y in enumerate(case.bench.outputs)}
    for p, q in permutations(arrays, 2):
        if arrays[p].shape != arrays[q].shape or arrays[p].size < max(2, seen.size):
            continue
        with np.errstate(all="ignore"):
            expected = (arrays[p] / arrays[q]).ravel()
        gaps = np.min(np.abs(expected[None, :] - seen[:, None]), axis=1, initial=np.inf)
        if seen.size > 1 and np.all(gaps <= 1e-6 * np.abs(seen)):
            return p, q
    return None
