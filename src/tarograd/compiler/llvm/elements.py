"""Elements: what one value is at one index, as LLVM code, whichever way its inputs are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tarograd.compiler.llvm import text as ir
from tarograd.compiler.llvm.alike import Spot
from tarograd.compiler.llvm.keys import is_rows, located
from tarograd.compiler.llvm.operations import EMITTERS, HEAVY, unified
from tarograd.compiler.llvm.share import Share
from tarograd.compiler.llvm.words import (
    I8,
    I64,
    below,
    called,
    constant,
    element,
    index,
    lanes,
    loop,
    memory_type,
    on_the_stack,
    shaped,
    splat,
    type_of,
    vector_type,
)
from tarograd.compiler.llvm.words import Place as Place
from tarograd.compiler.plan import Kernel, Plan
from tarograd.compiler.program import Value
from tarograd.compiler.skipping import lookup, nonzero
from tarograd.compiler.trace import Untraceable
from tarograd.graph import Primitive
from tarograd.ops import shape


@dataclass
class Elements:
    """Emits elements into the current block of a builder.

    Attributes:
        b: the builder, inside of the innermost loop.
        plan: where the arrays are.
        arrays: the addresses of the arrays, by their places.
        known: elements that have been computed here, by value and index.
        share: which part of the work the emitted function does.
        kernel: the one that is being emitted.
        often: whether an operation stands in a block many times.
    """

    b: Any
    plan: Plan
    arrays: dict[Spot, Any]
    share: Share
    known: dict[Any, Any] = field(default_factory=dict)
    kernel: Kernel | None = None
    often: bool = False

    def at(self, v: Value, places: Sequence[Place]) -> Any:
        """The element, or the vector of elements, of a value at an index."""
        key = _key(v, places)
        if key not in self.known:
            self.known[key] = self._emit(v, list(places))
        return self.known[key]

    def bind(self, v: Value, places: Sequence[Place], element: Any) -> None:
        """Tell what the element is, because a sum or product has just been computed."""
        self.known[_key(v, places)] = element

    def finish(self, places: Sequence[Place]) -> None:
        """Compute the values of the kernel at one index, and store those that are needed later."""
        assert self.kernel is not None
        found = [(v, self.at(v, places)) for v in self.kernel.values]
        for v, x in found:
            if id(v) in self.plan.stored:
                self.store(v, places, x)

    def _emit(self, v: Value, places: list[Place]) -> Any:
        if id(v) in self.plan.buffers and not self._mine(v):
            return self.load(v, places)
        if v.primitive in MOVERS:
            return MOVERS[v.primitive](self, v, places)
        if v.is_op(nonzero):
            return _nonzero(self, v, places)
        if v.primitive not in EMITTERS:
            raise Untraceable(f"there is no kernel for {v!r}")
        arguments = [
            self.at(x, _repeated(places, x, v)) if isinstance(x, Value) else x for x in v.inputs
        ]
        given = unified(self.b, v, arguments)
        emit = EMITTERS[v.primitive]
        if not self.often or v.primitive not in HEAVY:
            return emit(self.b, v, given)
        name = f"{v.primitive.name}_{lanes(given[0])}_{element(given[0])}"
        return called(self.b, name, given[0].type, given, lambda b, *x: emit(b, v, list(x)))

    def _mine(self, v: Value) -> bool:
        """Whether the kernel that is being emitted computes it."""
        return self.plan.kernel.get(id(v)) is self.kernel

    def load(self, v: Value, places: Sequence[Place]) -> Any:
        """Read from memory."""
        buffer = self.plan.buffers[id(v)]
        wide = [i for i, p in enumerate(places) if p.lanes > 1]
        if len(wide) == 1 and (buffer.strides[wide[0]] != 1 or self._may_overrun(v, places[-1])):
            return _lane_by_lane(self, self.load, v, places)
        lanes = places[wide[0]].lanes if wide else 1
        pointer = self.pointer(v, [p.first for p in places])
        return self.read(v, pointer, lanes, fixed=not self._written(v))

    def read(self, v: Value, pointer: Any, lanes: int = 1, fixed: bool = False) -> Any:
        """The elements at an address."""
        kind = vector_type(memory_type(v.dtype), lanes)
        loaded = self.b.load(pointer, typ=kind, align=v.dtype.itemsize, fixed=fixed)
        if v.dtype == bool:
            return self.b.icmp_unsigned("!=", loaded, constant(0, kind))
        return loaded

    def _written(self, v: Value) -> bool:
        """Whether the kernel that is being emitted writes where an array lies."""
        assert self.kernel is not None
        stored = (self.plan.buffers[id(x)] for x in self.kernel.values if id(x) in self.plan.stored)
        return self.plan.buffers[id(v)] in stored

    def _may_overrun(self, v: Value, last: Place) -> bool:
        """Whether a whole vector could reach beyond the rows of an array without padding."""
        return self.plan.buffers[id(v)].lanes == 1 and v.shape[-1] % last.lanes != 0

    def pointer(self, v: Value, places: Sequence[Any]) -> Any:
        """The address of one element."""
        b, buffer = self.b, self.plan.buffers[id(v)]
        place, fixed = self.arrays[buffer.block, buffer.offset], 0
        for i, stride in zip(places, buffer.strides, strict=True):
            if isinstance(i, ir.Constant):
                fixed += int(i.constant) * stride
                continue
            i = i if stride == 1 else b.mul(i, index(stride))
            place = b.gep(place, [i], source_etype=memory_type(v.dtype))
        if fixed:
            place = b.gep(place, [index(fixed * v.dtype.itemsize)], source_etype=I8)
        return place

    def store(self, v: Value, places: Sequence[Place], element: Any) -> None:
        """Write to memory; a vector may reach into the padding of its row."""
        if v.is_op(nonzero):
            lanes = index(v.attributes["lanes"])
            places = [Place(self.b.udiv(places[1].first, lanes)), Place(places[0].first)]
        pointer = self.pointer(v, [p.first for p in places])
        self.write(v, pointer, element, max([p.lanes for p in places], default=1))

    def write(self, v: Value, pointer: Any, element: Any, lanes: int) -> None:
        """Write to an address."""
        element = splat(self.b, element, lanes)
        if v.dtype == bool:
            element = self.b.zext(element, shaped(I8, element))
        self.b.store(element, pointer, align=v.dtype.itemsize)


def _key(v: Value, places: Sequence[Place]) -> tuple[Any, ...]:
    return id(v), *((p.first.name, p.lanes) for p in places)


ONE = Place(index(0))


def _repeated(places: list[Place], x: Value, v: Value) -> list[Place]:
    """The index into x, which is repeated to the shape of v."""
    new = len(v.shape) - len(x.shape)
    sizes = zip(places[new:], x.shape, v.shape[new:], strict=True)
    return [p if n == m else ONE for p, n, m in sizes]


def _repeat(e: Elements, v: Value, places: list[Place]) -> Any:
    x = v.operands[0]
    return e.at(x, _repeated(places, x, v))


def _transpose(e: Elements, v: Value, places: list[Place]) -> Any:
    axes = v.attributes["axes"]
    return e.at(v.operands[0], [places[axes.index(i)] for i in range(len(axes))])


def _lane_by_lane(
    e: Elements, element: Callable[[Value, list[Place]], Any], v: Value, places: Sequence[Place]
) -> Any:
    """A vector whose elements are found one after the other; padding repeats the last one."""
    b, kind = e.b, memory_type(v.dtype)
    axis = next(i for i, p in enumerate(places) if p.lanes > 1)
    width, last = places[axis].lanes, index(v.shape[axis] - 1)
    room = on_the_stack(b, kind, width)
    with loop(b, width) as lane:
        i = b.add(places[axis].first, lane)
        i = b.select(b.icmp_unsigned("<", i, last), i, last)
        one = element(v, [*places[:axis], Place(i), *places[axis + 1 :]])
        e.write(v, b.gep(room, [lane], source_etype=kind), one, 1)
    return e.read(v, room, width)


def _reshape(e: Elements, v: Value, places: list[Place]) -> Any:
    """Axes of length 1 come and go; anything else is counted out, one element at a time."""
    b, x = e.b, v.operands[0]
    long = [p for p, n in zip(places, v.shape, strict=True) if n != 1]
    if [n for n in v.shape if n != 1] == [n for n in x.shape if n != 1]:
        rest = iter(long)
        return e.at(x, [next(rest) if n != 1 else ONE for n in x.shape])
    if any(p.lanes > 1 for p in places):
        return _lane_by_lane(e, e.at, v, places)
    flat: Any = index(0)
    for place, n in zip(places, v.shape, strict=True):
        flat = b.add(b.mul(flat, index(n)), place.first)
    found = []
    for n in reversed(x.shape):
        found.append(Place(b.urem(flat, index(n))))
        flat = b.udiv(flat, index(n))
    return e.at(x, found[::-1])


def _index(e: Elements, v: Value, places: list[Place]) -> Any:
    """Some elements; whole vectors only where the last axis is as it was."""
    x, *arrays = v.operands
    if any(p.lanes > 1 for p in places):
        if not is_rows(v) or places[0].lanes > 1:
            return _lane_by_lane(e, e.at, v, places)
        row = located(e, v, arrays, x.shape, [Place(p.first) for p in places])[0]
        return e.at(x, [row, *places[1:]])
    return e.at(x, located(e, v, arrays, x.shape, places))


def _lookup(e: Elements, v: Value, places: list[Place]) -> Any:
    """The element of a table that a byte names."""
    table, places_in_it = v.operands
    return e.at(table, [Place(e.b.zext(e.at(places_in_it, places), I64))])


def _nonzero(e: Elements, v: Value, places: list[Place]) -> Any:
    """A bit for each lane; none for the padding."""
    b, x = e.b, v.operands[0]
    n, columns = places[1].lanes, x.shape[1]
    element = e.at(x, places)
    unequal = b.fcmp_unordered if x.dtype.kind == "f" else b.icmp_unsigned
    found = unequal("!=", element, constant(0, element.type))
    if columns % n:
        found = b.and_(found, below(b, places[1].first, columns, n))
    kind = type_of(v.dtype)
    bits = b.bitcast(found, ir.integer(n))
    return b.zext(bits, kind) if n < kind.width else bits


MOVERS: dict[Primitive, Callable[[Elements, Value, list[Place]], Any]] = {
    shape.repeat: _repeat,
    shape.transpose: _transpose,
    shape.reshape: _reshape,
    shape.index: _index,
    lookup: _lookup,
}
