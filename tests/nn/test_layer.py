"""What holds for every layer, container and network alike."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from textbook import Array, derivative, numbers, one_hot, read_only

import tarograd as tg
from tarograd import nn

LABELS = np.array([2, 0, 1, 3, 0])


class Own(nn.Layer):
    """A user's layer, with layers in a list and a parameter of its own."""

    def __init__(self) -> None:
        self.layers = [nn.Affine(4, 3), nn.Tanh(), nn.Affine(3, 2)]
        self.scale = tg.Parameter([1.5, -0.5])

    def call(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x * self.scale


def nested() -> nn.Sequential:
    inner = nn.Sequential(nn.Affine(3, 3), nn.Sigmoid())
    return nn.Sequential(nn.Affine(4, 3), inner, nn.Dropout(0.3), nn.Affine(3, 2))


SUBJECTS: dict[str, Callable[[], tuple[nn.Layer, Array, tuple[Any, ...]]]] = {
    "affine": lambda: (nn.Affine(4, 3), numbers(5, 4), ()),
    "affine of a row": lambda: (nn.Affine(4, 3), numbers(4), ()),
    "affine of images": lambda: (nn.Affine(8, 3), numbers(5, 2, 2, 2), ()),
    "relu": lambda: (nn.ReLU(), numbers(5, 4), ()),
    "sigmoid": lambda: (nn.Sigmoid(), numbers(2, 3, 4), ()),
    "tanh": lambda: (nn.Tanh(), numbers(5, 4), ()),
    "dropout": lambda: (nn.Dropout(0.4), numbers(5, 4), ()),
    "softmax, labels": lambda: (nn.SoftmaxWithLoss(), numbers(5, 4), (LABELS.copy(),)),
    "softmax, one-hot": lambda: (nn.SoftmaxWithLoss(), numbers(5, 4), (one_hot(LABELS, 4),)),
    "squared error": lambda: (nn.SquaredError(), numbers(5, 4), (numbers(5, 4, seed=1),)),
    "sequential": lambda: (nested(), numbers(5, 4), ()),
    "two-layer network": lambda: (nn.TwoLayerNet(4, 3, 2, 1.0), numbers(5, 4), ()),
    "own layer": lambda: (Own(), numbers(5, 4), ()),
}


@pytest.fixture(params=SUBJECTS)
def subject(request: pytest.FixtureRequest) -> Any:
    """A layer in float64 and its inputs, with the masks of Dropout standing still."""
    layer, x, others = SUBJECTS[request.param]()
    with tg.context(seed=3, step=7):
        yield layer.astype(np.float64), x, others


def assert_equal(given: Any, expected: Any) -> None:
    assert given.shape == expected.shape
    np.testing.assert_allclose(given, expected, rtol=0, atol=1e-10)


def grads(layer: nn.Layer) -> list[Array]:
    return [np.array(p.grad) for p in layer.parameters()]


def test_backward_is_the_derivative_of_forward_under_any_upstream(subject: Any) -> None:
    layer, x, others = subject
    y = layer.forward(x, *others)
    dout = numbers(*y.shape, seed=2)
    dx = layer.backward(dout)
    found = grads(layer)

    assert_equal(dx, derivative(lambda a: np.sum(dout * layer.forward(a, *others)), x))
    for parameter, grad in zip(layer.parameters(), found, strict=True):
        value = parameter.value

        def displaced(array: Array, p: tg.Parameter = parameter) -> Any:
            p.value = array
            return np.sum(dout * layer.forward(x, *others))

        assert_equal(grad, derivative(displaced, value))
        parameter.value = value


def test_upstream_scales_the_gradient(subject: Any) -> None:
    layer, x, others = subject
    dout = numbers(*layer.forward(x, *others).shape, seed=2)
    dx, once = layer.backward(dout), grads(layer)
    np.testing.assert_allclose(layer.backward(-2.5 * dout), -2.5 * dx, rtol=1e-13)
    for grad, first in zip(grads(layer), once, strict=True):
        np.testing.assert_allclose(grad, -2.5 * first, rtol=1e-13)


def test_nothing_is_written_into_the_arguments(subject: Any) -> None:
    layer, x, others = subject
    given = [x.copy(), *(np.array(t) for t in others)]
    y = layer.forward(*given)
    dout = numbers(*y.shape, seed=2)
    upstream = dout.copy()
    dx = layer.backward(upstream)
    for array, original in zip([*given, upstream], [x, *others, dout], strict=True):
        assert array.tobytes() == original.tobytes()

    locked = [read_only(a) for a in given]
    np.testing.assert_array_equal(layer.forward(*locked), y)
    np.testing.assert_array_equal(layer.backward(read_only(dout)), dx)


def test_arguments_may_be_changed_afterwards(subject: Any) -> None:
    layer, x, others = subject
    y = layer.forward(x, *others).copy()
    dout = numbers(*y.shape, seed=2)
    dx, before = layer.backward(dout).copy(), grads(layer)

    given = [x.copy(), *(np.array(t) for t in others)]
    again = layer.forward(*given)
    for array in given:
        array.fill(1)
    upstream = dout.copy()
    slope = layer.backward(upstream)
    upstream.fill(1)
    np.testing.assert_array_equal(again, y)
    np.testing.assert_array_equal(slope, dx)
    for grad, earlier in zip(grads(layer), before, strict=True):
        np.testing.assert_array_equal(grad, earlier)


def test_arrays_in_column_order_give_the_same(subject: Any) -> None:
    layer, x, others = subject
    y = layer.forward(x, *others)
    dout = numbers(*y.shape, seed=2)
    dx = layer.backward(dout)
    assert_equal(layer.forward(x.copy(order="F"), *others), y)
    assert_equal(layer.backward(dout.copy(order="F")), dx)


def test_the_output_is_read_only(subject: Any) -> None:
    layer, x, others = subject
    assert not layer.forward(x, *others).flags.writeable


def test_backward_replaces_the_gradients_and_a_tensor_adds_to_them(subject: Any) -> None:
    layer, x, others = subject
    dout = numbers(*layer.forward(x, *others).shape, seed=2)
    dx = layer.backward(dout)
    once = grads(layer)
    layer.forward(x, *others)
    layer.backward(dout)
    for grad, first in zip(grads(layer), once, strict=True):
        np.testing.assert_array_equal(grad, first)

    layer.zero_grad()
    assert all(p.grad is None for p in layer.parameters())
    recorded = tg.Tensor(x)
    for _ in range(2):
        layer(recorded, *others).backward(dout)
    assert_equal(recorded.grad, 2 * dx)
    for grad, first in zip(grads(layer), once, strict=True):
        assert_equal(grad, 2 * first)


def test_backward_wants_an_upstream_of_the_outputs_shape(subject: Any) -> None:
    layer, x, others = subject
    y = layer.forward(x, *others)
    with pytest.raises(ValueError, match="upstream gradient"):
        layer.backward(np.ones((*y.shape, 1)))
    if y.shape:
        with pytest.raises(ValueError, match="upstream gradient"):
            layer.backward()


def test_backward_before_forward_says_so(subject: Any) -> None:
    layer, x, others = subject
    with pytest.raises(ValueError, match="call forward"):
        layer.backward(np.ones(1))
    layer.forward(x, *others)
    with tg.context(recording=False):
        layer.forward(x, *others)
    with pytest.raises(ValueError, match="call forward"):
        layer.backward(np.ones(1))


def test_a_deep_copy_is_independent_and_has_no_forward_behind_it(subject: Any) -> None:
    layer, x, others = subject
    y = layer.forward(x, *others)
    twin = copy.deepcopy(layer)
    assert repr(twin) == repr(layer)
    assert list(twin.named_parameters()) == list(layer.named_parameters())
    with pytest.raises(ValueError, match="call forward"):
        twin.backward(np.ones(y.shape))
    np.testing.assert_array_equal(twin.forward(x, *others), y)
    for parameter in twin.parameters():
        parameter.value = np.zeros(parameter.shape)
    np.testing.assert_array_equal(layer.forward(x, *others), y)


def test_astype_gives_a_copy_in_the_other_precision(subject: Any) -> None:
    layer, x, others = subject
    y = layer.forward(x, *others)
    small = layer.astype(np.float32)
    assert list(small.named_parameters()) == list(layer.named_parameters())
    assert [p.name for p in small.parameters()] == [p.name for p in layer.parameters()]
    assert all(p.dtype == np.float32 for p in small.parameters())
    assert all(p.dtype == np.float64 for p in layer.parameters())
    below = small.forward(
        *(a.astype(np.float32) if a.dtype.kind == "f" else a for a in (x, *others))
    )
    assert below.dtype == np.float32
    np.testing.assert_allclose(below, y, rtol=1e-5, atol=1e-5)
    assert small.backward(np.ones_like(below)).dtype == np.float32
    assert all(p.grad is not None and p.grad.dtype == np.float32 for p in small.parameters())


def test_a_call_records_what_forward_computes(subject: Any) -> None:
    layer, x, others = subject
    recorded = tg.Tensor(x)
    y = layer(recorded, *others)
    np.testing.assert_array_equal(y.value, layer.forward(x, *others))
    tg.graph.verify(y)
    nodes = [t.node for t in tg.graph.topological_order(y) if t.node]
    name = type(layer).__name__
    assert nodes
    for node in nodes:
        outermost = node.group
        assert outermost is not None
        while outermost.parent is not None:
            outermost = outermost.parent
        assert (outermost.name, outermost.kind) == (name.lower(), name)
