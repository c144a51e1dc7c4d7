"""Derivatives as functions: any order, any input, and value and gradient in one."""

from __future__ import annotations

from math import cos, exp, factorial, sin
from typing import Any

import numpy as np
import pytest

import tarograd as tg
from numeric import Array, assert_gradient, numeric_gradient
from rows import locked
from tarograd import Tensor, grad, value_and_grad
from tarograd.graph import topological_order, verify


def test_one_input_gives_a_tensor_and_a_list_gives_a_list() -> None:
    x, y = Tensor(3.0), Tensor(4.0)
    z = x * x * y
    assert grad(z, x).item() == 24
    assert [s.item() for s in grad(z, [x, y])] == [24, 9]
    assert [s.item() for s in grad(z, (y, y, x))] == [9, 9, 24]
    assert grad(z, []) == []
    assert {k: s.item() for k, s in grad(z, {"b": y, "a": x}).items()} == {"b": 9, "a": 24}
    assert [s.item() for s in grad(z, {"b": y, "a": x}.values())] == [9, 24]
    (first, (second,)), other = grad(z, [(x, (y,)), {"w": x}])
    assert (first.item(), second.item(), other["w"].item()) == (24, 9, 24)


def test_parameters_in_dicts_and_tuples() -> None:
    def loss(params: Any, x: Any) -> Any:
        (w, b), scale = params["affine"], params["scale"]
        return ((x @ w + b) * scale).sum()

    x, w = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0], [0.5]])
    params = {"affine": (w, np.array([2.0])), "scale": 3.0}
    value, slopes = value_and_grad(loss)(params, x)
    assert value == 33
    (dw, db), dscale = slopes["affine"], slopes["scale"]
    assert (dw.tolist(), db.tolist(), float(dscale)) == ([[12], [18]], [6], 11)
    value, (slopes, dx) = value_and_grad(loss, argnums=(0, 1))({**params, "scale": Tensor(3.0)}, x)
    assert isinstance(value, Tensor)
    assert slopes["scale"].item() == 11
    assert dx.value.tolist() == [[3, 1.5], [3, 1.5]]


def test_arguments_by_name_are_passed_on() -> None:
    value, slope = value_and_grad(lambda x, scale=1.0: x * x * scale)(3.0, scale=2.0)
    assert (value, slope) == (18, 12)
    value, slope = value_and_grad(lambda x, *, by: x * by)(3.0, by=Tensor(2.0))
    assert (value.item(), slope.item()) == (6, 2)


@pytest.mark.parametrize(
    ("output", "inputs", "told"),
    [
        (3.0, Tensor(1.0), "of float"),
        ([Tensor(1.0)], Tensor(1.0), "of list"),
        (Tensor(1.0), None, "by NoneType"),
        (Tensor(1.0), [1.0], "by list"),
        (Tensor(1.0), [Tensor(1.0), 1.0], "by float"),
        (Tensor(1.0), np.ones((3, 3)), "by ndarray"),
        (Tensor(1.0), {"w": np.ones(3)}, "by ndarray"),
    ],
)
def test_what_is_no_tensor_is_told(output: Any, inputs: Any, told: str) -> None:
    with pytest.raises(TypeError, match=f"grad {told}: a derivative is of a Tensor, by other"):
        grad(output, inputs)


def test_grad_leaves_nothing_behind() -> None:
    x = Tensor([1.0, 2.0])
    grad((x * x).sum(), x)
    assert x.grad is None


def test_the_derivative_by_a_computed_value() -> None:
    x = Tensor(2.0)
    h = x * 3
    y = h * h + x
    assert grad(y, h).item() == 12
    assert grad(y, x).item() == 37
    assert grad(y, y).item() == 1


def test_zeros_where_the_output_does_not_depend_on_the_input() -> None:
    x, other = Tensor(2.0), Tensor(np.ones((2, 3), np.float32))
    slope, zeros = grad(x * x, [x, other])
    assert slope.item() == 4
    assert (zeros.shape, zeros.dtype) == ((2, 3), np.float32)
    assert not zeros.value.any()
    assert grad((x > 0).sum() * x, x).item() == 1


@pytest.mark.parametrize("order", range(1, 7))
def test_any_order(order: int) -> None:
    x = Tensor(0.7)
    curves: list[Any] = [x**6, np.sin(x), np.exp(2 * x)]
    for _ in range(order):
        curves = [grad(y, x) for y in curves]
    powers, waves, exponential = curves
    falling = factorial(6) / factorial(6 - order)
    np.testing.assert_allclose(powers.value, falling * 0.7 ** (6 - order), rtol=1e-13)
    expected = (sin(0.7), cos(0.7), -sin(0.7), -cos(0.7))[order % 4]
    np.testing.assert_allclose(waves.value, expected, rtol=1e-13)
    np.testing.assert_allclose(exponential.value, 2**order * exp(1.4), rtol=1e-13)


