"""The same Python function of arrays and of Tensors: NumPy itself is the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from numeric import Array, assert_gradient, numeric_gradient
from rows import locked
from tarograd import Tensor, grad
from tarograd.graph import verify


def assert_agrees(f: Callable[..., Any], arrays: Sequence[Array]) -> None:
    """Value and gradients of f(*Tensors) against those of f(*arrays), which is NumPy itself."""
    expected = np.asarray(f(*arrays))
    inputs = [Tensor(x) for x in arrays]
    y = f(*inputs)
    if not isinstance(y, Tensor):
        assert np.array_equal(y, expected)
        return
    assert y.shape == expected.shape
    assert y.dtype == expected.dtype
    np.testing.assert_allclose(y.value, expected, rtol=1e-13, atol=1e-14)
    verify(y)
    if y.dtype.kind != "f":  # data: nothing flows
        assert not any(slope.value.any() for slope in grad(y, inputs, np.ones(y.shape)))
        return
    g = locked(np.random.default_rng(1).normal(size=y.shape))
    for i, slope in enumerate(grad(y, inputs, g)):

        def moved(x: Array, i: int = i) -> Any:
            return f(*arrays[:i], x, *arrays[i + 1 :])

        assert_gradient(slope.value, numeric_gradient(moved, arrays[i], g), 1e-8)


def gradient(x: Tensor) -> Array:
    """What `backward` left at x."""
    assert x.grad is not None
    return x.grad
