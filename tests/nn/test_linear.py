"""Affine: Y = X W + B, held against the textbook's formulas."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from textbook import numbers

import tarograd as tg
from tarograd import nn

SIZES = st.integers(1, 5)


def assert_close(given: Any, expected: Any) -> None:
    assert given.shape == expected.shape
    np.testing.assert_allclose(given, expected, rtol=0, atol=1e-12)


@given(rest=st.lists(SIZES, max_size=3), rows=st.integers(0, 4), outputs=SIZES)
def test_any_batch_is_flattened_to_rows_and_its_gradient_keeps_its_shape(
    rest: list[int], rows: int, outputs: int
) -> None:
    inputs = int(np.prod(rest))
    w, b, x = numbers(inputs, outputs), numbers(outputs, seed=1), numbers(rows, *rest, seed=2)
    if x.ndim < 2:  # nothing in `rest`: rows of one number each
        x = x.reshape(rows, 1)
    layer, flat = nn.Affine(w, b), x.reshape(rows, inputs)
    assert_close(layer.forward(x), flat @ w + b)
    dout = numbers(rows, outputs, seed=3)
    assert_close(layer.backward(dout), (dout @ w.T).reshape(x.shape))
    assert_close(layer.w.grad, flat.T @ dout)
    assert_close(layer.b.grad, dout.sum(axis=0))


@given(inputs=SIZES, outputs=SIZES)
def test_one_row(inputs: int, outputs: int) -> None:
    w, b, x = numbers(inputs, outputs), numbers(outputs, seed=1), numbers(inputs, seed=2)
    layer = nn.Affine(w, b)
    assert_close(layer.forward(x), x @ w + b)
    dout = numbers(outputs, seed=3)
    assert_close(layer.backward(dout), dout @ w.T)
    assert_close(layer.w.grad, np.outer(x, dout))
    assert_close(layer.b.grad, dout)


def test_given_weights_keep_their_dtype_and_are_copied() -> None:
    w, b = np.ones((3, 2), np.float32), np.zeros(2, np.float32)
    layer = nn.Affine(w, b)
    w[...] = 7
    np.testing.assert_array_equal(layer.forward(np.ones((1, 3), np.float32)), [[3, 3]])
    assert layer.w.dtype == layer.dtype == np.float32


def test_whole_numbers_and_lists_are_inputs_in_the_parameters_dtype() -> None:
    layer = nn.Affine([[1.0, 2.0], [3.0, 4.0]], [0.5, -0.5])
    np.testing.assert_array_equal(layer.forward([[1, 1]]), [[4.5, 5.5]])
    layer = layer.astype(np.float32)
    assert layer.forward(np.array([[1, 1]])).dtype == np.float32
    assert layer.backward(np.ones((1, 2))).dtype == np.float32


def test_float64_inputs_beside_float32_weights_are_computed_in_float64() -> None:
    layer, x = nn.Affine(3, 2), numbers(5, 3)
    w, b = layer.w.value.astype(np.float64), layer.b.value.astype(np.float64)
    assert_close(layer.forward(x), x @ w + b)
    dout = numbers(5, 2, seed=1)
    assert_close(layer.backward(dout), dout @ w.T)
    assert layer.w.grad is not None
    assert layer.w.grad.dtype == np.float32
    np.testing.assert_array_equal(layer.w.grad, (x.T @ dout).astype(np.float32))


def test_drawn_weights_are_he_in_float32_and_the_bias_starts_at_zero() -> None:
    layer = nn.Affine(400, 300)
    assert [p.dtype.name for p in layer.parameters()] == ["float32", "float32"]
    # The deviation of n numbers is known to 1 part in √(2n): here five times that.
    assert layer.w.value.std() == pytest.approx((2 / 400) ** 0.5, rel=0.01)
    np.testing.assert_array_equal(layer.b.value, np.zeros(300))


def test_sizes_may_be_numpys_whole_numbers() -> None:
    labels = np.array([0, 2, 1])
    layer = nn.Affine(np.int64(4), labels.max() + 1)
    assert layer.w.shape == (4, 3)
    assert repr(layer) == "Affine(4, 3)"


@pytest.mark.parametrize(
    ("w", "b", "message"),
    [
        (0, 3, r"Affine\(0, 3\): both sizes"),
        (3, -1, r"Affine\(3, -1\): both sizes"),
        (np.ones((3, 2)), np.ones(3), r"w \(3, 2\) and b \(3,\): \(a, m\) and \(m,\)"),
        (np.ones((3, 2)), np.ones((1, 2)), r"w \(3, 2\) and b \(1, 2\)"),
        (np.ones(3), np.ones(3), r"w \(3,\) and b \(3,\)"),
        (4.0, 3.0, "or two whole numbers"),
    ],
)
def test_sizes_and_shapes_that_do_not_fit_are_refused(w: Any, b: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nn.Affine(w, b)


@pytest.mark.parametrize("shape", [(5, 4), (4,), (5, 2, 2), ()])
def test_an_input_of_another_width_is_refused_with_all_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"x \(.*\), w \(3, 2\), b \(2,\)"):
        nn.Affine(3, 2).forward(np.ones(shape))


def test_weights_of_whole_numbers_are_refused() -> None:
    with pytest.raises(TypeError, match="int64"):
        nn.Affine(np.ones((3, 2), np.int64), np.ones(2))


def test_initialize_draws_again_only_what_was_drawn() -> None:
    drawn, given_, set_ = nn.Affine(3, 2), nn.Affine(numbers(3, 2), numbers(2)), nn.Affine(3, 2)
    set_.w.value = numbers(3, 2)
    copied = copy.deepcopy(drawn)
    before = [layer.w.value for layer in (drawn, given_, set_, copied)]
    for layer in (drawn, given_, set_, copied):
        layer.initialize(1, "other")
    same = [
        np.array_equal(layer.w.value, w)
        for layer, w in zip((drawn, given_, set_, copied), before, strict=True)
    ]
    assert same == [False, True, True, False]
    np.testing.assert_array_equal(drawn.w.value, copied.w.value)
    np.testing.assert_array_equal(drawn.w.value, nn.He()((3, 2), 1, "other.w"))


def test_parameters_can_be_shared_between_layers() -> None:
    w = tg.Parameter(numbers(2, 2))
    one, other = nn.Affine(w, np.zeros(2)), nn.Affine(w, np.ones(2))
    assert one.w is other.w is w
