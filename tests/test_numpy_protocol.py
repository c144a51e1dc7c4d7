"""NumPy's own functions, given Tensors: the same values and the right gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agreement import assert_agrees
from numeric import Array
from numpy_calls import COMPOSED, STACKS, A, B, Call, V, binary, unary
from rows import locked
from tarograd import Tensor, grad
from tarograd.graph import topological_order
from tarograd.numpy_functions import FUNCTIONS, REDUCTIONS, UFUNCS
from tarograd.ops.shape import repeat

MASK = np.array([[True, False, True], [False, False, True]])

# NumPy has the names `min` and `max` since 2.1.
NEW = np.lib.NumpyVersion(np.__version__) >= "2.1.0"
AT_LEAST: Any = {"min": 0.5} if NEW else {"a_min": 0.5, "a_max": None}


def reduction(f: Any) -> list[Call]:
    return [
        (f, (A,)),
        (lambda x: f(x, 1), (A,)),
        (lambda x: f(x, axis=-1, keepdims=True), (A,)),
        (lambda x: f(x, axis=(0, 2)), (STACKS,)),
    ]


def tensordot(**how: Any) -> Callable[..., Any]:
    f: Any = np.tensordot
    return lambda *xs: f(*xs, **how)


CALLS: dict[Any, list[Call]] = {
    **{f: binary(f) for f in UFUNCS if f.nin == 2 and f is not np.matmul},
    **{f: unary(f) for f in UFUNCS if f.nin == 1},
    np.tan: unary(lambda x: np.tan(x / 2)),
    np.bitwise_and: [(lambda x: (x > 0) & MASK, (A,)), (lambda x: MASK & (x > 0), (A,))],
    np.bitwise_or: [(lambda x: (x > 0) | MASK[0], (A,)), (lambda x: MASK | (x[0] > 0), (A,))],
    np.bitwise_xor: [(lambda x: (x > 0) ^ MASK, (A,)), (lambda x: True ^ (x > 0), (A,))],
    np.invert: [(lambda x: ~(x > 0), (A,)), (lambda x: np.bitwise_not(x > 0), (A,))],
    **{f: reduction(f) for f in (np.sum, np.mean, np.max, np.min, np.amax, np.amin, np.prod)},
    np.matmul: [
        (np.matmul, (A, B.T)),
        (np.matmul, (V, B.T)),
        (np.matmul, (A, V)),
        (np.matmul, (V, V)),
        (np.matmul, (STACKS, A.T)),
        (np.matmul, (A[:, :2], STACKS)),
        (np.matmul, (STACKS, STACKS.transpose(0, 2, 1))),
        (np.matmul, (STACKS[:, None], A.T[None])),
        (np.matmul, (STACKS, V)),
        (np.matmul, (V[:2], STACKS)),
        (lambda x: np.matmul(B, x), (V,)),
        (lambda x: x @ [1.0, 2.0, 3.0], (A,)),
        (lambda x: [[1.0, 2.0]] @ x, (A,)),
    ],
    np.var: [
        *reduction(np.var),
        (lambda x: np.var(x, axis=0, ddof=1, keepdims=True), (A,)),
    ],
    np.std: [*reduction(np.std), (lambda x: np.std(x, 1, ddof=1), (A,))],
    np.linalg.norm: [
        (np.linalg.norm, (A,)),
        (lambda x: np.linalg.norm(x, axis=1, keepdims=True), (A,)),
        (lambda x: np.linalg.norm(x, 1, 0), (A,)),
        (lambda x: np.linalg.norm(x, np.inf, axis=1), (A,)),
        (lambda x: np.linalg.norm(x, 3, axis=1), (A,)),
        (lambda x: np.linalg.norm(x, 1.5, axis=0, keepdims=True), (A,)),
        (lambda x: np.linalg.norm(x, 2), (V,)),
        (lambda x: np.linalg.norm(x, "fro"), (A,)),
        (lambda x: np.linalg.norm(x, axis=(0, 2)), (STACKS,)),
    ],
    np.argmax: [
        (np.argmax, (A,)),
        (lambda x: np.argmax(x, 1), (A,)),
        (lambda x: np.argmax(x, axis=0), (A,)),
        (lambda x: np.argmax(x, 1, keepdims=True), (A,)),
        (lambda x: np.argmax(x, keepdims=True), (A,)),
    ],
    np.argmin: [(np.argmin, (A,)), (lambda x: np.argmin(x, axis=1, keepdims=True), (A,))],
    np.reshape: [
        (lambda x: np.reshape(x, (3, -1)), (A,)),
        (lambda x: np.reshape(x, 6), (A,)),
        (lambda x: np.reshape(x, (-1, 2, 1), order="C"), (A,)),
    ],
    np.ravel: unary(np.ravel),
    np.transpose: [
        (np.transpose, (A,)),
        (lambda x: np.transpose(x, (1, -1, 0)), (STACKS,)),
        (lambda x: np.transpose(x, axes=[2, 0, 1]), (STACKS,)),
    ],
    np.swapaxes: [(lambda x: np.swapaxes(x, 0, -1), (STACKS,))],
    np.moveaxis: [
        (lambda x: np.moveaxis(x, 0, -1), (STACKS,)),
        (lambda x: np.moveaxis(x, (0, 1), (2, 0)), (STACKS,)),
    ],
    np.expand_dims: [
        (lambda x: np.expand_dims(x, 1), (A,)),
        (lambda x: np.expand_dims(x, (0, -1)), (A,)),
    ],
    np.squeeze: [
        (np.squeeze, (A[:, :1, None],)),
        (lambda x: np.squeeze(x, 1), (A[:, :1, None],)),
        (lambda x: np.squeeze(x, axis=(1, -1)), (A[:, :1, None],)),
    ],
    np.broadcast_to: [
        (lambda x: np.broadcast_to(x, (2, 3)), (V,)),
        (lambda x: np.broadcast_to(x, 4), (np.array(0.7),)),
    ],
    np.concatenate: [
        (lambda *xs: np.concatenate(xs), (A, B)),
        (lambda *xs: np.concatenate(xs, axis=-1), (A, B, A[:, :1])),
        (lambda *xs: np.concatenate(xs, axis=None), (A, V)),
        (lambda x: np.concatenate([[1.0, 2.0], x, V]), (V,)),
    ],
    np.stack: [
        (lambda *xs: np.stack(xs), (A, B)),
        (lambda *xs: np.stack(xs, axis=-1), (A, B)),
        (lambda x: np.stack([1.0, x, 2.0]), (np.array(0.7),)),
    ],
    np.vstack: [
        (lambda *xs: np.vstack(xs), (A, V)),
        (lambda *xs: np.vstack(xs), (np.array(0.7), np.array(0.8))),
    ],
    np.hstack: [
        (lambda *xs: np.hstack(xs), (A, B)),
        (lambda *xs: np.hstack(xs), (V, V[:1])),
        (lambda *xs: np.hstack(xs), (np.array(0.7), V)),
    ],
    np.pad: [
        (lambda x: np.pad(x, 1), (A,)),
        (lambda x: np.pad(x, (0, 2), constant_values=1.5), (A,)),
        (lambda x: np.pad(x, ((1, 0), (2, 3)), "constant"), (A,)),
        (lambda x: np.pad(x, ((1,), (2,))), (A,)),
        (lambda x: np.pad(x, 1), (np.array(0.7),)),
    ],
    np.flip: [
        (np.flip, (A,)),
        (lambda x: np.flip(x, 1), (A,)),
        (lambda x: np.flip(x, axis=(0, -1)), (STACKS,)),
        (np.flip, (np.array(0.7),)),
    ],
    np.roll: [
        (lambda x: np.roll(x, 2), (A,)),
        (lambda x: np.roll(x, -4, axis=1), (A,)),
        (lambda x: np.roll(x, (1, 2), axis=(0, -1)), (STACKS,)),
        (lambda x: np.roll(x, 1, axis=(0, 1)), (A,)),
        (lambda x: np.roll(x, (1, 2), axis=1), (A,)),
    ],
    np.split: [
        (lambda x: np.split(x, 3, axis=1)[2], (A,)),
        (lambda x: np.split(x, [1], axis=-1)[1] * np.split(x, [2], axis=1)[0], (A,)),
        (lambda x: np.concatenate(np.split(x, [0, 2, 2])), (V,)),
    ],
    np.repeat: [
        (lambda x: np.repeat(x, 2), (A,)),
        (lambda x: np.repeat(x, 3, axis=-1), (STACKS,)),
        (lambda x: np.repeat(x, 0, axis=0), (A,)),
        (lambda x: np.repeat(x, [2, 0, 1], axis=1), (A,)),
        (lambda x: np.repeat(x, 2), (np.array(0.7),)),
    ],
    np.tile: [
        (lambda x: np.tile(x, 2), (A,)),
        (lambda x: np.tile(x, (2, 1, 3)), (A,)),
        (lambda x: np.tile(x, (3, 1)), (STACKS,)),
        (lambda x: np.tile(x, 3), (np.array(0.7),)),
    ],
    np.take: [
        (lambda x: np.take(x, [4, 0, 4]), (A,)),
        (lambda x: np.take(x, np.array([[2, 0], [-1, 1]]), axis=1), (A,)),
        (lambda x: np.take(x, 1, axis=-1), (STACKS,)),
    ],
    np.take_along_axis: [
        (lambda x: np.take_along_axis(x, np.array([[2], [0]]), axis=1), (A,)),
        (lambda x: np.take_along_axis(x, np.array([[1, 0, 1]]), axis=0), (A,)),
        (lambda x: np.take_along_axis(x, np.zeros((2, 2, 4), int), 2), (STACKS,)),
        (lambda x: np.take_along_axis(x, np.array([5, 0]), axis=None), (A,)),
    ],
    np.diag: [
        (np.diag, (V,)),
        (lambda x: np.diag(x, -2), (V,)),
        (lambda x: np.diag(x, k=1), (V,)),
        (np.diag, (A,)),
        (lambda x: np.diag(x, 1), (A,)),
    ],
    np.diagonal: [
        (np.diagonal, (A,)),
        (lambda x: np.diagonal(x, -1, 2, 0), (STACKS,)),
        (lambda x: np.diagonal(x, offset=2, axis1=0, axis2=-1), (STACKS,)),
        (lambda x: np.diagonal(x, 5), (A,)),
    ],
    np.trace: [(np.trace, (A,)), (lambda x: np.trace(x, 1, 1, 2), (STACKS,))],
    np.tril: [(np.tril, (A,)), (np.tril, (V,)), (lambda x: np.tril(x, -1), (STACKS,))],
    np.triu: [(np.triu, (A,)), (lambda x: np.triu(x, k=1), (STACKS,))],
    np.diff: [
        (np.diff, (A,)),
        (lambda x: np.diff(x, 2), (STACKS,)),
        (lambda x: np.diff(x, axis=0), (A,)),
        (lambda x: np.diff(x, 4), (V,)),
    ],
    np.cumsum: [
        (np.cumsum, (A,)),
        (lambda x: np.cumsum(x, axis=1), (STACKS,)),
        (lambda x: np.cumsum(x, -1), (np.linspace(-1, 2, 22).reshape(2, 11),)),
        (np.cumsum, (np.array(0.7),)),
    ],
    np.average: [
        *reduction(np.average),
        (lambda *xs: np.average(xs[0], weights=xs[1]), (A, B)),
        (lambda *xs: np.average(xs[0], 1, xs[1], keepdims=True), (A, B)),
        (lambda *xs: np.average(xs[0], axis=1, weights=xs[1]), (A, V)),
        (lambda *xs: np.average(xs[0], axis=1, weights=xs[1]), (STACKS, V[:2])),
    ],
    np.dstack: [
        (lambda *xs: np.dstack(xs), (A, B)),
        (lambda *xs: np.dstack(xs), (V, V)),
        (lambda *xs: np.dstack(xs), (STACKS, A[:, :2])),
        (lambda *xs: np.dstack(xs), (np.array(0.7), np.array(0.8))),
    ],
    np.column_stack: [
        (lambda *xs: np.column_stack(xs), (V, A.T)),
        (lambda *xs: np.column_stack(xs), (V, V)),
    ],
    np.flipud: [(np.flipud, (A,))],
    np.fliplr: [(np.fliplr, (A,))],
    np.where: [
        (lambda x: np.where(x > 0, x, 0.1 * x), (A,)),
        (lambda *xs: np.where(MASK, *xs), (A, V)),
        (lambda x: np.where(MASK[0], 1, x), (A,)),
        (lambda x: np.where([1.5, 0, 0], x, 2.0), (V,)),
        (lambda x: np.where(True, x, 0), (V,)),
    ],
    np.clip: [
        (lambda x: np.clip(x, -0.5, 1.1), (A,)),
        (lambda x: np.clip(x, None, 0.5), (A,)),
        (lambda x: np.clip(x, a_min=np.float32(0.5), a_max=None), (A,)),
        (lambda x: np.clip(x, **AT_LEAST), (A,)),
        (lambda *xs: np.clip(*xs), (A, -V, V)),
    ],
    np.dot: [
        (np.dot, (A, B.T)),
        (np.dot, (V, V)),
        (np.dot, (A, V)),
        (np.dot, (np.array(0.7), A)),
        (lambda x: np.dot(x, 2.0), (A,)),
        (lambda x: np.dot([1.0, 2.0], x), (A,)),
        (np.dot, (A, STACKS.transpose(0, 2, 1))),
    ],
    np.inner: [(np.inner, (A, B)), (np.inner, (STACKS, V)), (lambda x: np.inner(x, 2.0), (V,))],
    np.outer: [(np.outer, (V, A)), (lambda x: np.outer(2.5, x), (V,))],
    np.tensordot: [
        (tensordot(), (A, B)),
        (tensordot(axes=0), (V, A)),
        (tensordot(axes=1), (STACKS, A.T)),
        (tensordot(axes=(0, 1)), (A, STACKS)),
        (tensordot(axes=([1, -1], [0, 1])), (STACKS, B)),
    ],
    np.einsum: [
        (lambda *xs: np.einsum("ij,kj->ik", *xs), (A, B)),
        (lambda *xs: np.einsum("nij, kj -> kni", *xs), (STACKS, B)),
        (lambda *xs: np.einsum("ij,j", *xs), (A, V)),
        (lambda *xs: np.einsum("bi,kij,bj->bk", *xs), (A[:, :2], STACKS, B)),
        (lambda *xs: np.einsum("...ij,kj->...ki", *xs), (STACKS, B)),
        (lambda *xs: np.einsum("...i,...", *xs), (STACKS, A[:, :2])),
        (lambda *xs: np.einsum("iji,ki,...k", *xs), (STACKS[..., :2], A[:, :2], B.T)),
        (lambda x: np.einsum("ii->i", x), (A @ B.T,)),
        (lambda x: np.einsum("ba", x), (A,)),
        (lambda x: np.einsum("ij->", x), (A,)),
        (lambda x: np.einsum("ij,ij->i", x, B), (A,)),
    ],
    **{
        f: [
            (lambda x, f=f: f(x > 1, axis=0), (A,)),
            (lambda x, f=f: f(x, keepdims=True), (A,)),
            (lambda x, f=f: f(x * MASK, -1), (STACKS,)),
        ]
        for f in (np.any, np.all)
    },
    np.zeros_like: [(np.zeros_like, (A,)), (lambda x: np.zeros_like(x, dtype=int), (A,))],
    np.ones_like: [(np.ones_like, (A,))],
    np.full_like: [(lambda x: np.full_like(x, 3.5), (A,))],
    np.shape: [(np.shape, (A,))],
    np.ndim: [(np.ndim, (A,))],
    np.size: [(np.size, (A,))],
    **COMPOSED,
}


def test_every_entry_has_a_call() -> None:
    assert CALLS.keys() == UFUNCS.keys() | FUNCTIONS.keys()


NAMED = [
    pytest.param(*call, id=f"{function.__name__}{i}")
    for function, calls in CALLS.items()
    for i, call in enumerate(calls)
]


@pytest.mark.parametrize(("f", "arrays"), NAMED)
def test_values_and_gradients_are_those_of_numpy(
    f: Callable[..., Any], arrays: tuple[Array, ...]
) -> None:
    assert_agrees(f, tuple(locked(x.copy()) for x in arrays))


lengths = st.integers(1, 3)
exactly = settings(max_examples=40, derandomize=True)


def drawn(data: st.DataObject, shape: tuple[int, ...]) -> Array:
    """An array of any shape, without ties."""
    seed = data.draw(st.integers(0, 99))
    return locked(np.random.default_rng(seed).normal(size=shape))


@exactly
@given(st.data())
def test_einsum_of_two_operands(data: st.DataObject) -> None:
    sizes = {c: data.draw(lengths) for c in "abcd"}
    names = [
        "".join(data.draw(st.lists(st.sampled_from("abcd"), unique=True, max_size=3)))
        for _ in range(2)
    ]
    known = sorted(set("".join(names)))
    result = "".join(data.draw(st.permutations(known))[: data.draw(st.integers(0, len(known)))])
    spec = f"{names[0]},{names[1]}" + data.draw(st.sampled_from(["", f"->{result}"]))
    arrays = tuple(drawn(data, tuple(sizes[c] for c in n)) for n in names)
    assert_agrees(lambda *xs: np.einsum(spec, *xs), arrays)


@pytest.mark.parametrize("ufunc", REDUCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("how", [{}, {"axis": 1}, {"axis": (0, 2), "keepdims": True}])
def test_ufuncs_reduce(ufunc: Any, how: Any) -> None:
    if ufunc is np.logaddexp and isinstance(how.get("axis"), tuple):
        how = {"axis": -1, "keepdims": True}  # all that NumPy itself has
    assert_agrees(lambda x: ufunc.reduce(x, **how), (locked(STACKS.copy()),))


@exactly
@given(st.data())
def test_matmul_of_vectors_matrices_and_stacks(data: st.DataObject) -> None:
    inner, full = data.draw(lengths), data.draw(st.lists(lengths, max_size=2))

    def stack() -> tuple[int, ...]:
        start = data.draw(st.integers(0, len(full)))
        return tuple(data.draw(st.sampled_from([1, n])) for n in full[start:])

    left = data.draw(st.sampled_from([(inner,), (*stack(), data.draw(lengths), inner)]))
    right = data.draw(st.sampled_from([(inner,), (*stack(), inner, data.draw(lengths))]))
    assert_agrees(np.matmul, (drawn(data, left), drawn(data, right)))


@exactly
@given(st.data())
def test_reductions_over_any_axes(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(lengths, max_size=3)))
    axes = data.draw(st.lists(st.integers(0, 2), unique=True))
    axis = tuple(i - data.draw(st.sampled_from([0, len(shape)])) for i in axes if i < len(shape))
    how = {"axis": data.draw(st.sampled_from([axis, None])), "keepdims": data.draw(st.booleans())}
    reductions: list[Any] = [np.sum, np.mean, np.max, np.min, np.prod, np.var]
    f = data.draw(st.sampled_from(reductions))
    assert_agrees(lambda x: f(x, **how), (drawn(data, shape),))


def test_the_norm_of_the_zero_vector_has_the_slope_zero() -> None:
    x = Tensor([[0.0, 0.0], [3.0, 4.0]])
    lengths: Any = np.linalg.norm(x, axis=1)
    assert np.array_equal(lengths.value, [0, 5])
    slopes = grad(lengths, x, np.ones(2)).value
    np.testing.assert_allclose(slopes, [[0.0, 0.0], [0.6, 0.8]], rtol=1e-15)


def test_the_deviation_of_equal_numbers_has_the_slope_zero() -> None:
    x = Tensor([[2.0, 2.0], [1.0, 3.0]])
    y: Any = np.std(x, axis=1)
    assert np.array_equal(y.value, [0, 1])
    assert np.array_equal(grad(y, x, np.ones(2)).value, [[0.0, 0.0], [-0.5, 0.5]])


@pytest.mark.parametrize("x", [np.array([1.0, 3.0]), np.ones(2)])
@pytest.mark.parametrize("ddof", [2, 3])
def test_a_variance_over_no_degree_of_freedom_is_that_of_numpy(x: Array, ddof: int) -> None:
    with pytest.warns(RuntimeWarning):
        y: Any = np.var(Tensor(x), ddof=ddof)
    with pytest.warns(RuntimeWarning):
        np.testing.assert_array_equal(y.value, np.var(x, ddof=ddof))


def test_a_norm_of_nan_is_nan() -> None:
    assert np.isnan(float(np.linalg.norm(Tensor([1.0, np.nan]))))


def test_sinh_keeps_its_digits_and_its_slope_is_infinite_where_it_is() -> None:
    x = Tensor([0.0, 1e-20, -1e-9, 700.0, 1e4, -1e4])
    with np.errstate(over="ignore"):
        y: Any = np.sinh(x)
        np.testing.assert_allclose(y.value, np.sinh(x.value), rtol=4e-16)
        np.testing.assert_allclose(grad(y, x, np.ones(6)).value, np.cosh(x.value), rtol=4e-16)


def test_the_mixed_derivative_of_a_power_at_the_exponent_zero() -> None:
    a, b = Tensor([2.0, -4.0]), Tensor([0.0, 0.0])
    slope = grad(a**b, a, np.ones(2))
    assert np.array_equal(grad(slope, b, np.ones(2)).value, [0.5, -0.25])


def test_float_power_is_of_float64_as_in_numpy() -> None:
    x = np.array([1.1, 2.3], np.float32)
    y: Any = np.float_power(Tensor(x), 3)
    assert y.dtype == np.float64
    assert np.array_equal(y.value, np.float_power(x, 3))


def test_remainders_and_rounding_as_operators() -> None:
    x = Tensor([-3.5, 2.25, 7.0])
    assert np.array_equal((x % 2).value, [0.5, 0.25, 1])
    assert np.array_equal((5 % x).value, [-2, 0.5, 5])
    assert np.array_equal((x // 2).value, [-2, 1, 3])
    assert np.array_equal((5 // x).value, [-2, 2, 0])
    quotient, rest = divmod(x, 2)
    assert np.array_equal(quotient.value, (x // 2).value)
    assert np.array_equal(rest.value, (x % 2).value)
    assert np.array_equal(divmod(5, x)[1].value, [-2, 0.5, 5])
    assert np.array_equal(round(x, 1).value, x.round(1).value)
    assert np.array_equal(round(x).value, [-4, 2, 7])
    assert np.array_equal(grad((5 % x).sum(), x).value, [2, -2, 0])


def test_whole_numbers_are_rounded_as_whole_numbers() -> None:
    places: Any = np.argsort(Tensor([3.0, 1.0, 2.0])) * 26
    roundings: list[Any] = [np.round, np.floor, np.ceil, np.trunc, lambda x: np.round(x, -1)]
    for f in roundings:
        expected = f(np.array([26, 52, 0]))
        assert np.array_equal(f(places).value, expected)
        assert f(places).dtype == expected.dtype


def test_ufuncs_accumulate() -> None:
    for ufunc in (np.add, np.multiply):
        assert_agrees(lambda x, f=ufunc: f.accumulate(x), (locked(A.copy()),))
        assert_agrees(lambda x, f=ufunc: f.accumulate(x, axis=1), (locked(A.copy()),))


def test_equal_elements_are_sorted_as_they_come() -> None:
    x = Tensor([2.0, 1.0, 2.0, 1.0])
    y: Any = np.sort(x)
    slope = grad(y, x, [1.0, 2.0, 3.0, 4.0])
    assert np.array_equal(slope.value, [3, 1, 4, 2])
    assert np.array_equal(x.argsort().value, [1, 3, 0, 2])


def test_a_median_with_nan_is_nan_and_one_beside_inf_is_not() -> None:
    assert np.isnan(float(np.median(Tensor([1.0, np.nan, 2.0]))))
    assert float(np.median(Tensor([1.0, np.inf, 2.0]))) == 2
    assert float(np.median(Tensor([1.0, np.inf, np.inf]))) == np.inf


def test_float32_stays_float32() -> None:
    x = Tensor(B.astype(np.float32))
    calls: list[Callable[[Any], Any]] = [
        np.median,
        np.nanmean,
        np.gradient,
        np.trapezoid,
        np.nan_to_num,
        np.deg2rad,
        lambda x: x % 0.5,
        lambda x: np.round(x, 1),
        lambda x: np.heaviside(x, 0.5),
        lambda x: np.quantile(x, [0.1, 0.7], axis=0),
        lambda x: np.convolve(x[0], x[1]),
        lambda x: np.linalg.det(x @ x.T),
    ]
    for f in calls:
        y = f(x)
        assert all(part.dtype == np.float32 for part in (y if isinstance(y, tuple) else [y]))


def test_the_mean_of_nothing_is_nan_and_has_an_empty_gradient() -> None:
    x = Tensor(np.ones((0, 3)))
    with pytest.warns(RuntimeWarning) as caught:
        y: Any = np.mean(x, axis=0)
    assert len(caught) == 2  # NumPy's own: of an empty slice, and of 0 / 0
    assert np.isnan(y.value).all()
    assert grad(y, x, np.ones(3)).shape == (0, 3)


def test_only_stacks_of_other_shapes_are_repeated() -> None:
    def repeats(y: Tensor) -> int:
        return sum(t.node is not None and t.node.primitive is repeat for t in topological_order(y))

    x, w = Tensor(STACKS), Tensor(np.ones((2, 3, 4)))
    assert repeats(x @ w) == 0
    assert repeats(x @ w[0]) == 1
    assert repeats(x[:, None] @ w[None]) == 2


def test_numpy_scalars_as_limits_keep_float32() -> None:
    y: Any = np.clip(Tensor(V.astype(np.float32)), np.float64(0.5), np.float64(1))
    assert y.dtype == np.float32


def test_numbers_in_a_stack_take_the_dtype_of_the_tensor() -> None:
    y: Any = np.stack([1.0, Tensor(np.float32(2)), 3])
    assert y.dtype == np.float32
    assert np.array_equal(y.value, [1, 2, 3])
