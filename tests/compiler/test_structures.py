from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
import pytest

import tarograd as tg
from tarograd.compiler.trace import Untraceable

Line = namedtuple("Line", "w b")  # as people write it who do not write types
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 2))


def line(w: Any, b: Any) -> tuple[float, Any, Any]:
    """The mean squared error of x @ w + b and its slopes, by hand."""
    e = X @ w + b - Y
    return (e**2).mean(), 2 * X.T @ e / e.size, 2 * e.sum(axis=0) / e.size


def test_parameters_come_and_gradients_go_in_dicts_and_tuples() -> None:
    @tg.compile
    def step(params: Any, batch: Any, lr: float = 0.1) -> Any:
        x, y = batch
        loss = ((x @ params["w"] + params["b"] - y) ** 2).mean()
        slopes = dict(zip(params, tg.grad(loss, params.values()), strict=True))
        return loss, slopes, {k: p - lr * slopes[k] for k, p in params.items()}

    params = {"w": RNG.normal(size=(3, 2)), "b": RNG.normal(size=2)}
    for _ in range(3):
        loss, dw, db = line(**params)
        found, slopes, new = step(params, (X, Y))
        np.testing.assert_allclose(found, loss)
        np.testing.assert_allclose(slopes["w"], dw)
        np.testing.assert_allclose(slopes["b"], db)
        np.testing.assert_allclose(new["w"], params["w"] - 0.1 * dw)
        params = new
    assert "def step(w, b, batch0, batch1, lr):" in step.source()


@pytest.mark.parametrize("kind", [list, tuple, Line._make])
def test_structures_keep_their_kind(kind: Any) -> None:
    @tg.compile
    def f(given: Any, flag: Any = None) -> Any:
        assert type(given) is type(kind([0, 0]))
        w, b = given
        return kind([w * 2, {"b": [b + 1, None, (b,)], "flag": flag}])

    w, b = np.array([1.0, 2.0]), np.array(3.0)
    result = f(kind([w, b]))
    assert type(result) is type(kind([0, 0]))
    np.testing.assert_array_equal(result[0], [2, 4])
    assert set(result[1]) == {"b", "flag"}
    first, nothing, (second,) = result[1]["b"]
    assert (float(first), nothing, float(second), result[1]["flag"]) == (4, None, 3, None)


def test_a_list_of_arrays_is_a_list_and_one_of_numbers_an_array() -> None:
    f = tg.compile(lambda xs: sum(x * 10**i for i, x in enumerate(xs)))
    assert f([np.array(1.0), np.array(2.0)]) == 21
    assert f([3.0, 4.0]) == 43
    assert f([np.ones(2), np.ones((3, 1))]).shape == (3, 2)
    assert f([np.array(1.0)] * 11) == 11111111111
    assert tg.compile(lambda x: x + 1)([[1, 2], [3, 4]]).tolist() == [[2, 3], [4, 5]]


def test_another_structure_is_another_function() -> None:
    f = tg.compile(lambda p: p["a"] - 2 * p["b"] if "b" in p else p["a"])
    assert f({"a": 1.0}) == 1
    assert f({"a": 1.0, "b": 3.0}) == -5
    assert f({"b": 1.0, "a": 3.0}) == 1
    assert f({"a": {"a": 1.0}}["a"]) == 1


def test_names_that_occur_twice_or_are_none_are_made_unique() -> None:
    f = tg.compile(lambda layers, w: sum(p["w"] * 2**i for i, p in enumerate(layers)) - w[1])
    layers: list[dict[str, Any]] = [{"w": np.array(float(i)), "a/b.c": 0.0} for i in (3, 4, 5)]
    assert f(layers, {1: 100.0}) == 3 + 8 + 20 - 100


def test_what_is_no_tensor_is_refused_within_a_structure_too() -> None:
    with pytest.raises(Untraceable, match="returns float as 'b1'"):
        tg.compile(lambda x: (x, {"b": [x, 2.0]}))(1.0)
    with pytest.raises(TypeError, match="w is a Tensor: a compiled function takes arrays"):
        tg.compile(lambda p: p["w"] * 2)({"w": tg.Tensor(1.0)})


def test_a_tensor_made_inside_is_a_constant() -> None:
    @tg.compile
    def last(x: Any, w: Any) -> Any:
        h = tg.Tensor(np.full(2, 0.5))
        first = h
        for row in x:
            h = np.tanh(row @ w + h)
        return h, tg.grad(h.sum(), [w, first])

    def by_hand(x: Any, w: Any) -> Any:
        h = np.full(2, 0.5)
        for row in x:
            h = np.tanh(row @ w + h)
        return h

    for _ in range(2):
        x, w = RNG.normal(size=(3, 4)), RNG.normal(size=(4, 2))
        h, (dw, dfirst) = last(x, w)
        np.testing.assert_allclose(h, by_hand(x, w))
        at = w.copy()
        at[1, 0] += 1e-6
        slope = (by_hand(x, at) - by_hand(x, w)).sum() / 1e-6
        np.testing.assert_allclose(dw[1, 0], slope, rtol=1e-4)
        assert dfirst.shape == (2,)


