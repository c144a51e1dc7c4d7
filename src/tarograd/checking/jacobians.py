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

    def wrong(o: Case) -> Array:
        return np.asarray(np.abs(o.claimed - o.numeric) > 1e-6 * o.size)

    here = wrong(case)
    moved = (case.at({**case.bench.values, case.leaf: o.x}) for o in case.others)
    return any(
        o is not None and o.has_matrices and bool(np.any(wrong(o) != here))
        for o in moved
        if o is not None and o.numeric.shape == here.shape
    )
