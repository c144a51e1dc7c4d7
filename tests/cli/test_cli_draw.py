"""`tarograd draw`: a saved network in the terminal and in files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tarograd as tg
from commands import taro
from tarograd.drawing.numbers import short

DIGITS = tg.data.load("digits")


@pytest.fixture
def net(tmp_path: Path) -> tg.nn.Network:
    """A network, saved as net.safetensors."""
    network = tg.nn.TwoLayerNet(64, 5, 10, weight_init_std=0.5, seed=3)
    network.pixel_max = DIGITS.pixel_max
    tg.save_network(network, tmp_path / "net.safetensors")
    return network


def test_the_numbers_are_those_of_the_network_and_its_gradient(
    tmp_path: Path, net: tg.nn.Network
) -> None:
    image, label = DIGITS.test.images[0], int(DIGITS.test.labels[0])
    np.save(tmp_path / "image.npy", image)
    outcome = taro("draw", "net.safetensors", "image.npy", "--label", label, folder=tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    x, t = image[None], np.array([label])
    for name, gradient in net.numerical_gradient(x, t).items():
        row = next(line for line in outcome.out.splitlines() if line.startswith(name))
        below = outcome.out.splitlines()[outcome.out.splitlines().index(row) + 1]
        assert f"‖{short(float(np.linalg.norm(net.named_parameters()[name].value)))}‖" in row
        written = float(below.partition("‖")[2].partition("‖")[0])
        assert written == pytest.approx(np.linalg.norm(gradient), rel=2e-3)
    assert f"{short(net.loss(x, t))}──▶" in outcome.out
    last = f"{net!r} for image.npy; label {label}, as given"
    assert outcome.out.splitlines()[-1] == last


def test_without_an_image_it_is_drawn_for_noise_and_its_own_answer(
    tmp_path: Path, net: tg.nn.Network
) -> None:
    outcome = taro("draw", "net.safetensors", folder=tmp_path)
    x = np.random.default_rng(0).random((1, 64)).astype(np.float32)
    own = int(net.predict(x)[0].argmax())
    assert outcome.out.splitlines()[-1].endswith(
        f"for noise, since no IMAGE was given; label {own}, the network's own answer"
    )
    assert f"{short(net.loss(x, np.array([own])))}──▶" in outcome.out


@pytest.mark.parametrize("kind", ["svg", "html", "json", "dot"])
def test_every_form_of_file(tmp_path: Path, net: tg.nn.Network, kind: str) -> None:
    Image.fromarray(np.uint8(DIGITS.test.images[0] * 15)).save(tmp_path / "three.png")
    words = ("draw", "net.safetensors", "three.png", "--depth", 2, "-o", f"net.{kind}", "--ascii")
    outcome = taro(*words, folder=tmp_path)
    assert outcome.code == 0
    assert outcome.out.isascii()
    text = (tmp_path / f"net.{kind}").read_text("utf-8")
    assert "affine1" in text or kind == "dot"
    if kind == "json":
        assert {v["name"] for v in json.loads(text)["values"]} >= {"w1", "b1", "w2", "b2", "x"}


def test_depth_0_is_one_box(tmp_path: Path, net: tg.nn.Network) -> None:
    outcome = taro("draw", "net.safetensors", "--depth", 0, folder=tmp_path)
    assert "[twolayernet]" in outcome.out
    assert "affine1" not in outcome.out


def test_the_loss_of_squared_errors(tmp_path: Path) -> None:
    net = tg.nn.Sequential(tg.nn.Affine(64, 10), criterion=tg.nn.SquaredError())
    tg.save_network(net, tmp_path / "net.safetensors")
    outcome = taro("draw", "net.safetensors", "--label", 2, folder=tmp_path)
    x = np.random.default_rng(0).random((1, 64)).astype(np.float32)
    assert f"{short(net.loss(x, np.eye(10, dtype=np.float32)[[2]]))}──▶" in outcome.out


def test_weights_that_are_not_finite_are_drawn(tmp_path: Path) -> None:
    net = tg.nn.TwoLayerNet(64, 5, 10)
    net.w1.value = np.full((64, 5), np.nan, np.float32)
    tg.save_network(net, tmp_path / "net.safetensors")
    outcome = taro("draw", "net.safetensors", folder=tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    assert "320 not finite" in outcome.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], "cannot read nothing: No such file"),
        (["net.safetensors", "no.png"], "no.png: there is no such file"),
        (["net.safetensors", "--label", "10"], "--label 10: the classes are 0 to 9"),
        (["net.safetensors", "--label", "-1"], "-1 is not in the range x>=0"),
        (["net.safetensors", "-o", "a.gif"], "'a.gif': a picture is saved as .svg, .html"),
        (["net.safetensors", "-o", "no/a.svg"], "there is no folder 'no'"),
        ([], "Missing argument 'MODEL'"),
    ],
)
def test_wrong_usage_in_one_line(
    tmp_path: Path, net: tg.nn.Network, words: list[str], said: str
) -> None:
    outcome = taro("draw", *words, folder=tmp_path)
    assert outcome.code == 2
    (line,) = outcome.err.splitlines()
    assert said in line
