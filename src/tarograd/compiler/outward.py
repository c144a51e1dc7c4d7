"""Outward: transposes and reshapes after what they are followed by, so that it reads in order.

A product has a row for each pixel, and a user who turns that into images works on images that lie
pixel by pixel: every read of them would jump. The same elements come out if what follows is done
in the order of the product, and turned afterwards; there the ReLU is a part of the product:

    >>> import tarograd as tg
    >>> from tarograd.compiler.lower import lower
    >>> from tarograd.compiler.trace import trace
    >>> def shop(boxes, prices):
    ...     return (boxes @ prices).T.relu().sum(axis=0) * 2
    >>> program = trace(shop, {"boxes": np.ones((3, 2)), "prices": np.ones((2, 4))})
    >>> print(outward(lower(program)))
    v0 = input boxes(3, 2) float64
    v1 = input prices(2, 4) float64
    v2 = matmul(v0, v1) (3, 4) float64
    v3 = maximum(v2, 0) (3, 4) float64
    v4 = sum(v3) {'axis': (1,), 'keepdims': False}(3,) float64
    v5 = multiply(v4, 2) (3,) float64
    return v5
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from tarograd.compiler.placing import placed, spelled_out
from tarograd.compiler.program import Program, Value, fed, rebuilt
from tarograd.compiler.rewrite import rewrite
from tarograd.graph import Primitive
from tarograd.ops import arithmetic, elementwise, reduction, shape

ELEMENTWISE = {
    primitive
    for module in (arithmetic, elementwise)
    for primitive in vars(module).values()
    if isinstance(primitive, Primitive)
}
Axes = tuple[int, ...]


def outward(program: Program) -> Program:
    """Move transposes and reshapes behind what can be computed before them.

    Results are computed as they are returned.
    """
    results = {id(v) for v in program.outputs.values()}
    moved = False

    def change(value: Value, inputs: tuple[Any, ...]) -> Value:
        nonlocal moved
        v = fed(value, inputs)
        new = v if id(value) in results else _outward(v)
        moved = moved or new is not v
        return new

    new = rebuilt(program, change)
    return rewrite(new) if moved else program


def _outward(v: Value) -> Value:
    """The value, with what moves its elements behind everything else."""
    x = v.operands[0] if v.operands else v
    if v.primitive in ELEMENTWISE:
        v = _elementwise(v)
    elif v.is_op(placed):
        v = _placed(v)
    elif v.is_op(shape.transpose):
        v = turned(x, v.attributes["axes"]) if x.is_op(shape.transpose) else v
    elif v.is_op(shape.reshape):
        v = _reshaped(x, v)
    elif x.is_op(shape.transpose) and v.primitive in OF_TURNED and len(v.operands) == 1:
        v = OF_TURNED[v.primitive](v, x)
    return v


def turned(x: Value, axes: Sequence[int]) -> Value:
    """A transpose, as one with the transpose before it."""
    axes = tuple(axes)
    if x.is_op(shape.transpose):
        inner: Axes = x.attributes["axes"]
        return turned(x.operands[0], [inner[i] for i in axes])
    if axes == tuple(range(len(axes))):
        return x
    dims = tuple(x.shape[i] for i in axes)
    return Value(dims, x.dtype, shape.transpose, (x,), {"axes": axes}, group=x.group)


def _inverse(axes: Axes) -> Axes:
    return tuple(int(i) for i in np.argsort(axes))


def _elementwise(v: Value) -> Value:
    """All operands are turned alike, or repeated; or all are reshaped alike, or one number."""
    if not v.shape or any(x.shape not in ((), v.shape) for x in v.operands):
        return v
    first = next((x for x in v.operands if x.is_op(shape.transpose)), None)
    if first is not None:
        axes: Axes = first.attributes["axes"]
        inputs = [_turned_back(x, axes) if isinstance(x, Value) else x for x in v.inputs]
        if None in inputs:
            return v
        dims = first.operands[0].shape
        return turned(_outward(replace(v, inputs=tuple(inputs), shape=dims, name=None)), axes)
    first = next((x for x in v.operands if x.is_op(shape.reshape)), None)
    if first is None or first.operands[0].primitive is None:
        return v
    dims = first.operands[0].shape
    inputs = [_shaped_back(x, dims) if isinstance(x, Value) else x for x in v.inputs]
    if None in inputs:
        return v
    return shaped(_outward(replace(v, inputs=tuple(inputs), shape=dims, name=None)), v.shape)


def _turned_back(x: Value, axes: Axes) -> Value | None:
    """What is `x` after it has been turned; None if that would take a loop of its own."""
    if not x.shape:
        return x
    if x.is_op(shape.transpose):
        return x.operands[0] if x.attributes["axes"] == axes else None
    back = _inverse(axes)
    if x.array is not None:
        return turned(x, back)
    if not x.is_op(shape.repeat):
        return None
    (small,) = x.operands
    small = shaped(small, (1,) * (len(x.shape) - len(small.shape)) + small.shape)
    dims = tuple(x.shape[i] for i in back)
    return replace(x, inputs=(turned(small, back),), shape=dims, attributes={"shape": dims})


def _shaped_back(x: Value, dims: Axes) -> Value | None:
    """What is `x` after it has been given its shape, from this one."""
    if not x.shape:
        return x
    if x.is_op(shape.reshape):
        return x.operands[0] if x.operands[0].shape == dims else None
    if x.is_op(shape.repeat) and prod(x.operands[0].shape) == 1:
        small = shaped(x.operands[0], ())
        return replace(x, inputs=(small,), shape=dims, attributes={"shape": dims})
    return None


def shaped(x: Value, dims: Axes) -> Value:
    """A reshape, as one with the reshape before it."""
    if x.is_op(shape.reshape):
        return shaped(x.operands[0], dims)
    if x.shape == dims:
        return x
    return Value(dims, x.dtype, shape.reshape, (x,), {"shape": dims}, group=x.group)


def _reshaped(x: Value, v: Value) -> Value:
    """A reshape that keeps together what was turned is done before it."""
    groups = _groups(x.shape, v.shape)
    if not x.is_op(shape.transpose) or groups is None:
        return shaped(x, v.shape) if x.is_op(shape.reshape) else v
    axes: Axes = x.attributes["axes"]
    order: list[list[int]] = []  # the groups as they follow each other before the transpose
    for old, _ in groups:
        before = [axes[i] for i in old]
        if before != list(range(before[0], before[0] + len(before))):
            return shaped(x, v.shape)
        order.append(before)
    numbers = sorted(range(len(groups)), key=order.__getitem__)
    dims = tuple(v.shape[i] for n in numbers for i in groups[n][1])
    starts, count = {}, 0
    for n in numbers:
        starts[n] = count
        count += len(groups[n][1])
    back = [starts[n] + k for n, (_, new) in enumerate(groups) for k in range(len(new))]
    return turned(_outward(shaped(x.operands[0], dims)), back)


def _groups(old: Axes, new: Axes) -> list[tuple[list[int], list[int]]] | None:
    """The axes of two shapes in groups that have the same elements; None if a length is 0.

    Example:
        >>> _groups((2, 12, 5), (2, 3, 4, 5))
        [([0], [0]), ([1], [1, 2]), ([2], [3])]
    """
    if 0 in old or not old or not new:
        return None
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(old):
        ours, theirs = [i], [j] if j < len(new) else []
        a, b = old[i], new[j] if theirs else 1
        i, j = i + 1, j + len(theirs)
        while a != b:
            if a < b:
                a, i = a * old[i], i + 1
                ours.append(i - 1)
            else:
                b, j = b * new[j], j + 1
                theirs.append(j - 1)
        groups.append((ours, theirs))
    groups[-1][1].extend(range(j, len(new)))  # of length 1
    return groups


def _repeated(v: Value, x: Value) -> Value:
    more = len(v.shape) - len(x.shape)
    axes = (*range(more), *(i + more for i in x.attributes["axes"]))
    dims = tuple(v.shape[i] for i in _inverse(axes))
    how = {"shape": dims}
    return turned(replace(v, inputs=x.inputs, shape=dims, attributes=how, name=None), axes)


def _reduced(v: Value, x: Value) -> Value:
    axes, gone = x.attributes["axes"], v.attributes["axis"]
    inner = tuple(sorted(axes[i] for i in gone))
    left = [i for i in range(len(axes)) if v.attributes["keepdims"] or i not in inner]
    after = [left.index(axes[i]) for i in range(len(axes)) if axes[i] in left]
    dims = tuple(v.shape[after.index(i)] for i in range(len(after)))
    how = {**v.attributes, "axis": inner}
    return turned(replace(v, inputs=x.inputs, shape=dims, attributes=how, name=None), after)


def _turned_key(key: Any, axes: Axes) -> tuple[tuple[Any, ...], Axes] | None:
    """The key of what was not turned yet, and how the result is to be turned."""
    parts = spelled_out(key, len(axes))
    if None in parts:
        return None
    back = _inverse(axes)
    kept = [i for i in range(len(axes)) if isinstance(parts[back[i]], slice)]
    after = tuple(kept.index(axis) for axis in axes if axis in kept)
    return tuple(parts[i] for i in back), after


def _indexed(v: Value, x: Value) -> Value:
    found = _turned_key(v.attributes["key"], x.attributes["axes"])
    if found is None:
        return v
    key, after = found
    dims = tuple(v.shape[after.index(i)] for i in range(len(after)))
    how = {**v.attributes, "key": key}
    return turned(replace(v, inputs=x.inputs, shape=dims, attributes=how, name=None), after)


def _placed(v: Value) -> Value:
    """All arrays are turned alike, and so is what they are put into."""
    axes = _order(v)
    if axes is None:
        return v
    found = [_turned_key(key, axes) for key in v.attributes["keys"]]
    inputs = [f and _turned_back(x, f[1]) for x, f in zip(v.operands, found, strict=True)]
    if None in inputs:
        return v
    dims = tuple(v.shape[i] for i in _inverse(axes))
    how = {**v.attributes, "keys": tuple(f[0] for f in found if f), "shape": dims}
    return turned(replace(v, inputs=tuple(inputs), shape=dims, attributes=how, name=None), axes)


def _order(v: Value) -> Axes | None:
    """How what arrays are put into would be turned if the first array that is turned were not.

    A new axis follows the one that it follows now, but that along which the arrays lie stays last.
    """
    pairs = zip(v.operands, v.attributes["keys"], strict=True)
    x, key = next((p for p in pairs if p[0].is_op(shape.transpose)), (None, ()))
    parts = spelled_out(key, len(v.shape))
    if x is None or None in parts:
        return None
    kept = [i for i, part in enumerate(parts) if isinstance(part, slice)]
    order = [kept[i] for i in _inverse(x.attributes["axes"])]
    for i in range(len(parts)):
        if i not in kept:
            order.insert(min(order.index(i - 1) + 1, len(order) - 1) if i else 0, i)
    return _inverse(tuple(order))


# What becomes of a transpose that is followed by one of these.
OF_TURNED = {
    shape.repeat: _repeated,
    shape.index: _indexed,
    reduction.sum: _reduced,
    reduction.max: _reduced,
    reduction.min: _reduced,
    reduction.prod: _reduced,
}
