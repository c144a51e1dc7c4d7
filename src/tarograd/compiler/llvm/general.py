"""Kernels for any shape: joined and scattered arrays, places of maxima, stacks of products.

They are not written for speed.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from tarograd.compiler.layout import lanes_of
from tarograd.compiler.llvm.elements import ONE, Elements
from tarograd.compiler.llvm.keys import located
from tarograd.compiler.llvm.operations import converted
from tarograd.compiler.llvm.words import (
    Place,
    accumulate,
    constant,
    fma,
    index,
    loop,
    splat,
    type_of,
)
from tarograd.compiler.plan import Kernel
from tarograd.compiler.program import Value
from tarograd.ops import shape


def join_kernel(e: Elements, kernel: Kernel) -> None:
    """Concatenate, stack and pad: each input is copied to its place."""
    b, v = e.b, kernel.values[0]
    if v.is_op(shape.pad):
        filling = constant(v.attributes["value"], type_of(v.dtype))
        with ExitStack() as stack:
            e.store(v, [Place(stack.enter_context(loop(b, n))) for n in v.shape], filling)
    start = 0
    for i, x in enumerate(v.inputs):
        if not isinstance(x, Value) or 0 in x.shape:
            continue
        e.known.clear()
        with ExitStack() as stack:
            places = [Place(stack.enter_context(loop(b, n))) for n in x.shape]
            element = converted(b, e.at(x, places), x.dtype, v.dtype)
            e.store(v, _moved(b, v, places, i, start), element)
        start += x.shape[v.attributes["axis"]] if v.is_op(shape.concatenate) else 0
    e.known.clear()


def _moved(b: Any, v: Value, places: list[Place], number: int, start: int) -> list[Place]:
    """Where the element at `places` of an input stands in the result."""

    def after(place: Place, n: int) -> Place:
        return Place(b.add(place.first, index(n))) if n else place

    if v.is_op(shape.pad):
        widths = v.attributes["widths"]
        return [after(p, before) for p, (before, _) in zip(places, widths, strict=True)]
    axis = v.attributes["axis"]
    if v.is_op(shape.stack):
        return [*places[:axis], Place(index(number)), *places[axis:]]
    return [*places[:axis], after(places[axis], start), *places[axis + 1 :]]


def argmax_kernel(e: Elements, kernel: Kernel) -> None:
    """The place of the first largest element; the first NaN is larger than all, as in NumPy."""
    b, v = e.b, kernel.values[0]
    x, axis = v.operands[0], v.attributes["axis"]
    axes = list(range(len(x.shape))) if axis is None else [axis % len(x.shape)]
    kept = [i for i in range(len(x.shape)) if i not in axes]

    def visit(left: list[int], places: dict[int, Place], flat: Any, carried: list[Any]) -> Any:
        if left:

            def body(i: Any, values: list[Any]) -> list[Any]:
                deeper = b.add(b.mul(flat, index(x.shape[left[0]])), i)
                inner: list[Any] = visit(left[1:], {**places, left[0]: Place(i)}, deeper, values)
                return inner

            return accumulate(b, x.shape[left[0]], 1, carried, body)
        e.known.clear()
        best, found = carried
        element = e.at(x, [places[i] for i in sorted(places)])
        larger = is_larger(b, x, element, best)
        return [b.select(larger, element, best), b.select(larger, flat, found)]

    with ExitStack() as stack:
        outer = {i: Place(stack.enter_context(loop(b, x.shape[i]))) for i in kept}
        e.known.clear()
        first = e.at(x, [outer.get(i, ONE) for i in range(len(x.shape))])
        _, found = visit(axes, outer, index(0), [first, index(0)])
        e.known.clear()
        e.bind(v, [outer[i] for i in kept], found)
        e.finish([outer[i] for i in kept])


def is_larger(b: Any, x: Value, element: Any, best: Any) -> Any:
    """Whether an element of x is the new maximum; the first NaN is."""
    if x.dtype.kind != "f":
        return (b.icmp_signed if x.dtype.kind == "i" else b.icmp_unsigned)(">", element, best)
    first_nan = b.and_(b.fcmp_unordered("uno", element, element), b.fcmp_ordered("ord", best, best))
    return b.or_(b.fcmp_ordered(">", element, best), first_nan)


def batched_kernel(e: Elements, kernel: Kernel) -> None:
    """A product for each place of a stack of matrices: four rows at a time."""
    b, v = e.b, kernel.values[0]
    left, right = v.operands
    *dims, rows, columns = v.shape
    wide = lanes_of(columns, e.plan.widest)
    zero = splat(b, constant(0.0, type_of(v.dtype)), wide)
    for top, height, count in ((0, 4, rows // 4), (rows // 4 * 4, rows % 4, 1)):
        if not height or not count:
            continue
        with ExitStack() as stack:
            outer = [Place(stack.enter_context(loop(b, n))) for n in dims]
            i = stack.enter_context(loop(b, count * height, height))
            j = Place(stack.enter_context(loop(b, columns, wide)), wide)
            places = [Place(b.add(i, index(top + r))) for r in range(height)]

            def body(k: Any, sums: list[Any], places: Any = places, outer: Any = outer,
                     j: Any = j) -> list[Any]:  # fmt: skip
                e.known.clear()
                row = splat(b, e.at(right, [*outer, Place(k), j]), wide)
                elements = [e.at(left, [*outer, p, Place(k)]) for p in places]
                pairs = zip(elements, sums, strict=True)
                return [fma(b, splat(b, x, wide), row, total) for x, total in pairs]

            sums = accumulate(b, left.shape[-1], 1, [zero] * height, body)
            e.known.clear()
            for place, total in zip(places, sums, strict=True):
                e.bind(v, [*outer, place, j], total)
                e.finish([*outer, place, j])


def scatter_kernel(e: Elements, kernel: Kernel) -> None:
    """Zeros, then the elements added one after the other, in the order of NumPy's `add.at`."""
    b, v = e.b, kernel.values[0]
    x, *arrays = v.operands
    with ExitStack() as stack:
        places = [Place(stack.enter_context(loop(b, n))) for n in v.shape]
        e.store(v, places, constant(0, type_of(v.dtype)))
    if 0 in x.shape:
        return
    e.known.clear()
    with ExitStack() as stack:
        places = [Place(stack.enter_context(loop(b, n))) for n in x.shape]
        target = located(e, v, arrays, v.shape, places)
        element = converted(b, e.at(x, places), x.dtype, v.dtype)
        if v.dtype.kind == "b":
            e.store(v, target, element)
        else:
            pointer = e.pointer(v, [p.first for p in target])
            before = b.load(pointer, typ=type_of(v.dtype), align=v.dtype.itemsize)
            e.store(v, target, (b.fadd if v.dtype.kind == "f" else b.add)(before, element))
    e.known.clear()
