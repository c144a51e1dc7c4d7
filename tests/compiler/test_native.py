"""Machine code against eager code, with poisoned memory and narrower registers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_numpy_source import SMOOTH, eager, traced

import tarograd as tg
from cases import CASES
from rows import Case
from tarograd.compiler.llvm.native import Native, Target, narrowed
from tarograd.compiler.lower import lower
from tarograd.compiler.program import Program
from tarograd.compiler.trace import Untraceable, trace

CANARY = 0xA5


def native(
    program: Program,
    arguments: list[Any],
    bits: int = 512,
    sparse: Sequence[str] = (),
    target: Target | None = None,
) -> list[Any]:
    """Run it in memory that is full of NaN, and see that nothing beyond its ends is touched."""
    machine = Native(lower(program), target=target or narrowed(bits), sparse=sparse)
    end = machine.plan.sizes["scratch"]
    machine.scratch[:] = 0xFF  # the bits of a NaN, in float32 and in float64
    machine.scratch[end:] = CANARY
    machine.state[machine.plan.sizes["state"] :] = CANARY
    results = machine(*arguments)
    assert (machine.scratch[end:] == CANARY).all()
    assert (machine.state[machine.plan.sizes["state"] :] == CANARY).all()
    return results


def assert_near(y: Any, expected: Any, ulps: int = 64) -> None:
    assert (y.dtype, y.shape) == (expected.dtype, expected.shape)
    if y.dtype.kind != "f":
        np.testing.assert_array_equal(y, expected)
        return
    eps = ulps * np.finfo(y.dtype).eps
    scale = np.abs(expected[np.isfinite(expected)]).max(initial=1.0)
    np.testing.assert_allclose(y, expected, rtol=eps, atol=eps * scale)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_machine_code_computes_what_eager_code_does(case: Case, dtype: Any) -> None:
    for slopes in [False] + [True] * (case in SMOOTH):
        program, arguments = traced(case, dtype, slopes)
        results = native(program, arguments)
        for y, expected in zip(results, eager(case, dtype, slopes), strict=True):
            assert_near(y, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [0, 1, 2, 7, 15, 16, 17, 31, 33, 64])
def test_every_kind_of_kernel_at_every_width(n: int, dtype: Any) -> None:
    rng = np.random.default_rng(n)
    x = rng.uniform(0.3, 2, (3, n)).astype(dtype)
    w, rows = rng.normal(size=(2, n, 5)).astype(dtype), np.array([2, 0, -1, 0])

    def function(x: Any, w: Any) -> Any:
        found = {
            "functions": np.sin(x) * np.cos(x) + x.exp() / np.sqrt(x) - x.log() ** 3,
            "choices": np.where(x > 1, np.sign(-x), abs(x)).clip(-0.5, 0.7),
            "sums": x.sum(axis=0) + x.sum(axis=1).mean(),
            "product": np.prod(x, axis=0),
            "along": np.prod(x, axis=1),
            "joined": np.concatenate([x, x[:, ::-1], x.T.reshape(3, n)], axis=1),
            "stacked": np.stack([x, -x], axis=2),
            "below": np.concatenate([x, x], axis=0) * 2,
            "margin": np.pad(x, ((1, 0), (2, 3)), constant_values=7),
            "rows": x[rows] + 1,
            "part": x[1:, ::2] * x[::2, : (n + 1) // 2][:, ::-1],
            "columns": x.T[:, rows],
            "batched": np.stack([x, x + 1]) @ w,
            "back": tg.grad((x[rows] * x[rows]).sum() + (x[:, ::3] ** 3).sum(), x),
        }
        if n:
            found |= {"argmax": np.argmax(x, axis=1), "first": np.argmax(x), "top": x.max(axis=1)}
            found |= {"of": np.argmax(x, axis=0)}
        return found

    program = trace(function, {"x": x, "w": w})
    truth = function(tg.Tensor(x), tg.Tensor(w))
    for name, y in zip(program.outputs, native(program, [x, w]), strict=True):
        expected = truth[name]
        assert_near(y, np.asarray(expected.value if isinstance(expected, tg.Tensor) else expected))


@settings(max_examples=60)
@given(
    sizes=st.tuples(*[st.sampled_from([1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 50, 65])] * 3),
    turned=st.tuples(st.booleans(), st.booleans()),
    dtype=st.sampled_from([np.float32, np.float64]),
    bits=st.sampled_from([128, 256, 512]),
)
def test_products_of_any_size_on_any_processor(
    sizes: tuple[int, int, int], turned: tuple[bool, bool], dtype: Any, bits: int
) -> None:
    check_product(sizes, turned, dtype, bits)


@settings(max_examples=30)
@given(
    sizes=st.tuples(
        st.sampled_from([16, 32, 40, 50, 64, 100]),
        st.sampled_from([32, 33, 64, 100]),
        st.sampled_from([5, 9, 10, 17, 18, 20, 33, 50]),
    ),
    dtype=st.sampled_from([np.float32, np.float64]),
    bits=st.sampled_from([128, 256, 512]),
)
def test_weight_gradients_of_a_few_columns_more_than_vectors(
    sizes: tuple[int, int, int], dtype: Any, bits: int
) -> None:
    check_product(sizes, (True, False), dtype, bits)


@pytest.mark.parametrize("bits", [128, 256, 512])
@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True)])
def test_products_whose_columns_stay_in_the_second_cache(
    turned: tuple[bool, bool], bits: int
) -> None:
    # Part of the columns takes more than the first cache at every width; 700 x 150 less than 512 K.
    check_product((27, 700, 150), turned, np.float32, bits)


def check_product(
    sizes: tuple[int, int, int], turned: tuple[bool, bool], dtype: Any, bits: int
) -> None:
    n, k, m = sizes
    rng = np.random.default_rng([n, k, m])
    a = rng.normal(size=(k, n) if turned[0] else (n, k)).astype(dtype)
    b = rng.normal(size=(m, k) if turned[1] else (k, m)).astype(dtype)
    c = rng.normal(size=m).astype(dtype)

    def function(a: Any, b: Any, c: Any) -> Any:
        y = (a.T if turned[0] else a) @ (b.T if turned[1] else b) + c
        return {"y": y.relu(), "mask": y > 0, "sum": y.sum(axis=0), "rows": y.sum(axis=1)}

    program = trace(function, {"a": a, "b": b, "c": c})
    y = (a.T if turned[0] else a).astype(float) @ (b.T if turned[1] else b) + c
    got = dict(zip(program.outputs, native(program, [a, b, c], bits), strict=True))
    bound = 4 * (k + 4) * np.finfo(dtype).eps * (np.abs(y).max() + np.sqrt(k))
    np.testing.assert_allclose(got["y"], np.maximum(y, 0), atol=bound)
    clear = np.abs(y) > bound
    np.testing.assert_array_equal(got["mask"][clear], (y > 0)[clear])
    np.testing.assert_allclose(got["sum"], y.sum(axis=0), atol=(n + 1) * bound)
    np.testing.assert_allclose(got["rows"], y.sum(axis=1), atol=(m + 1) * bound)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("exp", -110, 95),
        ("exp", -1, 1),
        ("log", 1e-45, 1e-30),
        ("log", 0.5, 2),
        ("log", 2, 1e30),
        ("tanh", -12, 12),
        ("tanh", -1e-3, 1e-3),
        ("tanh", -0.8, 0.8),
        ("sin", -4, 4),
        ("sin", -1e-30, 1e-30),
        ("sin", 9e4, 1.1e5),
        ("cos", -4, 4),
        ("cos", -1e12, 1e12),
    ],
)
def test_functions_are_right_to_the_last_bits(
    name: str, low: float, high: float, dtype: Any
) -> None:
    mpmath = pytest.importorskip("mpmath", reason="the truth comes from mpmath")
    x = np.linspace(low, high, 997).astype(dtype)
    with np.errstate(over="ignore"):
        (y,) = native(trace(lambda x: getattr(np, name)(x), {"x": x}), [x])
    mpmath.mp.prec = 120
    truth = [getattr(mpmath, name)(mpmath.mpf(float(i))) for i in x]
    with np.errstate(over="ignore"):
        rounded = np.array([float(t) for t in truth]).astype(dtype)
    unit = np.spacing(np.maximum(np.abs(rounded), np.finfo(dtype).tiny))
    error = [
        abs(mpmath.mpf(float(a)) - t) / float(u) for a, t, u in zip(y, truth, unit, strict=True)
    ]
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(y[~finite], rounded[~finite])
    bound = 2 if dtype is np.float32 else 4
    assert max(float(e) for e, ok in zip(error, finite, strict=True) if ok) <= bound


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sines_near_where_they_are_zero(dtype: Any) -> None:
    mpmath = pytest.importorskip("mpmath", reason="the truth comes from mpmath")
    mpmath.mp.prec = 200
    x = (np.arange(1, 60_000, 97) * np.pi / 2).astype(dtype)
    program = trace(lambda x: {"sin": np.sin(x), "cos": np.cos(x)}, {"x": x})
    for name, y in zip(program.outputs, native(program, [x]), strict=True):
        for angle, found in zip(x, y, strict=True):
            truth = getattr(mpmath, name)(mpmath.mpf(float(angle)))
            assert abs(mpmath.mpf(float(found)) - truth) <= 4 * np.spacing(dtype(abs(truth)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_special_values(dtype: Any) -> None:
    x = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-45, 1e38, -1e38, 710, -746], dtype)

    def function(x: Any) -> Any:
        return {
            "exp": x.exp(), "tanh": x.tanh(), "log": x.log(), "relu": x.relu(),
            "sigmoid": x.sigmoid(), "sign": np.sign(x), "top": x[:3].max() if 0 else x.max(),
        }  # fmt: skip

    with np.errstate(all="ignore"):
        program = trace(function, {"x": x})
        y = dict(zip(program.outputs, native(program, [x]), strict=True))
        np.testing.assert_allclose(y["exp"], np.exp(x), rtol=1e-6, atol=1e-44)
        np.testing.assert_allclose(y["log"], np.log(x), rtol=1e-6)
        np.testing.assert_allclose(y["tanh"], np.tanh(x), rtol=1e-6)
        np.testing.assert_array_equal(np.signbit(y["tanh"][3:5]), [False, True])
        np.testing.assert_array_equal(y["relu"], np.maximum(x, 0))
        np.testing.assert_allclose(y["sigmoid"], tg.sigmoid(x), rtol=1e-6, atol=1e-44)
        np.testing.assert_array_equal(y["sign"], np.sign(x))
        assert np.isnan(y["top"])


def test_the_pixels_are_divided_as_numpy_divides() -> None:
    for pixel_max in (255, 16, 7, 3):
        x = np.arange(256, dtype=np.uint8).reshape(16, 16)

        def function(x: Any, pixel_max: int = pixel_max) -> Any:
            return x.astype(np.float32) / pixel_max

        (y,) = native(trace(function, {"x": x}), [x])
        np.testing.assert_array_equal(y, x.astype(np.float32) / pixel_max)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("divisor", [2.0, -32, 0.25, 1, 2.0**98, 2.0**-98, 2.0**126, 3])
def test_a_division_has_the_bits_of_numpys(dtype: Any, divisor: float) -> None:
    info = np.finfo(dtype)
    special = [0.0, -0.0, info.tiny, info.smallest_subnormal, info.max, np.inf, -np.inf, np.nan]
    x = np.concatenate([np.random.default_rng(0).normal(size=500), special]).astype(dtype)
    with np.errstate(over="ignore", under="ignore"):
        expected = x / divisor
        (y,) = native(trace(lambda x: x / divisor, {"x": x}), [x])
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(np.signbit(y), np.signbit(expected))


def test_a_new_value_never_overwrites_what_is_still_needed() -> None:
    def function(a: Any, b: Any) -> Any:
        product = a @ b
        return {"a": a - product.T, "b": product @ a, "sum": (a * b).sum()}

    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 9, 9))
    program = trace(function, {"a": a, "b": b})
    for y, expected in zip(
        native(program, [a, b]), [a - (a @ b).T, a @ b @ a, (a * b).sum()], strict=True
    ):
        np.testing.assert_allclose(y, expected, atol=1e-12)


def test_a_swap_is_refused_rather_than_miscompiled() -> None:
    program = trace(lambda a, b: {"a": b, "b": a}, {"a": 1.0, "b": 2.0})
    with pytest.raises(Untraceable, match="new value of"):
        native(program, [1.0, 2.0])


def test_arrays_that_are_never_needed_together_share_their_place() -> None:
    def function(x: Any) -> Any:
        for _ in range(10):
            x = x @ x
        return x

    x = np.eye(64, dtype=np.float32)
    machine = Native(lower(trace(function, {"x": x})))
    assert machine.plan.sizes["scratch"] == 3 * x.nbytes or machine.plan.sizes["scratch"] == (
        2 * x.nbytes
    )
    np.testing.assert_array_equal(machine(x)[0], x)


NEXT: list[Callable[..., Any]] = [
    lambda a, b, x, w: a + b,
    lambda a, b, x, w: a * b.tanh(),
    lambda a, b, x, w: np.where(a > b, a, 0.5 * b),
    lambda a, b, x, w: a - a.max(axis=1, keepdims=True),
    lambda a, b, x, w: a.mean(axis=0) + a,
    lambda a, b, x, w: tg.softmax(a),
    lambda a, b, x, w: (a.tanh() @ w).relu() + x,
    lambda a, b, x, w: a.T.reshape(a.shape) * 0.5,
    lambda a, b, x, w: np.sin(a) * b[::-1],
    lambda a, b, x, w: np.concatenate([a, b], axis=0)[1 : a.shape[0] + 1],
    lambda a, b, x, w: np.stack([a, 2 * b], axis=1).mean(axis=1),
    lambda a, b, x, w: np.pad(a, ((1, 0), (0, 2)))[:-1, 1:-1],
    lambda a, b, x, w: a[np.arange(a.shape[0]) // 2] + b,
    lambda a, b, x, w: (np.stack([a, b]) @ w)[1].tanh(),
]


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), dtype=st.sampled_from([np.float32, np.float64]))
def test_random_graphs(seed: int, dtype: Any) -> None:
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 20, 2)

    def function(x: Any, w: Any) -> Any:
        rng = np.random.default_rng(seed)
        known = [x, x.tanh(), (x @ w).sigmoid() if rng.random() < 0.8 else x]
        for _ in range(rng.integers(1, 12)):
            a, b = (known[i] for i in rng.integers(0, len(known), 2))
            known.append(NEXT[rng.integers(len(NEXT))](a, b, x, w))
        y = (known[-1] * known[len(known) // 2]).sum()
        return {"y": y, "dx": tg.grad(y, x), "dw": tg.grad(y, w)}

    x, w = rng.normal(size=(n, m)).astype(dtype), rng.normal(size=(m, m)).astype(dtype)
    program = trace(function, {"x": x, "w": w})
    truth = function(tg.Tensor(x.astype(float)), tg.Tensor(w.astype(float)))
    for y, expected in zip(native(program, [x, w]), truth.values(), strict=True):
        eps = 1e5 * np.finfo(dtype).eps
        scale = np.abs(expected.value).max(initial=1.0)
        np.testing.assert_allclose(y, expected.value, rtol=eps, atol=eps * scale)


def test_a_feed_of_the_wrong_size_is_refused() -> None:
    program = trace(lambda lr: lr * 2, {"lr": 1.0})
    machine = Native(lower(program))
    with pytest.raises(ValueError, match="lr: 3 rows"):
        machine.run({"lr": np.zeros(2)}, steps=3)


def test_kernels_that_do_the_same_are_compiled_once() -> None:
    from tarograd.compiler.llvm.native import emit, host
    from tarograd.compiler.plan import Plan

    def function(x: Any, w: Any) -> Any:
        for _ in range(6):
            x = (x @ w).tanh()
        return x

    x = np.eye(16, dtype=np.float32)
    plan = Plan(lower(trace(function, {"x": x, "w": x})), host().bits // 32)
    text = str(emit(plan, host())[0])
    assert len(plan.kernels) == 6
    assert text.count("define internal") <= 4


@settings(max_examples=40)
@given(
    rows=st.sampled_from([1, 2, 3, 4, 5, 10, 16, 17, 33]),
    columns=st.sampled_from([1, 2, 3, 5, 10, 15, 16, 17, 40]),
    dtype=st.sampled_from([np.float32, np.float64]),
    bits=st.sampled_from([128, 256, 512]),
)
def test_rows_with_all_that_is_computed_of_them(
    rows: int, columns: int, dtype: Any, bits: int
) -> None:
    rng = np.random.default_rng([rows, columns])
    x, w = rng.normal(size=(rows, columns)).astype(dtype) * 3, rng.normal(size=columns)
    w = w.astype(dtype)

    def function(x: Any, w: Any) -> Any:
        top = x.max(axis=1, keepdims=True)
        e = (x - top).exp() * w
        total = e.sum(axis=1)
        y = e / total.reshape(rows, 1)
        return {
            "y": y, "top": top, "total": total * 2, "all": (y * x).sum(),
            "columns": y.sum(axis=0), "low": (y * y).min(axis=1), "turned": y.T + x.T,
        }  # fmt: skip

    program = trace(function, {"x": x, "w": w})
    truth = function(tg.Tensor(x.astype(float)), tg.Tensor(w.astype(float)))
    got = dict(zip(program.outputs, native(program, [x, w], bits), strict=True))
    for name, expected in truth.items():
        eps = 300 * np.finfo(dtype).eps * max(1.0, np.abs(truth["y"].value).max() ** 2)
        scale = np.abs(expected.value).max(initial=1.0)
        np.testing.assert_allclose(got[name], expected.value, rtol=eps, atol=eps * scale)


@pytest.mark.parametrize("rows", [3, 5, 17, 31, 32])
def test_rows_that_get_a_new_value_are_computed_once(rows: int) -> None:
    w = np.arange(3.0 * rows).reshape(rows, 3)

    def function(w: Any, x: Any) -> Any:
        return {"w": w * 0.5 - x.sum(axis=1, keepdims=True)}

    (y,) = native(trace(function, {"w": w, "x": np.ones_like(w)}), [w, np.ones_like(w)])
    np.testing.assert_array_equal(y, w * 0.5 - 3)


@pytest.mark.parametrize("n", [1, 4, 7])
def test_a_vector_beside_the_rows_of_a_square_is_not_taken_for_a_column(n: int) -> None:
    x = np.arange(1.0, n * n + 1).reshape(n, n)

    def function(x: Any) -> Any:
        sums = x.sum(axis=1)
        return {"across": x * sums, "down": x * sums.reshape(n, 1), "outer": x + x.sum(axis=1).T}

    sums = x.sum(axis=1)
    expected = [x * sums, x * sums[:, None], x + sums]
    for y, truth in zip(native(trace(function, {"x": x}), [x]), expected, strict=True):
        np.testing.assert_array_equal(y, truth)


def test_a_softmax_with_its_loss_and_slope_is_one_kernel_beside_the_sum() -> None:
    from tarograd.compiler.plan import Plan

    def function(x: Any, t: Any) -> Any:
        loss = tg.softmax_with_loss(x, t)
        return {"loss": loss, "dx": tg.grad(loss, x)}

    x, t = np.ones((6, 10), np.float32), np.arange(6)
    plan = Plan(lower(trace(function, {"x": x, "t": t})), widest=16)
    assert [kernel.kind for kernel in plan.kernels] == ["rows", "reduce"]


@pytest.mark.parametrize("bits", [128, 256, 512])
@pytest.mark.parametrize(("n", "k", "m"), [(13, 70, 50), (6, 64, 17), (1, 200, 100), (40, 65, 130)])
def test_a_heavy_function_follows_a_product_in_tiles_of_all_sizes(
    n: int, k: int, m: int, bits: int
) -> None:
    rng = np.random.default_rng(n)
    x, w = rng.normal(size=(n, k)), rng.normal(size=(k, m)) / np.sqrt(k)
    c = rng.normal(size=m)
    program = trace(lambda x, w, c: (x @ w + c).tanh() * 2, {"x": x, "w": w, "c": c})
    (y,) = native(program, [x, w, c], bits)
    np.testing.assert_allclose(y, np.tanh(x @ w + c) * 2, rtol=1e-12, atol=1e-13)
