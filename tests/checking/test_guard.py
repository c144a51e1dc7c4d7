"""A guard in a logarithm, such as the textbook's log(y + 1e-7), which backward leaves out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tarograd as tg

SCORES = np.random.default_rng(3).normal(size=(6, 10))
LABELS = np.array([0, 3, 9, 3, 5, 1])


class SoftmaxWithLoss:
    """The textbook's layer, with a slip of `slip` in what is subtracted for the labels."""

    def __init__(self, slip: float = 0.0) -> None:
        self.slip = slip

    def forward(self, x: Any, t: Any) -> Any:
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.y, self.t = e / e.sum(axis=1, keepdims=True), t
        return -np.mean(np.log(self.y[np.arange(len(t)), t] + 1e-7))

    def backward(self, dout: Any = 1) -> Any:
        dx = self.y.copy()
        dx[np.arange(len(self.t)), self.t] -= 1 + self.slip
        return dout * dx / len(self.t)


@pytest.mark.parametrize("size", [0.01, 1.0, 4.0])
def test_the_guard_of_a_logarithm_is_meant(size: float) -> None:
    report = tg.check_gradients(SoftmaxWithLoss(), size * SCORES, LABELS)
    assert report.verdict == "right", str(report)
    assert any("1e-07 in log(y + 1e-07)" in note for note in report.notes)
    report = tg.check_gradients(SoftmaxWithLoss(), size * SCORES, LABELS, strict=True)
    assert report.verdict == "wrong"


@pytest.mark.parametrize("slip", [1e-5, 1e-3, -1e-5])
def test_a_guard_excuses_nothing_else(slip: float) -> None:
    report = tg.check_gradients(SoftmaxWithLoss(slip), SCORES, LABELS)
    assert report.verdict == "wrong"
