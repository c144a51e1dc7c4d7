"""Fusion: which values one kernel computes.

A kernel is one loop nest. It computes a product, a sum, or elements; elementwise values join the
kernel that computes their inputs, so that no array is read again that was just written. What only
moves elements (transpose, repeat, reshape, a gathered row) is no kernel: it is another way to
read an array. So is a little arithmetic on an array that is there anyway.

In comes the graph of two apples with their tax and derivatives; what the apples cost is the
derivative by the tax too, and so it is a result, of the kernel that also computes the payment:

    >>> import tarograd as tg
    >>> from tarograd.compiler.lower import lower
    >>> from tarograd.compiler.trace import trace
    >>> def shop(apple, count, tax):
    ...     payment = apple * count * tax
    ...     return [payment, *tg.grad(payment, [apple, count, tax])]
    >>> program = trace(shop, {"apple": 100.0, "count": 2.0, "tax": 1.1}, name="shop")
    >>> [[v.primitive.name for v in kernel.values] for kernel in Fusion(lower(program)).position]
    [['multiply', 'multiply'], ['multiply'], ['multiply']]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tarograd.compiler.layout import SHORT
from tarograd.compiler.placing import placed, spelled_out
from tarograd.compiler.program import Program, Value
from tarograd.compiler.skipping import lookup, nonzero, visits
from tarograd.compiler.trace import Untraceable
from tarograd.graph import Primitive
from tarograd.ops import arithmetic, elementwise, matmul, random, reduction, shape

MOVERS = (shape.transpose, shape.repeat, shape.reshape, shape.index, lookup)
# What has a kernel of its own: the kind of kernel.
KINDS: dict[Primitive | None, str] = {
    reduction.sum: "reduce",
    reduction.max: "reduce",
    reduction.min: "reduce",
    reduction.prod: "reduce",
    reduction.argmax: "argmax",
    random.bernoulli: "draw",
    random.uniform: "draw",
    random.normal: "draw",
    placed: "join",
    shape.scatter: "scatter",
    visits: "visits",
}

CHEAP = 16  # operations in a row, at most, that are done again wherever their result is read
# What takes less time than to write an array and to read it again, a few times in a row.
LITTLE, FEW = (arithmetic.add, arithmetic.subtract, arithmetic.multiply, arithmetic.negative), 3
TWICE = ("rows", "bits")  # kernels that may compute an element twice


@dataclass(eq=False)
class Kernel:
    """One loop nest.

    Attributes:
        kind: "loop", "matmul", "reduce", "rows", "argmax", "draw", "join", "scatter", "bits" or
            "visits".
        shape: that of what it computes; of "rows" of what is summed, of "bits" of its elements.
        values: what it computes, each after its inputs; the first is the product or the sum.
    """

    kind: str
    shape: tuple[int, ...]
    values: list[Value] = field(default_factory=list)


class Fusion:
    """The kernels of a program, and what they read.

    Args:
        program: lowered.

    Attributes:
        order: all values, each after its inputs.
        kernel: the one that computes a value, by the `id` of the Value.
        position: of each kernel, in an order in which they can run.
        stored: the values that have to be arrays, by their `id`.
        reads: of each kernel, the arrays that it reads, by their `id`.
        indirect: what a kernel reads at another index than that which it computes.

    Raises:
        Untraceable: for a primitive that no kernel computes.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.order = program.order()
        self.kernel: dict[int, Kernel] = {}
        self.position: dict[Kernel, int] = {}
        self.stored: dict[int, Value] = {}
        self._behind: dict[int, list[tuple[Value, bool]]] = {}
        self._chain: dict[int, int] = {}
        self.wanted = {id(v) for v in self._arrays_wanted()}
        for v in self.order:
            if v.primitive is not None:
                self._assign(v)
        self._find_stored()

    def is_computed(self, v: Value) -> bool:
        """Whether a kernel computes it; else it is an array, or computed wherever it is read."""
        return id(v) in self.kernel

    def sources(self, v: Value) -> Iterator[tuple[Value, bool]]:
        """The arrays and computed values behind `v`, and whether the same index of them is read."""
        for x in v.operands:
            same = v.primitive not in MOVERS and x.shape == v.shape
            if x.primitive is None or self.is_computed(x):
                yield x, same
                continue
            if id(x) not in self._behind:  # once: there may be many ways to what is used twice
                found = {(id(y), direct): (y, direct) for y, direct in self.sources(x)}
                self._behind[id(x)] = list(found.values())
            yield from ((y, same and direct) for y, direct in self._behind[id(x)])

    def _new(self, kind: str, v: Value) -> None:
        kernel = Kernel(kind, v.shape, [v])
        self.position[kernel] = len(self.position)
        self.kernel[id(v)] = kernel

    def _assign(self, v: Value) -> None:
        """Give a value to a kernel, unless it is cheap to compute it wherever it is read."""
        assert v.primitive is not None
        if v.primitive in MOVERS:
            if id(v) in self.wanted:
                self._new("loop", v)
        elif _sums_rows(v):
            self._join_row(v)
        elif v.primitive in KINDS:
            self._new(KINDS[v.primitive], v)
        elif v.is_op(matmul.matmul):
            if v.dtype.kind != "f":
                raise Untraceable(f"there is no kernel for matmul of {v.dtype}")
            self._new("matmul", v)
        elif v.is_op(nonzero):
            self._look(v)
        else:
            self._join(v)

    def _look(self, v: Value) -> None:
        """Let the bits of what is zero be found where its elements are computed, if in a loop."""
        x = v.operands[0]
        kernel = self.kernel[id(x)]
        if kernel.kind == "loop":
            self._add(v, kernel)
        else:
            self._new("bits", v)
            kernel = self.kernel[id(v)]
        kernel.kind, kernel.shape = "bits", x.shape

    def _join(self, v: Value) -> None:
        """Let an elementwise value be computed by the kernel that computes its inputs."""
        needed = [(self.kernel[id(x)], same) for x, same in self.sources(v) if x.primitive]
        chain = 1 + max((self._chain.get(id(x), 0) for x in v.operands), default=0)
        if not needed or (chain <= FEW and self._is_at_hand(v)):
            self._chain[id(v)] = chain
            if id(v) in self.wanted or chain > CHEAP:
                self._new("loop", v)
            return
        last = max((k for k, _ in needed), key=self.position.__getitem__)
        if last.kind == "rows":
            if self._follows(v, last):
                self._add(v, last)
            else:
                self._new("loop", v)
            return
        fits = last.shape == v.shape and last.kind in ("loop", "reduce", "matmul")
        if fits and all(same for k, same in needed if k is last):
            self._add(v, last)
        else:
            self._new("loop", v)

    def _is_at_hand(self, v: Value) -> bool:
        """Whether it is a little arithmetic on one array that is there anyway, as tanh's 1 - y²."""
        behind = {id(x): same for x, same in self.sources(v) if x.primitive or x.shape == v.shape}
        little = v.primitive in LITTLE and id(v) not in self.wanted
        there = len(behind) == 1 and all(behind.values()) and behind.keys() <= self.wanted
        return little and there

    def _add(self, v: Value, kernel: Kernel) -> None:
        kernel.values.append(v)
        self.kernel[id(v)] = kernel

    def _join_row(self, v: Value) -> None:
        """Rows are followed through several sums: a softmax is one kernel."""
        x = v.operands[0]
        needed = [self.kernel[id(y)] for y, _ in self.sources(v) if y.primitive]
        needed = needed or [k for k in self.position if (k.kind, k.shape) == ("rows", x.shape)]
        last = max(needed, key=self.position.__getitem__, default=None)
        if last is not None and last.kind == "rows" and self._follows(v, last):
            self._add(v, last)
        else:
            self._new("rows", v)
            self.kernel[id(v)].shape = x.shape

    def _follows(self, v: Value, kernel: Kernel) -> bool:
        """Whether row i of `v` needs nothing of what the kernel computes but row i."""
        rows, columns = kernel.shape
        shapes = ((rows, columns), (rows, 1), (rows,))

        def aligned(x: Value, reader: Value) -> bool:
            if x.primitive is None or self.kernel.get(id(x), kernel) is not kernel:
                return True
            if not self.is_computed(x) and not any(y.primitive for y, _ in self.sources(x)):
                return True
            kept = len(x.shape) == len(reader.shape) or reader.is_op(shape.reshape)
            kept = kept or _sums_rows(reader)
            if x.shape not in shapes or not kept or x.shape[0] != rows:
                return False
            if self.is_computed(x):
                return True
            return x.primitive in (shape.repeat, shape.reshape) and aligned(x.operands[0], x)

        return v.shape in shapes and all(aligned(x, v) for x in v.operands)

    def _arrays_wanted(self) -> Iterator[Value]:
        """What has to be an array although it could be computed wherever it is read."""
        yield from self.program.outputs.values()
        for v in self.order:
            if v.is_op(matmul.matmul):
                left, right = v.operands[:2]
                left = _behind(left)
                # Rows of the right one are read as vectors, and those of a table one by one.
                table = left.is_op(lookup)
                right = _behind(right, in_rows=True)
                yield from (left.operands[1] if table else left, right)
                if right.is_op(shape.transpose) and len(right.shape) == 2:  # in squares of an array
                    yield from (x for x in right.operands if x.primitive not in MOVERS)
            elif v.primitive is not None and v.primitive.elementwise:
                yield from filter(_is_turned, v.operands)
            elif KINDS.get(v.primitive) == "draw":
                yield v.operands[0]
            elif v.is_op(shape.repeat):  # computed once; moving and casting costs nothing
                x = v.operands[0]
                while x.primitive in MOVERS or x.is_op(elementwise.cast):
                    x = x.operands[0]
                yield x

    def _find_stored(self) -> None:
        """Values that another kernel reads, or in another order, or that are results."""
        self.reads: dict[Kernel, dict[int, Value]] = {k: {} for k in self.position}
        self.indirect: set[tuple[Kernel, int]] = set()
        for kernel in self.position:
            for v in kernel.values:
                for x, same in self.sources(v):
                    own = x.primitive is not None and self.kernel[id(x)] is kernel
                    if not own:
                        self.reads[kernel][id(x)] = x
                    plain = same and (kernel.kind == "loop" or v is not kernel.values[0])
                    if not plain or kernel.kind in TWICE:
                        self.indirect.add((kernel, id(x)))
        for found in self.reads.values():
            self.stored |= {i: x for i, x in found.items() if x.primitive is not None}
        self.stored |= {id(v): v for v in self.program.outputs.values() if v.primitive}


