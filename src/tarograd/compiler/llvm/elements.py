"""Elements: what one value is at one index, as LLVM code, whichever way its inputs are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

from tarograd.compiler.llvm import functions
from tarograd.compiler.llvm.alike import Spot
from tarograd.compiler.llvm.words import (
    I1,
    I8,
    I32,
    I64,
    call,
    constant,
    fma,
    index,
    lanes,
    shaped,
    splat,
    type_of,
)
from tarograd.compiler.plan import Kernel, Plan
from tarograd.compiler.program import Value
from tarograd.compiler.trace import Untraceable
from tarograd.graph import Primitive
from tarograd.ops import arithmetic, elementwise, shape

Emit = Callable[[Any, Value, list[Any]], Any]


class Place(NamedTuple):
    """An index along one axis: of one element, or of the first of as many as a vector has."""

    first: Any
    lanes: int = 1


@dataclass
class Elements:
    """Emits elements into the current block of a builder.

    Attributes:
        b: the builder, inside of the innermost loop.
        plan: where the arrays are.
        arrays: the addresses of the arrays, by their places.
        known: elements that have been computed here, by value and index.
        kernel: the one that is being emitted.
    """

    b: Any
    plan: Plan
    arrays: dict[Spot, Any]
    known: dict[Any, Any] = field(default_factory=dict)
    kernel: Kernel | None = None

    def at(self, v: Value, places: Sequence[Place]) -> Any:
        """The element, or the vector of elements, of a value at an index."""
        key = (id(v), tuple((_identity(p.first), p.lanes) for p in places))
        if key not in self.known:
            self.known[key] = self._emit(v, list(places))
        return self.known[key]

    def bind(self, v: Value, places: Sequence[Place], element: Any) -> None:
        """Tell what the element is, because a sum or product has just been computed."""
        key = (id(v), tuple((_identity(p.first), p.lanes) for p in places))
        self.known[key] = element

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
        if v.primitive is None:
            raise Untraceable(f"{v!r} has no place")
        if v.primitive in MOVERS:
            return MOVERS[v.primitive](self, v, places)
        arguments = [
            self.at(x, _repeated(places, x, v)) if isinstance(x, Value) else x for x in v.inputs
        ]
        return EMITTERS[v.primitive](self.b, v, _unified(self.b, v, arguments))

    def _mine(self, v: Value) -> bool:
        """Whether the kernel that is being emitted computes it."""
        return self.plan.kernel.get(id(v)) is self.kernel

    def load(self, v: Value, places: Sequence[Place]) -> Any:
        """Read from memory."""
        b, buffer = self.b, self.plan.buffers[id(v)]
        in_memory = I8 if v.dtype == bool else type_of(v.dtype)
        wide = [i for i, p in enumerate(places) if p.lanes > 1]
        if len(wide) == 1 and (buffer.strides[wide[0]] != 1 or self._may_overrun(v, places[-1])):
            loaded = self._one_by_one(v, places, wide[0])
        elif all(isinstance(p.first, ir.Constant) for p in places) and not wide:
            with b.goto_entry_block():  # the same for all elements: read once
                loaded = b.load(self.pointer(v, [p.first for p in places]), typ=in_memory)
        else:
            kind = ir.VectorType(in_memory, places[wide[0]].lanes) if wide else in_memory
            pointer = self.pointer(v, [p.first for p in places])
            loaded = b.load(pointer, typ=kind, align=v.dtype.itemsize)
        if v.dtype == bool:
            return b.icmp_unsigned("!=", loaded, constant(0, loaded.type))
        return loaded

    def _may_overrun(self, v: Value, last: Place) -> bool:
        """Whether a whole vector could reach beyond the rows of an array without padding."""
        return self.plan.buffers[id(v)].lanes == 1 and v.shape[-1] % last.lanes != 0

    def _one_by_one(self, v: Value, places: Sequence[Place], axis: int) -> Any:
        """A vector of elements that do not lie side by side; padding repeats the last one."""
        b, n = self.b, places[axis].lanes
        kind = I8 if v.dtype == bool else type_of(v.dtype)
        vector = ir.Constant(ir.VectorType(kind, n), ir.Undefined)
        last = index(v.shape[axis] - 1)
        for lane in range(n):
            i = b.add(places[axis].first, index(lane))
            i = b.select(b.icmp_unsigned("<", i, last), i, last)
            firsts = [p.first for p in places]
            firsts[axis] = i
            x = b.load(self.pointer(v, firsts), typ=kind, align=v.dtype.itemsize)
            vector = b.insert_element(vector, x, ir.Constant(I32, lane))
        return vector

    def pointer(self, v: Value, places: Sequence[Any]) -> Any:
        """The address of one element."""
        b, buffer = self.b, self.plan.buffers[id(v)]
        offset, fixed = None, 0
        for i, stride in zip(places, buffer.strides, strict=True):
            if isinstance(i, ir.Constant):
                fixed += int(i.constant) * stride
                continue
            term = i if stride == 1 else b.mul(i, index(stride))
            offset = term if offset is None else b.add(offset, term)
        base = self.arrays[buffer.block, buffer.offset]
        if fixed:
            base = b.gep(base, [index(fixed * v.dtype.itemsize)], source_etype=I8)
        if offset is None:
            return base
        kind = I8 if v.dtype == bool else type_of(v.dtype)
        return b.gep(base, [offset], source_etype=kind)

    def store(self, v: Value, places: Sequence[Place], element: Any) -> None:
        """Write to memory; a vector may reach into the padding of its row."""
        wide = max([p.lanes for p in places], default=1)
        element = splat(self.b, element, wide)
        if v.dtype == bool:
            element = self.b.zext(element, shaped(I8, element))
        pointer = self.pointer(v, [p.first for p in places])
        self.b.store(element, pointer, align=v.dtype.itemsize)


def _identity(i: Any) -> Any:
    return i.constant if isinstance(i, ir.Constant) else i.name


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


def _reshape(e: Elements, v: Value, places: list[Place]) -> Any:
    """Axes of length 1 come and go; anything else is counted out, one element at a time."""
    b, x = e.b, v.operands[0]
    long = [p for p, n in zip(places, v.shape, strict=True) if n != 1]
    if [n for n in v.shape if n != 1] == [n for n in x.shape if n != 1]:
        rest = iter(long)
        return e.at(x, [next(rest) if n != 1 else ONE for n in x.shape])
    if any(p.lanes > 1 for p in places):
        width = max(p.lanes for p in places)
        vector: Any = None
        axis = next(i for i, p in enumerate(places) if p.lanes > 1)
        last = index(v.shape[axis] - 1)
        for lane in range(width):
            i = b.add(places[axis].first, index(lane))
            i = b.select(b.icmp_unsigned("<", i, last), i, last)
            one = e.at(v, [*places[:axis], Place(i), *places[axis + 1 :]])
            if vector is None:
                vector = ir.Constant(ir.VectorType(one.type, width), ir.Undefined)
            vector = b.insert_element(vector, one, ir.Constant(I32, lane))
        return vector
    flat: Any = index(0)
    for place, n in zip(places, v.shape, strict=True):
        flat = b.add(b.mul(flat, index(n)), place.first)
    found = []
    for n in reversed(x.shape):
        found.append(Place(b.urem(flat, index(n))))
        flat = b.udiv(flat, index(n))
    return e.at(x, found[::-1])


def _index(e: Elements, v: Value, places: list[Place]) -> Any:
    """The rows whose numbers stand in an array; the caller has checked these."""
    x, rows = v.operands
    if places[0].lanes > 1:
        raise Untraceable("a gather along a vector")
    row = e.at(rows, places[:1])
    if row.type.width < 64:
        row = e.b.sext(row, I64) if rows.dtype.kind == "i" else e.b.zext(row, I64)
    last = index(x.shape[0] - 1)
    behind = e.b.add(row, index(x.shape[0]))
    row = e.b.select(e.b.icmp_signed("<", row, index(0)), behind, row)
    row = e.b.select(e.b.icmp_unsigned("<", row, last), row, last)  # whatever stands there
    return e.at(x, [Place(row), *places[1:]])


MOVERS: dict[Primitive, Callable[[Elements, Value, list[Place]], Any]] = {
    shape.repeat: _repeat,
    shape.transpose: _transpose,
    shape.reshape: _reshape,
    shape.index: _index,
}
COMPARISONS = {
    elementwise.greater: ">",
    elementwise.greater_equal: ">=",
    elementwise.less: "<",
    elementwise.less_equal: "<=",
    elementwise.equal: "==",
    elementwise.not_equal: "!=",
}


def _common(v: Value) -> np.dtype[Any]:
    """The dtype in which the operation is done."""
    given: list[Any] = [x.dtype if isinstance(x, Value) else x for x in v.inputs]
    if v.primitive in COMPARISONS:
        return np.result_type(*given)
    return v.dtype


def _unified(b: Any, v: Value, arguments: list[Any]) -> list[Any]:
    """The arguments in one dtype and with the same number of lanes."""
    dtype = _common(v)
    width = max([lanes(x) for x in arguments if not isinstance(x, int | float)], default=1)
    unified = []
    for i, (x, given) in enumerate(zip(arguments, v.inputs, strict=True)):
        kind = np.dtype(bool) if v.is_op(elementwise.where) and i == 0 else dtype
        if not isinstance(given, Value):
            x = constant(_number(given, kind), type_of(kind))
        elif not (v.is_op(elementwise.cast) or v.is_op(elementwise.logical_not)):
            x = converted(b, x, given.dtype, kind)
        unified.append(splat(b, x, width))
    return unified


def _number(given: float, dtype: np.dtype[Any]) -> float:
    """A Python number as the operation sees it."""
    if dtype.kind == "b":
        return int(bool(given))
    if dtype.kind == "f":
        return given
    info = np.iinfo(dtype)
    if not info.min <= given <= info.max or given != int(given):
        raise Untraceable(f"the number {given} beside {dtype}")
    return int(given)


def converted(b: Any, x: Any, old: np.dtype[Any], new: np.dtype[Any]) -> Any:
    """An element in another dtype."""
    kind = shaped(type_of(new), x)
    if old == new:
        return x
    if new.kind == "b":
        zero = constant(0, x.type)
        unequal = b.fcmp_unordered if old.kind == "f" else b.icmp_unsigned
        return unequal("!=", x, zero)
    if new.kind == "f":
        if old.kind == "f":
            return b.fpext(x, kind) if new.itemsize > old.itemsize else b.fptrunc(x, kind)
        return b.sitofp(x, kind) if old.kind == "i" else b.uitofp(x, kind)
    if old.kind == "f":
        raise Untraceable(f"a cast from {old} to {new}")
    if old.kind != "b" and new.itemsize <= old.itemsize:
        return b.trunc(x, kind) if new.itemsize < old.itemsize else x
    return b.sext(x, kind) if old.kind == "i" else b.zext(x, kind)


def _arithmetic(of_floats: str, of_integers: str) -> Emit:
    def emit(b: Any, v: Value, x: list[Any]) -> Any:
        if v.dtype.kind == "f":
            return getattr(b, of_floats)(*x)
        if not of_integers or v.dtype == bool:
            raise Untraceable(f"{v.primitive.name if v.primitive else ''} of {v.dtype}")
        return getattr(b, of_integers)(*x)

    return emit


def _divide(b: Any, v: Value, x: list[Any]) -> Any:
    """A / b; a small whole number divided by a constant, such as a pixel by 255, without dividing.

    The quotient by the reciprocal, and one correction by its remainder: that is the rounded one
    (P. Markstein, "Computation of elementary functions on the IBM RISC System/6000", 1990).
    """
    a, divisor = v.inputs
    small = isinstance(a, Value) and a.is_op(elementwise.cast)
    small = small and a.operands[0].dtype in (np.uint8, np.int8, np.bool_)
    if not small or isinstance(divisor, Value) or not divisor or v.dtype != np.float32:
        return b.fdiv(*x)
    inverse = constant(np.float32(1) / np.float32(divisor), x[0].type)
    quotient = b.fmul(x[0], inverse)
    remainder = fma(b, b.fneg(quotient), x[1], x[0])
    return fma(b, remainder, inverse, quotient)


def _compare(sign: str) -> Emit:
    def emit(b: Any, v: Value, x: list[Any]) -> Any:
        dtype = _common(v)
        if dtype.kind == "f":
            return (b.fcmp_unordered if sign == "!=" else b.fcmp_ordered)(sign, *x)
        return (b.icmp_signed if dtype.kind == "i" else b.icmp_unsigned)(sign, *x)

    return emit


def _extreme(sign: str) -> Emit:
    """The larger or smaller; NaN wins, as in NumPy."""

    def emit(b: Any, v: Value, x: list[Any]) -> Any:
        first, second = x
        if v.dtype.kind != "f":
            signed = b.icmp_signed if v.dtype.kind == "i" else b.icmp_unsigned
            return b.select(signed(sign, first, second), first, second)
        plain = b.select(b.fcmp_ordered(sign, first, second), first, second)
        return b.select(b.fcmp_unordered("uno", first, first), first, plain)

    return emit


def _float(function: Callable[[Any, Any], Any]) -> Emit:
    def emit(b: Any, v: Value, x: list[Any]) -> Any:
        if v.dtype not in (np.float32, np.float64):
            raise Untraceable(f"{v.primitive.name if v.primitive else ''} of {v.dtype}")
        return function(b, x[0])

    return emit


def _not(b: Any, v: Value, x: list[Any]) -> Any:
    truth = converted(b, x[0], v.operands[0].dtype, np.dtype(bool))
    return b.xor(truth, constant(1, shaped(I1, truth)))


def _power(b: Any, v: Value, x: list[Any]) -> Any:
    if v.dtype.kind != "f":
        raise Untraceable(f"power of {v.dtype}")
    return call(b, "pow", *x)


EMITTERS: dict[Primitive, Emit] = {
    arithmetic.add: _arithmetic("fadd", "add"),
    arithmetic.subtract: _arithmetic("fsub", "sub"),
    arithmetic.multiply: _arithmetic("fmul", "mul"),
    arithmetic.divide: _divide,
    arithmetic.negative: _arithmetic("fneg", "neg"),
    arithmetic.power: _power,
    elementwise.exp: _float(functions.exp),
    elementwise.log: _float(functions.log),
    elementwise.tanh: _float(functions.tanh),
    elementwise.sqrt: _float(lambda b, x: call(b, "sqrt", x)),
    elementwise.absolute: _float(lambda b, x: call(b, "fabs", x)),
    elementwise.sign: _float(functions.sign),
    elementwise.maximum: _extreme(">"),
    elementwise.minimum: _extreme("<"),
    elementwise.where: lambda b, v, x: b.select(*x),
    elementwise.cast: lambda b, v, x: converted(b, x[0], v.operands[0].dtype, v.dtype),
    elementwise.logical_not: _not,
    elementwise.logical_and: lambda b, v, x: b.and_(*x),
    elementwise.logical_or: lambda b, v, x: b.or_(*x),
    **{primitive: _compare(sign) for primitive, sign in COMPARISONS.items()},
}
