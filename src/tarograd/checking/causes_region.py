"""Causes that show in which elements are wrong."""

from __future__ import annotations

import numpy as np

from tarograd.checking.case import Case
from tarograd.checking.jacobians import matrices
from tarograd.checking.report import Cause
from tarograd.checking.subject import Array


def overwrites(case: Case) -> Cause | None:
    """Where several contributions meet, one of them is left: the last one written."""
    picks = _picks(case)
    if picks is None:
        return None
    fresh = Case(case.bench, case.leaf)
    if _picks(fresh) != picks:
        return None
    return Cause(
        "overwrites",
        case.leaf,
        "where several outputs depend on one element, their contributions overwrite each other",
        f"in {sum(p is not None for p in picks.values())} elements the claim is the contribution "
        "of a single output, the same one under another upstream gradient; elements with one "
        "contribution are right",
        "add: dx[…] += …, or np.add.at(dx, index, …) for repeated indices",
        0.95,
    )


def _picks(case: Case) -> dict[int, int | None] | None:
    """For every wrong element the output whose contribution is all that is left."""
    given = matrices(case)
    if given is None:
        return None
    a, n, tolerance = given
    share = case.c[:, None] * n
    found: dict[int, int | None] = {}
    flat = case.a.ravel()
    several = np.count_nonzero(np.abs(n) > tolerance, axis=0)
    wrong = np.any(np.abs(a - n) > tolerance, axis=0)
    if not wrong.any() or np.any(np.count_nonzero(np.abs(a) > tolerance, axis=0) > 1):
        only = wrong & (np.count_nonzero(np.abs(a) > tolerance, axis=0) > 1)
        if only.any() or not wrong.any():
            return None
    single = several <= 1
    if np.any(single & wrong & np.any(np.abs(a) > tolerance, axis=0)):
        return None
    for i in np.flatnonzero(wrong):
        match = np.flatnonzero(np.abs(share[:, i] - flat[i]) <= tolerance * 10)
        match = match[np.abs(n[match, i]) > tolerance]
        if abs(flat[i]) <= tolerance:
            found[int(i)] = None
        elif len(match) == 1 and several[i] > 1:
            found[int(i)] = int(match[0])
        else:
            return None
    chosen = [p for p in found.values() if p is not None]
    diagonal = len(flat) == len(case.c) and all(p in (i, None) for i, p in found.items())
    if len(chosen) < max(1, len(found) // 4) or diagonal or _whole_rows(case, chosen):
        return None
    return found


def _whole_rows(case: Case, chosen: list[int]) -> bool:
    """Whether all that is left comes from one row of the batch that is not the last one."""
    shape = case.bench.outputs[0].shape
    if len(case.bench.outputs) != 1 or len(shape) < 2 or shape[0] < 2:
        return False
    rows = {int(np.unravel_index(j, shape)[0]) for j in chosen}
    return len(rows) == 1 and rows != {shape[0] - 1}


def slices(case: Case) -> Cause | None:
    """The wrong elements are the same slice at every point."""
    if not case.others:
        return None
    rows = _rows_left_out(case)
    if rows:
        return rows
    wrong = case.wrong
    if wrong.all() or any(not np.array_equal(o.wrong, wrong) for o in case.others):
        return None
    where = _hyperplane(wrong)
    if where is None:
        return None
    return Cause(
        "slice",
        case.leaf,
        f"only {where} is wrong, the rest is right",
        f"the same {np.count_nonzero(wrong)} of {wrong.size} elements at "
        f"{1 + len(case.others)} random points",
        "look at the bounds of the loop or slice that fills them",
        0.9,
    )


def _hyperplane(wrong: Array) -> str | None:
    """How a set of indices reads, if it is a part of an axis or a few elements."""
    if np.count_nonzero(wrong) == 1:
        return f"element {np.argwhere(wrong)[0].tolist()}"
    for axis in range(wrong.ndim):
        others = tuple(i for i in range(wrong.ndim) if i != axis)
        some, every = np.any(wrong, axis=others), np.all(wrong, axis=others)
        share = np.count_nonzero(wrong) / max(1, np.compress(some, wrong, axis=axis).size)
        if not some.all() and (np.array_equal(some, every) or share > 0.5):
            return f"index {np.flatnonzero(some).tolist()[:6]} of axis {axis}"
    return f"a set of {np.count_nonzero(wrong)} elements" if wrong.mean() < 0.34 else None


def _rows_left_out(case: Case) -> Cause | None:
    """The outputs of some rows pass nothing back, the others all that they should."""
    shapes = case.bench.outputs[0].shape
    if len(case.bench.outputs) != 1 or len(shapes) < 2:
        return None
    found = [_dead_rows(o) for o in (case, *case.others)]
    if found[0] is None or any(f is None or not np.array_equal(f, found[0]) for f in found):
        return None
    dead: Array = found[0].reshape(shapes)
    for axis in range(dead.ndim):
        others = tuple(i for i in range(dead.ndim) if i != axis)
        some, every = dead.any(axis=others), dead.all(axis=others)
        if not np.array_equal(some, every):
            continue
        kept = np.flatnonzero(~some).tolist()
        last = axis == 0 and kept == [len(dead) - 1] and case.leaf not in case.bench.subject.inputs
        name = "overwrites" if last else "slice"
        why = (
            "each row's contribution overwrites the one before: only the last is left"
            if last
            else f"of the upstream gradient only index {kept[:6]} of axis {axis} is used"
        )
        return Cause(
            name,
            case.leaf,
            why,
            "the rows of the Jacobian for the other outputs are 0, at three random points",
            "add the contributions up: +=" if last else "use all rows of dout",
            0.9,
        )
    return None


def _dead_rows(case: Case) -> Array | None:
    given = matrices(case)
    if given is None:
        return None
    a, n, tolerance = given
    right = np.all(np.abs(a - n) <= tolerance, axis=1)
    none = np.all(np.abs(a) <= tolerance, axis=1)
    if not np.all(right | none) or right.all() or not right.any():
        return None
    return np.asarray(~right)
