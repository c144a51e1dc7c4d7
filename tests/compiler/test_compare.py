from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tarograd as tg
from tarograd.compiler.compare import evaluated, unequal
from tarograd.compiler.program import Program
from tarograd.compiler.rewrite import rewrite
from tarograd.compiler.trace import trace
from tarograd.graph import Array


def _almost_zero(seed: int) -> tuple[Array, Array, Array]:
    """Images, weights and a bias for which rounding alone decides what ReLU lets through."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(20, 300)).astype(np.float32)
    w = rng.normal(size=(300, 20)).astype(np.float32)
    exact = x.astype(np.float64) @ w.astype(np.float64)
    return x, w, -np.diagonal(exact).astype(np.float32)


@pytest.mark.parametrize("seed", range(10))
def test_where_rounding_decides_about_a_relu_a_right_step_is_not_refused(seed: int) -> None:
    x, w, b = _almost_zero(seed)
    at_zero = np.abs(np.diagonal(x @ w + b))
    assert at_zero.max() < 1e-4  # of sums whose terms are about 1, 300 of them
    net = tg.nn.Sequential(tg.nn.Affine(w, b), tg.nn.ReLU(), tg.nn.Affine(20, 3))
    optimizer = tg.optim.SGD(net.parameters(), lr=0.1)

    @tg.compile
    def step(x: tg.Tensor, t: tg.Tensor) -> tg.Tensor:
        loss: tg.Tensor = net.criterion(net(x), t)
        optimizer.step(tg.grad(loss, net.parameters()))
        return loss

    loss = step(x, np.arange(20) % 3)
    assert np.isfinite(loss)


def _products(x: Array, w: Array) -> Program:
    return rewrite(trace(lambda x, w: np.maximum(x @ w, 0).sum(axis=0), {"x": x, "w": w}))


@pytest.mark.parametrize("wrong", [1e-3, 1e-4])
def test_a_result_that_is_wrong_by_little_is_found(wrong: float) -> None:
    rng = np.random.default_rng(0)
    x, w = (rng.normal(size=s).astype(np.float32) for s in ((64, 100), (100, 7)))
    program = _products(x, w)
    values = list(program.outputs.values())
    truth = evaluated(program, {"x": x, "w": w})[-1]
    other = truth.copy()
    other[3] *= np.float32(1 + wrong)
    given = {"x": x, "w": w}
    assert unequal(program, given, values, [truth], [truth]) is None
    assert unequal(program, given, values, [other], [truth]) == 0


def test_a_sum_in_another_order_is_as_right_however_small_it_is() -> None:
    rng = np.random.default_rng(0)
    terms = rng.normal(size=(1000, 3)) * 10.0 ** rng.integers(0, 6, (1000, 3))
    terms = np.concatenate([terms, -terms]).astype(np.float32)  # in all it is 0
    program = trace(lambda x: x.sum(axis=0), {"x": terms})
    values, given = list(program.outputs.values()), {"x": terms}
    truth = evaluated(program, given)[-1]
    backward = np.add.reduce(terms[rng.permutation(2000)].cumsum(axis=0)[-1:], axis=0)
    assert np.abs(backward - truth).max() > 100 * np.finfo(np.float32).eps * np.abs(truth).max()
    assert unequal(program, given, values, [backward], [truth]) is None
    assert unequal(program, given, values, [backward + 1e4], [truth]) == 0


def test_an_operation_that_is_another_one_is_found() -> None:
    rng = np.random.default_rng(0)
    x, w = (rng.normal(size=s).astype(np.float32) for s in ((8, 9), (9, 7)))
    program, given = _products(x, w), {"x": x, "w": w}
    truth = evaluated(program, given)[-1]
    name, last = next(iter(program.outputs.items()))
    less = replace(program, outputs={name: replace(last, inputs=(last.operands[0].operands[0],))})
    found = evaluated(less, given)[-1]  # without the ReLU
    assert unequal(program, given, [last], [found], [truth]) == 0


def tenths(*dims: int) -> Array:
    return np.full(dims, 0.1, np.float32)


def strokes(*dims: int) -> Array:
    rng = np.random.default_rng(0)
    return (rng.integers(0, 256, dims) * (rng.random(dims) < 0.2) / 255).astype(np.float32)


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (lambda x: x.sum(axis=0), [tenths(100_000, 3)]),
        (lambda x: x.sum(axis=0), [tenths(30_000, 33)]),
        (lambda x: x.sum(axis=1), [tenths(5, 20_000, 3)]),
        (lambda x: x.mean(axis=(0, 1, 2)), [strokes(64, 64, 64, 3)]),
        (lambda x: x.var(axis=0), [strokes(20_000, 10)]),
        (lambda x, w: x @ w, [tenths(1, 1000), tenths(1000, 1)]),
        (lambda x, w: x @ w, [tenths(33, 1500), tenths(1500, 17)]),
        (lambda x, y: x.T @ y, [strokes(10_000, 64), strokes(10_000, 10)]),
        (lambda x: x @ x, [tenths(100_000)]),
    ],
)
def test_long_sums_of_numbers_that_are_alike_are_not_refused(
    function: Any, given: list[Array]
) -> None:
    found = tg.compile(function)(*given)
    exact = function(*(tg.Tensor(x.astype(float)) for x in given)).value
    np.testing.assert_allclose(found, exact, rtol=1e-4)


def test_what_is_wrong_in_a_long_sum_is_found() -> None:
    x = strokes(20_000, 10)
    program = trace(lambda x: x.sum(axis=0), {"x": x})
    values, given = list(program.outputs.values()), {"x": x}
    eager = evaluated(program, given)[-1]
    assert unequal(program, given, values, [x.astype(float).sum(axis=0)], [eager]) is None
    less = x[:-10].astype(float).sum(axis=0)  # ten rows of 20,000 are left out
    assert unequal(program, given, values, [less.astype(np.float32)], [eager]) == 0


def test_eager_code_that_does_something_else_than_the_program_is_no_worse_sum() -> None:
    x = strokes(20_000, 10)
    program = trace(lambda x: x.sum(axis=0), {"x": x})
    values, given = list(program.outputs.values()), {"x": x}
    found = x.astype(float).sum(axis=0).astype(np.float32)
    assert unequal(program, given, values, [found], [-found]) == 0


@pytest.mark.parametrize("n", [3, 5, 6, 7, 12])
def test_where_rounding_decides_about_nan_a_right_function_is_not_refused(n: int) -> None:
    """The slope of a standard deviation is 0 / 0 where all are alike, but for a last bit."""
    spread = tg.compile(lambda x: [x.std(), tg.grad(x.std(), x)])
    for alike in np.random.default_rng(1).normal(size=8):
        x = np.full(n, alike, np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            deviation, _ = spread(x)
        assert deviation <= 1e-7 * n
        spread._known.clear()  # so that each is held against eager code


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_result_that_is_no_number_is_found(wrong: float) -> None:
    x = np.array([1.0, 2.0, 3.0])
    program = trace(lambda x: x / 3, {"x": x})
    values, truth = list(program.outputs.values()), x / 3
    for k in range(3):
        other = truth.copy()
        other[k] = wrong
        assert unequal(program, {"x": x}, values, [other], [truth]) == 0
        assert unequal(program, {"x": x}, values, [truth], [other]) == 0
