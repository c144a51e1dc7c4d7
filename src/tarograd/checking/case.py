"""One wrong gradient, laid open: claimed and numeric, element by element and output by output."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from tarograd.checking.bench import Bench
from tarograd.checking.points import elsewhere, nudged, runs, with_length
from tarograd.checking.projection import moved, slopes
from tarograd.checking.subject import Array, Values, rms

FIRST = 0.5  # of the size of the leaf: far enough for the smallest gradients
MATRIX = 2_000_000  # elements of a Jacobian that is kept
ENOUGH = 1e-9  # relative error of a slope, with which explanations are compared to 1e-6
COARSE = 1e-4  # the step of a derivative that only has to rule out
PASSES = 12  # forward passes for the derivative by one element
SLOW = 1.0  # seconds of work
OUTPUTS = 600  # up to so many backward passes are made to know the claimed Jacobian


def columns(
    bench: Bench, leaf: str, flat_indices: Array, c: Array, enough: float = 1e-11
) -> tuple[Array, Array, Array]:
    """The numeric Jacobian's columns for some elements of a leaf.

    Args:
        bench: the point.
        leaf: which of its arrays.
        flat_indices: of the elements.
        c: the upstream gradient.
        enough: as for `slopes`.

    Returns:
        the columns, one for each element, or where they would not fit their projections on `c`;
        the error bar of each projection; the outputs with a kink.
    """
    x = bench.values[leaf]
    keep = len(flat_indices) * bench.y.size <= MATRIX
    found = np.zeros((bench.y.size if keep else 1, len(flat_indices)))
    bars, kinks = np.zeros(len(flat_indices)), np.zeros(bench.y.size, bool)
    typical = rms(x)
    for k, i in enumerate(flat_indices):
        step = np.zeros(x.shape)
        size = max(abs(float(x.reshape(-1)[i])), typical)
        step.reshape(-1)[i] = size
        one = slopes(bench.evaluate, bench.values, {leaf: step}, bench.noise, FIRST, enough)
        found[:, k] = (one.value if keep else np.sum(c * one.value)) / size
        bars[k] = float(np.linalg.norm(c * one.error)) / size
        kinks |= one.kink
    return found, bars, kinks


class Case:
    """The two gradients of one leaf at one point.

    Attributes:
        c: the upstream gradient, 0 for outputs on a kink.
        a: the claimed gradient, of the leaf's shape.
        n: the numeric one.
        bar: its error bars.
    """

    def __init__(self, bench: Bench, leaf: str, c: Array | None = None) -> None:
        self.bench, self.leaf = bench, leaf
        self.x = bench.values[leaf]
        self.c = bench.upstream() if c is None else c
        indices = np.arange(self.x.size)
        self._columns, bars, kinks = columns(bench, leaf, indices, self.c, ENOUGH)
        self.whole = self._columns.shape[0] == bench.y.size
        self.left_out = kinks if bench.subject.takes_upstream else np.zeros_like(kinks)
        self.c = np.where(self.left_out, 0, self.c)
        if self.whole:
            self.n = (self.c @ self._columns).reshape(self.x.shape)
        else:
            self.n = self._columns.reshape(self.x.shape)
        self.bar = bars.reshape(self.x.shape)
        self.a = bench.gradients(self.c)[leaf]

    @property
    def extent(self) -> str:
        """Where the two gradients were compared, in words."""
        return f"in all {self.n.size} elements"

    @property
    def size(self) -> float:
        """The largest element of the numeric gradient."""
        return float(np.max(np.abs(self.n), initial=0))

    @cached_property
    def tolerance(self) -> float:
        """How closely an explanation has to fit: a small part of what it explains."""
        gap = float(np.max(np.nan_to_num(np.abs(self.a - self.n), posinf=0), initial=0))
        floor = 20 * float(np.max(self.bar, initial=0)) + 1e-13 * self.size
        part = 1e-2 if self.bench.ulp > 1e-10 else 1e-6
        return max(min(part * self.size, 0.02 * gap), floor)

    @property
    def wrong(self) -> Array:
        """Which elements differ."""
        gap = np.abs(self.a - self.n)
        return np.asarray(~(gap <= np.maximum(self.tolerance, 1e-7 * np.abs(self.n))))

    @property
    def numeric(self) -> Array:
        """The numeric Jacobian, outputs times elements; rows on a kink are 0."""
        return np.where(self.left_out[:, None], 0, self._columns)

    @cached_property
    def claimed(self) -> Array:
        """The claimed Jacobian: one backward pass for each output."""
        rows = np.zeros((self.bench.y.size, self.x.size))
        if not self.bench.subject.takes_upstream:
            return np.asarray(self.a.reshape(1, -1))
        for j in np.flatnonzero(~self.left_out):
            one = np.zeros(self.bench.y.size)
            one[j] = 1
            rows[j] = self.bench.gradients(one)[self.leaf].reshape(-1)
        return rows

    @property
    def has_matrices(self) -> bool:
        """Whether both Jacobians are within reach."""
        return self.whole and self.bench.y.size <= OUTPUTS and bool(np.all(np.isfinite(self.a)))

    def fits(self, explained: Array) -> bool:
        """Whether an explanation gives the claimed gradient; NaN where it says nothing."""
        if explained.shape != self.a.shape:
            return False
        known = ~np.isnan(explained)
        if not known.all() and (known.mean() < 0.4 or not np.any(self.wrong & known)):
            return False
        return bool(np.all(np.abs(explained - self.a)[known] <= self.tolerance))

    def at(self, values: Values, draw: int | None = None) -> Case | None:
        """The same leaf at another point; None where the subject can't be computed."""
        bench = runs(self.bench, dict(values), draw)
        return Case(bench, self.leaf) if bench else None

    @cached_property
    def others(self) -> list[Case]:
        """The same leaf at two other random points, under other random numbers."""
        telling: list[Case] = []
        silent: list[Case] = []
        for attempt in range(8):
            values = elsewhere(self.bench)
            if attempt > 4:  # what is wrong may lie further out
                values = {n: 2 * v if n in self.bench.leaves else v for n, v in values.items()}
            other = self.at(values, self.bench.draw + attempt % 2)
            if other is None and attempt > 1:  # outside of its domain
                other = self.at(nudged(self.bench), self.bench.draw + attempt % 2)
            if other is not None and np.any(other.n):
                (telling if other.wrong.any() else silent).append(other)
            if len(telling) == 2 or (attempt == 4 and len(silent) > 3):
                break
        found = [*telling, *silent][:2]
        for other in found:  # each is compared with the same points
            other.others = [self, *(o for o in found if o is not other)]
        return found

    @cached_property
    def with_other_data(self) -> Case | None:
        """The same case with its data permuted; itself without any."""
        return self.shuffled()

    def shuffled(self) -> Case | None:
        """The same case with its data (labels, masks, indices) permuted; itself without any."""
        values, data = dict(self.bench.values), False
        for name in self.bench.subject.inputs:
            x = values[name]
            if x.dtype.kind in "iub" and x.size > 1:
                known, which = np.unique(x.reshape(-1), return_inverse=True)
                other = self.bench.random.permutation(known)  # what is repeated is another one
                values[name] = self.bench.random.permutation(other[which]).reshape(x.shape)
                data |= not np.array_equal(values[name], x)
        return self.at(values) if data else self

    def fits_at(self, values: Values) -> bool:
        """Whether the numeric gradient at another point, under the same `c`, is what is claimed.

        One random direction decides for most points that it is not.
        """
        bench = runs_forward(self.bench, values)
        if bench is None:
            return False
        x = values[self.leaf]
        u = rms(x) * bench.random.standard_normal(x.shape)
        above, below = (bench.evaluate(moved(values, {self.leaf: u}, h)) for h in (COARSE, -COARSE))
        slope = float(np.sum(self.c * (above - below))) / (2 * COARSE)
        gap = abs(float(np.sum(self.a * u)) - slope)
        if not gap <= 1e-3 * float(np.linalg.norm(self.a * u)):
            return False
        found, _, _ = columns(bench, self.leaf, np.arange(x.size), self.c, ENOUGH)
        vector = self.c @ found if found.shape[0] == bench.y.size else found
        return self.fits(np.asarray(vector).reshape(x.shape))


