"""An operation of the zoo: forward and backward as plain functions, with parameters by name."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

Pass = Callable[..., Any]
SHAPES = {"x": (5, 4)}


class Layer:
    """A NumPy-style layer: parameters `W`, gradients `dW`, a generator `rng`."""

    def __init__(self, forward: Pass, backward: Pass, fields: dict[str, Any]) -> None:
        self._forward, self._backward = forward, backward
        self.__dict__.update(copy.deepcopy(fields))

    def forward(self, *inputs: Any) -> Any:
        return self._forward(self, *inputs)

    def backward(self, dout: Any) -> Any:
        return self._backward(self, dout)


@dataclass(frozen=True)
class Op:
    """A correct operation.

    Attributes:
        inputs: shapes of normal float inputs; an array as it is, such as labels.
        params: shapes of parameters.
        positive: whether the inputs have to be positive.
        fields: anything else the layer holds.
    """

    name: str
    forward: Pass
    backward: Pass
    inputs: tuple[Any, ...] = ((5, 4),)
    params: dict[str, tuple[int, ...]] = field(default_factory=dict)
    positive: bool = False
    fields: dict[str, Any] = field(default_factory=dict)

    def make(self, seed: int = 0) -> tuple[Layer, list[Any]]:
        """The layer and its inputs."""
        random = np.random.default_rng(seed)
        drawn = {n: random.normal(size=s) for n, s in self.params.items()}
        given = []
        for spec in self.inputs:
            x = random.normal(size=spec) if isinstance(spec, tuple) else np.array(spec)
            given.append(np.exp(x) if self.positive and isinstance(spec, tuple) else x)
        return Layer(self.forward, self.backward, {**drawn, **self.fields}), given


@dataclass(frozen=True)
class Mistake:
    """A wrong version of an operation, and the names that are right for it, the best first.

    Attributes:
        number: of the list of 80 typical mistakes in the docs.
        verdict: "cannot tell" where there is no gradient to compare with.
    """

    number: int
    op: Op
    expected: tuple[str, ...]
    note: str = ""
    verdict: str = "wrong"

    @property
    def label(self) -> str:
        return f"{self.number}-{self.op.name}" + (f"-{self.note}" if self.note else "")


def wrong(
    number: int, op: Op, expected: str, note: str = "", verdict: str = "wrong", **changes: Any
) -> Mistake:
    """The op with another forward or backward, or other fields."""
    return Mistake(number, replace(op, **changes), tuple(expected.split()), note, verdict)
