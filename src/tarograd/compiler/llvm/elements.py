"""Elements: what one value is at one index, as LLVM code, whichever way its inputs are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from tarograd.compiler.fusion import Kernel
from tarograd.compiler.layout import Buffer
from tarograd.compiler.llvm import text as ir
from tarograd.compiler.llvm.alike import Spot
from tarograd.compiler.llvm.keys import located, of_arrays_in
from tarograd.compiler.llvm.operations import EMITTERS, HEAVY, unified
from tarograd.compiler.llvm.share import Share
from tarograd.compiler.llvm.words import (
    I1,
    I8,
    I32,
    I64,
    Digit,
    assembled,
    below,
    called,
    constant,
    index,
    lanes,
    loop,
    masked,
    memory_type,
    on_the_stack,
    shaped,
    smaller,
    splat,
    vector_type,
)
from tarograd.compiler.llvm.words import Place as Place
from tarograd.compiler.plan import Plan
from tarograd.compiler.program import Value
from tarograd.compiler.skipping import lookup
from tarograd.compiler.trace import Untraceable
from tarograd.graph import Primitive
from tarograd.ops import shape


class Tail(NamedTuple):
    """Which lanes count, in a loop of vectors of which the last one is not full.

    Attributes:
        size: how many elements the loop has.
        first: of the vector at hand.
        lanes: of a vector.
    """

    size: int
    first: Any
    lanes: int

    def mask(self, b: Any) -> Any:
        """A bit for each lane."""
        return below(b, self.first, self.size, self.lanes)

    def last(self, b: Any) -> Any:
        """The number of the last lane that counts."""
        return smaller(b, b.sub(index(self.size - 1), self.first), index(self.lanes - 1))


def tail_of(size: int, first: Any, lanes: int) -> Tail | None:
    """Which lanes count, in a loop over `size` elements; None if all do."""
    return Tail(size, first, lanes) if size % lanes else None


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
        tail: which lanes count, where the last vector of a loop is not full.
    """

    b: Any
    plan: Plan
    arrays: dict[Spot, Any]
    share: Share
    known: dict[Any, Any] = field(default_factory=dict)
    kernel: Kernel | None = None
    often: bool = False
    tail: Tail | None = None

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
        if v.primitive not in EMITTERS:
            raise Untraceable(f"there is no kernel for {v!r}")
        given = unified(self.b, v, self.operands(v, places))
        emit = EMITTERS[v.primitive]
        if not self.often or v.primitive not in HEAVY:
            return emit(self.b, v, given)
        name = f"{v.primitive.name}_{lanes(given[0])}_{v.dtype}"
        return called(self.b, name, given[0].type, given, lambda b, *x: emit(b, v, list(x)))

    def operands(self, v: Value, places: list[Place]) -> list[Any]:
        """What an elementwise value is computed of at an index."""
        return [
            self.at(x, _repeated(places, x, v)) if isinstance(x, Value) else x for x in v.inputs
        ]

    def _mine(self, v: Value) -> bool:
        """Whether the kernel that is being emitted computes it."""
        return self.plan.kernel.get(id(v)) is self.kernel

    def load(self, v: Value, places: Sequence[Place]) -> Any:
        """Read from memory."""
        b, (lanes, stride) = self.b, self._lanes(v, places)
        if stride != 1:
            return self._read_apart(v, self._lanes_apart(v, places, stride), lanes)
        pointer = self.pointer(v, [p.first for p in places])
        if self.tail is not None and lanes > 1 and self._may_overrun(v, places):
            kind, mask = vector_type(memory_type(v.dtype), lanes), self.tail.mask(b)
            return self._true(v, masked(b, "load", kind, pointer, mask, align=v.dtype.itemsize))
        return self.read(v, pointer, lanes, fixed=not self._written(v))

    def read(self, v: Value, pointer: Any, lanes: int = 1, fixed: bool = False) -> Any:
        """The elements at an address."""
        kind = vector_type(memory_type(v.dtype), lanes)
        loaded = self.b.load(pointer, typ=kind, align=v.dtype.itemsize, fixed=fixed)
        return self._true(v, loaded)

    def _written(self, v: Value) -> bool:
        """Whether the kernel that is being emitted writes where an array lies."""
        return self.plan.buffers[id(v)] in self._targets

    @cached_property
    def _targets(self) -> frozenset[Buffer]:
        """Where the kernel writes: found once, since it may compute thousands of values."""
        assert self.kernel is not None
        stored = (x for x in self.kernel.values if id(x) in self.plan.stored)
        return frozenset(self.plan.buffers[id(x)] for x in stored)

    def _true(self, v: Value, loaded: Any) -> Any:
        """What stands in memory as an element."""
        return (
            self.b.icmp_unsigned("!=", loaded, constant(0, loaded.type))
            if v.dtype == bool
            else loaded
        )

    def _lanes(self, v: Value, places: Sequence[Place]) -> tuple[int, int]:
        """How many lanes there are, and elements in memory from one to the next."""
        for i, place in enumerate(places):
            if place.lanes > 1:
                return place.lanes, self.plan.buffers[id(v)].strides[i] * place.step
        return 1, 1

    def _may_overrun(self, v: Value, places: Sequence[Place]) -> bool:
        """Whether the last vector, which is not full, could reach beyond the rows of an array."""
        last, buffer = places[-1], self.plan.buffers[id(v)]
        whole = last.whole and len(last.digits) == 1 and last.lanes > 1
        if not whole or buffer.lanes % last.lanes:
            return True
        return self.tail is None or v.shape[-1] != self.tail.size

    def _lanes_apart(self, v: Value, places: Sequence[Place], stride: int) -> Any:
        """The addresses of lanes that are not beside each other in memory."""
        n = max(p.lanes for p in places)
        pointer = self.pointer(v, [p.first for p in places])
        apart = ir.Constant(ir.VectorType(I64, n), [index(i * stride) for i in range(n)])
        kind = memory_type(v.dtype)
        if self.tail is None:
            return [self.b.gep(pointer, [i], source_etype=kind) for i in apart.constant]
        text = f"getelementptr {kind}, {pointer.typed}, {apart.typed}"
        return self.b.emit(ir.VectorType(ir.POINTER, n), text)

    def _read_apart(self, v: Value, pointers: Any, n: int) -> Any:
        """A vector of lanes that are not beside each other; nothing is read for its padding."""
        b, kind = self.b, vector_type(memory_type(v.dtype), n)
        if self.tail is not None:
            mask, size = self.tail.mask(b), v.dtype.itemsize
            return self._true(v, masked(b, "gather", kind, pointers, mask, align=size))
        x = ir.Constant(kind, ir.Undefined)
        size, fixed = v.dtype.itemsize, not self._written(v)
        for i, pointer in enumerate(pointers):
            one = b.load(pointer, typ=memory_type(v.dtype), align=size, fixed=fixed)
            x = b.insert_element(x, one, ir.Constant(I32, i))
        return self._true(v, x)

    def gather(self, v: Value, places: Sequence[Any], n: int) -> Any:
        """Read n elements, at places that are vectors or the same for all."""
        b, buffer = self.b, self.plan.buffers[id(v)]
        kind = vector_type(memory_type(v.dtype), n)
        offset = constant(0, ir.VectorType(I64, n))
        for i, stride in zip(places, buffer.strides, strict=True):
            i = splat(b, i, n)
            offset = b.add(offset, i if stride == 1 else b.mul(i, constant(stride, i.type)))
        base = self.arrays[buffer.block, buffer.offset]
        text = f"getelementptr {memory_type(v.dtype)}, {base.typed}, {offset.typed}"
        pointers = b.emit(ir.VectorType(ir.POINTER, n), text)
        mask = self.tail.mask(b) if self.tail else constant(1, ir.VectorType(I1, n))
        return self._true(v, masked(b, "gather", kind, pointers, mask, align=v.dtype.itemsize))

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
        n, stride = self._lanes(v, places)
        if stride != 1:
            self._write_apart(v, self._lanes_apart(v, places, stride), splat(self.b, element, n))
            return
        pointer = self.pointer(v, [p.first for p in places])
        if self.tail is not None and n > 1 and self._may_overrun(v, places):
            element = self._in_memory(v, splat(self.b, element, n))
            given = element, self.tail.mask(self.b)
            masked(self.b, "store", element.type, pointer, *given, align=v.dtype.itemsize)
        else:
            self.write(v, pointer, element, n)

    def write(self, v: Value, pointer: Any, element: Any, lanes: int) -> None:
        """Write to an address."""
        element = self._in_memory(v, splat(self.b, element, lanes))
        self.b.store(element, pointer, align=v.dtype.itemsize)

    def _in_memory(self, v: Value, element: Any) -> Any:
        return self.b.zext(element, shaped(I8, element)) if v.dtype == bool else element

    def _write_apart(self, v: Value, pointers: Any, element: Any) -> None:
        """The lanes of a vector to places that are not beside each other, without its padding."""
        b, element = self.b, self._in_memory(v, element)
        if self.tail is not None:
            given = element, self.tail.mask(b)
            masked(b, "scatter", element.type, pointers, *given, align=v.dtype.itemsize)
            return
        for i, pointer in enumerate(pointers):
            one = b.extract_element(element, ir.Constant(I32, i))
            b.store(one, pointer, align=v.dtype.itemsize)

    def cut(self, digit: Digit, size: int) -> tuple[Digit, Digit] | None:
        """A digit as two, the second one below `size`; None if a vector would lie across."""
        b, n = self.b, index(size)
        if digit.lanes > 1 and (size % digit.lanes or digit.of):
            return None
        low = Digit(b.urem(digit.value, n), size, digit.lanes)
        return Digit(b.udiv(digit.value, n), digit.size // size), low


def _key(v: Value, places: Sequence[Place]) -> tuple[Any, ...]:
    return id(v), *[
        p.first.name if p.lanes == 1 else (p.first.name, p.lanes, p.step) for p in places
    ]


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


def _lane_by_lane(e: Elements, v: Value, places: Sequence[Place]) -> Any:
    """A vector whose elements are found one after the other; padding repeats the last one."""
    b, kind = e.b, memory_type(v.dtype)
    axis = next(i for i, p in enumerate(places) if p.lanes > 1)
    place = places[axis]
    room = on_the_stack(b, kind, place.lanes)
    with loop(b, place.lanes) as lane:
        inside = lane if e.tail is None else smaller(b, lane, e.tail.last(b))
        i = b.add(place.first, inside if place.step == 1 else b.mul(inside, index(place.step)))
        one = e.at(v, [*places[:axis], Place(i), *places[axis + 1 :]])
        e.write(v, b.gep(room, [lane], source_etype=kind), one, 1)
    return e.read(v, room, place.lanes)


def _reshape(e: Elements, v: Value, places: list[Place]) -> Any:
    """The digits of which the places are made, put together to those of the other shape."""
    digits: list[Digit] = []
    for place, n in zip(places, v.shape, strict=True):
        if place.digits and place.whole:
            digits += place.digits
        else:
            digits.append(Digit(place.first, n, place.lanes, of=place))
    x = v.operands[0]
    groups = _regrouped(e, digits, x.shape)
    if groups is not None:
        return e.at(x, [assembled(e.b, group) for group in groups])
    if any(p.lanes > 1 for p in places):
        return _lane_by_lane(e, v, places)
    flat, found = assembled(e.b, digits).first, list[Place]()
    for n in reversed(x.shape):
        found.append(Place(e.b.urem(flat, index(n))))
        flat = e.b.udiv(flat, index(n))
    return e.at(x, found[::-1])


def _regrouped(
    e: Elements, digits: Sequence[Digit], dims: Sequence[int]
) -> list[list[Digit]] | None:
    """The digits of each axis of another shape; None if one of them would lie across two axes."""
    left, groups = [d for d in digits if d.size > 1], list[list[Digit]]()
    for n in reversed(dims):
        group: list[Digit] = []
        while n > 1:
            d = left.pop()
            if n % d.size:
                parts = e.cut(d, n) if d.size % n == 0 else None
                if parts is None:
                    return None
                left.append(parts[0])
                d = parts[1]
            group.insert(0, d)
            n //= d.size
        groups.insert(0, group)
    return groups


def _index(e: Elements, v: Value, places: list[Place]) -> Any:
    """Some elements; whole vectors but along the axes of index arrays."""
    x, *arrays = v.operands
    key = v.attributes["key"]
    first, count = of_arrays_in(key, arrays, len(x.shape))
    n = max([p.lanes for p in places[first : first + count]], default=1)
    if n > 1 and id(x) not in e.plan.buffers:
        return _lane_by_lane(e, v, places)
    found = located(e, key, arrays, x.shape, places)
    return e.gather(x, [p.first for p in found], n) if n > 1 else e.at(x, found)


def _lookup(e: Elements, v: Value, places: list[Place]) -> Any:
    """The element of a table that a byte names."""
    table, places_in_it = v.operands
    return e.at(table, [Place(e.b.zext(e.at(places_in_it, places), I64))])


MOVERS: dict[Primitive, Callable[[Elements, Value, list[Place]], Any]] = {
    shape.repeat: _repeat,
    shape.transpose: _transpose,
    shape.reshape: _reshape,
    shape.index: _index,
    lookup: _lookup,
}
