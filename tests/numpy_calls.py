"""Calls of NumPy's functions that are compositions: data for test_numpy_protocol.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from numeric import Array

A = np.array([[0.31, -0.62, 1.3], [1.72, 0.93, -1.51]])
B = np.array([[0.8, 1.9, 0.7], [0.55, 1.2, 1.6]])
V = np.array([0.9, 0.45, 1.4])
STACKS = np.linspace(-1, 1, 12).reshape(2, 2, 3)
MASK = np.array([[True, False, True], [False, False, True]])

# NumPy has the names `min` and `max` since 2.1.
NEW = np.lib.NumpyVersion(np.__version__) >= "2.1.0"
AT_LEAST: Any = {"min": 0.5} if NEW else {"a_min": 0.5, "a_max": None}

Call = tuple[Callable[..., Any], tuple[Array, ...]]


def unary(f: Any) -> list[Call]:
    return [(f, (B,)), (f, (np.array(0.7),))]


def binary(f: Any) -> list[Call]:
    scalars: list[Call] = [(lambda x: f(x, 2.5), (B,)), (lambda x: f(2.5, x), (B,))]
    beside: list[Call] = [(lambda x: f(x, V), (B,)), (lambda x: f(V, x), (B,))]
    return [(f, (B + 0.1, B)), (f, (B, V + 0.25)), (f, (V, np.array(0.77))), *scalars, *beside]


def of(f: Any, *arrays: Array, **how: Any) -> Call:
    """The function of these arrays, its other arguments as they are."""
    return (lambda *xs: f(*xs, **how)), arrays


def parts(f: Any) -> Callable[..., Any]:
    """A function that gives several arrays, as one: each times another number."""

    def joined(*xs: Any) -> Any:
        return np.concatenate([np.ravel(y) * (i + 1.0) for i, y in enumerate(f(*xs))])

    return joined


def gaps(x: Any) -> Any:
    """Some elements are NaN."""
    return np.where(np.isnan(NAN), np.nan, x)


NAN = np.array([[0.31, np.nan, 1.3], [1.72, 0.93, np.nan]])
SQUARE = np.array([[2.1, 0.3, -0.2], [0.5, 1.7, 0.4], [-0.3, 0.6, 1.9]])
SYSTEMS = np.stack([SQUARE, SQUARE.T @ SQUARE])
SOME: Any = np.array([True, False, True])
PLACES = [0.0, 0.4, 1.5]

COMPOSED: dict[Any, list[Call]] = {
    **{f: binary(f)[:-1] for f in (np.remainder, np.floor_divide, np.fmod)},
    np.divmod: [(parts(np.divmod), (B, V + 0.25)), (parts(lambda x: divmod(x, 0.77)), (V,))],
    np.arcsin: unary(lambda x: np.arcsin(x / 3)),
    np.arccos: unary(lambda x: np.arccos(x / -3)),
    np.arctanh: unary(lambda x: np.arctanh(x / 3)),
    np.arccosh: unary(lambda x: np.arccosh(x + 1)),
    np.round: [of(np.round, B), of(np.round, A, decimals=1), of(np.round, A * 100, decimals=-1)],
    np.around: [of(np.around, A, decimals=1)],
    np.nan_to_num: [
        of(lambda x: np.nan_to_num(gaps(x)), A),
        (lambda x: np.nan_to_num(np.where(A > 0, x, -np.inf), neginf=3.0), (A,)),
    ],
    np.select: [
        (lambda x: np.select([x < 0, x > 1], [x * x, 3 * x]), (A,)),
        (lambda x: np.select([x < 0], [x * x], default=-x), (A,)),
    ],
    np.isclose: [
        (lambda x: np.isclose(x, A + 1e-6), (A,)),
        (lambda x: np.isclose(x, NAN, equal_nan=True), (NAN,)),
        (lambda x: np.isclose(x, 1, rtol=0, atol=0.3), (A,)),
    ],
    np.allclose: [
        (lambda x: np.allclose(x, A + 1e-9), (A,)),
        (lambda x: np.allclose(NAN, x), (NAN,)),
    ],
    np.array_equal: [
        (lambda x: np.array_equal(x, A), (A,)),
        (lambda x: np.array_equal(x, A[0]), (A,)),
        (lambda x: np.array_equal(x, NAN, equal_nan=True), (NAN,)),
    ],
    np.real: [of(np.real, A)],
    np.copy: [of(np.copy, A)],
    np.nansum: [
        (lambda x: np.nansum(gaps(x)), (A,)),
        (lambda x: np.nansum(gaps(x), axis=0, keepdims=True), (A,)),
    ],
    np.nanmean: [
        (lambda x: np.nanmean(gaps(x)), (A,)),
        (lambda x: np.nanmean(gaps(x), axis=1, keepdims=True), (A,)),
    ],
    np.count_nonzero: [of(np.count_nonzero, A * SOME, axis=1)],
    np.median: [
        of(np.median, A),
        of(np.median, A, axis=1, keepdims=True),
        of(np.median, STACKS, axis=(0, 2)),
    ],
    np.quantile: [
        of(np.quantile, A, q=0.3),
        of(np.quantile, A, q=1.0, axis=0),
        of(
            np.quantile, STACKS + STACKS**2, q=[[0.1, 0.25], [0.5, 0.8]], axis=(0, 2), keepdims=True
        ),
    ],
    np.percentile: [of(np.percentile, A, q=[30, 45], axis=1)],
    np.ptp: [of(np.ptp, A), of(np.ptp, A, axis=1)],
    np.sort: [
        of(np.sort, A),
        of(np.sort, A, axis=0),
        of(np.sort, A, axis=None),
        of(np.sort, STACKS**2 - STACKS, axis=1, kind="stable"),
    ],
    np.argsort: [of(np.argsort, A), of(np.argsort, A, axis=0), of(np.argsort, A, axis=None)],
    np.cumprod: [
        of(np.cumprod, A),
        of(np.cumprod, A * SOME, axis=1),
        of(np.cumprod, np.linspace(-1, 2, 22).reshape(2, 11), axis=-1),
    ],
    np.gradient: [
        of(np.gradient, A, axis=1),
        (parts(np.gradient), (STACKS**2,)),
        (parts(lambda x: np.gradient(x, 0.5, 2.0)), (A,)),
        (lambda x: np.gradient(x, 0.5), (V,)),
    ],
    np.trapezoid: [
        of(np.trapezoid, A),
        of(np.trapezoid, A, dx=0.5, axis=0),
        (lambda x: np.trapezoid(x, PLACES), (A,)),
        (lambda *xs: np.trapezoid(xs[0], xs[1]), (A, V)),
        (lambda x: np.trapezoid(x, PLACES[:2], axis=1), (STACKS,)),
    ],
    np.append: [of(np.append, A, V), of(np.append, A, B, axis=0)],
    np.block: [
        (lambda *xs: np.block([[xs[0], np.zeros((2, 1))], [xs[1], np.ones((2, 1))]]), (A, B)),
        (lambda x: np.block([x, 1.0, x]), (V,)),
        (lambda *xs: np.block([[xs[0]], [xs[1]]]), (A, V)),
    ],
    np.meshgrid: [
        (parts(np.meshgrid), (V, A[0], B[:, 0])),
        (parts(lambda *xs: np.meshgrid(*xs, indexing="ij")), (V, A[0], B[:, 0])),
        (parts(np.meshgrid), (V,)),
    ],
    **{
        f: [of(f, x) for x in (np.array(0.7), V, A, STACKS)] + [(parts(f), (V, A))]
        for f in (np.atleast_1d, np.atleast_2d, np.atleast_3d)
    },
    np.rollaxis: [
        (lambda x, i=i, place=place: np.rollaxis(x, i, place), (STACKS,))
        for i in range(-1, 3)
        for place in range(4)
    ],
    np.rot90: [(lambda x, k=k: np.rot90(x, k), (A,)) for k in range(-1, 5)]
    + [of(np.rot90, STACKS, axes=(2, 0))],
    np.array_split: [
        (parts(lambda x: np.array_split(x, 2, axis=1)), (A,)),
        (parts(lambda x: np.array_split(x, 5)), (V,)),
        (parts(lambda x: np.array_split(x, [1, 1], axis=-1)), (A,)),
    ],
    np.hsplit: [
        (parts(lambda x: np.hsplit(x, 3)), (A,)),
        (parts(lambda x: np.hsplit(x, [1])), (V,)),
    ],
    np.vsplit: [(parts(lambda x: np.vsplit(x, 2)), (A,))],
    np.dsplit: [(parts(lambda x: np.dsplit(x, 3)), (STACKS,))],
    np.vdot: [of(np.vdot, A, B), of(np.vdot, V, V)],
    np.kron: [
        of(np.kron, A, B),
        of(np.kron, V, A),
        of(np.kron, STACKS, V),
        of(np.kron, np.array(0.7), A),
    ],
    np.cross: [
        of(np.cross, A, B),
        of(np.cross, V, A),
        of(np.cross, A.T, B, axisa=0, axisc=0),
        of(np.cross, A.T, B.T, axis=0),
    ],
    np.convolve: [
        of(np.convolve, *xs, mode=mode)
        for mode in ("full", "same", "valid")
        for xs in ((V, A[:, 0]), (A[:, 0], V), (V, V), (A.ravel(), V), (V, A.ravel()[:4]))
    ],
    np.correlate: [
        of(np.correlate, *xs, mode=mode)
        for mode in ("full", "same", "valid")
        for xs in ((V, A[:, 0]), (A[:, 0], V), (V, V), (A.ravel(), V), (V, A.ravel()[:4]))
    ],
    np.linalg.solve: [
        of(np.linalg.solve, SQUARE, V),
        of(np.linalg.solve, SQUARE, A.T),
        of(np.linalg.solve, SYSTEMS, A.T),
        of(np.linalg.solve, SYSTEMS, V),
        of(np.linalg.solve, SQUARE, np.stack([A.T, B.T])),
    ],
    np.linalg.inv: [of(np.linalg.inv, SQUARE), of(np.linalg.inv, SYSTEMS)],
    np.linalg.det: [of(np.linalg.det, SQUARE), of(np.linalg.det, -SYSTEMS)],
    np.linalg.slogdet: [
        (parts(np.linalg.slogdet), (SQUARE,)),
        (parts(np.linalg.slogdet), (-SYSTEMS,)),
    ],
    np.linalg.matrix_power: [
        (lambda x, n=n: np.linalg.matrix_power(x, n), (SYSTEMS,))
        for n in (-2, -1, 0, 1, 2, 3, 5, 6)
    ],
    np.linalg.multi_dot: [(lambda *xs: np.linalg.multi_dot(xs), (A, B.T, A, V))],
}
