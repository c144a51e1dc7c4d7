"""Matrix products: register tiles, whose elements go on through the rest of the kernel.

The tile of C that fits into the registers is summed over all of K without leaving them: for each
k, a row of B as vectors, and the elements of a column of A, each multiplied with all of them.
What the kernel computes of the product (bias, ReLU, update) follows before anything is stored.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from tarograd.compiler.llvm.elements import Elements, Place
from tarograd.compiler.llvm.words import accumulate, constant, fma, index, loop, splat, type_of
from tarograd.compiler.plan import Kernel, lanes_of
from tarograd.compiler.program import Value
from tarograd.ops import shape

# Reads the element k, n of B, or as many as a vector has: (first k, first n, lanes).
Reader = Callable[[Any, Any, int], Any]


def product_kernel(e: Elements, kernel: Kernel, target: Any) -> None:
    """C = A B and what follows, tile by tile; the last row and column of tiles are smaller."""
    v = kernel.values[0]
    rows, columns = v.shape
    if 0 in v.shape:
        return
    wide = min(lanes_of(columns, e.plan.widest), target.bits // 8 // v.dtype.itemsize)
    vectors = -(-columns // wide)
    for first, count in _parts(vectors, target.tile_vectors):
        height = target.tile_rows(count)
        for top, size, repeats in _bands(rows, height):
            _tiles(e, kernel, (top, size, repeats), (first * wide, count, wide))


def _parts(total: int, most: int) -> list[tuple[int, int]]:
    """Columns of vectors in parts of nearly equal width, at most `most` wide."""
    parts = -(-total // most)
    sizes = [total // parts + (i < total % parts) for i in range(parts)]
    return [(sum(sizes[:i]), size) for i, size in enumerate(sizes)]


def _bands(total: int, most: int) -> list[tuple[int, int, int]]:
    """Rows in bands: first row, height, how many such bands."""
    full, rest = divmod(total, most)
    bands = [(0, most, full)] if full else []
    return [*bands, (full * most, rest, 1)] if rest else bands


def _tiles(
    e: Elements, kernel: Kernel, band: tuple[int, int, int], part: tuple[int, int, int]
) -> None:
    """All tiles of one height in one part of the columns."""
    b, v = e.b, kernel.values[0]
    (top, height, repeats), (left, vectors, wide) = band, part
    a, c = v.operands
    kind = type_of(v.dtype)
    read_a, read_b = reader(e, a), reader(e, c)
    zero = splat(b, constant(0.0, kind), wide)
    with ExitStack() as stack:
        i = stack.enter_context(loop(b, repeats * height, height))
        row = b.add(i, index(top)) if top else i
        rows = [b.add(row, index(r)) if r else row for r in range(height)]
        columns = [index(left + j * wide) for j in range(vectors)]

        def body(k: Any, sums: list[Any]) -> list[Any]:
            across = [splat(b, read_b(k, n, wide), wide) for n in columns]
            following = []
            for r in range(height):
                one = splat(b, read_a(rows[r], k, 1), wide)
                for j in range(vectors):
                    following.append(fma(b, one, across[j], sums[r * vectors + j]))
            return following

        sums = accumulate(b, a.shape[1], 1, [zero] * (height * vectors), body)
        e.known.clear()
        for r in range(height):
            for j in range(vectors):
                _follow(e, kernel, [Place(rows[r]), Place(columns[j], wide)], sums[r * vectors + j])


def _follow(e: Elements, kernel: Kernel, places: list[Place], total: Any) -> None:
    from tarograd.compiler.llvm.kernels import finish

    e.bind(kernel.values[0], places, total)
    finish(e, kernel, places)


def reader(e: Elements, v: Value) -> Reader:
    """Reads a matrix that may be turned over."""
    if v.is_op(shape.transpose) and tuple(v.attributes["axes"]) == (1, 0):
        inner = reader(e, v.operands[0])
        if v.operands[0].is_op(shape.transpose):
            return lambda i, j, wide: inner(j, i, wide)
        x = v.operands[0]

        def turned(i: Any, j: Any, wide: int) -> Any:
            places = [Place(j, wide), Place(i)]
            return e.load(x, places)

        return turned
    return lambda i, j, wide: e.load(v, [Place(i), Place(j, wide)])
