"""Kernels: the loop nests of a plan as LLVM functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tarograd.compiler.fusion import Kernel
from tarograd.compiler.llvm import text as ir
from tarograd.compiler.llvm.alike import Spot, described
from tarograd.compiler.llvm.elements import ONE, Elements, Place
from tarograd.compiler.llvm.general import (
    argmax_kernel,
    is_larger,
    join_kernel,
    scatter_kernel,
)
from tarograd.compiler.llvm.nest import At, Nest, explored
from tarograd.compiler.llvm.operations import EMITTERS, converted
from tarograd.compiler.llvm.philox import draw_kernel
from tarograd.compiler.llvm.product import product_kernel
from tarograd.compiler.llvm.share import Share
from tarograd.compiler.llvm.skip import bits_kernel, visits_kernel
from tarograd.compiler.llvm.turn import is_turn, read_columns, store_columns, turn_kernel
from tarograd.compiler.llvm.words import (
    I8,
    I64,
    across,
    constant,
    in_parts,
    index,
    splat,
    type_of,
    vector_type,
)
from tarograd.compiler.plan import Plan
from tarograd.compiler.program import Value
from tarograd.graph import Primitive
from tarograd.ops import arithmetic, elementwise, reduction

# What a sum, and a maximum, does with one element more.
SUMS: dict[Primitive | None, Primitive] = {
    reduction.sum: arithmetic.add,
    reduction.max: elementwise.maximum,
    reduction.min: elementwise.minimum,
    reduction.prod: arithmetic.multiply,
}


@dataclass
class Call:
    """The function of a kernel: how many units its work has, and where its arrays are."""

    kernel: Kernel
    function: Any
    units: int
    spots: list[Spot]

    def emit(self, b: Any, blocks: Mapping[str, Any], first: Any, last: Any) -> None:
        """Let the units from `first` to before `last` be done, with arrays in these blocks."""
        places = [b.gep(blocks[name], [index(at)], source_etype=I8) for name, at in self.spots]
        b.call(self.function, [*places, first, last])


def emit_kernels(module: Any, plan: Plan, target: Any) -> list[Call]:
    """Write the functions of all kernels, one for those that do the same with other arrays."""
    known: dict[Any, tuple[Any, int]] = {}
    calls = []
    for i, kernel in enumerate(plan.kernels):
        key, spots = described(plan, kernel)
        if key not in known:
            name = f"kernel{i}_{kernel.kind}"
            known[key] = _emit_kernel(module, plan, kernel, name, target, spots)
        calls.append(Call(kernel, *known[key], spots))
    return calls


def _emit_kernel(
    module: Any, plan: Plan, kernel: Kernel, name: str, target: Any, spots: list[Spot]
) -> tuple[Any, int]:
    """Write the function of a kernel, and count its units; there is one at least.

    Its arguments are the addresses of its arrays, and which of its units it is to do: from the
    first to before the last.
    """
    kinds = [*[ir.POINTER] * len(spots), I64, I64]
    function = ir.Function(module, ir.VOID, kinds, name)
    function.linkage = "internal"
    *arrays, first, last = function.args
    for argument in arrays:
        argument.add_attribute("noalias")
    b = ir.IRBuilder(function.append_basic_block("entry"))
    share = Share(first, last)
    elements = Elements(b, plan, dict(zip(spots, arrays, strict=True)), share)
    elements.kernel = kernel
    if kernel.kind == "matmul":
        product_kernel(elements, kernel, target)
    elif 0 not in kernel.shape:
        KERNELS[kernel.kind](elements, kernel)
    b.ret()
    return function, max(share.units, 1)


def _loop(e: Elements, kernel: Kernel) -> None:
    """Elements: the loops over the axes."""
    if is_turn(e, kernel):
        turn_kernel(e, kernel)
        return
    axes = range(len(kernel.shape))
    nest = explored(e, kernel.shape, lambda dry, places: dry.finish(places))
    with nest.loops(e, axes) as values:
        e.finish([nest.place(e.b, axis, values) for axis in axes])


def _combine(e: Elements, v: Value) -> Callable[[Any, Any], Any]:
    primitive = SUMS[v.primitive]
    return lambda a, c: EMITTERS[primitive](e.b, v, [a, c])


def _identity(v: Value) -> Any:
    """What changes nothing: 0 for a sum, 1 for a product, the lowest number for a maximum."""
    if v.primitive in (reduction.sum, reduction.prod):
        return int(v.is_op(reduction.prod))
    if v.dtype.kind == "f":
        return float("-inf") if v.is_op(reduction.max) else float("inf")
    ends = (0, 1) if v.dtype.kind == "b" else (np.iinfo(v.dtype).min, np.iinfo(v.dtype).max)
    return ends[v.is_op(reduction.min)]


def _reduce(e: Elements, kernel: Kernel) -> None:
    """Sums, maxima, minima: the kept axes outside, the reduced ones inside, in a fixed order."""
    b, v = e.b, kernel.values[0]
    x, axes = v.operands[0], v.attributes["axis"]
    kept = [i for i in range(len(x.shape)) if i not in axes]

    def left(places: list[Place]) -> list[Place]:
        if v.attributes["keepdims"]:
            return [p if i in kept else ONE for i, p in enumerate(places)]
        return [places[i] for i in kept]

    def touch(dry: Elements, places: list[Place]) -> None:
        dry.bind(v, left(places), dry.at(x, places))
        dry.finish(left(places))

    nest = explored(e, x.shape, touch)
    with nest.loops(e, kept) as values:
        total = _inner(e, v, nest, nest.order(axes), values)
        if nest.vector and nest.vector[0] in axes:
            total, e.tail = across(b, total, _combine(e, v)), None
        ones = {(a, i): index(0) for a in axes for i in range(len(nest.sizes[a]))}
        out = left([nest.place(b, a, ones | values) for a in range(len(x.shape))])
        e.known.clear()
        e.bind(v, out, total)
        e.finish(out)


def _rows(e: Elements, kernel: Kernel) -> None:
    """Rows with what is computed of their sums and maxima, such as a softmax: one in each lane.

    The last vector may overlap the one before it, and computes some rows once more.
    """
    b, (rows, columns) = e.b, kernel.shape
    e.often = True
    n = 1 << min(rows, e.plan.widest).bit_length() - 1
    with e.share.over(b, -(-rows // n)) as i:
        first, last = b.mul(i, index(n)), index(rows - n)
        within = b.select(b.icmp_unsigned("<", first, last), first, last)
        row = Place(within if rows > n else index(0), n)
        line = [[row, Place(index(j))] for j in range(columns)]
        e.known.clear()
        for x in e.plan.reads[kernel].values():
            if x.shape == kernel.shape and e.plan.buffers[id(x)].lanes > 1:
                for places, column in zip(line, read_columns(e, x, row), strict=True):
                    e.bind(x, places, column)
        for v in kernel.values:
            if v.shape == kernel.shape:
                elements = [e.at(v, places) for places in line]
                if id(v) in e.plan.stored:
                    store_columns(e, v, row, elements)
                continue
            single = [row, ONE][: len(v.shape)]
            if v.primitive in SUMS:
                e.bind(v, single, _sum_of_line(e, v, line))
            elif v.is_op(reduction.argmax):
                e.bind(v, single, _best_of_line(e, v, line))
            element = e.at(v, single)
            if id(v) in e.plan.stored:
                e.store(v, single, element)


def _sum_of_line(e: Elements, v: Value, line: list[list[Place]]) -> Any:
    """The sum, or the maximum, over the columns: of two neighbors, of four, and so on."""
    b, x, combine = e.b, v.operands[0], _combine(e, v)
    parts = [converted(b, e.at(x, places), x.dtype, v.dtype) for places in line]
    while len(parts) > 1:
        pairs = zip(parts[::2], parts[1::2], strict=False)
        parts = [combine(*pair) for pair in pairs] + parts[len(parts) // 2 * 2 :]
    return parts[0]


def _best_of_line(e: Elements, v: Value, line: list[list[Place]]) -> Any:
    """The column of the maximum: of the first one, or of the first NaN, as in NumPy."""
    b, x = e.b, v.operands[0]
    kind = vector_type(type_of(v.dtype), line[0][0].lanes)
    best, found = e.at(x, line[0]), constant(0, kind)
    for j, places in enumerate(line[1:], 1):
        element = e.at(x, places)
        larger = is_larger(b, x, element, best)
        best = b.select(larger, element, best)
        found = b.select(larger, constant(j, kind), found)
    return found


def _inner(e: Elements, v: Value, nest: Nest, digits: list[At], values: dict[At, Any]) -> Any:
    """The sum over some axes, one loop inside the other: each is one of the inner one's sums."""
    if not digits:
        return _term(e, v, nest, values)
    b, combine, (at, *rest) = e.b, _combine(e, v), digits
    nothing = splat(b, constant(_identity(v), type_of(v.dtype)), nest.lanes)

    def body(i: Any, sums: list[Any]) -> list[Any]:
        nest.start_vector(e, at, i)
        here = values | {at: i}
        return [combine(sums[0], _inner(e, v, nest, rest, here))]

    return in_parts(b, nest.size(at), nest.step(at), [nothing], combine, body)[0]


