"""Names of mistakes in gates, carries and norms, and in functions that take their weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tarograd as tg

RANDOM = np.random.default_rng(5)
START = RANDOM.bit_generator.state


@pytest.fixture(autouse=True)
def _the_same_numbers_whichever_tests_run() -> None:
    RANDOM.bit_generator.state = START


def normal(*shape: int) -> Any:
    return RANDOM.normal(size=shape)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


class Gru:
    """h' = (1 - z) h + z n, with the weights of z, r and n side by side."""

    def __init__(self, wrong: str = "") -> None:
        self.wrong, random = wrong, np.random.default_rng(0)
        self.W, self.U, self.b = (random.normal(size=s) for s in ((3, 6), (2, 6), 6))

    def forward(self, x: Any, h: Any) -> Any:
        z, r = (sigmoid((x @ self.W + h @ self.U + self.b)[:, p]) for p in (slice(2), slice(2, 4)))
        n = np.tanh(x @ self.W[:, 4:] + (r * h) @ self.U[:, 4:] + self.b[4:])
        self.saved = x, h, z, r, n
        return (1 - z) * h + z * n

    def backward(self, dout: Any) -> Any:
        x, h, z, r, n = self.saved
        dn = dout * z * (1 - n**2)
        back = dn @ self.U[:, 4:].T
        da = np.hstack([dout * (n - h) * z * (1 - z), back * h * r * (1 - r), dn])
        self.dW, self.db = x.T @ da, da.sum(axis=0)
        self.dU = h.T @ da
        self.dU[:, 4:] = (r * h).T @ dn
        gate = z if self.wrong == "z for 1 - z" else r if self.wrong == "r for 1 - z" else 1 - z
        dh = dout * gate + da[:, :4] @ self.U[:, :4].T
        return da @ self.W.T, dh + (back if self.wrong == "no r" else r * back)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("no r", "goes without the gate that is made with b at 2 to 3"),
        ("z for 1 - z", "gate and 1 - gate, made with b at 0 to 1, are exchanged"),
    ],
)
def test_a_gate_that_is_left_out_or_exchanged(wrong: str, words: str) -> None:
    inputs = normal(4, 3), normal(4, 2)
    assert tg.check_gradients(Gru(), *inputs).verdict == "right"
    cause = tg.check_gradients(Gru(wrong), *inputs).causes[0]
    assert (cause.name, cause.leaf) == ("wrong-tensor", "h")
    assert words in cause.why


def recurrent(x: Any, h0: Any, v: Any, u: Any) -> Any:
    h = [h0]
    for t in range(x.shape[1]):
        h.append(np.tanh(x[:, t] @ v + h[-1] @ u))
    return np.stack(h[1:], axis=1), (x, h, v, u)


def recurrent_backward(dout: Any, saved: Any, carry: float = 1, keep: bool = True) -> Any:
    x, h, v, u = saved
    dx, dv, du, dh = np.zeros_like(x), np.zeros_like(v), np.zeros_like(u), np.zeros_like(h[0])
    for t in reversed(range(x.shape[1])):
        dz = (dout[:, t] + carry * dh) * (1 - h[t + 1] ** 2)
        dx[:, t], dh = dz @ v.T, dz @ u.T
        dv = x[:, t].T @ dz + (dv if keep else 0)
        du += h[t].T @ dz
    return dx, dh, dv, du


@pytest.mark.parametrize(
    ("options", "name", "leaf"),
    [
        ({"carry": -1}, "sign", "x"),
        ({"carry": 0}, "missing-term", "x"),
        ({"keep": False}, "overwrites", "v"),
    ],
)
def test_a_function_that_takes_its_weights_as_arguments(
    options: dict[str, Any], name: str, leaf: str
) -> None:
    inputs = normal(2, 4, 3), normal(2, 5), normal(3, 5), normal(5, 5)
    assert tg.check_gradients((recurrent, recurrent_backward), *inputs).verdict == "right"

    def backward(dout: Any, saved: Any) -> Any:
        return recurrent_backward(dout, saved, **options)

    cause = tg.check_gradients((recurrent, backward), *inputs).causes[0]
    assert (cause.name, cause.leaf) == (name, leaf)


