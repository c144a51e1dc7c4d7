"""The vocabulary of the emitter: types, constants, loops and vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from tarograd.compiler.llvm import text as ir
from tarograd.compiler.trace import Untraceable

I1, I8, I32, I64 = (ir.integer(n) for n in (1, 8, 32, 64))
# Writes what a function gives, from its arguments.
Writer = Callable[..., Any]
# The next values that a loop carries, from its index and the last ones.
Sums = Callable[[Any, list[Any]], list[Any]]
AT_ONCE = 64  # terms that are added to one sum
FLOATS = {np.dtype(np.float32): ir.FLOAT, np.dtype(np.float64): ir.DOUBLE}


class Digit(NamedTuple):
    """One of the numbers of which an index is made, as 47 is of 4 and 7: from 0 to below `size`.

    Attributes:
        value: the number, or the first of as many as a vector has.
        size: what it is below.
        lanes: of the vector.
        of: the place whose number it is, if that counts something else than 0, 1, 2 and so on.
    """

    value: Any
    size: int
    lanes: int = 1
    of: Place | None = None


class Place(NamedTuple):
    """An index along one axis: of one element, or of the first of as many as a vector has.

    Attributes:
        first: the number.
        lanes: how many elements there are.
        digits: what the number is made of, if that is known, the one that changes fastest last.
        scale: what the number made of the digits was multiplied with, before something was added.
        whole: whether it is nothing but its digits: neither multiplied nor added to.
    """

    first: Any
    lanes: int = 1
    digits: tuple[Digit, ...] = ()
    scale: int = 1
    whole: bool = True

    @property
    def step(self) -> int:
        """From one lane to the next."""
        if self.lanes == 1:
            return 1
        for digit, unit in self.units():
            if digit.lanes > 1:
                return unit * (digit.of.step if digit.of else 1)
        return self.scale

    def units(self) -> Iterator[tuple[Digit, int]]:
        """Each digit, and how much 1 of it is."""
        unit = self.scale
        for digit in reversed(self.digits):
            yield digit, unit
            unit *= digit.size


def type_of(dtype: np.dtype[Any]) -> Any:
    """The LLVM type of one element; a bool is one bit."""
    if dtype.kind == "b":
        return I1
    if dtype in FLOATS:
        return FLOATS[dtype]
    if dtype.kind in "iu":
        return ir.integer(8 * dtype.itemsize)
    raise Untraceable(f"there is no machine type for {dtype}")


def memory_type(dtype: np.dtype[Any]) -> Any:
    """The LLVM type of one element in memory, where a bool has eight bits."""
    return I8 if dtype.kind == "b" else type_of(dtype)


def lanes(value: Any) -> int:
    """How many elements an LLVM value holds: 1 for a scalar."""
    return value.type.count if isinstance(value.type, ir.VectorType) else 1


def shaped(scalar: Any, like: Any) -> Any:
    """The type with as many lanes as `like` has."""
    return vector_type(scalar, lanes(like))


def vector_type(scalar: Any, n: int) -> Any:
    """The type of n lanes."""
    return scalar if n == 1 else ir.VectorType(scalar, n)


def element(value: Any) -> Any:
    """The type of one lane."""
    return value.type.element if isinstance(value.type, ir.VectorType) else value.type


def constant(number: Any, of: Any) -> Any:
    """A number in a type, in each lane of a vector."""
    return ir.Constant(of, number)


def index(number: int) -> Any:
    """A constant place."""
    return ir.Constant(I64, number)


def splat(b: Any, value: Any, n: int) -> Any:
    """The scalar in each of n lanes; a vector stays as it is."""
    if n == 1 or lanes(value) == n:
        return value
    if isinstance(value, ir.Constant):
        return constant(value.constant, ir.VectorType(value.type, n))
    empty = ir.Constant(ir.VectorType(value.type, n), ir.Undefined)
    one = b.insert_element(empty, value, ir.Constant(I32, 0))
    return b.shuffle_vector(one, empty, ir.Constant(ir.VectorType(I32, n), 0))


def counted(kind: Any, n: int) -> Any:
    """The vector 0, 1, … of n whole numbers."""
    return ir.Constant(ir.VectorType(kind, n), [ir.Constant(kind, i) for i in range(n)])


def below(b: Any, first: Any, length: int, n: int) -> Any:
    """Which of the n indices from `first` on are below `length`."""
    kind = I32 if length < 2**31 else I64  # the narrower one fits into as few registers as float32
    start = first if kind is I64 else b.trunc(first, I32)
    places = b.add(splat(b, start, n), counted(kind, n))
    return b.icmp_unsigned("<", places, constant(length, places.type))


def smaller(b: Any, i: Any, j: Any) -> Any:
    """The smaller one of two places."""
    return b.select(b.icmp_unsigned("<", i, j), i, j)


def assembled(b: Any, digits: Sequence[Digit]) -> Place:
    """The number made of its digits."""
    long = [d for d in digits if d.size > 1]
    if len(long) == 1 and long[0].of:
        return long[0].of
    first = long[0].value if long else index(0)
    for d in long[1:]:
        first = b.add(b.mul(first, index(d.size)), d.value)
    return Place(first, max([d.lanes for d in long], default=1), tuple(long))


def masked(b: Any, name: str, kind: Any, pointers: Any, *rest: Any, align: int) -> Any:
    """Read or write only the lanes of a mask: LLVM's masked load, store, gather or scatter."""
    many, one = kind.count, f"{'f' if kind.element in FLOATS.values() else 'i'}{kind.element.width}"
    place = f"v{many}p0" if lanes(pointers) > 1 else "p0"
    writing = name in ("store", "scatter")
    given = [*rest[:-1], pointers] if writing else [pointers]
    given += [ir.Constant(I32, align), rest[-1]]
    given += [] if writing else [constant(0, kind)]
    result = ir.VOID if writing else kind
    return b.call_known(f"llvm.masked.{name}.v{many}{one}.{place}", result, given)


