"""Surroundings: what a function sees besides its arguments, and whether it is still the same."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tarograd.compiler.places import Attributes, Each, same
from tarograd.compiler.reach import Reach
from tarograd.tensor import Tensor

# Where the functions of `random` and the old ones of NumPy draw from.
DEFAULT_DICE: tuple[Any, ...] = (random._inst, np.random.mtrand._rand)


def check(function: Any) -> None:
    """Raise a TypeError for what is no function, method, layer or other thing to be called."""
    if isinstance(function, classmethod | property):
        kind = type(function).__name__
        raise TypeError(f"compile: a {kind}: put @{kind} above @tg.compile, not below it")
    if not callable(function) or isinstance(function, type):
        raise TypeError(f"compile: {function!r} is no function, method or layer")
    lazy = inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction
    if any(is_lazy(function) for is_lazy in lazy):
        raise TypeError(
            f"compile: {function!r} waits or yields between its computations: compile a function "
            "that returns its results at once, such as in a list, and call it from this one"
        )


class Surroundings:
    """The Tensors that functions can see, and what else they would take for a constant.

    Args:
        *functions: functions, methods and Layers, and classes that they are given.

    Attributes:
        leaves: the Tensors that were not computed, by names without dots.
        generators: NumPy's and Python's generators of random numbers.
    """

    def __init__(self, *functions: Any) -> None:
        self._functions = functions
        self._ignored: dict[int, set[Any]] = {}
        self._find()
        self.settle()

    def _find(self) -> None:
        self._reach = Reach(*self._functions)
        self._places = self._reach.places
        self.leaves, self.generators = self._reach.leaves, self._reach.generators

    def renew(self, ignored: Iterable[tuple[int, Any]]) -> None:
        """Look again, since a call has made something, such as the layers of a network."""
        known = self.leaves.values()
        self._find()
        self.add(known)
        self.settle(ignored)

    def changed(self) -> str | None:
        """A name, field or number in the surroundings that stands for something else by now."""
        for read, before, names in self._watched:
            try:
                now = read()
            except (KeyError, ValueError, AttributeError):
                return names[0]
            if now is not before and not same(now, before):
                if len(names) == 1:
                    return names[0]
                parts = zip(names, now, before, strict=True)
                return next(name for name, a, b in parts if not same(a, b))
        return None

    def settle(self, ignored: Iterable[tuple[int, Any]] = ()) -> None:
        """Watch what is there now, but for these keys of places from now on."""
        for place, key in ignored:
            self._ignored.setdefault(place, set()).add(key)
        self._watched: list[tuple[Callable[[], Any], Any, tuple[str, ...]]] = []
        for key, where in self._places.items():
            for read, names in where.reads(self._ignored.get(key, ())):
                self._watched.append((read, read(), names or (where.name,)))

    def look(self) -> dict[int, dict[Any, Any]]:
        """All that is there, to be compared with later, and to be put back."""
        return {key: place.look() for key, place in self._places.items()}

    def put(self, old: Mapping[int, Mapping[Any, Any]]) -> None:
        """Put back what `look` has seen."""
        for key, place in self._places.items():
            now, before = place.look(), old[key]
            if now.keys() != before.keys() or any(now[k] is not before[k] for k in now):
                place.put(before)

    def label(self, place: int, key: Any) -> str:
        """What to call a key of a place."""
        where = self._places[place]
        if isinstance(where, Attributes | Each):
            return where.label(key)
        return f"{where.name}[{key!r}]" if getattr(where, "whole", None) else str(key)

    def dice(self) -> list[Any]:
        """The states of the random numbers that the function could draw outside of the graph."""
        return [_state(g) for g in (*DEFAULT_DICE, *self.generators)]

    def roll(self, states: Sequence[Any]) -> None:
        """Put these states back."""
        for generator, state in zip((*DEFAULT_DICE, *self.generators), states, strict=True):
            if isinstance(generator, np.random.Generator):
                generator.bit_generator.state = state
            elif isinstance(generator, np.random.RandomState):
                generator.set_state(state)
            else:
                generator.setstate(state)

    def add(self, leaves: Iterable[Tensor]) -> None:
        """Tensors that the function was found to use."""
        for leaf in leaves:
            self._reach.add(leaf.name or "w", leaf)


def _state(generator: Any) -> Any:
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.getstate() if hasattr(generator, "getstate") else generator.get_state()
