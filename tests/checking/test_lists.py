"""Layers that keep or return lists and numbers of Python, and what cannot be an array."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tarograd as tg

RANDOM = np.random.default_rng(8)
W, X = RANDOM.normal(size=(3, 2)), RANDOM.normal(size=(4, 3))


class Affine:
    def __init__(self, w: Any, b: Any, factor: float = 1.0) -> None:
        self.W, self.b, self.factor = w, b, factor

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ np.asarray(self.W, float) + np.asarray(self.b, float)

    def backward(self, dout: Any) -> Any:
        self.dW, self.db = self.factor * self.x.T @ dout, dout.sum(axis=0)
        return dout @ np.asarray(self.W, float).T


class Neuron:
    """Lists only, as in a first exercise without NumPy."""

    def __init__(self, factor: float = 1.0) -> None:
        self.w, self.b, self.factor = [0.5, -1.2, 0.3], 0.1, factor

    def forward(self, x: Any) -> Any:
        self.x = x
        return sum(a * b for a, b in zip(self.w, x, strict=True)) + self.b

    def backward(self, dout: Any) -> Any:
        self.dw, self.db = [self.factor * dout * a for a in self.x], dout
        return [dout * w for w in self.w]


class Returning(Affine):
    """Its gradients are returned, those of the weights in a dict."""

    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        grads = {"W": self.dW, "b": self.db}
        del self.dW, self.db
        return dx, grads


KINDS: dict[str, Any] = {
    "lists": lambda a: a.tolist(),
    "tuples": lambda a: tuple(map(tuple, a.tolist())) if a.ndim > 1 else tuple(a.tolist()),
    "objects": lambda a: a.astype(object),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("style", [Affine, Returning])
def test_weights_need_not_be_float_arrays(kind: str, style: Any) -> None:
    w, b = KINDS[kind](W), KINDS[kind](W[0])
    if style is Returning and kind == "tuples":
        pytest.skip("a tuple of numbers that stands beside no gradient is a setting")
    report = tg.check_gradients(style(w, b), X)
    assert report.verdict == "right", str(report)
    assert set(report.leaves) == {"x", "W", "b"}
    wrong = tg.check_gradients(style(w, b, 2.0), X)
    assert [(c.name, c.leaf) for c in wrong.causes] == [("scale", "W")]


def test_lists_and_numbers_of_python_are_parameters_and_gradients() -> None:
    for x in ([1.0, 2.0, 3.0], X[0]):
        report = tg.check_gradients(Neuron(), x)
        assert report.verdict == "right", str(report)
        assert set(report.leaves) == {"x", "w", "b"}
    wrong = tg.check_gradients(Neuron(2.0), [1.0, 2.0, 3.0])
    assert [(c.name, c.leaf) for c in wrong.causes] == [("scale", "w")]


def test_a_number_beside_something_that_backward_does_not_write_is_a_setting() -> None:
    class Step(Neuron):
        def __init__(self) -> None:
            super().__init__()
            self.t, self.dt = 0.5, 0.01

        def forward(self, x: Any) -> Any:
            return super().forward(x) * self.t

        def backward(self, dout: Any) -> Any:
            return super().backward(dout * self.t)

    report = tg.check_gradients(Step(), X[0])
    assert report.verdict == "right", str(report)
    assert set(report.leaves) == {"x", "w", "b"}


def test_a_list_that_backward_uses_as_an_array_is_told_with_what_to_do() -> None:
    class Transposing(Affine):
        def backward(self, dout: Any) -> Any:
            return dout @ self.W.T

    report = tg.check_gradients(Transposing(W.tolist(), W[0]), X)
    assert "'list' object has no attribute 'T'" in report.causes[0].why
    assert report.causes[0].fix == "make an array of the list: self.W = np.array(W)"


def test_an_input_may_be_a_list_of_arrays_and_so_may_its_gradient() -> None:
    class Product:
        def forward(self, xs: Any) -> Any:
            self.xs = xs
            return xs[0] * xs[1]

        def backward(self, dout: Any) -> Any:
            return [dout * self.xs[1], dout * self.xs[0]]

    assert tg.check_gradients(Product(), [X, X + 1]).verdict == "right"


def test_inputs_and_gradients_of_dtype_object_are_numbers() -> None:
    report = tg.check_gradients(Affine(W, W[0]), X.astype(object))
    assert report.verdict == "right", str(report)
    assert set(report.leaves) == {"x", "W", "b"}
    report = tg.check_gradients(
        lambda x: np.sum(x * x), X[0], grad=lambda x: (2 * x).astype(object)
    )
    assert report.verdict == "right", str(report)


def test_a_complex_gradient_is_not_said_to_be_cut_to_whole_numbers() -> None:
    report = tg.check_gradients(lambda x: np.sum(x * x), X[0], grad=lambda x: 2 * x + 0j)
    said = "the gradient has the dtype complex128: its imaginary part is lost"
    assert report.causes[0].why == said


class Named:
    def forward(self, *, x: Any) -> Any:
        return x

    def backward(self, dout: Any) -> Any:
        return dout


class Growing:
    def forward(self, x: Any) -> Any:
        x.append(1.0)
        return sum(x)

    def backward(self, dout: Any) -> Any:
        return dout


class Shown:
    def __init__(self, form: Any) -> None:
        self.form = form

    def forward(self, x: Any) -> Any:
        return self.form(x)

    def backward(self, dout: Any) -> Any:
        return dout


@pytest.mark.parametrize(
    ("layer", "x", "said"),
    [
        (Named(), X, "takes x by name only"),
        (Growing(), [1.0, 2.0], "takes x as a list, and is checked with an array in its place"),
        (Shown(lambda x: {"y": x}), X, "forward returns dict: return an array of real numbers"),
        (Shown(lambda x: x + 1j), X, "forward returns complex128: return an array of real"),
        (Shown(lambda x: x), [X, X[0]], "x is a list of different shapes, which is no array"),
    ],
)
def test_what_cannot_be_an_array_is_said_in_a_sentence(layer: Any, x: Any, said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        tg.check_gradients(layer, x)
