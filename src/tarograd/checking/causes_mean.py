"""Causes in what forward takes away from a leaf as a whole: its mean, or all of it."""

from __future__ import annotations

import numpy as np

from tarograd.checking.case import Case
from tarograd.checking.points import elsewhere
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
