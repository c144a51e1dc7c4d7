"""What NumPy asks of a Tensor: its functions, its operators on arrays, indexing, rarer methods.

A function of NumPy's that is given a Tensor asks the Tensor what to do. What has a rule is
recorded; what has none is refused by name, so that nothing drops out of the graph silently.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tarograd import numpy_functions as npf
from tarograd.graph import Array, Operand
from tarograd.numpy_shapes import Axis
from tarograd.ops import shape
from tarograd.ops.shape import ARRAY


class NumPyOperand(Operand):
    """A value that NumPy's functions accept."""

    __slots__ = ()

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if kwargs.get("out") is not None:
            raise TypeError(f"np.{ufunc.__name__} can't write into an array: write y = a + b")
        if method == "accumulate" and ufunc in npf.ACCUMULATIONS:
            return npf.ACCUMULATIONS[ufunc](*inputs, **{"axis": 0, **kwargs})
        if method == "reduce" and ufunc in npf.REDUCTIONS:
            return npf.REDUCTIONS[ufunc](*inputs, **{"axis": 0, **kwargs})
        if ufunc not in npf.UFUNCS or method != "__call__" or kwargs:
            raise npf.no_rule(ufunc, "" if method == "__call__" else f".{method}", kwargs)
        return npf.UFUNCS[ufunc](*inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function not in npf.FUNCTIONS:
            raise npf.no_rule(function)
        return npf.FUNCTIONS[function](*args, **kwargs)

    def __array__(self, *args: Any, **kwargs: Any) -> Array:
        raise TypeError(
            "a Tensor does not turn into an array by itself; take its .value, "
            "or np.stack a list of Tensors"
        )

    def __getitem__(self, key: Any) -> Any:
        parts = list(key) if isinstance(key, tuple) else [key]
        arrays = []
        for i, part in enumerate(parts):
            if isinstance(part, Operand | np.ndarray | list | tuple | range | bool | np.bool_):
                arrays.append(_index_array(part))
                parts[i] = ARRAY
            elif isinstance(part, int | np.integer):
                parts[i] = int(part)
            elif not isinstance(part, slice | None) and part is not ...:
                raise IndexError(
                    f"an index {part!r}: only integers, slices, lists and arrays name elements"
                )
        return self.record(shape.index, (self, *arrays), {"key": tuple(parts)})

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError(
            "the value of a Tensor can't be edited in place: the graph would no longer know it; "
            "build the new value, for example with np.where(mask, new, x)"
        )

    def __invert__(self) -> Any:
        return npf.UFUNCS[np.invert](self)

    def __and__(self, other: Any) -> Any:
        return npf.UFUNCS[np.bitwise_and](self, other)

    def __or__(self, other: Any) -> Any:
        return npf.UFUNCS[np.bitwise_or](self, other)

    def __xor__(self, other: Any) -> Any:
        return npf.UFUNCS[np.bitwise_xor](self, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __mod__(self, other: Any) -> Any:
        return npf.UFUNCS[np.remainder](self, other)

    def __rmod__(self, other: Any) -> Any:
        return npf.UFUNCS[np.remainder](other, self)

    def __floordiv__(self, other: Any) -> Any:
        return npf.UFUNCS[np.floor_divide](self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return npf.UFUNCS[np.floor_divide](other, self)

    def __divmod__(self, other: Any) -> Any:
        return npf.UFUNCS[np.divmod](self, other)

    def __rdivmod__(self, other: Any) -> Any:
        return npf.UFUNCS[np.divmod](other, self)

    def __round__(self, decimals: int | None = None) -> Any:
        return npf.FUNCTIONS[np.round](self, decimals or 0)

    def round(self, decimals: int = 0) -> Any:
        """To the nearest number of so many decimals; not differentiable."""
        return npf.FUNCTIONS[np.round](self, decimals)

    def all(self, axis: Axis = None, keepdims: bool = False) -> Any:
        """Whether none is 0."""
        return npf.FUNCTIONS[np.all](self, axis, keepdims=keepdims)

    def any(self, axis: Axis = None, keepdims: bool = False) -> Any:
        """Whether one is not 0."""
        return npf.FUNCTIONS[np.any](self, axis, keepdims=keepdims)

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> Any:
        """Where the largest element stands; not differentiable."""
        return npf.FUNCTIONS[np.argmax](self, axis, keepdims=keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> Any:
        """Where the smallest element stands; not differentiable."""
        return npf.FUNCTIONS[np.argmin](self, axis, keepdims=keepdims)

    def argsort(self, axis: int | None = -1) -> Any:
        """Where the elements stand in ascending order; not differentiable."""
        return npf.FUNCTIONS[np.argsort](self, axis)

    def cumprod(self, axis: int | None = None) -> Any:
        """The products of the first 1, 2, 3, … elements along an axis."""
        return npf.FUNCTIONS[np.cumprod](self, axis)

    def cumsum(self, axis: int | None = None) -> Any:
        """The sums of the first 1, 2, 3, … elements along an axis."""
        return npf.FUNCTIONS[np.cumsum](self, axis)

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
        """The elements [i, i + `offset`] of two axes, as a last axis."""
        return npf.FUNCTIONS[np.diagonal](self, offset, axis1, axis2)

    def repeat(self, repeats: int | Sequence[int], axis: int | None = None) -> Any:
        """Each element so many times, one copy after the other."""
        return npf.FUNCTIONS[np.repeat](self, repeats, axis)

    def take(self, indices: Any, axis: int | None = None) -> Any:
        """The elements at the places `indices` along an axis."""
        return npf.FUNCTIONS[np.take](self, indices, axis)

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
        """Sum over the diagonal of two axes."""
        return npf.FUNCTIONS[np.trace](self, offset, axis1, axis2)


def _index_array(part: Any) -> Any:
    """An index array, of integers or bools."""
    array: Any = part if isinstance(part, Operand) else np.asarray(part)
    if array.size == 0 and not isinstance(part, Operand) and array.dtype.kind == "f":
        return array.astype(np.intp)  # the empty list
    if array.dtype.kind not in "iub":
        raise TypeError(f"an index of dtype {array.dtype}: only integers and bools name elements")
    return array
