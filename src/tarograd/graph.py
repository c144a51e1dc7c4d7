"""The computational graph: what is computed, and nothing about how it is differentiated.

A `Primitive` is one kind of local computation, a `Node` one use of it, and an `Operand` the value
on an edge. The apple shop of the textbook, payment = apple * count * tax, is two nodes:

    apple ─┐
           × ── total ─┐
    count ─┘           × ── payment
    tax ───────────────┘

The one piece of global state of the package lives here too: the recording `context`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Rule = Callable[..., Any]


class Operand:
    """A value on an edge of the graph; `Tensor` is the one that users see.

    `node` is the computation that it came from, or None for a leaf.
    """

    __slots__ = ()

    node: Node | None
    value: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return self.value.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the value."""
        return self.value.dtype

    def record(self, primitive: Primitive, inputs: tuple[Any, ...], attributes: Any) -> Any:
        """Compute `primitive` and remember that it was computed."""
        raise NotImplementedError

    def holds(self, value: Array) -> bool:
        """Whether this very array is its value still."""
        return self.value is value

    def check(self, test: Callable[[Array], None]) -> None:
        """Let `test` look at the value, and raise if it is not as it should be.

        The compiler's Operands run it again on each new value.
        """
        test(self.value)


@dataclass(frozen=True, eq=False)
class Primitive:
    """One kind of local computation.

    Calling it on arrays computes; calling it with a Tensor among the inputs is recorded as well.

    Attributes:
        name: what the node is called in errors, drawings and source code.
        symbol: what stands in its circle, as in the textbook.
        forward: `forward(*inputs, **attributes) -> y`, on arrays. It never writes into its inputs.
        vjp: the rule of each input, `rule(g, y, *inputs, **attributes) -> the input's gradient`,
            where `g` is the upstream gradient and `y` the output; None for an input that is data.
            One rule that gives all the gradients as a tuple serves where the number of inputs
            varies or the rules share their work. Rules run on arrays and on Tensors alike. A
            primitive without rules is piecewise constant: no gradient flows through it.
        definition: for a composite, the same computation written in other primitives.
        promotes: the inputs are brought to one dtype, visibly, by Cast nodes.
        elementwise: as well as to one shape, by Repeat nodes; so no rule mentions broadcasting.

    Example:
        >>> import tarograd as tg
        >>> cube = tg.Primitive("cube", "x³", lambda x: x**3, vjp=lambda g, y, x: (3 * x**2 * g,))
        >>> x = tg.Tensor(2.0)
        >>> cube(x).backward()
        >>> float(x.grad)
        12.0
    """

    name: str
    symbol: str
    forward: Callable[..., Any]
    vjp: Rule | tuple[Rule | None, ...] | None = None
    definition: Callable[..., Any] | None = None
    promotes: bool = False
    elementwise: bool = False

    def __call__(self, *inputs: Any, **attributes: Any) -> Any:
        """Compute, and record if one of the inputs is part of a graph."""
        for x in inputs:
            if isinstance(x, Operand):
                return x.record(self, inputs, attributes)
        return self.forward(*inputs, **attributes)

    def __repr__(self) -> str:
        return f"Primitive({self.name})"


@dataclass(frozen=True, eq=False, slots=True)
class Group:
    """One call of a layer: the nodes recorded during it belong to it. Groups nest and fold."""

    name: str
    kind: str
    parent: Group | None = None

    def path(self) -> str:
        """The names from the outermost group to this one: `net.affine1`."""
        return self.name if self.parent is None else f"{self.parent.path()}.{self.name}"


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """One use of a primitive, with its inputs: Tensors and constants.

    `values` are the arrays that the inputs had. A leaf may be given another one later; then the
    derivative at the old one can't be recorded any more, and the walk back refuses it.
    """

    primitive: Primitive
    inputs: tuple[Any, ...]
    attributes: Mapping[str, Any]
    group: Group | None = None
    values: tuple[Any, ...] = ()


class Context(NamedTuple):
    """How operations are recorded at the moment; see `context`."""

    recording: bool = True
    training: bool = True
    seed: int | None = None
    step: Any = None


_DEFAULT = Context()
_context: ContextVar[Context] = ContextVar("tarograd recording context", default=_DEFAULT)
_group: ContextVar[Group | None] = ContextVar("tarograd group", default=None)