def network(x: Any, w1: Any, b1: Any, w2: Any) -> Any:
    h = np.tanh(x @ w1 + b1)
    scores = h @ w2
    return np.mean(np.log(np.sum(np.exp(scores), axis=1)) - scores[:, 1]) + 0.1 * np.sum(w2 * w2)


def test_hessian_vector_products_of_a_network() -> None:
    rng = np.random.default_rng(0)
    shapes = ((4, 3), (3, 5), (5,), (5, 2))
    arrays = [locked(rng.normal(size=s)) for s in shapes]
    directions = [rng.normal(size=s) for s in shapes]
    leaves = [Tensor(a) for a in arrays]
    slopes = grad(network(*leaves), leaves)
    along = sum(np.sum(v * s) for v, s in zip(directions, slopes, strict=True))
    products = grad(along, leaves)
    for i, product in enumerate(products):

        def first(x: Array, i: int = i) -> Any:
            moved = [Tensor(x if j == i else a) for j, a in enumerate(arrays)]
            given = grad(network(*moved), moved)
            return sum(np.sum(v * s.value) for v, s in zip(directions, given, strict=True))

        assert_gradient(product.value, numeric_gradient(first, arrays[i]), 1e-9)
    verify(along)


def test_the_upstream_gradient_can_be_a_tensor_and_is_differentiated_too() -> None:
    x, g = Tensor([1.0, 2.0]), Tensor([3.0, 5.0])
    slope = grad(x * x, x, g)
    assert np.array_equal(slope.value, [6, 20])
    assert np.array_equal(grad(slope.sum(), g).value, [2, 4])
    assert np.array_equal(grad(x * x, x, [1, 0]).value, [2, 0])


@pytest.mark.parametrize("start", [Tensor(1.0), Tensor([[1.0, 1.0]]), np.ones(3), 1.0])
def test_an_upstream_gradient_of_another_shape_is_refused(start: Any) -> None:
    x = Tensor([1.0, 2.0])
    for y in (x, x * 2):
        with pytest.raises(ValueError, match="the two have to be equal") as caught:
            grad(y, x, start)
        assert f"of shape {np.shape(start)} for an output of shape (2,)" in str(caught.value)


def test_a_tensor_as_upstream_takes_the_outputs_dtype() -> None:
    x = Tensor(np.ones(2, np.float32))
    for y in (x, x * 2):
        assert grad(y, x, Tensor([1.0, 2.0])).dtype == np.float32


def test_more_than_one_number_needs_an_upstream_gradient() -> None:
    x = Tensor([1.0, 2.0])
    with pytest.raises(ValueError, match=r"backward from 2 numbers, shape \(2,\)"):
        grad(x * 2, x)


def test_derivatives_taken_without_recording_are_constants() -> None:
    x = Tensor(2.0)
    y = x**3
    with tg.context(recording=False):
        slope = grad(y, x)
    assert slope.item() == 12
    assert topological_order(slope) == [slope]


def test_value_and_grad_of_arrays_gives_arrays() -> None:
    def f(w: Any, x: Any) -> Any:
        return np.sum(w * w * x)

    w, x = locked(np.array([1.0, 2.0])), locked(np.array([3.0, 4.0]))
    value, slope = value_and_grad(f)(w, x)
    assert isinstance(value, np.ndarray)
    assert isinstance(slope, np.ndarray)
    assert value == 19
    assert np.array_equal(slope, [6, 16])
    value, slopes = value_and_grad(f, argnums=(1, 0))(w, x)
    assert isinstance(slopes, tuple)
    assert np.array_equal(slopes, [[1, 4], [6, 16]])
    assert np.array_equal(value_and_grad(f, argnums=-1)(w, x)[1], [1, 4])
    assert np.array_equal(value_and_grad(f)(w, np.array([3, 4]))[1], [6, 16])


def test_value_and_grad_of_tensors_gives_tensors_of_the_same_graph() -> None:
    x = Tensor(2.0)
    value, slope = value_and_grad(lambda x: x**3)(x * x)
    assert (value.item(), slope.item()) == (64, 48)
    assert grad(slope, x).item() == 6 * 4 * 4


def test_value_and_grad_keeps_the_dtype() -> None:
    value, slope = value_and_grad(lambda x: np.sum(x * 2))(np.ones(3, np.float32))
    assert (value.dtype, slope.dtype) == (np.float32, np.float32)


def test_value_and_grad_refuses_what_has_no_derivative() -> None:
    with pytest.raises(TypeError, match="only floats can be differentiated"):
        value_and_grad(lambda x: x * x)(np.array([1, 2]))
    with pytest.raises(TypeError, match="gave float: a Tensor has to come out of it"):
        value_and_grad(lambda x: float(x))(1.0)
    with pytest.raises(ValueError, match=r"backward from 2 numbers, shape \(2,\)"):
        value_and_grad(lambda x: x * x)(np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="argnums=2 for 1 arguments"):
        value_and_grad(lambda x: x * x, argnums=2)(1.0)
