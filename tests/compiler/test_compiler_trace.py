from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tarograd as tg
from tarograd.compiler import Untraceable
from tarograd.compiler.trace import trace


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (lambda x: x * float(x.sum()), r"float\(\)"),
        (lambda x: x * int(x.sum()), r"int\(\)"),
        (lambda x: x if x.sum() > 0 else -x, r"bool\(\)"),
        (lambda x: x * x.value, r"\.value of 'x'"),
        (lambda x: x * np.asarray(x), r"np.asarray\(\)"),
        (lambda x: x * x.sum().item(), r"item\(\)"),
        (lambda x: (2 * x).sum().backward() or x, r"tg.grad"),
        (lambda x: x[x > 0], r"mask"),
    ],
)
def test_a_value_that_would_be_baked_in_is_refused_by_name(
    function: Callable[[Any], Any], named: str
) -> None:
    with pytest.raises(Untraceable, match=named):
        trace(function, {"x": np.ones(3)})


def test_constants_mixed_with_traced_values_refuse_too() -> None:
    def function(x: Any) -> Any:
        return x * float((tg.stop_gradient(tg.Tensor(1.0)) + x).sum())

    with pytest.raises(Untraceable, match="float"):
        trace(function, {"x": np.ones(3)})


def test_a_parameter_refuses_during_the_trace_and_is_itself_again_after_it() -> None:
    w = tg.Parameter([1.0, 2.0], "w")
    with pytest.raises(Untraceable, match="'w'"):
        trace(lambda x: x * w.value[0], {"x": 1.0}, {"w": w})
    assert type(w) is tg.Parameter
    np.testing.assert_array_equal(w.value, [1.0, 2.0])


def test_a_tensor_that_is_no_argument_is_refused() -> None:
    hidden = tg.Tensor([1.0, 2.0], "hidden")
    with pytest.raises(Untraceable, match=r"hidden of shape \(2,\)"):
        trace(lambda x: x * hidden, {"x": 1.0})


def test_what_is_returned_has_to_be_computed() -> None:
    with pytest.raises(Untraceable, match="returns float as 'result'"):
        trace(lambda x: 1.0, {"x": 1.0})


def test_an_edit_in_place_is_refused() -> None:
    def function(x: Any) -> Any:
        x[0] = 1
        return x

    with pytest.raises(TypeError, match="in place"):
        trace(function, {"x": np.ones(3)})


def test_a_mask_that_would_be_the_same_in_every_call_is_refused() -> None:
    with pytest.raises(Untraceable, match="step"):
        trace(lambda x: tg.dropout(x, 0.5, step=3), {"x": np.ones(3)})


def test_a_compiled_function_reads_the_current_parameters() -> None:
    net = tg.nn.TwoLayerNet(3, 4, 2)
    x, t = np.ones((5, 3), np.float32), np.array([0, 1, 0, 1, 0])

    @tg.compile
    def loss(x: Any, t: Any) -> Any:
        return net.criterion(net(x), t)

    for _ in range(3):
        np.testing.assert_allclose(loss(x, t), net.loss(x, t), rtol=1e-6)
        net.w1.value = net.w1.value + np.float32(0.1)
    assert "def loss(x, t, w1, b1, w2, b2):" in loss.source()


def test_gradients_inside_a_compiled_function() -> None:
    @tg.compile
    def slope(x: Any) -> Any:
        return tg.grad((x * x * x).sum(), x)

    np.testing.assert_array_equal(slope(np.array([1.0, 2.0])), [3.0, 12.0])


def test_labels_are_checked_at_every_call() -> None:
    loss = tg.compile(lambda x, t: tg.softmax_with_loss(x, t))
    x = np.zeros((2, 3))
    np.testing.assert_allclose(loss(x, np.array([0, 2])), np.log(3))
    with pytest.raises(ValueError, match="labels from 0 to 3 for 3 classes"):
        loss(x, np.array([0, 3]))


def test_each_signature_is_traced_once() -> None:
    traces = itertools.count()

    @tg.compile
    def double(x: Any) -> Any:
        next(traces)
        return 2 * x

    for shape in [(2,), (3,), (2,)]:
        np.testing.assert_array_equal(double(np.ones(shape)), np.full(shape, 2.0))
    assert next(traces) == 2
    assert double(np.ones(2, np.float32)).dtype == np.float32
