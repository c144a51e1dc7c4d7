"""Leaves with too many elements to differentiate one by one: blocks, bisection, samples."""

from __future__ import annotations

import numpy as np

from tarograd.checking.bench import Bench
from tarograd.checking.case import Case, columns
from tarograd.checking.causes_factor import scale, zero
from tarograd.checking.decision import EVENED, RIGHT, judge, random_direction
from tarograd.checking.points import elsewhere, runs
from tarograd.checking.projection import slopes
from tarograd.checking.report import Cause, LeafReport
from tarograd.checking.subject import Array, Values, rms

DIRECTIONS = 6
FEW = 4  # elements: then each of them is differentiated
SKETCHED = 100  # of a leaf with more elements a factor is looked for without them


def culprits(bench: Bench, leaf: str) -> Array:
    """Some wrong elements of a large leaf: of the half with the larger gap, again the half.

    A gap along a direction is the sum of the gaps along its parts, so that one random direction
    is enough, and one claimed gradient. It is the direction on which all elements contribute
    alike, so that none is too small to be seen.
    """
    x, c = bench.values[leaf], bench.upstream()
    direction = random_direction(bench, (leaf,), EVENED)[leaf]
    whole = slopes(bench.evaluate, bench.values, {leaf: direction}, bench.noise)
    if bench.subject.takes_upstream:
        c = np.where(whole.kink, 0, c)
    terms = (bench.gradients(c)[leaf] * direction).reshape(-1)
    gap = float(terms.sum()) - float(np.sum(c * whole.value))
    enough = 0.1 * abs(gap) / (np.linalg.norm(c * whole.value) * np.sqrt(c.size) + 1e-300)

    def inside(block: Array) -> float:
        part = np.zeros(x.shape)
        part.reshape(-1)[block] = direction.reshape(-1)[block]
        found = slopes(bench.evaluate, bench.values, {leaf: part}, bench.noise, enough=enough)
        return float(terms[block].sum()) - float(np.sum(c * found.value))

    if terms.size == c.size:  # of an elementwise function each output shows its own element
        block = np.argsort(-np.abs(terms - c * whole.value))[:FEW]
        if abs(gap - inside(block)) < 0.5 * abs(gap):
            return block
    block = np.arange(x.size)
    while block.size > FEW:
        first, second = np.array_split(block, 2)
        part = inside(first)
        block, gap = (first, part) if abs(part) > abs(gap - part) else (second, gap - part)
    return block


class Sketch(Case):
    """The two gradients of a large leaf along a few random directions, instead of by elements.

    One factor between them along all directions is one factor in all elements.
    """

    def __init__(self, bench: Bench, leaf: str) -> None:
        self.bench, self.leaf, self.whole = bench, leaf, False
        self.x, self.c = bench.values[leaf], bench.upstream()
        size = rms(self.x)
        moves = [size * bench.random.standard_normal(self.x.shape) for _ in range(DIRECTIONS)]
        found = [slopes(bench.evaluate, bench.values, {leaf: u}, bench.noise) for u in moves]
        kinks = np.any([one.kink for one in found], axis=0)
        self.left_out = kinks if bench.subject.takes_upstream else np.zeros_like(kinks)
        self.c = np.where(self.left_out, 0, self.c)
        claimed = bench.gradients(self.c)[leaf]
        self.a = np.array([float(np.sum(claimed * u)) for u in moves])
        self.n = np.array([float(self.c @ one.value) for one in found])
        self.bar = np.array([float(np.linalg.norm(self.c * one.error)) for one in found])

    @property
    def extent(self) -> str:
        """Where the two gradients were compared, in words."""
        return f"along {DIRECTIONS} random directions"

    def at(self, values: Values, draw: int | None = None) -> Case | None:
        """The same at another point; None where the subject can't be computed."""
        bench = runs(self.bench, dict(values), draw)
        return Sketch(bench, self.leaf) if bench else None


def sketched_cause(bench: Bench, leaf: str) -> Cause | None:
    """What needs no single elements: nothing arrives, or one factor, a sign, a batch size."""
    case = Sketch(bench, leaf)
    return (zero(case) or scale(case)) if np.all(np.isfinite(case.a)) else None


def lone_cause(bench: Bench, leaf: str) -> Cause | None:
    """A few elements that are wrong, if without them all others are right, here and elsewhere."""
    block, c = culprits(bench, leaf), bench.upstream()
    other = runs(bench, elsewhere(bench))
    for there in (bench, other, other):
        if there is None:
            return None
        direction = random_direction(there, (leaf,))
        direction[leaf].reshape(-1)[block] = 0
        if judge(there, direction, there.upstream()).verdict != RIGHT:
            return None
    matrix, bars, _ = columns(bench, leaf, block, c)
    n = c @ matrix if matrix.shape[0] == bench.y.size else matrix[0]
    a = bench.gradients(c)[leaf].reshape(-1)[block]
    wrong = np.abs(a - n) > 1e-7 * np.abs(n) + 20 * bars
    shape = bench.values[leaf].shape
    indices = [list(map(int, np.unravel_index(i, shape))) for i in block[wrong]]
    if not indices:
        return None
    shown = ", ".join(f"{x:.6g} for {y:.6g}" for x, y in zip(a[wrong], n[wrong], strict=True))
    return Cause(
        "slice",
        leaf,
        f"only {', '.join(f'element {i}' for i in indices)} of {leaf} is wrong",
        f"it is {shown}; without it all is right along random directions, here and at another "
        "point",
        "look at the bounds of the loop or slice that fills it",
        0.9,
    )


def sampled_cause(found: LeafReport) -> Cause:
    """What a sample of the elements of a large leaf can show."""
    if found.numeric is None or found.analytic is None:
        return Cause("unclassified", found.name, "too many elements to look at each", "", "", 0)
    known = np.isfinite(found.numeric)
    a, n = found.analytic[known], found.numeric[known]
    wrong = np.abs(a - n) > 1e-5 * np.max(np.abs(n))
    said = f"of {a.size} elements looked at, {np.count_nonzero(wrong)} differ"
    if wrong.mean() < 0.2:
        said += f", such as {[w.index for w in found.worst(2)]}"
        return Cause("slice", found.name, "only a few elements are wrong", said, "", 0.7)
    return Cause("unclassified", found.name, "too many elements to look at each", said, "", 0)


def small_mismatch(leaf: str, gap: float) -> Cause:
    """A difference that no experiment can tell from that of a small constant."""
    return Cause(
        "unclassified",
        leaf,
        f"a mismatch of {gap:.0e} only, which is no single factor",
        "",
        "look for a small constant that backward leaves out, such as the 1e-7 in log(y + 1e-7)",
        0,
    )


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
