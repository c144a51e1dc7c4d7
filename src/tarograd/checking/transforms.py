"""The ways in which an array is laid out wrongly: transposed, flipped, shifted, reordered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations, permutations

import numpy as np

from tarograd.checking.subject import Array

Transform = tuple[str, str, Callable[[Array], Array]]  # the cause, in words, the function


def transforms(shape: tuple[int, ...], kinds: tuple[str, ...] = ()) -> Iterator[Transform]:
    """All that keep a shape, the likeliest first.

    Args:
        shape: of the array.
        kinds: only these causes.
    """
    for kind, words, function in _all(shape):
        if not kinds or kind in kinds:
            yield kind, words, function


def _all(shape: tuple[int, ...]) -> Iterator[Transform]:
    axes = range(len(shape))
    for i, j in reversed(list(combinations(axes, 2))):
        if shape[i] == shape[j] > 1:
            yield "transposed", f"with axes {i} and {j} exchanged", _swap(i, j)
    long = [i for i in axes if shape[i] > 1]
    for count in range(1, len(long) + 1):
        for chosen in reversed(list(combinations(long, count))):
            words = (
                f"reversed along {'axis' if count == 1 else 'axes'} {', '.join(map(str, chosen))}"
            )
            yield "flipped", words, _flip(chosen)
    yield from _shifts(shape, long)
    for order in permutations(axes):
        if list(order) != sorted(order) and len(shape) <= 4:
            yield "layout", f"in the memory order of the axes {order}", _relaid(order, shape)
            yield "layout", f"as if its axes were in the order {order}", _read(order, shape)


def _shifts(shape: tuple[int, ...], long: list[int]) -> Iterator[Transform]:
    for count in (1, 2):
        for chosen in reversed(list(combinations(long, count))):
            for by in (1, -1, 2, -2):
                if all(shape[i] > 2 * abs(by) - (count > 1) for i in chosen):
                    words = f"shifted by {by:+d} along axis {', '.join(map(str, chosen))}"
                    yield "shifted", words, _shift(chosen, by)


def _swap(i: int, j: int) -> Callable[[Array], Array]:
    return lambda x: np.swapaxes(x, i, j)


def _flip(axes: tuple[int, ...]) -> Callable[[Array], Array]:
    return lambda x: np.flip(x, axes)


def _shift(axes: tuple[int, ...], by: int) -> Callable[[Array], Array]:
    """What comes in at the edge is not known: zeros, the other end, or the padding."""

    def shifted(x: Array) -> Array:
        y = np.roll(np.asarray(x, float), [by] * len(axes), axes)
        for axis in axes:
            edge = [slice(None)] * x.ndim
            edge[axis] = slice(0, by) if by > 0 else slice(by, None)
            y[tuple(edge)] = np.nan
        return y

    return shifted


def _relaid(order: tuple[int, ...], shape: tuple[int, ...]) -> Callable[[Array], Array]:
    return lambda x: np.ascontiguousarray(np.transpose(x, order)).reshape(shape)


def _read(order: tuple[int, ...], shape: tuple[int, ...]) -> Callable[[Array], Array]:
    lengths = tuple(shape[i] for i in order)
    return lambda x: np.transpose(x.reshape(lengths), np.argsort(order))
