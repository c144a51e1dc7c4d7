"""The activation layers: what each neuron does with its sum."""

from __future__ import annotations

from typing import Any

from tarograd.functions import relu, sigmoid, tanh
from tarograd.nn.layer import Layer


class ReLU(Layer):
    """x where it is positive, else 0; at 0 nothing flows back.

    Example:
        >>> import numpy as np
        >>> layer = ReLU()
        >>> layer.forward(np.array([1.0, -0.5, 0.0]))
        array([1., 0., 0.])
        >>> layer.backward(np.array([5.0, 6.0, 7.0]))
        array([5., 0., 0.])
    """

    def call(self, x: Any) -> Any:
        """Any shape; gives the same."""
        return relu(x)


class Sigmoid(Layer):
    """1 / (1 + exp(-x)), backward from the output alone: y (1 - y)."""

    def call(self, x: Any) -> Any:
        """Any shape; gives the same."""
        return sigmoid(x)


class Tanh(Layer):
    """The hyperbolic tangent, backward from the output alone: 1 - y²."""

    def call(self, x: Any) -> Any:
        """Any shape; gives the same."""
        return tanh(x)
