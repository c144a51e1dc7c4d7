"""Derivatives as functions: `grad`, which can be differentiated again, and `value_and_grad`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tarograd.backward import backpropagate
from tarograd.graph import topological_order
from tarograd.inputs import recorder, upstream_gradient
from tarograd.structure import flattened, mapped
from tarograd.tensor import Tensor, constant


def grad(output: Tensor, inputs: Any, upstream: ArrayLike | Tensor | None = None) -> Any:
    """The derivative of `output` with respect to `inputs`, recorded like any other computation.

    Args:
        output: the Tensor to differentiate.
        inputs: a Tensor of its graph, leaf or not, or lists, tuples, dicts and dataclasses of them.
        upstream: the gradient that arrives at `output`, of its shape; 1 for a single number.

    Returns:
        for each input a Tensor of its shape, in the same lists, tuples and dicts; zeros where
        `output` does not depend on the input. They can be differentiated again, to any order.

    Raises:
        ValueError: without `upstream` for more than one number, or if its shape differs.

    Example:
        >>> x = Tensor(2.0)
        >>> slope = grad(x**3, x)
        >>> print(slope, grad(slope, x))
        Tensor(12) Tensor(12)
    """
    if isinstance(inputs, Iterable) and not isinstance(inputs, Tensor | tuple | dict):
        inputs = list(inputs)  # the values of a dict, for example
    wanted: list[Any] = []
    flattened(lambda _, x: wanted.append(x), inputs, "")
    for what, x in [("of", output), *(("by", x) for x in wanted)]:
        if not isinstance(x, Tensor):
            given = type(x).__name__
            raise TypeError(f"grad {what} {given}: a derivative is of a Tensor, by other Tensors")
    g = constant(upstream_gradient(output, upstream))
    order = topological_order(output)
    targets = {id(x) for x in wanted}
    walk = backpropagate(order, g, wanted, lambda x: x)
    if (trace := recorder()) is not None:
        walk = trace.backward(output, walk)
    found = {id(x): constant(g) for x, g, _ in walk if id(x) in targets}
    zeros = [constant(np.zeros(x.shape, x.dtype)) if id(x) not in found else None for x in wanted]
    slopes = iter([found.get(id(x), zero) for x, zero in zip(wanted, zeros, strict=True)])
    return mapped(lambda *_: next(slopes), inputs, "")


def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0
) -> Callable[..., tuple[Any, Any]]:
    """The function that gives the value of `f` and its derivative.

    Args:
        f: a function of Tensors with one number as its result.
        argnums: which argument to differentiate by, or which several. They may be tuples, lists
            and dicts of arrays.

    Returns:
        a function of the same arguments. It gives `(value, gradient)`, with a tuple of
        gradients for several `argnums`: arrays for arrays, Tensors if an argument is a Tensor.

    Example:
        >>> import numpy as np
        >>> value, slope = value_and_grad(lambda x: np.sum(x * x))(np.array([1.0, 2.0]))
        >>> print(value, slope)
        5.0 [2. 4.]
    """

    def differentiated(*arguments: Any, **named: Any) -> tuple[Any, Any]:
        count = len(arguments)
        chosen = (argnums,) if isinstance(argnums, int) else tuple(argnums)
        if not all(-count <= i < count for i in chosen):
            raise ValueError(f"value_and_grad: argnums={argnums} for {count} arguments")
        places = [i % count for i in chosen]
        parts: list[Any] = []
        flattened(lambda _, x: parts.append(x), [*arguments, named], "")
        given = list(arguments)
        for i in places:
            given[i] = mapped(lambda _, x: x if isinstance(x, Tensor) else Tensor(x), given[i], "")
        output = f(*given, **named)
        if not isinstance(output, Tensor):
            raise TypeError(f"{f!r} gave {type(output).__name__}: a Tensor has to come out of it")
        slopes = grad(output, [given[i] for i in places])
        if not any(isinstance(x, Tensor) for x in parts):
            output, slopes = output.value, mapped(lambda _, s: s.value, slopes, "")
        return output, slopes[0] if isinstance(argnums, int) else tuple(slopes)

    return differentiated
