"""Layers that keep a network from learning its examples by heart."""

from __future__ import annotations

from typing import Any

from tarograd.functions import dropout
from tarograd.graph import current_context, current_group
from tarograd.inputs import recorder
from tarograd.nn.layer import Layer


class Dropout(Layer):
    """Set each element to 0 with the probability `rate`, and divide the others by 1 - rate.

    It does so while training, which is the usual state; within `tg.context(training=False)`, and
    so in `predict` and `accuracy`, the input passes unchanged. Each call draws another mask,
    a function of (seed, number of the call, place in the network); within
    `tg.context(seed=…, step=…)` the mask is that of the step, so that it can be replayed.

    Args:
        rate: the probability, 0 <= rate < 1.
        seed: which masks are drawn outside of such a context.

    Raises:
        ValueError: for another rate.
    """

    def __init__(self, rate: float = 0.5, *, seed: int = 0) -> None:
        if not 0 <= rate < 1:
            raise ValueError(f"Dropout({rate}): the rate is the share to drop, 0 <= rate < 1")
        self.rate = rate
        self.seed = seed
        self._calls = 0

    def call(self, x: Any) -> Any:
        """Any shape; gives the same."""
        now = current_context()
        if not now.training:
            return x
        seed, step = self.seed if now.seed is None else now.seed, now.step
        if step is None and (trace := recorder()) is not None:
            step = trace.count(self, "_calls")
        elif step is None:
            step = self._calls
            self._calls += 1
        group = current_group()
        return dropout(x, self.rate, seed, step, group.path() if group else "")

    def __repr__(self) -> str:
        return f"Dropout({self.rate}{f', seed={self.seed}' if self.seed else ''})"
