"""The derivative measured from outside: nothing here knows the package that it judges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

STEP = 2.0**-6  # inputs stay farther than this from every kink, tie and edge of a domain


def numeric_gradient(f: Callable[[Array], Any], x: Array, g: Any = 1.0) -> Array:
    """The derivative of Σ g·f(x) by each element of x: central differences, extrapolated.

    Three steps, each half of the one before, cancel the errors of order h² and h⁴ (Richardson);
    what remains is about 1e-12 for functions whose derivatives are of the size of 1.
    """
    slope = np.zeros(x.shape)
    for place in np.ndindex(x.shape):

        def difference(h: float, place: tuple[int, ...] = place) -> Any:
            above, below = x.copy(), x.copy()
            above[place] += h
            below[place] -= h
            change = np.asarray(f(above)) - np.asarray(f(below))
            return np.sum(g * change) / (above[place] - below[place])

        a, b, c = difference(STEP), difference(STEP / 2), difference(STEP / 4)
        ab, bc = b + (b - a) / 3, c + (c - b) / 3
        slope[place] = bc + (bc - ab) / 15
    return slope


def assert_gradient(given: Any, expected: Array, tolerance: float = 1e-9) -> None:
    """The two agree to `tolerance` of the largest element, in shape too."""
    assert given.shape == expected.shape
    scale = max(1.0, float(np.max(np.abs(expected), initial=0)))
    np.testing.assert_allclose(given, expected, rtol=0, atol=tolerance * scale)
