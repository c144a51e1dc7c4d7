"""Kernels of arrays that are turned, cut, joined, stacked and gathered, against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_native import native

import tarograd as tg
from tarograd.compiler.llvm import share
from tarograd.compiler.llvm.native import Native
from tarograd.compiler.lower import lower
from tarograd.compiler.plan import Plan
from tarograd.compiler.trace import trace
from tarograd.ops import matmul

LENGTHS = [1, 2, 3, 4, 7, 8, 12, 15, 16, 17, 33]
Step = Callable[[Any, Any], Any]


def _merged(x: Any, rng: Any) -> Any:
    i = rng.integers(x.ndim - 1) if x.ndim > 1 else 0
    return x.reshape((*x.shape[:i], -1, *x.shape[i + 2 :])) if x.ndim > 1 else x.reshape(1, -1)


def _split(x: Any, rng: Any) -> Any:
    i = rng.integers(x.ndim)
    n = rng.choice([d for d in range(1, x.shape[i] + 1) if x.shape[i] % d == 0])
    return x.reshape((*x.shape[:i], n, x.shape[i] // n, *x.shape[i + 1 :]))


def _sliced(x: Any, rng: Any) -> Any:
    i, step = rng.integers(x.ndim), rng.choice([1, 1, 2, -1, -3])
    n = x.shape[i]
    start, stop = sorted(rng.integers(0, n + 1, 2))
    part = slice(start, max(stop, start + 1), step) if step > 0 else slice(None, None, step)
    return x[(*(slice(None),) * i, part)] if start < n else x


def _gathered(x: Any, rng: Any) -> Any:
    i = rng.integers(x.ndim)
    rows = rng.integers(-x.shape[i], x.shape[i], rng.integers(1, 6))
    return x[(*(slice(None),) * i, rows)]


STEPS: list[Step] = [
    lambda x, rng: x.transpose(tuple(int(i) for i in rng.permutation(x.ndim))),
    lambda x, rng: x.transpose(tuple(int(i) for i in rng.permutation(x.ndim))),
    _merged,
    _split,
    _sliced,
    _gathered,
    lambda x, rng: np.maximum(x, 0.25) * 1.5,
    lambda x, rng: x - x.max(axis=int(rng.integers(x.ndim)), keepdims=True),
    lambda x, rng: x + x.sum(axis=0),
    lambda x, rng: x[..., int(rng.integers(x.shape[-1]))] if x.ndim > 1 else x[None],
    lambda x, rng: np.concatenate([x, 2 * x], axis=int(rng.integers(x.ndim))),
    lambda x, rng: np.stack([x, 3 - x, x * x], axis=int(rng.integers(x.ndim + 1))),
    lambda x, rng: np.pad(x, [tuple(rng.integers(0, 3, 2)) for _ in x.shape], constant_values=2),
]


@settings(max_examples=150)
@given(
    seed=st.integers(0, 10**6),
    dims=st.lists(st.sampled_from(LENGTHS), min_size=1, max_size=4).filter(
        lambda dims: np.prod(dims) < 5000
    ),
    dtype=st.sampled_from([np.float32, np.float64]),
    bits=st.sampled_from([128, 256, 512]),
)
def test_whatever_is_done_to_the_order_of_elements(
    seed: int, dims: list[int], dtype: Any, bits: int
) -> None:
    x = np.random.default_rng(seed).uniform(-1, 1, dims).astype(dtype)

    def function(x: Any) -> Any:
        rng = np.random.default_rng(seed)
        y, total = x, (x * x).sum()
        for _ in range(rng.integers(1, 7)):
            y = STEPS[rng.integers(len(STEPS))](y, rng)
            if y.size > 20_000:
                break
            if rng.random() < 0.5:
                total = total + (y * y).mean()
        return y * 2, total

    program = trace(lambda x: [*function(x), tg.grad(function(x)[1], x)], {"x": x})
    exact = tg.Tensor(x.astype(float))
    truth = [*function(x.astype(float)), tg.grad(function(exact)[1], exact).value]
    for y, expected in zip(native(program, [x], bits), truth, strict=True):
        eps = 2000 * np.finfo(dtype).eps
        scale = np.abs(expected).max(initial=1.0)
        np.testing.assert_allclose(y, expected, rtol=eps, atol=eps * scale)


@settings(max_examples=60)
@given(
    sizes=st.tuples(*[st.sampled_from([1, 2, 3, 7, 8, 15, 16, 17, 20, 33])] * 3),
    stack=st.sampled_from([(1,), (2,), (5,), (2, 3), (1, 4)]),
    turned=st.tuples(st.booleans(), st.booleans()),
    repeated=st.sampled_from(["neither", "left", "right"]),
    dtype=st.sampled_from([np.float32, np.float64]),
    bits=st.sampled_from([128, 256, 512]),
)
def test_stacks_of_products(
    sizes: tuple[int, int, int],
    stack: tuple[int, ...],
    turned: tuple[bool, bool],
    repeated: str,
    dtype: Any,
    bits: int,
) -> None:
    n, k, m = sizes
    rng = np.random.default_rng([n, k, m])
    a = rng.normal(size=(*stack, k, n) if turned[0] else (*stack, n, k)).astype(dtype)
    b = rng.normal(size=(*stack, m, k) if turned[1] else (*stack, k, m)).astype(dtype)
    first = (0,) * len(stack)
    a, b = a[first] if repeated == "left" else a, b[first] if repeated == "right" else b
    c = rng.normal(size=(n, m)).astype(dtype)

    def matrices(a: Any, b: Any) -> tuple[Any, Any]:
        left = np.swapaxes(a, -1, -2) if turned[0] else a
        return left, np.swapaxes(b, -1, -2) if turned[1] else b

    def function(a: Any, b: Any, c: Any) -> Any:
        left, right = matrices(a, b)
        y = left @ right
        return {"y": np.maximum(y * 0.5 + c, 0), "sum": y.sum(axis=tuple(range(len(stack))))}

    program = trace(function, {"a": a, "b": b, "c": c})
    y = np.matmul(*matrices(a.astype(float), b.astype(float)))
    got = dict(zip(program.outputs, native(program, [a, b, c], bits), strict=True))
    bound = 8 * (k + 4) * np.finfo(dtype).eps * (np.abs(y).max() + np.sqrt(k))
    np.testing.assert_allclose(got["y"], np.maximum(y * 0.5 + c, 0), atol=bound)
    total = y.sum(axis=tuple(range(len(stack))))
    np.testing.assert_allclose(got["sum"], total, atol=bound * np.prod(stack) ** 1.5)


def convolution(x: Any, w: Any, stride: int) -> Any:
    """As people write it: windows beside each other, then one product; w (f, c, k, k)."""
    n, c, height, width = x.shape
    f, k = w.shape[0], w.shape[2]
    rows, columns = (height - 1) // stride + 1, (width - 1) // stride + 1
    p = np.pad(x, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    ends = range(0, height, stride)[-1] + 1, range(0, width, stride)[-1] + 1
    windows = [
        p[:, :, i : i + ends[0] : stride, j : j + ends[1] : stride]
        for i in range(k)
        for j in range(k)
    ]
    stacked = np.stack(windows, axis=2).reshape(n, c * k * k, rows * columns)
    flat = stacked.transpose(0, 2, 1).reshape(n * rows * columns, c * k * k)
    y = flat @ w.reshape(f, c * k * k).T
    return y.reshape(n, rows, columns, f).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("bits", [128, 256, 512])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("n", "c", "h", "w", "f", "stride"),
    [(1, 1, 1, 1, 1, 1), (2, 3, 7, 5, 8, 1), (3, 2, 16, 17, 5, 2), (2, 8, 14, 14, 16, 1)],
)
def test_a_convolution_and_its_gradients(
    n: int, c: int, h: int, w: int, f: int, stride: int, dtype: Any, bits: int
) -> None:
    rng = np.random.default_rng(n + h)
    x, kernel = rng.normal(size=(n, c, h, w)), rng.normal(size=(f, c, 3, 3))
    rows, columns = -(-h // stride), -(-w // stride)
    g = rng.normal(size=(n, f, rows, columns))

    def function(x: Any, kernel: Any, g: Any) -> Any:
        y = convolution(x, kernel, stride).relu()
        return [y, *tg.grad((y * g).sum(), [x, kernel])]

    given = [a.astype(dtype) for a in (x, kernel, g)]
    program = trace(function, dict(zip(("x", "kernel", "g"), given, strict=True)))
    y, dx, dw = np.zeros(g.shape), np.zeros(x.shape), np.zeros(kernel.shape)
    # By the definition, a pixel of the result after the other.
    for row, column in np.ndindex(rows, columns):
        padded, padded_dx = (
            np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))),
            np.zeros((n, c, h + 2, w + 2)),
        )
        top, left = row * stride, column * stride
        window = padded[:, :, top : top + 3, left : left + 3]
        pixel = np.einsum("ncij,fcij->nf", window, kernel)
        y[:, :, row, column] = np.maximum(pixel, 0)
        slope = np.where(pixel > 0, g[:, :, row, column], 0)
        dw += np.einsum("ncij,nf->fcij", window, slope)
        padded_dx[:, :, top : top + 3, left : left + 3] = np.einsum("nf,fcij->ncij", slope, kernel)
        dx += padded_dx[:, :, 1:-1, 1:-1]
    for got, expected in zip(native(program, given, bits), (y, dx, dw), strict=True):
        bound = 3000 * np.finfo(dtype).eps * max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(got, expected, atol=bound)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.bool_])
@pytest.mark.parametrize("dims", [(1, 1), (3, 20), (17, 5), (2, 16, 3), (5, 7, 33)])
def test_the_places_of_maxima_along_any_axis(dims: tuple[int, ...], dtype: Any) -> None:
    rng = np.random.default_rng(dims)
    x = rng.integers(0, 4, dims).astype(dtype)  # the largest stands at several places
    if np.dtype(dtype).kind == "f":
        x[rng.random(dims) < 0.1] = np.nan
    axes = range(x.ndim)

    def function(x: Any) -> Any:
        turned = x.T
        return [np.argmax(y, axis=axis) for y in (x, turned) for axis in (*axes, None)]

    with np.errstate(invalid="ignore"):
        for got, expected in zip(native(trace(function, {"x": x}), [x]), function(x), strict=True):
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("columns", [1, 7, 16, 17, 40])
def test_what_is_gathered_twice_is_added_in_numpys_order(columns: int) -> None:
    rng = np.random.default_rng(columns)
    words, ids = rng.normal(size=(11, columns)), rng.integers(-11, 11, (6, 9))
    words = words.astype(np.float32)
    g = (rng.normal(size=(6, 9, columns)) * 10.0 ** rng.integers(-4, 4, (6, 9, 1))).astype(
        np.float32
    )

    def function(words: Any, ids: Any, g: Any) -> Any:
        return tg.grad((words[ids] * g).sum(), words)

    (got,) = native(trace(function, {"words": words, "ids": ids, "g": g}), [words, ids, g])
    expected = np.zeros_like(words)
    np.add.at(expected, ids, g)
    np.testing.assert_array_equal(got, expected)


def test_slices_that_overlap_are_added_in_their_order() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 40)).astype(np.float32)
    scales = 10.0 ** rng.integers(-3, 4, 5)

    def function(x: Any) -> Any:
        parts = [x[:, i : i + 30] * float(s) for i, s in enumerate(scales)]
        return tg.grad(sum((p * p[:, ::-1]).sum() for p in parts), x)

    exact = tg.Tensor(x.astype(float))
    (got,) = native(trace(function, {"x": x}), [x])
    expected = function(exact).value
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


def test_words_gathered_and_laid_side_by_side_are_no_images() -> None:
    words = np.arange(12.0).reshape(4, 3)
    ids = np.array([[0, 3], [2, 2], [1, -1]])
    program = trace(lambda words, ids: words[ids].reshape(3, -1), {"words": words, "ids": ids})
    np.testing.assert_array_equal(native(program, [words, ids])[0], words[ids].reshape(3, 6))


def network(x: Any, kernel: Any, words: Any, ids: Any) -> Any:
    """Something of each kind of kernel."""
    y = convolution(x, kernel, 1).relu()
    n, f, height, width = y.shape
    pooled = y.reshape(n, f, height // 2, 2, width // 2, 2).max(axis=(3, 5)).reshape(n, f, -1)
    scores = tg.softmax(pooled @ np.swapaxes(pooled, 1, 2) / 3, axis=2) @ pooled
    embedded = words[ids].mean(axis=1)
    both = np.concatenate([scores.sum(axis=2), embedded, embedded[:, ::2]], axis=1)
    loss = (both * both).sum() + (np.stack([both, both * 2], axis=1)[:, 0] ** 3).mean()
    best = np.argmax(scores, axis=2)
    return [loss, best, *tg.grad(loss, [x, kernel, words])]


def test_the_bits_do_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share, "WORTH_SHARING", 0.0)
    monkeypatch.setattr(share, "WORTH_TAKING", 0.0)
    rng = np.random.default_rng(1)
    given: dict[str, Any] = {
        "x": rng.normal(size=(5, 2, 14, 18)).astype(np.float32),
        "kernel": rng.normal(size=(7, 2, 3, 3)).astype(np.float32),
        "words": rng.normal(size=(19, 21)).astype(np.float32),
        "ids": rng.integers(0, 19, (5, 6)),
    }
    machine = Native(lower(trace(network, given)), shared=True)
    kinds = {kernel.kind for kernel in machine.plan.kernels}
    assert {"matmul", "join", "scatter", "argmax", "loop", "reduce"} <= kinds

    def bits(threads: int) -> list[bytes]:
        machine.scratch[:] = 0xFF
        for name, v in machine.program.inputs.items():
            machine.view(v)[...] = given[name]
        machine.run({}, 1, threads)
        return [machine.result(name).tobytes() for name in machine.program.outputs]

    expected = bits(1)
    for threads in (2, 3, 4):
        for _ in range(3):
            assert bits(threads) == expected


def kernels(function: Callable[..., Any], given: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """What each kernel of a function computes."""
    plan = Plan(lower(trace(function, given)), widest=16)
    return [
        (kernel.kind, [v.primitive.name for v in kernel.values if v.primitive])
        for kernel in plan.kernels
    ]


def test_the_relu_and_the_pool_of_a_convolution_follow_its_product_in_order() -> None:
    given = {"x": np.zeros((2, 3, 8, 8)), "w": np.zeros((4, 3, 3, 3))}

    def function(x: Any, w: Any) -> Any:
        y = convolution(x, w, 1).relu()
        return y.reshape(2, 4, 4, 2, 4, 2).max(axis=(3, 5)).sum()

    found = kernels(function, given)
    assert found[-3:] == [
        ("matmul", ["matmul", "maximum"]),
        ("reduce", ["max"]),
        ("reduce", ["sum"]),
    ]
    copies = ["join", "join", "loop"]  # the margin, the windows, and the weights turned over
    assert [kind for kind, _ in found[:-3]] == copies


def heads(x: Any, w: Any, count: int) -> Any:
    """An attention without its softmax: x (batch, places, features)."""
    n, places, _ = x.shape
    size = w.shape[1] // 3 // count
    qkv = (x @ w).reshape(n, places, 3, count, size)
    q, k, v = (qkv[:, :, i].transpose(0, 2, 1, 3) for i in range(3))
    scores = q @ np.swapaxes(k, 2, 3) / 3 + 1
    return (scores @ v).transpose(0, 2, 1, 3).reshape(n, places, count * size) @ w[:, :5]


def test_the_heads_of_an_attention_are_read_where_they_lie() -> None:
    given = {"x": np.zeros((2, 8, 12)), "w": np.zeros((12, 36))}
    found = kernels(lambda x, w: heads(x, w, 4), given)
    products = [names for kind, names in found if kind == "matmul"]
    assert products == [["matmul"], ["matmul", "divide", "add"], ["matmul"], ["matmul"]]
    copies = [names for kind, names in found if kind in ("loop", "join")]
    # Keys and weights, whose rows have to be in order; and the result.
    assert copies == [["transpose"], ["index"], ["reshape"]]


@pytest.mark.parametrize("bits", [128, 256, 512])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 3, 8, 17])
def test_heads_of_any_size(size: int, dtype: Any, bits: int) -> None:
    rng = np.random.default_rng(size)
    x, w = rng.normal(size=(3, 7, 2 * size)), rng.normal(size=(2 * size, 6 * size)) / size
    given = {"x": x.astype(dtype), "w": w.astype(dtype)}

    def function(x: Any, w: Any) -> Any:
        y = heads(x, w, 2)
        return [y, *tg.grad((y * y).sum(), [x, w])]

    exact = function(tg.Tensor(x), tg.Tensor(w))
    got = native(trace(function, given), list(given.values()), bits)
    np.testing.assert_allclose(exact[0].value, heads(x, w, 2), rtol=1e-12)
    for y, expected in zip(got, exact, strict=True):
        bound = 3000 * np.finfo(dtype).eps * np.abs(expected.value).max()
        np.testing.assert_allclose(y, expected.value, atol=bound)


def test_gradients_of_slices_are_one_kernel() -> None:
    def function(x: Any) -> Any:
        parts = [x[:, i * 5 : i * 5 + 5].tanh() * (i + 1) for i in range(4)]
        return tg.grad((parts[0] * parts[1] + parts[2] * parts[3]).sum(), x)

    assert [kind for kind, _ in kernels(function, {"x": np.zeros((6, 20))})].count("join") == 1


def test_a_stack_times_one_matrix_is_one_product() -> None:
    given = {"x": np.zeros((5, 6, 7)), "w": np.zeros((7, 8))}

    def function(x: Any, w: Any) -> Any:
        y = np.maximum(x @ w, 0)
        return [y.mean(), *tg.grad(y.mean(), [x, w])]

    program = lower(trace(function, given))
    products = [v.shape for v in program.order() if v.is_op(matmul.matmul)]
    assert products == [(30, 8), (30, 7), (7, 8)]


@pytest.mark.parametrize("shape", [(1,), (1, 5), (1, 1), (2, 1, 3)])
def test_gradients_of_single_places_along_an_axis_of_one(shape: tuple[int, ...]) -> None:
    """Of sin(x₀) · 3 and x₀², of which both have their gradient at the only place there is."""
    x = np.random.default_rng(0).normal(size=shape)
    key = (..., 0, slice(None)) if len(shape) == 3 else 0

    def function(x: Any) -> Any:
        return tg.grad((3 * np.sin(x[key])).sum() + (x[key] ** 2).sum(), x)

    np.testing.assert_allclose(tg.compile(function)(x), 3 * np.cos(x) + 2 * x)
