"""ReLU, Sigmoid and Tanh, held against closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from textbook import Array, numbers, sigmoid

from tarograd import nn

HUGE = np.array([-np.inf, -1e300, -1000.0, 1000.0, 1e300, np.inf])


def test_relu_of_the_textbook() -> None:
    x = np.array([[1.0, -0.5], [-2.0, 3.0]])
    layer = nn.ReLU()
    np.testing.assert_array_equal(layer.forward(x), [[1, 0], [0, 3]])
    dout = np.array([[10.0, 20.0], [30.0, 40.0]])
    np.testing.assert_array_equal(layer.backward(dout), [[10, 0], [0, 40]])
    np.testing.assert_array_equal(dout, [[10, 20], [30, 40]])


def test_relu_passes_nothing_back_at_zero_and_for_minus_infinity() -> None:
    layer = nn.ReLU()
    x = np.array([0.0, -0.0, -np.inf, np.inf, 5e-324])
    np.testing.assert_array_equal(layer.forward(x), [0, 0, 0, np.inf, 5e-324])
    np.testing.assert_array_equal(layer.backward(np.ones(5)), [0, 0, 0, 1, 1])


def test_relu_keeps_nan_visible() -> None:
    layer = nn.ReLU()
    np.testing.assert_array_equal(layer.forward(np.array([np.nan, -1.0])), [np.nan, 0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid(dtype: Any) -> None:
    x, dout = numbers(4, 5).astype(dtype), numbers(4, 5, seed=1).astype(dtype)
    layer, y = nn.Sigmoid(), sigmoid(x.astype(np.float64))
    epsilon = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(layer.forward(x), y, rtol=4 * epsilon)
    slope = layer.backward(dout)
    np.testing.assert_allclose(slope, dout * y * (1 - y), rtol=4 * epsilon, atol=epsilon)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tanh(dtype: Any) -> None:
    x, dout = numbers(4, 5).astype(dtype), numbers(4, 5, seed=1).astype(dtype)
    layer, double = nn.Tanh(), x.astype(np.float64)
    y = (np.exp(double) - np.exp(-double)) / (np.exp(double) + np.exp(-double))
    epsilon = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(layer.forward(x), y, rtol=8 * epsilon)
    slope = layer.backward(dout)
    np.testing.assert_allclose(slope, dout * (1 - y * y), rtol=8 * epsilon, atol=4 * epsilon)


@pytest.mark.parametrize(
    ("layer", "ends"),
    [(nn.Sigmoid, [0.0, 1.0]), (nn.Tanh, [-1.0, 1.0])],
)
def test_they_saturate_without_overflow(layer: type[nn.Layer], ends: Array) -> None:
    saturated = layer()
    np.testing.assert_array_equal(saturated.forward(HUGE), np.repeat(ends, 3))
    np.testing.assert_array_equal(saturated.backward(np.ones(6)), np.zeros(6))
