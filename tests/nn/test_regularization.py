"""Dropout: what it drops, when, and that the same mask can be drawn again."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from textbook import Array, numbers

import tarograd as tg
from tarograd import nn

ONES = np.ones((40, 50))


def kept(y: Array) -> Array:
    return np.asarray(y != 0)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_that_is_dropped_and_the_scale_of_the_rest(rate: float) -> None:
    y = nn.Dropout(rate).forward(np.ones((400, 500)))
    np.testing.assert_allclose(np.unique(y), [0, 1 / (1 - rate)], rtol=1e-15)
    deviation = math.sqrt(rate * (1 - rate) / y.size)
    assert np.mean(kept(y)) == pytest.approx(1 - rate, abs=5 * deviation)
    # No row and no column is dropped more often than chance does it.
    for axis, count in ((0, 400), (1, 500)):
        share = kept(y).mean(axis=axis)
        assert np.all(np.abs(share - (1 - rate)) < 6 * math.sqrt(rate * (1 - rate) / count))


@given(
    shape=st.lists(st.integers(0, 5), max_size=4),
    rate=st.floats(0, 0.95),
    seed=st.integers(0, 2**64 - 1),
)
def test_backward_uses_the_mask_of_forward(shape: list[int], rate: float, seed: int) -> None:
    x, layer = np.abs(numbers(*shape)) + 1, nn.Dropout(rate, seed=seed)
    y = layer.forward(x)
    mask = kept(y)
    np.testing.assert_allclose(y, x * mask / (1 - rate), rtol=1e-14)
    dout = numbers(*shape, seed=1)
    np.testing.assert_allclose(layer.backward(dout), dout * mask / (1 - rate), rtol=1e-14)


def test_each_call_draws_another_mask_and_two_layers_of_one_seed_the_same_series() -> None:
    layer, twin, other = nn.Dropout(0.5), nn.Dropout(0.5), nn.Dropout(0.5, seed=1)
    masks = [kept(layer.forward(ONES)) for _ in range(3)]
    for i, j in ((0, 1), (1, 2), (0, 2)):
        # Two independent masks of rate ½ agree in half of the places.
        assert np.mean(masks[i] == masks[j]) == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(2000))
    for mask in masks:
        np.testing.assert_array_equal(kept(twin.forward(ONES)), mask)
    assert np.mean(kept(other.forward(ONES)) == masks[0]) == pytest.approx(0.5, abs=0.06)


def test_within_a_context_the_mask_is_that_of_seed_and_step() -> None:
    layer = nn.Dropout(0.5)
    masks = {}
    for seed, step in ((0, 0), (0, 1), (1, 0)):
        with tg.context(seed=seed, step=step):
            mask = kept(layer.forward(ONES))
            np.testing.assert_array_equal(kept(layer.forward(ONES)), mask)
            np.testing.assert_array_equal(kept(nn.Dropout(0.5, seed=9).forward(ONES)), mask)
            masks[seed, step] = mask
    assert not np.array_equal(masks[0, 0], masks[0, 1])
    assert not np.array_equal(masks[0, 0], masks[1, 0])
    # The replays were no calls of its own: the next mask is still its first.
    np.testing.assert_array_equal(layer.forward(ONES), nn.Dropout(0.5).forward(ONES))


def test_a_context_with_a_step_only_leaves_the_layer_its_seed() -> None:
    with tg.context(step=2):
        first, other = (nn.Dropout(0.5, seed=seed).forward(ONES) for seed in (1, 2))
        again = nn.Dropout(0.5, seed=1).forward(ONES)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_without_training_the_input_passes_unchanged() -> None:
    layer, x = nn.Dropout(0.9), numbers(3, 4)
    with tg.context(training=False):
        np.testing.assert_array_equal(layer.forward(x), x)
        np.testing.assert_array_equal(layer.backward(x), x)
    np.testing.assert_array_equal(layer.forward(ONES), nn.Dropout(0.9).forward(ONES))


class Dropouts(nn.Network):
    """Two Dropout layers whose masks can be seen beside each other."""

    def __init__(self, layers: Any) -> None:
        super().__init__()
        self.layers = layers

    def call(self, x: Any) -> Any:
        one, other = self.layers.values() if isinstance(self.layers, dict) else self.layers
        return one(x) + 10 * other(x)


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Dropout(0.5), nn.Dropout(0.5)],
        {"first": nn.Dropout(0.5), "second": nn.Dropout(0.5)},
        (nn.Sequential(nn.Dropout(0.5)), nn.Sequential(nn.Dropout(0.5))),
    ],
)
def test_two_layers_of_a_network_draw_different_masks(layers: Any) -> None:
    net = Dropouts(layers)
    for changes in ({}, {"seed": 0, "step": 0}):
        with tg.context(**changes):
            y = net.forward(ONES)
        one, other = np.isin(y, [2, 22]), y >= 20
        assert np.mean(one) == pytest.approx(0.5, abs=0.06)
        assert np.mean(one == other) == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(2000))


def test_layers_that_were_appended_draw_different_masks_too() -> None:
    net = Dropouts([])
    net.layers.extend([nn.Dropout(0.5), nn.Dropout(0.5)])
    assert net.parameters() == []
    with tg.context(seed=0, step=0):
        y = net.forward(ONES)
    assert [layer.name for layer in net.layers] == ["layers.0", "layers.1"]
    assert np.mean(np.isin(y, [2, 20])) == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(2000))


def test_predict_and_accuracy_drop_nothing_and_the_loss_does() -> None:
    affine = nn.Affine(4, 3)
    net = nn.Sequential(affine, nn.Dropout(0.5))
    plain = nn.Sequential(nn.Affine(affine.w, affine.b))
    x, t = numbers(50, 4), np.zeros(50, int)
    for _ in range(2):
        np.testing.assert_array_equal(net.predict(x), plain.predict(x))
        assert net.accuracy(x, t) == plain.accuracy(x, t)
    assert net.loss(x, t) != plain.loss(x, t)
    with tg.context(seed=0, step=0):
        assert net.loss(x, t) == net.loss(x, t)
    assert net.loss(x, t) != net.loss(x, t)


def test_copies_go_on_with_the_masks_of_their_original() -> None:
    layer = nn.Dropout(0.5)
    layer.forward(ONES)
    copies = [copy.deepcopy(layer), layer.astype(np.float32)]
    following = layer.forward(ONES)
    for twin in copies:
        np.testing.assert_array_equal(twin.forward(ONES), following)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, math.nan])
def test_a_rate_that_is_no_share_to_drop_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match=r"0 <= rate < 1"):
        nn.Dropout(rate)
