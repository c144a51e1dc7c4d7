"""Tensor: a value that can be differentiated, and the one door through which it is recorded."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from tarograd import numpy_elementwise, numpy_products, numpy_reductions, numpy_shapes
from tarograd.backward import backpropagate
from tarograd.graph import CONSTANT, Array, Node, Primitive, recorded, topological_order
from tarograd.inputs import aligned, as_input, frozen, recorder, upstream_gradient
from tarograd.ops import arithmetic, elementwise
from tarograd.protocol import NumPyOperand


class Tensor(NumPyOperand):
    """A value in the graph that can be differentiated.

    Args:
        value: a number, a list of numbers (both become float64) or a float array (which keeps
            its dtype). The array is copied, so that a later edit cannot spoil the graph.
        name: how the value is called in errors and drawings.

    Attributes:
        value: the array; read-only. A leaf takes a new value by assignment.
        grad: the derivative that `backward` left here, of the shape of `value`, or None.
        node: the computation it came from, or None for a leaf.

    Raises:
        TypeError: for an array of integers, bools, complex numbers or objects: those are data,
            not differentiable.

    Example:
        >>> apple, count, tax = Tensor(100, "apple"), Tensor(2, "count"), Tensor(1.1, "tax")
        >>> payment = apple * count * tax
        >>> payment.backward()
        >>> print(payment, f"{apple.grad:.12g} {count.grad:.12g} {tax.grad:.12g}")
        Tensor(220) 2.2 110 200
    """

    __slots__ = ("__weakref__", "_grad", "_value", "name", "node")

    def __init__(self, value: ArrayLike, name: str | None = None) -> None:
        if isinstance(value, Tensor):
            raise TypeError(f"{value!r} is a Tensor already: use it, or its .value")
        array = np.asarray(value)
        if array.dtype.kind in "iu" and not isinstance(value, np.ndarray | np.generic):
            array = array.astype(np.float64)
        if array.dtype.kind != "f":
            raise TypeError(
                f"a Tensor of dtype {array.dtype}, shape {array.shape}: only floats can be "
                "differentiated; write array.astype(float), or use the array as it is, as data"
            )
        self._value = frozen(array)
        self._grad: Array | None = None
        self.node: Node | None = None
        self.name = name
        if (trace := recorder()) is not None:
            trace.made(self)

    @classmethod
    def _computed(cls, value: Any, node: Node) -> Tensor:
        """The output of a node; the array is ours, so it is locked rather than copied."""
        tensor = cls.__new__(cls)
        array = np.asarray(value)
        array.flags.writeable = False
        tensor._value, tensor._grad, tensor.node, tensor.name = array, None, node, None
        return tensor

    def record(self, primitive: Primitive, inputs: tuple[Any, ...], attributes: Any) -> Tensor:
        """Compute a primitive and record it: every operation on Tensors comes through here."""
        trace = recorder()
        if trace is not None:
            inputs = trace.admitted(primitive, inputs, attributes)
        inputs = tuple([as_input(primitive.name, x) for x in inputs])
        if primitive.elementwise or primitive.promotes:
            inputs = aligned(primitive, inputs)
        values = tuple([x._value if isinstance(x, Tensor) else x for x in inputs])
        y = primitive.forward(*values, **attributes)
        node = recorded(primitive, inputs, values, attributes)
        if trace is None:
            return Tensor._computed(y, node)
        traced: Tensor = trace.computed(y, node, (primitive, inputs, values, attributes))
        return traced

    @property
    def value(self) -> Array:
        """The array, read-only; a leaf can be given another one of the same shape."""
        return self._value

    @value.setter
    def value(self, value: ArrayLike) -> None:
        array = np.asarray(value, dtype=self._value.dtype)
        if self.node is not None:
            raise AttributeError("the value of a computed Tensor can't be set: only a leaf's")
        if array.shape != self.shape:
            name = self.name or "a Tensor"
            raise ValueError(f"a value of shape {array.shape} for {name} of shape {self.shape}")
        self._value = frozen(array)

    @property
    def grad(self) -> Array | None:
        """The derivative that `backward` left here, read-only, or None; it can be replaced."""
        return self._grad

    @grad.setter
    def grad(self, grad: ArrayLike | None) -> None:
        array = None if grad is None else frozen(np.asarray(grad, dtype=self.dtype))
        if array is not None and array.shape != self.shape:
            raise ValueError(f"a gradient of shape {array.shape} for a value of {self.shape}")
        self._grad = array

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return self._value.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._value.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._value.size

    def zero_grad(self) -> None:
        """Forget the gradient, so that the next `backward` starts from nothing."""
        self._grad = None

    def backward(self, upstream: ArrayLike | Tensor | None = None) -> None:
        """Backpropagate: add the derivative of this value to `.grad` of every leaf behind it.

        Args:
            upstream: the gradient that arrives here, of this Tensor's shape; 1 for a single
                number if it is left out.

        Raises:
            ValueError: without `upstream` for more than one number, or if its shape differs.
            TypeError: if there is no leaf to differentiate by.

        Example:
            >>> x = Tensor([1.0, 2.0])
            >>> (x * x).backward([1.0, 10.0])
            >>> x.grad
            array([ 2., 40.])
        """
        order = topological_order(self)
        leaves = [x for x in order if isinstance(x, Tensor) and x.node is None]
        if not leaves:
            raise TypeError("backward: this Tensor was computed from constants only")
        targets = {id(x) for x in leaves}
        start = upstream_gradient(self, upstream)
        start = start.value if isinstance(start, Tensor) else start
        walk = backpropagate(order, start, leaves, lambda x: x.value)
        found = [(x, g) for x, g, _ in walk if id(x) in targets and isinstance(x, Tensor)]
        for x, g in found:  # after the walk: a rule that raises leaves every gradient as it was
            total = g if x._grad is None else x._grad + g
            x._grad = np.array(total) if 0 in total.strides else np.asarray(total)
            x._grad.flags.writeable = False

    def __len__(self) -> int:
        return len(self._value)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self._value)

    def __float__(self) -> float:
        return float(self._value)

    def __int__(self) -> int:
        return int(self._value)

    def __index__(self) -> int:
        return operator.index(self._value)

    def item(self) -> float:
        """The value of a Tensor of one element, as a Python number."""
        return float(self._value.item())

    def __repr__(self) -> str:
        named = "" if self.name is None else f", name={self.name!r}"
        typed = "" if self.dtype == np.float64 else f", dtype={self.dtype}"
        return f"{str(self)[:-1]}{typed}{named})"

    def __str__(self) -> str:
        if self.ndim or self.dtype.kind != "f":
            kind = type(self).__name__
            return f"{kind}({np.array2string(self._value, prefix=f'{kind}(')})"
        return f"{type(self).__name__}({self._value:.{np.finfo(self.dtype).precision - 2}g})"

    def __format__(self, spec: str) -> str:
        return format(self._value, spec) if spec else str(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self.node is not None:
            raise TypeError("a computed Tensor can't be copied without its graph; copy its .value")
        copy = type(self)(self._value, self.name)
        copy._grad = self._grad
        return copy

    __hash__ = object.__hash__

    def __add__(self, other: Any) -> Tensor:
        return self.record(arithmetic.add, (self, other), {})

    def __radd__(self, other: Any) -> Tensor:
        return self.record(arithmetic.add, (other, self), {})

    def __sub__(self, other: Any) -> Tensor:
        return self.record(arithmetic.subtract, (self, other), {})

    def __rsub__(self, other: Any) -> Tensor:
        return self.record(arithmetic.subtract, (other, self), {})

    def __mul__(self, other: Any) -> Tensor:
        return self.record(arithmetic.multiply, (self, other), {})

    def __rmul__(self, other: Any) -> Tensor:
        return self.record(arithmetic.multiply, (other, self), {})

    def __truediv__(self, other: Any) -> Tensor:
        return self.record(arithmetic.divide, (self, other), {})

    def __rtruediv__(self, other: Any) -> Tensor:
        return self.record(arithmetic.divide, (other, self), {})

    def __pow__(self, other: Any) -> Tensor:
        return self.record(arithmetic.power, (self, other), {})

    def __rpow__(self, other: Any) -> Tensor:
        return self.record(arithmetic.power, (other, self), {})

    def __matmul__(self, other: Any) -> Any:
        return numpy_products.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return numpy_products.matmul(other, self)

    def __neg__(self) -> Tensor:
        return self.record(arithmetic.negative, (self,), {})

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return self.record(elementwise.absolute, (self,), {})

    def __gt__(self, other: Any) -> Tensor:
        return self.record(elementwise.greater, (self, other), {})

    def __ge__(self, other: Any) -> Tensor:
        return self.record(elementwise.greater_equal, (self, other), {})

    def __lt__(self, other: Any) -> Tensor:
        return self.record(elementwise.less, (self, other), {})

    def __le__(self, other: Any) -> Tensor:
        return self.record(elementwise.less_equal, (self, other), {})

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]  # elementwise, as in NumPy
        return self.record(elementwise.equal, (self, other), {})

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]  # elementwise, as in NumPy
        return self.record(elementwise.not_equal, (self, other), {})

    def sum(self, axis: numpy_shapes.Axis = None, keepdims: bool = False) -> Tensor:
        """Sum over `axis`, by default over all elements."""
        return cast(Tensor, numpy_reductions.sum(self, axis, keepdims=keepdims))

    def mean(self, axis: numpy_shapes.Axis = None, keepdims: bool = False) -> Tensor:
        """Mean over `axis`."""
        return cast(Tensor, numpy_reductions.mean(self, axis, keepdims=keepdims))

    def max(self, axis: numpy_shapes.Axis = None, keepdims: bool = False) -> Tensor:
        """Largest element along `axis`; equal ones share the gradient."""
        return cast(Tensor, numpy_reductions.max(self, axis, keepdims=keepdims))

    def min(self, axis: numpy_shapes.Axis = None, keepdims: bool = False) -> Tensor:
        """Smallest element along `axis`; equal ones share the gradient."""
        return cast(Tensor, numpy_reductions.min(self, axis, keepdims=keepdims))

    def prod(self, axis: numpy_shapes.Axis = None, keepdims: bool = False) -> Tensor:
        """Product over `axis`."""
        return cast(Tensor, numpy_reductions.prod(self, axis, keepdims=keepdims))

    def var(
        self, axis: numpy_shapes.Axis = None, ddof: float = 0, keepdims: bool = False
    ) -> Tensor:
        """Variance along `axis`."""
        return cast(Tensor, numpy_reductions.var(self, axis, ddof=ddof, keepdims=keepdims))

    def std(
        self, axis: numpy_shapes.Axis = None, ddof: float = 0, keepdims: bool = False
    ) -> Tensor:
        """Standard deviation along `axis`."""
        return cast(Tensor, numpy_reductions.std(self, axis, ddof=ddof, keepdims=keepdims))

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements in another shape; one length may be -1."""
        return cast(Tensor, numpy_shapes.reshape(self, shape[0] if len(shape) == 1 else shape))

    def transpose(self, *axes: Any) -> Tensor:
        """The axes in another order, by default reversed."""
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return cast(Tensor, numpy_shapes.transpose(self, order or None))

    @property
    def T(self) -> Tensor:  # noqa: N802  # NumPy's name for it
        """The axes in reversed order."""
        return cast(Tensor, numpy_shapes.transpose(self))

    def ravel(self) -> Tensor:
        """All elements in a row."""
        return cast(Tensor, numpy_shapes.ravel(self))

    flatten = ravel

    def squeeze(self, axis: numpy_shapes.Axis = None) -> Tensor:
        """Without the axes of length 1."""
        return cast(Tensor, numpy_shapes.squeeze(self, axis))

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """Two axes exchanged."""
        return cast(Tensor, numpy_shapes.swapaxes(self, axis1, axis2))

    def dot(self, other: Any) -> Tensor:
        """Product over the last axis of this and the last but one of the other."""
        return cast(Tensor, numpy_products.dot(self, other))

    def clip(self, min: Any = None, max: Any = None) -> Tensor:
        """The value, but at least `min` and at most `max`."""
        return cast(Tensor, numpy_elementwise.clip(self, min, max))

    def astype(self, dtype: DTypeLike) -> Tensor:
        """The value in another dtype, of floats if this is; the gradient comes back in this one."""
        if np.dtype(dtype).kind != "f" == self.dtype.kind:
            kept = "x != 0 is" if np.dtype(dtype) == bool else "np.floor(x) and np.rint(x) are"
            raise TypeError(
                f"astype({np.dtype(dtype)}) of {self.dtype}, shape {self.shape}, would cut the "
                f"graph: {kept} recorded, compiled code included; outside of the graph it is "
                ".value.astype"
            )
        return self.record(elementwise.cast, (self,), {"dtype": np.dtype(dtype)})

    def relu(self) -> Tensor:
        """The value where it is positive, else 0."""
        return self.record(elementwise.relu, (self,), {})

    def sigmoid(self) -> Tensor:
        """1 / (1 + exp(-x))."""
        return self.record(elementwise.sigmoid, (self,), {})

    def tanh(self) -> Tensor:
        """The hyperbolic tangent."""
        return self.record(elementwise.tanh, (self,), {})

    def exp(self) -> Tensor:
        """The exponential function."""
        return self.record(elementwise.exp, (self,), {})

    def log(self) -> Tensor:
        """The natural logarithm."""
        return self.record(elementwise.log, (self,), {})


class Parameter(Tensor):
    """A named leaf that an optimizer updates.

    Args:
        value: the initial value, as for a Tensor.
        name: its name in errors, drawings and checkpoints; a layer names its own.
    """

    __slots__ = ()


def constant(value: Any) -> Tensor:
    """A Tensor through which nothing flows back; a Tensor stays as it is."""
    return value if isinstance(value, Tensor) else Tensor._computed(frozen(value), CONSTANT)
