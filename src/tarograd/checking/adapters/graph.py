"""Layers, networks, primitives and functions of Tensors.

Their graph is at hand, and so the derivative can be taken with the branches held: every ReLU,
maximum or clip stays on the side on which it was recorded. The kinks are gone, and a deep network
with one number as its loss can be checked to many digits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import DTypeLike

from tarograd.backward import backpropagate
from tarograd.checking.adapters.arguments import parameters_of
from tarograd.checking.adapters.replay import Recording, arrays_of
from tarograd.checking.subject import Array, Values, flat, upstream_names
from tarograd.derivatives import grad
from tarograd.graph import Node, Operand, Primitive, context, topological_order
from tarograd.tensor import Tensor


class GraphSubject:
    """Something that computes with Tensors, on a copy in float64.

    Args:
        subject: a layer, a network (checked with its loss if targets are given), a primitive, or
            a function of Tensors.
        inputs: its inputs.
        dtype: of the floats.
        order: 2 for the gradient's own gradient.
        seed: of the masks that it draws, and of the upstream gradient of the second order.
    """

    takes_upstream = True

    def __init__(
        self,
        subject: Any,
        inputs: Sequence[Any],
        dtype: DTypeLike = np.float64,
        order: int = 1,
        seed: int = 0,
    ) -> None:
        self.seed = seed
        is_layer = hasattr(subject, "named_parameters")
        self.layer = cast(Any, subject.astype(dtype) if is_layer else None)
        self.name = _name(subject)
        self.compute: Callable[..., Any] = self.layer if is_layer else subject
        given = [np.asarray(x.value if isinstance(x, Operand) else x) for x in inputs]
        if any(x.dtype.kind == "c" for x in given):
            raise TypeError(f"{self.name}: complex numbers have no gradient here; use real ones")
        differentiated = len(given)
        if hasattr(self.layer, "objective"):
            given[:1] = [self.layer.read(x) for x in given[:1]]
            if len(given) > 1:
                self.compute, differentiated = self.layer.objective, 1
        self.inputs = _input_names(subject, len(given))
        self.values: dict[str, Array] = {}
        floats = []
        for i, (name, x) in enumerate(zip(self.inputs, given, strict=True)):
            self.values[name] = np.array(x, dtype if x.dtype.kind == "f" else None)
            if x.dtype.kind == "f" and i < differentiated:
                floats.append(name)
        self.parameters = self.layer.named_parameters() if self.layer is not None else {}
        self.values |= {n: np.array(p.value) for n, p in self.parameters.items()}
        self.leaves = (*self.parameters, *floats)
        self.notes: list[str] = []
        self.upstream: tuple[str, ...] = ()
        if not self.leaves:
            listed = ", ".join(f"{x.dtype} {x.shape}" for x in given) or "none"
            raise TypeError(
                f"check_gradients({self.name}): nothing to differentiate: no parameter, and no "
                f"float among the inputs ({listed}); whole numbers are data, write x.astype(float)"
            )

        if order == 2:
            outputs, random = GraphRun(self, 0).forward(self.values), np.random.default_rng(seed)
            self.upstream = upstream_names(len(outputs))
            for n, y in zip(self.upstream, outputs, strict=True):
                self.values[n] = random.normal(size=y.shape).astype(y.dtype)
            self.inputs = (*self.inputs, *self.upstream)
            self.leaves = (*self.leaves, *self.upstream)

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
        return replay if same and not self._holds_constants(run, values, before) else None

    def _holds_constants(self, run: GraphRun, values: Values, before: tuple[Array, ...]) -> bool:
        """Whether something was computed past the graph, so that a replay would leave it as it is.

        Very near by, on the same branches, the replay then gives other outputs than the subject.
        """
        random, near = np.random.default_rng(0), dict(values)
        for n in self.leaves:
            near[n] = values[n] * (1 + 1e-6 * random.standard_normal(values[n].shape))
        with np.errstate(all="ignore"):
            there = GraphRun(self, run.draw).forward(near)
            replayed = Recording(run.outputs, run.leaves, through=True)(near)
            if any(a.shape != b.shape for a, b in zip(there, before, strict=True)):
                return True
            y, now, then = (flat(parts) for parts in (before, there, replayed))
            moved, apart = np.linalg.norm(now - y), np.linalg.norm(now - then)
            return bool(apart > 1e-2 * moved + 1e-13 * np.linalg.norm(y))

    def parts(self, values: Values, draw: int) -> Iterator[NodeSubject]:
        """Each node of the graph as a subject of its own, with the inputs that it has there."""
        run = GraphRun(self, draw)
        run.forward(values)
        for x in topological_order(*run.outputs):
            if x.node is not None and x.node.primitive.vjp and x.node.inputs:
                part = NodeSubject(x.node, {id(t): n for n, t in run.leaves.items()})
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
            if name not in subject.upstream:
                given.append(self.leaves.get(name, values[name]))
        with context(recording=True, seed=(subject.seed + self.draw) % 2**64, step=0):
            y = self._computed(given)
            self.outputs = list(y) if isinstance(y, tuple | list) else [y]
            for t in self.outputs:
                if not isinstance(t, Tensor):
                    raise TypeError(
                        f"check_gradients: a {type(t).__name__} came out, a Tensor is needed"
                    )
            if subject.upstream:
                self.outputs = self._firstin_order([self.leaves[n] for n in subject.upstream])
        return tuple(np.asarray(t.value) for t in self.outputs)

    def _computed(self, given: list[Any]) -> Any:
        try:
            return self.subject.compute(*given)
        except (AttributeError, TypeError) as error:
            if self.subject.layer is not None:
                raise
            raise TypeError(
                f"{self.subject.name}: {error}. It was called with Tensors, as no gradient was "
                "given. For a function of NumPy arrays say what to check: grad=its_gradient, or "
                "grad=True if it returns its value and its gradient"
            ) from error

    def _firstin_order(self, upstream: list[Tensor]) -> list[Tensor]:
        """The gradients, as Tensors that can be differentiated again."""
        wanted = [x for n, x in self.leaves.items() if n not in self.subject.upstream]
        sums: list[Tensor | None] = [None] * len(wanted)
        for y, c in zip(self.outputs, upstream, strict=True):
            for i, g in enumerate(grad(y, wanted, c)):
                before = sums[i]
                sums[i] = g if before is None else before + g
        return [g for g in sums if g is not None]

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


class NodeSubject:
    """One node of a graph: its primitive, with the inputs that it has in its place.

    Args:
        node: the node.
        names: of the leaves of the graph, by their ids.
    """

    takes_upstream = True

    def __init__(self, node: Node, names: Mapping[int, str]) -> None:
        self.node, rules = node, node.primitive.vjp
        self.name = ".".join(
            filter(None, [node.group.path() if node.group else "", node.primitive.name])
        )
        self.inputs = _names_in(node, names)
        self.values = {n: np.array(x) for n, x in zip(self.inputs, arrays_of(node), strict=True)}
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


def _names_in(node: Node, names: Mapping[int, str]) -> tuple[str, ...]:
    """What the inputs of a node are called: as the leaves that they are, or as in its rule."""
    rules = node.primitive.vjp
    rule: Any = next(filter(None, rules), None) if isinstance(rules, tuple) else rules
    numbered = [f"x{i}" for i in range(len(node.inputs))]
    arguments = [p.name for p in parameters_of(rule)][2:]  # after the upstream and the output
    called = arguments if len(arguments) == len(numbered) else numbered
    found = [
        names.get(id(x), name).rpartition(".")[2]
        for x, name in zip(node.inputs, called, strict=True)
    ]
    for choice in (found, called):
        if len(set(choice)) == len(choice):
            return tuple(choice)
    return tuple(numbered)


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