def quicker(case: Case) -> Case:
    """The case with shorter inputs, where passes are so slow that few experiments could be made.

    Every axis of the outputs keeps two places: what overwrites or is shifted shows there.
    """
    small = case.bench
    for axis in reversed(range(max((v.ndim for v in small.values.values()), default=0))):
        inputs = [small.values[n] for n in small.subject.inputs]
        for old in dict.fromkeys(x.shape[axis] for x in inputs if x.ndim > axis):
            for size in (n for n in (2, 3, 4, old // 2) if _slow(small, case.leaf) and n < old):
                other = runs(small, with_length(small, axis, old, size))
                shapes = [y.shape for y in other.outputs] if other is not None else []
                if other is not None and all(n > 1 for shape in shapes for n in shape):
                    small = other
                    break
    other_case = case if small is case.bench else Case(small, case.leaf)
    return other_case if np.any(other_case.wrong) else case


def _slow(bench: Bench, leaf: str) -> bool:
    """Whether both Jacobians at three points take longer than a search should."""
    forward, backward = bench.work()
    return 3 * (PASSES * bench.values[leaf].size * forward + bench.y.size * backward) > SLOW


def runs_forward(bench: Bench, values: Values) -> Bench | None:
    """A bench at a point where forward can be computed, with the same outputs' shape."""
    try:
        other = bench.at(dict(values))
    except Exception as error:
        if type(error).__name__ == "OutOfTime":
            raise
        return None
    return other if other.y.shape == bench.y.shape and np.all(np.isfinite(other.y)) else None
