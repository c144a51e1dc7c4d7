"""Updates: a step of an optimizer as a part of the graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tarograd.tensor import Tensor, constant


class Update(NamedTuple):
    """A step of an optimizer: which outputs are the new values and states of its parameters."""

    optimizer: Any
    values: list[str]
    states: list[dict[str, str]]


def updated(
    optimizer: Any, p: Tensor, gradient: Any, old: Mapping[str, Tensor], lr: Tensor, count: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """The new value of a parameter and its new state, traced, each in the dtype of the old."""
    rate = _like(lr, p)
    rate.name = lr.name
    new, state = optimizer.update(p, _like(gradient, p), old, rate, count)
    return _like(new, p), {kind: _like(state[kind], x) for kind, x in old.items()}


def _like(x: Any, p: Tensor) -> Tensor:
    """A Tensor of the dtype of p."""
    x = constant(x)
    result: Tensor = x if x.dtype == p.dtype else x.astype(p.dtype)
    return result
