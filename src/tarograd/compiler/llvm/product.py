"""Matrix products: register tiles, whose elements go on through the rest of the kernel.

The tile of C that fits into the registers is summed over all of K without leaving them: for each
k, a row of B as vectors, and the elements of a column of A, each multiplied with all of them.
What the kernel computes of the product (bias, ReLU, update) follows before anything is stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tarograd.compiler.layout import lanes_of
from tarograd.compiler.llvm import text as ir
from tarograd.compiler.llvm.elements import Elements, Place
from tarograd.compiler.llvm.words import (
    I64,
    accumulate,
    constant,
    fma,
    index,
    repeat,
    splat,
    type_of,
)
from tarograd.compiler.plan import Kernel
from tarograd.compiler.program import Value

# Reads the element k, n of B, or as many as a vector has: (first k, first n, lanes).
Reader = Callable[[Any, Any, int], Any]


def product_kernel(e: Elements, kernel: Kernel, target: Any) -> None:
    """C = A B and what follows, tile by tile; the last row and column of tiles are smaller."""
    v = kernel.values[0]
    rows, columns = v.shape
    if 0 in v.shape:
        return
    wide = min(lanes_of(columns, e.plan.widest), target.bits // 8 // v.dtype.itemsize)
    for left, vectors, parts in _parts(columns, wide, target.tile_vectors):
        most = v.attributes.get("height") or target.tile_rows(len(vectors))
        for top, height, bands in _bands(rows, most):
            _tiles(e, kernel, (top, height, bands), (left, vectors, parts))


def _bands(total: int, most: int) -> list[tuple[int, int, int]]:
    """Rows, or vectors, in bands: the first, how many, how often; the last one is smaller."""
    full, rest = divmod(total, most)
    bands = [(0, most, full)] if full else []
    return [*bands, (full * most, rest, 1)] if rest else bands


def _parts(columns: int, wide: int, most: int) -> list[tuple[int, list[int], int]]:
    """Columns in parts: the first one, the lanes of the vectors of a part, how often.

    The last vector of the last part is no wider than it has to be, because a narrow one takes
    less of the processor's time.

    Example:
        >>> _parts(50, wide=16, most=4), _parts(112, wide=16, most=4)
        ([(0, [16, 16, 16, 2], 1)], [(0, [16, 16, 16, 16], 1), (64, [16, 16, 16], 1)])
    """
    vectors = -(-columns // wide)
    even = -(-vectors // -(-vectors // most))
    rest = columns % wide
    narrow = lanes_of(rest, wide) if rest else wide
    parts = []
    for first, count, times in _bands(vectors, even):
        last = first + count * times == vectors
        if last and narrow < wide:
            if times > 1:
                parts.append((first * wide, [wide] * count, times - 1))
            left = (first + count * (times - 1)) * wide
            parts.append((left, [wide] * (count - 1) + [narrow], 1))
        else:
            parts.append((first * wide, [wide] * count, times))
    return parts


def _tiles(
    e: Elements,
    kernel: Kernel,
    band: tuple[int, int, int],
    part: tuple[int, list[int], int],
) -> None:
    """All tiles of one size: the columns outside, so that a part of B stays in the cache."""
    b, v = e.b, kernel.values[0]
    (top, height, bands), (left, vectors, parts) = band, part
    a, c, *visits = v.operands
    kind = type_of(v.dtype)
    read_a, read_b = reader(e, a), reader(e, c)
    width = sum(vectors)
    with e.share.over(b, parts * bands) as tile:
        i = tile if parts == 1 else b.urem(tile, index(bands))
        j = index(0) if parts == 1 else b.mul(b.udiv(tile, index(bands)), index(width))
        rows = [_after(b, b.mul(i, index(height)), top + r) for r in range(height)]
        starts = [left + sum(vectors[:n]) for n in range(len(vectors))]
        columns = [Place(_after(b, j, n), w) for n, w in zip(starts, vectors, strict=True)]

        def body(k: Any, sums: list[Any]) -> list[Any]:
            across = [splat(b, read_b(k, n.first, n.lanes), n.lanes) for n in columns]
            following, rest = [], iter(sums)
            for row in rows:
                one = read_a(row, k, 1)
                for n, values in zip(columns, across, strict=True):
                    following.append(fma(b, splat(b, one, n.lanes), values, next(rest)))
            return following

        zeros = [splat(b, constant(0.0, kind), n.lanes) for n in columns]
        if visits:
            band = _after(b, i, top // v.attributes["height"])
            sums = iter(_visited(e, visits[0], band, zeros * height, body))
        else:
            sums = iter(accumulate(b, a.shape[1], 1, zeros * height, body))
        e.known.clear()
        for row in rows:
            for n in columns:
                places = [Place(row), n]
                e.bind(v, places, next(sums))
                e.finish(places)


def _visited(
    e: Elements,
    visits: Value,
    band: Any,
    start: list[Any],
    body: Callable[[Any, list[Any]], list[Any]],
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


def reader(e: Elements, v: Value) -> Reader:
    """Reads a matrix that may be turned over, if it is not an array itself."""
    if id(v) in e.plan.buffers:
        return lambda i, j, wide: e.load(v, [Place(i), Place(j, wide)])
    inner = reader(e, v.operands[0])
    axes = tuple(v.attributes["axes"])
    return inner if axes == (0, 1) else lambda i, j, wide: inner(j, i, wide)