def prefetch(b: Any, address: Any, cache: int, writing: bool = False) -> None:
    """Ask for a cache line, to be there when it is needed; `cache` 1 is the nearest, and small."""
    how = (ir.Constant(I32, i) for i in (int(writing), 4 - cache, 1))
    b.call_known("llvm.prefetch.p0", ir.VOID, [address, *how])


def on_the_stack(b: Any, kind: Any, count: int) -> Any:
    """The address of room for `count` elements while the function runs."""
    with b.goto_entry_block():
        return b.emit(ir.POINTER, f"alloca {kind}, i64 {count}, align 64")


def call(b: Any, name: str, *arguments: Any) -> Any:
    """One of LLVM's functions of numbers that are alike, such as llvm.sqrt."""
    kind, one = arguments[0].type, element(arguments[0])
    many = f"v{kind.count}" if isinstance(kind, ir.VectorType) else ""
    suffix = f"{many}{'f' if one in FLOATS.values() else 'i'}{one.width}"
    return b.call_known(f"llvm.{name}.{suffix}", kind, arguments)


def called(b: Any, name: str, result: Any, arguments: Sequence[Any], write: Writer) -> Any:
    """What a function gives that is written at its first call: LLVM translates it only once."""
    known = b.module.globals.get(name)
    if known is None:
        known = ir.Function(b.module, result, [a.type for a in arguments], name)
        known.linkage = "internal"
        inner = ir.IRBuilder(known.append_basic_block("entry"))
        inner.ret(write(inner, *known.args))
    return b.call(known, arguments)


def fma(b: Any, x: Any, y: Any, z: Any) -> Any:
    """X y + z, in one rounding where the processor can."""
    return call(b, "fmuladd", x, y, z)


