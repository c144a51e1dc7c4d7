"""Keys: which element of an array an index names, for every index that NumPy knows but masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tarograd.compiler.llvm.words import I64, Place, index
from tarograd.compiler.program import Value
from tarograd.ops.shape import ARRAY


def is_rows(v: Value) -> bool:
    """Whether an index gathers rows: one array of whole numbers for the first axis."""
    return v.attributes["key"] == (ARRAY,) and len(v.operands[1].shape) == 1


def spelled_out(key: tuple[Any, ...], axes: int) -> list[Any]:
    """The key with as many slices in place of the Ellipsis as there are axes left.

    Example:
        >>> spelled_out((..., None, 0), 3)
        [slice(None, None, None), slice(None, None, None), None, 0]
    """
    taken = sum(part is not None and part is not Ellipsis for part in key)
    rest = [slice(None)] * (axes - taken)
    parts: list[Any] = []
    for part in key:
        parts.extend(rest if part is Ellipsis else [part])
    return parts if any(part is Ellipsis for part in key) else parts + rest


def located(
    e: Any, v: Value, arrays: Sequence[Value], dims: Sequence[int], places: Sequence[Place]
) -> list[Place]:
    """The place in an array of shape `dims` of what stands at `places` of its part.

    Args:
        e: the Elements that are being emitted.
        v: an index, or a scatter: what has the key.
        arrays: the index arrays in the key.
        dims: the shape of the array that is indexed.
        places: in the result of the index.
    """
    parts = spelled_out(v.attributes["key"], len(dims))
    wide = np.broadcast_shapes(*(x.shape for x in arrays))
    fancy = [i for i, p in enumerate(parts) if arrays and (p is ARRAY or isinstance(p, int))]
    together = not fancy or fancy[-1] - fancy[0] + 1 == len(fancy)
    plain = [i for i, p in enumerate(parts) if p is None or isinstance(p, slice)]
    # Where the axes of the index arrays come in the result: in front, if they are not together.
    first = sum(i < fancy[0] for i in plain) if fancy and together else 0
    of_arrays = list(places[first : first + len(wide)])
    rest = iter([*places[:first], *places[first + len(wide) :]])
    given, found = iter(arrays), list[Place]()
    for part in parts:
        if part is None:
            next(rest)
            continue
        n = dims[len(found)]
        if part is ARRAY:
            found.append(Place(_row(e, next(given), of_arrays, n)))
        elif isinstance(part, slice):
            found.append(_along(e, part, n, next(rest)))
        else:
            found.append(Place(index(int(part) % n)))
    return found


def _along(e: Any, part: slice, n: int, place: Place) -> Place:
    start, _, step = part.indices(n)
    stepped = place.first if step == 1 else e.b.mul(place.first, index(step))
    return Place(e.b.add(stepped, index(start)) if start else stepped)


def _row(e: Any, rows: Value, places: list[Place], n: int) -> Any:
    """The number in an index array; the caller has checked it, but nothing is read outside."""
    b = e.b
    new = len(places) - len(rows.shape)
    own = [
        p if size != 1 else Place(index(0))
        for p, size in zip(places[new:], rows.shape, strict=True)
    ]
    row = e.at(rows, own)
    if row.type.width < 64:
        row = b.sext(row, I64) if rows.dtype.kind == "i" else b.zext(row, I64)
    last = index(n - 1)
    row = b.select(b.icmp_signed("<", row, index(0)), b.add(row, index(n)), row)
    return b.select(b.icmp_unsigned("<", row, last), row, last)
