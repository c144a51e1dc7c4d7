"""Numerical differentiation: the derivative as a quotient of small differences.

Central differences at a ladder of steps, each two combined so that their h² error cancels
(Richardson), and for every element the step whose results agree best. So the result does not
hang on one choice of h: a large one errs by curvature, a small one by rounding, and any by a
kink between its two points.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tarograd.graph import Array
from tarograd.tensor import Tensor

STEPS = [2e-3 / 4**k for k in range(7)]


def slope(f: Callable[[float], float]) -> float:
    """The derivative of `f` at 0.

    Args:
        f: a function of one number: a small displacement, down to 5e-7.

    Example:
        >>> import math
        >>> abs(slope(lambda h: math.exp(1 + h)) - math.e) < 1e-10
        True
    """
    best, smallest = float("nan"), float("inf")
    difference = combined = float("nan")
    for h in STEPS:
        above, below = f(h), f(-h)
        rounding = np.finfo(float).eps * max(abs(above), abs(below)) / h
        before, last = difference, combined
        difference = (above - below) / (2 * h)
        combined = difference + (difference - before) / 15
        change = abs(combined - last)
        if change + rounding < smallest:
            best, smallest = combined, change + rounding
        if change <= 4 * rounding:  # rounding decides, and grows as the steps get smaller
            break
    return best if np.isfinite(best) else difference


def numerical_gradient(f: Callable[[Any], Any], x: Any) -> Array:
    """The gradient of `f` at `x`, element by element.

    Args:
        f: a function with one number as its result. It is called with `x` itself, of which one
            element is a little displaced at a time, so it may also read `x` from elsewhere, as
            the textbook's `lambda w: net.loss(x, t)` does. Afterwards `x` is as before.
        x: a writable float64 array; a Tensor or Parameter, whose value is displaced; or any
            other array, list or number, of which `f` is given a float64 copy.

    Returns:
        the gradient, of the shape of `x`.

    Example:
        >>> numerical_gradient(lambda x: np.sum(x**2), np.array([3.0, 4.0])).round(6)
        array([6., 8.])
    """
    if isinstance(x, Tensor):
        return _of_tensor(f, x)
    direct = isinstance(x, np.ndarray) and x.dtype == np.float64 and x.flags.writeable
    array = x if direct else np.array(x, dtype=np.float64)
    result = np.zeros(array.shape)

    for index in np.ndindex(array.shape):
        element = array[index]

        def displaced(h: float, index: Any = index, element: Any = element) -> float:
            array[index] = element + h
            return float(f(array))

        try:
            result[index] = slope(displaced)
        finally:
            array[index] = element
    return result


def _of_tensor(f: Callable[[Any], Any], x: Tensor) -> Array:
    """The same for a leaf of a graph: its value is replaced for each evaluation."""
    value = x.value

    def at(array: Array) -> Any:
        x.value = array
        return f(x)

    try:
        return numerical_gradient(at, value.astype(np.float64)).astype(value.dtype)
    finally:
        x.value = value
