"""Matrix products, and the Affine node that is made of one."""

from __future__ import annotations

from typing import Any

import numpy as np

from tarograd.graph import Array, Primitive
from tarograd.ops.shape import repeat


def turned(x: Any) -> Any:
    """A matrix, or each matrix of a stack, turned over: the last two axes swapped."""
    return x.transpose((*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


# Y = X W: the shapes leave no choice, dX = G Wᵀ and dW = Xᵀ G. Stacks have equal lengths here.
matmul = Primitive(
    name="matmul",
    symbol="@",
    forward=np.matmul,
    vjp=(
        lambda g, y, x, w: g @ turned(w),
        lambda g, y, x, w: turned(x) @ g,
    ),
    promotes=True,
)


def _affine(x: Array, w: Array, b: Array) -> Any:
    y = x @ w
    y += b
    return y


# Y = X W + B: the bias was repeated for every row of the batch, so its gradient is a Sum.
affine = Primitive(
    name="affine",
    symbol="affine",
    forward=_affine,
    vjp=(
        lambda g, y, x, w, b: g @ w.T,
        lambda g, y, x, w, b: x.T @ g,
        lambda g, y, x, w, b: g.sum(axis=0),
    ),
    definition=lambda x, w, b: (y := x @ w) + repeat(b, shape=y.shape),
    promotes=True,
)
