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
_SIZED = {"Affine": 1, "TwoLayerNet": 2}  # how many matrices their first sizes make


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
        tarograd.checkpoint.CheckpointError: "open('notes.txt')": 'open' is not the name of ...
    """
    try:
        tree = ast.parse(text, mode="eval")
        return _build(tree.body, weights)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        shown = text if len(text) <= 200 else f"{text[:200]}…"
        raise CheckpointError(f"{shown!r}: {error}") from None


def _build(node: ast.expr, weights: int) -> Any:
    if not isinstance(node, ast.Call):
        return ast.literal_eval(node)
    name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
    if name not in MAKERS:
        raise ValueError(f"{name!r} is not the name of a layer, network, optimizer or schedule")
    arguments = [_build(a, weights) for a in node.args]
    settings = {k.arg: _build(k.value, weights) for k in node.keywords if k.arg is not None}
    if len(settings) != len(node.keywords):
        raise ValueError(f"{name}(**…): settings have to be named")
    if name in _SIZED:
        sizes = arguments[: _SIZED[name] + 1]
        if not all(isinstance(n, int) for n in sizes):
            raise ValueError(f"{name}: sizes have to be whole numbers")
        if sum(a * b for a, b in pairwise(sizes)) > weights:
            raise ValueError(f"{name} of sizes {sizes} has more weights than the file ({weights})")
    return MAKERS[name](*arguments, **settings)
