"""`check_gradients`: what it accepts, what it reports, and what it leaves as it was."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest

import tarograd as tg

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(5, 4))


class Book:
    """The textbook's Relu: its backward writes into the upstream gradient."""

    def forward(self, x: Any) -> Any:
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout: Any) -> Any:
        dout[self.mask] = 0
        return dout


class BookLoss:
    """The textbook's SoftmaxWithLoss: it ignores `dout`."""

    def forward(self, x: Any, t: Any) -> Any:
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.y, self.t = e / e.sum(axis=1, keepdims=True), t
        return -np.sum(np.log(self.y[np.arange(len(t)), t])) / len(t)

    def backward(self, dout: Any = 1) -> Any:
        dx = self.y.copy()
        dx[np.arange(len(self.t)), self.t] -= 1
        return dx / len(self.t)


class Params:
    """Parameters and gradients in lists, as in the textbook's second volume."""

    def __init__(self) -> None:
        self.params = [RANDOM.normal(size=(4, 3)), np.zeros(3)]
        self.grads: list[Any] = [np.zeros((4, 3)), np.zeros(3)]

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.params[0] + self.params[1]

    def backward(self, dout: Any) -> Any:
        self.grads[0][...] = self.x.T @ dout
        self.grads[1][...] = dout.sum(axis=0)
        return dout @ self.params[0].T


class Value:
    def __init__(self, data: Any) -> None:
        self.data, self.grad = data, None


class WithGrad:
    """Parameters with a value and a `.grad`."""

    def __init__(self) -> None:
        self.weight: Any = Value(RANDOM.normal(size=(4, 3)))

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.weight.data

    def backward(self, dout: Any) -> Any:
        g = self.x.T @ dout
        self.weight.grad = g if self.weight.grad is None else self.weight.grad + g
        return dout @ self.weight.data.T


class Unusual:
    def __init__(self) -> None:
        self.kernel = RANDOM.normal(size=(4, 3))

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.kernel

    def backward(self, dout: Any) -> None:
        self.slope_of_kernel = self.x.T @ dout


class TwoOutputs:
    def forward(self, x: Any) -> Any:
        self.x = x
        return np.sin(x), x.sum(axis=1)

    def backward(self, c: Any, d: Any) -> Any:
        return c * np.cos(self.x) + d[:, None]


class Noisy:
    def forward(self, x: Any) -> Any:
        return x + np.random.default_rng().normal(size=x.shape)

    def backward(self, dout: Any) -> Any:
        return dout


def test_the_textbooks_own_layers_are_named() -> None:
    assert tg.check_gradients(Book(), X).causes[0].name == "mutates-upstream"
    loss = tg.check_gradients(BookLoss(), X, np.array([0, 1, 2, 3, 0]))
    assert loss.causes[0].name == "upstream-ignored"


@pytest.mark.parametrize(
    ("subject", "leaves"),
    [
        (Params(), {"x", "params[0]", "params[1]"}),
        (WithGrad(), {"x", "weight"}),
        (TwoOutputs(), {"x"}),
        (tg.nn.Affine(4, 3), {"x", "w", "b"}),
        (np.tanh, {"x"}),
        (lambda a: np.sum(tg.relu(a) ** 2), {"a"}),
    ],
)
def test_parameters_and_gradients_are_found(subject: Any, leaves: set[str]) -> None:
    report = tg.check_gradients(subject, X)
    assert report.verdict == "right", str(report)
    assert set(report.leaves) == leaves


def test_unusual_names_are_asked_for_with_the_line_to_write() -> None:
    with pytest.raises(ValueError, match=r'params=\{"kernel": "slope_of_kernel"\}'):
        tg.check_gradients(Unusual(), X)
    report = tg.check_gradients(Unusual(), X, params={"kernel": "slope_of_kernel"})
    assert report
    assert set(report.leaves) == {"kernel"}


def test_a_function_with_its_claimed_gradient() -> None:
    assert tg.check_gradients(lambda x: np.sum(x**3), X, grad=lambda x: 3 * x**2)
    assert tg.check_gradients(np.sin, X, grad=lambda x: np.cos(x))
    assert tg.check_gradients(lambda x: x.sum(axis=0), X, grad=lambda x, c: c + 0 * x)
    report = tg.check_gradients(lambda x: np.sum(x**3), X, grad=lambda x: 3 * x**3)
    assert report.verdict == "wrong"


