"""How large the pictures are, and their share of the package."""

from __future__ import annotations

import zipfile
from importlib.resources import as_file, files
from io import BytesIO
from pathlib import Path

import numpy as np
from graphs import apple

import tarograd as tg

KB = 1024


def test_the_apple() -> None:
    picture = tg.draw(apple())
    assert len(picture.svg().encode()) <= 5 * KB
    assert len(picture.html().encode()) <= 120 * KB


def test_a_batch_of_images_through_the_two_layer_network() -> None:
    rng = np.random.default_rng(0)
    ink = rng.random((100, 28, 28)) * (rng.random((100, 28, 28)) < 0.2)  # as much as in MNIST
    net = tg.nn.TwoLayerNet(784, 50, 10)
    picture = tg.draw(net, ink.astype(np.float32), rng.integers(0, 10, 100))
    assert len(picture.html().encode()) <= 300 * KB


def test_the_share_of_the_wheel() -> None:
    packed = BytesIO()
    with as_file(files("tarograd.drawing")) as folder, zipfile.ZipFile(packed, "w") as wheel:
        for path in Path(folder).rglob("*"):
            if path.is_file() and path.suffix != ".pyc":
                wheel.write(path, path.name, zipfile.ZIP_DEFLATED)
    assert len(packed.getvalue()) <= 200 * KB
