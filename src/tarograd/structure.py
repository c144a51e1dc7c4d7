"""Structures: arguments and results in tuples, lists and dicts, within one another too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tarograd.inputs import NUMBERS


def is_structure(x: Any) -> bool:
    """Whether it has parts of its own. A list of numbers is an array, as NumPy takes it."""
    return isinstance(x, dict) or (isinstance(x, list | tuple) and not (x and _numeric(x)))


def _numeric(x: Any) -> bool:
    if isinstance(x, list | tuple):
        return all(map(_numeric, x))
    return isinstance(x, (*NUMBERS, np.generic))


def mapped(change: Callable[[str, Any], Any], x: Any, name: str) -> Any:
    """The same structure of `change(name, part)` for each part; what has no parts is one.

    An entry of a dict is called like its key, an item of a list by its number.

    Example:
        >>> mapped(lambda name, x: f"{name}: {x}", ["a", {"w": 3, "b": ("c", "d")}], "part")
        ['part0: a', {'w': 'w: 3', 'b': ('b0: c', 'b1: d')}]
    """
    if not is_structure(x):
        return change(name, x)
    if isinstance(x, dict):
        return {key: mapped(change, part, str(key)) for key, part in x.items()}
    name = f"{name}_" if name[-1:].isdigit() else name
    parts = [mapped(change, part, f"{name}{i}") for i, part in enumerate(x)]
    if isinstance(x, list):
        return parts
    return type(x)(*parts) if hasattr(x, "_fields") else tuple(parts)
