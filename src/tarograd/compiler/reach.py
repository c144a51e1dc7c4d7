"""Reach: what a function can see, found by following its code.

These are the names that the code uses, in the objects, classes and modules that they stand for, and
in the functions that it calls.
"""

from __future__ import annotations

import gc
import os
import random
import sys
from collections import ChainMap, UserDict, UserList, deque
from collections.abc import Iterable
from contextvars import ContextVar
from functools import cached_property, partial
from inspect import getattr_static
from operator import attrgetter, methodcaller
from types import (
    BuiltinMethodType,
    CellType,
    FunctionType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
)
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary, ref

import numpy as np

from tarograd.compiler.names import (
    COMPUTED,
    global_names,
    imported,
    inherited,
    is_known,
    is_library,
    is_ours,
    names_of,
    runs_unnamed,
)
from tarograd.compiler.naming import free_name
from tarograd.compiler.places import (
    LONGEST,
    PLAIN,
    Attributes,
    Each,
    Entries,
    Members,
    Place,
    content_of,
)
from tarograd.nn import Layer
from tarograd.nn.linear import Affine
from tarograd.nn.regularization import Dropout
from tarograd.optim import Optimizer
from tarograd.tensor import Parameter, Tensor

MOST = 20_000  # items of all lists, dicts and arrays together
CONTAINERS = (list, tuple, dict, set, frozenset, deque)
# Python's own, with one of these in it.
WRAPPERS = (UserDict, UserList, ChainMap, type(os.environ), WeakKeyDictionary, WeakValueDictionary)
VIEWS: tuple[type, ...] = (MappingProxyType, *map(type, ({}.keys(), {}.values(), {}.items())))
METHOD = (FunctionType, staticmethod, classmethod)
BOUND = (MethodType, BuiltinMethodType, MethodWrapperType)
DICE = (np.random.Generator, np.random.RandomState, random.Random)
# What these count and remember is read at every call, or is nothing that they compute with.
READ_ANEW: dict[type, tuple[str, ...]] = {
    Layer: ("_pass", "name"),
    Affine: ("_drawn",),
    Dropout: ("_calls",),
    Optimizer: ("states", "step_count", "lr"),
}
BY_NAME = ("name", "step_count", "lr")  # of these, what is watched if the user's code names it
METHODS = "_compiled_methods"  # where an object keeps its compiled methods


