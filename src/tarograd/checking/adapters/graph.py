"""Layers, networks, primitives and functions of Tensors.

Their graph is at hand, and so the derivative can be taken with the branches held: every ReLU,
maximum or clip stays on the side on which it was recorded. The kinks are gone, and a deep network
with one number as its loss can be checked to many digits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np

from tarograd.backward import backpropagate
from tarograd.checking.adapters.objects import parameters_of
from tarograd.checking.subject import Array, Values
from tarograd.graph import Node, Operand, Primitive, context, topological_order
from tarograd.tensor import Tensor

Replay = Callable[..., Array]


def _times(slope: Array) -> Replay:
    return lambda x: x * slope


def _share(equal: Array, axis: Any) -> Array:
    return np.asarray(equal / np.sum(equal, axis=axis, keepdims=True))


def _extreme(x: Array, y: Array, *, axis: Any = None, **_: Any) -> Replay:
    """Max or min over axes: the elements that are it now keep their shares."""
    whole = tuple(range(x.ndim)) if axis is None else axis
    top = np.asarray(y).reshape(np.sum(x, axis=whole, keepdims=True).shape)
    share = _share(x == top, whole)
    return lambda x, **_: np.sum(x * share, axis=whole).reshape(np.shape(y))


def _larger(a: Array, b: Array, y: Array) -> Replay:
    first = np.where(a == b, 0.5, y == a)
    return lambda a, b: first * a + (1 - first) * b


def _clip(x: Array, y: Array, *, low: float, high: float) -> Replay:
    inside = (low <= x) & (x <= high)
    return lambda x, **_: np.where(inside, x, y)


# How a primitive with branches is computed when it stays on those that it took: from its recorded
# inputs and output to a function of new inputs.
FROZEN: dict[str, Callable[..., Replay]] = {
    "relu": lambda x, y: _times(x > 0),
    "abs": lambda x, y: _times(np.sign(x)),
    "maximum": _larger,
    "minimum": _larger,
    "clip": _clip,
    "max": _extreme,
    "min": _extreme,
}


class GraphSubject:
    """Something that computes with Tensors, on a copy in float64.

    Args:
        subject: a layer, a network (checked with its loss if targets are given), a primitive, or
            a function of Tensors.
        inputs: its inputs.
        seed: of the masks that it draws.
    """

    takes_upstream = True

    def __init__(self, subject: Any, inputs: Sequence[Any], seed: int = 0) -> None:
        self.seed = seed
        is_layer = hasattr(subject, "named_parameters")
        self.layer = cast(Any, subject.astype(np.float64) if is_layer else None)
        self.name = _name(subject)
        self.compute: Callable[..., Any] = self.layer if is_layer else subject
        given = [np.asarray(x.value if isinstance(x, Operand) else x) for x in inputs]
        differentiated = len(given)
        if hasattr(self.layer, "objective"):
            given[:1] = [self.layer.read(x) for x in given[:1]]
            if len(given) > 1:
                self.compute, differentiated = self.layer.objective, 1
        self.inputs = _input_names(subject, len(given))
        self.values: dict[str, Array] = {}
        floats = []
        for i, (name, x) in enumerate(zip(self.inputs, given, strict=True)):
            self.values[name] = np.array(x, np.float64 if x.dtype.kind == "f" else None)
            if x.dtype.kind == "f" and i < differentiated:
                floats.append(name)
        self.parameters = self.layer.named_parameters() if self.layer is not None else {}
        self.values |= {n: np.array(p.value) for n, p in self.parameters.items()}
        self.leaves = (*self.parameters, *floats)
        self.notes: list[str] = []
        if not self.leaves:
            listed = ", ".join(f"{x.dtype} {x.shape}" for x in given) or "none"
            raise TypeError(
                f"check_gradients({self.name}): nothing to differentiate: no parameter, and no "
                f"float among the inputs ({listed}); whole numbers are data, write x.astype(float)"
            )

    def fresh(self, values: Values | None = None, draw: int = 0) -> GraphRun:
        """One use."""
        return GraphRun(self, draw)

    def frozen(self, values: Values, draw: int) -> Callable[[Values], tuple[Array, ...]] | None:
        """Forward on the branches that it takes at `values`."""
        run = GraphRun(self, draw)
        before = run.forward(values)
        replay = Recording(run.outputs, run.leaves)
        again = replay(values)
        same = all(
            np.allclose(a, b, rtol=1e-12, atol=0, equal_nan=True)
            for a, b in zip(before, again, strict=True)
        )
        return replay if same else None

    def parts(self, values: Values, draw: int) -> Iterator[NodeSubject]:
        """Each node of the graph as a subject of its own, with the inputs that it has there."""
        run = GraphRun(self, draw)
        run.forward(values)
        for x in _order(run.outputs):
            if x.node is not None and x.node.primitive.vjp and x.node.inputs:
                part = NodeSubject(x.node)
                if part.leaves:
                    yield part

    def release(self) -> None:
        """Nothing outside of the copy is used."""


class GraphRun:
    """One recorded pass."""

    def __init__(self, subject: GraphSubject, draw: int) -> None:
        self.subject, self.draw = subject, draw

    def forward(self, values: Values) -> tuple[Array, ...]:
        """Record the graph at `values`."""
        subject = self.subject
        self.leaves: dict[str, Tensor] = {}
        for name, parameter in subject.parameters.items():
            parameter._value = _locked(values[name])  # also of another shape
            self.leaves[name] = parameter
        given: list[Any] = []
        for name in subject.inputs:
            if name in subject.leaves:
                self.leaves[name] = Tensor(np.array(values[name]))
            given.append(self.leaves.get(name, values[name]))
        with context(recording=True, seed=(subject.seed + self.draw) % 2**64, step=0):
            y = subject.compute(*given)
        self.outputs = list(y) if isinstance(y, tuple | list) else [y]
        for t in self.outputs:
            if not isinstance(t, Tensor):
                raise TypeError(
                    f"check_gradients: a {type(t).__name__} came out, a Tensor is needed"
                )
        return tuple(np.asarray(t.value) for t in self.outputs)

    def backward(self, upstream: tuple[Array, ...]) -> dict[str, Any]:
        """Backpropagate through the recorded graph."""
        found: dict[int, Any] = {}
        wanted = list(self.leaves.values())
        for y, c in zip(self.outputs, upstream, strict=True):
            for x, g, _ in backpropagate(topological_order(y), c, wanted, lambda i: i.value):
                if any(x is w for w in wanted):
                    found[id(x)] = found[id(x)] + g if id(x) in found else g
        zeros = {n: np.zeros(x.shape) for n, x in self.leaves.items()}
        return {n: np.array(found.get(id(x), zeros[n])) for n, x in self.leaves.items()}

    def parameters(self) -> dict[str, Array]:
        """What the parameters hold now."""
        return {n: np.asarray(p.value) for n, p in self.subject.parameters.items()}

    def advance_generators(self) -> None:
        """Masks are functions of a seed; nothing moves on."""


class Recording:
    """A recorded graph, computed again at other values on the branches that it took."""

    def __init__(self, outputs: list[Any], leaves: dict[str, Tensor]) -> None:
        self.names = {id(x): n for n, x in leaves.items()}
        self.order = _order(outputs)
        self.outputs = outputs
        self.steps: list[Replay | None] = [self._step(x) for x in self.order]

    def _step(self, x: Operand) -> Replay | None:
        """How a value is computed again; None if it stays."""
        node = x.node
        if node is None or not node.inputs or node.primitive.vjp is None:
            return None
        frozen = FROZEN.get(node.primitive.name)
        if frozen is None:
            return node.primitive.forward
        return frozen(*_arrays(node), x.value, **node.attributes)

    def __call__(self, values: Values) -> tuple[Array, ...]:
        """The outputs at `values`."""
        now: dict[int, Any] = {}
        for x, step in zip(self.order, self.steps, strict=True):
            if id(x) in self.names:
                now[id(x)] = values[self.names[id(x)]]
            elif step is None or x.node is None:
                now[id(x)] = x.value
            else:
                given = [now[id(i)] if isinstance(i, Operand) else i for i in x.node.inputs]
                now[id(x)] = step(*given, **x.node.attributes)
        return tuple(np.asarray(now[id(y)]) for y in self.outputs)


class NodeSubject:
    """One node of a graph: its primitive, with the inputs that it has in its place."""

    takes_upstream = True

    def __init__(self, node: Node) -> None:
        self.node, rules = node, node.primitive.vjp
        self.name = ".".join(
            filter(None, [node.group.path() if node.group else "", node.primitive.name])
        )
        self.inputs = tuple(f"x{i}" for i in range(len(node.inputs)))
        self.values = {n: np.array(x) for n, x in zip(self.inputs, _arrays(node), strict=True)}
        self.leaves = tuple(
            n
            for i, n in enumerate(self.inputs)
            if isinstance(node.inputs[i], Operand)
            and self.values[n].dtype.kind == "f"
            and not (isinstance(rules, tuple) and rules[i] is None)
        )
        self.notes: list[str] = []

    def fresh(self, values: Values | None = None, draw: int = 0) -> NodeRun:
        """One use."""
        return NodeRun(self)

    def frozen(self, values: Values, draw: int) -> Callable[[Values], tuple[Array, ...]] | None:
        """A node is judged as it is: its kinks are left out."""
        return None

    def release(self) -> None:
        """Nothing to put back."""


class NodeRun:
    """One use of a node's primitive."""

    def __init__(self, subject: NodeSubject) -> None:
        self.subject = subject

    def forward(self, values: Values) -> tuple[Array, ...]:
        """The output."""
        node = self.subject.node
        self.given = [values[n] for n in self.subject.inputs]
        self.y = np.asarray(node.primitive.forward(*self.given, **node.attributes))
        return (self.y,)

    def backward(self, upstream: tuple[Array, ...]) -> dict[str, Any]:
        """What the primitive's rules give."""
        node, g = self.subject.node, upstream[0]
        vjp: Any = node.primitive.vjp
        if isinstance(vjp, tuple):
            shares = [r(g, self.y, *self.given, **node.attributes) if r else None for r in vjp]
        else:
            shares = list(vjp(g, self.y, *self.given, **node.attributes))
        return {n: shares[self.subject.inputs.index(n)] for n in self.subject.leaves}

    def parameters(self) -> dict[str, Array]:
        """A node has none."""
        return {}

    def advance_generators(self) -> None:
        """A node draws nothing."""


def _order(outputs: list[Any]) -> list[Operand]:
    seen: dict[int, Operand] = {}
    for y in outputs:
        seen |= {id(x): x for x in topological_order(y) if id(x) not in seen}
    return list(seen.values())


def _arrays(node: Node) -> list[Any]:
    return [x.value if isinstance(x, Operand) else x for x in node.inputs]


def _locked(x: Array) -> Array:
    array = np.array(x)
    array.flags.writeable = False
    return array


def _input_names(subject: Any, count: int) -> tuple[str, ...]:
    """What the subject itself calls its inputs, or their numbers."""
    names = [p.name for p in parameters_of(getattr(subject, "call", subject))]
    if isinstance(subject, Primitive):
        names = []
    parameters = subject.named_parameters() if hasattr(subject, "named_parameters") else {}
    found = [*names, *(f"input {i}" for i in range(len(names), count))][:count]
    return tuple(f"input {i}" if n in parameters else n for i, n in enumerate(found))


def _name(subject: Any) -> str:
    if hasattr(subject, "named_parameters"):
        return repr(subject)
    return str(getattr(subject, "__name__", None) or repr(subject))
