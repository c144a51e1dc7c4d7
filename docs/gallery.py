"""Draws the twelve graphs of the chapter: `python docs/gallery.py` writes docs/pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tarograd as tg


def _random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def apple() -> tg.Tensor:
    """Two apples at 100 and a tax of 10 %."""
    apples, count, tax = (
        tg.Tensor(100, "apple"), tg.Tensor(2, "count"), tg.Tensor(1.1, "tax")
    )  # fmt: skip
    return apples * count * tax


def apple_and_orange() -> tg.Tensor:
    """Two apples, three oranges, and the tax."""
    apples = tg.Tensor(100, "apple") * tg.Tensor(2, "apples")
    oranges = tg.Tensor(150, "orange") * tg.Tensor(3, "oranges")
    return (apples + oranges) * tg.Tensor(1.1, "tax")


def branch() -> tg.Tensor:
    """A value that is used four times."""
    x = tg.Tensor(0.5, "x")
    return x * x + np.exp(x) * x


def affine() -> Any:
    """One row of inputs."""
    x, w, b = (
        tg.Tensor(_random(2), "x"), tg.Tensor(_random(2, 3), "w"), tg.Tensor(_random(3), "b")
    )  # fmt: skip
    return tg.affine(x, w, b).sum()


def batch_affine() -> Any:
    """Four rows: the bias is repeated for each."""
    x, w, b = (
        tg.Tensor(_random(4, 2), "x"), tg.Tensor(_random(2, 3), "w"), tg.Tensor(_random(3), "b")
    )  # fmt: skip
    return (x @ w + b).sum()


def softmax_with_loss() -> Any:
    """Two rows of scores, and their labels."""
    return tg.softmax_with_loss(tg.Tensor(_random(2, 3), "x"), np.array([0, 2]))


def network() -> tg.Tensor:
    """The textbook's two-layer network with its loss."""
    net = tg.nn.TwoLayerNet(4, 3, 2, weight_init_std=0.5).astype(np.float64)
    return net.objective(tg.Tensor(_random(3, 4), "x"), np.array([0, 1, 1]))


def two(op: Callable[[Any, Any], Any]) -> tg.Tensor:
    """An operation of two numbers."""
    result: tg.Tensor = op(tg.Tensor(10, "x"), tg.Tensor(5, "y"))
    return result


TWELVE: dict[str, Callable[[], tg.Tensor]] = {
    "apple": apple,
    "apple-and-orange": apple_and_orange,
    "add": lambda: two(lambda x, y: x + y),
    "multiply": lambda: two(lambda x, y: x * y),
    "reciprocal": lambda: 1 / tg.Tensor(4, "x"),
    "sigmoid": lambda: tg.sigmoid(tg.Tensor(0.5, "x")),
    "relu": lambda: tg.relu(tg.Tensor([1.0, -0.5, 3.0], "x")).sum(),
    "affine": affine,
    "batch-affine": batch_affine,
    "softmax-with-loss": softmax_with_loss,
    "two-layer-net": network,
    "branch": branch,
}

PICTURES = Path(__file__).parent / "pictures"


def main() -> None:
    """Write the pictures."""
    for name, graph in TWELVE.items():
        tg.draw(graph()).save(PICTURES / f"{name}.svg")


if __name__ == "__main__":
    main()