def _term(e: Elements, v: Value, nest: Nest, values: dict[At, Any]) -> Any:
    """What is added."""
    b, x = e.b, v.operands[0]
    e.known.clear()
    places = [nest.place(b, axis, values) for axis in range(len(x.shape))]
    value = splat(b, converted(b, e.at(x, places), x.dtype, v.dtype), nest.lanes)
    if e.tail and nest.vector and nest.vector[0] in v.attributes["axis"]:
        # What the last vector has too much, replaced by what changes nothing.
        value = b.select(e.tail.mask(b), value, constant(_identity(v), value.type))
    return value


def _alone(emit: Callable[[Elements, Kernel], None]) -> Callable[[Elements, Kernel], None]:
    """The kernel as one unit of work, which no two threads share."""

    def emit_alone(e: Elements, kernel: Kernel) -> None:
        with e.share.over(e.b, 1):
            emit(e, kernel)

    return emit_alone


KERNELS: dict[str, Callable[[Elements, Kernel], None]] = {
    "loop": _loop,
    "reduce": _reduce,
    "argmax": argmax_kernel,
    "draw": draw_kernel,
    "join": join_kernel,
    "scatter": _alone(scatter_kernel),
    "bits": bits_kernel,
    "visits": visits_kernel,
    "rows": _rows,
}
