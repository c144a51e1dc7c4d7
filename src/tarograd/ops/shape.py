"""Nodes that move elements: Repeat ⇄ Sum, reshape, transpose, index ⇄ scatter, joining, padding.

Each rule is the node that moves the gradient back the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tarograd.graph import Array, Primitive


def _repeat(x: Array, *, shape: tuple[int, ...]) -> Any:
    return np.broadcast_to(x, shape)


def _sum_to(x: Array, *, shape: tuple[int, ...]) -> Any:
    """Sum over the axes that Repeat would have made from `shape`."""
    new = x.ndim - len(shape)
    stretched = tuple(i + new for i, n in enumerate(shape) if n == 1 and x.shape[i + new] != 1)
    return x.sum(axis=(*range(new), *stretched)).reshape(shape)


# The book's Repeat node: copies of x along new or stretched axes; backward is Sum.
repeat: Primitive = Primitive(
    name="repeat",
    symbol="Repeat",
    forward=_repeat,
    vjp=(lambda g, y, x, shape: sum_to(g, shape=x.shape),),
)

# The book's Sum node, Repeat the other way round; backward is Repeat.
sum_to: Primitive = Primitive(
    name="sum_to",
    symbol="Sum",
    forward=_sum_to,
    vjp=(lambda g, y, x, shape: repeat(g, shape=x.shape),),
)


def _reshape(x: Array, *, shape: tuple[int, ...]) -> Any:
    return x.reshape(shape)


# The same elements in another shape.
reshape: Primitive = Primitive(
    name="reshape",
    symbol="reshape",
    forward=_reshape,
    vjp=(lambda g, y, x, shape: reshape(g, shape=x.shape),),
)


def _transpose(x: Array, *, axes: tuple[int, ...]) -> Any:
    return x.transpose(axes)


def _inverse(axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


# The axes in another order; backward puts them back.
transpose: Primitive = Primitive(
    name="transpose",
    symbol="T",
    forward=_transpose,
    vjp=(lambda g, y, x, axes: transpose(g, axes=_inverse(axes)),),
)

# Stands in an index key for the next of the node's index arrays.
ARRAY = "array"


def fill_key(key: tuple[Any, ...], arrays: tuple[Array, ...]) -> tuple[Any, ...]:
    """The key that NumPy understands: each ARRAY replaced by the next of `arrays`."""
    rest = iter(arrays)
    return tuple(next(rest) if part is ARRAY else part for part in key)


def _index(x: Array, *arrays: Array, key: tuple[Any, ...]) -> Any:
    return x[fill_key(key, arrays)]


def _scatter(
    x: Array, *arrays: Array, key: tuple[Any, ...], shape: tuple[int, ...], dtype: DTypeLike
) -> Any:
    y = np.zeros(shape, dtype)
    if arrays:
        np.add.at(y, fill_key(key, arrays), x)  # an element that was taken twice gets both shares
    else:
        y[key] = x
    return y


def _index_rule(g: Any, y: Any, x: Any, *arrays: Any, key: tuple[Any, ...]) -> tuple[Any, ...]:
    back = scatter(g, *arrays, key=key, shape=x.shape, dtype=x.dtype)
    return (back, *[None] * len(arrays))


def _scatter_rule(g: Any, y: Any, x: Any, *arrays: Any, key: Any, **_: Any) -> tuple[Any, ...]:
    return (index(g, *arrays, key=key), *[None] * len(arrays))


# Some elements of x. The arrays of the key are inputs, since they are data.
index = Primitive(name="index", symbol="[ ]", forward=_index, vjp=_index_rule)

# Zeros, with the elements of x added at the places of the key: index the other way round.
scatter: Primitive = Primitive(
    name="scatter", symbol="scatter", forward=_scatter, vjp=_scatter_rule
)


def _concatenate(*xs: Array, axis: int) -> Any:
    return np.concatenate(xs, axis)


def _concatenate_rule(g: Any, y: Any, *xs: Any, axis: int) -> tuple[Any, ...]:
    before = (slice(None),) * axis
    ends = [0, *accumulate(x.shape[axis] for x in xs)]
    pieces = [(*before, slice(start, end)) for start, end in pairwise(ends)]
    return tuple(g[piece] for piece in pieces)


# The arrays one after the other along an axis; each gets its piece of the gradient.
concatenate = Primitive(
    name="concatenate",
    symbol="concat",
    forward=_concatenate,
    vjp=_concatenate_rule,
    promotes=True,
)


def _stack(*xs: Array, axis: int) -> Any:
    return np.stack(xs, axis)


def _stack_rule(g: Any, y: Any, *xs: Any, axis: int) -> tuple[Any, ...]:
    slices = [(*(slice(None),) * axis, i) for i in range(len(xs))]
    return tuple(g[place] for place in slices)


# The arrays side by side along a new axis.
stack = Primitive(name="stack", symbol="stack", forward=_stack, vjp=_stack_rule, promotes=True)


def _pad(x: Array, *, widths: tuple[tuple[int, int], ...], value: float) -> Any:
    return np.pad(x, widths, constant_values=value)


def _pad_rule(g: Any, y: Any, x: Any, widths: Any, value: float) -> Any:
    return g[tuple(slice(w, w + n) for (w, _), n in zip(widths, x.shape, strict=True))]


# x within a margin of a constant; the margin's gradient is dropped.
pad = Primitive(name="pad", symbol="pad", forward=_pad, vjp=(_pad_rule,))
