"""Leaves with too many elements to differentiate one by one: blocks, bisection, samples."""

from __future__ import annotations

import numpy as np

from tarograd.checking.bench import Bench
from tarograd.checking.projection import slopes
from tarograd.checking.report import Cause, LeafReport
from tarograd.checking.subject import Array, rms

FEW = 4  # elements: then each of them is differentiated


def culprits(bench: Bench, leaf: str) -> Array:
    """Some wrong elements of a large leaf: of the half with the larger gap, again the half.

    A gap along a direction is the sum of the gaps along its parts, so that one random direction
    is enough, and one claimed gradient.
    """
    x, c = bench.values[leaf], bench.upstream()
    direction = rms(x) * bench.random.standard_normal(x.shape)
    whole = slopes(bench.evaluate, bench.values, {leaf: direction}, bench.noise)
    if bench.subject.takes_upstream:
        c = np.where(whole.kink, 0, c)
    terms = (bench.gradients(c)[leaf] * direction).reshape(-1)
    gap = float(terms.sum()) - float(np.sum(c * whole.value))
    block = np.arange(x.size)
    while block.size > FEW:
        first, second = np.array_split(block, 2)
        part = np.zeros(x.shape)
        part.reshape(-1)[first] = direction.reshape(-1)[first]
        found = slopes(bench.evaluate, bench.values, {leaf: part}, bench.noise)
        inside = float(terms[first].sum()) - float(np.sum(c * found.value))
        left = abs(inside) > abs(gap - inside)
        block, gap = (first, inside) if left else (second, gap - inside)
    return block


def sampled_cause(found: LeafReport) -> Cause:
    """What a sample of the elements of a large leaf can show."""
    if found.numeric is None or found.analytic is None:
        return Cause("unclassified", found.name, "too many elements to look at each", "", "", 0)
    known = np.isfinite(found.numeric)
    a, n = found.analytic[known], found.numeric[known]
    k = float(a @ n / max(float(n @ n), 1e-300))
    if not np.any(found.analytic):
        return Cause("zero", found.name, "the gradient is 0 everywhere", "", "", 1.0)
    spread = np.abs(a - k * n)
    said = f"analytic = {k:.10g} × numeric in {a.size} sampled elements of {found.numeric.size}"
    if np.all(spread <= 1e-5 * np.max(np.abs(a))):
        if abs(k + 1) < 1e-4:
            return Cause(
                "sign", found.name, "the sign is wrong", said, f"d{found.name} = -(…)", 0.9
            )
        return Cause("scale", found.name, f"{k:.10g} times as large as it should be", said, "", 0.8)
    wrong = np.abs(a - n) > 1e-5 * np.max(np.abs(n))
    if wrong.mean() < 0.2:
        index = [w.index for w in found.worst(2)]
        said = f"of {a.size} elements looked at, {np.count_nonzero(wrong)} differ, such as {index}"
        return Cause("slice", found.name, "only a few elements are wrong", said, "", 0.7)
    return Cause("unclassified", found.name, "too many elements to look at each", said, "", 0)


def severity(found: LeafReport, projected: float | None = None) -> float:
    """How wrong a leaf is: its worst element, or its projection if that is worse."""
    projected = found.error if projected is None else projected
    if found.numeric is None or found.analytic is None:
        return projected
    a, n = found.analytic, found.numeric
    size = np.fmax(np.abs(a), np.abs(n))
    floor = 1e-9 * np.nanmax(size, initial=0)
    bars = np.zeros(a.shape) if found.uncertainty is None else 20 * found.uncertainty
    with np.errstate(all="ignore"):
        gaps = np.where(np.abs(a - n) > bars, np.abs(a - n), 0) / np.fmax(size, floor)
    return max(projected, float(np.nanmax(np.nan_to_num(gaps, nan=0.0), initial=0)))
