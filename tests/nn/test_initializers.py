"""Initial weights: their distribution, and the same bits for the same seed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tarograd import nn

SHAPE = (500, 400)
N = math.prod(SHAPE)


@pytest.mark.parametrize(
    ("init", "std"),
    [
        (nn.Normal(), 0.01),
        (nn.Normal(0.3), 0.3),
        (nn.Xavier(), math.sqrt(1 / 500)),
        (nn.He(), math.sqrt(2 / 500)),
        (nn.Xavier(2.0), 2 * math.sqrt(1 / 500)),
        (nn.He(0.5), 0.5 * math.sqrt(2 / 500)),
        (nn.Normal(0.0), 0.0),
    ],
)
def test_mean_and_deviation(init: nn.Normal, std: float) -> None:
    w = init(SHAPE, seed=0, stream="w")
    assert w.shape == SHAPE
    # Both are known from N numbers to std/√N and std/√(2N); five times that is never exceeded.
    assert abs(w.mean(dtype=np.float64)) <= 5 * std / math.sqrt(N)
    assert w.std(dtype=np.float64) == pytest.approx(std, rel=5 / math.sqrt(2 * N))


def test_the_distribution_is_normal() -> None:
    w = nn.Normal(1.0)(SHAPE, seed=1, stream="w").astype(np.float64)
    for bound in (0.5, 1, 2, 3):
        inside = math.erf(bound / math.sqrt(2))
        assert np.mean(np.abs(w) < bound) == pytest.approx(inside, abs=5 * 0.5 / math.sqrt(N))
    # Neighbours in a row and in a column are independent of each other.
    for one, other in ((w[:, 1:], w[:, :-1]), (w[1:], w[:-1])):
        assert abs(np.mean(one * other)) < 5 / math.sqrt(N)


def test_the_bits_depend_on_seed_and_stream_only() -> None:
    init = nn.He()
    w = init((20, 10), seed=3, stream="affine1.w")
    np.testing.assert_array_equal(init((20, 10), seed=3, stream="affine1.w"), w)
    assert not np.any(init((20, 10), seed=4, stream="affine1.w") == w)
    assert not np.any(init((20, 10), seed=3, stream="affine2.w") == w)


def test_float32_weights_are_the_rounded_float64_ones() -> None:
    double = nn.Xavier()((20, 10), 3, "w", np.float64)
    single = nn.Xavier()((20, 10), 3, "w")
    assert [double.dtype.name, single.dtype.name] == ["float64", "float32"]
    np.testing.assert_array_equal(double.astype(np.float32), single)


def test_they_are_values_that_compare_and_print() -> None:
    assert nn.He() == nn.He(1.0) != nn.He(2.0)
    assert nn.Normal(1.0) != nn.Xavier(1.0)
    assert [repr(i) for i in (nn.Normal(), nn.Xavier(), nn.He(0.5))] == [
        *("Normal(std=0.01)", "Xavier(std=1.0)", "He(std=0.5)")
    ]
