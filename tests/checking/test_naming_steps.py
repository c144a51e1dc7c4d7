"""Names of mistakes in cells, and in passes that go through steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tarograd as tg


class Recurrent:
    """h = tanh(x @ Wx + h @ Wh + b) step by step, as in the second book."""

    def __init__(self, wrong: str = "") -> None:
        random = np.random.default_rng(0)
        self.wrong = wrong
        self.Wx, self.Wh = random.normal(size=(2, 4)), random.normal(size=(4, 4)) / 2
        self.b = random.normal(size=4) / 3

    def forward(self, x: Any) -> Any:
        self.x, self.h = x, [np.zeros((len(x), 4))]
        for t in range(x.shape[1]):
            self.h.append(np.tanh(x[:, t] @ self.Wx + self.h[-1] @ self.Wh + self.b))
        return np.stack(self.h[1:], axis=1)

    def backward(self, dout: Any) -> Any:
        dx, dh = np.zeros_like(self.x), np.zeros_like(dout[:, 0])
        self.dWx, self.dWh, self.db = (np.zeros_like(p) for p in (self.Wx, self.Wh, self.b))
        for t in reversed(range(self.x.shape[1])):
            dz = dout[:, t] + dh
            if self.wrong != "no derivative":
                dz = dz * (1 - self.h[t + 1] ** 2)
            self.db = dz.sum(axis=0) + (0 if self.wrong == "overwritten" else self.db)
            self.dWx += self.x[:, t].T @ dz
            self.dWh += self.h[t + (self.wrong == "next state")].T @ dz
            dx[:, t], dh = dz @ self.Wx.T, dz @ self.Wh.T
        return dx


@pytest.mark.parametrize(
    ("wrong", "name", "words"),
    [
        ("overwritten", "overwrites", "of the steps of x only the share of index 0 is there"),
        ("no derivative", "formula", "the derivative at what b is used in is wrong"),
    ],
)
def test_a_mistake_in_a_pass_through_steps(wrong: str, name: str, words: str) -> None:
    x = np.random.default_rng(1).normal(size=(3, 3, 2))
    assert tg.check_gradients(Recurrent(), x).verdict == "right"
    cause = tg.check_gradients(Recurrent(wrong), x).causes[0]
    assert (cause.name, cause.leaf) == (name, "b")
    assert words in cause.why


def test_one_step_tells_nothing_of_a_weight_between_steps() -> None:
    x = np.random.default_rng(1).normal(size=(3, 3, 2))
    causes = tg.check_gradients(Recurrent("next state"), x).causes
    assert [c.leaf for c in causes] == ["Wh"]
    assert causes[0].name != "extra-term"


class Cell:
    """One step of an LSTM without a hidden state: gates from x, the cell from c."""

    def __init__(self, wrong: bool = False) -> None:
        random = np.random.default_rng(0)
        self.wrong, self.W, self.b = wrong, random.normal(size=(2, 9)), random.normal(size=9)

    def forward(self, x: Any, c: Any) -> Any:
        z = x @ self.W + self.b
        i, f, o = np.split(1 / (1 + np.exp(-z)), 3, axis=1)
        self.saved = x, c, i, f, o, np.tanh(f * c + i)
        return o * self.saved[-1]

    def backward(self, dout: Any) -> Any:
        x, c, i, f, o, y = self.saved
        dc = dout * o * (1 if self.wrong else 1 - y * y)
        gates = [dc * i * (1 - i), dc * c * f * (1 - f), dout * y * o * (1 - o)]
        dz = np.concatenate(gates, axis=1)
        self.dW, self.db = x.T @ dz, dz.sum(axis=0)
        return dz @ self.W.T, dc * f


def test_a_derivative_that_is_missing_on_the_way_to_some_gates() -> None:
    x, c = (np.random.default_rng(1).normal(size=s) for s in ((3, 2), (3, 3)))
    assert tg.check_gradients(Cell(), x, c).verdict == "right"
    causes = tg.check_gradients(Cell(wrong=True), x, c).causes
    named = {cause.leaf: (cause.name, cause.why) for cause in causes}
    why = "the factor with which each output passes its gradient on is wrong"
    assert named["b"] == ("formula", why)
