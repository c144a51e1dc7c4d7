"""The arrays that a compiled function is given: read as they are, never written to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tarograd as tg

LENGTHS = [1, 2, 3, 5, 7, 8, 10, 13, 15, 16, 17, 33, 100]
W = tg.Parameter(np.random.default_rng(1).normal(size=(100, 3)), "w")


def owned(shape: tuple[int, ...], dtype: Any) -> tuple[Any, Any]:
    """A read-only part of a larger array, in the midst of it, and the larger one."""
    whole = np.random.default_rng(0).normal(size=(3, *shape)).astype(dtype)
    whole.flags.writeable = False
    return whole[1], whole


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize(
    "function",
    [
        lambda x: x @ W[: x.shape[0]],
        lambda x: x @ x,
        lambda x: x.reshape(1, -1) @ W[: x.shape[0]],
        lambda x: x.reshape(-1, 1) * x,
        lambda x: tg.affine(x, W[: x.shape[0]], np.zeros(3)),
        lambda x: tg.grad((x.reshape(1, -1) ** 2).sum(), x),
        lambda x: x[None] @ W[: x.shape[0]],
    ],
)
def test_what_is_only_reshaped_is_not_written_to(
    function: Callable[[Any], Any], n: int, dtype: Any
) -> None:
    x, whole = owned((n,), dtype)
    before = whole.tobytes()
    y = tg.compile(function)(x)
    assert whole.tobytes() == before
    expected = function(tg.Tensor(x)).value
    assert y.dtype == expected.dtype
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


def test_images_that_a_product_takes_as_rows_stay_as_they_are() -> None:
    x, whole = owned((4, 5, 7), np.float32)
    before = whole.tobytes()
    w = tg.Parameter(np.ones((35, 2), np.float32))
    y = tg.compile(lambda x: x.reshape(4, 35) @ w)(x)
    assert whole.tobytes() == before
    np.testing.assert_allclose(y, x.reshape(4, 35).sum(axis=1)[:, None] * [1, 1], rtol=1e-4)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w: x[1:] @ w,
        lambda x, w: x[:, 0] @ w[0],
        lambda x, w: (x * 2)[::2] @ w,
        lambda x, w: (x * 2)[1:].swapaxes(1, 2) @ x[1:],
        lambda x, w: x[None] @ w,
        lambda x, w: x[[2, 0, 0]] @ w,
        lambda x, w: tg.grad((x[1:] @ w).sum(), x),
    ],
)
def test_the_left_factor_of_a_product_may_be_a_part_of_something(
    function: Callable[[Any, Any], Any],
) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(3, 4, 5)), rng.normal(size=(3, 5, 2))[:1]
    np.testing.assert_allclose(
        tg.compile(function)(x, w), function(tg.Tensor(x), w).value, rtol=1e-12, atol=1e-12
    )
