"""When the loss is no number any more: which computation of the step was the first to fail."""

from __future__ import annotations

from typing import Any

import numpy as np

from tarograd.graph import Array, Operand, topological_order
from tarograd.tensor import Tensor


class NonFiniteError(ArithmeticError):
    """The loss became NaN or infinite. The message names the step and the node that began it."""


def explain_nonfinite(loss: Tensor, step: int) -> NonFiniteError:
    """Find the first value behind `loss` that is not finite.

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
    for x in topological_order(loss):
        bad = int(np.sum(~np.isfinite(x.value))) if x.value.dtype.kind == "f" else 0
        if not bad:
            continue
        share = f"shape {x.value.shape}, {bad} of {x.value.size} elements"
        if x.node is None:
            return NonFiniteError(
                f"{head}. {_name(x)}, {share}, was not finite before it: the update of an earlier "
                "step did that; a lower learning rate may help"
            )
        if not x.node.inputs:
            return NonFiniteError(f"{head}. The data, {share}, were not finite already")
        where = f" in {x.node.group.path()}" if x.node.group else ""
        inputs = "; ".join(_range(i) for i in x.node.inputs)
        return NonFiniteError(
            f"{head}. The first value that is not finite came out of {x.node.primitive.name}"
            f"{where}, {share}. Its inputs: {inputs}"
        )
    return NonFiniteError(head)


def _name(x: Any) -> str:
    if isinstance(x, Tensor) and x.name is not None:
        return x.name
    if isinstance(x, Operand) and x.node is not None:
        return f"the output of {x.node.primitive.name}" if x.node.inputs else "data"
    return "data"


def _range(x: Any) -> str:
    """What an input is and between which numbers it lies."""
    value: Array = np.asarray(x.value if isinstance(x, Operand) else x)
    if not value.size:
        return f"{_name(x)} {value.shape} empty"
    return f"{_name(x)} {value.shape} from {value.min():.6g} to {value.max():.6g}"
