"""A small data set and its network, for runs of a fraction of a second."""

from __future__ import annotations

from typing import Any

import numpy as np

import tarograd as tg
from tarograd.data import Dataset, Split
from tarograd.graph import current_context

DIGITS = tg.data.load("digits")


def some_digits(train: int = 250, test: int = 50) -> Dataset:
    """The first of the digits."""
    return Dataset("some digits", DIGITS.train[:train], DIGITS.test[:test], 10, 16)


def as_floats(data: Dataset) -> Dataset:
    """The same images as float32 numbers from 0 to 1."""
    train, test = (
        Split(split.images.astype(np.float32) / data.pixel_max, split.labels)
        for split in (data.train, data.test)
    )
    return Dataset("floats", train, test, data.classes, 1)


def values(network: tg.nn.Network) -> dict[str, Any]:
    """The parameters as bytes: equal ones are equal in every bit."""
    return {name: p.value.tobytes() for name, p in network.named_parameters().items()}


class Watch(tg.nn.Layer):
    """Passes its input on, and remembers how many rows each training step had."""

    def __init__(self) -> None:
        self.rows: tuple[int, ...] = ()

    def call(self, x: Any) -> Any:
        """Any shape; gives the same."""
        now = current_context()
        if now.training and now.recording:
            self.rows = (*self.rows, x.shape[0])
        return x
