"""NumPy's functions along an axis: differences, running sums and order; see numpy_functions.py."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tarograd.numpy_elementwise import floats
from tarograd.numpy_reductions import max, min, sum
from tarograd.numpy_shapes import (
    Axis,
    arrays_of,
    axes_of,
    between,
    concatenate,
    moveaxis,
    ravel,
    reshape,
    take_along_axis,
    transpose,
)
from tarograd.ops import elementwise, reduction


def diff(x: Any, n: int = 1, axis: int = -1) -> Any:
    """Each element less the one before it, `n` times over."""
    (i,) = axes_of("diff", x, axis)
    for _ in range(n):
        x = between(x, i, 1, None) - between(x, i, None, -1)
    return x


def gradient(x: Any, *spacing: float, axis: Axis = None) -> Any:
    """The slope along each axis: half of the way from the element before to the one after.

    `spacing` is how far the elements are from each other, one number for all axes or one for each.
    At both ends it is the way to the only neighbor.
    """
    axes = axes_of("gradient", x, axis)
    steps = spacing * len(axes) if len(spacing) == 1 else spacing or (1.0,) * len(axes)
    if len(steps) != len(axes) or any(np.ndim(step) for step in steps):
        raise TypeError(
            f"gradient: spacing {spacing} for the axes {axes} of {x.shape}: one number has a rule, "
            "or one for each axis"
        )
    if short := [i for i in axes if x.shape[i] < 2]:
        raise ValueError(f"gradient: axis {short[0]} of {x.shape}: two elements are needed")
    x = floats(x)

    def slope(i: int, step: float) -> Any:
        way = diff(x, axis=i)
        middle = (between(way, i, 1, None) + between(way, i, None, -1)) / 2
        ends = between(way, i, None, 1), between(way, i, -1, None)
        return concatenate([ends[0], middle, ends[1]], i) / step

    slopes = tuple(slope(i, step) for i, step in zip(axes, steps, strict=True))
    return slopes[0] if len(slopes) == 1 else slopes


def trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Any:
    """The area below a curve through the points `y`, at the places `x` or `dx` apart."""
    y, (i,) = arrays_of(y)[0], axes_of("trapezoid", y, axis)
    width = dx
    if x is not None:
        (x,) = arrays_of(x)
        if x.ndim == 1:
            if len(x) != y.shape[i]:
                raise ValueError(f"trapezoid: {len(x)} places for axis {axis} of {y.shape}")
            x = reshape(x, (-1, *[1] * (y.ndim - i - 1)))
        width = diff(x, axis=i - y.ndim)
    return sum(width * (between(y, i, 1, None) + between(y, i, None, -1)) / 2, i)


def running(name: str, join: Callable[[Any, Any], Any], alone: Callable[..., Any]) -> Any:
    """What answers for np.cumsum and np.cumprod.

    By doubling: to sums of 1, 2, 4, … elements those that end before them are added. Sums of
    narrow whole numbers are wide ones, as in NumPy.
    """

    def run(x: Any, axis: int | None = None) -> Any:
        if axis is None:
            return run(ravel(x), 0)
        wide = alone(np.zeros(0, x.dtype)).dtype
        x = x if x.dtype == wide else elementwise.cast(x, dtype=wide)
        (i,) = axes_of(name, x, axis)
        length = 1
        while length < x.shape[i]:
            first, rest = between(x, i, None, length), between(x, i, length, None)
            x = concatenate([first, join(rest, between(x, i, None, -length))], axis=i)
            length *= 2
        return x

    return run


cumsum = running("cumsum", operator.add, np.cumsum)
cumprod = running("cumprod", operator.mul, np.cumprod)


def argsort(x: Any, axis: int | None = -1, kind: str | None = None, *, stable: Any = None) -> Any:
    """Where the elements stand in ascending order; not differentiable.

    Equal ones come as they are, whatever `kind` and `stable` say.
    """
    if axis is None:
        return argsort(ravel(x), 0)
    return reduction.argsort(x, axis=axes_of("argsort", x, axis)[0])


def sort(x: Any, axis: int | None = -1, kind: str | None = None, *, stable: Any = None) -> Any:
    """The elements in ascending order; each one's gradient goes back to where it came from."""
    if axis is None:
        return sort(ravel(x), 0)
    return take_along_axis(x, argsort(x, axis), axis)


def quantile(
    x: Any, q: float | Sequence[float], axis: Axis = None, *, keepdims: bool = False
) -> Any:
    """Below it lies the share `q` of the elements; in between two of them along a line.

    Several `q` give several, along a first axis.
    """
    axes, shares = axes_of("quantile", x, axis), np.asarray(q, float)
    rest = [i for i in range(x.ndim) if i not in axes]
    rows = transpose(floats(x), (*rest, *axes))
    rows = sort(reshape(rows, (*rows.shape[: len(rest)], -1)))
    if not rows.shape[-1] or not ((shares >= 0) & (shares <= 1)).all():
        raise ValueError(f"quantile: q={q} of {x.shape}: from 0 to 1, of at least one element")
    places = shares * (rows.shape[-1] - 1)
    low = np.floor(places).astype(int)
    part = (places - low).astype(rows.dtype)
    first, second = rows[..., low], rows[..., low + (part > 0)]
    with np.errstate(invalid="ignore"):  # inf - inf
        y = elementwise.where(part == 0, first, first + (second - first) * part)
    last = rows[(..., -1, *[None] * shares.ndim)]  # where NaN stands if there is one
    y = elementwise.where(np.isnan(last), last, y)
    y = moveaxis(y, range(len(rest), y.ndim), range(shares.ndim))
    kept = [1 if i in axes else n for i, n in enumerate(x.shape)]
    return reshape(y, (*shares.shape, *kept)) if keepdims else y


def percentile(
    x: Any, q: float | Sequence[float], axis: Axis = None, *, keepdims: bool = False
) -> Any:
    """The `quantile` of q percent."""
    shares: Any = np.asarray(q) / 100
    return quantile(x, shares, axis, keepdims=keepdims)


def median(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """The element in the middle, or the mean of the two there."""
    return quantile(x, 0.5, axis, keepdims=keepdims)


def ptp(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """The way from the smallest element to the largest."""
    return max(x, axis, keepdims=keepdims) - min(x, axis, keepdims=keepdims)
