"""The gradient's own gradient, and how many digits float32 keeps, against closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tarograd as tg
from tarograd.checking import check_gradients

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(5, 4))


def once(slope: Any) -> tg.Primitive:
    """x³ with a rule that is right for numbers, and for Tensors what `slope` makes of it."""
    return tg.Primitive("cube", "x³", lambda x: x**3, vjp=(slope,))


def test_rules_that_hold_twice_are_right() -> None:
    right = once(lambda g, y, x: 3 * g * x * x)
    for subject in (np.tanh, tg.softmax, tg.nn.Affine(4, 3), lambda x: right(x)):
        report = check_gradients(subject, X, order=2)
        assert report.verdict == "right", str(report)
        assert "upstream" in report.leaves
        assert report.subject.startswith("the gradient of ")


def test_a_deep_relu_network_is_right_twice() -> None:
    net = tg.nn.TwoLayerNet(4, 6, 3)
    report = check_gradients(net, X, np.arange(5) % 3, order=2)
    assert report.verdict == "right", str(report)


def test_a_rule_that_leaves_the_graph_is_right_once_and_wrong_twice() -> None:
    baked = once(lambda g, y, x: 3 * g * np.square(np.asarray(getattr(x, "value", x))))
    assert check_gradients(lambda x: baked(x), X)
    report = check_gradients(lambda x: baked(x), X, order=2)
    assert report.verdict == "wrong"
    assert report.causes[0].name == "zero"  # the second derivative by x is gone
    leaf = report.leaves["x"]
    assert leaf.verdict == "wrong"
    assert report.leaves["upstream"].verdict == "right"


def test_a_value_that_was_computed_past_the_graph_is_seen() -> None:
    def baked(x: Any) -> Any:
        return x * float(np.sum(x.value))

    report = check_gradients(baked, X)
    assert report.verdict == "wrong"
    assert check_gradients(lambda x: x * tg.stop_gradient(x), X).verdict == "right"


def test_torch_and_jax_twice() -> None:
    torch = pytest.importorskip("torch")
    assert check_gradients(torch.tanh, torch.tensor(X), order=2)
    layer = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Sigmoid())
    report = check_gradients(layer, torch.tensor(X), order=2)
    assert set(report.leaves) == {"input", "0.weight", "0.bias", "upstream"}
    assert report

    class Cube(torch.autograd.Function):  # type: ignore[misc, name-defined]  # imported here
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return 3 * ctx.saved_tensors[0].detach() ** 2 * g

    assert check_gradients(Cube.apply, torch.tensor(X))
    assert check_gradients(Cube.apply, torch.tensor(X), order=2).causes[0].name == "zero"
    cut = staticmethod(torch.autograd.function.once_differentiable(Cube.backward))
    setattr(Cube, "backward", cut)  # noqa: B010  # an assignment would be another type
    with pytest.raises(TypeError, match="Cube cannot be differentiated again: its backw"):
        check_gradients(Cube.apply, torch.tensor(X), order=2)


def test_jax_twice() -> None:
    jax = pytest.importorskip("jax")
    assert check_gradients(jax.numpy.tanh, jax.numpy.asarray(X), order=2)

    @jax.custom_vjp  # type: ignore[untyped-decorator]  # jax is not typed here
    def cube(x: Any) -> Any:
        return x**3

    stop = jax.lax.stop_gradient
    cube.defvjp(lambda x: (x**3, x), lambda x, g: (3 * stop(x) ** 2 * g,))
    assert check_gradients(cube, X)
    assert check_gradients(cube, X, order=2).causes[0].name == "zero"


class Variance:
    """Of each column; either of deviations, or as mean of squares less square of mean."""

    def __init__(self, naive: bool) -> None:
        self.naive = naive

    def forward(self, x: Any) -> Any:
        self.x = x
        return x.var(axis=0)

    def backward(self, dout: Any) -> Any:
        n, x = len(self.x), self.x
        if self.naive:  # 2 (x - mean) / n, where mean and x are multiplied out first
            far = np.ones_like(x) * x.dtype.type(4096)
            return dout * 2 / n * ((x + far) - (x.mean(axis=0) + far))
        return dout * 2 / n * (x - x.mean(axis=0))


def test_the_digits_of_float32_are_those_of_its_own_arithmetic() -> None:
    report = check_gradients(Variance(False), X, dtype="both")
    assert report
    assert report.float32 is not None
    assert 6 <= report.float32 <= 7.3
    assert str(report).startswith("RIGHT: the gradients of Variance, to ")
    assert f"digits (float64); float32 keeps {report.float32:.0f}\n" in str(report)
    assert check_gradients(Variance(False), X).float32 is None


def test_a_cancellation_in_float32_costs_the_digits_that_it_must() -> None:
    report = check_gradients(Variance(True), X, dtype="both")
    assert report.verdict == "right"  # the formula is; float64 has digits enough
    kept = report.leaves["x"].float32
    expected = report.leaves["x"].float32_expected
    assert kept is not None
    assert expected is not None
    # Numbers near 4096 are rounded to 2⁻¹², by ±2⁻¹³ / √3 on average, twice.
    typical = -np.log10(2 ** (-13 + 0.5) / 3**0.5 / X.std())
    assert kept == pytest.approx(typical, abs=0.5)
    assert expected > kept + 2
    assert "something on the way cancels" in " ".join(report.notes)


def test_where_the_inputs_allow_no_more_digits_none_are_missed() -> None:
    far = X + 1000.0  # the deviations of numbers near 1000 have lost 3 digits already
    leaf = check_gradients(Variance(False), far, dtype="both").leaves["x"]
    assert leaf.float32 is not None
    assert leaf.float32_expected is not None
    assert leaf.float32_expected < 5.5
    assert leaf.float32 > leaf.float32_expected - 1.5


@pytest.mark.parametrize("subject", [tg.nn.Affine(4, 3), lambda x: np.tanh(x)])
def test_the_digits_of_our_own_layers(subject: Any) -> None:
    report = check_gradients(subject, X, dtype="both")
    assert report.float32 is not None
    assert report.float32 > 5.5


def test_the_digits_of_torch_and_of_float32_within() -> None:
    torch = pytest.importorskip("torch")
    report = check_gradients(torch.nn.Linear(4, 3), torch.tensor(X), dtype="both")
    assert report.float32 is not None
    assert report.float32 > 5.5


def test_a_forward_that_forces_float32_is_judged_by_its_own_precision() -> None:
    class Short:
        def __init__(self) -> None:
            self.out = np.zeros((5, 4), np.float32)

        def forward(self, x: Any) -> Any:
            self.x = x
            return np.square(x.astype(np.float32))

        def backward(self, dout: Any) -> Any:
            return (2 * self.x * dout).astype(np.float32)

    class InPlace(Short):
        def forward(self, x: Any) -> Any:
            self.x = x
            self.out[...] = np.square(x)
            return self.out

        def backward(self, dout: Any) -> Any:
            return 2 * self.x * dout

    forced = check_gradients(Short(), X)
    assert (forced.verdict, forced.precision) == ("right", "float32")
    layer = InPlace()
    in_place = check_gradients(layer, X.astype(np.float32), dtype="both")
    assert (in_place.verdict, in_place.precision) == ("right", "float64")
    assert in_place.float32 is not None
    assert in_place.float32 > 6.5
    assert not layer.out.any()
