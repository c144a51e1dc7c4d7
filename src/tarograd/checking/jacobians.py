"""The claimed and the numeric Jacobian of a case, and what counts as equal in them."""

from __future__ import annotations

import numpy as np

from tarograd.checking.case import Case
from tarograd.checking.subject import Array


def matrices(case: Case) -> tuple[Array, Array, float] | None:
    """Claimed and numeric Jacobian, and what counts as equal."""
    if not case.has_matrices or not all(o.has_matrices for o in case.others) or not case.others:
        return None
    a, n = case.claimed, case.numeric
    if a.shape != n.shape or not np.all(np.isfinite(a)):
        return None
    gap = float(np.max(np.abs(a - n), initial=0))
    floor = 1e-7 if case.bench.ulp < 1e-10 else 1e-2
    size = max(float(np.max(np.abs(n), initial=0)), float(np.max(np.abs(a), initial=0)))
    return a, n, max(min(1e-5 * size, 0.02 * gap), floor * 1e-2 * size)


def chosen_by_leaf(case: Case) -> bool:
    """Whether which paths are wrong changes with the leaf's own values, all else being equal."""
    moved = (case.at({**case.bench.values, case.leaf: o.x}) for o in case.others)
    return changes([case, *(o for o in moved if o is not None and o.has_matrices)])


def changes(points: list[Case]) -> bool:
    """Whether a path that is wrong at one of the points is right, and open, at another.

    Both have to be clear: where a gate is nearly shut, nothing can be told right from wrong.
    """
    wrong, right = [], []
    for o in points:
        a, n = o.claimed, o.numeric
        gap, clear = np.abs(a - n), 1e-3 * o.size
        wrong.append(gap > clear)
        right.append((gap <= 1e-6 * o.size) & (np.abs(n) > clear))
    return any(p.shape == q.shape and bool(np.any(p & q)) for p in wrong for q in right)