def _is_turned(v: Value) -> bool:
    """Whether its elements do not lie in the order of those that are computed of it."""
    floats = v.dtype.kind == "f" and len(v.shape) == 2 and min(v.shape) >= SHORT
    return v.is_op(shape.transpose) and floats and v.operands[0].is_op(matmul.matmul)


def _behind(v: Value, in_rows: bool = False) -> Value:
    """The array of which a factor is a view: of the right one, rows are read in vectors."""
    while v.primitive in MOVERS and len(v.operands) == 1 and (not in_rows or _keeps_rows(v)):
        v = v.operands[0]
    return v


def _keeps_rows(v: Value) -> bool:
    """Whether a row of the view lies within a row of its array, in order."""
    x, last = v.operands[0], len(v.shape) - 1
    if not x.shape or x.shape[-1] % max(v.shape[last], 1):
        return False
    if v.is_op(shape.reshape):
        return True
    if v.is_op(shape.transpose):
        return bool(v.attributes["axes"][last] == last)
    if v.is_op(shape.repeat):
        return x.shape[-1] == v.shape[last]
    return bool(spelled_out(v.attributes["key"], len(x.shape))[-1] == slice(None))


def _sums_rows(v: Value) -> bool:
    """Whether it is the sum, the maximum or the place of it, of each row, and a row is short."""
    if KINDS.get(v.primitive) not in ("reduce", "argmax"):
        return False
    dims = v.operands[0].shape
    return len(dims) == 2 and 1 < dims[1] <= SHORT and v.attributes["axis"] in (1, (1,))
