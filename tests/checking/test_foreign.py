"""Backward passes as other people write them, and mistakes that once were missed or misnamed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tarograd as tg

RANDOM = np.random.default_rng(7)


class Affine:
    def __init__(self) -> None:
        self.W, self.b = RANDOM.normal(size=(4, 3)), RANDOM.normal(size=3)

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW, self.db = self.x.T @ dout, dout.sum(axis=0)
        return dout @ self.W.T


class Updating(Affine):
    """Gradient descent within backward, with arrays that take the place of the old ones."""

    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.W = self.W - 0.1 * self.dW
        return dx


class UpdatingFirst(Affine):
    """What is passed back is computed with the updated weights."""

    def backward(self, dout: Any) -> Any:
        super().backward(dout)
        self.W = self.W - 0.1 * self.dW
        return dout @ self.W.T


class UpdatingAndReturning(Affine):
    def backward(self, dout: Any) -> Any:
        dx, dw, db = dout @ self.W.T, self.x.T @ dout, dout.sum(axis=0)
        self.W, self.b = self.W - 0.1 * dw, self.b - 0.1 * db
        return dx, dw, db


@pytest.mark.parametrize("layer", [Updating, UpdatingFirst, UpdatingAndReturning])
def test_a_parameter_that_backward_replaces_is_still_a_parameter(layer: type) -> None:
    report = tg.check_gradients(layer(), RANDOM.normal(size=(5, 4)))
    assert report.verdict == "wrong"
    assert ("mutates-parameter", "W") in {(c.name, c.leaf) for c in report.causes}
    assert set(report.leaves) == {"x", "W", "b"}


def test_a_gradient_that_is_returned_by_name_is_explained_once() -> None:
    class Network:
        def __init__(self) -> None:
            self.params = {"W": RANDOM.normal(size=(4, 3))}

        def loss(self, x: Any) -> Any:
            y = np.tanh(x @ self.params["W"])
            return (y * y).sum(), {"W": x.T @ (y * (1 - y * y)) / 3}

    report = tg.check_gradients(Network(), RANDOM.normal(size=(5, 4)))
    assert [c.leaf for c in report.causes] == ["W"]


def test_torch_refuses_a_shape_and_the_cause_is_named_all_the_same() -> None:
    torch: Any = pytest.importorskip("torch")

    class Linear(torch.autograd.Function):  # type: ignore[misc]  # a base of type Any
        @staticmethod
        def forward(ctx: Any, x: Any, w: Any) -> Any:
            ctx.save_for_backward(x, w)
            return x @ w.t()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x, w = ctx.saved_tensors
            return g @ w, x.t() @ g

    x, w = torch.randn(5, 4), torch.randn(3, 4)
    report = tg.check_gradients(Linear.apply, x, w)
    assert report.verdict == "wrong"
    assert (report.causes[0].name, report.causes[0].leaf) == ("transposed", "w")
    assert "invalid gradient" in report.causes[0].why


def test_a_part_of_the_outputs_that_is_left_out_is_no_mask() -> None:
    """A gate that is nearly shut at one point and open at another is not a choice."""

    class Cell:
        def __init__(self) -> None:
            self.b = 3 * RANDOM.normal(size=8)

        def forward(self, c: Any) -> Any:
            self.c, (f, o) = c, np.split(1 / (1 + np.exp(-self.b)), 2)
            self.f, self.o, t = f, o, np.tanh(f * c)
            self.t = t
            return o * t, f * c

        def backward(self, dh: Any, dc: Any) -> Any:
            do = dh * self.t * self.o * (1 - self.o)
            df = dc * self.c * self.f * (1 - self.f)  # and what comes through h
            self.db = np.concatenate([df.sum(axis=0), do.sum(axis=0)])
            return (dc + dh * self.o * (1 - self.t**2)) * self.f

    report = tg.check_gradients(Cell(), RANDOM.normal(size=(2, 4)))
    assert [(c.name, c.leaf) for c in report.causes] == [("missing-term", "b")]


class Silent(Affine):
    def forward(self, x: Any) -> Any:
        self.x = x


def test_a_forward_without_a_return_is_told() -> None:
    with pytest.raises(TypeError, match="forward returns None: return what it computes"):
        tg.check_gradients(Silent(), RANDOM.normal(size=(5, 4)))


def test_a_gradient_that_is_not_where_it_was_said_to_be() -> None:
    with pytest.raises(ValueError, match="params: Affine has no 'delta' after backward"):
        tg.check_gradients(Affine(), RANDOM.normal(size=(5, 4)), params={"W": "delta"})


def test_a_gradient_may_be_a_list_of_numbers() -> None:
    x = np.array([1.0, -2.0])
    report = tg.check_gradients(lambda x: (x**2).sum(), x, grad=lambda x: [2 * x[0], 2 * x[1]])
    assert report.verdict == "right", str(report)


def test_an_input_without_rows_is_no_error() -> None:
    assert tg.check_gradients(Affine(), np.zeros((0, 4))).verdict == "cannot tell"
