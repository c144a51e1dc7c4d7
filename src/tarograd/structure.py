"""Structures: arguments and results in tuples, lists, dicts and dataclasses, nested too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from tarograd.inputs import NUMBERS


class Parts(NamedTuple):
    """A structure: its class, and by keys what is in it. Two of one form are equal."""

    kind: type
    keys: tuple[Any, ...]
    parts: tuple[Any, ...]


def is_structure(x: Any) -> bool:
    """Whether it has parts of its own. A list of numbers is an array, as NumPy takes it."""
    if isinstance(x, list | tuple):
        return not (x and _numeric(x))
    return isinstance(x, dict) or _is_record(x)


def _is_record(x: Any) -> bool:
    """Whether it has fields. What can be called is a model, not data, and so is an optimizer."""
    if isinstance(x, SimpleNamespace):
        return True
    return is_dataclass(x) and not callable(x) and not type(x).__module__.startswith("tarograd.")


def _numeric(x: Any) -> bool:
    if isinstance(x, list | tuple):
        return all(map(_numeric, x))
    return isinstance(x, (*NUMBERS, np.generic))


def _entries(x: Any) -> Mapping[Any, Any]:
    """What is in a dict, or in the fields that a dataclass is made of."""
    if isinstance(x, dict):
        return x
    return {f.name: getattr(x, f.name) for f in fields(x) if f.init} if is_dataclass(x) else vars(x)


def flattened(change: Callable[[str, Any], Any], x: Any, name: str) -> Any:
    """The structure with `change(name, part)` for each part; what has no parts is one.

    An entry of a dict is called like its key, a field by its name, an item of a list by its number.

    Example:
        >>> flattened(lambda name, x: name, {"w": 3.0, "b": 1.0}, "params")
        Parts(kind=<class 'dict'>, keys=('w', 'b'), parts=('w', 'b'))
    """
    if not is_structure(x):
        return change(name, x)
    if isinstance(x, list | tuple):
        name = f"{name}_" if name[-1:].isdigit() else name
        parts = tuple([flattened(change, part, f"{name}{i}") for i, part in enumerate(x)])
        return Parts(type(x), (), parts)
    entries = _entries(x)
    parts = tuple([flattened(change, part, str(key)) for key, part in entries.items()])
    return Parts(type(x), tuple(entries), parts)


def built(change: Callable[[Any], Any], x: Any) -> Any:
    """A structure of this form, with `change(part)` for each part.

    Example:
        >>> built(abs, Parts(list, (), (-1, Parts(dict, ("w",), (-2,)))))
        [1, {'w': 2}]
    """
    if not isinstance(x, Parts):
        return change(x)
    parts = [built(change, part) for part in x.parts]
    if issubclass(x.kind, list):
        return parts
    if issubclass(x.kind, tuple):
        return x.kind(*parts) if hasattr(x.kind, "_fields") else tuple(parts)
    entries = dict(zip(x.keys, parts, strict=True))
    if x.kind is dict:
        return entries
    if not issubclass(x.kind, dict):
        return x.kind(**entries)
    made = x.kind.__new__(x.kind)  # whose arguments are others in each class, as in `defaultdict`
    made.update(entries)
    return made


def mapped(change: Callable[[str, Any], Any], x: Any, name: str) -> Any:
    """The same structure of `change(name, part)` for each part.

    Example:
        >>> mapped(lambda name, x: f"{name}: {x}", ["a", {"w": 3, "b": ("c", "d")}], "part")
        ['part0: a', {'w': 'w: 3', 'b': ('b0: c', 'b1: d')}]
    """
    return built(lambda part: part, flattened(change, x, name))
