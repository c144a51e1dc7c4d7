"""Names of mistakes that lie inside: in a matrix that forward makes, in a slow loop."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

import tarograd as tg
import tarograd.checking.case as laid_open
from tarograd.checking.api import adapt
from tarograd.checking.bench import Bench
from tarograd.checking.causes import name_cause

RANDOM = np.random.default_rng(3)


class Attention:
    def __init__(self, wrong: str = "") -> None:
        self.wrong = wrong

    def forward(self, q: Any, k: Any, v: Any) -> Any:
        z = q @ np.swapaxes(k, -1, -2)
        e = np.exp(z - z.max(axis=-1, keepdims=True))
        self.saved = q, k, v, e / e.sum(axis=-1, keepdims=True)
        return self.saved[3] @ v

    def backward(self, dout: Any) -> Any:
        q, k, v, p = self.saved
        dp = dout @ np.swapaxes(v, -1, -2)
        ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True))
        turned = np.swapaxes(ds, -1, -2)
        dq = (turned if self.wrong == "q" else ds) @ (q if self.wrong == "q for k" else k)
        dk = (ds if self.wrong == "k" else turned) @ q
        return dq, dk, np.swapaxes(p, -1, -2) @ dout


@pytest.mark.parametrize("shape", [(4, 3), (2, 4, 3)])
def test_a_matrix_made_in_forward_that_is_not_transposed(shape: tuple[int, ...]) -> None:
    inputs = [RANDOM.normal(size=shape) for _ in range(3)]
    assert tg.check_gradients(Attention(), *inputs).verdict == "right"
    for leaf in ("q", "k"):
        causes = tg.check_gradients(Attention(leaf), *inputs).causes
        assert [(c.name, c.leaf) for c in causes] == [("transposed", leaf)]


def test_an_array_in_place_of_another_is_no_sum_over_other_rows() -> None:
    inputs = [np.random.default_rng(i).normal(size=(2, 4, 3)) for i in range(3)]
    cause = tg.check_gradients(Attention("q for k"), *inputs).causes[0]
    assert (cause.name, cause.leaf) == ("wrong-tensor", "q")
    assert "q and k" in cause.why


@pytest.mark.parametrize(
    ("forward", "grad", "inputs", "name", "words"),
    [
        (lambda x: x @ x.T, lambda x, c: c @ x, [(3, 5)], "missing-term", "second use"),
        (
            lambda x, y: x @ y.T,
            lambda x, y, c: (c @ y, c @ x),
            [(4, 3), (4, 3)],
            "transposed",
            "axes 0 and 1",
        ),
        (
            lambda y, t: np.mean((y - t) ** 2),
            lambda y, t: (2 * (y + t) / y.size, 2 * (t - y) / y.size),
            [(4, 3), (4, 3)],
            "sign",
            "linear term",
        ),
        (
            lambda x: np.where(x > 0, x, np.exp(x) - 1),
            lambda x, c: c * np.where(x > 0, 1, np.exp(x) - 1),
            [(4, 5)],
            "formula",
            "on one side of a threshold",
        ),
    ],
    ids=["second use", "upstream transposed", "sign of a target", "one side"],
)
def test_a_function_and_its_gradient(
    forward: Any, grad: Any, inputs: list[tuple[int, ...]], name: str, words: str
) -> None:
    arrays = [np.random.default_rng(k).normal(size=s) for k, s in enumerate(inputs)]
    cause = tg.check_gradients(forward, *arrays, grad=grad).causes[0]
    assert cause.name == name
    assert words in cause.why


class LoopedConvolution:
    """One channel; backward overwrites where windows overlap."""

    def __init__(self) -> None:
        self.W = RANDOM.normal(size=(3, 3))

    def forward(self, x: Any) -> Any:
        self.x = x
        rows, columns = x.shape[1] - 2, x.shape[2] - 2
        windows = [x[:, i : i + 3, j : j + 3] for i in range(rows) for j in range(columns)]
        y = np.array([(w * self.W).sum(axis=(1, 2)) for w in windows])
        return y.T.reshape(-1, rows, columns)

    def backward(self, dout: Any) -> Any:
        dx = np.zeros_like(self.x)
        for i, j in np.ndindex(*dout.shape[1:]):
            dx[:, i : i + 3, j : j + 3] = dout[:, i, j, None, None] * self.W
        return dx


def test_a_slow_pass_is_looked_into_at_a_smaller_point(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = LoopedConvolution(), RANDOM.normal(size=(3, 6, 7))
    usual = tg.check_gradients(layer, x)
    monkeypatch.setattr(laid_open, "SLOW", 0.0)
    quick = tg.check_gradients(layer, x)
    for report in (usual, quick):
        assert (report.causes[0].name, report.causes[0].leaf) == ("overwrites", "x")
    case = laid_open.Case(Bench(adapt(layer, (x,))), "x")
    small = laid_open.quicker(case)
    assert small.x.size < 0.3 * x.size
    assert min(small.bench.outputs[0].shape) > 1


def test_a_search_for_the_cause_ends_with_its_passes() -> None:
    case = laid_open.Case(Bench(adapt(LoopedConvolution(), (RANDOM.normal(size=(3, 6, 7)),))), "x")
    patience = case.bench.patience
    spent, patience.left = patience.spent, 0.01
    with patience.share(0.5):
        cause = name_cause(case)
    assert cause.name == "unclassified"
    assert "as many passes as a search may make" in cause.why
    assert 0.005 < patience.spent - spent < 0.1
    assert patience.most == float("inf")


class Held(LoopedConvolution):
    """Each forward waits, as on a machine that does something else."""

    def __init__(self, seconds: float) -> None:
        self.W, self.seconds = np.arange(9.0).reshape(3, 3), seconds

    def forward(self, x: Any) -> Any:
        time.sleep(self.seconds)
        return super().forward(x)


def test_a_busy_machine_does_not_shorten_a_search() -> None:
    def search(seconds: float) -> tuple[str, float]:
        x = np.random.default_rng(2).normal(size=(2, 4, 4))
        case = laid_open.Case(Bench(adapt(Held(seconds), (x,))), "x")
        patience, spent = case.bench.patience, case.bench.patience.spent
        patience.left = 0.1
        with patience.share(1.0):
            cause = name_cause(case)
        return cause.why, patience.spent - spent

    alone, busy = search(0.0), search(0.001)
    assert alone == busy
    assert alone[1] > 0.01


class Strided:
    """A convolution along one axis, of stride 2 with a padding of 1; backward goes by `stride`."""

    def __init__(self, stride: int) -> None:
        self.stride, self.W = stride, np.random.default_rng(1).normal(size=(2, 3))

    def forward(self, x: Any) -> Any:
        self.x = np.pad(x, ((0, 0), (0, 0), (1, 1)))
        return np.stack([(self.x[:, :, i : i + 3] * self.W).sum(axis=(1, 2)) for i in (0, 2, 4, 6)])

    def backward(self, dout: Any) -> Any:
        dx = np.zeros_like(self.x)
        for k, d in enumerate(dout):
            i = k * self.stride
            dx[:, :, i : i + 3] += d[:, None, None] * self.W
        return dx[:, :, 1:-1]


def test_a_stride_that_is_ignored_beside_a_padding() -> None:
    x = np.random.default_rng(2).normal(size=(2, 2, 7))
    assert tg.check_gradients(Strided(2), x).leaves["x"].verdict == "right"
    cause = tg.check_gradients(Strided(1), x).causes[0]
    assert (cause.name, cause.leaf) == ("shifted", "x")
    assert "stride" in cause.why
