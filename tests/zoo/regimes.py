"""The conditions under which a correct operation must not be called wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from zoo_op import Layer, Op

REGIMES = (
    "normal",
    "kinks",
    "near kinks",
    "ties",
    "float32",
    "x300",
    "x1e-5",
    "batch 1",
    "stochastic",
)
PAIRED = ("matmul", "square-matmul", "outer", "attention", "subtract", "add-row")


def under(regime: str, op: Op, seed: int) -> tuple[Layer, list[Any]] | None:
    """The layer and inputs for a regime; None if the operation does not have it."""
    layer, inputs = (noisy(op) if regime == "stochastic" else op).make(seed)
    if regime == "batch 1" and op.name in PAIRED:  # their first axes are not batches
        return None
    random = np.random.default_rng(seed)
    if regime == "float32":
        for name, value in vars(layer).items():
            if isinstance(value, np.ndarray):
                setattr(layer, name, value.astype(np.float32))
    return layer, [changed(regime, op, x, random) for x in inputs]


def noisy(op: Op) -> Op:
    """The operation with dropout behind it: every element has a random factor."""

    def forward(s: Any, *inputs: Any) -> Any:
        y = op.forward(s, *inputs)
        chance = s.generator.random(np.shape(y))
        s.noise = np.where(chance < 0.7, 1 / 0.7, 0.0) if np.ndim(y) else 0.5 + chance
        return y * s.noise

    def backward(s: Any, c: Any) -> Any:
        return op.backward(s, c * s.noise)

    fields = {**op.fields, "generator": np.random.default_rng(11)}
    return replace(op, forward=forward, backward=backward, fields=fields)


def changed(regime: str, op: Op, x: Any, random: np.random.Generator) -> Any:
    """One input under a regime."""
    if regime == "batch 1":
        return x[:1]
    if x.dtype.kind != "f":
        return x
    if regime == "kinks":
        halves = np.round(2 * x) / 2
        return halves + 0.5 * (halves == 0) if op.positive else halves
    if regime == "near kinks":
        near = random.random(x.shape) < 0.2
        y = np.where(near, 3e-7 * random.choice([-1, 1], x.shape), x)
        return np.abs(y) + 1e-3 if op.positive else y
    if regime == "ties":
        few = random.choice([0.5, 1.0, 2.0] if op.positive else [0.5, 1.0, -1.0], x.shape)
        return np.full(x.shape, 0.75) if random.random() < 0.3 else few
    factor = {"x300": 300.0, "x1e-5": 1e-5}.get(regime, 1.0)
    return (x * factor).astype(np.float32 if regime == "float32" else np.float64)
