"""Networks: the textbook's two-layer network, layers in a row, and what both can be asked."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from textbook import (
    Array,
    derivative,
    numbers,
    one_hot,
    two_layer_gradient,
    two_layer_loss,
    two_layer_scores,
)

import tarograd as tg
from tarograd import nn
from tarograd.nn.models import CHUNK

KEYS = ["w1", "b1", "w2", "b2"]
LABELS = np.array([0, 2, 1, 2, 0, 1])


def network(std: float = 1.0) -> nn.TwoLayerNet:
    """A network of float64 with 4 inputs, 5 hidden neurons, 3 classes, and biases that count."""
    net = nn.TwoLayerNet(4, 5, 3, std).astype(np.float64)
    net.params["b1"], net.params["b2"] = numbers(5, seed=8), numbers(3, seed=9)
    return net


def values(net: nn.Network) -> dict[str, Array]:
    return {name: np.array(p.value, np.float64) for name, p in net.named_parameters().items()}


def assert_gradients(given: dict[str, Array], expected: dict[str, Array], atol: float) -> None:
    assert list(given) == list(expected)
    for name, slope in expected.items():
        assert given[name].shape == slope.shape
        np.testing.assert_allclose(given[name], slope, rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize("t", [LABELS, one_hot(LABELS, 3), one_hot(LABELS, 3).astype(int).tolist()])
def test_everything_that_the_textbooks_network_can_do(t: Any) -> None:
    net, x = network(), numbers(6, 4)
    params, rows = values(net), one_hot(LABELS, 3)
    scores = two_layer_scores(params, x)
    np.testing.assert_allclose(net.predict(x), scores, rtol=1e-12)
    assert net.loss(x, t) == pytest.approx(two_layer_loss(params, x, rows), rel=1e-13)
    right = sum(int(np.argmax(row)) == label for row, label in zip(scores, LABELS, strict=True))
    assert 0 < right < 6
    assert net.accuracy(x, t) == right / 6
    expected = two_layer_gradient(params, x, rows)
    found = net.gradient(x, t)
    assert list(found) == KEYS
    assert_gradients(found, expected, 1e-14)
    assert_gradients({k: np.array(p.grad) for k, p in net.named_parameters().items()}, found, 0)
    assert_gradients(net.numerical_gradient(x, t), expected, 1e-10)


def test_the_formulas_in_these_tests_are_right_themselves() -> None:
    params, x, t = values(network()), numbers(6, 4), one_hot(LABELS, 3)
    for name, slope in two_layer_gradient(params, x, t).items():

        def loss(value: Array, name: str = name) -> float:
            return two_layer_loss({**params, name: value}, x, t)

        np.testing.assert_allclose(slope, derivative(loss, params[name]), rtol=0, atol=1e-10)


def test_gradients_are_replaced_not_added_and_the_loss_leaves_them() -> None:
    net, x = network(), numbers(6, 4)
    net.gradient(numbers(6, 4, seed=1), LABELS)
    found = net.gradient(x, LABELS)
    assert_gradients(found, two_layer_gradient(values(net), x, one_hot(LABELS, 3)), 1e-14)
    net.loss(x, LABELS)
    net.predict(x)
    net.numerical_gradient(x, LABELS)
    assert_gradients({k: np.array(p.grad) for k, p in net.named_parameters().items()}, found, 0)


def in_place(net: nn.TwoLayerNet, grads: dict[str, Array], lr: float) -> None:
    for key in ("w1", "b1", "w2", "b2"):
        net.params[key] -= lr * grads[key]


def assigned(net: nn.TwoLayerNet, grads: dict[str, Array], lr: float) -> None:
    for key in net.params:
        net.params[key] = net.params[key] - lr * grads[key]


def through_parameters(net: nn.TwoLayerNet, grads: dict[str, Array], lr: float) -> None:
    for name, parameter in net.named_parameters().items():
        parameter.value = parameter.value - lr * grads[name]


@pytest.mark.parametrize("update", [in_place, assigned, through_parameters])
def test_the_textbooks_training_loop_trains(
    update: Callable[[nn.TwoLayerNet, dict[str, Array], float], None],
) -> None:
    net, x = network(), numbers(30, 4)
    t = np.argmax(x[:, :3], axis=1)
    by_hand = values(net)
    for _ in range(50):
        update(net, net.gradient(x, t), 0.5)
        slopes = two_layer_gradient(by_hand, x, one_hot(t, 3))
        by_hand = {key: by_hand[key] - 0.5 * slopes[key] for key in KEYS}
    assert_gradients(values(net), by_hand, 1e-11)
    assert net.accuracy(x, t) > 0.95


def test_params_hands_out_copies_and_checks_what_it_is_given() -> None:
    net = network()
    assert list(net.params) == KEYS
    assert len(net.params) == 4
    net.params["w1"][...] = 0
    assert np.all(net.w1.value != 0)
    with pytest.raises(ValueError, match=r"(?s)shape \(2, 2\) .*w1.* of shape \(4, 5\)"):
        net.params["w1"] = np.ones((2, 2))
    with pytest.raises(KeyError, match="w3"):
        net.params["w3"] = np.ones(1)
    with pytest.raises(KeyError, match="w3"):
        net.params["w3"]


def test_the_initial_weights() -> None:
    net = nn.TwoLayerNet(input_size=784, hidden_size=50, output_size=10)
    assert {name: p.shape for name, p in net.named_parameters().items()} == {
        **{"w1": (784, 50), "b1": (50,), "w2": (50, 10), "b2": (10,)}
    }
    assert {p.dtype.name for p in net.parameters()} == {"float32"}
    # From n numbers the deviation is known to 1 part in √(2n); five times that is allowed.
    for w in (net.w1.value, net.w2.value):
        assert w.std(dtype=np.float64) == pytest.approx(0.01, rel=5 / np.sqrt(2 * w.size))
        assert abs(w.mean(dtype=np.float64)) < 5 * 0.01 / np.sqrt(w.size)
    np.testing.assert_array_equal(net.b1.value, np.zeros(50))
    np.testing.assert_array_equal(net.b2.value, np.zeros(10))
    assert not np.any(net.w1.value.ravel()[:500] == net.w2.value.ravel())

    wide = nn.TwoLayerNet(784, 50, 10, weight_init_std=0.5)
    np.testing.assert_allclose(wide.w1.value, 50 * net.w1.value, rtol=1e-6)
    np.testing.assert_array_equal(nn.TwoLayerNet(784, 50, 10).w1.value, net.w1.value)
    assert not np.any(nn.TwoLayerNet(784, 50, 10, seed=1).w1.value == net.w1.value)


@pytest.mark.parametrize(
    "sizes", [(0, 5, 3), (4, 0, 3), (4, 5, 0), (-1, 5, 3), (4.0, 5, 3), (4, "5", 3)]
)
def test_sizes_that_are_no_whole_number_from_one_on_are_refused(sizes: Any) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        nn.TwoLayerNet(*sizes)


def test_many_rows_are_predicted_in_pieces_and_come_out_in_one() -> None:
    net = network()
    for n in (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 345):
        x = numbers(n, 4)
        scores = net.predict(x)
        assert scores.shape == (n, 3)
        np.testing.assert_allclose(scores, two_layer_scores(values(net), x), rtol=0, atol=1e-12)
    assert net.accuracy(x, scores.argmax(axis=1)) == 1
    assert net.accuracy(x, one_hot(scores.argmin(axis=1), 3)) == 0


def test_one_row_is_predicted_alone_however_long_it_is() -> None:
    net = nn.TwoLayerNet(CHUNK + 500, 3, 2, 0.1).astype(np.float64)
    x = numbers(3, CHUNK + 500)
    np.testing.assert_allclose(net.predict(x[1]), net.predict(x)[1], rtol=1e-12)


@pytest.mark.parametrize(
    ("x", "t"),
    [((6, 4), (1,)), ((6, 4), (5,)), ((6, 4), (6, 1)), ((6, 4), (6, 2)), ((6, 4), ()), ((4,), ())],
)
def test_accuracy_refuses_targets_that_would_only_broadcast(
    x: tuple[int, ...], t: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"accuracy: targets of shape .* scores of shape"):
        network().accuracy(np.ones(x), np.zeros(t, int))


def test_uint8_images_are_scaled_to_the_brightest_pixel() -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 2, 2), dtype=np.uint8)
    net = nn.TwoLayerNet(4, 5, 3, 1.0)
    scaled = (images / 255).astype(np.float32).reshape(6, 4)
    assert net.predict(images).dtype == np.float32
    np.testing.assert_allclose(net.predict(images), net.predict(scaled), rtol=1e-5)
    assert net.loss(images, LABELS) == pytest.approx(net.loss(scaled, LABELS), rel=1e-5)
    np.testing.assert_allclose(net.forward(images), net.forward(scaled), rtol=1e-5)
    np.testing.assert_array_equal(net(images).value, net.predict(images))
    slopes = net.gradient(images, LABELS)
    assert_gradients(slopes, net.gradient(scaled, LABELS), 1e-6)
    assert {slope.dtype.name for slope in slopes.values()} == {"float32"}

    net.pixel_max = 16
    small = images // 16
    expected = net.predict((small / 16).astype(np.float32).reshape(6, 4))
    np.testing.assert_array_equal(net.predict(small), expected)
    # Other whole numbers are numbers, not brightnesses.
    numbers_of_one = np.ones((2, 4), np.float32)
    expected = net.predict(numbers_of_one)
    np.testing.assert_array_equal(net.predict(numbers_of_one.astype(int)), expected)


def test_float64_data_beside_float32_parameters_is_computed_in_float64() -> None:
    net, x = nn.TwoLayerNet(4, 5, 3, 1.0), numbers(6, 4)
    params, rows = values(net), one_hot(LABELS, 3)
    np.testing.assert_allclose(net.predict(x), two_layer_scores(params, x), rtol=0, atol=1e-13)
    assert net.loss(x, LABELS) == pytest.approx(two_layer_loss(params, x, rows), rel=1e-14)
    expected = two_layer_gradient(params, x, rows)
    assert_gradients(net.gradient(x, LABELS), expected, 1e-7)
    assert_gradients(net.numerical_gradient(x, LABELS), expected, 1e-10)


def test_arguments_are_not_written_into() -> None:
    net, x, t = network(), numbers(6, 4), one_hot(LABELS, 3)
    before = x.tobytes(), t.tobytes()
    for ask in (net.loss, net.accuracy, net.gradient, net.numerical_gradient):
        ask(x, t)
    net.predict(x)
    assert (x.tobytes(), t.tobytes()) == before


def test_a_sequence_of_the_same_layers_is_the_same_network() -> None:
    two, x = network(), numbers(6, 4)
    first, last = nn.Affine(two.w1, two.b1), nn.Affine(two.w2, two.b2)
    net = nn.Sequential(first, nn.ReLU(), last)
    np.testing.assert_array_equal(net.predict(x), two.predict(x))
    assert net.loss(x, LABELS) == two.loss(x, LABELS)
    slopes = net.gradient(x, LABELS)
    assert list(slopes) == ["affine1.w", "affine1.b", "affine2.w", "affine2.b"]
    for slope, other in zip(slopes.values(), two.gradient(x, LABELS).values(), strict=True):
        np.testing.assert_array_equal(slope, other)


def test_layers_of_one_shape_start_with_different_weights() -> None:
    block = nn.Sequential(nn.Affine(3, 3), nn.Tanh())
    net = nn.Sequential(
        nn.Affine(3, 3),
        nn.Affine(3, 3),
        block,
        copy.deepcopy(block),
        copy.deepcopy(nn.Affine(3, 3)),
    )
    weights = [p.value for name, p in net.named_parameters().items() if name.endswith(".w")]
    assert len(weights) == 5
    for i, w in enumerate(weights):
        for other in weights[:i]:
            assert not np.any(w == other)


def test_a_sequence_keeps_weights_that_were_given_or_set() -> None:
    given, set_, trained = nn.Affine(numbers(3, 3), numbers(3)), nn.Affine(3, 3), nn.Affine(3, 3)
    set_.w.value = numbers(3, 3, seed=1)
    for parameter in trained.parameters():
        parameter.value = parameter.value + 1
    before = [layer.w.value for layer in (given, set_, trained)]
    nn.Sequential(given, set_, trained, nn.Affine(3, 3), seed=4)
    for layer, w in zip((given, set_, trained), before, strict=True):
        np.testing.assert_array_equal(layer.w.value, w)


def test_the_seed_of_a_sequence_decides_the_weights_that_have_no_seed_of_their_own() -> None:
    def weights(seed: int, *, own: int | None) -> list[Array]:
        net = nn.Sequential(nn.Affine(3, 2, seed=own), nn.ReLU(), nn.Affine(2, 2), seed=seed)
        return [p.value for p in net.parameters() if p.ndim == 2]

    assert not np.any(weights(1, own=None)[0] == weights(2, own=None)[0])
    np.testing.assert_array_equal(weights(1, own=5)[0], nn.Affine(3, 2, seed=5).w.value)
    np.testing.assert_array_equal(weights(1, own=5)[1], weights(1, own=None)[1])
    assert not np.any(weights(1, own=5)[1] == weights(2, own=5)[1])


def test_fields_of_one_size_start_with_other_weights_and_another_seed_changes_them() -> None:
    class Block(nn.Layer):
        def __init__(self) -> None:
            self.left, self.right = nn.Affine(3, 3), nn.Affine(3, 3)
            self.kept = nn.Affine(3, 3, seed=7)

    class Net(nn.Network):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = Block(), Block()
            self.body = nn.Sequential(nn.Affine(3, 3), nn.Affine(3, 3))
            self.fixed = nn.Sequential(nn.Affine(3, 3), seed=7)

    def weights(net: Net) -> dict[str, Array]:
        return {name: p.value for name, p in net.named_parameters().items() if p.ndim == 2}

    net = Net()
    start = weights(net)
    kept = {"first.kept.w", "second.kept.w"}
    free = [w.tobytes() for name, w in start.items() if name not in kept]
    assert len(set(free)) == len(free) == 7
    np.testing.assert_array_equal(start["first.kept.w"], start["second.kept.w"])
    net.initialize(1)
    changed = {name for name, w in weights(net).items() if np.any(w != start[name])}
    assert changed == set(start) - kept - {"fixed.affine1.w"}
    assert all(np.array_equal(w, weights(Net())[name]) for name, w in start.items())


def test_another_criterion() -> None:
    net = nn.Sequential(nn.Affine(3, 1), criterion=nn.SquaredError()).astype(np.float64)
    x, t = numbers(5, 3), numbers(5, 1, seed=1)
    error = net.predict(x) - t
    assert net.loss(x, t) == pytest.approx(float(np.sum(error**2)) / 10, rel=1e-13)
    slopes = net.gradient(x, t)
    np.testing.assert_allclose(slopes["affine1.w"], x.T @ error / 5, rtol=1e-12)
    assert net.criterion is copy.copy(net).criterion
    assert repr(net.criterion) == "SquaredError()"


@pytest.mark.parametrize("wrong", [[nn.Affine(4, 3), nn.ReLU()], nn.ReLU, tg.relu, None])
def test_a_sequence_of_something_else_says_how_to_write_it(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"is not a layer.*Sequential\(\*layers\)"):
        nn.Sequential(wrong)


def test_predict_and_loss_record_nothing() -> None:
    class Watched(nn.Network):
        def __init__(self) -> None:
            super().__init__()
            self.scale = tg.Parameter(2.0)
            self.scores: list[tg.Tensor] = []

        def call(self, x: Any) -> Any:
            self.scores.append(x * self.scale)
            return self.scores[-1]

    net = Watched()
    x, t = numbers(6, 3), LABELS
    for ask in (lambda: net.predict(x), lambda: net.accuracy(x, t), lambda: net.loss(x, t)):
        ask()
        assert tg.graph.topological_order(net.scores[-1]) == net.scores[-1:]
    net.objective(x, t)
    assert any(i is net.scale for i in tg.graph.topological_order(net.scores[-1]))


def test_a_layer_with_a_name_of_its_own_keeps_it() -> None:
    class Named(nn.ReLU):
        name = "rectifier"

    net = nn.Sequential(nn.Affine(4, 3), Named())
    y = net(tg.Tensor(numbers(2, 4)))
    assert y.node.group.path() == "sequential.rectifier"
    assert repr(net) == "Sequential(Affine(4, 3), Named())"


def test_the_nodes_of_a_network_carry_the_path_of_their_layer() -> None:
    two = network()
    inner = nn.Sequential(nn.Affine(3, 3), nn.Sigmoid())
    deep = nn.Sequential(nn.Affine(4, 3), inner, nn.Affine(3, 3)).astype(np.float64)
    for net, expected in (
        (two, ["twolayernet.affine1", "twolayernet.relu1", "twolayernet.affine2"]),
        (
            deep,
            [
                *("sequential.affine1", "sequential.sequential1.affine1"),
                *("sequential.sequential1.sigmoid1", "sequential.affine2"),
            ],
        ),
    ):
        loss = net.objective(numbers(6, 4), LABELS)
        groups = [x.node.group for x in tg.graph.topological_order(loss) if x.node]
        found = list(dict.fromkeys(group.path() for group in groups if group))
        assert found == [*expected, "softmaxwithloss"]
        kinds = {group.path(): group.kind for group in groups if group}
        assert kinds[expected[0]] == "Affine"
        assert kinds["softmaxwithloss"] == "SoftmaxWithLoss"
