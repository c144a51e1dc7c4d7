"""Matrix products: register tiles, whose elements go on through the rest of the kernel.

The tile of C that fits into the registers is summed over all of K without leaving them: for each
k, a row of B as vectors, and the elements of a column of A, each multiplied with all of them.
What the kernel computes of the product (bias, ReLU, update) follows before anything is stored.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from llvmlite import ir

from tarograd.compiler.llvm.elements import Elements, Place
from tarograd.compiler.llvm.words import accumulate, constant, fma, index, loop, splat, type_of
from tarograd.compiler.plan import Kernel, lanes_of
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
    vectors = -(-columns // wide)
    parts = -(-vectors // target.tile_vectors)
    for left, count, parts_alike in _bands(vectors, -(-vectors // parts)):
        for top, height, bands_alike in _bands(rows, target.tile_rows(count)):
            _tiles(e, kernel, (top, height, bands_alike), (left, count, parts_alike), wide)


def _bands(total: int, most: int) -> list[tuple[int, int, int]]:
    """Rows, or vectors, in bands: the first, how many, how often; the last one is smaller."""
    full, rest = divmod(total, most)
    bands = [(0, most, full)] if full else []
    return [*bands, (full * most, rest, 1)] if rest else bands


def _tiles(
    e: Elements,
    kernel: Kernel,
    band: tuple[int, int, int],
    part: tuple[int, int, int],
    wide: int,
) -> None:
    """All tiles of one size: the columns outside, so that a part of B stays in the cache."""
    b, v = e.b, kernel.values[0]
    (top, height, bands), (left, vectors, parts) = band, part
    a, c = v.operands
    kind = type_of(v.dtype)
    read_a, read_b = reader(e, a), reader(e, c)
    zero = splat(b, constant(0.0, kind), wide)
    with ExitStack() as stack:
        j = stack.enter_context(loop(b, parts * vectors * wide, vectors * wide))
        i = stack.enter_context(loop(b, bands * height, height))
        rows = [_after(b, i, top + r) for r in range(height)]
        columns = [_after(b, j, (left + n) * wide) for n in range(vectors)]

        def body(k: Any, sums: list[Any]) -> list[Any]:
            across = [splat(b, read_b(k, n, wide), wide) for n in columns]
            following = []
            for r in range(height):
                one = splat(b, read_a(rows[r], k, 1), wide)
                for n in range(vectors):
                    following.append(fma(b, one, across[n], sums[r * vectors + n]))
            return following

        sums = accumulate(b, a.shape[1], 1, [zero] * (height * vectors), body)
        e.known.clear()
        for r in range(height):
            for n in range(vectors):
                places = [Place(rows[r]), Place(columns[n], wide)]
                e.bind(v, places, sums[r * vectors + n])
                e.finish(places)


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
