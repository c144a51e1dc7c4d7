"""Surroundings: what a function sees besides its arguments, and whether it is still the same.

What can be seen is found by following the code: the names that it uses, in the objects, classes
and modules that these names stand for, and in the functions that it calls.
"""

from __future__ import annotations

import dis
import random
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from inspect import getattr_static
from operator import attrgetter
from pathlib import Path
from types import (
    BuiltinMethodType,
    CellType,
    CodeType,
    FunctionType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any
from weakref import ref

import numpy as np

from tarograd.compiler.places import PLAIN, Attributes, Entries, Items, Place, same
from tarograd.nn import Layer
from tarograd.nn.linear import Affine
from tarograd.nn.regularization import Dropout
from tarograd.optim import Optimizer
from tarograd.tensor import Parameter, Tensor

LONGEST = 1000  # items of a list or dict that is looked through
MOST = 20_000  # items of all of them together
CONTAINERS = (list, tuple, dict, set, frozenset, deque)
DICE = (np.random.Generator, np.random.RandomState, random.Random)
# Where the functions of `random` and the old ones of NumPy draw from.
DEFAULT_DICE: tuple[Any, ...] = (random._inst, np.random.mtrand._rand)
# What these count and remember is read at every call, or is nothing that they compute with.
READ_ANEW: dict[type, tuple[str, ...]] = {
    Layer: ("_pass", "name"),
    Affine: ("_drawn",),
    Dropout: ("_calls",),
    Optimizer: ("states", "step_count", "lr"),
}
BY_NAME = ("name", "step_count", "lr")  # of these, what is watched if the user's code names it
# Methods that run without being named. What makes an object or compares it is none of them.
UNNAMED: tuple[str, ...] = ("__call__", "__getattr__", "__getitem__", "__iter__", "__next__")
UNNAMED += ("__len__", "__bool__")
UNNAMED += ("__enter__", "__exit__", "__contains__", "__get__", "__float__", "__index__", "__neg__")
UNNAMED += ("__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__")
UNNAMED += ("__rtruediv__", "__pow__", "__rpow__", "__matmul__", "__rmatmul__", "__array_ufunc__")
METHODS = "_compiled_methods"  # where an object keeps its compiled methods
COMPUTED = ("getattr", "vars", "__dict__", "attrgetter")  # by which any attribute may be read
MAKING = ("__init__", "__new__", "__post_init__")


def check(function: Any) -> None:
    """Raise a TypeError for what is no function, method, layer or other thing to be called."""
    if not callable(function) or isinstance(function, type | np.ufunc):
        raise TypeError(f"compile: {function!r} is no function, method or layer")


class Surroundings:
    """The Tensors that functions can see, and what else they would take for a constant.

    Args:
        *functions: functions, methods and Layers, and classes that they are given.

    Attributes:
        leaves: the Tensors that were not computed, by names without dots.
        generators: NumPy's and Python's generators of random numbers.
    """

    def __init__(self, *functions: Any) -> None:
        self._used: set[str] = set()  # names in the code
        seen = -1
        while seen < len(self._used):  # a name that was found late may stand in what was seen early
            seen = len(self._used)
            self.leaves: dict[str, Tensor] = {}
            self.generators: list[Any] = []
            self._places: dict[int, Place] = {}
            self._visited: dict[int, Any] = {}  # kept, so that no other thing gets the same `id`
            self._queue = deque[tuple[str, Any]](("self", f) for f in functions)
            self._room = MOST
            for _ in range(2 * MOST):
                if not self._queue:
                    break
                self._visit(*self._queue.popleft())
        self._ignored: dict[int, set[Any]] = {}
        self.settle()

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
        if isinstance(where, Attributes):
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

    def _visit(self, name: str, value: Any) -> None:
        """Find the Tensors in a value, and the places to be watched."""
        if isinstance(value, Tensor):
            if value.node is None:
                self._leaf(value.name or name, value)
            return
        if isinstance(value, (*PLAIN, np.ndarray)) or id(value) in self._visited:
            return
        self._visited[id(value)] = value
        if isinstance(value, DICE) and not isinstance(value, random.SystemRandom):
            self.generators.append(value)
        elif isinstance(value, ModuleType):
            if not _known(value.__name__):
                self._entries(name, vars(value), self._used & vars(value).keys())
        elif isinstance(value, type):
            self._class(value, (*UNNAMED, *MAKING))
            self._class(type(value), UNNAMED)
        elif not self._called(name, value):
            self._container(name, value)
            self._object(name, value)

    def _called(self, name: str, value: Any) -> bool:
        """Whether it is a function, or something made of one; what is behind it is visited."""
        if isinstance(value, FunctionType):
            self._function(value)
        elif isinstance(value, MethodType | BuiltinMethodType):
            self._queue.append((name, value.__self__))
            self._queue.append((name, getattr(value, "__func__", None)))
        elif isinstance(value, partial):
            inner = (value.func, *value.args, *value.keywords.values())
            self._queue.extend((f"{name}{i}", x) for i, x in enumerate(inner))
        elif isinstance(value, ref):
            self._queue.append((name, value()))
        elif isinstance(value, attrgetter):
            self._used.update(k for path in value.__reduce__()[1] for k in path.split("."))
        elif getattr_static(value, "__wrapped__", None):  # such as another compiled function
            self._queue.append((name, value.__wrapped__))
        else:
            return False
        return True

    def _function(self, function: FunctionType) -> None:
        """What a function names: globals, variables of the functions around it, defaults."""
        if _library(function.__module__):
            return
        code = function.__code__
        self._used.update(_names(code))
        known = [k for k in _global_names(code) if k in function.__globals__]
        self._entries("globals", function.__globals__, known)
        self._queue.extend((k, sys.modules.get(k)) for k in _imported(code))
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            if id(cell) not in self._places and _filled(cell):
                self._places[id(cell)] = Attributes(name, cell, ("cell_contents",))
                self._queue.append((name, cell.cell_contents))
        defaults = (function.__defaults__ or (), (function.__kwdefaults__ or {}).values())
        self._queue.extend(("default", x) for some in defaults for x in some)
        if own := self._used & vars(function).keys():
            self._entries(function.__name__, vars(function), own)

    def _entries(self, name: str, owner: dict[str, Any], keys: Iterable[str]) -> None:
        """Entries of a dict of names, besides those that other code has named there."""
        place = self._places.setdefault(id(owner), Entries(name, owner, ()))
        assert isinstance(place, Entries)
        for key in sorted(keys):
            if key not in place.keys:
                place.keys.add(key)
                self._queue.append((key, owner[key]))

    def _container(self, name: str, value: Any) -> None:
        """What is in a list or dict or the like."""
        if not isinstance(value, CONTAINERS) or len(value) > min(LONGEST, self._room):
            return
        self._room -= len(value)
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        joint = "_" if isinstance(value, dict) else ""
        self._queue.extend((f"{name}{joint}{key}", x) for key, x in pairs)
        if isinstance(value, dict):
            self._places[id(value)] = Entries(name, value, whole=True)
        elif isinstance(value, list | set | deque):
            self._places[id(value)] = Items(name, value)

    def _object(self, name: str, value: Any) -> None:
        """Of an object of one's own only what is named in the code: others may change."""
        kind = type(value)
        if kind in CONTAINERS:
            return
        if isinstance(value, Layer):
            for path, parameter in value.named_parameters().items():
                self._leaf(path, parameter)
        ours = _is_ours(kind)
        if not ours:
            self._class(kind, UNNAMED)
        names = self._used | _inherited(kind.__mro__)
        if hasattr(value, "__dict__"):
            owner = vars(value)
            exempt = {k for base in READ_ANEW if isinstance(value, base) for k in READ_ANEW[base]}
            exempt = exempt - {k for k in BY_NAME if k in self._used} | {METHODS}
            every = ours or not self._used.isdisjoint(COMPUTED)
            keys = [k for k in owner if every or k in names or _declares(value, k)]
            keys = [k for k in keys if k not in exempt and isinstance(k, str)]
            self._places[id(owner)] = Entries(name, owner, keys, whole=False, exempt=exempt)
            self._queue.extend((key, owner[key]) for key in keys)
        slots = {k for c in kind.__mro__ for k, x in vars(c).items() if k in names and _stores(x)}
        if slots and not _library(kind.__module__):
            place = self._places[-id(value)] = Attributes(name, value, slots)
            self._queue.extend(place.look().items())

    def _class(self, kind: type, unnamed: tuple[str, ...]) -> None:
        """What the code names of a class: its attributes, and the code of its methods."""
        if unnamed is UNNAMED and -id(kind) in self._visited:
            return
        self._visited[-id(kind)] = kind
        found: dict[str, Any] = {}
        names = {*self._used, *_inherited(kind.__mro__), *unnamed}
        for base in reversed(kind.__mro__):
            if not _library(base.__module__):
                found |= {k: x for k, x in vars(base).items() if k in names}
        plain = {k for k, x in found.items() if not hasattr(type(x), "__get__")}
        plain |= {k for k, x in found.items() if isinstance(x, FunctionType | staticmethod)}
        if plain:
            self._places[-id(kind)] = Attributes(kind.__name__, kind, plain)
        # What a class overrides is not among what is found, and `super()` calls it all the same.
        for base in kind.__bases__ if "super" in self._used else ():
            if not _library(base.__module__):
                self._class(base, unnamed)
        for key in sorted(found):
            x = found[key]
            if isinstance(x, property | cached_property):
                x = x.fget if isinstance(x, property) else x.func
            self._queue.append(
                (key, x.__func__ if isinstance(x, staticmethod | classmethod) else x)
            )


def _known(module: str | None) -> bool:
    """Whether a module is Python's, NumPy's or ours: its numbers do not change."""
    top = str(module).partition(".")[0]
    return top in ("tarograd", "numpy") or top in sys.stdlib_module_names


def _is_ours(kind: type) -> bool:
    """Whether a class is tarograd's; the module of some classes of C is no text."""
    return str(kind.__module__).partition(".")[0] == "tarograd"


@lru_cache(maxsize=1000)
def _library(module: str | None) -> bool:
    """Whether a module was installed: its code is not followed."""
    if module == "__main__" or _known(module):
        return module != "__main__"
    found = sys.modules.get(str(module).partition(".")[0])
    places = [getattr(found, "__file__", None), *getattr(found, "__path__", ())]
    parts = {part for place in places if place for part in Path(place).parts}
    return not parts.isdisjoint(("site-packages", "dist-packages"))


def _state(generator: Any) -> Any:
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.getstate() if hasattr(generator, "getstate") else generator.get_state()


def _filled(cell: CellType) -> bool:
    """Whether a variable of a function around has been given a value yet."""
    try:
        return cell.cell_contents is cell.cell_contents
    except ValueError:
        return False


def _stores(x: Any) -> bool:
    """Whether it is what gives an attribute its value: of `__slots__`, or a class of one's own."""
    own = hasattr(type(x), "__get__") and not _library(type(x).__module__)
    return own or isinstance(x, MemberDescriptorType)


def _declares(value: Any, key: str) -> bool:
    """Whether a field of a Layer declares parameters or inner layers."""
    if not isinstance(value, Layer) or key.startswith("_"):
        return False
    todo = [vars(value)[key]]
    while todo:
        x = todo.pop()
        if isinstance(x, Layer | Parameter):
            return True
        if isinstance(x, list | tuple | dict):
            todo.extend(x.values() if isinstance(x, dict) else x)
    return False


@lru_cache(maxsize=1000)
def _inherited(classes: tuple[type, ...]) -> frozenset[str]:
    """The names in the code that a class has from those of tarograd above it."""
    ours = (vars(c) for c in classes if _is_ours(c))
    members = (getattr(x, "fget", x) for attributes in ours for x in attributes.values())
    codes = (x.__code__ for x in members if isinstance(x, FunctionType))
    return frozenset(name for code in codes for name in _names(code))


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code of a function, and of the functions that are defined in it."""
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _codes(inner)


@lru_cache(maxsize=1000)
def _names(code: CodeType) -> frozenset[str]:
    """The names of attributes and of what is global, and texts that may be such in `getattr`."""
    texts = (x for each in _codes(code) for x in each.co_consts if isinstance(x, str))
    named = (x for each in _codes(code) for x in each.co_names)
    return frozenset([*named, *(x for x in texts if x.isidentifier())])


@lru_cache(maxsize=1000)
def _global_names(code: CodeType) -> tuple[str, ...]:
    """The names of what is global alone: in `optimizer.step` it is not `step`."""
    instructions = (i for each in _codes(code) for i in dis.get_instructions(each))
    named = (i.argval for i in instructions if i.opname in ("LOAD_GLOBAL", "LOAD_NAME"))
    return tuple(dict.fromkeys(named))


@lru_cache(maxsize=1000)
def _imported(code: CodeType) -> tuple[str, ...]:
    """The modules that are imported inside of a function."""
    instructions = (i for each in _codes(code) for i in dis.get_instructions(each))
    return tuple(i.argval for i in instructions if i.opname == "IMPORT_NAME")
