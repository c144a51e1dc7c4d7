"""NumPy's functions that are compositions, as machine code: values and slopes of eager code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tarograd as tg
from numpy_calls import COMPOSED

ALL = {f: calls for f, calls in COMPOSED.items() if f not in (np.allclose, np.array_equal)}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("function", ALL, ids=lambda f: f.__name__)
def test_compiled_calls_are_the_eager_ones(function: Any, dtype: Any) -> None:
    calls = ALL[function]
    arrays = [[x.astype(dtype) for x in given] for _, given in calls]

    def results(given: Any) -> Any:
        found = []
        for (f, _), xs in zip(calls, given, strict=True):
            y = f(*xs)
            if not isinstance(y, tg.Tensor):  # x to the power of 0 is a constant
                continue
            found.append(
                [y, *(tg.grad(y, list(xs), np.ones(y.shape)) if y.dtype.kind == "f" else [])]
            )
        return found

    compiled = tg.compile(results)
    eager = results([[tg.Tensor(x) for x in given] for given in arrays])
    for call, expected in zip(compiled(arrays), eager, strict=True):
        for y, z in zip(call, expected, strict=True):
            assert y.dtype == z.dtype
            eps = 256 * np.finfo(dtype).eps * max(1, np.abs(z.value).max(initial=0))
            np.testing.assert_allclose(y, z.value, rtol=0, atol=eps)
    assert compiled._called("source").why is None  # it is machine code


WHOLE = [-9, -7, -1, 0, 1, 6, 7]


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.int8, np.uint8])
def test_whole_numbers_divide_as_in_numpy(dtype: Any) -> None:
    kept = [n for n in WHOLE if n >= 0 or np.dtype(dtype).kind == "i"]
    edge = np.iinfo(dtype)
    a, b = (x.ravel() for x in np.meshgrid(np.array([*kept, edge.min, edge.max], dtype), kept))
    b = b.astype(dtype)

    def f(a: Any, b: Any) -> Any:
        return a // b, a % b, a % 3, 100 // b

    with np.errstate(all="ignore"):
        for y, z in zip(tg.compile(f)(a, b), f(a, b), strict=True):
            assert np.array_equal(y, z)
            assert y.dtype == z.dtype


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_floats_divide_as_in_numpy(dtype: Any) -> None:
    some = np.array(
        [0, 0.1, -0.1, 1, -1, 7, 3, -3, 2.5, 1e10, -1e-10, np.inf, -np.inf, np.nan], dtype
    )
    a, b = (x.ravel() for x in np.meshgrid(some, some))

    def f(a: Any, b: Any) -> Any:
        return a // b, a % b, a % 0.3, np.floor(a), np.rint(a)

    with np.errstate(all="ignore"):
        for y, z in zip(tg.compile(f)(a, b), f(a, b), strict=True):
            np.testing.assert_array_equal(y, z)


@pytest.mark.parametrize(
    "f",
    [np.arctan, np.arcsin, np.arccos, np.arcsinh, np.arccosh, np.arctanh, np.hypot, np.arctan2],
)
def test_formulas_are_exact_to_a_few_units_in_the_last_place(f: Any) -> None:
    rng = np.random.default_rng(0)
    for dtype in (np.float64, np.float32):
        within = rng.uniform(-1, 1, 2000)
        wide = np.concatenate(
            [within, 10 ** rng.uniform(-20, 18, 2000) * rng.choice([-1, 1], 2000)]
        )
        wide = np.concatenate([wide, [0.0, -0.0, np.inf, -np.inf, np.nan]])
        x = within if f in (np.arcsin, np.arccos, np.arctanh) else wide
        x = np.abs(x) + 1 if f is np.arccosh else x
        given = [v.astype(dtype) for v in ([x, rng.permutation(x)] if f.nin == 2 else [x])]
        with np.errstate(all="ignore"):
            y, z = tg.compile(lambda xs: f(*xs))(given), f(*[v.astype(float) for v in given])
        np.testing.assert_allclose(y, z, rtol=float(4 * np.finfo(dtype).eps))


def test_the_largest_elements_by_their_order() -> None:
    k = 2

    def f(x: Any) -> Any:
        best = np.argsort(-x, axis=1)[:, :k]
        return np.take_along_axis(x, best, 1), tg.grad(np.sort(x)[:, -k:].sum(), x)

    x = np.random.default_rng(0).normal(size=(4, 70))
    top, slope = tg.compile(f)(x)
    np.testing.assert_array_equal(top, np.sort(x)[:, :-3:-1])
    np.testing.assert_array_equal(slope, (x >= top[:, 1:]).astype(float))


def test_pivoting_keeps_small_elements_off_the_diagonal() -> None:
    x = np.random.default_rng(1).normal(size=(20, 20))
    x[0, 0] = x[3, 3] = 0
    b = np.ones(20)
    y, sign, log = tg.compile(lambda x, b: (np.linalg.solve(x, b), *np.linalg.slogdet(x)))(x, b)
    np.testing.assert_allclose(x @ y, b, rtol=1e-12)
    np.testing.assert_allclose([sign, log], np.linalg.slogdet(x), rtol=1e-13)


def test_large_systems_run_as_numpy() -> None:
    x = np.eye(33)
    with pytest.warns(UserWarning, match="a matrix of 33 rows: systems .* up to 32 rows"):
        np.testing.assert_array_equal(tg.compile(lambda x: np.linalg.inv(x))(x), x)


def test_long_rows_are_sorted_by_numpy() -> None:
    x = np.random.default_rng(0).normal(size=1025)
    with pytest.warns(UserWarning, match="1025 elements in a row: sorting .* up to 1024"):
        np.testing.assert_array_equal(tg.compile(lambda x: np.sort(x))(x), np.sort(x))


@pytest.mark.parametrize("f", [np.allclose, np.array_equal])
def test_truths_outside_of_the_graph_are_refused(f: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=r"bool\(\)"):
        tg.compile(lambda x: x if f(x, x) else -x)(np.ones(2))
