"""Derivatives as functions: `grad`, which can be differentiated again, and `value_and_grad`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tarograd.backward import backpropagate
from tarograd.graph import topological_order
from tarograd.inputs import recorder, upstream_gradient
from tarograd.tensor import Tensor, constant


def grad(
    output: Tensor, inputs: Tensor | Sequence[Tensor], upstream: ArrayLike | Tensor | None = None
) -> Any:
    """The derivative of `output` with respect to `inputs`, recorded like any other computation.

    Args:
        output: the Tensor to differentiate.
        inputs: a Tensor of its graph, leaf or not, or a list of them.
        upstream: the gradient that arrives at `output`, of its shape; 1 for a single number.

    Returns:
        for each input a Tensor of its shape, a list of them for a list; zeros where `output`
        does not depend on the input. They can be differentiated again, to any order.

    Raises:
        ValueError: without `upstream` for more than one number, or if its shape differs.

    Example:
        >>> x = Tensor(2.0)
        >>> slope = grad(x**3, x)
        >>> print(slope, grad(slope, x))
        Tensor(12) Tensor(12)
    """
    wanted = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    g = constant(upstream_gradient(output, upstream))
    order = topological_order(output)
    targets = {id(x) for x in wanted}
    walk = backpropagate(order, g, wanted, lambda x: x)
    if (trace := recorder()) is not None:
        walk = trace.backward(output, walk)
    found = {id(x): constant(g) for x, g, _ in walk if id(x) in targets}
    zeros = [constant(np.zeros(x.shape, x.dtype)) if id(x) not in found else None for x in wanted]
    slopes = [found.get(id(x), zero) for x, zero in zip(wanted, zeros, strict=True)]
    return slopes[0] if isinstance(inputs, Tensor) else slopes


def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0
) -> Callable[..., tuple[Any, Any]]:
    """The function that gives the value of `f` and its derivative.

    Args:
        f: a function of Tensors with one number as its result.
        argnums: which argument to differentiate by, or which several.

    Returns:
        a function of the same arguments. It gives `(value, gradient)`, with a tuple of
        gradients for several `argnums`: arrays for arrays, Tensors if an argument is a Tensor.

    Example:
        >>> import numpy as np
        >>> value, slope = value_and_grad(lambda x: np.sum(x * x))(np.array([1.0, 2.0]))
        >>> print(value, slope)
        5.0 [2. 4.]
    """

    def differentiated(*arguments: Any) -> tuple[Any, Any]:
        count = len(arguments)
        named = (argnums,) if isinstance(argnums, int) else tuple(argnums)
        if not all(-count <= i < count for i in named):
            raise ValueError(f"value_and_grad: argnums={argnums} for {count} arguments")
        places = [i % count for i in named]
        recorded = any(isinstance(a, Tensor) for a in arguments)
        given = [
            Tensor(a) if i in places and not isinstance(a, Tensor) else a
            for i, a in enumerate(arguments)
        ]
        output = f(*given)
        if not isinstance(output, Tensor):
            raise TypeError(f"{f!r} gave {type(output).__name__}: a Tensor has to come out of it")
        slopes = grad(output, [given[i] for i in places])
        if not recorded:
            output, slopes = output.value, [s.value for s in slopes]
        return output, slopes[0] if isinstance(argnums, int) else tuple(slopes)

    return differentiated
