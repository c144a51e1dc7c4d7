"""Each rule: it fires on its pattern, for any shape, and no bit of the result changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tarograd as tg
from tarograd.compiler.numpy_source import executable
from tarograd.compiler.rewrite import rewrite
from tarograd.compiler.trace import trace
from tarograd.tensor import constant

ARRAYS = hnp.arrays(
    st.sampled_from([np.float32, np.float64]),
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4),
    elements=st.floats(-1e3, 1e3, width=32),
)

PATTERNS: dict[str, tuple[Callable[[Any], Any], int]] = {
    "fold": (lambda x: x * constant(np.full(x.shape, 2.0, x.dtype)).exp(), 1),
    "identity reshape": (lambda x: x.reshape(x.shape) + 1, 1),
    "reshape of reshape": (lambda x: x.reshape((-1,)).reshape((1, x.size)) + 1, 2),
    "transpose of transpose": (lambda x: x.T.T + 1, 1),
    "negative of negative": (lambda x: np.negative(-x) + 1, 1),
    "times 1": (lambda x: 1 * (x * 1.0) / 1 + 1, 1),
    "equal numbers": (lambda x: x * tg.stop_gradient(np.full(x.shape, 3, x.dtype)) + 1, 2),
    "square": (lambda x: x**2 + 1, 2),
    "a cast that is 0": (lambda x: (x > 0).astype(x.dtype) == 0, 2),
    "stop_gradient": (lambda x: tg.stop_gradient(x) + 1, 1),
    "sharing": (lambda x: (x * 3 + 1) * (x * 3 + 1), 3),
    "dead code": (lambda x: (x.tanh(), x + 1)[1], 1),
}


@pytest.mark.parametrize("pattern", PATTERNS)
@given(x=ARRAYS)
def test_each_rule_shortens_and_keeps_every_bit(pattern: str, x: Any) -> None:
    function, left = PATTERNS[pattern]
    program = trace(function, {"x": x})
    short = rewrite(program)
    assert sum(v.primitive is not None for v in short.order()) <= left
    (expected,), (y,) = executable(program)(x), executable(short)(x)
    np.testing.assert_array_equal(y, expected, strict=True)
    np.testing.assert_array_equal(np.signbit(y), np.signbit(expected))


@given(x=ARRAYS)
def test_adding_zero_stays_because_of_minus_zero(x: Any) -> None:
    program = rewrite(trace(lambda x: x + 0.0, {"x": x}))
    assert sum(v.primitive is not None for v in program.order()) == 1
