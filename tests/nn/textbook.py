"""The textbook's formulas, written afresh in NumPy: what layers and networks are held against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def numbers(*shape: int, seed: int = 0) -> Array:
    """Normally distributed numbers of float64."""
    return np.random.default_rng(seed).normal(size=shape)


def read_only(array: Any) -> Array:
    """A copy that nobody can write into."""
    copy = np.array(array)
    copy.flags.writeable = False
    return copy


def one_hot(labels: Any, classes: int) -> Array:
    return np.asarray(np.eye(classes)[labels])


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def cross_entropy(x: Array, t: Array) -> float:
    """The mean over the batch, of scores x and one-hot targets t."""
    return float(-np.sum(t * np.log(softmax(x))) / len(x))


def two_layer_loss(params: dict[str, Array], x: Array, t: Array) -> float:
    hidden = np.maximum(x @ params["w1"] + params["b1"], 0)
    return cross_entropy(hidden @ params["w2"] + params["b2"], t)


def two_layer_scores(params: dict[str, Array], x: Array) -> Array:
    hidden = np.maximum(x @ params["w1"] + params["b1"], 0)
    return np.asarray(hidden @ params["w2"] + params["b2"])


def two_layer_gradient(params: dict[str, Array], x: Array, t: Array) -> dict[str, Array]:
    """Backward through SoftmaxWithLoss, Affine, ReLU and Affine, one line each."""
    before = x @ params["w1"] + params["b1"]
    hidden = np.maximum(before, 0)
    dscores = (softmax(hidden @ params["w2"] + params["b2"]) - t) / len(x)
    dbefore = np.where(before > 0, dscores @ params["w2"].T, 0)
    return {
        "w1": x.T @ dbefore,
        "b1": dbefore.sum(axis=0),
        "w2": hidden.T @ dscores,
        "b2": dscores.sum(axis=0),
    }


def derivative(f: Callable[[Array], Any], x: Array) -> Array:
    """By each element of x, from five points; for functions of size 1 it errs by some 1e-12."""
    h, slope = 1e-3, np.zeros(x.shape)
    for place in np.ndindex(x.shape):

        def at(shift: float, place: tuple[int, ...] = place) -> float:
            moved = x.copy()
            moved[place] += shift
            return float(f(moved))

        slope[place] = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    return slope
