"""Keys: which element of an array an index names, for every index that NumPy knows but masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tarograd.compiler.llvm.words import I64, Place, constant, element, index, shaped
from tarograd.compiler.placing import Key, spelled_out
from tarograd.compiler.program import Value
from tarograd.ops.shape import ARRAY

ANYWHERE = 2**20  # elements from one that an index array names to the next: far, as far as known


def of_arrays_in(key: Key, arrays: Sequence[Value], axes: int) -> tuple[int, int]:
    """Where the axes of the index arrays begin in the result, and how many they are."""
    parts, wide = spelled_out(key, axes), np.broadcast_shapes(*(x.shape for x in arrays))
    fancy = [i for i, p in enumerate(parts) if arrays and (p is ARRAY or isinstance(p, int))]
    together = not fancy or fancy[-1] - fancy[0] + 1 == len(fancy)
    plain = [i for i, p in enumerate(parts) if p is None or isinstance(p, slice)]
    # In front, if the arrays are not together in the key.
    return (sum(i < fancy[0] for i in plain) if fancy and together else 0), len(wide)


def located(
    e: Any, key: Key, arrays: Sequence[Value], dims: Sequence[int], places: Sequence[Place]
) -> list[Place]:
    """The place in an array of shape `dims` of what stands at `places` of its part.

    Args:
        e: the Elements that are being emitted.
        key: of an index or a scatter.
        arrays: the index arrays in the key.
        dims: the shape of the array that is indexed.
        places: in the result of the index.
    """
    parts = spelled_out(key, len(dims))
    first, wide = of_arrays_in(key, arrays, len(dims))
    of_arrays = list(places[first : first + wide])
    rest = iter([*places[:first], *places[first + wide :]])
    given, found = iter(arrays), list[Place]()
    for part in parts:
        if part is None:
            next(rest)
            continue
        n = dims[len(found)]
        if part is ARRAY:
            digits = tuple(d for p in of_arrays for d in p.digits)
            row = _row(e, next(given), of_arrays, n)
            found.append(Place(row, digits=digits, scale=ANYWHERE, whole=False))
        elif isinstance(part, slice):
            found.append(_along(e, part, n, next(rest)))
        else:
            found.append(Place(index(int(part) % n)))
    return found


def _along(e: Any, part: slice, n: int, place: Place) -> Place:
    start, _, step = part.indices(n)
    if len(range(n)[part]) == n and step == 1:
        return place
    first = place.first if step == 1 else e.b.mul(place.first, index(step))
    first = e.b.add(first, index(start)) if start else first
    return place._replace(first=first, scale=place.scale * step, whole=False)


def _row(e: Any, rows: Value, places: list[Place], n: int) -> Any:
    """The number in an index array; the caller has checked it, but nothing is read outside."""
    b = e.b
    new = len(places) - len(rows.shape)
    own = [
        p if size != 1 else Place(index(0))
        for p, size in zip(places[new:], rows.shape, strict=True)
    ]
    row = e.at(rows, own)
    if element(row).width < 64:
        widened = b.sext if rows.dtype.kind == "i" else b.zext
        row = widened(row, shaped(I64, row))
    nothing, size, last = (constant(i, row.type) for i in (0, n, n - 1))
    row = b.select(b.icmp_signed("<", row, nothing), b.add(row, size), row)
    return b.select(b.icmp_unsigned("<", row, last), row, last)