@contextmanager
def between(b: Any, start: Any, stop: Any, step: int = 1) -> Iterator[Any]:
    """Emit the `with` block as the body of a loop over start, start + step … below `stop`."""
    before, body, done = b.block, b.append_basic_block("loop"), b.append_basic_block("done")
    certain = isinstance(start, ir.Constant) and isinstance(stop, ir.Constant)  # and start < stop
    body.enter(before, certain)
    if certain:
        b.branch(body)
    else:
        b.cbranch(b.icmp_signed("<", start, stop), body, done)
    b.position_at_end(body)
    i = arriving(b, [(start, before)])
    yield i
    following = b.add(i, index(step))
    i.add_incoming(following, b.block)
    b.cbranch(b.icmp_signed("<", following, stop), body, done)
    b.position_at_end(done)


def arriving(b: Any, ways: Sequence[tuple[Any, Any]]) -> Any:
    """What is one of several values: each with the block from which the control comes then."""
    phi = b.phi(ways[0][0].type)
    for value, block in ways:
        phi.add_incoming(value, block)
    return phi


@contextmanager
def loop(b: Any, stop: int, step: int = 1) -> Iterator[Any]:
    """Emit the `with` block as the body of a loop over 0, step, 2 step … below `stop` > 0."""
    if stop <= step:
        yield index(0)
        return
    with between(b, index(0), index(stop), step) as i:
        yield i


def accumulate(b: Any, stop: int, step: int, start: Sequence[Any], body: Sums) -> list[Any]:
    """A loop that carries values: `body(i, values)` gives their next ones."""
    if stop <= 0:
        return list(start)
    if stop <= step:
        return body(index(0), list(start))
    return _carrying(b, index(stop), step, start, body)[0]


def in_parts(
    b: Any,
    stop: int,
    step: int,
    zeros: Sequence[Any],
    add: Callable[[Any, Any], Any],
    body: Sums,
) -> list[Any]:
    """As `accumulate` from zeros, but a long sum is one of the sums of its parts.

    Each term is rounded to the last digit of what it is added to, which is large after many.
    """
    part = AT_ONCE * step
    if stop <= 2 * part:
        return accumulate(b, stop, step, zeros, body)

    def one(first: Any, sums: list[Any]) -> list[Any]:
        found = accumulate(b, part, step, zeros, lambda i, x: body(b.add(first, i), x))
        return [add(x, y) for x, y in zip(sums, found, strict=True)]

    whole = stop // part * part
    sums = in_parts(b, whole, part, zeros, add, one)
    return accumulate(b, stop - whole, step, sums, lambda i, x: body(b.add(index(whole), i), x))


def repeat(b: Any, count: Any, start: Sequence[Any], body: Sums) -> list[Any]:
    """As `accumulate`, over 0, 1, … below a number that is known only when it runs, perhaps 0."""
    before = b.block
    results, end = _carrying(b, count, 1, start, body)
    pairs = zip(start, results, strict=True)
    return [arriving(b, [(value, before), (result, end)]) for value, result in pairs]


def _carrying(
    b: Any, stop: Any, step: int, start: Sequence[Any], body: Sums
) -> tuple[list[Any], Any]:
    """What the last round gave, and the block in which it ended."""
    before = b.block
    with between(b, index(0), stop, step) as i:
        carried = [arriving(b, [(value, before)]) for value in start]
        results, end = body(i, list(carried)), b.block
        for phi, result in zip(carried, results, strict=True):
            phi.add_incoming(result, end)
    return results, end


def across(b: Any, value: Any, combine: Callable[[Any, Any], Any]) -> Any:
    """All lanes combined, in halves: always in the same order."""
    while lanes(value) > 1:
        half = lanes(value) // 2
        masks = (chosen(range(s, s + half)) for s in (0, half))
        value = combine(*(b.shuffle_vector(value, value, mask) for mask in masks))
        if half == 1:
            return b.extract_element(value, ir.Constant(I32, 0))
    return value


def chosen(numbers: Sequence[int]) -> Any:
    """The numbers of lanes, for a shuffle."""
    return ir.Constant(ir.VectorType(I32, len(numbers)), [ir.Constant(I32, i) for i in numbers])
