"""Formulas: functions that have no kernel of their own, in terms of those that have.

Accurate to a few units in the last place. Sorting compares every element with every other one, and
a system of equations is written out row by row: both are for small ones.
"""

from __future__ import annotations

from math import pi
from typing import Any

import numpy as np

from tarograd.compiler.guard import Untraceable
from tarograd.numpy_shapes import arrays_of

# S. Moshier, Cephes, atan.c: for |t| ≤ 0.66 is (arctan t - t) / t³ = P(t²) / Q(t²).
P = (
    -8.750608600031904e-1,
    -1.615753718733365e1,
    -7.500855792314705e1,
    -1.228866684490136e2,
    -6.485021904942025e1,
)
Q = (
    1.0,
    2.485846490142306e1,
    1.650270098316988e2,
    4.328810604912903e2,
    4.853903996359137e2,
    1.945506571482614e2,
)
ROWS = 32  # of a matrix; each takes some kernels
SORTED = 1024  # elements, each compared with all; NumPy is faster from there on


def _polynomial(x: Any, coefficients: tuple[float, ...]) -> Any:
    y: Any = coefficients[0]
    for c in coefficients[1:]:
        y = y * x + c
    return y


def arctan(x: Any) -> Any:
    """From the angle to the nearest of 0, π/4 and π/2."""
    size = np.abs(x)
    steep, middle = size > 2.414213562373095, size > 0.66
    t = np.where(steep, -1 / size, np.where(middle, (size - 1) / (size + 1), size))
    square = t * t
    y = t + t * (square * _polynomial(square, P) / _polynomial(square, Q))
    y = np.where(steep, y + pi / 2, np.where(middle, y + pi / 4, y))
    return np.where(x < 0, -y, y)


def arctan2(y: Any, x: Any) -> Any:
    """The angle to the nearer half of the x axis; infinite coordinates are equally large."""
    y, x = arrays_of(y, x)
    far = (np.abs(x) == np.inf) & (np.abs(y) == np.inf)
    x, y = np.where(far, np.sign(x), x), np.where(far, np.sign(y), y)
    angle = arctan(y / np.where((x == 0) & (y == 0), 1, np.abs(x)))
    below = (y < 0) | ((y == 0) & (1 / y < 0))  # -0 too
    behind = (x < 0) | ((x == 0) & (y == 0) & (1 / x < 0))
    mirrored = np.where(below, -pi - angle, pi - angle)
    return np.where(behind, mirrored, angle)


def arcsin(x: Any) -> Any:
    """The angle in a triangle whose longest side is 1."""
    return arctan(x / np.sqrt((1 - x) * (1 + x)))


def arccos(x: Any) -> Any:
    """Twice the angle of the half."""
    return 2 * arctan(np.sqrt((1 - x) / (1 + x)))


def arcsinh(x: Any) -> Any:
    """By a logarithm; of large ones the square is left out, which would overflow."""
    size = np.abs(x)
    large = size > 1e9
    part = np.where(large, 1, size)
    y = np.log1p(part + part * part / (1 + np.sqrt(1 + part * part)))
    y = np.where(large, np.log(size) + np.log(2), y)
    return np.where(x < 0, -y, y)


def arccosh(x: Any) -> Any:
    """By a logarithm; of large ones the square is left out, which would overflow."""
    large = x > 1e9
    above = np.where(large, 1, x - 1)
    y = np.log1p(above + np.sqrt(above) * np.sqrt(above + 2))
    return np.where(large, np.log(x) + np.log(2), y)


def arctanh(x: Any) -> Any:
    """By two logarithms."""
    return (np.log1p(x) - np.log1p(-x)) / 2


def hypot(a: Any, b: Any) -> Any:
    """The larger one times what the share of the smaller one makes it longer."""
    a, b = np.abs(a), np.abs(b)
    large, small = np.maximum(a, b), np.minimum(a, b)
    share = small / np.where(large == 0, 1, large)
    return np.where((a == np.inf) | (b == np.inf), np.inf, large * np.sqrt(1 + share * share))


def argsort(x: Any, *, axis: int) -> Any:
    """For each place the element that as many others come before."""
    n = x.shape[axis]
    if n > SORTED:
        raise Untraceable(f"{n} elements in a row: sorting becomes machine code up to {SORTED}")
    x = np.moveaxis(x, axis, -1)
    one, other = x[..., :, None], x[..., None, :]
    tied = (other == one) | (np.isnan(other) & np.isnan(one))
    before = (
        (other < one) | (np.isnan(one) & ~np.isnan(other)) | (tied & np.tri(n, k=-1, dtype=bool))
    )
    place = before.astype(np.int64).sum(axis=-1)
    there = place[..., None, :] == np.arange(n)[:, None]
    return np.moveaxis(np.where(there, np.arange(n), 0).sum(axis=-1), -1, axis)


def _eliminated(a: Any, b: Any) -> tuple[Any, Any, Any]:
    """The y with a y = b by Gauss and Jordan, and the sign and the logarithm of the determinant.

    The largest element of each column comes to the diagonal.
    """
    n = a.shape[-1]
    if n > ROWS:
        raise Untraceable(
            f"a matrix of {n} rows: systems of equations become machine code up to {ROWS} rows"
        )
    rows = np.concatenate([a, b], axis=-1)
    sign: Any = np.ones(a.shape[:-2], a.dtype)
    logarithm: Any = np.zeros(a.shape[:-2], a.dtype)
    for k in range(n):
        size = np.where(np.arange(n) >= k, np.abs(rows[..., k]), -1)
        pivot = (np.argmax(size, axis=-1)[..., None] == np.arange(n))[..., None]
        here = (np.arange(n) == k)[:, None]
        row = np.where(pivot, rows, 0).sum(axis=-2)
        rest = np.where(pivot & ~here, rows[..., k : k + 1, :], rows)
        element = row[..., k]
        row = row / element[..., None]
        rows = np.where(here, row[..., None, :], rest - rest[..., k : k + 1] * row[..., None, :])
        sign = sign * np.sign(element) * np.where(pivot[..., k, 0], 1, -1)
        logarithm = logarithm + np.log(np.abs(element))
    return rows[..., n:], sign, logarithm


def solve(a: Any, b: Any) -> Any:
    """The solution of a system of equations."""
    return _eliminated(a, b)[0]


def sign_det(x: Any) -> Any:
    """The sign of the determinant."""
    return _eliminated(x, x[..., :0])[1]


def log_det(x: Any) -> Any:
    """The logarithm of its absolute value."""
    return _eliminated(x, x[..., :0])[2]
