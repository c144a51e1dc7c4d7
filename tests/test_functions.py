"""The verbs of networks: known values, gradients, and arguments that are refused."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log, tanh
from typing import Any

import numpy as np
import pytest

from agreement import gradient
from numeric import assert_gradient, numeric_gradient
from rows import locked
from tarograd import Tensor, functions
from tarograd.graph import topological_order, verify

SCORES = locked(np.array([[0.3, 2.9, 4.0], [1.0, -1.0, 0.5]]))
LABELS = locked(np.array([2, 0]))
ONE_HOT = locked(np.array([[0, 0, 1], [1, 0, 0]]))


def near(given: Any, expected: Any, rtol: float = 1e-14) -> None:
    np.testing.assert_allclose(given, expected, rtol=rtol, atol=1e-300)


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (functions.relu, [0, 0, 2]),
        (functions.sigmoid, [1 / (1 + exp(1)), 0.5, 1 / (1 + exp(-2))]),
        (functions.tanh, [tanh(-1), 0, tanh(2)]),
        (functions.stop_gradient, [-1, 0, 2]),
    ],
)
def test_activations_of_arrays_are_arrays_and_of_tensors_are_recorded(
    f: Callable[[Any], Any], expected: list[float]
) -> None:
    x = locked(np.array([-1.0, 0, 2]))
    y, recorded = f(x), f(Tensor(x))
    assert isinstance(y, np.ndarray)
    near(y, expected)
    assert recorded.node is not None
    assert np.array_equal(recorded.value, y)


def test_softmax_of_the_book() -> None:
    near(functions.softmax(SCORES[0]), [0.01821127, 0.24519181, 0.73659691], rtol=1e-6)
    near(functions.softmax(np.array([1010.0, 1000, 990])), [1, 4.5398e-05, 2.0611e-09], rtol=5e-5)


@pytest.mark.parametrize("axis", [0, 1, -1, -2])
def test_softmax_and_log_softmax_along_an_axis(axis: int) -> None:
    y = functions.softmax(SCORES, axis)
    near(y.sum(axis=axis), np.ones(y.shape[1 - axis % 2]))
    near(functions.log_softmax(SCORES, axis), np.log(y))
    near(functions.softmax(SCORES - 700, axis), y, rtol=1e-12)
    near(functions.softmax(Tensor(SCORES), axis).value, y)


def test_log_softmax_where_softmax_is_zero() -> None:
    assert functions.log_softmax(np.array([0.0, -1e4]))[1] == -1e4


def test_logsumexp_over_axes() -> None:
    total = np.log(np.exp(SCORES).sum())
    near(functions.logsumexp(SCORES), total)
    near(functions.logsumexp(Tensor(SCORES), (0, -1), keepdims=True).value, [[total]])
    near(functions.logsumexp(SCORES, axis=1), np.log(np.exp(SCORES).sum(axis=1)))
    near(functions.logsumexp(np.array([-1e4, -1e4 + log(3)])), -1e4 + log(4))


@pytest.mark.parametrize(
    ("f", "name"),
    [
        (functions.softmax, "softmax"),
        (functions.log_softmax, "log_softmax"),
        (functions.logsumexp, "logsumexp"),
    ],
)
def test_an_axis_that_is_not_there_is_refused(f: Callable[..., Any], name: str) -> None:
    for x in (SCORES, Tensor(SCORES)):
        with pytest.raises(np.exceptions.AxisError) as caught:
            f(x, axis=2)
        assert str(caught.value) == f"{name}: axis=2 for the shape (2, 3)"
    with pytest.raises(np.exceptions.AxisError, match=r"for the shape \(\)"):
        f(np.array(1.0), axis=-1)


def test_cross_entropy_of_the_book() -> None:
    y = np.array([[0.1, 0.05, 0.6, 0.05, 0.1, 0.1]])
    near(functions.softmax_with_loss(np.log(y), np.array([2])), 0.510825623765990683, rtol=1e-14)
    near(functions.softmax_with_loss(np.log(y), np.array([0])), log(10))


@pytest.mark.parametrize(
    "t",
    [
        LABELS,
        LABELS.astype(np.uint8),
        [2, 0],
        ONE_HOT,
        ONE_HOT.astype(bool),
        ONE_HOT.astype(float),
        ONE_HOT.tolist(),
        Tensor(ONE_HOT.astype(float)),
    ],
    ids=repr,
)
def test_labels_and_one_hot_targets_give_the_mean_cross_entropy(t: Any) -> None:
    x = Tensor(SCORES)
    loss = functions.softmax_with_loss(x, t)
    y = np.exp(SCORES) / np.exp(SCORES).sum(axis=1, keepdims=True)
    near(loss.value, -(log(y[0, 2]) + log(y[1, 0])) / 2)
    loss.backward(3.0)
    near(gradient(x), 3 * (y - ONE_HOT) / 2, rtol=1e-13)
    verify(loss)
    if not isinstance(t, Tensor):
        assert functions.softmax_with_loss(SCORES, t) == loss.value


def test_as_many_samples_as_classes_do_not_confuse_labels_and_one_hot() -> None:
    x = np.log(np.array([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1]]))
    expected = -(log(0.25) + log(0.2) + log(0.8)) / 3
    near(functions.softmax_with_loss(x, np.array([2, 0, 1])), expected)
    near(functions.softmax_with_loss(x, np.eye(3)[[2, 0, 1]]), expected)


def test_targets_with_weights_that_do_not_add_up_to_one() -> None:
    t = np.array([[0.2, 0.7, 0.3], [0.0, 0.5, 0.1]])
    x = Tensor(SCORES)
    functions.softmax_with_loss(x, t).backward()
    numeric = numeric_gradient(lambda x: functions.softmax_with_loss(x, t), SCORES)
    assert_gradient(gradient(x), numeric)


@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_huge_scores_do_not_overflow(scale: float) -> None:
    x = Tensor(scale * np.eye(2))
    loss = functions.softmax_with_loss(x, np.array([0, 0]))
    near(loss.value, 5e3)
    loss.backward()
    right = np.array([[0, 0], [-0.5, 0.5]])
    assert np.array_equal(gradient(x), right if scale > 0 else right[::-1])


def test_classes_that_are_ruled_out_by_minus_infinity() -> None:
    x = Tensor([[-np.inf, 0.0, 0.0]])
    loss = functions.softmax_with_loss(x, np.array([1]))
    near(loss.value, log(2))
    loss.backward()
    assert np.array_equal(gradient(x), [[0, -0.5, 0.5]])


@pytest.mark.parametrize("t", [LABELS, ONE_HOT, ONE_HOT.astype(bool), ONE_HOT.astype(np.float32)])
def test_the_loss_of_float32_scores_is_float32(t: Any) -> None:
    x = Tensor(SCORES.astype(np.float32))
    loss = functions.softmax_with_loss(x, t)
    loss.backward()
    assert loss.dtype == np.float32
    assert gradient(x).dtype == np.float32


REFUSED_TARGETS: list[tuple[Any, Any, type[Exception], list[str]]] = [
    (SCORES[0], LABELS, ValueError, ["(3,)", "(batch size, classes) is needed"]),
    (SCORES, LABELS[:1], ValueError, ["targets of shape (1,)", "(2, 3)", "labels of shape (2,)"]),
    (SCORES, LABELS[:, None], ValueError, ["shape (2, 1)", "one-hot rows of shape (2, 3)"]),
    (SCORES, ONE_HOT.T, ValueError, ["targets of shape (3, 2)", "scores of shape (2, 3)"]),
    (SCORES, LABELS * 1.0, TypeError, ["whole numbers", "float64, shape (2,)"]),
    (SCORES, LABELS > 0, TypeError, ["whole numbers", "bool, shape (2,)"]),
    (SCORES, Tensor([1.0, 0.0]), TypeError, ["whole numbers", "float64, shape (2,)"]),
    (SCORES, LABELS + 1, ValueError, ["labels from 1 to 3 for 3 classes", "from 0 to 2"]),
    (SCORES, LABELS - 1, ValueError, ["labels from -1 to 1 for 3 classes", "from 0 to 2"]),
]


@pytest.mark.parametrize(("x", "t", "error", "parts"), REFUSED_TARGETS)
def test_targets_that_do_not_fit_are_refused(
    x: Any, t: Any, error: type[Exception], parts: list[str]
) -> None:
    for scores in (x, Tensor(x)):
        with pytest.raises(error) as caught:
            functions.softmax_with_loss(scores, t)
        for part in parts:
            assert part in str(caught.value)


def test_one_hot() -> None:
    rows = functions.one_hot(np.array([1, 0, 2]), 4)
    assert rows.dtype == bool
    assert np.array_equal(rows, np.eye(4, dtype=bool)[[1, 0, 2]])
    assert functions.one_hot(np.array([], int), 4).shape == (0, 4)
    best = functions.one_hot(Tensor(SCORES).argmax(axis=1), 3)
    assert np.array_equal(best.value, ONE_HOT.astype(bool))
    with pytest.raises(ValueError, match="labels from 0 to 4 for 4 classes"):
        functions.one_hot(np.array([0, 4]), 4)


def test_squared_error_of_the_book() -> None:
    y = np.array([[0.1, 0.05, 0.6, 0.0, 0.05, 0.1, 0.0, 0.1, 0.0, 0.0]])
    t = np.array([[0, 0, 1, 0, 0, 0, 0, 0, 0, 0]])
    near(functions.squared_error(y, t), 0.0975)
    twice = Tensor(np.concatenate([y, y]))
    loss = functions.squared_error(twice, np.concatenate([t, t]))
    near(loss.value, 0.0975)
    loss.backward()
    near(gradient(twice), np.concatenate([y - t, y - t]) / 2)


@pytest.mark.parametrize(
    ("y", "t"), [((3, 1), (3,)), ((3,), (3, 1)), ((2, 3), (3,)), ((3,), ()), ((), ())]
)
def test_squared_error_refuses_shapes_that_fit_by_broadcasting_only(y: Any, t: Any) -> None:
    for predictions in (np.ones(y), Tensor(np.ones(y))):
        with pytest.raises(ValueError, match="the same shape") as caught:
            functions.squared_error(predictions, np.ones(t))
        assert f"predictions {y} and targets {t}" in str(caught.value)


def test_affine_of_a_batch_and_of_one_row() -> None:
    w, b = np.array([[3.0, 5.0], [4.0, 6.0]]), np.array([10.0, 20.0])
    near(functions.affine(np.array([[1.0, 2.0], [0.0, 1.0]]), w, b), [[21, 37], [14, 26]])
    x = Tensor([1.0, 2.0])
    y = functions.affine(x, Tensor(w), Tensor(b))
    near(y.value, [21, 37])
    y.backward([1, 10])
    near(gradient(x), [53, 64])


@pytest.mark.parametrize(
    ("x", "w", "b"),
    [
        ((2, 3), (2, 3), (3,)),
        ((2, 3), (3, 4), (1,)),
        ((2, 3), (3, 4), (2, 4)),
        ((2, 3, 4), (4, 5), (5,)),
    ],
)
def test_affine_names_the_shapes_that_do_not_fit(x: Any, w: Any, b: Any) -> None:
    with pytest.raises(ValueError, match="has to be") as caught:
        functions.affine(Tensor(np.ones(x)), np.ones(w), np.ones(b))
    assert f"affine: x {x}, w {w}, b {b}: x has to be (n, a) or (a,)" in str(caught.value)


def test_dropout_keeps_the_mean_and_scales_the_gradient_by_the_same_mask() -> None:
    x = Tensor(np.ones((100, 100)))
    y = functions.dropout(x, 0.3, seed=4)
    kept = y.value != 0
    near(y.value[kept], 1 / 0.7)
    assert abs(kept.mean() - 0.7) < 5 * (0.3 * 0.7 / 1e4) ** 0.5
    y.backward(np.full(y.shape, 2.0))
    assert np.array_equal(gradient(x), 2 * y.value)


def test_a_dropout_mask_is_a_function_of_seed_step_and_stream() -> None:
    x = locked(np.ones(200))
    y = functions.dropout(x, 0.5, seed=1, step=2, stream="a")
    same = functions.dropout(Tensor(x), 0.5, seed=1, step=2, stream="a")
    assert np.array_equal(same.value, y)
    for seed, step, stream in ((2, 2, "a"), (1, 3, "a"), (1, 2, "b")):
        other = functions.dropout(x, 0.5, seed, step, stream)
        assert 50 < np.sum(other != y) < 150


def test_dropout_is_recorded_with_its_mask_and_can_be_replayed() -> None:
    x = Tensor(SCORES.astype(np.float32))
    y = functions.dropout(x, 0.5, seed=3, step=Tensor(7.0))
    assert y.dtype == np.float32
    nodes = [t.node.primitive.name for t in topological_order(y) if t.node]
    assert nodes == ["bernoulli", "dropout"]
    verify(y)
    expected = numeric_gradient(lambda x: functions.dropout(x, 0.5, 3, 7), SCORES)
    y.backward(np.ones(y.shape))
    assert_gradient(gradient(x), expected)


def test_dropout_at_rate_zero_changes_nothing() -> None:
    assert np.array_equal(functions.dropout(SCORES, 0), SCORES)


@pytest.mark.parametrize("rate", [1, 1.5, -0.1, float("nan")])
def test_a_dropout_rate_is_a_share(rate: float) -> None:
    with pytest.raises(ValueError, match="share to drop, 0 <= rate < 1") as caught:
        functions.dropout(SCORES, rate)
    assert f"rate={rate}" in str(caught.value)


def test_nothing_flows_through_stop_gradient() -> None:
    x = Tensor(3.0)
    (x * functions.stop_gradient(x)).backward()
    assert gradient(x) == 3
