"""The four pieces of work: a training step of a small, a wide, a tiny and a deep network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import tarograd as tg
from benchmarks.problem import Size, dataset
from benchmarks.textbook import Array


@dataclass(frozen=True)
class Work:
    """A network of Affine layers, and how it is trained.

    Args:
        name: in the table.
        sizes: of the input, the hidden layers and the output.
        batch: images in a mini-batch.
        activation: "relu" or "tanh".
        optimizer: "sgd" or "adam".
        lr: the learning rate.
        data: "images", "digits" or "noise".
        chunk: steps in a chunk, which is timed as one.
    """

    name: str
    sizes: tuple[int, ...]
    batch: int
    activation: str
    optimizer: str
    lr: float
    data: str
    chunk: int

    @property
    def operations(self) -> int:
        """What the mathematics of a step needs; nobody needs the gradient of the images.

        Only products count: 2 for each multiply-add, forward, for the weights, for the input.
        """
        products = [a * b for a, b in zip(self.sizes, self.sizes[1:], strict=False)]
        return 2 * self.batch * (3 * sum(products) - products[0])

    def parameters(self) -> list[Array]:
        """The first weights and biases, the same for everyone: w, b, w, b and so on."""
        rng = np.random.default_rng(0)
        found: list[Array] = []
        gain = 2.0 if self.activation == "relu" else 1.0
        for a, b in zip(self.sizes, self.sizes[1:], strict=False):
            found += [rng.normal(size=(a, b)) * np.sqrt(gain / a), np.zeros(b)]
        return [array.astype(np.float32) for array in found]

    def training_set(self, size: Size) -> tuple[Array, Array, int]:
        """Images, labels, and what a pixel is divided by (1 for numbers that stay as they are)."""
        rng = np.random.default_rng(1)
        if self.data == "noise":
            x = rng.normal(size=(4096, self.sizes[0])).astype(np.float32)
            return x, rng.integers(0, self.sizes[-1], 4096), 1
        data = tg.data.load("digits") if self.data == "digits" else dataset(size)
        x = data.train.images.reshape(len(data.train), -1)
        return x, data.train.labels.astype(np.int64), data.pixel_max


WORKS = (
    Work("W1", (784, 50, 10), 100, "relu", "sgd", 0.1, "images", 50),
    Work("W2", (784, 512, 512, 10), 128, "relu", "sgd", 0.1, "images", 4),
    Work("W3", (64, 32, 10), 32, "relu", "sgd", 0.1, "digits", 1000),
    Work("W4", (256, *[256] * 20, 10), 256, "tanh", "adam", 0.001, "noise", 1),
)
