"""Build a network or an optimizer from its `repr`, without running what the text says.

The `repr` of a layer, network, optimizer or schedule is its constructor, and that is what a
checkpoint stores. The text may come from anywhere, so it is not evaluated: it is read as nested
calls of known names with plain numbers, and of no more weights than the file itself holds.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from tarograd import nn, optim
from tarograd.checkpoint import CheckpointError

_LAYERS = ["Affine", "ReLU", "Sigmoid", "Tanh", "Dropout", "SoftmaxWithLoss", "SquaredError"]
_LAYERS += ["Sequential", "TwoLayerNet", "Normal", "Xavier", "He"]
_SCHEDULES = ["constant", "step_decay", "cosine", "warm_up"]
MAKERS: dict[str, Callable[..., Any]] = {
    **{name: getattr(nn, name) for name in _LAYERS},
    **{kind.__name__: kind for kind in optim.OPTIMIZERS.values()},
    **{name: getattr(optim, name) for name in _SCHEDULES},
}
DTYPES = {f"np.{name}": getattr(np, name) for name in ("float16", "float32", "float64")}
_SIZED = {"Affine": 2, "TwoLayerNet": 3}  # how many sizes they begin with
_LONGEST, _DEEPEST, _LARGEST = 50_000, 20, 2**64  # characters, calls in calls, numbers


def construct(text: str, weights: int) -> Any:
    """Build what the text describes.

    Args:
        text: such as `Sequential(Affine(64, 50), ReLU(), Affine(50, 10))`.
        weights: how many weights it may have at most.

    Raises:
        CheckpointError: for anything but calls of layers, networks, optimizers and schedules
            with numbers, or for a larger network.

    Example:
        >>> construct("TwoLayerNet(4, 3, 2)", weights=23)
        TwoLayerNet(4, 3, 2)
        >>> construct("open('notes.txt')", weights=0)
        Traceback (most recent call last):
        ...
        tarograd.checkpoint.CheckpointError: "open('notes.txt')": 'open' is not the name of a
        layer, network, optimizer or schedule
    """
    try:
        if len(text) > _LONGEST:
            raise ValueError(f"{len(text)} characters; {_LONGEST} are the most that is read")
        return _Builder(weights).build(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        shown = text if len(text) <= 200 else f"{text[:200]}…"
        raise CheckpointError(f"{shown!r}: {error}") from None


class _Builder:
    """Builds one text, with so many weights in all of its layers together."""

    def __init__(self, weights: int) -> None:
        self._left = weights

    def build(self, node: ast.expr, depth: int = 0) -> Any:
        """The object, number or dtype that the node stands for."""
        if not isinstance(node, ast.Call):
            return _argument(node)
        name = ast.unparse(node.func)
        if name not in MAKERS:
            raise ValueError(f"{name!r} is not the name of a layer, network, optimizer or schedule")
        if depth == _DEEPEST:
            raise ValueError(f"{name} is the call number {depth + 1} inside of another")
        arguments = [self.build(a, depth + 1) for a in node.args]
        settings = {k.arg: self.build(k.value, depth + 1) for k in node.keywords if k.arg}
        if len(settings) != len(node.keywords):
            raise ValueError(f"{name}(**…): settings have to be named, each once")
        if name in _SIZED:
            self._take(name, arguments[: _SIZED[name]])
        return MAKERS[name](*arguments, **settings)

    def _take(self, name: str, sizes: list[Any]) -> None:
        """Count the weights before they are made: each layer may have those that are left."""
        if len(sizes) != _SIZED[name] or not all(type(n) is int and n > 0 for n in sizes):
            raise ValueError(f"{name}: it begins with {_SIZED[name]} sizes, whole numbers from 1")
        weights = sum((inputs + 1) * outputs for inputs, outputs in pairwise(sizes))
        if weights > self._left:
            raise ValueError(f"{name} of sizes {sizes} has more weights than the file has left")
        self._left -= weights


def _argument(node: ast.expr) -> Any:
    """A number, or the dtype of a layer."""
    if ast.unparse(node) in DTYPES:
        return DTYPES[ast.unparse(node)]
    number = ast.literal_eval(node)
    if not isinstance(number, int | float) or not abs(number) <= _LARGEST:
        raise ValueError(f"{ast.unparse(node)[:40]}: only numbers up to 2**64 can be arguments")
    return number
