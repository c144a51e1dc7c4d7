"""A small constant that keeps a logarithm finite, and that backward leaves out on purpose."""

from __future__ import annotations

import numpy as np

from tarograd.checking.bench import Bench
from tarograd.checking.case import Case
from tarograd.checking.causes_factor import factor
from tarograd.checking.large import SKETCHED, Sketch
from tarograd.checking.points import elsewhere, runs, with_batch

LARGEST = 1e-5  # a larger constant is no mere guard


def guard(bench: Bench, leaf: str) -> float | None:
    """The ε of a loss -log(p + ε) whose backward is that of -log(p), if it is one.

    For one sample the claim is then 1 + ε / p times the numeric gradient, where the loss itself
    tells p + ε: that is the same ε at every point, and only for such a loss.
    """
    values = with_batch(bench, 1)
    first = runs(bench, values) if values is not None else bench
    found: list[float] = []
    for _ in range(4):
        if first is None or first.y.size != 1 or leaf not in first.leaves:
            return None
        large = first.values[leaf].size > SKETCHED
        case = Sketch(first, leaf) if large else Case(first, leaf)
        k = factor(case)
        if k is None or k <= 1:
            return None
        found.append(float(np.exp(-first.y[0]) * (1 - 1 / k)))
        first = runs(first, elsewhere(first))
    epsilon = float(np.median(found))
    steady = np.max(np.abs(np.array(found) - epsilon)) <= 0.02 * epsilon
    return epsilon if steady and 0 < epsilon <= LARGEST else None