def test_what_cannot_be_told_is_not_accused() -> None:
    report = tg.check_gradients(Noisy(), X)
    assert report.verdict == "cannot tell"
    assert report.causes[0].name == "nondeterministic"


def test_nothing_of_the_subject_or_of_the_generators_changes() -> None:
    old = np.random  # users' layers still draw from the global generator

    class Drop:
        def __init__(self) -> None:
            self.rng = np.random.default_rng(3)
            self.mean = np.zeros(4)
            self.W = np.ones(4)

        def forward(self, x: Any) -> Any:
            self.mean += x.mean(axis=0)
            self.x, self.mask = x, self.rng.random(x.shape) < old.rand()
            return x * self.mask * self.W

        def backward(self, dout: Any) -> Any:
            self.dW = (dout * self.mask * self.x).sum(axis=0)
            return dout * self.mask * self.W

    def states() -> Any:
        old = np.random.get_state()  # noqa: NPY002  # users' layers still draw from it
        return layer.rng.bit_generator.state, str(old), random.getstate()

    layer, x = Drop(), X.copy()
    before = states()
    assert tg.check_gradients(layer, x).verdict == "right"
    assert states() == before
    assert set(vars(layer)) == {"rng", "mean", "W"}
    assert not layer.mean.any()
    assert np.array_equal(x, X)


def test_the_report_is_short_and_can_be_sent() -> None:
    report = tg.check_gradients(np.sin, X, grad=lambda x: 2 * np.cos(x))
    assert not report
    assert report.verdict == "wrong"
    assert len(str(report).splitlines()) <= 40
    assert all(len(line) <= 110 for line in str(report).splitlines())
    sent = json.loads(report.to_json())
    assert sent["causes"][0]["name"] == "scale"
    worst = report.leaves["x"].worst(3)
    assert worst[0].analytic == pytest.approx(2 * worst[0].numeric)
    assert report.leaves["x"].diff2 == pytest.approx(1 / 3)  # |k - 1| / (|k| + 1), k = 2
    with pytest.raises(AssertionError, match="scale"):
        report.raise_if_wrong()


def test_modes_and_budget() -> None:
    for mode in ("quick", "thorough", "contract"):
        assert tg.check_gradients(np.tanh, X, mode=mode)
    with pytest.raises(ValueError, match="mode='fast'"):
        tg.check_gradients(np.tanh, X, mode="fast")
    late = tg.check_gradients(np.tanh, X, budget=0.0)
    assert late.verdict == "cannot tell"


def test_a_deep_relu_network_is_checked_through_its_loss() -> None:
    net = tg.nn.TwoLayerNet(20, 30, 5)
    report = tg.check_gradients(net, RANDOM.normal(size=(4, 20)), np.array([0, 1, 2, 3]))
    assert report.verdict == "right"
    assert report.digits >= 6


def test_a_wrong_primitive_is_named_in_its_place() -> None:
    cube = tg.Primitive("cube", "x³", lambda x: x**3, vjp=(lambda g, y, x: 2 * x**2 * g,))
    report = tg.check_gradients(lambda x: np.sum(np.tanh(cube(x))), X)
    assert report.verdict == "wrong"
    assert "node cube" in report.causes[0].leaf


def test_a_wrong_node_is_told_by_the_names_of_the_layer() -> None:
    doubled = tg.Primitive(
        "scale",
        "·",
        lambda a, b: a * b,
        vjp=(lambda g, y, a, b: g * b, lambda g, y, a, b: 2 * g * a),
    )

    class Scale(tg.nn.Layer):
        def __init__(self) -> None:
            self.weight = tg.Parameter(RANDOM.normal(size=(5, 4)))

        def call(self, x: Any) -> Any:
            return doubled(np.tanh(x), self.weight)

    cause = tg.check_gradients(Scale(), X).causes[0]
    assert (cause.name, cause.leaf) == ("scale", "weight of node scale.scale")
    inner = tg.check_gradients(lambda x: doubled(np.sin(x), np.tanh(x)), X).causes[0]
    assert inner.leaf == "b of node scale"  # no leaf: as its rule calls it


class CrossEntropy:
    """Of a sigmoid, from the formula: right, and finite up to about 37."""

    def forward(self, x: Any, t: Any) -> Any:
        self.p, self.t = 1 / (1 + np.exp(-x)), t
        return -np.mean(t * np.log(self.p) + (1 - t) * np.log(1 - self.p))

    def backward(self, dout: Any) -> Any:
        return dout * (self.p - self.t) / self.t.size


