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
    ("wrong", "name", "leaf", "words"),
    [
        ("overwritten", "overwrites", "b", "of the steps of x only the share of index 0 is there"),
        ("no derivative", "formula", "x", "the formula of the derivative is wrong"),
    ],
)
def test_a_mistake_in_a_pass_through_steps(wrong: str, name: str, leaf: str, words: str) -> None:
    x = np.random.default_rng(1).normal(size=(3, 3, 2))
    assert tg.check_gradients(Recurrent(), x).verdict == "right"
    cause = tg.check_gradients(Recurrent(wrong), x).causes[0]
    assert (cause.name, cause.leaf) == (name, leaf)
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
    assert (causes[0].name, causes[0].leaf) == ("formula", "c")


class Lstm:
    """An LSTM over steps; its backward forgets what comes back from the next step in h or in c."""

    def __init__(self, wrong: str = "") -> None:
        random = np.random.default_rng(1)
        self.wrong, self.b = wrong, random.normal(size=12) / 3
        self.W, self.U = random.normal(size=(2, 12)), random.normal(size=(3, 12)) / 2

    def forward(self, x: Any) -> Any:
        self.x, self.saved, out = x, [], []
        h = c = np.zeros((len(x), 3))
        for t in range(x.shape[1]):
            z = x[:, t] @ self.W + h @ self.U + self.b
            i, f, o = np.split(1 / (1 + np.exp(-z[:, :9])), 3, axis=1)
            g = np.tanh(z[:, 9:])
            self.saved.append((h, c, i, f, o, g))
            c = f * c + i * g
            h = o * np.tanh(c)
            out.append(h)
        return np.stack(out, axis=1)

    def backward(self, dout: Any) -> Any:
        dx, dh, dc = np.zeros_like(self.x), np.zeros_like(dout[:, 0]), np.zeros_like(dout[:, 0])
        self.dW, self.dU, self.db = (np.zeros_like(p) for p in (self.W, self.U, self.b))
        for t in reversed(range(self.x.shape[1])):
            h, c, i, f, o, g = self.saved[t]
            y = np.tanh(f * c + i * g)
            dh = dout[:, t] + (0 if self.wrong == "dh" else dh)
            dc = dh * o * (1 - y * y) + (0 if self.wrong == "dc" else dc)
            gates = dc * g * i * (1 - i), dc * c * f * (1 - f), dh * y * o * (1 - o)
            dz = np.concatenate([*gates, dc * i * (1 - g * g)], axis=1)
            self.dW, self.dU = self.dW + self.x[:, t].T @ dz, self.dU + h.T @ dz
            self.db = self.db + dz.sum(axis=0)
            dx[:, t], dh, dc = dz @ self.W.T, dz @ self.U.T, dc * f
        return dx


@pytest.mark.parametrize("wrong", ["dh", "dc"])
def test_one_of_two_carries_that_is_forgotten(wrong: str) -> None:
    x = np.random.default_rng(2).normal(size=(2, 3, 2))
    assert tg.check_gradients(Lstm(), x).verdict == "right"
    cause = tg.check_gradients(Lstm(wrong), x).causes[0]
    assert (cause.name, cause.leaf) == ("missing-term", "x")
    assert "with inputs of two steps" in cause.evidence


class Gru:
    """A GRU without reset, h = (1 - z) h + z n, over steps."""

    def __init__(self, factor: Any = lambda z: 1 - z) -> None:
        random = np.random.default_rng(4)
        self.factor = factor
        self.W, self.U, self.b = (random.normal(size=s) for s in ((2, 6), (3, 6), 6))

    def forward(self, x: Any) -> Any:
        self.x, self.saved, h, out = x, [], np.zeros((len(x), 3)), []
        for t in range(x.shape[1]):
            a = x[:, t] @ self.W + h @ self.U + self.b
            z, n = 1 / (1 + np.exp(-a[:, :3])), np.tanh(a[:, 3:])
            self.saved.append((h, z, n))
            h = (1 - z) * h + z * n
            out.append(h)
        return np.stack(out, axis=1)

    def backward(self, dout: Any) -> Any:
        dx, dh = np.zeros_like(self.x), np.zeros_like(dout[:, 0])
        self.dW, self.dU, self.db = (np.zeros_like(p) for p in (self.W, self.U, self.b))
        for t in reversed(range(self.x.shape[1])):
            h, z, n = self.saved[t]
            dh = dout[:, t] + dh
            da = np.hstack([dh * (n - h) * z * (1 - z), dh * z * (1 - n * n)])
            self.dW, self.dU = self.dW + self.x[:, t].T @ da, self.dU + h.T @ da
            self.db = self.db + da.sum(axis=0)
            dx[:, t], dh = da @ self.W.T, dh * self.factor(z) + da @ self.U.T
        return dx


@pytest.mark.parametrize(
    ("factor", "name", "words"),
    [
        (lambda z: 1, "wrong-tensor", "a gate is left out"),
        (lambda z: z, "wrong-tensor", "gate and 1 - gate are exchanged"),
        (lambda z: 0, "missing-term", "the direct path is missing"),
        (lambda z: z - 1, "sign", "the direct path has the wrong sign"),
    ],
)
def test_what_a_unit_hands_on_to_itself(factor: Any, name: str, words: str) -> None:
    x = np.random.default_rng(2).normal(size=(2, 3, 2))
    assert tg.check_gradients(Gru(), x).verdict == "right"
    cause = tg.check_gradients(Gru(factor), x).causes[0]
    assert (cause.name, cause.leaf) == (name, "x")
    assert words in cause.why