def current_context() -> Context:
    """The context that holds here, in this thread."""
    return _context.get()


@contextmanager
def context(**changes: Any) -> Iterator[None]:
    """Change how operations are recorded, for the length of a `with` block.

    Args:
        **changes: any of
            `recording` - False computes values only; the results are constants;
            `training` - False makes Dropout pass its input on, as in prediction;
            `seed`, `step` - Dropout draws the mask of this seed and step. The same pair
            gives the same mask, so a pass can be replayed.

    Example:
        >>> import tarograd as tg
        >>> x = tg.Tensor([1.0, 2.0])
        >>> with tg.context(recording=False):
        ...     print(x + x)
        Tensor([2. 4.])
    """
    if unknown := sorted(changes.keys() - set(Context._fields)):
        known = ", ".join(Context._fields)
        raise TypeError(f"context: there is no setting {', '.join(unknown)}; there are {known}")
    token = _context.set(_context.get()._replace(**changes))
    try:
        yield
    finally:
        _context.reset(token)


def current_group() -> Group | None:
    """The group to which a node recorded here would belong."""
    return _group.get()


@contextmanager
def group(name: str, kind: str) -> Iterator[None]:
    """Let the nodes recorded in the `with` block belong to the group `name`."""
    token = _group.set(Group(name, kind, _group.get()))
    try:
        yield
    finally:
        _group.reset(token)


# Behind a value that was computed without recording: no inputs, nothing flows back.
CONSTANT = Node(Primitive(name="constant", symbol="const", forward=np.asarray), (), {})


def recorded(
    primitive: Primitive, inputs: tuple[Any, ...], values: tuple[Any, ...], attributes: Any
) -> Node:
    """The node for a computation made here: in the current group, or CONSTANT."""
    if not _context.get().recording:
        return CONSTANT
    return Node(primitive, inputs, attributes, _group.get(), values)


def topological_order(*outputs: Operand) -> list[Operand]:
    """All operands that `outputs` were computed from, inputs first, and they themselves.

    Each stands after everything that it depends on, so that the reversed order visits a value
    only when all its uses have been visited. Iterative, so a graph may be as deep as memory
    allows; the order depends on the graph alone.
    """
    order: list[Operand] = []
    seen: set[int] = set()
    stack: list[tuple[Operand, bool]] = [(output, False) for output in reversed(outputs)]
    while stack:
        operand, inputs_done = stack.pop()
        if inputs_done:
            order.append(operand)
        elif id(operand) not in seen:
            seen.add(id(operand))
            stack.append((operand, True))
            if operand.node is not None:
                inputs = operand.node.inputs
                stack.extend((x, False) for x in reversed(inputs) if isinstance(x, Operand))
    return order


def verify(output: Operand) -> None:
    """Check the grammar of the graph behind `output`.

    Every value is read-only; an elementwise node has inputs of one shape, the floats among them of
    one dtype; and every node, computed again from its inputs, gives the value that it gave before.

    Raises:
        ValueError: naming the first node, in order of computation, that breaks a rule.

    Example:
        >>> import tarograd as tg
        >>> x = tg.Tensor([1.0, 2.0])
        >>> tg.graph.verify((x * x).sum())
    """
    for operand in topological_order(output):
        if operand.value.flags.writeable:
            raise ValueError(f"the value of {operand!r} is writeable")
        node = operand.node
        if node is None or not node.inputs:
            continue
        name = node.primitive.name
        given = [x.value if isinstance(x, Operand) else x for x in node.inputs]
        if node.primitive.elementwise:
            values = [x.value for x in node.inputs if isinstance(x, Operand)]
            shapes = {v.shape for v in values}
            floats = {v.dtype for v in values if v.dtype.kind == "f"}
            if shapes - {operand.value.shape}:
                raise ValueError(f"{name}: inputs {shapes} beside an output {operand.value.shape}")
            if len(floats) > 1:
                raise ValueError(f"{name}: inputs of the dtypes {sorted(map(str, floats))}")
        again = node.primitive.forward(*given, **node.attributes)
        same = np.array_equal(again, operand.value, equal_nan=operand.value.dtype.kind == "f")
        if not same or np.asarray(again).dtype != operand.value.dtype:
            raise ValueError(f"{name}: computed again from its inputs it gives another value")
