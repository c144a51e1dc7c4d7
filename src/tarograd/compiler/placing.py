"""Placing: concatenate, stack, pad and the gradients of slices are arrays within another one.

The gradient of the first of five apples is 1 at its place, and 0 elsewhere:

    >>> import tarograd as tg
    >>> from tarograd.compiler.trace import trace
    >>> program = trace(lambda apples: tg.grad(apples[0], apples), {"apples": np.ones(5)})
    >>> (gradient,) = program.outputs.values()
    >>> gradient = placing(program)(gradient, gradient)
    >>> gradient.primitive.name, gradient.attributes["keys"], gradient.attributes["value"]
    ('placed', ((0,),), 0)

The gradient of an array of which several slices were taken is a sum of gradients that are zero but
for a slice; written out it would be an array of zeros for each of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tarograd.compiler.program import Program, Value
from tarograd.graph import Array, Primitive
from tarograd.ops import arithmetic, shape

Key = tuple[Any, ...]


def _placed(
    *xs: Array, keys: tuple[Key, ...], shape: tuple[int, ...], dtype: DTypeLike, value: float
) -> Array:
    y, written = np.full(shape, value, dtype), np.zeros(shape, bool)
    for x, key in zip(xs, keys, strict=True):
        y[key] = np.where(written[key], y[key] + x, x)
        written[key] = True
    return y


# Arrays at places of a new one, whose other elements are `value`; where several come, their sum.
placed = Primitive(name="placed", symbol="[ ]", forward=_placed)


def placing(program: Program) -> Callable[[Value, Value], Value]:
    """A function that writes all that puts arrays into another one, and sums of such, as `placed`.

    Its arguments are a value of the program, and the same with inputs that are written so.
    """
    uses = Counter(id(x) for v in program.order() for x in v.operands)
    uses.update(id(v) for v in program.outputs.values())

    def place(value: Value, new: Value) -> Value:
        if new.is_op(arithmetic.add):
            return _together(new) if all(uses[id(x)] == 1 for x in value.operands) else new
        keys = _keys(new)
        if keys is None:
            return new
        how = {"keys": keys, "shape": new.shape, "dtype": new.dtype}
        how["value"] = new.attributes.get("value", 0)
        return replace(new, primitive=placed, attributes=how)

    return place


def _keys(v: Value) -> tuple[Key, ...] | None:
    """Where the inputs stand in the result; None if there is more to it."""
    if v.is_op(shape.scatter) and len(v.inputs) == 1:
        return (v.attributes["key"],)
    if v.is_op(shape.pad):
        pairs = zip(v.attributes["widths"], v.operands[0].shape, strict=True)
        return (tuple(slice(before, before + n) for (before, _), n in pairs),)
    if v.is_op(shape.stack):
        before = (slice(None),) * v.attributes["axis"]
        return tuple((*before, i) for i in range(len(v.inputs)))
    if v.is_op(shape.concatenate):
        axis = v.attributes["axis"]
        before = (slice(None),) * axis
        lengths = [x.shape[axis] for x in v.operands]
        ends = accumulate(lengths)
        return tuple((*before, slice(end - n, end)) for end, n in zip(ends, lengths, strict=True))
    return None


def _together(v: Value) -> Value:
    """The sum of two that are zero elsewhere as one, where the same is added in the same order."""
    a, b = (x if isinstance(x, Value) and x.is_op(placed) else None for x in v.inputs)
    if a is None or b is None or v.dtype.kind != "f":
        return v
    a, b = (b, a) if len(a.inputs) == 1 else (a, b)
    if len(b.inputs) > 1 or a.attributes["value"] or b.attributes["value"]:
        return v
    how = {**a.attributes, "keys": a.attributes["keys"] + b.attributes["keys"]}
    return replace(v, primitive=placed, inputs=a.inputs + b.inputs, attributes=how)


def area(key: Key, dims: tuple[int, ...]) -> list[range]:
    """The places along each axis that a key names.

    Example:
        >>> area((..., slice(None, None, 2), 1), (3, 4, 5))
        [range(0, 3), range(0, 4, 2), range(1, 2)]
    """
    parts = [p for p in spelled_out(key, len(dims)) if p is not None]
    return [
        range(n)[p] if isinstance(p, slice) else range(int(p) % n, int(p) % n + 1)
        for p, n in zip(parts, dims, strict=True)
    ]


def size(places: list[range]) -> int:
    """How many elements there are in an area."""
    return prod(map(len, places))


def disjoint(one: list[range], other: list[range]) -> bool:
    """Whether two areas have no element in common."""
    return any(set(a).isdisjoint(b) for a, b in zip(one, other, strict=True))


def spelled_out(key: Key, axes: int) -> list[Any]:
    """The key with as many slices in place of the Ellipsis as there are axes left.

    Example:
        >>> spelled_out((..., None, 0), 3)
        [slice(None, None, None), slice(None, None, None), None, 0]
    """
    taken = sum(part is not None and part is not Ellipsis for part in key)
    rest = [slice(None)] * (axes - taken)
    parts: list[Any] = []
    for part in key:
        parts.extend(rest if part is Ellipsis else [part])
    return parts if any(part is Ellipsis for part in key) else parts + rest
