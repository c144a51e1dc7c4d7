"""Causes in what couples the elements of a leaf: a mean, a norm or a sum that all of them share.

The Jacobian of a normalization is one factor for each element plus a few terms of rank one, such
as that through the mean. Away from the diagonal only those terms are left, so that their number
and their coefficients can be read off, without knowing what the function is.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tarograd.checking.case import Case
from tarograd.checking.causes_factor import hint, near
from tarograd.checking.jacobians import matrices
from tarograd.checking.report import Cause
from tarograd.checking.subject import Array

SPLITS = 6  # ways of parting a group of elements that are looked at
MISSING, EXTRA, OTHER = 0.0, np.inf, np.nan  # coefficients: not there, too many, another term


def coefficient(case: Case) -> Cause | None:
    """One of the terms that couple the elements is missing, or has a wrong coefficient."""
    found = [_coefficients(o) for o in (case, *case.others)]
    if not case.others or any(not f for f in found):
        return None
    every = np.concatenate([np.array(f) for f in found])
    points = f"in every group of elements, at {len(found)} random points"
    what = "the part through a mean, a norm or a sum"
    if np.all(every == MISSING) or np.all(np.isinf(every)):
        name = "missing-term" if every[0] == MISSING else "extra-term"
        seen = "away from the diagonal the claimed Jacobian has "
        seen += "fewer terms than the numeric one" if name == "missing-term" else "more terms"
        verb = "is missing" if name == "missing-term" else "is one too many"
        fix = "add it: what all elements share depends on each of them"
        if name == "extra-term":
            fix = "leave it out"
        return Cause(name, case.leaf, f"{what} {verb}", f"{seen}, {points}", fix, 0.9)
    if np.all(np.isnan(every)):
        why = f"{what} is made of another array than it should be"
        seen = f"it has as many terms as it should, one along another vector, {points}"
        return Cause("formula", case.leaf, why, seen, "derive that part again", 0.8)
    if not np.all(np.isfinite(every)) or np.any(every == MISSING):
        return None
    if all(near(k, -1) for k in every):
        seen = f"it has the coefficient -1 where it should have 1, {points}"
        return Cause("sign", case.leaf, f"{what} has the wrong sign", seen, "turn its sign", 0.9)
    return _scaled(case, every, what, points)


def _scaled(case: Case, every: Array, what: str, points: str) -> Cause:
    """A coefficient that is another number, or that depends on the values."""
    k = float(every[0])
    if all(near(float(f), k) for f in every):
        seen = f"it is {k:.6g} times as large as it should be, {points}"
        why = f"{what} has a wrong constant factor" + hint(case, k)
        fix = f"multiply that part by {1 / k:.6g}: a sum for a mean, or a power not derived?"
    else:
        seen = f"it is there, with {every.min():.4g} to {every.max():.4g} times its coefficient, "
        seen += points
        why = f"{what} has a wrong coefficient, which depends on the values"
        fix = "derive the coefficient of that part again: powers of the norm, what is averaged"
    return Cause("formula", case.leaf, why, seen, fix, 0.85)


def _coefficients(case: Case) -> list[float]:
    """For each group the coefficient of the term that is wrong; empty if it is no such thing."""
    given = matrices(case)
    if given is None or case.bench.y.size != case.x.size:
        return []
    a, n, tolerance = given
    found = []
    for members in _groups((np.abs(a) > tolerance) | (np.abs(n) > tolerance)):
        part = np.ix_(members, members)
        if np.all(np.abs((a - n)[part]) <= tolerance):
            continue
        k = _in_group(a[part], n[part], tolerance)
        if k is None:
            return []
        found.append(k)
    return found


def _in_group(a: Array, n: Array, tolerance: float) -> float | None:
    """The coefficient of the wrong term, the same for every way of parting the group in two."""
    seen = []
    for rows, cols in _splits(len(a)):
        k = _between(a[np.ix_(rows, cols)], n[np.ix_(rows, cols)], tolerance)
        if k is None:
            return None
        seen.append(k)
    if not seen:
        return None
    finite = bool(np.all(np.isfinite(seen)))
    same = all(near(k, seen[0]) for k in seen) if finite else all(np.isnan(seen))
    return seen[0] if same or seen.count(seen[0]) == len(seen) else None


def _between(a: Array, n: Array, tolerance: float) -> float | None:
    """How large the wrong term is in `a`, beside 1 in `n`, away from the diagonal."""
    e = a - n
    ranks = [rank(m, tolerance) for m in (a, n, e)]
    has, should, gap = ranks
    k = float(np.sum(a * n) / max(float(np.sum(n * n)), 1e-300))
    few = should < min(3, *a.shape)
    if few and k and np.max(np.abs(a - k * n)) <= 10 * tolerance < np.max(np.abs(e)):
        return k  # all that couples them has one wrong factor
    if not gap or gap > 2 or max(has, should) > min(a.shape):
        return None
    if has + gap == should and has < min(a.shape):
        return MISSING
    if should + gap == has and should < min(a.shape):
        return EXTRA
    return _of_one(e, n, max(has, should) < min(a.shape)) if has == should and gap == 1 else None


def _of_one(e: Array, n: Array, is_known: bool) -> float | None:
    """The coefficient of the one term in which they differ; OTHER if it is along another vector."""
    u, size, v = np.linalg.svd(e)
    inverse = np.linalg.pinv(n, rcond=1e-5)
    left, right = u[:, 0] - n @ (inverse @ u[:, 0]), v[0] - (v[0] @ inverse) @ n
    strange = [bool(np.max(np.abs(rest)) > 1e-4) for rest in (left, right)]
    if any(strange):
        return OTHER if is_known and not all(strange) else None
    return float(1 + size[0] * (v[0] @ inverse @ u[:, 0]))


def _splits(count: int) -> Iterator[tuple[Array, Array]]:
    """Some ways of parting a group: the rows of one part and the columns of the other."""
    if count < 3:
        return
    order = np.arange(count)
    for k in range(min(SPLITS, count)):
        turned = np.roll(order, k)
        half = (count + k % 2) // 2
        yield np.sort(turned[:half]), np.sort(turned[half:])


def _groups(linked: Array) -> Iterator[Array]:
    """The elements that hang together, by outputs in the same places."""
    linked = linked | linked.T
    left: Array = np.any(linked, axis=1)
    while left.any():
        members: Array = np.zeros(len(linked), bool)
        members[np.flatnonzero(left)[0]] = True
        while True:
            more = linked[members].any(axis=0) | members
            if np.array_equal(more, members):
                break
            members = more
        yield np.flatnonzero(members)
        left &= ~members


def rank(m: Array, tolerance: float) -> int:
    """How many terms a matrix is made of."""
    values = np.linalg.svd(m, compute_uv=False)
    return int(np.count_nonzero(values > max(1e-6 * values[0], 0.1 * tolerance)))


def through_norm(case: Case) -> Cause | None:
    """The part along the leaf, which comes from its norm, is missing or wrong."""
    found = [_along_leaf(o) for o in (case, *case.others)] if case.others else []
    if not found or not found[0] or any(f != found[0] for f in found):
        return None
    alike = f"forward stays the same when {case.leaf} grows as a whole; without the part along "
    alike += f"{case.leaf} the claim is the numeric gradient"
    points = f"at {1 + len(case.others)} random points"
    if found[0] == "missing-term":
        why, fix = "is missing", "the norm depends on every element: subtract that part"
        alike += f", and it is the same for any other direction of {case.leaf}"
    elif found[0] == "sign":
        why, fix = "has the wrong sign", "subtract that part instead of adding it"
        alike += f"; the rest of it is the same for any other direction of {case.leaf}"
    else:
        why = "has a wrong coefficient, such as another power of the norm"
        fix = "derive the coefficient of that part again"
    why = f"the part through the norm {why}"
    return Cause(found[0], case.leaf, why, f"{alike}, {points}", fix, 0.85)


def _along_leaf(case: Case) -> str:
    """What is wrong with the part of n = u - (u · x) x / |x|² along x, where u knows only |x|."""
    given = matrices(case)
    if given is None or case.x.size < 3:
        return ""
    a, n, tolerance = given
    for axis in (None, *range(case.x.ndim)):
        shape = (-1, *case.x.shape)
        along = tuple(range(1, len(shape))) if axis is None else (axis + 1,)
        if int(np.prod([case.x.shape[i - 1] for i in along])) < 3:
            continue
        part = _part(a.reshape(shape), case.x[None], along).reshape(a.shape)
        if np.max(np.abs(a - part - n)) > 10 * tolerance:
            continue
        if np.max(np.abs(part)) <= 100 * tolerance:
            return ""
        other = case.at({**case.bench.values, case.leaf: np.roll(case.x, 1, axis=axis or 0)})
        turned = other is not None and other.has_matrices and other.claimed.shape == a.shape
        if other is None or not turned or np.max(np.abs(other.numeric - n)) <= 100 * tolerance:
            return ""
        its = _part(other.claimed.reshape(shape), other.x[None], along).reshape(a.shape)
        for times, name in ((0, "missing-term"), (-1, "sign")):  # the coefficient in the claim
            u = n + part / (1 - times), other.numeric + its / (1 - times)
            if np.max(np.abs(u[0] - u[1])) <= 10 * tolerance:
                return name
        return "formula"
    return ""


def _part(rows: Array, x: Array, along: tuple[int, ...]) -> Array:
    """The parts of rows along x."""
    square = np.maximum(np.sum(x * x, axis=along, keepdims=True), 1e-300)
    return np.asarray(np.sum(rows * x, axis=along, keepdims=True) * x / square)
