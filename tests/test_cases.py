"""Every primitive of the table, through every check."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import tarograd.ops
from cases import CASES, ROWS
from numeric import Array, assert_gradient, numeric_gradient
from rows import Case, locked
from special_values import SPECIAL_VALUES, Special
from tarograd import Primitive, Tensor, grad
from tarograd.graph import verify

SMOOTH = [case for case in CASES if case.primitive.vjp is not None]
CONSTANT = [case for case in CASES if case.primitive.vjp is None]
COMPOSITE = [case for case in CASES if case.primitive.definition is not None]

each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_smooth_case = pytest.mark.parametrize("case", SMOOTH, ids=str)


def leaves(case: Case, dtype: Any = np.float64) -> list[Any]:
    """The inputs of a case, the drawn ones as Tensors."""
    return [Tensor(x) if i in case.drawn else x for i, x in enumerate(case.inputs(dtype))]


def values(inputs: Sequence[Any]) -> list[Any]:
    return [x.value if isinstance(x, Tensor) else x for x in inputs]


def differentiable(case: Case) -> list[int]:
    """The places of the inputs that have a rule."""
    vjp = case.primitive.vjp
    return [i for i in case.drawn if not isinstance(vjp, tuple) or vjp[i] is not None]


def upstream(y: Any) -> Array:
    """A random gradient for y, into which nobody can write."""
    return locked(np.asarray(np.random.default_rng(5).normal(size=y.shape), y.dtype))


def replaced(inputs: Sequence[Any], place: int, x: Any) -> list[Any]:
    return [x if i == place else given for i, given in enumerate(inputs)]


def backpropagated(case: Case, inputs: Sequence[Any], g: Array) -> list[Any]:
    """What `.backward` leaves at the differentiable inputs, given as arrays."""
    given = [Tensor(x) if i in case.drawn else x for i, x in enumerate(inputs)]
    case.primitive(*given, **case.attributes()).backward(g)
    return [given[i].grad for i in differentiable(case)]


def test_every_primitive_of_ops_has_a_row() -> None:
    found: dict[int, Primitive] = {}
    for module in pkgutil.iter_modules(tarograd.ops.__path__, "tarograd.ops."):
        for thing in vars(importlib.import_module(module.name)).values():
            if isinstance(thing, Primitive):
                found[id(thing)] = thing
    rows = {id(row.primitive): row.primitive for row in ROWS}
    assert len(rows) == len(ROWS) == len({p.name for p in rows.values()})
    assert {p.name for p in found.values()} == {p.name for p in rows.values()}
    assert found.keys() == rows.keys()


@each_case
def test_forward_is_the_truth_on_tensors_and_on_arrays(case: Case) -> None:
    inputs = leaves(case)
    y = case.primitive(*inputs, **case.attributes())
    truth = np.asarray(case.row.truth(*values(inputs), **case.attributes()))
    assert y.shape == truth.shape
    np.testing.assert_allclose(y.value, truth, rtol=1e-13, atol=1e-14)
    assert np.array_equal(y.value, case.primitive(*values(inputs), **case.attributes()))
    verify(y)


@each_smooth_case
def test_gradient_is_the_numeric_derivative_under_a_random_upstream(case: Case) -> None:
    inputs = case.inputs()
    y = np.asarray(case.primitive(*inputs, **case.attributes()))
    given = backpropagated(case, inputs, upstream(y))
    for i, slope in zip(differentiable(case), given, strict=True):

        def truth(x: Array, i: int = i) -> Any:
            return case.row.truth(*replaced(inputs, i, x), **case.attributes())

        assert slope.dtype == np.float64
        assert_gradient(slope, numeric_gradient(truth, inputs[i], upstream(y)))


@each_smooth_case
def test_rules_give_the_same_bits_on_tensors_as_on_arrays(case: Case) -> None:
    inputs = leaves(case)
    y = case.primitive(*inputs, **case.attributes())
    g = upstream(y)
    slopes = grad(y, [inputs[i] for i in differentiable(case)], g)
    for slope, other in zip(slopes, backpropagated(case, values(inputs), g), strict=True):
        verify(slope)
        assert slope.dtype == other.dtype
        assert np.array_equal(slope.value, other)


@each_smooth_case
def test_second_order_is_the_numeric_derivative_of_the_first(case: Case) -> None:
    inputs, places = leaves(case), differentiable(case)
    y = case.primitive(*inputs, **case.attributes())
    g = Tensor(upstream(y))
    wanted = [inputs[i] for i in places]
    weights = [np.random.default_rng(i).normal(size=x.shape) for i, x in enumerate(wanted)]
    slopes = grad(y, wanted, g)
    total = sum(np.sum(v * s) for v, s in zip(weights, slopes, strict=True))
    second = grad(total, [*wanted, g])

    def first(arrays: list[Any], arriving: Array) -> Any:
        given = backpropagated(case, arrays, arriving)
        return sum(np.sum(v * s) for v, s in zip(weights, given, strict=True))

    arrays = values(inputs)
    for i, slope in zip(places, second, strict=False):

        def by_input(x: Array, i: int = i) -> Any:
            return first(replaced(arrays, i, x), g.value)

        assert_gradient(slope.value, numeric_gradient(by_input, arrays[i]), 1e-8)
    by_upstream = numeric_gradient(lambda arriving: first(arrays, arriving), g.value)
    assert_gradient(second[-1].value, by_upstream, 1e-8)


@each_case
def test_float32_stays_float32(case: Case) -> None:
    inputs = leaves(case, np.float32)
    y = case.primitive(*inputs, **case.attributes(np.float32))
    truth = np.asarray(case.row.truth(*values(inputs), **case.attributes()))
    assert y.dtype == (np.float32 if truth.dtype.kind == "f" else truth.dtype)
    np.testing.assert_allclose(y.value, truth, rtol=1e-5, atol=1e-5)
    verify(y)


@each_smooth_case
def test_float32_gradients_are_float32_and_near_those_of_float64(case: Case) -> None:
    inputs = leaves(case, np.float32)
    y = case.primitive(*inputs, **case.attributes(np.float32))
    y.backward(upstream(y))
    wide = [
        x.astype(float) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x
        for x in values(inputs)
    ]
    expected = backpropagated(case, wide, upstream(y).astype(float))
    for i, slope in zip(differentiable(case), expected, strict=True):
        assert inputs[i].grad.dtype == np.float32
        assert inputs[i].grad.shape == inputs[i].shape
        np.testing.assert_allclose(inputs[i].grad, slope, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", CONSTANT, ids=str)
def test_nothing_flows_through_a_primitive_without_rules(case: Case) -> None:
    inputs = leaves(case)
    y = case.primitive(*inputs, **case.attributes())
    y.backward(np.ones(y.shape))
    for i in case.drawn:
        assert inputs[i].grad is None
        assert np.array_equal(grad(y, inputs[i], np.ones(y.shape)).value, np.zeros(inputs[i].shape))


@pytest.mark.parametrize("case", COMPOSITE, ids=str)
def test_a_composite_equals_its_definition_in_value_and_gradient(case: Case) -> None:
    definition = case.primitive.definition
    assert definition is not None
    closed, unfolded = leaves(case), leaves(case)
    y = case.primitive(*closed, **case.attributes())
    z = definition(*unfolded, **case.attributes())
    assert isinstance(z, Tensor)
    assert z.node is not None
    assert z.node.primitive is not case.primitive
    verify(z)
    np.testing.assert_allclose(y.value, z.value, rtol=1e-13, atol=1e-14)
    y.backward(upstream(y))
    z.backward(upstream(y))
    for i in differentiable(case):
        np.testing.assert_allclose(closed[i].grad, unfolded[i].grad, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("special", SPECIAL_VALUES, ids=str)
def test_special_value(special: Special) -> None:
    inputs = [Tensor(np.array(x, float)) if isinstance(x, list) else x for x in special.inputs]
    with np.errstate(divide="ignore" if special.warns else "raise", over="raise", invalid="raise"):
        y = special.primitive(*inputs, **special.attributes)
        np.testing.assert_allclose(y.value, special.y, rtol=special.rtol, atol=0)
        if not any(gradient is not None for gradient in special.gradients):
            return
        y.backward(np.broadcast_to(special.g, y.shape))
    for x, gradient in zip(inputs, special.gradients, strict=False):
        if gradient is not None:
            assert x.grad is not None
            np.testing.assert_allclose(x.grad, gradient, rtol=special.rtol, atol=0)
