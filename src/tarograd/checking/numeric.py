"""Numerical differentiation: the derivative as a quotient of small differences.

Central differences at a ladder of steps, each two combined so that their h² error cancels
(Richardson), and for every element the step whose results agree best. So the result does not
hang on one choice of h: a large one errs by curvature, a small one by rounding, and any by a
kink or the edge of the domain between its two points.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tarograd.graph import Array
from tarograd.tensor import Tensor

FIRST_STEP = 3**0.5 * 1e-3  # irrational, so that no wave of a round length fits into the steps
STEPS = 24


def slope(f: Callable[[float], float], at: float) -> float:
    """The derivative of `f` at one point.

    Args:
        f: a function of one number.
        at: the point; `f` is asked for its values beside it.

    Returns:
        the derivative, NaN where `f` has no finite values on both sides.

    Example:
        >>> import math
        >>> abs(slope(math.exp, 1.0) - math.e) < 1e-10
        True
    """
    best, smallest = float("nan"), float("inf")
    difference = combined = float("nan")
    h = FIRST_STEP * max(1.0, abs(at) / 1000)  # beside a large number a fixed step would vanish
    for _ in range(STEPS):
        right, left = at + h, at - h
        if not right > left:  # at is infinite or NaN, or h below the spacing of the numbers
            break
        above, below = f(right), f(left)
        rounding = np.finfo(float).eps * max(abs(above), abs(below)) / h
        before, last = difference, combined
        difference = (above - below) / (right - left)
        combined = difference + (difference - before) / 15
        change = abs(combined - last)
        if change + rounding < smallest:
            best, smallest = combined, change + rounding
        if 4 * rounding >= smallest:  # with the next step rounding alone would be larger
            break
        h /= 4
    return best


def numerical_gradient(f: Callable[[Any], Any], x: Any) -> Array:
    """The gradient of `f` at `x`, element by element.

    Args:
        f: a function with one number as its result. It is called with `x` itself, of which one
            element is a little displaced at a time, so it may also read `x` from elsewhere, as
            the textbook's `lambda w: net.loss(x, t)` does. Afterwards `x` is as before.
        x: a writable float64 array; a Tensor or Parameter, whose value is displaced, in
            float64 whatever its dtype; or any other array, list or number, of which `f` is
            given a float64 copy.

    Returns:
        the gradient, of the shape of `x`.

    Raises:
        ValueError: if `f` does not give one number.
        TypeError: if `x` holds something else than real numbers, or is not a leaf of its graph.

    Example:
        >>> numerical_gradient(lambda x: np.sum(x**2), np.array([3.0, 4.0])).round(6)
        array([6., 8.])
    """
    if isinstance(x, Tensor):
        return _of_tensor(f, x)
    direct = isinstance(x, np.ndarray) and x.dtype == np.float64 and x.flags.writeable
    if np.asarray(x).dtype.kind not in "fiub":
        raise TypeError(f"numerical_gradient at {x!r}: real numbers are needed")
    array = x if direct else np.array(x, dtype=np.float64)
    result = np.zeros(array.shape)

    for index in np.ndindex(array.shape):
        element = array[index]

        def displaced(value: float, index: Any = index) -> float:
            array[index] = value
            return _number(f(array))

        try:
            with np.errstate(all="ignore"):  # a step may leave the domain; a smaller one will not
                result[index] = slope(displaced, float(element))
        finally:
            array[index] = element
    return result


def _number(y: Any) -> float:
    """The result of the function as a Python number."""
    value = y.value if isinstance(y, Tensor) else np.asarray(y)
    if value.size != 1:
        raise ValueError(
            f"numerical_gradient: the function gave {value.size} numbers, shape {value.shape}; "
            "one is needed: sum them, each times the gradient that arrives at it"
        )
    return float(value.item())


def _of_tensor(f: Callable[[Any], Any], x: Tensor) -> Array:
    """The same for a leaf of a graph: its value is replaced for each evaluation.

    By one of float64, and what is computed from it follows: between two numbers of float32 a
    small difference would drown.
    """
    if x.node is not None:
        raise TypeError(f"numerical_gradient at {x!r}: it was computed; only a leaf can be moved")
    value = x.value

    def at(array: Array) -> Any:
        x._value = Tensor(array).value
        return f(x)

    try:
        return numerical_gradient(at, value.astype(np.float64)).astype(value.dtype)
    finally:
        x._value = value
