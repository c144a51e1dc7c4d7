"""Kernels that differ in nothing but the places of their arrays are compiled once."""

from __future__ import annotations

from typing import Any

from tarograd.compiler.fusion import Kernel
from tarograd.compiler.plan import Plan
from tarograd.compiler.program import Value
from tarograd.ops import shape

Spot = tuple[str, int]  # a block of memory, and a byte in it


def described(plan: Plan, kernel: Kernel) -> tuple[Any, list[Spot]]:
    """What a kernel does, and to which arrays.

    Returns:
        a key that is equal for kernels that do the same, and the places of the arrays that it
        reads or writes: the arguments of its function.
    """
    spots: list[Spot] = []
    seen: dict[int, int] = {}

    def array(v: Value) -> tuple[Any, ...]:
        buffer = plan.buffers[id(v)]
        spot = buffer.block, buffer.offset
        if spot not in spots:
            spots.append(spot)
        return "array", spots.index(spot), v.shape, v.dtype.str, buffer.strides, buffer.lanes

    def told(v: Any) -> tuple[Any, ...]:
        if not isinstance(v, Value):
            return type(v).__name__, repr(v)
        if id(v) in seen:
            return "again", seen[id(v)]
        seen[id(v)] = len(seen)
        if id(v) in plan.buffers and plan.kernel.get(id(v)) is not kernel:
            whole = v.operands[0] if v.is_op(shape.index) and not plan.is_computed(v) else v
            return array(v), array(whole)
        attributes = tuple((k, repr(a)) for k, a in sorted(v.attributes.items()))
        inputs = tuple(told(x) for x in v.inputs)
        return v.primitive, inputs, attributes, v.shape, v.dtype.str

    key = tuple(told(v) for v in kernel.values)
    stored = tuple(array(v) if id(v) in plan.stored else None for v in kernel.values)
    return (kernel.kind, kernel.shape, key, stored), spots
