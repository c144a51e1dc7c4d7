"""Causes that show in how what is wrong depends on the values."""

from __future__ import annotations

import numpy as np

from tarograd.checking.case import Case
from tarograd.checking.jacobians import matrices
from tarograd.checking.points import elsewhere
from tarograd.checking.report import Cause
from tarograd.checking.subject import Array


def mask(case: Case) -> Cause | None:
    """Wrong on one side of a threshold, or wherever the derivative is 0."""
    for rows in (True, False):
        kinds = [_mask_kind(o, rows) for o in (case, *case.others)]
        if case.others and kinds[0] and all(k == kinds[0] for k in kinds):
            what = "outputs" if rows else "elements"
            return Cause(
                "mask",
                case.leaf,
                {
                    "open": f"{what} that are cut off in forward pass their gradient on",
                    "inverted": "the mask is inverted",
                    "side": f"{what} on one side of a threshold have a wrong slope",
                }[kinds[0].partition(" ")[0]],
                f"{kinds[0]}: holds for every one of the {what} at three random points",
                "use the mask that forward used, such as dx[x <= 0] = 0",
                0.9,
            )
    return None


def _mask_kind(case: Case, rows: bool) -> str | None:
    given = matrices(case)
    if given is None:
        return None
    a, n, tolerance = given
    if not rows:
        a, n = a.T, n.T
    judged = ~case.left_out if rows else np.ones(len(a), bool)
    no_a, no_n = (np.all(np.abs(m) <= tolerance, axis=1) for m in (a, n))
    equal = np.all(np.abs(a - n) <= tolerance, axis=1)
    wrong = ~equal & judged
    with np.errstate(all="ignore"):
        ratio = np.sum(a * n, axis=1) / np.sum(n * n, axis=1)
    along = np.all(np.abs(a - np.nan_to_num(ratio)[:, None] * n) <= 10 * tolerance, axis=1)
    live = judged & ~no_n
    open_ = judged & no_n & ~no_a
    if live.any() and np.all(no_a[live]) and open_.any() and np.all(open_[judged & no_n]):
        return "inverted"
    passes = open_.any() and np.all(open_[judged & no_n]) and live.any() and np.all(along[live])
    if passes and np.ptp(ratio[live]) <= 1e-4 * abs(ratio[live]).max():
        return "open"
    return _side(case, rows, wrong, judged, ratio, along | no_a | no_n)


def _side(
    case: Case, rows: bool, wrong: Array, judged: Array, ratio: Array, along: Array
) -> str | None:
    """Whether what is wrong lies beyond a threshold of the value, with one constant slope."""
    if not np.any(wrong) or not np.all(along[wrong]) or not np.any(judged & ~wrong):
        return None
    steep = ratio[wrong]
    finite = np.isfinite(steep)
    if finite.any() and (not finite.all() or np.ptp(steep) > 1e-4 * max(1e-9, abs(steep).max())):
        return None
    values = case.bench.y if rows else case.x.ravel()
    features = [values] + ([case.x.ravel()] if case.x.size == len(wrong) else [])
    for v in features:
        bad, good = v[wrong], v[judged & ~wrong]
        sides = {
            "side below": bad.max() <= good.min(),
            "side above": bad.min() >= good.max(),
            "side outside": abs(bad).min() >= abs(good).max(),
            "side inside": abs(bad).max() <= abs(good).min(),
        }
        if any(sides.values()):
            return next(side for side, holds in sides.items() if holds)
    return None


def coupling(case: Case) -> Cause | None:
    """The elements of the Jacobian that differ from 0 lie along another axis."""
    shape = case.x.shape
    if len(case.bench.outputs) != 1 or case.bench.outputs[0].shape != shape or len(shape) < 2:
        return None
    found = [_coupled(o) for o in (case, *case.others)]
    if not case.others or found[0] is None or any(f != found[0] for f in found):
        return None
    claimed, numeric = found[0]
    if claimed == numeric or not claimed:
        return None
    return Cause(
        "wrong-axis",
        case.leaf,
        f"elements are coupled along axis {claimed} instead of {numeric}",
        "the pattern of the claimed Jacobian, at three random points",
        f"sum over axis {numeric} instead",
        0.85,
    )


def _coupled(case: Case) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    given = matrices(case)
    if given is None:
        return None
    result = []
    for m in given[:2]:
        j, i = np.nonzero(np.abs(m) > given[2])
        apart = [
            p != q
            for p, q in zip(*(np.unravel_index(k, case.x.shape) for k in (j, i)), strict=True)
        ]
        result.append(tuple(axis for axis, d in enumerate(apart) if d.any()))
    return result[0], result[1]


def formula(case: Case) -> Cause | None:
    """A wrong derivative: the ratio of claimed to numeric is a function of the element's value."""
    given = matrices(case)
    if given is None or not case.others:
        return None
    for rows in (True, False):
        if all(_proportional(o, rows) for o in (case, *case.others)):
            what = "output" if rows else "element"
            if not rows and not _local(case):
                continue
            return Cause(
                "formula",
                case.leaf,
                "the formula of the derivative is wrong",
                f"for each {what} analytic and numeric are proportional, with a ratio that "
                f"depends on its value alone: {_ratios(case)}",
                "derive the formula again, or write it in terms of the output",
                0.8,
            )
    return None


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


def _ratios(case: Case) -> str:
    with np.errstate(all="ignore"):
        ratio = (case.a / case.n).ravel()
    chosen = [i for i in np.argsort(case.x, axis=None) if np.isfinite(ratio[i])]
    chosen = chosen[:: max(1, len(chosen) // 3)][:4]
    return ", ".join(f"{ratio[i]:.4g} at {case.x.ravel()[i]:.3g}" for i in chosen)


def scale_dependent(case: Case) -> Cause | None:
    """Right near zero only."""
    values = {n: v * 1e-3 if n in case.bench.leaves else v for n, v in case.bench.values.items()}
    near = case.at(values)
    if near is None or near.wrong.any() or not np.any(near.n):
        return None
    if not all(o.wrong.any() for o in case.others):
        return None
    return Cause(
        "scale-dependent",
        case.leaf,
        "the gradient is right only near zero",
        "right with all values times 1/1000, wrong here and at two other points",
        "a term of higher order is missing",
        0.8,
    )
