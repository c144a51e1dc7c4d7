"""What everyone is given to do: the two-layer network 784-50-10, batches of 100, plain SGD."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

import tarograd as tg
from benchmarks.textbook import Array

PIXELS, HIDDEN, CLASSES = 784, 50, 10
BATCH = 100
LEARNING_RATE = 0.1
INK = 0.19  # the share of pixels that are not zero, as in MNIST


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Args:
        rounds: chunks of training steps per contender; each gives one timing.
        chunk: steps in a chunk.
        runs: whole runs per contender.
        steps: steps in a whole run.
        imports: child processes per import.
        images: of the synthetic training set.
    """

    rounds: int
    chunk: int
    runs: int
    steps: int
    imports: int
    images: int


FULL = Size(rounds=100, chunk=20, runs=3, steps=10_000, imports=15, images=60_000)
QUICK = Size(rounds=3, chunk=20, runs=1, steps=60, imports=2, images=2_000)


def dataset(size: Size) -> tg.data.Dataset:
    """MNIST where `TAROGRAD_DATA` says it is; else, and for a quick look, its like."""
    if size is FULL and os.environ.get("TAROGRAD_DATA"):
        return tg.data.load("mnist")
    return synthetic(size.images)


def synthetic(images: int) -> tg.data.Dataset:
    """Images with MNIST's shapes, value range and share of zeros, that can be told apart."""
    rng = np.random.default_rng(0)
    prototypes = rng.random((CLASSES, PIXELS)) < INK

    def split(n: int) -> tg.data.Split:
        labels = rng.integers(0, CLASSES, n)
        bright = rng.integers(1, 256, (n, PIXELS), dtype=np.uint8)
        inked = prototypes[labels] ^ (rng.random((n, PIXELS), np.float32) < 0.1)
        return tg.data.Split((bright * inked).reshape(n, 28, 28), labels)

    train, test = split(images), split(max(images // 6, 1))
    return tg.data.Dataset("synthetic", train, test, CLASSES, pixel_max=255)


def rows(split: tg.data.Split, dtype: str) -> tuple[Array, Array]:
    """Images as rows of numbers from 0 to 1 and their labels, as the textbook reads them."""
    x = split.images.reshape(len(split), PIXELS).astype(dtype) / np.asarray(255, dtype)
    return x, split.labels.astype(np.int64)


def initial_parameters(dtype: str) -> dict[str, Array]:
    """The same first weights for everyone."""
    net = tg.nn.TwoLayerNet(PIXELS, HIDDEN, CLASSES)
    return {name: p.value.astype(dtype) for name, p in net.named_parameters().items()}
