"""NumPy's functions of elements that are more than one primitive; see numpy_functions.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tarograd.numpy_shapes import arrays_of, broadcast_to, stack
from tarograd.ops import arithmetic, elementwise, reduction


def logaddexp(a: Any, b: Any) -> Any:
    """log(exp(a) + exp(b)) without overflow, rounded beside the larger of a and b.

    With a = 0 it is softplus.
    """
    given = arrays_of(a, b)
    shape = np.broadcast_shapes(*(x.shape for x in given))
    pair = stack([broadcast_to(x, shape) for x in given])
    return reduction.logsumexp(pair, axis=(0,), keepdims=False)


def where(condition: Any, x: Any, y: Any) -> Any:
    """`x` where the condition holds, else `y`."""
    (condition,) = arrays_of(condition)
    return elementwise.where(condition if condition.dtype == bool else condition != 0, x, y)


def clip(x: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    """`x`, but at least `min` and at most `max`, which NumPy calls `a_min` and `a_max` too."""
    low, high = (b if a is None else a for a, b in ((a_min, min), (a_max, max)))
    limits = [limit for limit in (low, high) if limit is not None]
    numbers = all(isinstance(limit, int | float | np.generic) for limit in limits)
    if numbers and "f" in [y.dtype.kind for y in arrays_of(x, *limits)]:
        low, high = -np.inf if low is None else low, np.inf if high is None else high
        return elementwise.clip(x, low=float(low), high=float(high))
    x = x if low is None else elementwise.maximum(x, low)
    return x if high is None else elementwise.minimum(x, high)


def round(x: Any, decimals: int = 0) -> Any:
    """To the nearest number of so many decimals, in the middle to an even one; not differentiable.

    Below 0 `decimals` counts from the ones to the left.
    """
    if not isinstance(decimals, int | np.integer):
        raise TypeError(f"round: decimals={decimals!r}: a whole number is needed")
    if x.dtype.kind != "f":
        return x if decimals >= 0 else elementwise.cast(round(floats(x), decimals), dtype=x.dtype)
    if not decimals:
        return elementwise.rint(x)
    unit = 10.0 ** abs(decimals)
    return elementwise.rint(x * unit) / unit if decimals > 0 else elementwise.rint(x / unit) * unit


def ceil(x: Any) -> Any:
    """Rounded up."""
    return -elementwise.floor(-x)


def trunc(x: Any) -> Any:
    """Rounded towards 0."""
    return elementwise.where(x < 0, ceil(x), elementwise.floor(x))


def fmod(a: Any, b: Any) -> Any:
    """What is left of `a` after it has been divided, with the sign of `a`."""
    size = np.abs(b)
    return where(a < 0, -arithmetic.remainder(-a, size), arithmetic.remainder(a, size))


def ignoring_nan(extreme: Callable[..., Any]) -> Callable[..., Any]:
    """What answers for np.fmax and np.fmin: if one is NaN it is the other."""

    def chosen(a: Any, b: Any) -> Any:
        return where(np.isnan(a), b, where(np.isnan(b), a, extreme(a, b)))

    return chosen


def heaviside(x: Any, middle: Any) -> Any:
    """0 below 0, 1 above, `middle` at 0."""
    return where(x == 0, middle, (np.sign(x) + 1) / 2)


def nan_to_num(
    x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """Numbers in place of NaN, inf and -inf: of the last two by default the largest ones."""
    if x.dtype.kind != "f":
        return x
    largest = float(np.finfo(x.dtype).max)
    y = where(np.isnan(x), nan, x)
    y = where(x == np.inf, largest if posinf is None else posinf, y)
    return where(x == -np.inf, -largest if neginf is None else neginf, y)


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """The choice of the first condition that holds, else `default`."""
    if len(condlist) != len(choicelist):
        raise ValueError(f"select: {len(condlist)} conditions for {len(choicelist)} choices")
    y = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        y = where(condition, choice, y)
    return y


def isclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> Any:
    """Which elements are as near as `atol + rtol * abs(b)`."""
    with np.errstate(invalid="ignore"):  # inf - inf
        near = (np.abs(a - b) <= atol + rtol * np.abs(b)) & np.isfinite(b)
    near = near | (a == b)
    return near | (np.isnan(a) & np.isnan(b)) if equal_nan else near


def allclose(a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> bool:
    """Whether all elements are `isclose`: True or False, outside of the graph."""
    a, b = arrays_of(a, b)
    return bool(np.all(isclose(a, b, rtol, atol, equal_nan)))


def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    """Whether shapes and elements are equal: True or False, outside of the graph."""
    a, b = arrays_of(a1, a2)
    same = a.shape == b.shape
    return same and allclose(a, b, rtol=0, atol=0, equal_nan=equal_nan)


def floats(x: Any) -> Any:
    """Whole numbers of an array as float64, whose products do not wrap around; others as given."""
    if isinstance(x, np.generic) or getattr(x, "dtype", np.dtype(float)).kind == "f":
        return x
    return elementwise.cast(x, dtype=np.dtype(float))


def doubles(x: Any) -> Any:
    """An array as float64; a Python number adapts."""
    (x,) = [x] if isinstance(x, int | float) else arrays_of(x)
    known = isinstance(x, int | float) or x.dtype == float
    return x if known else elementwise.cast(x, dtype=np.dtype(float))


def of_bools(name: str, logical: Callable[..., Any]) -> Callable[..., Any]:
    """What answers for a function of bits, which have no rule: that of bools."""

    def checked(*given: Any) -> Any:
        if numbers := [x.dtype for x in arrays_of(*given) if x.dtype != bool]:
            raise TypeError(
                f"{name} of {numbers[0]}: the bits of numbers have no rule, only bools; "
                "compare first, as in (x > 0) & (y > 0)"
            )
        return logical(*given)

    return checked
