"""Machine code at kinks, ties, edges and infinities, and in large graphs."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_native import native
from test_numpy_source import traced

import tarograd as tg
from cases import CASES
from rows import Case
from special_values import SPECIAL_VALUES, Special
from tarograd.compiler.compare import evaluated
from tarograd.compiler.lower import lower
from tarograd.compiler.trace import trace


@pytest.mark.parametrize("special", SPECIAL_VALUES, ids=str)
def test_special_values_and_their_gradients(special: Special) -> None:
    arrays = [np.array(x, float) if isinstance(x, list) else x for x in special.inputs]
    drawn = [i for i, x in enumerate(special.inputs) if isinstance(x, list)]
    smooth = any(gradient is not None for gradient in special.gradients)
    wanted = [i for i in drawn if smooth and special.gradients[i] is not None]

    def function(*given: Any) -> Any:
        rest = iter(given)
        inputs: list[Any] = [next(rest) if i in drawn else x for i, x in enumerate(arrays)]
        y = special.primitive(*inputs, **special.attributes)
        g = np.broadcast_to(np.asarray(special.g, float), y.shape)
        slopes = tg.grad(y, [inputs[i] for i in wanted], g) if wanted else []
        return {"y": y, **{f"d{i}": slope for i, slope in zip(wanted, slopes, strict=True)}}

    with np.errstate(all="ignore"):
        program = trace(function, {f"x{i}": arrays[i] for i in drawn})
        results = native(program, [arrays[i] for i in drawn])
    y, *slopes = results
    rtol = max(special.rtol, 1e-14)
    np.testing.assert_allclose(y, special.y, rtol=rtol, atol=1e-300)
    for i, slope in zip(wanted, slopes, strict=True):
        np.testing.assert_allclose(slope, special.gradients[i], rtol=rtol, atol=1e-300)


@settings(max_examples=40)
@given(
    rows=st.sampled_from([1, 2, 7, 16, 17, 33]),
    columns=st.sampled_from([1, 2, 3, 10, 16, 17, 40]),
    dtype=st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_]),
    bits=st.sampled_from([128, 256, 512]),
)
def test_the_place_of_the_first_maximum_of_each_row(
    rows: int, columns: int, dtype: Any, bits: int
) -> None:
    rng = np.random.default_rng([rows, columns])
    x = rng.integers(0, 4, (rows, columns))  # many are equal
    if np.dtype(dtype).kind == "f":
        x = np.array([np.nan, -np.inf, 1.5, np.inf])[rng.choice(4, x.shape, p=[0.1, 0.3, 0.5, 0.1])]
    x = x.astype(dtype)

    def function(x: Any) -> Any:
        best = x.argmax(axis=1)
        return {"best": best, "all": x.argmax(), "next": best + 1}

    found = native(trace(function, {"x": x}), [x], bits)
    for y, expected in zip(found, function(x).values(), strict=True):
        assert y.dtype == expected.dtype
        np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_five_hundred_nodes(dtype: Any) -> None:
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(9, 17)).astype(dtype), rng.normal(size=(17, 17)).astype(dtype)

    def function(x: Any, w: Any) -> Any:
        y = x
        for i in range(72):
            z = (y @ w * 0.2 if i % 6 == 0 else y).tanh()
            y = np.where(z > 0, z, 0.5 * y) + 0.1 * i / 72
        loss = (y * y).sum()
        return {"loss": loss, "dx": tg.grad(loss, x), "dw": tg.grad(loss, w)}

    program = trace(function, {"x": x, "w": w})
    assert sum(v.primitive is not None for v in program.order()) >= 500
    inputs = {"x": x.astype(float), "w": w.astype(float)}
    exact = trace(function, inputs)
    known = dict(zip(map(id, exact.order()), evaluated(exact, inputs), strict=True))
    for name, y in zip(program.outputs, native(program, [x, w]), strict=True):
        truth = known[id(exact.outputs[name])]
        eps = 1e4 * np.finfo(dtype).eps
        np.testing.assert_allclose(y, truth, rtol=eps, atol=eps * np.abs(truth).max())


@pytest.mark.parametrize("case", CASES[::7], ids=str)
def test_lowering_keeps_what_a_program_computes(case: Case) -> None:
    program, arguments = traced(case, np.float64, slopes=False)
    inputs = dict(zip(program.inputs, arguments, strict=True))
    y, lowered = (evaluated(p, inputs)[-1] for p in (program, lower(program)))
    np.testing.assert_allclose(lowered, y, rtol=1e-13, atol=1e-14, strict=True)


LONG = np.finfo(np.longdouble).eps < np.finfo(np.float64).eps / 100
SMOOTH: dict[str, tuple[Any, Any, float, float]] = {
    "exp": (np.exp, np.exp, -80, 80),
    "expm1": (np.expm1, np.expm1, -3, 80),
    "log": (np.log, np.log, 1e-6, 10),
    "log1p": (np.log1p, np.log1p, -0.999, 10),
    "tanh": (np.tanh, np.tanh, -3, 3),
    "sigmoid": (tg.sigmoid, lambda x: 1 / (1 + np.exp(-x)), -20, 20),
}


@pytest.mark.parametrize(("dtype", "ulps"), [(np.float32, 2), (np.float64, 4)])
@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_smooth_functions_are_right_to_the_last_bits(
    name: str, scale: float, dtype: Any, ulps: int
) -> None:
    if dtype == np.float64 and not LONG:
        pytest.skip("this machine has no number longer than float64")
    function, truth, low, high = SMOOTH[name]
    middle = 1.0 if name == "log" else 0.0
    x = np.random.default_rng(3).uniform(low, high, 300_000)
    x = (middle + scale * (x - middle)).astype(dtype)
    (y,) = native(trace(lambda x: {"y": function(x)}, {"x": x}), [x])
    true = truth(x.astype(np.longdouble))
    assert np.all(np.abs(y - true) <= ulps * np.spacing(np.abs(true).astype(dtype)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("exponent", [-2, -1, 0, 0.5, 1, 1.5, 2, 3, 4, 5, 7, 8, 9])
def test_powers_are_right_to_some_last_bits(exponent: float, dtype: Any) -> None:
    special = [np.inf, -np.inf, np.nan, 0.0, -0.0, 1e30, -1e30, 1e-30, -1.0, 1.0]
    x = np.concatenate([np.random.default_rng(0).normal(size=1000) * 10, special]).astype(dtype)
    with np.errstate(all="ignore"):
        y = tg.compile(lambda x: x**exponent)(x)
        truth, numpys = (x.astype(np.longdouble) ** exponent).astype(dtype), x**exponent
        plain = np.isfinite(truth) & (np.abs(truth) > np.finfo(dtype).tiny)
        ulps = np.abs(y - truth)[plain] / np.spacing(np.abs(truth[plain]))
    assert ulps.max() <= 4
    infinite = ~np.isfinite(numpys)
    np.testing.assert_array_equal(y[infinite], numpys[infinite])


def chained(steps: int) -> Any:
    def newton(a: Any) -> Any:
        """√a; each step uses the last one twice."""
        x = a
        for _ in range(steps):
            x = (x + a / x) / 2
        return x

    return newton


@pytest.mark.parametrize("steps", [1, 5, 6, 20, 60, 500])
def test_what_is_used_twice_over_and_over_is_machine_code(steps: int) -> None:
    a = np.array([2.0, 9.0, 1e-3])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as that it runs as NumPy
        y = tg.compile(chained(steps))(a)
    np.testing.assert_allclose(y, chained(steps)(a), rtol=1e-14)
    slope = tg.compile(lambda a: tg.grad(chained(min(steps, 60))(a).sum(), a))(a)
    if steps >= 20:
        np.testing.assert_allclose(slope, 0.5 / np.sqrt(a), rtol=1e-12)


@settings(max_examples=30)
@given(
    dims=st.sampled_from([(1000, 700), (300_000,), (3, 100_000), (5000, 3), (64, 3, 50, 50)]),
    axes=st.sampled_from([None, 0, -1]),
    bits=st.sampled_from([128, 256, 512]),
)
def test_long_sums_are_as_right_as_numpys(
    dims: tuple[int, ...], axes: int | None, bits: int
) -> None:
    x = np.random.default_rng(0).random(dims).astype(np.float32)
    (y,) = native(trace(lambda x: (x * 1.0).sum(axis=axes), {"x": x}), [x], bits)
    exact = x.astype(float).sum(axis=axes)
    terms = x.size // exact.size
    # A sum of so many in one go would be wrong by about √terms last digits, all to one side more.
    np.testing.assert_allclose(y, exact, rtol=np.finfo(np.float32).eps * (4 + min(terms, 256) / 8))


def test_a_long_product_is_a_sum_of_sums() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((7, 100_000)), rng.random((100_000, 9))
    given = [a.astype(np.float32), b.astype(np.float32)]
    (y,) = native(trace(lambda a, b: a @ b, dict(zip("ab", given, strict=True))), given)
    exact = given[0].astype(float) @ given[1].astype(float)
    np.testing.assert_allclose(y, exact, rtol=2e-6)


def test_the_same_number_over_and_over_does_not_drift_away() -> None:
    x = np.full(10**7, 0.1, np.float32)
    (y,) = native(trace(lambda x: x.sum(), {"x": x}), [x])
    assert abs(y / 1e6 - 1) < 1e-6  # one sum for each lane would be wrong by 6e-3
