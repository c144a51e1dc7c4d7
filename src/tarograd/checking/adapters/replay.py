"""A recorded graph, computed again at other values on the branches that it took."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tarograd.checking.subject import Array, Values
from tarograd.graph import Node, Operand, topological_order
from tarograd.ops.elementwise import stop_gradient
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


class Recording:
    """A recorded graph, computed again at other values on the branches that it took.

    Args:
        outputs: what is computed.
        leaves: what it is computed from.
        through: let changes pass through stop_gradient; else what is behind it stays.
    """

    def __init__(
        self, outputs: list[Any], leaves: dict[str, Tensor], through: bool = False
    ) -> None:
        self.through = through
        self.names = {id(x): n for n, x in leaves.items()}
        self.order = topological_order(*outputs)
        self.outputs = outputs
        self.steps: list[Replay | None] = [self._step(x) for x in self.order]

    def _step(self, x: Operand) -> Replay | None:
        """How a value is computed again; None if it stays."""
        node = x.node
        if node is None or not node.inputs:
            return None
        if node.primitive.vjp is None and not (self.through and node.primitive is stop_gradient):
            return None
        frozen = FROZEN.get(node.primitive.name)
        if frozen is None:
            return node.primitive.forward
        return frozen(*arrays_of(node), x.value, **node.attributes)

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


def arrays_of(node: Node) -> list[Any]:
    """The values of a node's inputs."""
    return [x.value if isinstance(x, Operand) else x for x in node.inputs]
