"""Kernels for any shape: joined and scattered arrays, places of maxima."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

from tarograd.compiler.fusion import Kernel
from tarograd.compiler.llvm.elements import ONE, Elements
from tarograd.compiler.llvm.keys import located, of_arrays_in
from tarograd.compiler.llvm.nest import At, Touch, explored
from tarograd.compiler.llvm.operations import converted
from tarograd.compiler.llvm.words import (
    Digit,
    Place,
    accumulate,
    assembled,
    constant,
    index,
    splat,
    type_of,
)
from tarograd.compiler.placing import Key, area, disjoint, size, spelled_out
from tarograd.compiler.program import Value


def join_kernel(e: Elements, kernel: Kernel) -> None:
    """Arrays put to their places in another one; where several come, they are added in order."""
    v = kernel.values[0]
    pairs = zip(v.operands, v.attributes["keys"], strict=True)
    parts = [Part(x, key, area(key, v.shape)) for x, key in pairs if 0 not in x.shape]
    for i, part in enumerate(parts):
        part.first = all(disjoint(part.area, other.area) for other in parts[:i])
    covered = sum(size(part.area) for part in parts) == prod(v.shape)
    covered = covered and all(part.first for part in parts)
    if covered and not all(part.keeps_rows(v) for part in parts):
        for part in parts:
            _put(e, v, part, shared=True)
        return
    rows = all(part.keeps_rows(v) for part in parts)
    with e.share.over(e.b, v.shape[0] if rows else 1) as i:
        row = i if rows else None
        if not covered:
            _fill(e, v, v.attributes["value"], row)
        for part in parts:
            _put(e, v, part, row)


@dataclass
class Part:
    """One of the arrays that are put to their places.

    Attributes:
        x: the array.
        key: its places.
        area: the same, axis by axis.
        first: whether nothing was put to any of them before.
    """

    x: Value
    key: Key
    area: list[range]
    first: bool = True

    def keeps_rows(self, v: Value) -> bool:
        """Whether row i of the array comes to row i of the result."""
        key = spelled_out(self.key, len(v.shape))
        return bool(key) and isinstance(key[0], slice) and self.area[0] == range(v.shape[0])


def _fill(e: Elements, v: Value, number: float, row: Any = None) -> None:
    """The same number everywhere, or in one row."""
    filling = constant(number, type_of(v.dtype))
    with _within(e, v.shape, row, lambda dry, places: dry.store(v, places, filling)) as places:
        e.store(v, places, filling)


def _put(e: Elements, v: Value, part: Part, row: Any = None, shared: bool = False) -> None:
    """An array, or one row of it, to its places."""

    def touch(dry: Elements, places: list[Place]) -> None:
        dry.store(v, located(dry, part.key, [], v.shape, places), dry.at(part.x, places))

    with _within(e, part.x.shape, row, touch, shared) as places:
        target = located(e, part.key, [], v.shape, places)
        element = converted(e.b, e.at(part.x, places), part.x.dtype, v.dtype)
        e.store(v, target, element if part.first else _sum(e, v, target, element))


def _sum(e: Elements, v: Value, places: list[Place], element: Any) -> Any:
    """What stands somewhere already, and one more."""
    add = {"f": e.b.fadd, "b": e.b.or_}.get(v.dtype.kind, e.b.add)
    return add(e.load(v, places), splat(e.b, element, max(p.lanes for p in [*places, ONE])))


@contextmanager
def _within(
    e: Elements, dims: Sequence[int], row: Any, touch: Touch, shared: bool = False
) -> Iterator[list[Place]]:
    """Emit the `with` block within loops over all axes, or all but the first if that is given."""
    axes = range(len(dims))
    inner = axes if row is None else axes[1:]
    nest = explored(e, dims, touch, inner)
    with nest.loops(e, inner, shared) as values:
        known = values if row is None else values | nest.counted(e.b, 0, row)
        yield [nest.place(e.b, axis, known) for axis in axes]
    e.known.clear()


def argmax_kernel(e: Elements, kernel: Kernel) -> None:
    """The place of the first largest element; the first NaN is larger than all, as in NumPy.

    There are vectors only of several results.
    """
    b, v = e.b, kernel.values[0]
    x, axis = v.operands[0], v.attributes["axis"]
    axes = list(range(len(x.shape))) if axis is None else [axis % len(x.shape)]
    kept = [i for i in range(len(x.shape)) if i not in axes]

    def touch(dry: Elements, places: list[Place]) -> None:
        dry.store(v, [places[i] for i in kept], dry.at(x, places))

    nest = explored(e, x.shape, touch, kept)

    def places(values: dict[At, Any]) -> list[Place]:
        return [nest.place(b, i, values) for i in range(len(x.shape))]

    def visit(left: list[At], values: dict[At, Any], carried: list[Any]) -> list[Any]:
        if left:
            at, *rest = left
            return accumulate(
                b, nest.size(at), 1, carried, lambda i, c: visit(rest, values | {at: i}, c)
            )
        e.known.clear()
        (best, found), here = carried, places(values)
        flat = assembled(b, [Digit(here[i].first, x.shape[i]) for i in axes]).first
        element = splat(b, e.at(x, here), nest.lanes)
        larger = is_larger(b, x, element, best)
        flat = splat(b, flat, nest.lanes)
        return [b.select(larger, element, best), b.select(larger, flat, found)]

    with nest.loops(e, kept) as values:
        zeros = {at: index(0) for at in nest.order(axes)}
        first = splat(b, e.at(x, places(values | zeros)), nest.lanes)
        start = [first, splat(b, index(0), nest.lanes)]
        _, found = visit(nest.order(axes), values, start)
        out = [place for i, place in enumerate(places(values | zeros)) if i in kept]
        e.known.clear()
        e.bind(v, out, found)
        e.finish(out)


def is_larger(b: Any, x: Value, element: Any, best: Any) -> Any:
    """Whether an element of x is the new maximum; the first NaN is."""
    if x.dtype.kind != "f":
        return (b.icmp_signed if x.dtype.kind == "i" else b.icmp_unsigned)(">", element, best)
    first_nan = b.and_(b.fcmp_unordered("uno", element, element), b.fcmp_ordered("ord", best, best))
    return b.or_(b.fcmp_ordered(">", element, best), first_nan)


def scatter_kernel(e: Elements, kernel: Kernel) -> None:
    """Zeros, then the elements added one after the other, in the order of NumPy's `add.at`.

    There are vectors only along axes without index arrays, where no place comes twice.
    """
    v = kernel.values[0]
    x, *arrays = v.operands
    _fill(e, v, 0)
    if 0 in x.shape:
        return
    key = v.attributes["key"]
    first, count = of_arrays_in(key, arrays, len(v.shape))
    axes = range(len(x.shape))

    def touch(dry: Elements, places: list[Place]) -> None:
        dry.store(v, located(dry, key, arrays, v.shape, places), dry.at(x, places))

    nest = explored(e, x.shape, touch, [i for i in axes if not first <= i < first + count])
    with nest.loops(e, axes, shared=False) as values:
        places = [nest.place(e.b, axis, values) for axis in axes]
        target = located(e, key, arrays, v.shape, places)
        element = converted(e.b, e.at(x, places), x.dtype, v.dtype)
        e.store(v, target, _sum(e, v, target, element))
    e.known.clear()
