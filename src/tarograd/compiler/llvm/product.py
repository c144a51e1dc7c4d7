"""Matrix products: register tiles, whose elements go on through the rest of the kernel.

The tile of C that fits into the registers is summed over all of K without leaving them: for each
k, a row of B as vectors, and the elements of a column of A, each multiplied with all of them.
What the kernel computes of the product (bias, ReLU, update) follows before anything is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from tarograd.compiler.fusion import Kernel
from tarograd.compiler.layout import FIRST_CACHE, LARGE, SECOND_CACHE, lanes_of
from tarograd.compiler.llvm import text as ir
from tarograd.compiler.llvm.elements import Elements, Place, tail_of
from tarograd.compiler.llvm.nest import At, Nest, explored
from tarograd.compiler.llvm.tile import Tile, TileSums, bands_of, even_part, parts_of
from tarograd.compiler.llvm.turn import Lines, turn
from tarograd.compiler.llvm.words import (
    I64,
    Digit,
    Sums,
    accumulate,
    constant,
    fma,
    in_parts,
    index,
    loop,
    on_the_stack,
    prefetch,
    repeat,
    splat,
    type_of,
    vector_type,
)
from tarograd.compiler.program import Value
from tarograd.ops import shape

LONG = 64  # terms of a sum: while these are added, other things can be fetched
ABREAST = range(4, 8)  # vectors side by side: enough that none waits for the one before it
WORTH_TURNING = 32  # terms of a sum: while these are added, the time is won in which it is turned
VERY_LONG = 1024  # terms of a sum that would be wrong in too many digits in one go


def product_kernel(e: Elements, kernel: Kernel, target: Any) -> None:
    """C = A B and what follows, tile by tile; the last row and column of tiles are smaller."""
    v = kernel.values[0]
    rows, columns = v.shape[-2:]
    if 0 in v.shape:
        return
    e.often = True
    nest = _counted(e, v)
    wide = min(lanes_of(columns, e.plan.widest), target.bits // 8 // v.dtype.itemsize)
    if columns < wide and _suits_upright(e, v, columns % (wide // 2), wide // 2):
        wide //= 2  # of 10 columns, 8 as one vector and 2 upright take less time than 16 lanes
    tail = columns % wide
    if _suits_upright(e, v, tail, wide):
        rest = _upright(e, v, wide, tail)
        for first, height, bands in bands_of(rest, even_part(rest, target.tile_rows(1))):
            band = rows - rest + first, height, bands
            part = columns - tail, [lanes_of(tail, wide)], 1
            _tiles(e, kernel, nest, band, part, target.registers)
        columns -= tail
    given = v.attributes.get("height", 0)
    for left, vectors, parts in parts_of(columns, wide, _vectors(v, given, wide, target)):
        most = given or even_part(rows, target.tile_rows(len(vectors)))
        for top, height, bands in bands_of(rows, most):
            _tiles(e, kernel, nest, (top, height, bands), (left, vectors, parts), target.registers)


def _vectors(v: Value, given: int, wide: int, target: Any) -> int:
    """How many are in a row of a tile.

    Of four one less, if only then all tiles can be of one height, and higher: where B does not
    stay in a cache it is read less often. But A turned over would be read more often.
    """
    most: int = target.tile_vectors(given)
    rows, a = v.shape[-2], v.operands[0]
    nearby = _part(v, most * wide) < FIRST_CACHE or _stays_whole(v, most * wide)
    if most < 4 or given or nearby or v.shape[-1] % wide or a.is_op(shape.transpose):
        return most
    heights = (even_part(rows, target.tile_rows(n)) for n in (most, most - 1))
    uneven, uneven_then = (rows % height > 0 for height in heights)
    return most - 1 if uneven and not uneven_then else most


def _suits_upright(e: Elements, v: Value, tail: int, wide: int) -> bool:
    """Whether a last vector would be mostly empty, and the columns of A lie in memory as rows."""
    a, c, *visits = v.operands
    turned = a.is_op(shape.transpose) and tuple(a.attributes["axes"]) == (1, 0)
    turned = turned and id(c) in e.plan.buffers
    if not turned or id(a) in e.plan.buffers or id(a.operands[0]) not in e.plan.buffers:
        return False
    fits = v.shape[0] >= ABREAST[0] * wide and a.shape[1] >= WORTH_TURNING
    return 0 < tail <= wide // 4 and fits and not visits


def _upright(e: Elements, v: Value, wide: int, tail: int) -> int:
    """The last few columns, with rows of C in the lanes; gives the number of rows that are left."""
    b, (a, c), (rows, columns) = e.b, v.operands, v.shape
    abreast = min(ABREAST, key=lambda n: rows % (n * wide))
    left = columns - tail
    kind, lanes = type_of(v.dtype), lanes_of(tail, wide)
    upright, level = (on_the_stack(b, kind, abreast * wide * lanes) for _ in range(2))
    with e.share.over(b, rows // (abreast * wide)) as number:
        first = b.mul(number, index(abreast * wide))

        def body(k: Any, sums: list[Any]) -> list[Any]:
            places = [Place(b.add(first, index(t * wide)), wide) for t in range(abreast)]
            found = [e.load(a.operands[0], [Place(k), place]) for place in places]
            ones = [
                splat(b, e.load(c, [Place(k), Place(index(left + j))]), wide) for j in range(tail)
            ]
            terms = ((x, one) for x in found for one in ones)
            return [fma(b, x, one, total) for (x, one), total in zip(terms, sums, strict=True)]

        zero = constant(0.0, vector_type(kind, wide))
        sums = in_parts(b, a.shape[1], 1, [zero] * (abreast * tail), b.fadd, body)
        for i, total in enumerate(sums):
            place = index((i // tail * lanes + i % tail) * wide)
            b.store(total, b.gep(upright, [place], source_etype=kind), align=v.dtype.itemsize)
        with loop(b, abreast) as t:
            some = index(wide * lanes)
            ends = (b.gep(x, [b.mul(t, some)], source_etype=kind) for x in (level, upright))
            to, given = (Lines(end, index(wide)) for end in ends)
            turn(b, to, given, kind, lanes, wide)
        with loop(b, abreast * wide) as r:
            places = [Place(b.add(first, r)), _column(v, index(left), lanes)]
            place = b.gep(level, [b.mul(r, index(lanes))], source_etype=kind)
            e.known.clear()
            _finish_vector(e, v, places, e.read(v, place, lanes))
    return rows % (abreast * wide)


def _counted(e: Elements, v: Value) -> Nest:
    """How the stack, the rows, the terms of a sum and the columns are counted to read A and B."""
    a, c = v.operands[:2]

    def touch(dry: Elements, places: list[Place]) -> None:
        *stack, row, k, column = places
        dry.at(a, [*stack, row, k])
        dry.at(c, [*stack, k, column])

    dims = [*v.shape[:-1], a.shape[-1], v.shape[-1]]
    if not _is_reshaped(e, a) and not _is_reshaped(e, c):
        return Nest([[n] for n in dims], None, 1)
    return explored(e, dims, touch, free=[])


def _is_reshaped(e: Elements, v: Value) -> bool:
    """Whether an array is read in another shape."""
    while id(v) not in e.plan.buffers and not v.is_op(shape.reshape) and len(v.operands) == 1:
        v = v.operands[0]
    return id(v) not in e.plan.buffers


def _tiles(
    e: Elements,
    kernel: Kernel,
    nest: Nest,
    band: tuple[int, int, int],
    part: tuple[int, list[int], int],
    registers: int,
) -> None:
    """All tiles of one size: the columns outside, so that a part of B stays in the cache.

    But if all of B stays in the second cache, and no part of it in the first, the rows are outside.
    """
    b, v = e.b, kernel.values[0]
    (top, height, bands), (left, vectors, parts) = band, part
    a, c, *visits = v.operands
    rank = len(v.shape)
    with e.share.over(b, prod(v.shape[:-2]) * parts * bands) as number:
        number, stack = _in_stack(e, nest, number, v.shape[:-2], parts * bands)
        i, j, whole = number, index(0), _stays_whole(v, sum(vectors))
        if parts > 1:
            inside = index(parts if whole else bands)
            i, j = b.urem(number, inside), b.udiv(number, inside)
            i, j = (j, i) if whole else (i, j)
            j = b.mul(j, index(sum(vectors)))
        numbers = [_after(b, b.mul(i, index(height)), top + r) for r in range(height)]
        rows = [nest.place(b, rank - 2, nest.counted(b, rank - 2, n)) for n in numbers]
        starts = [left + sum(vectors[:n]) for n in range(len(vectors))]
        columns = [_column(v, _after(b, j, n), w) for n, w in zip(starts, vectors, strict=True)]
        tile = Tile(stack, rows, columns, i, 1 if whole else bands)

        sums = TileSums(e, a, c, tile, registers)
        zeros, body = sums.zeros(), sums.add
        if visits:
            at = _after(b, i, top // v.attributes["height"])
            found = _visited(e, visits[0], at, zeros, lambda k, x: body(Place(k), x, ahead=False))
        elif len(nest.sizes[rank - 1]) > 1:
            found = _over_digits(e, nest, rank - 1, nest.order([rank - 1]), {}, zeros, body)
        else:
            found = _summed(e, kernel, tile, zeros, lambda k, x: body(Place(k), x))
        _finish(e, v, tile, sums.elements(found))


def _stays_whole(v: Value, width: int) -> bool:
    """Whether B stays in the second cache, but what a tile reads of it not in the first."""
    return _part(v, width) >= FIRST_CACHE and _part(v, v.shape[-1]) <= SECOND_CACHE // 2


def _part(v: Value, width: int) -> int:
    """The bytes of some columns of B."""
    c = v.operands[1]
    return c.shape[-2] * width * c.dtype.itemsize


def _in_stack(
    e: Elements, nest: Nest, number: Any, dims: Sequence[int], tiles: int
) -> tuple[Any, list[Place]]:
    """The number of a tile in its matrix, and the place of the matrix in the stack."""
    b, places = e.b, list[Place]()
    if not dims:
        return number, places
    matrix = b.udiv(number, index(tiles))
    for axis in reversed(range(len(dims))):
        n = index(dims[axis])
        places.insert(0, nest.place(b, axis, nest.counted(b, axis, b.urem(matrix, n))))
        matrix = b.udiv(matrix, n)
    return b.urem(number, index(tiles)), places


def _over_digits(
    e: Elements,
    nest: Nest,
    axis: int,
    left: Sequence[At],
    values: dict[At, Any],
    sums: list[Any],
    body: Callable[[Place, list[Any]], list[Any]],
) -> list[Any]:
    """The sum over all k, where these are counted by several loops."""
    if not left:
        return body(nest.place(e.b, axis, values), sums)
    at, *rest = left

    def inner(i: Any, sums: list[Any]) -> list[Any]:
        return _over_digits(e, nest, axis, rest, values | {at: i}, sums, body)

    return accumulate(e.b, nest.size(at), 1, sums, inner)


def _summed(e: Elements, kernel: Kernel, tile: Tile, start: list[Any], body: Sums) -> list[Any]:
    """The sum over all k; where it takes long, other arrays are fetched meanwhile, row by row.

    There are a few more parts than rows: the last ones fetch for the tile below.
    """
    b, terms, rows = e.b, kernel.values[0].operands[0].shape[-1], len(tile.rows)
    if terms < LONG:
        return accumulate(b, terms, 1, start, body)
    alone = terms > VERY_LONG  # then each part is a sum of its own, so that less is rounded
    part = VERY_LONG // 2 if alone else even_part(terms, terms // rows)

    def row(r: Any, sums: list[Any]) -> list[Any]:
        near = b.select(b.icmp_signed("<", r, index(rows)), r, index(rows)) if alone else r
        _fetch_what_follows(e, kernel, tile, near)
        _fetch_next_part(e, kernel, tile, near)
        first, begin = b.mul(r, index(part)), start if alone else sums
        found = accumulate(b, part, 1, begin, lambda k, x: body(b.add(first, k), x))
        pairs = zip(sums, found, strict=True)
        return [b.fadd(x, y) for x, y in pairs] if alone else found

    sums = accumulate(b, terms // part, 1, start, row)
    done = terms // part * part
    return accumulate(b, terms - done, 1, sums, lambda k, x: body(b.add(index(done), k), x))


def _fetch_what_follows(e: Elements, kernel: Kernel, tile: Tile, r: Any) -> None:
    """Row r of the arrays that are read and written once the sums are done."""
    plan = e.plan
    read = [x for v in kernel.values[1:] for x, same in plan.sources(v) if same]
    written = {plan.buffers[id(v)]: v for v in kernel.values if id(v) in plan.stored}
    arrays = {plan.buffers[id(x)]: x for x in read if id(x) in plan.buffers} | written
    for buffer, x in arrays.items():
        for n in tile.columns:
            place = [p.first for p in tile.stack]
            address = e.pointer(x, [*place, e.b.add(tile.rows[0].first, r), n.first])
            prefetch(e.b, address, cache=1, writing=buffer in written)


def _fetch_next_part(e: Elements, kernel: Kernel, tile: Tile, r: Any) -> None:
    """A share of the next columns of B, if B is large: all tiles above each other fetch them."""
    b, c = e.b, kernel.values[0].operands[1]
    terms, columns = c.shape[-2:]
    if tile.stack or id(c) not in e.plan.buffers:
        return
    if terms * columns * c.dtype.itemsize <= LARGE or columns <= tile.width or tile.bands == 1:
        return
    shares = tile.bands * len(tile.rows)
    share = b.add(b.mul(tile.band, index(len(tile.rows))), r)
    first = b.mul(share, index(-(-terms // shares)))
    for k in range(-(-terms // shares)):
        for n in tile.columns:
            place = [b.add(first, index(k)), b.add(n.first, index(tile.width))]
            prefetch(b, e.pointer(c, place), cache=2)


def _finish(e: Elements, v: Value, tile: Tile, sums: list[Any]) -> None:
    """What follows the product, from the registers."""
    e.known.clear()
    rest = iter(sums)
    for row in tile.rows:
        for n in tile.columns:
            _finish_vector(e, v, [*tile.stack, row, n], next(rest))


def _finish_vector(e: Elements, v: Value, places: list[Place], element: Any) -> None:
    """What follows the product, of one vector of it."""
    e.tail = tail_of(v.shape[-1], places[-1].first, places[-1].lanes)
    e.bind(v, places, element)
    e.finish(places)
    e.tail = None


def _column(v: Value, first: Any, lanes: int) -> Place:
    """The place of some columns."""
    return Place(first, lanes, (Digit(first, v.shape[-1], lanes),))


def _visited(
    e: Elements,
    visits: Value,
    band: Any,
    start: list[Any],
    body: Sums,
) -> list[Any]:
    """The sum over the places in the list of a band, instead of over all."""
    b = e.b

    def listed(number: Any) -> Any:
        return b.zext(e.load(visits, [Place(band), Place(number)]), I64)

    def visit(p: Any, sums: list[Any]) -> list[Any]:
        return body(listed(b.add(p, index(1))), sums)

    return repeat(b, listed(index(0)), start, visit)


def _after(b: Any, i: Any, n: int) -> Any:
    """I + n, as a constant if it is one."""
    if isinstance(i, ir.Constant):
        return index(int(i.constant) + n)
    return b.add(i, index(n)) if n else i
