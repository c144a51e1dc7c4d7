"""Layer: a typed declaration of parameters and inner layers, with one computation.

A layer can be used in two ways. `layer(x)` records the computation as part of a graph. As the
textbook writes it, `layer.forward(array)` and `layer.backward(dout)` work on plain arrays.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from tarograd.backward import backpropagate
from tarograd.graph import Array, current_context, group, topological_order
from tarograd.inputs import upstream_gradient
from tarograd.tensor import Parameter, Tensor

AnyLayer = TypeVar("AnyLayer", bound="Layer")


class Layer:
    """A piece of a network. Subclass it, declare fields in `__init__`, and write `call`.

    The parameters of a layer are found in its fields, in the order in which they were declared:
    Parameters, inner layers, and lists and dicts of them; a field whose name starts with `_` is
    private and is not searched. A field names what is in it, so a parameter is called by its
    path, such as `affine1.w`.

    Example:
        >>> import tarograd as tg
        >>> class Scale(tg.nn.Layer):
        ...     def __init__(self):
        ...         self.factor = tg.Parameter(3.0)
        ...
        ...     def call(self, x):
        ...         return x * self.factor
        >>> scale = Scale()
        >>> scale.forward(np.array([1.0, 2.0]))
        array([3., 6.])
        >>> scale.backward(np.array([1.0, 1.0]))
        array([3., 3.])
        >>> print(scale.parameters(), scale.factor.grad)
        [Parameter(3, name='factor')] 3.0
    """

    name: str | None = None
    _pass: tuple[Tensor, Tensor] | None = None

    def __setattr__(self, field: str, value: Any) -> None:
        super().__setattr__(field, value)
        for _ in _opened(field, value):
            pass  # which names it

    def call(self, *inputs: Any) -> Any:
        """The computation, in Tensors; what a subclass writes."""
        raise NotImplementedError(f"{type(self).__name__} has no `call(self, x)` yet")

    def __call__(self, *inputs: Any) -> Any:
        """Compute and record: the nodes form one group of the graph, named like the layer."""
        kind = type(self).__name__
        with group(self.name or kind.lower(), kind):
            return self.call(*inputs)

    def read(self, x: Any) -> Any:
        """An input as an array of floats; whole numbers become those of the parameters."""
        array = x if isinstance(x, Tensor) else np.asarray(x)
        return array.astype(self.dtype) if array.dtype.kind in "iub" else array

    def forward(self, x: ArrayLike, *others: Any) -> Array:
        """Compute on arrays, and remember what `backward` needs.

        Args:
            x: the array whose gradient `backward` gives.
            *others: further inputs, such as the targets. None is written into, and all may be
                changed afterwards.

        Returns:
            the output, read-only.
        """
        recorded = Tensor(self.read(x))
        y = self(recorded, *others)
        self._pass = (recorded, y) if current_context().recording else None
        return np.asarray(y.value)

    def backward(self, dout: ArrayLike | None = None) -> Array:
        """Backpropagate through the last `forward`, on arrays.

        Args:
            dout: the gradient that arrives at the output, of its shape; 1 for a loss.

        Returns:
            the gradient of the first input, of its shape. The parameters' gradients are left
            in their `.grad`, in place of earlier ones.

        Raises:
            ValueError: before `forward`, or if `dout` has another shape than the output.
        """
        if self._pass is None:
            raise ValueError(
                f"{self!r}.backward: call forward(x) first; it remembers the inputs, "
                "unless it was told not to record"
            )
        x, y = self._pass
        slopes = self._slopes(y, [x, *self.parameters()], dout)
        for parameter, slope in zip(self.parameters(), slopes[1:], strict=True):
            parameter.grad = slope
        return slopes[0]

    @staticmethod
    def _slopes(y: Tensor, wanted: list[Tensor], dout: ArrayLike | None = None) -> list[Array]:
        """The gradients of the wanted Tensors as arrays, zeros where `y` does not depend on it."""
        walk = backpropagate(
            topological_order(y), upstream_gradient(y, dout), wanted, lambda i: i.value
        )
        found = {id(i): g for i, g, _ in walk}
        zeros = (np.zeros(i.shape, i.dtype) for i in wanted)
        return [np.asarray(found.get(id(i), zero)) for i, zero in zip(wanted, zeros, strict=True)]

    def fields(self) -> Iterator[tuple[str, Any]]:
        """The paths and values of the declared fields, lists and dicts opened, in their order."""
        for field, value in vars(self).items():
            yield from _opened(field, value)

    def named_parameters(self) -> dict[str, Parameter]:
        """The parameters by their paths, in order of declaration, a shared one once."""
        first: dict[int, tuple[str, Parameter]] = {}
        for path, parameter in self._declared():
            first.setdefault(id(parameter), (path, parameter))
        return dict(first.values())

    def _declared(self) -> Iterator[tuple[str, Parameter]]:
        """The parameters by their paths, a shared one each time that it is declared."""
        for field, value in self.fields():
            if isinstance(value, Parameter):
                yield field, value
            elif isinstance(value, Layer):
                yield from ((f"{field}.{path}", p) for path, p in value._declared())

    def parameters(self) -> list[Parameter]:
        """The parameters, in order of declaration."""
        return list(self.named_parameters().values())

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.zero_grad()

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the parameters; float64 for a layer without any."""
        return next((p.dtype for p in self.parameters()), np.dtype(np.float64))

    def astype(self: AnyLayer, dtype: DTypeLike) -> AnyLayer:
        """A copy of the layer with its parameters in another float dtype."""
        cast = {id(p): Parameter(p.value.astype(dtype), p.name) for p in self.parameters()}
        return copy.deepcopy(self, dict(cast))

    def initialize(self, seed: int, path: str = "") -> None:
        """Draw the initial weights of the layers inside anew, each by its own path and the seed.

        Weights that were given, or set since they were drawn, stay, and so do those of a layer
        that was given a seed of its own.
        """
        for field, value in self.fields():
            if isinstance(value, Layer):
                value.initialize(seed, f"{path}.{field}" if path else field)

    def __getstate__(self) -> dict[str, Any]:
        # What a call left behind, such as the textbook's `self.out`, is no part of a copy.
        return {
            field: value
            for field, value in vars(self).items()
            if field != "_pass" and not (isinstance(value, Tensor) and value.node is not None)
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _opened(field: str, value: Any) -> Iterator[tuple[str, Any]]:
    """What is in a field, by its path: nothing in a private one, each in a list or dict.

    The path becomes its name if it has none: a list may have been filled after its declaration.
    """
    if field.startswith("_"):
        return
    if isinstance(value, dict | list | tuple):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _opened(f"{field}.{key}", inner)
        return
    if isinstance(value, Layer | Parameter) and value.name is None:
        value.name = field
        if isinstance(value, Layer):
            value.initialize(0, field)  # so that layers of one size start with other weights
    yield field, value
