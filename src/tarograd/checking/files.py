"""Layers in a user's file: found, built with unequal sizes, and checked."""

from __future__ import annotations

import copy
import importlib.util
import inspect
from collections.abc import Callable, Iterator, Mapping
from itertools import permutations
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tarograd.checking.adapters.arguments import parameters_of
from tarograd.checking.adapters.styles import style_of
from tarograd.checking.api import check_gradients
from tarograd.checking.report import GradientReport

LENGTHS = (4, 3, 2, 5)  # for the sizes that a constructor asks for: all of them unequal
SHAPES = ((5, 4), (6, 4), (2, 4, 3), (2, 4, 7, 6), (5, 3), (7,), (2, 3, 7, 6))
OTHERS: dict[str, Any] = {"p": 0.3, "rate": 0.3, "ratio": 0.3, "dropout": 0.3, "eps": 1e-5}
OTHERS |= {"stride": 1, "pad": 1, "padding": 1, "momentum": 0.9, "kernel_size": 3, "k": 3}


def load(path: Path) -> ModuleType:
    """Run a Python file as a module.

    Raises:
        ValueError: if there is no such file, or naming what it failed with.
    """
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path}: a Python file (.py) is needed")
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a script may end itself
        raise ValueError(f"{path}: {type(error).__name__}: {error}") from error
    return module


def layers(module: ModuleType) -> Iterator[type]:
    """The classes of the module that have backward, and forward or are called."""
    for _, found in inspect.getmembers(module, inspect.isclass):
        own = found.__module__ == module.__name__
        forward = getattr(found, "forward", vars(found).get("__call__"))
        if own and callable(forward) and hasattr(found, "backward"):
            yield found


def built(kind: type, random: np.random.Generator) -> Iterator[Any]:
    """Instances of a layer class, from what its constructor asks for."""
    given = list(inspect.signature(kind).parameters.values())
    needed = [p for p in given if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD,)]
    choices: list[dict[str, Any]] = []
    arrays = {"W": (4, 3), "w": (4, 3), "weight": (4, 3), "b": (3,), "bias": (3,)}
    arrays |= {"gamma": (4,), "beta": (4,)}
    names = [p.name for p in needed]
    sizes = [n for n in names if n not in arrays and n not in OTHERS]
    for lengths in permutations(LENGTHS, len(sizes)) if len(sizes) <= len(LENGTHS) else ():
        drawn = {n: random.normal(size=s) for n, s in arrays.items() if n in names}
        fixed = {n: OTHERS[n] for n in names if n in OTHERS}
        choices.append(drawn | fixed | dict(zip(sizes, lengths, strict=True)))
    if {"W", "b"} <= set(names):  # a convolution's filters
        filters = {"W": random.normal(size=(3, 2, 3, 3)), "b": random.normal(size=3)}
        choices += [c | filters for c in choices[:1]]
    for arguments in choices[:6]:
        try:
            yield kind(**arguments)
        except Exception:  # not these arguments: the next ones
            continue


def inputs_for(
    forward: Callable[..., Any], random: np.random.Generator, shape: tuple[int, ...] | None
) -> Iterator[tuple[Any, ...]]:
    """Inputs that may suit a forward pass: arrays, and labels for a second argument `t`."""
    asked = [p.name for p in parameters_of(forward) if p.default is p.empty]
    for chosen in [shape] if shape else [*SHAPES, (5, 2), (5, 5), (2, 2, 7, 6), (2, 5, 7, 6)]:
        x = random.normal(size=chosen)
        labels = random.integers(0, chosen[-1], chosen[0])
        one_hot = np.eye(chosen[-1])[labels] if len(chosen) == 2 else x
        if len(asked) == 1:
            yield (x,)
        elif len(asked) == 2 and asked[1] in ("t", "target", "targets", "labels", "y_true"):
            yield (x, one_hot)
            yield (x, labels)
            yield (x, random.normal(size=chosen))
        elif asked:
            yield tuple(random.normal(size=chosen) for _ in asked)


def case(
    kind: type, seed: int, shape: tuple[int, ...] | None, at: Mapping[str, Any] | None
) -> tuple[Any, tuple[Any, ...]] | None:
    """A layer and inputs at which its forward can be computed."""
    random = np.random.default_rng(seed)
    for layer in built(kind, random):
        style = style_of(layer)
        if style is None:
            continue
        given = [tuple(at.values())] if at else inputs_for(style.signature, random, shape)
        for inputs in given:
            try:
                with np.errstate(all="ignore"):
                    style.forward(copy.deepcopy(layer), [np.array(x) for x in inputs])
            except Exception:  # not this shape: the next one
                continue
            return layer, inputs
    return None


def check_file(
    path: Path,
    seed: int = 0,
    mode: str = "default",
    shape: tuple[int, ...] | None = None,
    at: Mapping[str, Any] | None = None,
    only: str | None = None,
) -> Iterator[tuple[str, GradientReport | str]]:
    """Check every layer of a file.

    Args:
        path: the file.
        seed: of parameters, inputs and directions.
        mode: as for `check_gradients`.
        shape: of the input, where the ones that are tried don't fit.
        at: arrays by name, to be given to forward in this order.
        only: the name of the one class to check.

    Yields:
        the name of each class and its report, or why it could not be checked.
    """
    for kind in layers(load(path)):
        if only and kind.__name__ != only:
            continue
        found = case(kind, seed, shape, at)
        if found is None:
            yield kind.__name__, "no arguments or shapes were found that fit; give --shape or --at"
            continue
        try:
            yield kind.__name__, check_gradients(found[0], *found[1], mode=mode, seed=seed)
        except (ValueError, TypeError) as error:
            yield kind.__name__, str(error)
