"""Surroundings: what a function sees besides its arguments, and whether it is still the same."""

from __future__ import annotations

import dis
import random
from collections.abc import Callable, Iterator
from functools import partial
from operator import getitem
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from tarograd.nn import Layer
from tarograd.tensor import Tensor

PLAIN = (bool, int, float, complex, str, bytes, type(None))
DEPTH = 6  # attributes of attributes of … that are looked through
LONGEST = 1000  # items of a list or dict that is
# What layers and optimizers count and remember is read at every call, and so is the learning rate.
READ_ANEW = ("_calls", "_pass", "step_count", "states", "lr", "name", "_drawn")
Seen = Callable[[], Any]


class Surroundings:
    """The Tensors that a function can see, and what else it would take for a constant.

    Args:
        function: a function, method or Layer.

    Attributes:
        leaves: the Tensors that were not computed, by names without dots.
        generators: NumPy's generators of random numbers.

    Raises:
        TypeError: for anything else.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.leaves: dict[str, Tensor] = {}
        self.generators: list[np.random.Generator] = []
        self._watched: list[tuple[str, Seen, Any]] = []
        self._visited: set[int] = set()
        self._used: set[str] = set()  # names in the code
        if isinstance(function, Layer):
            self._visit("", function, DEPTH)
        elif callable(function) and not isinstance(function, type | np.ufunc):
            self._called("", function, DEPTH)
        else:
            raise TypeError(f"compile: {function!r} is no function, method or layer")

    def changed(self) -> str | None:
        """A name, field or number in the surroundings that stands for something else by now."""
        for name, read, before in self._watched:
            try:
                now = read()
            except (KeyError, ValueError, IndexError, AttributeError):
                return name
            if now is before:
                continue
            if type(now) is not type(before) or not isinstance(now, PLAIN) or now != before:
                return name
        return None

    def dice(self) -> list[Any]:
        """The states of the random numbers that the function could draw outside of the graph."""
        found = [repr(g.bit_generator.state) for g in self.generators]
        old: Any = np.random.get_state()  # noqa: NPY002  # where the old functions draw from
        return [old[1].tobytes(), old[2:], random.getstate(), *found]

    def add(self, leaf: Tensor) -> None:
        """A Tensor that the function was found to use."""
        self._leaf(leaf.name or "w", leaf)

    def _leaf(self, wanted: str, leaf: Tensor) -> None:
        if any(leaf is known for known in self.leaves.values()):
            return
        base = "".join(c if c.isalnum() else "_" for c in wanted)
        base = base if base.isidentifier() else "w"
        name, number = base, 1
        while name in self.leaves:
            number += 1
            name = f"{base}_{number}"
        self.leaves[name] = leaf

    def _function(self, function: FunctionType | MethodType) -> None:
        if isinstance(function, MethodType):
            owner, function = function.__self__, function.__func__  # type: ignore[assignment]  # Python
            if isinstance(function, FunctionType):
                self._used.update(_names(function.__code__))
            self._visit("self", owner, DEPTH)
        if not isinstance(function, FunctionType) or id(function) in self._visited:
            return
        self._visited.add(id(function))
        self._used.update(_names(function.__code__))
        for name in dict.fromkeys(_global_names(function.__code__)):
            if name in function.__globals__:
                self._watch(name, function.__globals__, name, DEPTH)
        free = function.__code__.co_freevars
        for name, cell in zip(free, function.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:  # not given a value yet
                continue
            self._watched.append((name, partial(getattr, cell, "cell_contents"), value))
            self._visit(name, value, DEPTH)

    def _called(self, name: str, function: Any, depth: int) -> None:
        """What is behind something that can be called: a function, a part of one, an object."""
        if isinstance(function, partial):
            self._called(name, function.func, depth)
            for i, x in enumerate((*function.args, *function.keywords.values())):
                self._visit(f"{name}{i}", x, depth)
        elif isinstance(function, FunctionType | MethodType):
            if not str(function.__module__).startswith(("tarograd", "numpy")):
                self._function(function)
        elif hasattr(function, "__wrapped__"):  # such as another compiled function
            self._visit(name, function.__wrapped__, depth)
        elif isinstance(vars(type(function)).get("__call__"), FunctionType):
            self._function(MethodType(type(function).__call__, function))

    def _watch(self, name: str, container: Any, key: Any, depth: int) -> None:
        self._watched.append((name, partial(getitem, container, key), container[key]))
        self._visit(name, container[key], depth)

    def _visit(self, name: str, value: Any, depth: int) -> None:
        """Find the Tensors in a value; functions that are called are followed too."""
        if isinstance(value, Tensor):
            if value.node is None:
                self._leaf(value.name or name, value)
            return
        if isinstance(value, FunctionType | MethodType | partial) or hasattr(value, "__wrapped__"):
            self._called(name, value, depth)
            return
        if isinstance(value, np.random.Generator):
            self.generators.append(value)
            return
        if isinstance(value, (*PLAIN, ModuleType, type, np.ndarray, np.generic)) or not depth:
            return
        if id(value) in self._visited:
            return
        self._visited.add(id(value))
        if isinstance(value, Layer):
            for path, parameter in value.named_parameters().items():
                self._leaf(path, parameter)
        for container, key, path in _inside(name, value, self._used):
            self._watch(path, container, key, depth - 1)


def _inside(name: str, value: Any, used: set[str]) -> Iterator[tuple[Any, Any, str]]:
    """The places of what a list, dict or object holds, and what to call them.

    Of an object of one's own only the attributes that are named in the code: others may change.
    """
    if isinstance(value, list | tuple | dict) and len(value) > LONGEST:
        return
    if isinstance(value, list | tuple):
        yield from ((value, i, f"{name}{i}") for i in range(len(value)))
    elif isinstance(value, dict):
        yield from ((value, key, f"{name}_{key}") for key in value)
    elif hasattr(value, "__dict__"):
        ours = isinstance(value, Layer) or type(value).__module__.startswith("tarograd")
        for key in list(vars(value)):
            if key not in READ_ANEW if ours else key in used:
                yield vars(value), key, str(key)


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code of a function, and of the functions that are defined in it."""
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _codes(inner)


def _names(code: CodeType) -> Iterator[str]:
    """The names of attributes and of what is global."""
    for each in _codes(code):
        yield from each.co_names


def _global_names(code: CodeType) -> Iterator[str]:
    """The names of what is global alone: in `optimizer.step` it is not `step`."""
    for each in _codes(code):
        for instruction in dis.get_instructions(each):
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                yield instruction.argval
