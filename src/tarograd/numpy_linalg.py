"""NumPy's linear algebra, spelled with the primitives; see numpy_functions.py."""

from __future__ import annotations

import operator
from functools import reduce
from typing import Any

import numpy as np

from tarograd.numpy_elementwise import floats
from tarograd.numpy_products import dot, matmul, stacks_of
from tarograd.numpy_shapes import arrays_of, broadcast_to, expand_dims, squeeze
from tarograd.ops import elementwise, linear


def _square(name: str, x: Any) -> Any:
    """A matrix with as many rows as columns, or a stack of them, of floats."""
    (x,) = arrays_of(x)
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ValueError(
            f"{name}: {x.shape}: as many rows as columns are needed, or stacks of such"
        )
    return floats(x)


def solve(a: Any, b: Any) -> Any:
    """The y with `a @ y == b`, a vector or the columns of a matrix."""
    a, b = _square("solve", a), floats(arrays_of(a, b)[1])
    right = expand_dims(b, 1) if b.ndim == 1 else b
    if not b.ndim or right.shape[-2] != a.shape[-1]:
        raise ValueError(f"solve: {a.shape} and {b.shape}: as many rows are needed on both sides")
    stacks = stacks_of(f"solve: {a.shape} and {b.shape}", a, right)
    a, right = (broadcast_to(x, (*stacks, *x.shape[-2:])) for x in (a, right))
    y = linear.solve(a, right)
    return squeeze(y, -1) if b.ndim == 1 else y


def inv(x: Any) -> Any:
    """The inverse matrix; `solve` is more exact, and faster."""
    return linear.inverse(_square("inv", x))


def slogdet(x: Any) -> Any:
    """The sign of the determinant, and the logarithm of its absolute value."""
    x = _square("slogdet", x)
    given = np.linalg.slogdet(np.eye(1))  # whose class has the names `sign` and `logabsdet`
    return type(given)(linear.sign_det(x), linear.log_det(x))


def det(x: Any) -> Any:
    """The determinant, by its sign and its logarithm."""
    sign, logarithm = slogdet(_square("det", x))
    return sign * elementwise.exp(logarithm)


def multi_dot(arrays: Any) -> Any:
    """Matrix product of all, from the left to the right."""
    return reduce(dot, arrays)


def matrix_power(x: Any, n: int) -> Any:
    """The product of `n` times the matrix, by squaring; of the inverse, if `n` is below 0."""
    x = _square("matrix_power", x)
    if (n := operator.index(n)) < 0:
        return matrix_power(inv(x), -n)
    if n < 2:
        return x if n else broadcast_to(np.eye(x.shape[-1], dtype=x.dtype), x.shape)
    half = matrix_power(matmul(x, x), n // 2)
    return matmul(half, x) if n % 2 else half
