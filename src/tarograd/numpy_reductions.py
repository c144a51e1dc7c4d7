"""NumPy's reductions, spelled with the primitives; see numpy_functions.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tarograd.numpy_elementwise import floats
from tarograd.numpy_shapes import Axis, arrays_of, axes_of, broadcast_to, diagonal, expand_dims
from tarograd.ops import elementwise, reduction


def sum(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """Sum over `axis`, by default over all elements."""
    return reduction.sum(x, axis=axes_of("sum", x, axis), keepdims=keepdims)


def mean(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """Mean over `axis`."""
    return reduction.mean(x, axis=axes_of("mean", x, axis), keepdims=keepdims)


def max(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """Largest element along `axis`; equal ones share the gradient."""
    return reduction.max(x, axis=axes_of("max", x, axis), keepdims=keepdims)


def min(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """Smallest element along `axis`; equal ones share the gradient."""
    return reduction.min(x, axis=axes_of("min", x, axis), keepdims=keepdims)


def prod(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """Product along `axis`, with the right gradient at zeros too."""
    return reduction.prod(x, axis=axes_of("prod", x, axis), keepdims=keepdims)


def argmax(x: Any, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """Where the largest element stands; not differentiable."""
    y = reduction.argmax(x, axis=axis)
    return expand_dims(y, axes_of("argmax", x, axis)) if keepdims else y


def argmin(x: Any, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """Where the smallest element stands; not differentiable."""
    # Of whole numbers not all have a negative; of floats nan is no equal of itself.
    among = -x if x.dtype.kind == "f" else x == min(x, axis, keepdims=True)
    return argmax(among, axis, keepdims=keepdims)


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """Sum over the diagonal of two axes."""
    return sum(diagonal(x, offset, axis1, axis2), -1)


def average(x: Any, axis: Axis = None, weights: Any = None, *, keepdims: bool = False) -> Any:
    """Mean over `axis`, each element times its weight; `weights` of the shape of x or the axis."""
    if weights is None:
        return mean(x, axis, keepdims=keepdims)
    (w,) = arrays_of(weights)
    axes = axes_of("average", x, axis)
    if w.shape != x.shape:
        if w.ndim != 1 or [x.shape[i] for i in axes] != [*w.shape]:
            raise ValueError(
                f"average: weights of the shape {w.shape} fit neither {x.shape} "
                f"nor axis {axis} of it"
            )
        w = broadcast_to(expand_dims(w, range(1, x.ndim - axes[0])), x.shape)
    w = w if x.dtype.kind == "f" else floats(w)
    return sum(x * w, axes, keepdims=keepdims) / sum(w, axes, keepdims=keepdims)


def var(x: Any, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
    """Variance: the mean squared distance from the mean, over n - `ddof`, which is at least 0."""
    axes = axes_of("var", x, axis)
    distance = x - mean(x, axes, keepdims=True)
    left = math.prod(x.shape[i] for i in axes) - ddof
    return sum(distance * distance, axes, keepdims=keepdims) / (left if left > 0 else 0)


def std(x: Any, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Any:
    """Standard deviation: the root of the variance. Of equal elements the slope is taken as 0."""
    return _root(var(x, axis, ddof=ddof, keepdims=keepdims), 2)


def _root(x: Any, degree: float) -> Any:
    """A root whose slope at 0 is 0."""
    positive = x != 0  # of NaN too
    y = elementwise.where(positive, x, 1)
    y = elementwise.sqrt(y) if degree == 2 else y ** (1 / degree)
    return elementwise.where(positive, y, 0)


def nansum(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """Sum of those that are not NaN."""
    return sum(elementwise.where(np.isnan(x), 0, x), axis, keepdims=keepdims)


def nanmean(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Any:
    """Mean of those that are not NaN."""
    total = nansum(x, axis, keepdims=keepdims)
    count = sum(elementwise.logical_not(np.isnan(x)), axis, keepdims=keepdims)
    return total / floats(count).astype(total.dtype)


def norm(x: Any, ord: float | str | None = None, axis: Axis = None, keepdims: bool = False) -> Any:
    """Euclidean length along `axis` (by default of all elements), or the one of another `ord`.

    At the zero vector the gradient is taken as 0.
    """
    axes = axes_of("norm", x, axis)
    vector = len(axes) == 1 and isinstance(ord, int | float) and ord > 0
    if not vector and ord not in ((None, "fro") if len(axes) == 2 else (None,)):
        raise TypeError(
            f"norm: ord={ord!r} over the axes {axes} of the shape {x.shape} has no rule; "
            "None has, of vectors also numbers above 0 and inf, of matrices also 'fro'"
        )
    x = floats(x)
    if ord == 1:
        return sum(elementwise.absolute(x), axes, keepdims=keepdims)
    if ord == np.inf:
        return max(elementwise.absolute(x), axes, keepdims=keepdims)
    if isinstance(ord, int | float) and ord != 2:
        return _root(sum(elementwise.absolute(x) ** ord, axes, keepdims=keepdims), ord)
    return _root(sum(x * x, axes, keepdims=keepdims), 2)