class Reach:
    """What functions can see.

    Args:
        *functions: functions, methods and Layers, and classes that they are given.

    Attributes:
        leaves: the Tensors that were not computed, by names without dots.
        generators: NumPy's and Python's generators of random numbers.
        places: where the rest is, by numbers that tell them apart.
    """

    def __init__(self, *functions: Any) -> None:
        self._used: set[str] = set()  # names in the code
        seen = -1
        while seen < len(self._used):  # a name that was found late may stand in what was seen early
            seen = len(self._used)
            self.leaves: dict[str, Tensor] = {}
            self.generators: list[Any] = []
            attributes = "__class__", "__bases__", "__code__", "__defaults__", "__kwdefaults__"
            self._each = [Each(name) for name in attributes]
            self.places: dict[int, Place] = {id(each): each for each in self._each}
            self._visited: dict[int, Any] = {}  # kept, so that no other thing gets the same `id`
            self._classes: set[tuple[type, bool]] = set()
            self._queue = deque[tuple[str, Any]](("self", f) for f in functions)
            self._room = MOST
            for _ in range(2 * MOST):
                if not self._queue:
                    break
                self._visit(*self._queue.popleft())

    def add(self, wanted: str, leaf: Tensor) -> None:
        """A Tensor, by a name that is like this one."""
        if any(leaf is known for known in self.leaves.values()):
            return
        base = "".join(c if c.isalnum() else "_" for c in wanted)
        base = base if base.isidentifier() else "w"
        self.leaves[free_name(base, self.leaves)] = leaf

    def _visit(self, name: str, value: Any) -> None:
        """Find the Tensors in a value, and the places to be watched."""
        if isinstance(value, Tensor):
            if value.node is None:
                self.add(value.name or name, value)
            return
        if isinstance(value, PLAIN) or id(value) in self._visited:
            return
        self._visited[id(value)] = value
        if isinstance(value, DICE) and not isinstance(value, random.SystemRandom):
            self.generators.append(value)
        elif isinstance(value, ModuleType):
            self._module(name, value)
        elif isinstance(value, type):
            self._class(value, made=True)
            self._class(type(value))
        elif not self._called(name, value):
            self._content(name, value)
            self._object(name, value)

    def _module(self, name: str, module: ModuleType) -> None:
        """What the code names of a module."""
        if not is_known(module.__name__):
            ours: set[str] = set() if is_library(module.__name__) else self._used
            there = vars(module).keys()
            names = {*there} if ours.intersection(COMPUTED) else self._used & there
            if ours.intersection(("hasattr", "getattr")):
                names |= ours  # of which those that are not there may come
            self._entries(name, vars(module), {*names, *({"__getattr__"} & there)})
        elif module is os and not self._used.isdisjoint(("environ", "getenv")):
            self._queue.append(("environ", os.environ))

    def _called(self, name: str, value: Any) -> bool:
        """Whether it is a function, or something made of one; what is behind it is visited."""
        if isinstance(value, FunctionType):
            self._function(value)
        elif isinstance(value, BOUND):
            self._queue.append((name, value.__self__))
            self._queue.append((name, getattr(value, "__func__", None)))
        elif isinstance(value, partial):
            inner = (value.func, value.args, value.keywords)
            self._queue.extend((f"{name}{i}", x) for i, x in enumerate(inner))
        elif isinstance(value, ref):
            self._queue.append((name, value()))
        elif isinstance(value, attrgetter | methodcaller):
            texts = (x for x in value.__reduce__()[1] if isinstance(x, str))
            self._used.update(k for path in texts for k in path.split("."))
        elif getattr_static(value, "__wrapped__", None):  # such as another compiled function
            self._queue.append((name, value.__wrapped__))
            return is_library(type(value).__module__)
        else:
            return False
        return True

    def _function(self, function: FunctionType) -> None:
        """What a function names: globals, variables of the functions around it, defaults."""
        if is_library(function.__module__):
            return
        self._watch_each(function.__name__, function, self._each[2:])
        code = function.__code__
        self._used.update(names_of(code))
        self._entries("globals", function.__globals__, global_names(code))
        self._queue.extend((k, sys.modules.get(k)) for k in imported(code))
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            if id(cell) not in self.places and _filled(cell):
                self.places[id(cell)] = Attributes(name, cell, ("cell_contents",))
                self._queue.append((name, cell.cell_contents))
        defaults = (function.__defaults__ or (), (function.__kwdefaults__ or {}).values())
        self._queue.extend(("default", x) for some in defaults for x in some)
        own = (self._used | {"registry"}) & vars(function).keys()  # that of `singledispatch`
        if own:
            self._entries(function.__name__, vars(function), own)

    def _watch_each(self, name: str, owner: Any, some: Iterable[Each]) -> None:
        for each in some:
            each.names.append(name)
            each.owners.append(owner)

    def _entries(self, name: str, owner: dict[str, Any], keys: Iterable[str]) -> None:
        """Entries of a dict of names, besides those that other code has named there."""
        place = self.places.setdefault(id(owner), Entries(name, owner, ()))
        self._extend(place, keys)

    def _extend(self, place: Any, keys: Iterable[str]) -> None:
        """Watch further keys of a place, and visit what is there."""
        for key in sorted(keys):
            if key not in place.keys:
                place.keys.add(key)
                if key in place.owner:
                    self._queue.append((key, _behind(place.owner[key])))

    def _content(self, name: str, value: Any) -> None:
        """What is in a list, dict or array, or the like."""
        if isinstance(value, VIEWS):
            self._queue.extend((name, x) for x in gc.get_referents(value))
        elif isinstance(value, ContextVar):
            self._queue.append((name, value.get(None)))
        array = isinstance(value, np.ndarray)
        if isinstance(value, CONTAINERS) or array:
            if not array and len(value) > LONGEST:
                return
            size = min(value.size, LONGEST) if array else len(value)
            if size > self._room:
                return
            self._room -= size
        if isinstance(value, dict):
            self._queue.extend((f"{name}_{key}", x) for key, x in value.items())
            self._queue.extend((f"{name}_key", key) for key in value)
            self.places[id(value)] = Entries(name, value, whole=True)
        elif isinstance(value, CONTAINERS) or (array and value.dtype == object):
            self._queue.extend((f"{name}{i}", x) for i, x in enumerate(value))
        if place := content_of(name, value):
            self.places[id(value)] = place

    def _object(self, name: str, value: Any) -> None:
        """Of an object of one's own only what is named in the code: others may change."""
        kind = type(value)
        if kind in CONTAINERS or kind is np.ndarray:
            return
        if isinstance(value, Layer):
            for path, parameter in value.named_parameters().items():
                self.add(path, parameter)
        ours = is_ours(kind)
        if not ours:
            self._class(kind)
        if not is_library(kind.__module__):
            self._watch_each(name, value, self._each[:1])
        names = self._used | inherited(kind.__mro__)
        if hasattr(value, "__dict__"):
            owner = vars(value)
            exempt = {k for base in READ_ANEW if isinstance(value, base) for k in READ_ANEW[base]}
            exempt = exempt - {k for k in BY_NAME if k in self._used} | {METHODS}
            every = ours or isinstance(value, WRAPPERS) or not self._used.isdisjoint(COMPUTED)
            keys = [k for k in owner if every or k in names or _declares(value, k)]
            keys = [k for k in keys if k not in exempt and isinstance(k, str)]
            self.places[id(owner)] = Entries(name, owner, keys, whole=False, exempt=exempt)
            self._queue.extend((key, owner[key]) for key in keys)
        every = not self._used.isdisjoint(COMPUTED)
        members = ((k, x) for c in kind.__mro__ for k, x in vars(c).items() if every or k in names)
        slots = {k for k, x in members if _stores(x)}
        if slots and not is_library(kind.__module__):
            place = self.places[-id(value)] = Attributes(name, value, slots)
            self._queue.extend(place.look().items())

    def _class(self, kind: type, made: bool = False) -> None:
        """What the code names of a class, and of those above it, which `super()` calls."""
        if (kind, made) in self._classes:
            return
        self._classes.add((kind, made))
        names = self._used | inherited(kind.__mro__)
        every = not self._used.isdisjoint(COMPUTED)
        for base in kind.__mro__:
            if is_library(base.__module__):
                continue
            found = (
                k
                for k, x in vars(base).items()
                if k in names
                or (every and not k.startswith("__"))
                or (isinstance(x, METHOD) and runs_unnamed(k, made))
            )
            self._extend(self.places.setdefault(-id(base), Members(base)), found)
            self._watch_each(base.__name__, base, self._each[1:2])


def _behind(x: Any) -> Any:
    """What is visited of an attribute of a class: the function that a property calls."""
    if isinstance(x, property | cached_property):
        return x.fget if isinstance(x, property) else x.func
    return x.__func__ if isinstance(x, staticmethod | classmethod) else x


def _filled(cell: CellType) -> bool:
    """Whether a variable of a function around has been given a value yet."""
    try:
        return cell.cell_contents is cell.cell_contents
    except ValueError:
        return False


def _stores(x: Any) -> bool:
    """Whether it is what gives an attribute its value: of `__slots__`, or a class of one's own."""
    own = hasattr(type(x), "__get__") and not is_library(type(x).__module__)
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
