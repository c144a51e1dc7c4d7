"""The lists of what a product of something mostly zero has to visit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tarograd.compiler.fusion import Kernel
from tarograd.compiler.llvm import text as ir
from tarograd.compiler.llvm.elements import Elements, Place, tail_of
from tarograd.compiler.llvm.operations import converted
from tarograd.compiler.llvm.words import (
    I1,
    I8,
    I64,
    Digit,
    accumulate,
    call,
    constant,
    counted,
    index,
    loop,
    smaller,
    splat,
    type_of,
)
from tarograd.compiler.program import Value

ABREAST = 8  # bands whose lists grow together: their lengths stay in registers
COMPRESSING = 16  # lanes: with as many, processors have an instruction that compresses a vector
TABLE = "places"
BYTE = 8  # bits whose places stand in a table, for processors that have none


def bits_kernel(e: Elements, kernel: Kernel) -> None:
    """Elements, and a bit for each that is not zero, in words of as many as are looked at together.

    The last ones of a row are the last vector of it; bits of the word before are shifted out.

    Example:
        Of a row of 6, by vectors of 4, the second one begins at 2. Its bits 0b1001 are those of
        the columns 5 and 2; the word for the columns 4 and 5 becomes 0b10.
    """
    b, (rows, columns) = e.b, kernel.shape
    n = kernel.values[-1].attributes["lanes"]
    e.tail = None
    with e.share.loop(b, rows) as r, loop(b, -(-columns // n)) as c:
        e.known.clear()
        first = b.mul(c, index(n))
        begin = smaller(b, first, index(columns - n)) if columns % n else first
        row, column = Digit(r, rows), Digit(begin, columns, n)
        places = [Place(d.value, d.lanes, (d,)) for d in (row, column)]
        *elements, bits = kernel.values
        for v in elements:
            x = e.at(v, places)
            if id(v) in e.plan.stored:
                e.store(v, places, x)
        (looked,), kind = bits.operands, type_of(bits.dtype)
        there = converted(b, e.at(looked, places), looked.dtype, np.dtype(bool))
        word = b.bitcast(there, ir.integer(n))
        word = b.zext(word, kind) if n < kind.width else word
        passed = b.trunc(b.sub(first, begin), kind)
        e.store(bits, [Place(c), Place(r)], b.lshr(word, passed))


def visits_kernel(e: Elements, kernel: Kernel) -> None:
    """A list for each band of the rows of x, or of the rows of x turned over.

    Example:
        The bits 0b0110 at columns 4, 5, 6, 7 become the places 5 and 6: the vector 4, 5, 6, 7,
        compressed to what is wanted, is stored behind the places already found.
    """
    v = kernel.values[0]
    if v.attributes["axis"] == 0:
        _of_rows(e, v, v.operands[0])
    else:
        _of_columns(e, v, v.operands[0])


def _of_rows(e: Elements, v: Value, bits: Value) -> None:
    """Bands of rows of x; the last one may have fewer."""
    b, (chunks, rows) = e.b, bits.shape
    height, lanes = v.attributes["height"], v.attributes["lanes"]

    def band(number: Any, members: list[Any]) -> None:
        def chunk(c: Any, found: list[Any]) -> list[Any]:
            here = [e.load(bits, [Place(c), Place(i)]) for i in members]
            together = here[0]
            for other in here[1:]:
                together = b.or_(together, other)
            if together.type.width > lanes:
                together = b.trunc(together, ir.integer(lanes))
            first = b.mul(c, index(lanes))
            return [_append(e, v, number, found[0], first, together)]

        _close(e, v, number, accumulate(b, chunks, 1, [index(0)], chunk))

    if rows >= height:
        with e.share.over(b, rows // height) as i:
            top = b.mul(i, index(height))
            band(i, [b.add(top, index(r)) for r in range(height)])
    if rest := rows % height:
        with e.share.over(b, 1):
            band(index(rows // height), [index(rows - rest + r) for r in range(rest)])


def _of_columns(e: Elements, v: Value, bits: Value) -> None:
    """Bands of columns of x: a few bits of a chunk, for as many rows as a vector has lanes."""
    b, (chunks, rows) = e.b, bits.shape
    height, lanes = v.attributes["height"], v.attributes["lanes"]
    bands = lanes // height
    abreast = lanes if e.plan.widest >= COMPRESSING else BYTE
    some = min(bands, ABREAST)
    masks = [((1 << height) - 1) << g * height for g in range(some)]
    with e.share.over(b, chunks * bands // some) as part:
        c, r = (f(part, index(bands // some)) for f in (b.udiv, b.urem))
        numbers = [b.add(b.mul(part, index(some)), index(g)) for g in range(some)]
        passed = b.trunc(b.mul(r, index(some * height)), type_of(bits.dtype))

        def block(first: Any, found: list[Any]) -> list[Any]:
            e.tail = tail_of(rows, first, abreast)
            here = e.load(bits, [Place(c), Place(first, abreast)])
            if e.tail is not None:
                here = b.select(e.tail.mask(b), here, constant(0, here.type))
            here, e.tail = b.lshr(here, splat(b, passed, abreast)), None
            following = []
            for number, mask, position in zip(numbers, masks, found, strict=True):
                wanted = b.icmp_unsigned(
                    "!=", b.and_(here, constant(mask, here.type)), constant(0, here.type)
                )
                together = b.bitcast(wanted, ir.integer(abreast))
                following.append(_append(e, v, number, position, first, together))
            return following

        found = accumulate(b, rows, abreast, [index(0)] * len(masks), block)
        for number, position in zip(numbers, found, strict=True):
            _close(e, v, number, [position])


def _append(e: Elements, v: Value, band: Any, found: Any, first: Any, bits: Any) -> Any:
    """Write the places first + l for which bit l is set; how many there are then."""
    if e.plan.widest < COMPRESSING:
        return _append_bytes(e, v, band, found, first, bits)
    b, n, kind = e.b, bits.type.width, type_of(v.dtype)
    places = b.add(splat(b, b.trunc(first, kind), n), counted(kind, n))
    wanted = b.bitcast(bits, ir.VectorType(I1, n))
    name, rest = (
        f"llvm.experimental.vector.compress.v{n}i{kind.width}",
        ir.Constant(places.type, ir.Undefined),
    )
    chosen = b.call_known(name, places.type, [places, wanted, rest])
    e.store(v, [Place(band), Place(b.add(found, index(1)), n)], chosen)
    return b.add(found, call(b, "ctpop", b.zext(bits, I64)))


def _append_bytes(e: Elements, v: Value, band: Any, found: Any, first: Any, bits: Any) -> Any:
    """The same for each 8 bits: a table has the places of those that are set, and 0 behind them."""
    b, kind = e.b, type_of(v.dtype)
    table, row = _table(b), ir.VectorType(I8, BYTE)
    for i in range(0, bits.type.width, BYTE):
        byte = b.and_(b.zext(b.lshr(bits, constant(i, bits.type)), I64), index(2**BYTE - 1))
        entry = b.gep(table, [b.mul(byte, index(BYTE))], source_etype=I8)
        within = b.zext(b.load(entry, typ=row, align=BYTE), ir.VectorType(kind, BYTE))
        start = b.trunc(b.add(first, index(i)), kind)
        places = b.add(within, splat(b, start, BYTE))
        e.store(v, [Place(band), Place(b.add(found, index(1)), BYTE)], places)
        found = b.add(found, call(b, "ctpop", byte))
    return found


def _table(b: Any) -> Any:
    """For each of the 256 bytes a row: the places of the bits that are set, and 0 behind them."""
    if TABLE not in b.module.globals:
        rows = np.zeros((2**BYTE, BYTE), np.uint8)
        for byte, row in enumerate(rows):
            places = [i for i in range(BYTE) if byte >> i & 1]
            row[: len(places)] = places
        text = "".join(f"\\{i:02x}" for i in rows.ravel())
        line = f'@{TABLE} = internal constant [{rows.size} x i8] c"{text}", align 64'
        ir.Function(b.module, ir.VOID, [], TABLE, line)
    return b.module.globals[TABLE]


def _close(e: Elements, v: Value, band: Any, found: Sequence[Any]) -> None:
    """Write the number of places in front of them."""
    e.store(v, [Place(band), Place(index(0))], e.b.trunc(found[0], type_of(v.dtype)))
