"""The bench on which a subject is run: counted, in float64, with its random numbers held still."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import numpy as np

from tarograd.checking.subject import Array, Run, Subject, Values, flat, split

MANY = 100_000  # elements: among more, equal ones are not looked for
NAMING = 3.0  # seconds of work, with which the causes of one check have to be found
OVERHEAD = 8e-5  # seconds, that the check itself takes for each pass
LINE, ELEMENT = 4e-7, 1e-8  # seconds, that a line of Python and an element mostly take
COUNTED = 8  # passes of a kind whose lines are counted
LONGEST = 30.0  # seconds by the clock for one search: only passes whose work is hidden need it
ULP = {2: 4.9e-4, 4: 6.0e-8, 8: 1.1e-16}  # the unit roundoff by the size of a float


class OutOfTime(Exception):  # noqa: N818  # not an error: the budget that the user set is used up
    """The budget of the check is used up, or what of it a search may take."""


@dataclass
class Patience:
    """How many passes the search for causes may still make, by the work that they are.

    Work is counted, and not timed: in lines of Python that a pass goes through and elements that
    it is given, as seconds on an ordinary machine. So a busy one gives the same answer.

    Attributes:
        left: seconds of work.
        spent: the work of the passes that were made.
        most: with so much spent the search ends.
        until: when the search ends in any case, in seconds of `time.monotonic`.
        work: that of one pass of each kind.
        made: how many passes of it were made.
    """

    left: float = NAMING
    spent: float = 0.0
    most: float = float("inf")
    until: float = float("inf")
    work: dict[Hashable, float] = field(default_factory=dict)
    made: dict[Hashable, int] = field(default_factory=dict)

    @contextmanager
    def charge(self, kind: Hashable, elements: int) -> Iterator[None]:
        """One more pass of that kind, which counts as the least of the first ones of it.

        The very first one may import or compile something, depending on what ran before, and
        some that follow may do what is not done again.
        """
        self.made[kind] = self.made.get(kind, 0) + 1
        if 1 < self.made[kind] <= COUNTED:
            with lines() as seen:
                yield
            found = LINE * seen[0] + ELEMENT * elements
            self.work[kind] = min(found, self.work.get(kind, found))
        else:
            yield
        self.spent += OVERHEAD + self.work.get(kind, 0.0)

    @contextmanager
    def share(self, part: float) -> Iterator[None]:
        """Spend at most that part of what is left; beyond it a pass raises OutOfTime."""
        started = self.spent
        self.most, self.until = started + part * self.left, time.monotonic() + LONGEST
        try:
            yield
        finally:
            self.left -= self.spent - started
            self.most = self.until = float("inf")


@contextmanager
def lines() -> Iterator[list[int]]:
    """How many lines are run within, in functions that are called there: in a list of one number.

    A debugger, or what measures coverage, sees nothing of them, and all that follows.

    Example:
        >>> with lines() as seen:
        ...     _ = dot({"a": np.ones(2)}, {"a": np.ones(2)})
        >>> seen[0] > 1
        True
    """
    seen = [0]

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        seen[0] += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield seen
    finally:
        sys.settrace(before)


class Bench:
    """Runs a subject at points of the engine's choice.

    Args:
        subject: what is checked.
        values: the point; by default the subject's own.
        seed: of upstream gradients and directions.
        deadline: when to stop, in seconds of `time.monotonic`.
        draw: which random numbers the subject draws.
        patience: shared by all points at which causes are looked for.
    """

    def __init__(
        self,
        subject: Subject,
        values: Values | None = None,
        seed: int = 0,
        deadline: float = float("inf"),
        draw: int = 0,
        patience: Patience | None = None,
    ) -> None:
        self.subject, self.draw, self.deadline, self.seed = subject, draw, deadline, seed
        self.values = dict(subject.values if values is None else values)
        self.leaves = tuple(n for n in subject.leaves if self.values[n].size)
        self.random = np.random.default_rng(seed)
        self.forwards = 0
        self.patience = Patience() if patience is None else patience
        self.stateless = False
        self.rows: tuple[str, ...] | None = None  # the inputs with one row for each sample
        self.gates: tuple[Any, ...] | None = None  # once they were looked for, for all leaves
        self._run: Run | None = None
        with quiet():
            self.outputs = self._outputs(self.values)
            self._frozen = subject.frozen(self.values, draw)
        self.y = flat(self.outputs)
        self.ulp = max(unit(self.outputs), unit([self.values[n] for n in self.leaves]))
        self._noise: Array | None = None

    def at(self, values: Values, draw: int | None = None) -> Bench:
        """The same subject at another point, with fresh directions."""
        draw = self.draw if draw is None else draw
        other = Bench(self.subject, values, self.seed + 1, self.deadline, draw, self.patience)
        other.ulp = max(other.ulp, self.ulp)
        other.stateless, other.rows = self.stateless, self.rows
        return other

    @contextmanager
    def _counted(self, kind: str, values: Values) -> Iterator[None]:
        """One more pass, if there is time for it."""
        patience, now = self.patience, time.monotonic()
        if now > self.deadline or now > patience.until or patience.spent > patience.most:
            raise OutOfTime
        self.forwards += 1
        with patience.charge(self._kind(kind, values), sum(v.size for v in values.values())):
            yield

    def _kind(self, kind: str, values: Values) -> Hashable:
        """What passes of equal work have in common."""
        return kind, self.stateless, tuple(v.shape for v in values.values())

    def work(self) -> tuple[float, float]:
        """The seconds of work of one forward and of one backward pass here."""
        for _ in range(2):  # it is known from the second one on
            self.evaluate(self.values)
            self.raw_gradients(np.ones(self.y.shape))
        kinds = "frozen" if self._frozen else "forward", "backward"
        forward, backward = (self.patience.work.get(self._kind(k, self.values), 0.0) for k in kinds)
        return forward, backward

    def _outputs(self, values: Values) -> tuple[Array, ...]:
        with self._counted("forward", values):
            if self._run is None or not self.stateless:
                self._run = self.subject.fresh(values, self.draw)
            given = {k: np.array(v) for k, v in values.items()}
            return tuple(np.array(y) for y in self._run.forward(given))

    def evaluate(self, values: Values) -> Array:
        """All outputs at a point as one vector; NaN where forward cannot be computed."""
        try:
            if self._frozen:
                with self._counted("frozen", values):
                    y = flat(self._frozen(values))
            else:
                y = flat(self._outputs(values))
        except OutOfTime:
            raise
        except Exception:  # outside the domain, such as a singular matrix
            return np.full(self.y.shape, np.nan)
        return y if y.shape == self.y.shape else np.full(self.y.shape, np.nan)

    def raw_gradients(self, c: Array, values: Values | None = None) -> dict[str, Any]:
        """What a fresh use claims under the upstream gradient `c`, as it gives it."""
        values = self.values if values is None else values
        given = {k: np.array(v) for k, v in values.items()}
        with self._counted("backward", values), np.errstate(all="ignore"):
            if self._run is None or not self.stateless:
                self._run = self.subject.fresh(values, self.draw)
            run = self._run
            outputs = run.forward(given)
            return run.backward(split(c, tuple(map(np.asarray, outputs))))

    def gradients(self, c: Array, values: Values | None = None) -> dict[str, Array]:
        """The claimed gradients of the leaves, in float64; zeros where there is none.

        Raises:
            ValueError: if one does not have the shape of its leaf.
        """
        values = self.values if values is None else values
        raw = self.raw_gradients(c, values)
        return {n: as_gradient(raw.get(n), values[n], n) for n in self.leaves}

    def upstream(self) -> Array:
        """A random upstream gradient: no zeros, both signs; ones if backward takes none."""
        if not self.subject.takes_upstream:
            return np.ones(self.y.shape)
        size = self.random.uniform(0.5, 1.5, self.y.shape)
        return np.asarray(size * self.random.choice([-1.0, 1.0], self.y.shape))

    @property
    def noise(self) -> Array:
        """The rounding error of each output: what a change of a few ulp of the point does."""
        if self._noise is None:
            change = np.zeros(self.y.shape)
            for _ in range(2):
                with np.errstate(all="ignore"):
                    change = np.fmax(change, np.abs(self.evaluate(self.jittered()) - self.y))
            self._noise = change + 4 * self.ulp * np.abs(self.y) + 1e-300
        return self._noise

    def jittered(self, size: float | None = None) -> dict[str, Array]:
        """The point with every leaf changed by a few ulp, or by the relative `size`."""
        values, size = dict(self.values), 3 * self.ulp if size is None else size
        for n in self.leaves:
            x = values[n]
            if x.size > MANY:
                change = 1 + size * self.random.standard_normal(x.shape)
            else:  # what is equal stays equal
                distinct, which = np.unique(x, return_inverse=True)
                change = (1 + size * self.random.standard_normal(distinct.shape))[which]
            values[n] = (x * change.reshape(x.shape)).astype(x.dtype)
        return values

    def quantized(self) -> bool:
        """Whether the subject computes in float32 inside: tiny changes change nothing."""
        if self.ulp > 1e-10:
            return False
        large = np.abs(self.evaluate(self.jittered(1e-3)) - self.y)
        # Twice: the changes of many terms may once add up to nothing.
        moved = [self.evaluate(self.jittered(1e-11)) - self.y for _ in range(2)]
        small = np.abs(moved).sum(axis=0)
        seen = 1e-8 * large > 16 * self.ulp * np.abs(self.y)  # a smooth output would move by this
        moves = np.count_nonzero(seen)
        return bool(moves and np.count_nonzero(small[seen]) < 0.1 * moves)


def unit(arrays: Any) -> float:
    """The unit roundoff of the shortest float among the arrays."""
    sizes = [ULP.get(a.dtype.itemsize, 1.1e-16) for a in arrays if a.dtype.kind == "f"]
    return max(sizes, default=1.1e-16)


def as_gradient(raw: Any, x: Array, name: str) -> Array:
    """A claimed gradient as a float64 array of the shape of its leaf."""
    if raw is None:
        return np.zeros(x.shape)
    a = np.array(raw, dtype=np.float64)
    if a.shape != x.shape:
        raise ValueError(f"the gradient of {name} has the shape {a.shape}, {name} itself {x.shape}")
    return a


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings of the subject's arithmetic at points that it was never meant for."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def dot(a: Mapping[str, Array], b: Mapping[str, Array]) -> float:
    """The sum of the products of equally named arrays."""
    return float(sum(np.sum(a[k] * b[k]) for k in b))