class NaiveSoftmax:
    """Without the largest element subtracted."""

    def forward(self, x: Any) -> Any:
        e = np.exp(x)
        self.y = e / e.sum(axis=1, keepdims=True)
        return self.y

    def backward(self, dout: Any) -> Any:
        return self.y * (dout - (dout * self.y).sum(axis=1, keepdims=True))


def test_a_formula_at_the_end_of_its_range_is_no_mistake_and_an_overflow_is() -> None:
    labels = np.array([[0, 1, 1, 0]] * 5)
    report = tg.check_gradients(CrossEntropy(), X, labels)
    assert report.verdict == "right"
    assert "NaN for inputs up to 1000" in report.notes[0]
    far = tg.check_gradients(CrossEntropy(), X * 1000, labels)
    assert far.verdict == "cannot tell"
    naive = tg.check_gradients(NaiveSoftmax(), X)
    assert (naive.verdict, naive.causes[0].name) == ("wrong", "nonfinite-forward")


def test_a_parameter_whose_gradient_was_not_found_is_listed_with_the_line_to_write() -> None:
    class Half(Unusual):
        def backward(self, dout: Any) -> Any:
            super().backward(dout)
            return dout @ self.kernel.T

    report = tg.check_gradients(Half(), X)
    assert set(report.leaves) == {"x"}
    assert report.notes == [
        'no gradient found for kernel; not checked; perhaps params={"kernel": "slope_of_kernel"}'
    ]


def test_a_tiny_factor_and_one_element_of_many_are_seen_in_quick_mode() -> None:
    x = RANDOM.normal(size=50_000)
    factor = tg.check_gradients(np.sin, x, grad=lambda x: np.cos(x) * (1 + 1e-6), mode="quick")
    assert factor.verdict == "wrong"

    def off(x: Any) -> Any:
        g = 3 * x * x
        g[12_345] *= 1.01
        return g

    one = tg.check_gradients(lambda x: np.sum(x * x * x), x, grad=off, mode="quick")
    assert one.verdict == "wrong"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("f", [np.sum, np.asarray])
def test_a_wrong_element_with_a_small_gradient_is_seen_in_quick_mode(f: Any, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=50_000)
    x[12_345] = 3e-3  # its gradient is 5e-6 of the others', and wrong by 1 %

    def off(x: Any) -> Any:
        g = 3 * x * x
        g[12_345] *= 1.01
        return g

    def cubes(x: Any) -> Any:
        return f(x * x * x)

    found = tg.check_gradients(cubes, x, grad=off, mode="quick", seed=seed)
    assert found.verdict == "wrong"
    assert (12_345,) in [w.index for w in found.leaves["x"].worst(2)]


class Wide:
    """A layer with 6,000 weights, whose gradient is spoiled."""

    def __init__(self, spoiled: Any) -> None:
        self.spoiled, self.W = spoiled, np.random.default_rng(1).normal(size=(100, 60)) / 10

    def forward(self, x: Any) -> Any:
        self.x, self.y = x, np.tanh(x @ self.W)
        return self.y

    def backward(self, dout: Any) -> Any:
        d = dout * (1 - self.y**2)
        self.dW = self.spoiled(self.x.T @ d, len(self.x))
        return d @ self.W.T


@pytest.mark.parametrize(
    ("name", "spoiled"),
    [
        ("scale-batch", lambda g, n: g / n),
        ("scale", lambda g, n: 3 * g),
        ("sign", lambda g, n: -g),
        ("zero", lambda g, n: 0 * g),
    ],
)
def test_a_factor_of_a_large_leaf_is_named_without_its_elements(name: str, spoiled: Any) -> None:
    x = np.random.default_rng(2).normal(size=(5, 100))
    report = tg.check_gradients(Wide(spoiled), x)
    assert report.causes[0].name == name
    assert report.causes[0].leaf == "W"
    assert report.forwards < 4000  # 6,000 elements would take ten times as many


def test_an_input_and_a_parameter_may_have_the_same_name() -> None:
    class Gain:
        def __init__(self, b: Any) -> None:
            self.b = b

        def forward(self, b: Any) -> Any:
            self.x = b
            return b * self.b

        def backward(self, dout: Any) -> Any:
            self.db = (dout * self.x).sum(axis=0)
            return dout * self.b

    report = tg.check_gradients(
        Gain(np.array([1.0, -2.0, 0.5])), np.arange(6.0).reshape(2, 3) - 2.3
    )
    assert report.verdict == "right", str(report)
    assert list(report.leaves) == ["b", "self.b"]
