"""What a row of the table in cases.py is made of."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tarograd.graph import Primitive
from tarograd.ops.shape import ARRAY

Array = NDArray[Any]
Shape = tuple[int, ...]
Domain = Callable[[np.random.Generator, Shape, int], Any]


class Example(NamedTuple):
    """Inputs to try: a shape is drawn from the row's domain, anything else is data as it is."""

    inputs: tuple[Any, ...]
    attributes: dict[str, Any]


def at(*inputs: Any, **attributes: Any) -> Example:
    return Example(inputs, attributes)


@dataclass(frozen=True, eq=False)
class Row:
    """A primitive, what it computes in other words, and where and how to try it."""

    primitive: Primitive
    truth: Callable[..., Any]
    examples: list[Example]
    domain: Domain

    def __str__(self) -> str:
        return self.primitive.name


@dataclass(frozen=True, eq=False)
class Case:
    """One example of a row: what a test is given."""

    row: Row
    example: Example

    def __str__(self) -> str:
        return f"{self.row}{self.example.inputs}{self.example.attributes or ''}"

    @property
    def primitive(self) -> Primitive:
        return self.row.primitive

    @property
    def drawn(self) -> list[int]:
        """The places of the inputs that are drawn; these become Tensors."""
        return [i for i, x in enumerate(self.example.inputs) if isinstance(x, tuple)]

    def inputs(self, dtype: DTypeLike = np.float64, seed: int = 0) -> list[Any]:
        """The inputs, floats in `dtype`. Arrays are read-only, so that writing into one raises."""
        rng = np.random.default_rng([seed, zlib.crc32(str(self).encode())])
        given: list[Any] = []
        for place, x in enumerate(self.example.inputs):
            if isinstance(x, tuple):
                given.append(locked(np.array(self.row.domain(rng, x, place), dtype)))
            elif isinstance(x, np.ndarray):
                given.append(locked(x.astype(dtype if x.dtype.kind == "f" else x.dtype)))
            else:
                given.append(x)
        return given

    def attributes(self, dtype: DTypeLike = np.float64) -> dict[str, Any]:
        given = self.example.attributes
        return given | {"dtype": np.dtype(dtype)} if "dtype" in given else given


def locked(array: Array) -> Array:
    array.flags.writeable = False
    return array


def anywhere(rng: np.random.Generator, shape: Shape, place: int) -> Any:
    return rng.normal(size=shape)


def positive(rng: np.random.Generator, shape: Shape, place: int) -> Any:
    return rng.uniform(0.5, 2, shape)


def off_zero(rng: np.random.Generator, shape: Shape, place: int) -> Any:
    return rng.uniform(0.5, 2, shape) * rng.choice([-1, 1], shape)


def within(rng: np.random.Generator, shape: Shape, place: int) -> Any:
    return rng.uniform(-0.8, 0.8, shape)


def above_one(rng: np.random.Generator, shape: Shape, place: int) -> Any:
    return rng.uniform(1.3, 3, shape)


def regular(rng: np.random.Generator, shape: Shape, place: int) -> Any:
    """Matrices that are far from singular ones; what is no square is any."""
    square = len(shape) > 1 and shape[-1] == shape[-2]
    return rng.uniform(-0.5, 0.5, shape) + (2 * np.eye(shape[-1]) if square else 0)


def apart(rng: np.random.Generator, shape: Shape, place: int) -> Any:
    """No two elements, of one input or of two, nearer than 0.06 to one another or to 0."""
    steps = rng.permutation(prod(shape)).reshape(shape) - prod(shape) // 2
    return 0.25 * steps + 0.06 + 0.125 * place


def quotient(rng: np.random.Generator, shape: Shape, place: int) -> Any:
    """Dividends and divisors whose quotient is far from whole numbers; of 2.0 too."""
    size = rng.uniform(0.7, 0.9, shape) if place else rng.uniform(1.15, 1.35, shape)
    return size * rng.choice([-1, 1], shape)


def whole(rng: np.random.Generator, shape: Shape, place: int) -> Any:
    return rng.integers(0, 100, shape)


def places(shape: Shape, key: tuple[Any, ...], *arrays: Array) -> Array:
    """Which element of an array of `shape` stands where in its part `key`."""
    rest = iter(arrays)
    filled = tuple(next(rest) if part is ARRAY else part for part in key)
    return np.asarray(np.arange(prod(shape)).reshape(shape)[filled])


def collected(x: Array, where: Array, shape: Shape) -> Array:
    """Zeros of `shape`, to which each element of x is added at its place."""
    sums = np.bincount(where.ravel(), np.asarray(x).ravel(), minlength=prod(shape))
    return sums[: prod(shape)].reshape(shape).astype(float)


def padded(x: Array, widths: tuple[tuple[int, int], ...], value: float) -> Array:
    y = np.full([a + n + b for (a, b), n in zip(widths, x.shape, strict=True)], value)
    y[tuple(slice(a, a + n) for (a, _), n in zip(widths, x.shape, strict=True))] = x
    return y


def count(shape: Shape, axis: Shape) -> int:
    return prod(shape[i] for i in axis)


def log_sum(x: Array, axis: Shape, keepdims: bool) -> Array:
    for i in axis:
        x = np.logaddexp.reduce(x, axis=i, keepdims=True)
    return x if keepdims else np.squeeze(x, axis)


def cross_entropy(x: Array, t: Array, labels: bool) -> Any:
    return np.sum(t * (log_sum(x, (1,), True) - x)) / len(x)


def generator(step: Any, seed: int, stream: str) -> np.random.Generator:
    """NumPy's own numbers from the words that tarograd.ops.random documents."""
    key = np.array([seed, zlib.crc32(stream.encode())], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, int(step), 0, 0]))


def box_muller(step: Any, shape: Shape, seed: int, stream: str) -> Array:
    radius, angle = generator(step, seed, stream).random((2, *shape))
    return np.asarray(np.sqrt(-2 * np.log(1 - radius)) * np.cos(2 * np.pi * angle))
