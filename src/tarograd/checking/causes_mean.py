"""Causes in what forward averages: the elements of a leaf, or the samples of a batch."""

from __future__ import annotations

import numpy as np

from tarograd.checking.case import Case
from tarograd.checking.causes_vanish import judged, vanished
from tarograd.checking.points import batched, elsewhere, runs, samples
from tarograd.checking.report import Cause


def through_mean(case: Case) -> Cause | None:
    """Without its mean along an axis the claim is right: the path through that mean is missing."""
    axes = [i for i, length in enumerate(case.x.shape) if length > 2]
    for axis in axes if case.others else ():
        if not all(_right_without_mean(o, axis) for o in (case, *case.others)):
            continue
        return Cause(
            "missing-term",
            case.leaf,
            f"the part through the mean along axis {axis} is missing",
            f"without its mean along axis {axis} the claim is the numeric gradient, which has "
            f"none, at {1 + len(case.others)} random points",
            f"the mean depends on every element: subtract d{case.leaf}.mean(axis={axis}, "
            f"keepdims=True) from d{case.leaf}",
            0.85,
        )
    return None


def _right_without_mean(case: Case, axis: int) -> bool:
    if case.x.ndim <= axis or case.x.shape[axis] < 3:
        return False
    mean = case.a.mean(axis=axis, keepdims=True)
    gap = np.abs(case.a - mean - case.n)
    return bool(np.max(np.abs(mean)) > 100 * case.tolerance) and bool(np.all(gap <= case.tolerance))


def unneeded(case: Case) -> Cause | None:
    """There is a gradient, but the output does not depend on the leaf."""
    points = [case, *(case.at(elsewhere(case.bench)) for _ in range(2))]
    for o in points:
        if o is None or not np.all(np.isfinite(o.a)) or o.left_out.any():
            return None
        if np.any(np.abs(o.n) > 1e-7 * np.max(np.abs(o.a), initial=0) + 20 * o.bar):
            return None
    if not all(o is not None and np.any(o.a) for o in points):
        return None
    return Cause(
        "extra-term",
        case.leaf,
        f"a gradient arrives at {case.leaf}, of which the output is independent",
        f"the numeric gradient of {case.leaf} is 0 at {len(points)} random points",
        "what cancels in forward, as a bias before its mean is subtracted, cancels in backward as "
        "well: look for a path that is missing, or for one too many",
        0.75,
    )


def part_of_batch(case: Case) -> Cause | None:
    """One part of the gradient of a mean is not divided by the batch size, beside a regularizer.

    With every sample given twice a mean stays, and so does the gradient of a regularizer.
    """
    found = [_undivided(o) for o in (case, *case.others)]
    if not case.others or not found[0] or any(f != found[0] for f in found):
        return None
    size = len(case.bench.values[batched(case.bench)[0]])
    often = found[0] == "twice"
    what = "is divided by it once too often" if often else "is not divided by it"
    return Cause(
        "scale-batch",
        case.leaf,
        f"the batch size is {size}, and the part that comes from the samples {what}; another part, "
        "such as that of a regularizer, is right",
        "with every sample given twice the function stays, and the claim changes as that part "
        f"does, at {len(found)} random points",
        "divide by the batch size once, in the gradient of the loss",
        0.9,
    )


def _undivided(case: Case) -> str:
    """How often the samples' part is divided by their number: never, twice; empty if once."""
    bench, names = case.bench, batched(case.bench)
    if bench.y.size != 1 or not names or case.leaf in names:
        return ""
    rows = {n: np.concatenate([bench.values[n]] * 2) for n in names}
    size = len(bench.values[names[0]])
    with_all = case.at({**bench.values, **rows})
    if with_all is None or size < 2 or np.any(np.abs(with_all.bench.y - bench.y) > 1e-9):
        return ""
    if np.any(np.abs(with_all.n - case.n) > case.tolerance):
        return ""
    change, gap = with_all.a - case.a, case.a - case.n
    for words, part in (("never", (1 - 1 / size) * change), ("twice", 2 * (size - 1) * change)):
        if np.any(change) and np.all(np.abs(gap - part) <= 10 * case.tolerance):
            return words
    return ""


def beside_samples(case: Case) -> Cause | None:
    """What a claim says of one row depends on the other rows, which forward keeps apart."""
    if not case.bench.subject.takes_upstream or case.leaf not in samples(case.bench):
        return None
    for axis in range(case.x.ndim if case.others else 0):
        if case.x.shape[axis] < 2:
            continue
        if all(_coupled(o, axis) for o in (case, *case.others)):
            if _right_where_equal(case):
                return None
            return Cause(
                "wrong-axis",
                case.leaf,
                f"backward takes a sum, mean or size over axis {axis} too, along which forward "
                "keeps the elements apart",
                f"when only the other indices of axis {axis} change, the numeric gradient of the "
                f"first stays and the claimed one changes, at {1 + len(case.others)} random points",
                f"leave axis {axis} out of the axes of that sum",
                0.85,
            )
    return None


def _right_where_equal(case: Case) -> bool:
    """Whether it is another array that backward takes, such as the leaf: then both have rows."""
    values, usual = case.bench.values, judged(case, case.bench.values)
    alike = [n for n in case.bench.leaves if n != case.leaf and values[n].shape == case.x.shape]
    return usual is not None and any(
        vanished(case, {**values, n: case.x}, usual.scale) for n in alike
    )


def _coupled(case: Case, axis: int) -> bool:
    """Whether only the claim for the first index changes with the others."""
    first = (slice(None),) * axis + (0,)
    changed = elsewhere(case.bench)[case.leaf]
    changed[first] = case.x[first]
    bench = runs(case.bench, {**case.bench.values, case.leaf: changed})
    if bench is None or bench.y.shape != case.c.shape:
        return False
    other = Case(bench, case.leaf, case.c)
    if other.left_out.any() or case.left_out.any() or not np.any(case.n[first]):
        return False
    stays = np.abs(other.n - case.n)[first] <= case.tolerance
    moves = np.abs(other.a - case.a)[first] > 100 * case.tolerance
    return bool(np.all(stays) and np.any(moves)) and _follows_itself(case, first)


def _follows_itself(case: Case, first: tuple[slice | int, ...]) -> bool:
    """Whether the gradient of an index changes with that index: a linear function tells nothing."""
    changed = case.x.copy()
    changed[first] = elsewhere(case.bench)[case.leaf][first]
    bench = runs(case.bench, {**case.bench.values, case.leaf: changed})
    if bench is None or bench.y.shape != case.c.shape:
        return False
    other = Case(bench, case.leaf, case.c)
    return bool(np.any(np.abs(other.n - case.n)[first] > 100 * case.tolerance))
