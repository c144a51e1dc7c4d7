"""The arrays that a compiled function is given: read as they are, never written to."""

from __future__ import annotations

import warnings
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


@pytest.mark.parametrize("order", ["C", "F", "strided", "big-endian"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_large_arrays_are_read_where_they_are(order: str, dtype: Any) -> None:
    x = np.random.default_rng(0).integers(-9, 9, (301, 103)).astype(dtype)
    given = {
        "C": x,
        "F": np.asfortranarray(x),
        "strided": np.repeat(x, 2, axis=1)[:, ::2],
        "big-endian": x.astype(x.dtype.newbyteorder(">")),
    }[order]
    f = tg.compile(lambda x: {"a": x * 2 + 1, "sum": x.sum(axis=0), "T": x.T - 1})
    for _ in range(2):  # traced, and called again
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what runs as NumPy
            found = f(given)
        np.testing.assert_array_equal(found["a"], x * 2 + 1)
        np.testing.assert_array_equal(found["sum"], x.sum(axis=0))
        np.testing.assert_array_equal(found["T"], x.T - 1)


@pytest.mark.parametrize("name", ["batch", "step", "lr"])
def test_an_argument_may_have_the_name_of_a_row_of_steps(name: str) -> None:
    many = np.arange(20_000) % 7
    scope: dict[str, Any] = {"tg": tg, "np": np}
    exec(f"f = lambda x, {name}: x[{name}] * 2.0 + {name}.reshape(-1, 1)", scope)
    f = tg.compile(scope["f"])
    x = np.random.default_rng(0).normal(size=(7, 3))
    many.flags.writeable = False
    for rows in (many, many[:5]):
        np.testing.assert_allclose(f(x, rows), x[rows] * 2 + rows[:, None])


@pytest.mark.parametrize("dtype", [np.int64, np.int32])
@pytest.mark.parametrize("shape", [(), (0,), (9,), (7, 5)])
def test_numbers_of_images_may_have_any_shape_and_be_called_batch(
    shape: tuple[int, ...], dtype: Any
) -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(60_000, 20))  # so many that those of a next batch would be fetched
    chosen = np.asarray(rng.integers(0, len(images), shape), dtype)
    total = tg.compile(lambda images, batch: (images[batch] * 2).sum())
    for _ in range(2):
        np.testing.assert_allclose(total(images, chosen), 2 * images[chosen].sum(), atol=1e-9)


@pytest.mark.parametrize(
    ("of_bits", "name"),
    [
        (lambda i: i & 1, "np.bitwise_and"),
        (lambda i: 6 | i, "np.bitwise_or"),
        (lambda i: i ^ i, "np.bitwise_xor"),
        (lambda i: ~i, "np.invert"),
        (lambda i: np.array([1, 2, 4]) & i, "np.bitwise_and"),
    ],
)
@pytest.mark.parametrize("dtype", [np.int64, np.uint8])
def test_bits_of_whole_numbers_are_refused_not_taken_for_truth(
    of_bits: Callable[[Any], Any], name: str, dtype: Any
) -> None:
    i = np.array([2, 5, 4], dtype)
    with pytest.raises(TypeError, match=rf"{name} of u?int\d+: .* compare first, as in \(x > 0\)"):
        tg.compile(of_bits)(i)


def test_masks_are_joined_with_those_from_around_the_function() -> None:
    causal = np.tri(3, dtype=bool)
    scores = np.arange(9.0).reshape(3, 3)

    @tg.compile
    def attended(scores: Any, there: Any) -> Any:
        return np.where(causal & there & ~(scores == 4), scores, -1)

    for there in (np.array([True, False, True]), np.array([True, True, False])):
        expected = [
            [scores[i, j] if j <= i and there[j] and (i, j) != (1, 1) else -1 for j in range(3)]
            for i in range(3)
        ]
        np.testing.assert_array_equal(attended(scores, there), expected)
