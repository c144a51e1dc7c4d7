"""Where an object keeps its parameters and their gradients.

The names are the usual ones: `W` beside `dW`, `params` beside `grads`, a `.grad` in an object
with a value, and what backward returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tarograd.checking.randomness import OPAQUE, kinds
from tarograd.checking.subject import Array

Path = tuple[tuple[str, Any], ...]  # ("attr", name) or ("item", key), from the object inwards

BESIDE: tuple[str, ...] = (
    "d{}",
    "d_{}",
    "grad_{}",
    "{}_grad",
    "grad{}",
    "{}grad",
    "{}_gradient",
    "g{}",
    "D{}",
)
BESIDE += ("delta_{}", "dL_d{}", "dLd{}", "dl_d{}", "{}_g", "g_{}", "d{}_", "{}_d")
PAIRS: tuple[tuple[str, str], ...] = (
    ("params", "grads"),
    ("parameters", "gradients"),
    ("weights", "grads"),
)
PAIRS += (("params", "gradients"), ("_params", "_grads"), ("params", "dparams"), ("p", "g"))
HOLDERS = ("data", "value", "array", "val")
DEPTH = 8


@dataclass(frozen=True)
class Place:
    """A parameter of the object and the place of its gradient."""

    name: str
    parameter: Path
    gradient: Path


def get(root: Any, path: Path) -> Any:
    """What lies at the path, or None."""
    for kind, key in path:
        try:
            root = getattr(root, key) if kind == "attr" else root[key]
        except (AttributeError, KeyError, IndexError, TypeError):
            return None
    return root


def put(root: Any, path: Path, value: Any) -> None:
    """Put something at the path."""
    parent = get(root, path[:-1])
    kind, key = path[-1]
    if kind == "attr":
        setattr(parent, key, value)
    else:
        parent[key] = value


def fields(x: Any) -> list[tuple[tuple[str, Any], Any]]:
    """The steps into an object, a dict or a list, and what lies there."""
    if isinstance(x, Mapping):
        return [(("item", k), v) for k, v in x.items()]
    if isinstance(x, list | tuple):
        return [(("item", i), v) for i, v in enumerate(x)]
    if isinstance(x, (*OPAQUE, *kinds(), type)) or (callable(x) and not hasattr(x, "__dict__")):
        return []
    own = list(getattr(x, "__dict__", {}).items())
    slots = [s for t in type(x).__mro__ for s in getattr(t, "__slots__", ())]
    own += [(s, getattr(x, s)) for s in slots if isinstance(s, str) and hasattr(x, s)]
    return [(("attr", k), v) for k, v in own]


def parts(root: Any) -> Iterator[Any]:
    """Everything inside an object, each thing once."""
    seen: set[int] = set()
    stack = [root]
    while stack:
        x = stack.pop()
        if id(x) not in seen:
            seen.add(id(x))
            yield x
            stack += [inner for _, inner in fields(x)]


def is_array(x: Any) -> bool:
    """Whether it is a float array, or one of Python's numbers."""
    if not isinstance(x, np.ndarray):
        return False
    return x.dtype.kind == "f" or (x.dtype == object and _of_floats(x.tolist()))


def _of_floats(x: Any) -> bool:
    """Whether there are numbers in nested lists, not all of them whole, and nothing else."""
    leaves, level = [], [x]
    while level:
        inner = level.pop()
        if isinstance(inner, list | tuple):
            level += inner
        else:
            leaves.append(inner)
    numbers = all(isinstance(i, int | float | np.integer | np.floating) for i in leaves)
    return numbers and any(isinstance(i, float | np.floating) for i in leaves)


def arrays(root: Any) -> dict[Path, Array]:
    """The float arrays in an object, by their paths, each array once."""
    found: dict[int, tuple[Path, Array]] = {}
    for path, _, array in _reached(root, is_array):
        found.setdefault(id(array), (path, array))
    return dict(found.values())


def loose(root: Any) -> dict[Path, Any]:
    """The floats and the lists of floats in an object, by their paths: they may be parameters."""
    found = _reached(root, lambda x: isinstance(x, float | list | tuple) and _of_floats(x))
    # Nothing can be put into a tuple.
    return {path: x for path, holder, x in found if not isinstance(holder, tuple)}


