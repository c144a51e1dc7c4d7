"""Naming: the values of a trace are called what the textbook calls them.

The first Affine gives a1, its activation z1, and da1 is the gradient of the loss with respect to
a1. A name that the user has given stays.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

from tarograd.compiler.guard import INPUT
from tarograd.graph import group, topological_order
from tarograd.ops import arithmetic, elementwise, matmul, random, reduction, shape
from tarograd.tensor import Tensor

# What the textbook calls the results of these; the number is that of the Affine before.
NAMES = {
    matmul.affine: "a",
    matmul.matmul: "a",
    elementwise.relu: "z",
    elementwise.sigmoid: "z",
    elementwise.tanh: "z",
    random.bernoulli: "mask",
    random.dropout: "d",
    reduction.softmax: "y",
}
# What leaves the numbers that they are, but for their scale.
SAME = (elementwise.cast, arithmetic.divide, shape.reshape)


class Naming:
    """Names the values of one trace.

    Args:
        names: those of the parameters, by their `id`.
    """

    def __init__(self, names: Mapping[int, str]) -> None:
        self.names = names
        self.number = 0  # of the last Affine

    def forward(self, order: Iterable[Any]) -> None:
        """Name values, each of which stands behind what it was computed from."""
        for value in order:
            if value.node is None or not isinstance(value, Tensor) or value.name is not None:
                continue
            if value.node.group is not None and not value.node.group.kind:
                continue
            primitive = value.node.primitive
            self.number += primitive in (matmul.affine, matmul.matmul)
            if primitive in NAMES:
                value.name = f"{NAMES[primitive]}{self.number or ''}"
            elif primitive is elementwise.cast and value.node.inputs[0].dtype == bool:
                value.name = "one_hot"
            elif primitive is shape.reshape:
                value.name = _of_input(value)

    def backward(self, output: Tensor, walk: Iterator[Any]) -> Iterator[Any]:
        """Name the gradients that a walk backward from the output gives, as it gives them."""
        self.forward(topological_order(output))
        if output.name is None and not output.shape:
            output.name = "loss"
        with group("backward", ""):
            for x, g, shares in walk:
                name = self.names.get(id(x)) or getattr(x, "name", None)
                if isinstance(g, Tensor) and g.name is None and name and g.node and g.node.inputs:
                    g.name = f"d{name}"
                yield x, g, shares


def _of_input(value: Any) -> str | None:
    """The name of the input that a value is, but for its dtype, scale and shape."""
    while isinstance(value, Tensor) and value.node is not None and value.node.primitive in SAME:
        value = value.node.inputs[0]  # which is a number in 1 / x
    named = isinstance(value, Tensor) and value.node is not None and value.node.primitive is INPUT
    return value.name if named else None


def free_name(name: str, taken: Container[str]) -> str:
    """The name, with a number if it is taken."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found
