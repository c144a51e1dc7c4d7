"""check_gradients: right layers are called right, wrong ones wrong, and by how much is told."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tarograd as tg
from tarograd import nn
from tarograd.checking import GradientReport
from tarograd.checking.report import LeafReport

Array = NDArray[Any]


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


LABELS = np.array([2, 0, 1])
ONE_HOT = np.eye(3)[LABELS]
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 2, 2), dtype=np.uint8)


def deep() -> nn.Sequential:
    return nn.Sequential(
        nn.Affine(4, 5), nn.Tanh(), nn.Dropout(0.5), nn.Affine(5, 4), nn.ReLU(), nn.Affine(4, 3)
    )


RIGHT: dict[str, tuple[Any, tuple[Any, ...], list[str]]] = {
    "affine": (nn.Affine(4, 3), (numbers(5, 4),), ["w", "b", "x"]),
    "affine of a row": (nn.Affine(4, 3), (numbers(4),), ["w", "b", "x"]),
    "affine of images": (nn.Affine(12, 3), (numbers(2, 3, 2, 2),), ["w", "b", "x"]),
    "relu": (nn.ReLU(), (numbers(5, 4),), ["x"]),
    "sigmoid": (nn.Sigmoid(), (numbers(5, 4),), ["x"]),
    "tanh": (nn.Tanh(), (numbers(2, 3, 4),), ["x"]),
    "dropout": (nn.Dropout(0.4), (numbers(5, 4),), ["x"]),
    "softmax, labels": (nn.SoftmaxWithLoss(), (numbers(3, 3), LABELS), ["x"]),
    "softmax, one-hot": (nn.SoftmaxWithLoss(), (numbers(3, 3), ONE_HOT), ["x", "t"]),
    "squared error": (nn.SquaredError(), (numbers(3, 2), numbers(3, 2, seed=1)), ["y", "t"]),
    "network": (nn.TwoLayerNet(4, 5, 3), (numbers(3, 4),), ["w1", "b1", "w2", "b2", "x"]),
    "network with its loss": (
        *(nn.TwoLayerNet(4, 5, 3), (numbers(3, 4), ONE_HOT), ["w1", "b1", "w2", "b2", "x"]),
    ),
    "network of images": (
        *(nn.TwoLayerNet(4, 5, 3), (IMAGES, LABELS), ["w1", "b1", "w2", "b2", "x"]),
    ),
    "deep network with dropout": (
        deep(),
        (numbers(3, 4), LABELS),
        [f"affine{i}.{p}" for i in (1, 2, 3) for p in ("w", "b")] + ["x"],
    ),
    "regression": (
        nn.Sequential(nn.Affine(4, 1), criterion=nn.SquaredError()),
        (numbers(3, 4), numbers(3, 1)),
        ["affine1.w", "affine1.b", "x"],
    ),
    "function": (lambda a, b: a @ b, (numbers(2, 3), numbers(3, 2)), ["a", "b"]),
    "function with labels": (tg.softmax_with_loss, (numbers(3, 3), [0, 1, 2]), ["x"]),
    "partial": (functools.partial(tg.softmax, axis=0), (numbers(2, 3),), ["x"]),
    "any number of inputs": (
        *(lambda *xs: xs[0] * xs[1], (numbers(2), numbers(2)), ["input 0", "input 1"]),
    ),
    "number": (lambda x: x**3, (2.0,), ["x"]),
    "tensor": (lambda x: x**3, (tg.Tensor([1.0, 2.0]),), ["x"]),
    "float32": (lambda x: x**3, (np.array([1.0, 2.0], np.float32),), ["x"]),
    "nothing flows": (lambda x: tg.stop_gradient(x) + 0 * x, (numbers(0, 2),), ["x"]),
}


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("seed", [0, 1])
def test_right_backward_passes_are_called_right(name: str, seed: int) -> None:
    subject, inputs, leaves = RIGHT[name]
    report = tg.check_gradients(subject, *inputs, seed=seed)
    assert list(report.leaves) == leaves
    assert bool(report)
    assert report.verdict == "right"
    assert all(leaf.diff2 < 1e-7 for leaf in report.leaves.values())
    assert {leaf.words for leaf in report.leaves.values()} == {"correct"}
    measured = [leaf for leaf in report.leaves.values() if leaf.analytic.size]
    assert all(np.any(leaf.numeric != 0) for leaf in measured)
    assert not any(np.all(np.isnan(leaf.numeric)) for leaf in measured)
    assert all(leaf.analytic.dtype == leaf.numeric.dtype == np.float64 for leaf in measured)


@pytest.mark.parametrize("seed", range(10))
def test_networks_are_right_at_any_initialization_and_after_training(seed: int) -> None:
    net = nn.TwoLayerNet(8, 6, 3, seed=seed)
    x = numbers(30, 8, seed=seed)
    t = np.argmax(x[:, :3], axis=1)
    assert tg.check_gradients(net, x[:3], t[:3], seed=seed)
    for _ in range(100):
        for name, slope in net.gradient(x, t).items():
            net.params[name] -= 0.5 * slope
    assert net.accuracy(x, t) > 0.6
    assert tg.check_gradients(net, x[:3], t[:3], seed=seed)


def scaled(k: float) -> nn.Layer:
    """A layer y = x², whose backward gives k times the gradient."""
    wrong = tg.Primitive("wrong", "x²", np.square, vjp=(lambda g, y, x: k * (g * 2 * x),))
    return own(wrong)


def own(primitive: tg.Primitive, *parameters: Array) -> nn.Layer:
    class Own(nn.Layer):
        def __init__(self) -> None:
            self.p = [tg.Parameter(p) for p in parameters]

        def call(self, x: Any) -> Any:
            return primitive(x, *self.p)

    return Own()


@pytest.mark.parametrize("k", [2.0, 0.5, -1.0, -2.0, 0.0, 5.0, 1 / 5, 1.001, 1 + 1e-4])
def test_a_gradient_that_is_k_times_the_right_one(k: float) -> None:
    report = tg.check_gradients(scaled(k), numbers(3, 4))
    leaf = report.leaves["x"]
    assert leaf.diff2 == pytest.approx(abs(k - 1) / (abs(k) + 1), rel=1e-6)
    assert report.verdict == "wrong"
    assert not report
    assert str(report).startswith("WRONG: the gradients of Own()\n")


@pytest.mark.parametrize("k", [1 + 1e-6, 1 - 1e-6])
def test_a_gradient_that_is_nearly_right_is_called_close_and_is_not_passed(k: float) -> None:
    report = tg.check_gradients(scaled(k), numbers(3, 4))
    assert report.leaves["x"].diff2 == pytest.approx(5e-7, rel=1e-3)
    assert report.leaves["x"].words == "close"
    assert report.verdict == "wrong"
    assert not report


@pytest.mark.parametrize("n", [2, 3, 7])
def test_a_loss_that_forgets_the_batch_size_is_n_times_too_large(n: int) -> None:
    forgetful = tg.Primitive(
        "mean", "mean", lambda x: x.sum() / len(x), vjp=(lambda g, y, x: g * np.ones(x.shape),)
    )
    report = tg.check_gradients(own(forgetful), numbers(n, 2))
    assert report.leaves["x"].diff2 == pytest.approx((n - 1) / (n + 1), rel=1e-9)
    assert not report


def test_only_the_wrong_leaf_is_accused() -> None:
    averaged_bias = tg.Primitive(
        "affine",
        "affine",
        lambda x, w, b: x @ w + b,
        vjp=(
            lambda g, y, x, w, b: g @ w.T,
            lambda g, y, x, w, b: x.T @ g,
            lambda g, y, x, w, b: g.mean(axis=0),
        ),
    )
    layer = own(averaged_bias, numbers(3, 2), numbers(2))
    report = tg.check_gradients(layer, numbers(5, 3))
    verdicts = {name: leaf.words for name, leaf in report.leaves.items()}
    assert verdicts == {"p.0": "correct", "p.1": "concerned", "x": "correct"}
    assert report.leaves["p.1"].diff2 == pytest.approx((1 - 1 / 5) / (1 + 1 / 5), rel=1e-9)
    assert report.verdict == "wrong"


def test_a_square_weight_that_is_not_transposed_is_found() -> None:
    wrong = tg.Primitive(
        "matmul",
        "@",
        np.matmul,
        vjp=(lambda g, y, x, w: g @ w, lambda g, y, x, w: x.T @ g),
    )
    report = tg.check_gradients(own(wrong, numbers(3, 3)), numbers(4, 3))
    assert {name: leaf.words for name, leaf in report.leaves.items()} == {
        **{"p.0": "correct", "x": "concerned"}
    }


def test_a_backward_that_ignores_its_upstream_is_found() -> None:
    x, t = numbers(3, 3), LABELS

    def loss(x: Array) -> Any:
        return tg.softmax_with_loss(x, t)

    def ignoring(g: Any, y: Any, x: Any) -> Any:  # as the text's SoftmaxWithLoss does
        return (tg.softmax(x) - ONE_HOT) / len(x)

    report = tg.check_gradients(own(tg.Primitive("loss", "loss", loss, vjp=(ignoring,))), x)
    e = np.exp(x)
    true = (e / e.sum(axis=1, keepdims=True) - ONE_HOT) / 3
    g = report.leaves["x"].numeric / true
    assert np.ptp(g) < 1e-9  # the upstream that was ignored, one number for a loss
    assert 0.5 <= abs(g[0, 0]) <= 1.5
    expected = abs(1 / g[0, 0] - 1) / (abs(1 / g[0, 0]) + 1)
    assert report.leaves["x"].diff2 == pytest.approx(expected, rel=1e-9)
    assert not report


def test_a_softmax_is_not_saved_by_its_sum_of_one() -> None:
    # Under an upstream of ones every gradient of softmax is 0, so a wrong rule would pass.
    wrong = tg.Primitive("softmax", "softmax", tg.softmax, vjp=(lambda g, y, x: y * (g - y),))
    assert tg.check_gradients(own(wrong), numbers(2, 3)).verdict == "wrong"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_is_wrong(value: float) -> None:
    def spoiled(g: Any, y: Any, x: Any) -> Any:
        return np.where(np.arange(x.size).reshape(x.shape) == 1, value, g)

    broken = tg.Primitive("id", "id", np.positive, vjp=(spoiled,))
    report = tg.check_gradients(own(broken), numbers(2, 3))
    assert report.verdict == "wrong"
    assert report.leaves["x"].words == "concerned"
    assert "nan" in str(report)


def test_a_function_that_is_not_finite_is_not_called_right() -> None:
    with np.errstate(invalid="ignore"):
        report = tg.check_gradients(lambda x: np.log(x), np.array([1.0, -1.0]))
    assert report.verdict == "cannot tell"


def leaf(analytic: Any, numeric: Any) -> LeafReport:
    a, n = np.array(analytic, float), np.array(numeric, float)
    return LeafReport("x", a.shape, analytic=a, numeric=n)


def test_the_two_differences_are_the_mean_and_the_euclidean_one() -> None:
    one = leaf([[3.0, 4.0]], [[3.0, 2.0]])
    assert one.diff1 == 1.0
    assert one.diff2 == pytest.approx(2 / (5 + 13**0.5), rel=1e-15)
    # Flattened: the spectral norm of these matrices would give 1 / (3 + 2).
    matrix = leaf([[2.0, 1.0], [1.0, 2.0]], [[1.0, 1.0], [1.0, 1.0]])
    assert matrix.diff1 == 0.5
    assert matrix.diff2 == pytest.approx(2**0.5 / (10**0.5 + 2), rel=1e-15)
    # And of any number of axes.
    cube = leaf(np.full((2, 2, 2, 2), 3.0), np.ones((2, 2, 2, 2)))
    assert (cube.diff1, cube.diff2) == pytest.approx((2.0, 0.5), rel=1e-15)


def test_equal_gradients_differ_by_zero_even_when_they_are_zero() -> None:
    for array in (np.zeros((2, 2)), np.ones(3), np.zeros((0, 3)), np.array(5.0)):
        assert (leaf(array, array).diff1, leaf(array, array).diff2) == (0.0, 0.0)
    assert leaf([0.0], [1e-30]).diff2 == 1.0
    assert leaf([1.0], [-1.0]).diff2 == 1.0


@pytest.mark.parametrize("unit", [1e-300, 1e-9, 1e9, 1e300])
def test_the_relative_difference_does_not_depend_on_the_unit(unit: float) -> None:
    assert leaf([3 * unit, 4 * unit], [3 * unit, 2 * unit]).diff2 == pytest.approx(
        2 / (5 + 13**0.5), rel=1e-14
    )


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (0.0, "correct"),
        (0.99e-7, "correct"),
        (1.01e-7, "close"),
        (0.99e-5, "close"),
        (1.01e-5, "please check again"),
        (0.99e-3, "please check again"),
        (1.01e-3, "concerned"),
        (1.0, "concerned"),
    ],
)
def test_the_textbooks_words(difference: float, words: str) -> None:
    one = leaf([1 + difference], [1 - difference])
    assert one.diff2 == pytest.approx(difference, rel=1e-6)
    assert one.words == words


def test_a_right_report_is_a_table() -> None:
    leaves = {"w1": leaf([3.0], [3.0]), "long.name": leaf([1.0], [1.0])}
    for name, one in leaves.items():
        one.name = name
    report = GradientReport("net", leaves=leaves)
    assert str(report).splitlines() == [
        "RIGHT: the gradients of net",
        "             diff1     diff2     verdict",
        "  w1         0.00e+00  0.00e+00  correct",
        "  long.name  0.00e+00  0.00e+00  correct",
    ]


def test_the_subject_and_its_inputs_stay_as_they_were() -> None:
    net, x = deep(), numbers(3, 4)
    twin = copy.deepcopy(net)
    net.gradient(x, LABELS)
    twin.gradient(x, LABELS)
    values = [p.value for p in net.parameters()]
    slopes = [p.grad for p in net.parameters()]
    before = x.tobytes()
    tg.check_gradients(net, x, LABELS)
    tg.check_gradients(lambda v: net(v), x)
    assert x.tobytes() == before
    assert all(p.value is v for p, v in zip(net.parameters(), values, strict=True))
    assert all(p.grad is g for p, g in zip(net.parameters(), slopes, strict=True))
    # Nor were masks used up: the next one is still the same as that of a twin.
    assert net.loss(x, LABELS) == twin.loss(x, LABELS)


def test_the_seed_decides_the_upstream_and_the_mask() -> None:
    layer, x = nn.Dropout(0.5), numbers(5, 4)
    reports = [tg.check_gradients(layer, x, seed=seed).leaves["x"] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(reports[0].analytic, reports[1].analytic)
    np.testing.assert_array_equal(reports[0].numeric, reports[1].numeric)
    assert np.any((reports[0].analytic != 0) != (reports[2].analytic != 0))


def test_the_upstream_has_both_signs_and_no_element_near_zero() -> None:
    report = tg.check_gradients(lambda x: x * 1, np.zeros((20, 20)))
    upstream = report.leaves["x"].analytic
    assert 0.5 <= np.abs(upstream).min() <= np.abs(upstream).max() <= 1.5
    assert np.mean(upstream > 0) == pytest.approx(0.5, abs=5 * 0.5 / 20)


def test_it_records_whatever_the_context() -> None:
    with tg.context(recording=False):
        assert tg.check_gradients(nn.Affine(3, 2), numbers(4, 3))


def test_an_input_named_like_a_parameter_hides_nothing() -> None:
    class Shift(nn.Layer):
        def __init__(self) -> None:
            self.x = tg.Parameter(numbers(3))

        def call(self, x: Any) -> Any:
            return x * self.x

    report = tg.check_gradients(Shift(), numbers(2, 3))
    assert list(report.leaves) == ["x", "input 0"]
    assert report


def test_what_was_checked_is_named() -> None:
    cube = tg.Primitive("cube", "x³", lambda x: x**3, vjp=(lambda g, y, x: 3 * x * x * g,))
    named: list[tuple[Callable[..., Any], str]] = [
        (np.sin, "sin"),
        (tg.relu, "relu"),
        (cube, "Primitive(cube)"),
        (nn.ReLU(), "ReLU()"),
        (nn.TwoLayerNet(3, 2, 2), "TwoLayerNet(3, 2, 2)"),
    ]
    for subject, name in named:
        report = tg.check_gradients(subject, numbers(2, 3))
        assert report.subject == name
        assert str(report).startswith(f"RIGHT: the gradients of {name}\n")


@pytest.mark.parametrize(
    ("subject", "inputs", "message"),
    [
        (np.sin, (np.array([1, 2]),), r"sin.*no float among the inputs \(int64 \(2,\)\)"),
        (nn.ReLU(), ([1, 2],), r"ReLU\(\).*nothing to differentiate.*astype\(float\)"),
        (lambda: tg.Tensor(1.0), (), r"no float among the inputs \(none\)"),
        (lambda x: 3.0, (1.0,), "a float came out, a Tensor is needed"),
        ("net", (1.0,), r"check_gradients\('net'\): a layer, network or function"),
        (nn.ReLU, (1.0,), "a layer, network or function is needed"),
        (None, (1.0,), r"check_gradients\(None\)"),
        (nn.Affine(3, 2), (), "missing 1 required positional argument: 'x'"),
    ],
)
def test_what_cannot_be_checked_is_refused(
    subject: Any, inputs: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        tg.check_gradients(subject, *inputs)


def test_a_rule_that_gives_another_shape_is_named() -> None:
    summed = tg.Primitive("double", "2x", lambda x: 2 * x, vjp=(lambda g, y, x: 2 * g.sum(),))
    report = tg.check_gradients(own(summed), numbers(2, 3))
    assert report.verdict == "wrong"
    assert report.causes[0].name == "shape"
    assert "'double'" in report.causes[0].why


def test_a_wrong_number_is_shown_like_a_wrong_array() -> None:
    def scaled(x: Any, k: Any) -> Any:
        return x * k

    def twice(x: Any, k: Any, dy: Any) -> Any:
        return dy * k, 2 * (dy * x).sum()

    report = tg.check_gradients(scaled, np.linspace(-1.0, 2.0, 5), 1.5, grad=twice)
    assert report.causes[0].name == "scale"
    (worst,) = report.leaves["k"].worst()
    assert worst.index == ()
    assert worst.analytic == pytest.approx(2 * worst.numeric)
    assert f"worst    k  analytic {worst.analytic:.7g}" in str(report)
    assert report.to_json()


def test_elements_that_are_right_are_not_shown_as_the_worst() -> None:
    class Relu:
        """As the textbook prints it: it writes into the array that it is given."""

        def forward(self, x: Any) -> Any:
            self.mask = x <= 0
            x[self.mask] = 0
            return x

        def backward(self, dout: Any) -> Any:
            dout = dout.copy()
            dout[self.mask] = 0
            return dout

    report = tg.check_gradients(Relu(), np.array([[1.0, -2.0], [-0.5, 3.0]]))
    assert report.causes[0].name == "mutates-input"
    assert "worst" not in str(report)
