"""Names of mistakes that lie inside: in a matrix that forward makes, in a slow loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tarograd as tg

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
        dq = (turned if self.wrong == "q" else ds) @ k
        dk = (ds if self.wrong == "k" else turned) @ q
        return dq, dk, np.swapaxes(p, -1, -2) @ dout


@pytest.mark.parametrize("shape", [(4, 3), (2, 4, 3)])
def test_a_matrix_made_in_forward_that_is_not_transposed(shape: tuple[int, ...]) -> None:
    inputs = [RANDOM.normal(size=shape) for _ in range(3)]
    assert tg.check_gradients(Attention(), *inputs).verdict == "right"
    for leaf in ("q", "k"):
        causes = tg.check_gradients(Attention(leaf), *inputs).causes
        assert [(c.name, c.leaf) for c in causes] == [("transposed", leaf)]
