"""How the first weights are drawn: normal, Xavier, He.

Each is a function of (shape, seed, stream), so a network with the same seed starts with the same
bits wherever and whenever it is built.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from tarograd.graph import Array
from tarograd.ops import random


@dataclass(frozen=True)
class Normal:
    """Normally distributed with mean 0.

    Args:
        std: the standard deviation.

    Example:
        >>> Normal(0.01)((784, 50), seed=0, stream="w").shape
        (784, 50)
    """

    std: float = 0.01

    def __call__(
        self, shape: tuple[int, ...], seed: int, stream: str, dtype: DTypeLike = np.float32
    ) -> Array:
        """Draw weights of `shape`; the first axis counts the inputs."""
        z = random.normal(0, shape=shape, seed=seed, stream=stream, dtype=np.float64)
        return np.asarray(z * self._scale(shape[0])).astype(dtype)

    def _scale(self, inputs: int) -> float:
        return self.std


@dataclass(frozen=True)
class Xavier(Normal):
    """Normal with the standard deviation √(1/inputs), for Sigmoid and Tanh.

    The simplified form of Glorot and Bengio 2010 that the textbook uses.
    """

    std: float = 1.0

    def _scale(self, inputs: int) -> float:
        return float(self.std * np.sqrt(1 / max(inputs, 1)))


@dataclass(frozen=True)
class He(Normal):
    """Normal with the standard deviation √(2/inputs), for ReLU (He et al. 2015)."""

    std: float = 1.0

    def _scale(self, inputs: int) -> float:
        return float(self.std * np.sqrt(2 / max(inputs, 1)))
