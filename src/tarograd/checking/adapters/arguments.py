"""The arguments of a forward pass: arrays, and settings that are handed on as they are."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tarograd.checking.subject import Array, Values


def _declared(call: Callable[..., Any]) -> list[inspect.Parameter]:
    """All parameters of a callable; none that can be known for a built-in one."""
    try:
        return list(inspect.signature(call).parameters.values())
    except (TypeError, ValueError):
        return []


def parameters_of(call: Callable[..., Any]) -> list[inspect.Parameter]:
    """The positional parameters of a callable; none that can be known for a built-in one."""
    if isinstance(call, np.ufunc):  # NumPy itself tells their names since 2.4 only
        names = ["x"] if call.nin == 1 else [f"x{i + 1}" for i in range(call.nin)]
        return [inspect.Parameter(n, inspect.Parameter.POSITIONAL_ONLY) for n in names]
    return [p for p in _declared(call) if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def needed(call: Callable[..., Any]) -> int:
    """How many positional arguments a callable cannot do without."""
    return len([p for p in parameters_of(call) if p.default is p.empty])


def as_outputs(returned: Sequence[Any], name: str) -> tuple[Array, ...]:
    """What forward returned, as arrays of real numbers.

    Raises:
        TypeError: if it is something else.
    """
    arrays = []
    for y in returned:
        array = as_numbers(y)
        if array is None or array.dtype.kind not in "fiub":
            kind = type(y).__name__ if array is None else array.dtype
            raise TypeError(
                f"{name}: forward returns {kind}: return an array of real numbers, or several as "
                "a tuple"
            )
        arrays.append(array)
    return tuple(arrays)


def as_numbers(x: Any) -> Array | None:
    """An array of numbers; None for what is none, such as lists of different lengths."""
    try:
        array = np.asarray(x)
    except ValueError:
        return None
    if array.dtype != object:
        return array
    return array.astype(float) if all(isinstance(i, Real) for i in array.flat) else None


class Arguments:
    """What forward is called with.

    Args:
        call: the forward pass, whose parameters give the arrays their names.
        inputs: arrays and numbers with a fraction are differentiated; arrays of whole numbers are
            data; a flag, a whole number, a text, a dict and so on is a setting.
        dtype: of the floats.
        numbers: whether a Python number with a fraction is differentiated, or a setting as well.

    Raises:
        TypeError: for complex numbers, and for a forward that takes arguments by name only.

    Example:
        >>> given = Arguments(lambda x, train: x, [np.ones(2, np.float32), True], np.float64)
        >>> given.values
        {'x': array([1., 1.])}
        >>> given.filled({"x": np.zeros(2)})
        [array([0., 0.]), True]
    """

    def __init__(
        self,
        call: Callable[..., Any],
        inputs: Sequence[Any],
        dtype: DTypeLike,
        numbers: bool = True,
    ) -> None:
        named = [p for p in _declared(call) if p.kind is p.KEYWORD_ONLY]
        if by_name := [p.name for p in named if p.default is p.empty]:
            raise TypeError(
                f"forward takes {', '.join(by_name)} by name only, and the check hands on its "
                "arguments by position: leave the * out"
            )
        names = [p.name for p in parameters_of(call)][: len(inputs)]
        names += [f"x{i}" for i in range(len(names), len(inputs))]
        self.listed = [n for n, x in zip(names, inputs, strict=True) if isinstance(x, list)]
        self.values: dict[str, Array] = {}
        self._order: list[tuple[str, Any]] = []
        for name, x in zip(names, inputs, strict=True):
            setting = is_setting(x) or (type(x) is float and not numbers)
            array = None if setting else self._array(name, x)
            if array is not None and array.dtype.kind == "c":
                raise TypeError(
                    f"{name} is complex: check a function of its two parts, "
                    f"f(re, im) with {name} = re + 1j * im, where both are real"
                )
            if array is None or array.dtype.kind not in "fiub":
                self._order.append((name, x))
                continue
            self.values[name] = array.astype(dtype) if array.dtype.kind == "f" else array
            self._order.append((name, None))

    def _array(self, name: str, x: Any) -> Array:
        """A copy as an array, of floats where it is one of Python's numbers."""
        try:
            array = np.array(x)
        except ValueError:
            raise ValueError(
                f"{name} is a list of different shapes, which is no array: let forward take them "
                "one by one, as arguments of their own"
            ) from None
        numbers = as_numbers(array)
        return array if numbers is None else numbers

    @property
    def floats(self) -> list[str]:
        """The names of the float arrays."""
        return [n for n, x in self.values.items() if x.dtype.kind == "f"]

    def filled(self, values: Values) -> list[Any]:
        """The arguments in their order, the arrays from `values`, the settings as copies."""
        return [values[n] if n in self.values else _copied(x) for n, x in self._order]


def is_setting(x: Any) -> bool:
    """Whether an argument is neither an array nor a number with a fraction."""
    return x is None or callable(x) or isinstance(x, bool | int | str | bytes | Mapping)


def _copied(x: Any) -> Any:
    """A copy, so that what a forward writes into a dict is not seen by the next one."""
    try:
        return copy.deepcopy(x)
    except (TypeError, NotImplementedError):
        return x
