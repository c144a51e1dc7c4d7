"""The numeric derivative, held against closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tarograd as tg
from tarograd.checking import numerical_gradient
from tarograd.checking.numeric import slope

Function = Callable[[Any], Any]

# A function, a point, and the derivative there: smooth, steep, near the edge of the domain, near
# a kink, and at points so large that a fixed step would vanish beside them.
CLOSED_FORMS: list[tuple[str, Function, float, float]] = [
    *(("exp", np.exp, x, math.exp(x)) for x in (-20.0, 0.0, 1.0, 20.0)),
    *(("sin", np.sin, x, math.cos(x)) for x in (1.0, 1e4, 1e6)),
    ("sin 1000x", lambda x: np.sin(1000 * x), 0.5, 1000 * math.cos(500)),
    ("sin 2πx", lambda x: np.sin(2 * np.pi * x), 8000.0, 2 * math.pi),
    *(("log", np.log, 10.0**-k, 10.0**k) for k in range(9)),
    *(("sqrt", np.sqrt, 10.0**-k, 0.5 * 10 ** (k / 2)) for k in range(9)),
    ("1/x", lambda x: 1 / x, 1e-6, -1e12),
    *(("x²", np.square, 10.0**k, 2 * 10.0**k) for k in (-6, -3, 0, 3, 5, 8, 14, 100)),
    *(("x", lambda x: x, float(x), 1.0) for x in (0, 1, -1e12, 1e17)),
    ("constant", lambda x: 1.0 + 0 * x, 3.0, 0.0),
    ("x² at its minimum", np.square, 0.0, 0.0),
    *(("|x|", np.abs, x, math.copysign(1, x)) for x in (1.0, -0.1, 1e-3, -1e-4, 1e-6)),
    *(("relu", lambda x: np.maximum(x, 0), x, 0.0) for x in (-1.0, -1e-3, -1e-4, -1e-6)),
    *(("kink at 1e-4", lambda x: np.maximum(x, 1e-4), x, 0.0) for x in (0.0, 9e-5)),
    ("sin with a kink", lambda x: np.sin(x) + np.maximum(x, 0), 1e-4, math.cos(1e-4) + 1),
    ("|x| at its kink", np.abs, 0.0, 0.0),
    ("relu at its kink", lambda x: np.maximum(x, 0), 0.0, 0.5),
]


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [pytest.param(f, x, y, id=f"{name}, {x:g}") for name, f, x, y in CLOSED_FORMS],
)
def test_closed_forms(f: Function, x: float, expected: float) -> None:
    found = numerical_gradient(f, x)
    assert found.shape == ()
    assert float(found) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(coefficients=st.lists(st.floats(-3, 3), min_size=1, max_size=6), x=st.floats(-3, 3))
def test_polynomials(coefficients: list[float], x: float) -> None:
    def value(v: float) -> float:
        return math.fsum(c * v**k for k, c in enumerate(coefficients))

    expected = math.fsum(k * c * x ** (k - 1) for k, c in enumerate(coefficients) if k)
    size = math.fsum(abs(c) * (1 + abs(x)) ** k for k, c in enumerate(coefficients))
    assert slope(value, x) == pytest.approx(expected, rel=0, abs=1e-10 * size + 1e-12)


def calls(f: Function, x: float) -> int:
    """How often the function is asked."""
    asked = []

    def counted(v: float) -> float:
        asked.append(v)
        return float(f(v))

    slope(counted, x)
    return len(asked)


def test_no_step_is_made_that_rounding_would_spoil() -> None:
    assert calls(np.exp, 1.0) == 6  # three steps: the third confirms the second
    # Each value is off by some 1e-10; far smaller steps would measure nothing else.
    assert calls(lambda x: x + 1e-10 * np.sin(1e13 * x), 1.0) <= 24


def test_the_example_of_the_textbook() -> None:
    # f(x) = x₀² + x₁² at (3, 4), (0, 2) and (3, 0).
    for x in ([3.0, 4.0], [0.0, 2.0], [3.0, 0.0]):
        found = numerical_gradient(lambda v: v[0] ** 2 + v[1] ** 2, np.array(x))
        np.testing.assert_allclose(found, 2 * np.array(x), rtol=1e-10, atol=1e-12)


def test_every_element_of_an_array_of_many_axes() -> None:
    x = np.random.default_rng(0).normal(size=(2, 1, 3, 2))
    weights = np.random.default_rng(1).normal(size=x.shape)
    found = numerical_gradient(lambda v: np.sum(weights * np.sin(v)), x)
    np.testing.assert_allclose(found, weights * np.cos(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (3, 6.0),
        (np.array(3.0), 6.0),
        (np.float32(3.0), 6.0),
        ([1, 2], [2.0, 4.0]),
        ((1.0, 2.0), [2.0, 4.0]),
        (np.array([1, 2], np.uint8), [2.0, 4.0]),
        (np.array([1.5, -2.0], np.float32), [3.0, -4.0]),
        (np.array([1.5, -2.0], ">f8"), [3.0, -4.0]),
        (np.ones((2, 3)).T, np.full((3, 2), 2.0)),
        (np.broadcast_to(1.0, (2, 2)), np.full((2, 2), 2.0)),
    ],
)
def test_whatever_holds_real_numbers_can_be_moved(x: Any, expected: Any) -> None:
    before = np.array(x)
    found = numerical_gradient(lambda v: np.sum(v**2), x)
    assert found.dtype == np.float64
    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    np.testing.assert_array_equal(np.array(x), before)


def test_of_nothing_the_gradient_is_empty_and_nothing_is_called() -> None:
    def never(_: Any) -> float:
        raise AssertionError

    assert numerical_gradient(never, np.zeros((0, 3))).shape == (0, 3)


def test_a_function_may_read_the_array_from_elsewhere_as_the_textbooks_does() -> None:
    w = np.array([[1.0, -2.0], [0.5, 3.0]])
    found = numerical_gradient(lambda _: float(np.sum(w**3)), w)
    np.testing.assert_allclose(found, 3 * w**2, rtol=1e-9)


def test_the_array_is_as_before_to_the_bit() -> None:
    x = np.array([1 / 3, -0.0, 0.0, 1e300, 5e-324, np.inf, -np.nan, 2.0**60])
    before = x.tobytes()
    numerical_gradient(lambda v: float(v[0]), x)
    assert x.tobytes() == before


@pytest.mark.parametrize("call", range(5))
def test_the_array_is_as_before_when_the_function_fails(call: int) -> None:
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    parameter = tg.Parameter(x)
    value = parameter.value

    def failing() -> Callable[[Any], float]:
        calls = iter(range(100))

        def f(_: Any) -> float:
            if next(calls) == call * 4:
                raise RuntimeError("no more")
            return 1.0

        return f

    with pytest.raises(RuntimeError, match="no more"):
        numerical_gradient(failing(), x)
    np.testing.assert_array_equal(x, [[1, 2], [3, 4]])
    with pytest.raises(RuntimeError, match="no more"):
        numerical_gradient(failing(), parameter)
    assert parameter.value is value


def test_a_function_of_tensors() -> None:
    x = tg.Tensor([1.0, 2.0, 3.0])
    value = x.value
    np.testing.assert_allclose(
        numerical_gradient(lambda v: np.exp(v).sum(), x), np.exp(value), rtol=1e-10
    )
    np.testing.assert_allclose(
        numerical_gradient(lambda _: (x * x * x).sum(), x), 3 * value**2, rtol=1e-10
    )
    assert x.value is value
    assert x.grad is None


def test_a_parameter_of_float32_is_moved_in_float64() -> None:
    w = tg.Parameter(np.array([100.0, 1.0, 3.0], np.float32))
    found = numerical_gradient(lambda v: (v * v).sum(), w)
    assert found.dtype == w.dtype == np.float32
    # A difference of float32 numbers would be 3 % off, or 0.
    np.testing.assert_array_equal(found, np.array([200.0, 2.0, 6.0], np.float32))


def test_a_network_of_float32_in_the_textbooks_way() -> None:
    net = tg.nn.TwoLayerNet(6, 5, 3, 0.5)
    x, t = np.random.default_rng(0).normal(size=(4, 6)), np.array([0, 1, 2, 0])
    for name, expected in net.astype(np.float64).gradient(x, t).items():
        found = numerical_gradient(lambda _: net.loss(x, t), net.named_parameters()[name])
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    assert {p.dtype.name for p in net.parameters()} == {"float32"}


def test_where_there_is_no_derivative_it_is_nan() -> None:
    found = numerical_gradient(np.sum, np.array([np.nan]))
    assert np.isnan(found).all()
    assert np.isnan(numerical_gradient(np.sqrt, -1.0))
    assert np.isnan(numerical_gradient(lambda x: x, np.inf))


def test_one_number_may_come_in_an_array() -> None:
    shapes: list[tuple[int, ...]] = [(), (1,), (1, 1)]
    for shape in shapes:

        def product(x: Any, shape: tuple[int, ...] = shape) -> Any:
            return np.reshape(x[0] * x[1], shape)

        found = numerical_gradient(product, [2.0, 5.0])
        np.testing.assert_allclose(found, [5, 2], rtol=1e-12)


@pytest.mark.parametrize("f", [lambda x: x, lambda x: tg.Tensor(x)])
def test_more_than_one_number_is_refused(f: Function) -> None:
    x = np.ones((2, 3))
    with pytest.raises(ValueError, match=r"gave 6 numbers, shape \(2, 3\); one is needed"):
        numerical_gradient(f, x)
    np.testing.assert_array_equal(x, np.ones((2, 3)))


@pytest.mark.parametrize("x", [1j, np.array([1j]), "3", [None], np.array(["a"])])
def test_what_is_no_real_number_is_refused(x: Any) -> None:
    with pytest.raises(TypeError, match="real numbers are needed"):
        numerical_gradient(lambda v: 0.0, x)


def test_a_computed_tensor_is_refused() -> None:
    y = tg.Tensor([1.0]) * 2
    with pytest.raises(TypeError, match="only a leaf can be moved"):
        numerical_gradient(lambda v: v.sum(), y)
