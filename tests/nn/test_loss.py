"""SoftmaxWithLoss and SquaredError: values, gradients, and the targets that they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from textbook import cross_entropy, numbers, one_hot, softmax

import tarograd as tg
from tarograd import nn


@given(
    n=st.integers(1, 6),
    classes=st.integers(1, 6),
    seed=st.integers(0, 99),
    dtype=st.sampled_from([np.uint8, np.int32, np.int64]),
)
def test_labels_and_one_hot_rows_give_the_textbooks_loss(
    n: int, classes: int, seed: int, dtype: Any
) -> None:
    x = numbers(n, classes, seed=seed)
    labels = np.random.default_rng(seed).integers(0, classes, n)
    rows = one_hot(labels, classes)
    layer = nn.SoftmaxWithLoss()
    for t in (labels.astype(dtype), rows, rows.astype(dtype), rows.astype(bool), rows.tolist()):
        assert float(layer.forward(x, t)) == pytest.approx(cross_entropy(x, rows), abs=1e-12)
        expected = (softmax(x) - rows) / n
        np.testing.assert_allclose(layer.backward(), expected, rtol=0, atol=1e-14)


def test_labels_are_told_apart_from_one_hot_rows_when_the_sizes_agree() -> None:
    x = numbers(3, 3)
    layer, labels = nn.SoftmaxWithLoss(), np.array([2, 0, 1])
    permutation = one_hot(labels, 3).astype(np.int64)
    for t in (labels, permutation):
        loss = float(layer.forward(x, t))
        assert loss == pytest.approx(cross_entropy(x, permutation), abs=1e-14)
    # One class: as many labels as scores, the case where a comparison of sizes goes wrong.
    assert float(layer.forward(numbers(4, 1), np.zeros(4, int))) == 0
    np.testing.assert_array_equal(layer.backward(), np.zeros((4, 1)))


def test_soft_targets() -> None:
    x, t = numbers(4, 3), np.abs(numbers(4, 3, seed=1))
    layer = nn.SoftmaxWithLoss()
    assert float(layer.forward(x, t)) == pytest.approx(cross_entropy(x, t), abs=1e-14)
    expected = (softmax(x) * t.sum(axis=1, keepdims=True) - t) / 4
    np.testing.assert_allclose(layer.backward(), expected, atol=1e-15)


def test_equal_scores_cost_the_logarithm_of_the_number_of_classes() -> None:
    layer = nn.SoftmaxWithLoss()
    assert float(layer.forward(np.zeros((5, 10)), np.arange(5))) == pytest.approx(np.log(10))
    expected = (0.1 - one_hot(np.arange(5), 10)) / 5
    np.testing.assert_allclose(layer.backward(), expected, rtol=1e-14)


@pytest.mark.parametrize("copies", [1, 2, 7])
def test_the_loss_is_a_mean_so_a_repeated_batch_costs_the_same(copies: int) -> None:
    x, t = numbers(3, 4), np.array([3, 0, 1])
    layer = nn.SoftmaxWithLoss()
    once, slope = float(layer.forward(x, t)), layer.backward()
    many = float(layer.forward(np.tile(x, (copies, 1)), np.tile(t, copies)))
    assert many == pytest.approx(once, rel=1e-14)
    expected = np.tile(slope / copies, (copies, 1))
    np.testing.assert_allclose(layer.backward(), expected, rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_huge_scores_neither_overflow_nor_lose_the_loss(dtype: Any) -> None:
    x = np.array([[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4]], dtype)
    layer = nn.SoftmaxWithLoss()
    # Right and sure: 0. Wrong and sure: the distance 2e4. Undecided: log 2.
    loss = float(layer.forward(x, np.array([0, 0, 1])))
    assert loss == pytest.approx((0 + 2e4 + np.log(2)) / 3, rel=1e-6)
    expected = np.array([[0, 0], [-1, 1], [0.5, -0.5]]) / 3
    np.testing.assert_allclose(layer.backward(), expected, rtol=1e-6)


def test_both_losses_scale_with_the_upstream() -> None:
    x = numbers(4, 3)
    for layer, t in ((nn.SoftmaxWithLoss(), np.array([0, 1, 2, 0])), (nn.SquaredError(), x**2)):
        layer.forward(x, t)
        whole = layer.backward()
        np.testing.assert_array_equal(layer.backward(1.0), whole)
        np.testing.assert_allclose(layer.backward(0.01), 0.01 * whole, rtol=1e-14)
        np.testing.assert_array_equal(layer.backward(0.0), 0 * whole)


@pytest.mark.parametrize(
    ("t", "error", "message"),
    [
        ([0, 1, 3], ValueError, "from 0 to 3 for 3 classes: they have to lie from 0 to 2"),
        ([0, -1, 2], ValueError, "from -1 to 2 for 3 classes"),
        ([0.0, 1.0, 2.0], TypeError, "whole numbers; these are float64"),
        ([True, False, True], TypeError, "whole numbers; these are bool"),
        ([0, 1], ValueError, r"shape \(2,\) for scores of shape \(3, 3\)"),
        ([[0], [1], [2]], ValueError, r"shape \(3, 1\) for scores of shape \(3, 3\)"),
        ([[0, 1, 2]], ValueError, r"shape \(1, 3\) for scores of shape \(3, 3\)"),
        (np.eye(3)[:, :2], ValueError, r"shape \(3, 2\) for scores of shape \(3, 3\)"),
        (np.eye(3)[None], ValueError, r"shape \(1, 3, 3\) for scores of shape \(3, 3\)"),
        (1, ValueError, r"shape \(\) for scores of shape \(3, 3\)"),
    ],
)
def test_wrong_targets_are_refused(t: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        nn.SoftmaxWithLoss().forward(numbers(3, 3), t)


def test_scores_without_a_batch_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(3,\); \(batch size, classes\) is needed"):
        nn.SoftmaxWithLoss().forward(numbers(3), [0])


@given(shape=st.lists(st.integers(1, 4), min_size=1, max_size=3), seed=st.integers(0, 99))
def test_squared_error(shape: list[int], seed: int) -> None:
    y, t = numbers(*shape, seed=seed), numbers(*shape, seed=seed + 1)
    layer = nn.SquaredError()
    assert float(layer.forward(y, t)) == pytest.approx(
        sum((a - b) ** 2 for a, b in zip(y.flat, t.flat, strict=True)) / 2 / shape[0], rel=1e-13
    )
    np.testing.assert_allclose(layer.backward(), (y - t) / shape[0], rtol=1e-13)


@pytest.mark.parametrize(
    ("y", "t"),
    [((3, 1), (3,)), ((3,), (3, 1)), ((3, 2), (2,)), ((3, 2), (1, 2)), ((3,), ()), ((), ())],
)
def test_squared_error_refuses_shapes_that_would_only_broadcast(
    y: tuple[int, ...], t: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="the same shape"):
        nn.SquaredError().forward(np.ones(y), np.ones(t))


def test_the_target_of_a_squared_error_can_be_learned_too() -> None:
    y, t = tg.Tensor(numbers(3, 2)), tg.Tensor(numbers(3, 2, seed=1))
    nn.SquaredError()(y, t).backward()
    np.testing.assert_allclose(np.array(t.grad), (t.value - y.value) / 3, rtol=1e-14)
