"""Arguments: those of a compiled function by the names that they have in its program."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from enum import Enum
from types import EllipsisType
from typing import Any

import numpy as np

from tarograd.compiler.naming import free_name
from tarograd.compiler.trace import WEAK
from tarograd.structure import Parts, built, flattened, is_structure
from tarograd.tensor import Tensor

# What is as in eager code: the function is traced anew for another one.
STATIC = (str, bytes, bool, type(None), type, np.dtype, Enum, EllipsisType)


class Arguments:
    """The arguments that a function takes.

    Args:
        function: which is called with them.

    Raises:
        TypeError: if it does not tell what it takes.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._name = name = getattr(function, "__name__", type(function).__name__)
        try:
            self._signature = inspect.signature(function)
        except ValueError:
            raise TypeError(
                f"compile: {name} does not tell which arguments it takes: compile "
                f"lambda x: {name}(x)"
            ) from None
        parameters = self._signature.parameters
        kinds = {p.kind for p in parameters.values()}
        plain = kinds <= {inspect.Parameter.POSITIONAL_OR_KEYWORD}
        self._plain = tuple(parameters) if plain else None
        # A default that is a number or array is given, so that it may be another one, too; the
        # function itself fills in the others, which are watched.
        self._numeric = {k: p.default for k, p in parameters.items() if _is_numeric(p.default)}

    def bound(self, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[Any, Any]:
        """The arguments with a name in place of each part, and these parts by the names.

        Raises:
            TypeError: if the function takes others.
        """
        plain = None if named or any(map(is_structure, arguments)) else self._plain
        if plain is not None and len(arguments) == len(plain):  # in a tenth of the time
            return plain, dict(zip(plain, arguments, strict=True))
        try:
            given = self._signature.bind(*arguments, **named).arguments
        except TypeError as error:
            raise TypeError(f"{self._name}{self._signature}: {error}") from None
        given = {**self._numeric, **given}
        given = {k: given[k] for k in self._signature.parameters if k in given}
        found: dict[str, Any] = {}

        def kept(name: str, x: Any) -> str:
            name = name if name.isidentifier() else re.sub(r"\W", "_", name)
            found[key := free_name(name, found)] = x
            return key

        structure = []
        for name, value in given.items():
            kind = self._signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_POSITIONAL:
                parts = [flattened(kept, x, f"argument{i}") for i, x in enumerate(value)]
                structure.append((name, Parts(tuple, (), tuple(parts))))
            elif kind is inspect.Parameter.VAR_KEYWORD:
                parts = [flattened(kept, x, key) for key, x in value.items()]
                structure.append((name, Parts(dict, tuple(value), tuple(parts))))
            else:
                structure.append((name, flattened(kept, value, name)))
        return tuple(structure), found

    def call(self, structure: Any, values: Mapping[str, Any]) -> Any:
        """The function of what `bound` gave."""
        if structure is self._plain:
            return self._function(*values.values())
        given = {k: built(values.__getitem__, x) for k, x in structure}
        bound = inspect.BoundArguments(self._signature, self._filled(given))
        return self._function(*bound.args, **bound.kwargs)

    def _filled(self, given: dict[str, Any]) -> dict[str, Any]:
        """With the defaults that stand before what is given by its place alone."""
        places = [
            p
            for p in self._signature.parameters.values()
            if p.kind is inspect.Parameter.POSITIONAL_ONLY
        ]
        while places and places[-1].name not in given:
            places.pop()
        return {p.name: p.default for p in places} | given


def _is_numeric(default: Any) -> bool:
    """Whether a default is numbers and arrays alone."""
    parts: list[Any] = []
    flattened(lambda _, x: parts.append(x), default, "")
    numbers = all(isinstance(x, (*WEAK, np.ndarray, list, tuple)) for x in parts)
    return numbers and not any(isinstance(x, STATIC) for x in parts)


def as_array(name: str, x: Any) -> Any:
    """An argument as an array.

    Raises:
        TypeError: if it is none of numbers or bools.
    """
    if isinstance(x, Tensor):
        raise TypeError(
            f"{name} is a Tensor: a compiled function takes arrays and gives arrays, through which "
            f"nothing can be differentiated; give {name}.value, and use tg.grad inside"
        )
    array = np.asarray(x)
    if array.dtype.kind not in "fiub":
        given = f"{array.dtype} {type(x).__name__}" if array.dtype != object else type(x).__name__
        raise TypeError(
            f"{name}: {given}: an array of floats, whole numbers or bools is needed; other things, "
            "such as a network, are used from around the function, or given by functools.partial"
        )
    if not array.dtype.isnative:  # in the byte order of another machine
        array = array.astype(array.dtype.newbyteorder("="))
    return array