class Cosine:
    """The cosine of the angle between rows; `times` is the coefficient of the norm's part."""

    def __init__(self, times: float = 1, power: int = 2) -> None:
        self.times, self.power = times, power

    def forward(self, a: Any, b: Any) -> Any:
        self.a, self.b = a, b
        self.sizes = [np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b)]
        self.c = (a * b).sum(axis=1, keepdims=True) / (self.sizes[0] * self.sizes[1])
        return self.c[:, 0]

    def backward(self, dout: Any) -> Any:
        na, nb = self.sizes
        da = self.b / (na * nb) - self.times * self.c * self.a / na**self.power
        return dout[:, None] * da, dout[:, None] * (self.a / (na * nb) - self.c * self.b / nb**2)


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (Cosine(times=0), "missing-term"),
        (Cosine(times=-1), "sign"),
        (Cosine(power=1), "formula"),
    ],
)
def test_the_part_through_a_norm(layer: Cosine, name: str) -> None:
    inputs = normal(5, 3), normal(5, 3)
    assert tg.check_gradients(Cosine(), *inputs).verdict == "right"
    cause = tg.check_gradients(layer, *inputs).causes[0]
    assert (cause.name, cause.leaf) == (name, "a")
    assert "norm" in cause.why


@pytest.mark.parametrize(
    ("forward", "backward", "name"),
    [
        (
            lambda x: np.logaddexp.reduce(x, axis=1),
            lambda x, c: c[:, None] * np.exp(x - np.logaddexp.reduce(x.ravel())),
            "wrong-axis",
        ),
        (
            lambda x: np.sin(x) * np.arange(1, 6),
            lambda x, c: np.cos(x) * c,
            "wrong-tensor",
        ),
        (lambda x: np.maximum(x, 0), lambda x, c: (x > 0) * 1.0, "upstream-ignored"),
        (
            lambda x: np.maximum(x, 0.1 * x),
            lambda x, c: np.where(x > 0, c, 0.1),
            "upstream-ignored",
        ),
        (
            lambda x: (np.logaddexp.reduce(x, axis=1) - x @ [0.7, 0.1, 0.1, 0.05, 0.05]).sum(),
            lambda x, c: (
                c * (np.exp(x - np.logaddexp.reduce(x, axis=1, keepdims=True)) - np.eye(5)[0])
            ),
            "missing-term",
        ),
    ],
    ids=["other samples", "fixed array", "mask of floats", "one side", "linear term"],
)
def test_a_function_and_its_gradient(forward: Any, backward: Any, name: str) -> None:
    causes = tg.check_gradients(forward, normal(4, 5), grad=backward).causes
    assert [c.name for c in causes] == [name]


class Shifted:
    """gamma (x - mean) / deviation, with the deviation left out of dgamma."""

    def __init__(self) -> None:
        self.gamma = normal(3)

    def forward(self, x: Any) -> Any:
        self.off, self.size = x - x.mean(axis=0), x.std(axis=0)
        return self.gamma * self.off / self.size

    def backward(self, dout: Any) -> Any:
        self.dgamma = (dout * self.off).sum(axis=0)
        z = self.off / self.size
        g = dout * self.gamma
        return (g - g.mean(axis=0) - z * (g * z).mean(axis=0)) / self.size


def test_another_array_beside_a_weight_in_which_forward_is_linear() -> None:
    cause = tg.check_gradients(Shifted(), normal(6, 3)).causes[0]
    assert (cause.name, cause.leaf) == ("wrong-tensor", "gamma")


def test_a_forward_that_remembers_is_told_of() -> None:
    class Once:
        mask: Any = None

        def forward(self, x: Any) -> Any:
            self.mask = x > 0 if self.mask is None else self.mask
            return x * self.mask

        def backward(self, dout: Any) -> Any:
            return dout * self.mask

    report = tg.check_gradients(Once(), normal(4, 3))
    assert any("other outputs after one with other inputs" in note for note in report.notes)
