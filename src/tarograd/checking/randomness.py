"""Random generators that a subject can reach: found, held still, and put back."""

from __future__ import annotations

import random
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

OPAQUE = (np.ndarray, np.generic, str, bytes, int, float, complex, ModuleType, type(None))
LIBRARIES = ("numpy", "scipy", "torch", "jax", "jaxlib", "tarograd")
OBJECTS = 20_000  # that are looked at; a subject with more has its generators near the top


def kinds() -> tuple[type, ...]:
    """The classes of generators; a function, because NumPy loads them when they are first named."""
    return (np.random.Generator, np.random.RandomState, random.Random)


def reachable(*roots: Any) -> list[Any]:
    """The generators in the fields, closures and globals that `roots` use.

    Example:
        >>> class Noise:
        ...     def __init__(self):
        ...         self.rng = np.random.default_rng(1)
        >>> noise = Noise()
        >>> reachable(noise) == [noise.rng]
        True
    """
    return [x for x in objects(*roots) if isinstance(x, kinds())]


def objects(*roots: Any) -> Iterator[Any]:
    """Everything that `roots` hold or use by name, each thing once."""
    seen: set[int] = set()
    queue = deque(roots)  # the near ones first
    while queue and len(seen) < OBJECTS:
        x = queue.popleft()
        if isinstance(x, OPAQUE) or id(x) in seen:
            continue
        seen.add(id(x))
        yield x
        if not isinstance(x, kinds()):
            queue.extend(inside(x))


def inside(x: Any) -> Iterator[Any]:
    """What an object holds or uses by name."""
    if isinstance(x, dict):
        yield from x.values()
    elif isinstance(x, list | tuple | set | frozenset):
        yield from x
    elif isinstance(x, MethodType):
        yield from (x.__self__, x.__func__)
    elif isinstance(x, FunctionType | type) and _of_a_library(x):
        return
    elif isinstance(x, FunctionType):
        yield from (x.__defaults__, x.__kwdefaults__)
        for cell in x.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # a cell that is not filled yet
                continue
        used = (x.__globals__.get(name) for name in x.__code__.co_names)
        yield from (g for g in used if not isinstance(g, OPAQUE))
    elif isinstance(x, type):
        yield from vars(x).values()
    else:
        yield from getattr(x, "__dict__", {}).values()
        yield from (getattr(x, s, None) for s in getattr(type(x), "__slots__", ()))
        yield type(x)


def _of_a_library(x: Any) -> bool:
    """Whether a function or class is none of the user's own."""
    package = str(x.__module__).partition(".")[0]
    return package in LIBRARIES or package in sys.stdlib_module_names - {"__main__"}


def state(generator: Any) -> Any:
    """Where a generator stands."""
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.get_state() if hasattr(generator, "get_state") else generator.getstate()


def put_back(generator: Any, saved: Any) -> None:
    """Set a generator to where it stood."""
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = saved
    elif hasattr(generator, "set_state"):
        generator.set_state(saved)
    else:
        generator.setstate(saved)


def same_state(a: Any, b: Any) -> bool:
    """Whether two states are equal: nests of dicts, tuples, arrays and numbers."""
    if isinstance(a, dict):
        return all(same_state(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple) and len(a) < 100:
        return all(same_state(x, y) for x, y in zip(a, b, strict=True))
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else bool(a == b)


class Fields:
    """What functions leave in the objects that they use: kept, and put back.

    Example:
        >>> class Counter:
        ...     def __init__(self):
        ...         self.n, self.sums = 0, np.zeros(2)
        >>> counter = Counter()
        >>> kept = Fields(objects(counter))
        >>> counter.n, counter.sums[0], counter.more = 5, 5, 5
        >>> kept.put_back()
        >>> vars(counter)
        {'n': 0, 'sums': array([0., 0.])}
    """

    def __init__(self, found: Iterable[Any]) -> None:
        self._holders: list[tuple[Any, Any]] = []
        for x in found:
            if isinstance(x, dict | list):
                self._holders.append((x, x))
            elif isinstance(getattr(x, "__dict__", None), dict) and _belongs_to_the_user(x):
                self._holders.append((x, vars(x)))
        self._saved = [type(held)(held) for _, held in self._holders]
        inside = [s.values() if isinstance(s, dict) else s for s in self._saved]
        arrays = {id(a): a for part in inside for a in part if isinstance(a, np.ndarray)}
        self._arrays = [(a, a.copy()) for a in arrays.values() if a.flags.writeable]

    def put_back(self) -> None:
        """Every field, item and element as it was."""
        for (_, held), saved in zip(self._holders, self._saved, strict=True):
            if isinstance(held, dict):
                if held.keys() != saved.keys() or any(held[k] is not saved[k] for k in saved):
                    held.clear()
                    held.update(saved)
            else:
                held[:] = saved
        for array, saved in self._arrays:
            array[...] = saved


def _belongs_to_the_user(x: Any) -> bool:
    """Whether it is an object with fields, and no function, class, generator or module."""
    return not isinstance(x, (FunctionType, MethodType, type, *kinds()))


class Randomness:
    """The generators of a subject and the global ones, with their states at the start.

    Example:
        >>> held = Randomness([])
        >>> first = np.random.random_sample()
        >>> held.rewind()
        >>> first == np.random.random_sample()
        True
        >>> held.rewind()
    """

    def __init__(self, generators: list[Any], draw: int = 0) -> None:
        everywhere: list[Any] = [np.random.mtrand._rand, getattr(random, "_inst")]  # noqa: B009  # not public, but the only handle
        self.generators = everywhere + [g for g in generators if g not in everywhere]
        before = self.states()
        for _ in range(draw):
            self.advance()
        self.start = self.states()
        if draw:  # the global generators belong to everybody
            for generator, saved in zip(everywhere, before, strict=False):
                put_back(generator, saved)

    def states(self) -> list[Any]:
        """Where each stands now."""
        return [state(g) for g in self.generators]

    def rewind(self) -> None:
        """Back to the start."""
        self.restore(self.start)

    def restore(self, states: list[Any]) -> None:
        """Back to where they stood."""
        for generator, saved in zip(self.generators, states, strict=True):
            if not same_state(state(generator), saved):  # to look is ten times faster than to set
                put_back(generator, saved)

    def advance(self) -> None:
        """On by many draws."""
        for generator in self.generators:
            if isinstance(generator, random.Random):
                generator.seed(generator.random())
            else:
                generator.random(9973)
