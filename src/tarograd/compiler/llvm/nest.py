"""Nest: the loops of a kernel, such that what it reads lies where they count.

An axis that is read in another shape is counted by several loops, a digit each, so that an array
of shape (12, 9) is an array of shape (3, 4, 9) without dividing. One of the digits is counted in
vectors: that along which the most arrays lie in memory, which is found out by a dry run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tarograd.compiler.layout import lanes_of
from tarograd.compiler.llvm import text as ir
from tarograd.compiler.llvm.elements import MOVERS, Elements, tail_of
from tarograd.compiler.llvm.operations import HEAVY
from tarograd.compiler.llvm.share import Share
from tarograd.compiler.llvm.words import (
    I64,
    Digit,
    Place,
    assembled,
    constant,
    index,
    loop,
    type_of,
)
from tarograd.compiler.program import Value

CUTS = 8  # times that an axis is cut, at most
OF_HEAVY = 10.0  # how much work a heavy operation is, beside one that reads or writes a vector
At = tuple[int, int]  # an axis, and the number of a digit of it
# Touches what a kernel reads and writes at an index.
Touch = Callable[[Elements, list[Place]], None]


@dataclass
class Dry(Elements):
    """Emits nothing, but finds out where in memory the elements lie.

    Attributes:
        strides: for each array, elements from one to the next along each digit, by its name.
        cuts: digits that should be two, and the size of the second one.
        work: of the operations, beside one that reads or writes a vector.
    """

    strides: list[dict[str, int]] = field(default_factory=list)
    cuts: dict[str, int] = field(default_factory=dict)
    work: float = 0.0

    def load(self, v: Value, places: Sequence[Place]) -> Any:
        """Note where it lies."""
        found: dict[str, int] = {}

        def note(place: Place, stride: int) -> None:
            for digit, unit in place.units():
                if digit.of is not None:
                    note(digit.of, stride * unit)
                found[digit.value.name] = found.get(digit.value.name, 0) + stride * unit

        for place, stride in zip(places, self.plan.buffers[id(v)].strides, strict=True):
            note(place, stride)
        self.strides.append(found)
        return constant(0, type_of(v.dtype))

    def store(self, v: Value, places: Sequence[Place], element: Any) -> None:
        """Note where it goes."""
        self.load(v, places)

    def cut(self, digit: Digit, size: int) -> tuple[Digit, Digit] | None:
        """Note where the axis should be two."""
        if digit.of is None:
            self.cuts.setdefault(digit.value.name, size)
        return super().cut(digit, size)

    def _emit(self, v: Value, places: list[Place]) -> Any:
        if v.primitive in MOVERS or (id(v) in self.plan.buffers and not self._mine(v)):
            return super()._emit(v, places)
        self.work += OF_HEAVY if v.primitive in HEAVY else 0.5
        self.operands(v, places)
        return constant(0, type_of(v.dtype))


@dataclass
class Nest:
    """The loops over some axes.

    Attributes:
        sizes: of the digits of each axis.
        vector: the axis and the number of the digit that is counted in vectors; None for scalars.
        lanes: of a vector.
    """

    sizes: list[list[int]]
    vector: At | None
    lanes: int

    def order(self, axes: Sequence[int]) -> list[At]:
        """The digits of some axes, that of the vectors last."""
        order = [(a, i) for a in axes for i in range(len(self.sizes[a]))]
        return sorted(order, key=lambda at: at == self.vector)

    def step(self, at: At) -> int:
        """By how much a digit goes on."""
        return self.lanes if at == self.vector else 1

    def size(self, at: At) -> int:
        """Of a digit."""
        return self.sizes[at[0]][at[1]]

    def place(self, b: Any, axis: int, values: dict[At, Any]) -> Place:
        """The place along an axis from the digits that have been counted."""
        numbered = enumerate(self.sizes[axis])
        return assembled(b, [Digit(values[axis, i], n, self.step((axis, i))) for i, n in numbered])

    def start_vector(self, e: Elements, at: At, first: Any) -> None:
        """Tell which lanes count, if the last vector is not full."""
        if at == self.vector:
            e.tail = tail_of(self.size(at), first, self.lanes)

    @contextmanager
    def loops(
        self, e: Elements, axes: Sequence[int], shared: bool = True
    ) -> Iterator[dict[At, Any]]:
        """Emit the `with` block within the loops over some axes, the outermost one shared."""
        with ExitStack() as stack:
            e.tail, values = None, dict[At, Any]()
            for at in self.order(axes):
                size, step = self.size(at), self.step(at)
                if shared and size > step:
                    i = stack.enter_context(e.share.over(e.b, -(-size // step)))
                    values[at] = e.b.mul(i, index(step)) if step > 1 else i
                    shared = False
                else:
                    values[at] = stack.enter_context(loop(e.b, size, step))
                self.start_vector(e, at, values[at])
            if shared and e.share.units:  # the other units are of other loops
                stack.enter_context(e.share.over(e.b, 1))
            e.known.clear()
            yield values

    def counted(self, b: Any, axis: int, number: Any) -> dict[At, Any]:
        """The digits of a number along an axis."""
        found: dict[At, Any] = {}
        for i, n in reversed([*enumerate(self.sizes[axis])]):
            found[axis, i] = b.urem(number, index(n)) if i else number
            number = b.udiv(number, index(n)) if i else number
        return found


def explored(
    e: Elements, dims: Sequence[int], touch: Touch, free: Sequence[int] | None = None
) -> Nest:
    """The loops over the axes of a shape that suit what is read and written.

    Args:
        e: what the kernel is emitted with.
        dims: the lengths of the axes.
        touch: reads and writes at an index.
        free: the axes along which there may be vectors; by default all.
    """
    sizes = [[n] if n != 1 else [] for n in dims]
    for _ in range(CUTS):
        nowhere = ir.Function(ir.Module(), ir.VOID, [], "dry").append_basic_block()
        dry = Dry(ir.IRBuilder(nowhere), e.plan, {}, Share(None, None), kernel=e.kernel)
        digits = [
            [Digit(ir.Value(I64, f"%d{a}_{i}"), n) for i, n in enumerate(ns)]
            for a, ns in enumerate(sizes)
        ]
        touch(dry, [assembled(dry.b, ds) for ds in digits])
        cut = [[_parts(d, dry.cuts) for d in ds] for ds in digits]
        if cut == [[[n] for n in ns] for ns in sizes]:
            break
        sizes = [[n for part in parts for n in part] for parts in cut]
    vector = _best(dry, digits, range(len(dims)) if free is None else free, e.plan.widest)
    lanes = lanes_of(sizes[vector[0]][vector[1]], e.plan.widest) if vector else 1
    return Nest(sizes, vector, lanes)


def _parts(digit: Digit, cuts: dict[str, int]) -> list[int]:
    """The sizes of what a digit is cut into."""
    low = cuts.get(digit.value.name)
    return [digit.size] if low is None else [digit.size // low, low]


def _best(dry: Dry, digits: list[list[Digit]], free: Sequence[int], widest: int) -> At | None:
    """The digit along which vectors are the least work; of several the last one."""
    best: tuple[float, At] | None = None
    for a in free:
        for i, d in enumerate(digits[a]):
            n = lanes_of(d.size, widest)
            apart = (s.get(d.value.name, 0) for s in dry.strides)
            # What is the same in all lanes is read once; what is not in a row, lane by lane.
            work = sum((0.2, 1.0, n)[min(abs(stride), 2)] for stride in apart) + dry.work
            work *= -(-d.size // n) / max(d.size, 1)
            if best is None or work <= best[0]:
                best = work, (a, i)
    return best and best[1]
