"""Matrices turned over in square blocks that fit into the registers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from tarograd.compiler.fusion import Kernel
from tarograd.compiler.layout import CONFLICT, SHORT, lanes_of
from tarograd.compiler.llvm import text as ir
from tarograd.compiler.llvm.elements import Elements, Place, tail_of
from tarograd.compiler.llvm.words import (
    Digit,
    accumulate,
    between,
    called,
    chosen,
    index,
    lanes,
    loop,
    memory_type,
    on_the_stack,
    smaller,
    type_of,
    vector_type,
)
from tarograd.compiler.program import Value
from tarograd.ops import shape


def is_turn(e: Elements, kernel: Kernel) -> bool:
    """Whether a kernel begins with turning over an array with whole vectors both ways."""
    v = kernel.values[0]
    if not v.is_op(shape.transpose) or len(v.shape) != 2:
        return False
    x = v.operands[0]
    lanes = {lanes_of(n, e.plan.widest) for n in v.shape}
    ours = id(x) in e.plan.buffers and e.plan.buffers[id(x)].lanes > 1 and v.dtype.kind == "f"
    return ours and len(lanes) == 1 and tuple(v.attributes["axes"]) == (1, 0)


def turn_kernel(e: Elements, kernel: Kernel) -> None:
    """Squares of as many rows as a vector has lanes, and what is computed of their rows."""
    b, v = e.b, kernel.values[0]
    x, (rows, columns) = v.operands[0], v.shape
    kind, wide = type_of(v.dtype), lanes_of(columns, e.plan.widest)
    with e.share.loop(b, columns, wide) as column, loop(b, rows, wide) as row:
        source = _lines(e, x, column, row)._replace(last=b.sub(index(columns - 1), column))
        if len(kernel.values) == 1:
            target = _lines(e, v, row, column)._replace(last=b.sub(index(rows - 1), row))
            turn(b, target, source, kind, wide, wide)
        else:
            room = on_the_stack(b, kind, wide * wide)
            turn(b, Lines(room, index(wide)), source, kind, wide, wide)
            _finish_square(e, v, row, column, room)


def _finish_square(e: Elements, v: Value, row: Any, column: Any, room: Any) -> None:
    """What is computed of a square that has been turned over: of each of its rows once."""
    b, (rows, columns) = e.b, v.shape
    wide = lanes_of(columns, e.plan.widest)
    with between(b, index(0), smaller(b, index(wide), b.sub(index(rows), row))) as r:
        places = [Place(b.add(row, r)), Place(column, wide, (Digit(column, columns, wide),))]
        e.known.clear()
        e.tail = tail_of(columns, column, wide)
        square = b.gep(room, [b.mul(r, index(wide))], source_etype=type_of(v.dtype))
        e.bind(v, places, e.read(v, square, wide))
        e.finish(places)
        e.tail = None


def read_columns(e: Elements, v: Value, rows: Place) -> list[Any]:
    """Some rows of an array with short rows, as a vector for each column."""
    columns: list[Any] = []
    for wide, lines, room, places in _parts(e, v, rows):
        turn(e.b, room._replace(stride=index(wide)), lines, memory_type(v.dtype), rows.lanes, wide)
        columns += [e.read(v, place, rows.lanes) for place in places]
    return columns[: v.shape[1]]


def store_columns(e: Elements, v: Value, rows: Place, columns: list[Any]) -> None:
    """The reverse."""
    rest = iter(columns)
    for wide, lines, room, places in _parts(e, v, rows):
        for place, column in zip(places, rest, strict=False):
            e.write(v, place, column, rows.lanes)
        if wide < rows.lanes:  # the whole rows follow one another
            lines = lines._replace(stride=index(rows.lanes))
        turn(e.b, lines, room, memory_type(v.dtype), wide, rows.lanes)


class Lines(NamedTuple):
    """Vectors in memory: the first one, elements from one to the next, the number of the last."""

    first: Any
    stride: Any
    last: Any = index(CONFLICT)


def _lines(e: Elements, v: Value, row: Any, column: Any) -> Lines:
    """Those of an array, from an element on."""
    return Lines(e.pointer(v, [row, column]), index(e.plan.buffers[id(v)].strides[0]))


def _parts(e: Elements, v: Value, rows: Place) -> Iterator[tuple[int, Lines, Lines, Iterator[Any]]]:
    """For some columns at a time: how many, where they are, room for them turned over, and each."""
    kind, n = memory_type(v.dtype), rows.lanes
    wide = min(n, lanes_of(v.shape[1], SHORT))
    for left in range(0, v.shape[1], wide):
        room = on_the_stack(e.b, kind, n * wide)
        places = (e.b.gep(room, [index(j * n)], source_etype=kind) for j in range(wide))
        yield wide, _lines(e, v, rows.first, index(left)), Lines(room, index(n)), places


def turn(b: Any, target: Lines, source: Lines, kind: Any, height: int, width: int) -> None:
    """Turn over `height` lines of `width` elements, which makes as many vectors of that width.

    If there are fewer lines than elements in one, several lines of the result lie in a vector.
    It is a function, because LLVM takes longer to translate this than most of a step. Lines behind
    the last one are read, and written, in its place; the last one is written after them.
    """

    def write(b: Any, *places: Any) -> None:
        to, given = Lines(*places[:3]), Lines(*places[3:])
        read = [b.load(p, vector_type(kind, width), 1) for p in _each(b, given, kind, height)]
        halvings = height.bit_length() - 1
        lines = accumulate(b, halvings, 1, read, lambda _, x: _interleaved(b, x))
        for line, place in reversed([*zip(lines, _each(b, to, kind, height), strict=True)]):
            b.store(line, place, align=1)

    called(b, f"turn_{kind}_{height}_{width}", ir.VOID, [*target, *source], write)


def _each(b: Any, lines: Lines, kind: Any, count: int) -> Iterator[Any]:
    """The addresses of some lines."""
    for i in map(index, range(count)):
        i = b.select(b.icmp_unsigned("<", lines.last, i), lines.last, i)
        yield b.gep(lines.first, [b.mul(i, lines.stride)], source_etype=kind)


def _interleaved(b: Any, lines: list[Any]) -> list[Any]:
    """The elements of the upper half of the lines between those of the lower one.

    In the number of a place, line and column, the first binary digit becomes the last one. So as
    often as there are digits in the number of a line, and it is the number of the column
    (H. Stone, "Parallel processing with the perfect shuffle", 1971).
    """
    half, n = len(lines) // 2, lanes(lines[0])
    places = [i + other for i in range(n) for other in (0, n)]
    masks = chosen(places[:n]), chosen(places[n:])
    pairs = zip(lines[:half], lines[half:], strict=True)
    return [b.shuffle_vector(x, y, mask) for x, y in pairs for mask in masks]
