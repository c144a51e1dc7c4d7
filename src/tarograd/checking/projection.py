"""The derivative along a direction, with its own error bar for every output.

Central differences on a ladder of steps, each rung a quarter of the last, two neighbors combined
so that their h² error cancels (Richardson). Every output keeps the rung on which the results of
its neighbors agree best; what they still differ by, plus the rounding error measured at the
point, is its error bar. An output whose left and right slopes don't approach each other on the
ladder has a kink or a jump at the point: it has no derivative, and is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tarograd.checking.subject import Array, Values

FIRST, RUNGS = 0.25, 15  # h = 0.25 · 4^-k: from a quarter of the leaf's size to 1e-9 of it
SAFETY = 8  # noise is a measured sample, not a maximum
SHRINKS = 0.4  # the gap between the one-sided slopes of a smooth function falls by 4 per rung


@dataclass(frozen=True)
class Slopes:
    """The derivative of each output along one direction.

    Attributes:
        value: the derivatives, 0 where there is none.
        error: their error bars.
        kink: where left and right slope differ, or nothing finite was found.
        rungs: the combined differences by rung, to judge a gap by its law.
        steps: the step of each of them.
    """

    value: Array
    error: Array
    kink: Array
    rungs: list[Array]
    steps: list[float]


def moved(values: Values, direction: Values, h: float) -> dict[str, Array]:
    """The point at distance `h` along the direction."""
    step = {k: values[k] + np.asarray(h * u, values[k].dtype) for k, u in direction.items()}
    return {**values, **step}


def slopes(
    evaluate: Callable[[Values], Array],
    values: Values,
    direction: Values,
    noise: Array,
    first: float = FIRST,
    enough: float = 1e-11,
) -> Slopes:
    """Differentiate every output of `evaluate` along `direction`.

    Args:
        evaluate: from a point to a vector of outputs.
        values: the point.
        direction: for some of its arrays, how they move; of the size of the arrays themselves.
        noise: the rounding error of each output.
        first: the largest step.
        enough: the error, relative to the largest slope, at which no smaller step is tried.

    Example:
        >>> at = {"x": np.array([1.0, 0.0])}
        >>> y = slopes(lambda v: np.abs(v["x"]) ** 3, at, {"x": np.ones(2)}, np.full(2, 1e-16))
        >>> bool(abs(y.value - [3, 0]).max() < 1e-9)
        True
        >>> slopes(lambda v: np.abs(v["x"]), at, {"x": np.ones(2)}, np.full(2, 1e-16)).kink
        array([False,  True])
    """
    y0 = evaluate(values)
    value, error = np.zeros_like(y0), np.full(y0.shape, np.inf)
    rungs: list[Array] = []
    steps: list[float] = []
    gap = combined = change = central = np.full(y0.shape, np.nan, y0.dtype)
    with np.errstate(all="ignore"):
        for k in range(RUNGS):
            h = first / 4**k
            above, below = (evaluate(moved(values, direction, s)) for s in (h, -h))
            before, central = central, (above - below) / (2 * h)
            rounding = noise / h
            last_gap, gap = gap, np.abs((above - y0) - (y0 - below)) / h
            if k == 0:
                continue
            last, combined = combined, central + (central - before) / 15
            rungs.append(np.where(np.isfinite(combined), combined, 0))
            steps.append(h)
            last_change, change = change, np.abs(combined - last)
            smooth = (gap <= SHRINKS * last_gap) | (gap <= 4 * SAFETY * rounding)
            # Agreement by chance is rare once, and rarer twice in a row.
            bar = np.fmax(change, last_change / 16) + SAFETY * rounding
            better = smooth & (bar < error)
            value = np.where(better, combined, value)
            error = np.where(better, bar, error)
            steady = error <= np.maximum(
                enough * np.max(np.abs(value), initial=0), SAFETY * rounding
            )
            if k > 2 and np.all(steady):
                break
    kink = ~np.isfinite(error)
    return Slopes(np.where(kink, 0, value), np.where(kink, 0, error), kink, rungs, steps)


def one_sided(
    evaluate: Callable[[Values], Array], values: Values, direction: Values
) -> tuple[bool, float]:
    """Whether the difference quotient to one side settles at a finite value, and at which.

    Used where backward gives NaN or infinity: √x at 0 has an infinite slope, rightly.
    """
    with np.errstate(all="ignore"):
        y0 = evaluate(values)
        for side in (1.0, -1.0):
            quotients = [
                float(np.sum(np.abs(evaluate(moved(values, direction, side * h)) - y0))) / h
                for h in (1e-2, 1e-3, 1e-4, 1e-5)
            ]
            if not np.all(np.isfinite(quotients)):
                continue
            a, b, c = quotients[1:]
            settled = abs(c - b) <= 0.5 * abs(b - a) + 1e-6 * abs(c)
            return settled, c
    return False, float("nan")
