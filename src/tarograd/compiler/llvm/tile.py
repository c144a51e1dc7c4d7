"""Tiles: the part of a product C = A B that is summed in registers, and how C is cut into them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tarograd.compiler.layout import ALIGNMENT, FIRST_CACHE, lanes_of
from tarograd.compiler.llvm.elements import Elements, Place, tail_of
from tarograd.compiler.llvm.words import (
    I32,
    chosen,
    constant,
    fma,
    index,
    lanes,
    prefetch,
    splat,
    type_of,
)
from tarograd.compiler.program import Value
from tarograd.ops import shape

AHEAD = 4  # terms of a sum: so early a row of B is fetched into the first cache


def even_part(total: int, most: int) -> int:
    """The largest part, not much smaller than `most`, of which all can be equal; else `most`.

    Parts of one size are written, and translated, once. Tiles with a few rows less keep the
    processor busy too; with many less, B would be read too often.

    Example:
        >>> even_part(100, most=6), even_part(97, most=6)
        (5, 6)
    """
    return next((n for n in range(most, most * 2 // 3, -1) if total % n == 0), most)


def bands_of(total: int, most: int) -> list[tuple[int, int, int]]:
    """Rows, or vectors, in bands: the first, how many, how often; the last one is smaller."""
    full, rest = divmod(total, most)
    found = [(0, most, full)] if full else []
    return [*found, (full * most, rest, 1)] if rest else found


def parts_of(columns: int, wide: int, most: int) -> list[tuple[int, list[int], int]]:
    """Columns in parts, of `most` vectors at most: the first column, the lanes, how often.

    What is left of the columns is a vector of the last part, no wider than it has to be.

    Example:
        >>> parts_of(50, wide=16, most=4), parts_of(112, wide=16, most=4)
        ([(0, [16, 16, 16, 2], 1)], [(0, [16, 16, 16, 16], 1), (64, [16, 16, 16], 1)])
    """
    full, rest = divmod(columns, wide)
    narrow = [lanes_of(rest, wide)] if rest else []
    if not full or narrow == [wide]:
        full, narrow = full + 1, []
    times = -(-full // max(1, most - len(narrow)))
    size, larger = divmod(full, times)
    sizes = [size + 1] * larger + [size] * (times - larger)
    found, left = [], 0
    for n in sorted(set(sizes), reverse=True):
        found.append((left, [wide] * n, sizes.count(n)))
        left += n * wide * sizes.count(n)
    if narrow:
        left, last, often = found.pop()
        found += [(left, last, often - 1)] if often > 1 else []
        found.append((left + (often - 1) * sum(last), last + narrow, 1))
    return found


@dataclass
class Tile:
    """The part of C that is summed in registers.

    Attributes:
        stack: where it is in a stack of matrices.
        rows: its rows, one after the other.
        columns: its vectors in each row; the last one may be narrower.
        band: the number of tiles above it in the same columns.
        bands: how many of them there are, if all of them are summed before the next columns.
    """

    stack: list[Place]
    rows: list[Place]
    columns: list[Place]
    band: Any
    bands: int

    @property
    def width(self) -> int:
        """Elements in a row."""
        return sum(n.lanes for n in self.columns)


class TileSums:
    """The sums of a tile: of each row its vectors, but narrow ones of several rows in one.

    Where a row ends with 2 columns and a vector has 8 lanes, four rows have them side by side:

        a₀ a₀ a₁ a₁ a₂ a₂ a₃ a₃  ×  b₀ b₁ b₀ b₁ b₀ b₁ b₀ b₁

    Args:
        e: emits the elements of A and B.
        a, c: A and B.
        tile: of C.
        registers: how many the processor has.
    """

    def __init__(self, e: Elements, a: Value, c: Value, tile: Tile, registers: int) -> None:
        self.e, self.a, self.c, self.tile = e, a, c, tile
        height, many, wide = len(tile.rows), len(tile.columns), tile.columns[0].lanes
        self.last = tile.columns[-1]
        packed = self.last.lanes < wide and height > 1
        self.wide = tile.columns[:-1] if packed else tile.columns
        together = wide // self.last.lanes
        rows = range(height if packed else 0)
        self.groups = [rows[r : r + together] for r in rows[::together]]
        self.order = [(r, n) for r in range(height) for n in range(len(self.wide))]
        # Without registers for a row of B beside the sums, the elements of A stay in some.
        self.turned = height < many and many * (height + 1) >= registers

    def zeros(self) -> list[Any]:
        """What the sums are at first."""
        widths = [self.wide[n].lanes for _, n in self.order] + list(map(self._width, self.groups))
        return [splat(self.e.b, constant(0.0, type_of(self.c.dtype)), n) for n in widths]

    def _width(self, group: range) -> int:
        """The lanes of the vector that the last columns of some rows share."""
        return lanes_of(len(group) * self.last.lanes, self.tile.columns[0].lanes)

    def add(self, k: Place, sums: list[Any], ahead: bool = True) -> list[Any]:
        """The sums with one term more."""
        b, many = self.e.b, len(self.order)
        self.e.known.clear()
        if ahead:
            self._fetch_ahead(k)
        for r in range(len(self.tile.rows) if self.turned else 0):
            self._one(r, k)
        for column in self.wide if not self.turned else ():
            self._vector(k, column)
        found = dict(zip(self.order, sums[:many], strict=True))
        for r, n in sorted(found, key=lambda at: at[1]) if self.turned else self.order:
            one = splat(b, self._one(r, k), self.wide[n].lanes)
            found[r, n] = fma(b, one, self._vector(k, self.wide[n]), found[r, n])
        pairs = zip(self.groups, sums[many:], strict=True)
        return [*found.values(), *(self._add_last(k, *pair) for pair in pairs)]

    def _fetch_ahead(self, k: Place) -> None:
        """What comes next of A and B, where it lies in rows far from each other."""
        tile, line = self.tile, ALIGNMENT // self.c.dtype.itemsize
        self._fetch(self.c, k, tile.columns[0], tile.width, range(0, tile.width, line))
        if self.a.is_op(shape.transpose) and len(self.a.shape) == 2:
            x = self.a.operands[0]
            self._fetch(x, k, tile.rows[0], x.shape[-1], [0])

    def _fetch(self, x: Value, k: Place, first: Place, width: int, offsets: Sequence[int]) -> None:
        """A part of a row of B, or of A turned over, if not all of them stay in the cache."""
        e, b = self.e, self.e.b
        if id(x) not in e.plan.buffers or x.shape[-2] * width * x.dtype.itemsize < FIRST_CACHE:
            return
        row = [*(p.first for p in self.tile.stack), b.add(k.first, index(AHEAD))]
        for offset in offsets:
            place = b.add(first.first, index(offset)) if offset else first.first
            prefetch(b, e.pointer(x, [*row, place]), cache=1)

    def _one(self, r: int, k: Place) -> Any:
        """An element of A."""
        return self.e.at(self.a, [*self.tile.stack, self.tile.rows[r], k])

    def _vector(self, k: Place, column: Place) -> Any:
        """A vector of a row of B."""
        e = self.e
        e.tail = tail_of(self.c.shape[-1], column.first, column.lanes)
        found = splat(e.b, e.at(self.c, [*self.tile.stack, k, column]), column.lanes)
        e.tail = None
        return found

    def _add_last(self, k: Place, group: range, total: Any) -> Any:
        """The last columns of some rows, side by side, with one term more."""
        b, n, width = self.e.b, self.last.lanes, self._width(group)
        ones = splat(b, self._one(group[0], k), width)
        for i, r in enumerate(group[1:], 1):
            other = splat(b, self._one(r, k), width)
            taken = chosen([j + width * (j // n == i) for j in range(width)])
            ones = b.shuffle_vector(ones, other, taken)
        values = self._vector(k, self.last)
        if 1 < n < width:
            values = b.shuffle_vector(values, values, chosen([j % n for j in range(width)]))
        return fma(b, ones, splat(b, values, width), total)

    def elements(self, sums: list[Any]) -> list[Any]:
        """The sums of each row, one row after the other."""
        many, found = len(self.wide), list[Any]()
        for r in range(len(self.tile.rows)):
            found += sums[r * many : (r + 1) * many]
            if self.groups:
                i, before = divmod(r, len(self.groups[0]))
                found.append(self._part(sums[len(self.order) + i], before * self.last.lanes))
        return found

    def _part(self, packed: Any, first: int) -> Any:
        """The last columns of one row."""
        b, n = self.e.b, self.last.lanes
        if lanes(packed) == n:
            return packed
        if n == 1:
            return b.extract_element(packed, constant(first, I32))
        return b.shuffle_vector(packed, packed, chosen(range(first, first + n)))
