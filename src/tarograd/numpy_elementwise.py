"""NumPy's functions of elements that are more than one primitive; see numpy_functions.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tarograd.numpy_shapes import arrays_of, broadcast_to, stack
from tarograd.ops import elementwise, reduction


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


def floats(x: Any) -> Any:
    """Whole numbers of an array as float64, whose products do not wrap around; others as given."""
    if isinstance(x, np.generic) or getattr(x, "dtype", np.dtype(float)).kind == "f":
        return x
    return elementwise.cast(x, dtype=np.dtype(float))


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