def test_a_tensor_that_stays_in_an_object_is_none() -> None:
    class Net:
        w: Any = None

        def __call__(self, x: Any) -> Any:
            self.w = tg.Tensor([2.0]) if self.w is None else self.w
            return x * self.w

    net = Net()
    with pytest.raises(Untraceable, match="neither an argument nor one of its parameters"):
        tg.compile(net)(1.0)
    net.w = tg.Tensor([3.0])
    fast = tg.compile(net)
    assert fast(2.0) == [6]
    net.w.value = [4.0]
    assert fast(2.0) == [8]


def test_places_may_be_moved_before_they_index() -> None:
    @tg.compile
    def f(q: Any, target: Any, positive: Any, negative: Any) -> Any:
        best = np.argmax(q, axis=1)[:, None]
        rows = np.concatenate([positive[:, None], negative], axis=1)
        return np.take_along_axis(target, best, axis=1), target[rows.T], target[range(4), best.T]

    positive, negative = np.array([1, 3]), np.array([[0, 2], [-1, 3]])
    for _ in range(2):
        q, target = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 3))
        double, rows, flat = f(q, target, positive, negative)
        best = q.argmax(axis=1)
        np.testing.assert_array_equal(double[:, 0], target[range(4), best])
        np.testing.assert_array_equal(flat[0], target[range(4), best])
        np.testing.assert_array_equal(rows, target[np.c_[positive, negative].T])
    for wrong in ((positive + 1, negative), (positive, negative - 4)):
        with pytest.raises(IndexError, match="is out of bounds for an axis of length 4"):
            f(q, target, *wrong)


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64])
def test_labels_may_be_cast(dtype: Any) -> None:
    @tg.compile
    def f(x: Any, t: Any) -> Any:
        t = t.astype(dtype)
        hits = (x.argmax(axis=1) == t).astype(int)
        return x[np.arange(3), t], tg.one_hot(t, 4), hits.sum(), (t > 0).astype(np.float32)

    x = RNG.normal(size=(3, 4))
    for t in (np.array([0, 3, 2]), np.array([1, 1, 0])):
        picked, rows, hits, positive = f(x, t)
        np.testing.assert_array_equal(picked, x[range(3), t])
        np.testing.assert_array_equal(rows, np.eye(4)[t])
        assert (int(hits), hits.dtype) == ((x.argmax(axis=1) == t).sum(), np.int64)
        np.testing.assert_array_equal(positive, (t > 0).astype(np.float32), strict=True)
    with pytest.raises(IndexError, match="the index 4 is out of bounds for an axis of length 4"):
        f(x, np.array([0, 4, 0]))
    with pytest.raises(TypeError, match=r"astype\(int64\) of .* would cut the graph: np\.floor"):
        tg.compile(lambda x: x.astype(int))(x)


def test_an_index_that_loses_its_sign_is_refused() -> None:
    with pytest.raises(Untraceable, match="a check of computed indices"):
        tg.compile(lambda x, i: x[i.astype(np.uint8)])(np.ones(3), np.array([-1]))


def test_constants_like_a_tensor() -> None:
    @tg.compile
    def f(x: Any) -> Any:
        return np.zeros_like(x) - x, np.ones_like(x) * x, np.full_like(x, 3, dtype=int) * x

    x = np.array([[1.0, 2.0]], np.float32)
    zeros, ones, full = f(x)
    np.testing.assert_array_equal(zeros, -x, strict=True)
    np.testing.assert_array_equal(ones, x, strict=True)
    np.testing.assert_array_equal(full, 3 * x, strict=True)


def test_what_a_computed_index_has_to_be_is_told() -> None:
    for function, told in (
        (lambda x, i: x[i + 1], "made by add, .* Give them as an argument"),
        (lambda x, i: np.eye(3)[i] * x, "make an array that a Tensor indexes a Tensor or an"),
        (lambda x, i: np.array([x[0], x[1]]), "Join Tensors by np.stack instead of np.array"),
    ):
        with pytest.raises(Untraceable, match=told):
            tg.compile(function)(np.ones(3), np.array([0, 1]))


def test_a_table_that_is_no_tensor_is_indexed_along_an_axis() -> None:
    table, places = RNG.normal(size=(4, 3)), np.array([[2], [0], [1], [1]])
    f = tg.compile(lambda places, x: np.take_along_axis(table, places, axis=1) * x)
    np.testing.assert_allclose(f(places, 2.0), 2 * np.take_along_axis(table, places, axis=1))
