"""What large inputs do to forward: an overflow that the result does not call for."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from tarograd.checking.bench import Bench, quiet
from tarograd.checking.subject import Array, Values

PARTS = (0.1, 0.2, 0.4)  # of a point that is not finite: how fast do the outputs grow there?


def flagged(bench: Bench, values: Values) -> tuple[Array, set[str]]:
    """The outputs at a point, and what NumPy warned of: overflow, divide by zero, invalid."""
    flags: set[str] = set()
    with np.errstate(all="call", call=lambda kind, _: flags.add(kind)):
        return bench.evaluate(values), flags


def leaps(bench: Bench, values: Values, y: Array) -> bool:
    """Whether an output is infinite that until shortly before grew no faster than a power.

    So exp(1000) may be infinite, but not log(exp(1000)).
    """
    inputs = [n for n in bench.subject.inputs if n in bench.leaves]
    if not np.any(np.isinf(y)) or np.any(np.isnan(y)) or len(inputs) > 1:
        return False  # of several, one may be a logarithm that must not be large
    points = ({**values, **{n: values[n] * f for n in inputs}} for f in PARTS)
    with quiet():
        parts = list(map(bench.evaluate, points))
        last = [np.abs(b) <= 8 * np.abs(a) for a, b in pairwise(parts)]
    steady = np.all([*last, np.isfinite(parts[-1]), np.abs(parts[0]) > 1], axis=0)
    return bool(np.any(steady & np.isinf(y)))
