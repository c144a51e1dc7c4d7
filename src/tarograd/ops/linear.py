"""Systems of linear equations and determinants, of one matrix or of each of a stack.

A determinant soon is too large or too small for a float, so its logarithm and its sign are nodes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tarograd.graph import Array, Primitive
from tarograd.ops.matmul import turned


def _solve(a: Array, b: Array) -> Any:
    try:
        return np.linalg.solve(a, b)
    except np.linalg.LinAlgError as error:
        raise np.linalg.LinAlgError(
            f"solve: a matrix of {a.shape} is singular: its rows depend on each other, so it has "
            "no inverse; to add a small multiple of np.eye(n) makes it regular"
        ) from error


# A Y = B: B's gradient is the solution for Aᵀ, and A's has each of its columns times those of Y.
solve: Primitive = Primitive(
    name="solve",
    symbol="A⁻¹B",
    forward=_solve,
    vjp=(
        lambda g, y, a, b: -(solve(turned(a), g) @ turned(y)),
        lambda g, y, a, b: solve(turned(a), g),
    ),
    promotes=True,
)


def inverse(x: Any) -> Any:
    """The solution for the unit matrix."""
    return solve(x, np.broadcast_to(np.eye(x.shape[-1], dtype=x.dtype), x.shape))


# y = log |det X|: its derivative is the inverse, turned.
log_det = Primitive(
    name="log_det",
    symbol="log|det|",
    forward=lambda x: np.linalg.slogdet(x)[1],
    vjp=(lambda g, y, x: g.reshape((*g.shape, 1, 1)) * turned(inverse(x)),),
)

# 1, -1 or, of a singular matrix, 0: constant between its jumps.
sign_det = Primitive(name="sign_det", symbol="sign det", forward=lambda x: np.linalg.slogdet(x)[0])
