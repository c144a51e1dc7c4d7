"""Numeric derivatives along a direction, against closed forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tarograd.checking.projection import slopes

SMOOTH: list[tuple[Callable[[Any], Any], float, float]] = [
    (np.sin, 0.7, np.cos(0.7)),
    (lambda x: x**3, 0.0, 0.0),
    (lambda x: x**4, 0.0, 0.0),
    (lambda x: x * np.abs(x), 0.0, 0.0),
    (lambda x: np.sin(30 * x), 0.3, 30 * np.cos(9)),
    (np.exp, 5.0, np.exp(5)),
    (lambda x: 1 / x, 1e-3, -1e6),
    (lambda x: np.abs(x - 1e-4), 0.0, -1.0),  # a kink nearby, but not here
]
BENT: list[tuple[Callable[[Any], Any], float]] = [
    (np.abs, 0.0),
    (lambda x: np.maximum(x, 0), 0.0),
    (lambda x: np.where(x > 0, x, 0.9999 * x), 0.0),
    (lambda x: (x > 0).astype(float), 0.0),
    (np.sqrt, 0.0),
]


def along(f: Callable[[Any], Any], x: float) -> Any:
    at = {"x": np.array([x])}
    noise = 1e-15 * (1 + np.abs(f(at["x"])))
    return slopes(lambda v: f(v["x"]), at, {"x": np.ones(1) * (abs(x) or 1)}, noise)


@pytest.mark.parametrize(("f", "x", "truth"), SMOOTH)
def test_the_error_bar_covers_the_truth(f: Callable[[Any], Any], x: float, truth: float) -> None:
    found = along(f, x)
    size = abs(x) or 1
    assert not found.kink[0]
    assert abs(found.value[0] - truth * size) <= 5 * found.error[0]
    assert found.error[0] < 1e-6 * max(1, abs(truth) * size)


@pytest.mark.parametrize(("f", "x"), BENT)
def test_a_kink_or_jump_is_not_given_a_derivative(f: Callable[[Any], Any], x: float) -> None:
    assert along(f, x).kink[0]