def _reached(root: Any, wanted: Callable[[Any], bool]) -> Iterator[tuple[Path, Any, Any]]:
    """What is wanted in an object: its path, what holds it, and itself; the nearest first."""
    seen: set[int] = set()
    level: list[tuple[Path, Any]] = [((), root)]
    for _ in range(DEPTH):
        following: list[tuple[Path, Any]] = []
        for path, x in level:
            for step, inner in fields(x):
                if wanted(inner):
                    yield (*path, step), x, inner
                elif id(inner) not in seen:
                    seen.add(id(inner))
                    following.append(((*path, step), inner))
        level = following


def shape(x: Any) -> tuple[int, ...] | None:
    """The shape of an array, a number or nested lists of numbers; None if it has none."""
    try:
        array = np.asarray(x)
    except ValueError:  # lists of different lengths
        return None
    return array.shape if array.dtype.kind in "fiuO" else None


def like(x: Any, value: Array) -> Any:
    """The value as what `x` is: an array, a list, a tuple or a number."""
    if isinstance(x, list | tuple):
        parts = [like(a, b) for a, b in zip(x, value, strict=True)]
        return parts if isinstance(x, list) else tuple(parts)
    return float(value) if isinstance(x, float) else np.array(value)


def name_of(path: Path) -> str:
    """A path as a user would write it, without the containers: `affine1.W`, `params[0]`."""
    containers = (*HOLDERS, *(p for p, _ in PAIRS), "layers")
    words: list[str] = []
    for i, (_, key) in enumerate(path):
        if isinstance(key, int):
            inner = words.pop() if words else str(path[i - 1][1]) if i else ""
            words.append(f"{inner}[{key}]")
        elif key not in containers or len(path) == 1:
            words.append(str(key))
    return ".".join(words) or str(path[-1][1])


def places(before: Iterable[Path], after: Any) -> Iterator[Place]:
    """Match the arrays that stood in the object before with gradients that stand in it after.

    Args:
        before: where the float arrays are that the forward pass left as they were.
        after: the object once backward has run.
    """
    for path in before:
        for gradient in candidates(path):
            found = get(after, gradient)
            if isinstance(found, np.ndarray | np.generic | float | int) or _of_floats(found):
                yield Place(name_of(path), path, gradient)
                break


def candidates(path: Path) -> Iterator[Path]:
    """Where the gradient of the parameter at `path` may be."""
    kind, key = path[-1]
    parent = path[:-1]
    if isinstance(key, str):
        for spelled in spellings(key):
            yield (*parent, (kind, spelled))
        for _, grads in PAIRS:
            for spelled in (key, *spellings(key)):
                yield (*parent, ("attr", grads), ("item", spelled))
        if key in HOLDERS:
            yield (*parent, (kind, "grad"))
    if parent:
        inside_kind, container = parent[-1]
        others = [grads for params, grads in PAIRS if container == params]
        others += list(spellings(container)) if isinstance(container, str) else []
        for grads in others:
            for spelled in (key, *(spellings(key) if isinstance(key, str) else ())):
                yield (*parent[:-1], (inside_kind, grads), (kind, spelled))


def spellings(name: str) -> Iterator[str]:
    """How the gradient of something with this name may be called."""
    plain = name.lstrip("_")
    lead = name[: len(name) - len(plain)]
    for pattern in BESIDE:
        yield pattern.format(name)
        yield lead + pattern.format(plain)
        yield pattern.format(name.lower())


def by_hand(params: Mapping[str, str]) -> Iterator[Place]:
    """The places that a user named: `{"W": "dW"}`, with dots into inner objects."""
    for parameter, gradient in params.items():
        yield Place(parameter, dotted(parameter), dotted(gradient))


def spelled(path: Path) -> str:
    """A path as `params={…}` takes it, the inverse of `dotted`.

    Example:
        >>> spelled((("attr", "layers"), ("item", 0), ("attr", "W")))
        'layers[0].W'
    """
    parts = [f".{key}" if kind == "attr" else f"[{key}]" for kind, key in path]
    return "".join(parts).lstrip(".")


def dotted(text: str) -> Path:
    """`affine.W` as a path of attributes; a part in brackets, `params[W]`, is an item."""
    path: list[tuple[str, Any]] = []
    for part in text.split("."):
        attribute, *items = part.replace("]", "").split("[")
        path.append(("attr", attribute))
        path += [("item", int(i) if i.isdigit() else i.strip("'\"")) for i in items]
    return tuple(path)
