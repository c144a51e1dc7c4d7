"""When the loss is no number any more: which computation of the step was the first to fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tarograd.graph import Array, Operand, topological_order
from tarograd.tensor import Tensor


class NonFiniteError(ArithmeticError):
    """The loss became NaN or infinite. The message names the step and the node that began it."""


@dataclass(frozen=True)
class Range:
    """An input of an operation: its name, its shape, and its least and greatest element."""

    name: str
    shape: tuple[int, ...]
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.name} {self.shape} empty"
        return f"{self.name} {self.shape} from {self.low:.6g} to {self.high:.6g}"


@dataclass(frozen=True)
class Origin:
    """The first value of a computation that is not finite.

    Attributes:
        kind: an `operation` whose inputs were finite; or a `parameter` or `data` that were not.
        name: of the operation or the parameter.
        where: the path of the layer, or nothing.
        shape: of the value.
        bad: how many of its elements are not finite.
        size: how many it has.
        inputs: those of the operation.
        value: the value itself.
    """

    kind: Literal["operation", "parameter", "data"]
    name: str
    where: str
    shape: tuple[int, ...]
    bad: int
    size: int
    inputs: tuple[Range, ...]
    value: Array


def first_nonfinite(loss: Tensor) -> Origin | None:
    """The first value behind `loss`, in the order of computation, that is not finite.

    Args:
        loss: a recorded loss.
    """
    for x in topological_order(loss):
        bad = int(np.sum(~np.isfinite(x.value))) if x.value.dtype.kind == "f" else 0
        if not bad:
            continue
        about = x.value.shape, bad, x.value.size
        if x.node is None:
            return Origin("parameter", _name(x), "", *about, (), x.value)
        if not x.node.inputs:
            return Origin("data", _name(x), "", *about, (), x.value)
        where = x.node.group.path() if x.node.group else ""
        inputs = tuple(_range(i) for i in x.node.inputs)
        return Origin("operation", x.node.primitive.name, where, *about, inputs, x.value)
    return None


def explain_nonfinite(loss: Tensor, step: int) -> NonFiniteError:
    """Say which value behind `loss` was the first that is not finite.

    Args:
        loss: a recorded loss.
        step: the number of the step, counted from 1.

    Returns:
        an error that names the step, the first node whose output was not finite although its
        inputs were, and the ranges of those inputs; or the parameter or data that were not.

    Example:
        >>> x = Tensor([1.0, 0.0], name="x")
        >>> with np.errstate(divide="ignore"):
        ...     loss = x.log().sum()
        >>> print(explain_nonfinite(loss, step=3))
        step 3: the loss is -inf. The first value that is not finite came out of log, shape (2,),
        1 of 2 elements. Its inputs: x (2,) from 0 to 1
    """
    head = f"step {step}: the loss is {float(loss):g}"
    origin = first_nonfinite(loss)
    if origin is None:
        return NonFiniteError(head)
    share = f"shape {origin.shape}, {origin.bad} of {origin.size} elements"
    if origin.kind == "parameter":
        return NonFiniteError(
            f"{head}. {origin.name}, {share}, was not finite before it: the update of an earlier "
            "step did that; a lower learning rate may help"
        )
    if origin.kind == "data":
        return NonFiniteError(f"{head}. The data, {share}, were not finite already")
    where = f" in {origin.where}" if origin.where else ""
    inputs = "; ".join(map(str, origin.inputs))
    return NonFiniteError(
        f"{head}. The first value that is not finite came out of {origin.name}{where}, {share}. "
        f"Its inputs: {inputs}"
    )


def _name(x: Any) -> str:
    if isinstance(x, Tensor) and x.name is not None:
        return x.name
    if isinstance(x, Operand) and x.node is not None:
        return f"the output of {x.node.primitive.name}" if x.node.inputs else "data"
    return "data"


def _range(x: Any) -> Range:
    """What an input is and between which numbers it lies."""
    value: Array = np.asarray(x.value if isinstance(x, Operand) else x)
    if not value.size:
        return Range(_name(x), value.shape, None, None)
    return Range(_name(x), value.shape, float(value.min()), float(value.max()))
