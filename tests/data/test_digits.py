"""The data set that comes with the package."""

from __future__ import annotations

import random
from importlib import resources

import numpy as np
import pytest

from tarograd.data import Dataset, load


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load("digits")


def test_shapes_and_range(digits: Dataset) -> None:
    assert len(digits.train) + len(digits.test) == 1797
    assert digits.train.images.shape[1:] == digits.test.images.shape[1:] == (8, 8)
    assert digits.train.images.dtype == np.uint8
    assert digits.train.images.max() == digits.test.images.max() == digits.pixel_max == 16
    assert (digits.name, digits.classes) == ("digits", 10)


def test_every_class_is_parted_80_to_20(digits: Dataset) -> None:
    train = np.bincount(digits.train.labels, minlength=10)
    test = np.bincount(digits.test.labels, minlength=10)
    # The number of images of each class in the UCI set.
    assert (train + test).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.abs(train - 0.8 * (train + test)).max() < 1


def test_the_classes_are_mixed(digits: Dataset) -> None:
    for split in digits.train, digits.test:
        same = np.mean(split.labels[1:] == split.labels[:-1])
        # In a random order a neighbor has the same label in 1 of 10 cases.
        assert abs(same - 0.1) < 5 * np.sqrt(0.09 / len(split))


def test_no_image_is_in_both_parts(digits: Dataset) -> None:
    train = {image.tobytes() for image in digits.train.images}
    test = {image.tobytes() for image in digits.test.images}
    assert len(train) == len(digits.train)
    assert len(test) == len(digits.test)
    assert not train & test


def test_it_is_the_set_of_scikit_learn_split_as_described(digits: Dataset) -> None:
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    original = datasets.load_digits()
    dice = random.Random(0)
    train: list[int] = []
    test: list[int] = []
    for label in range(10):
        indices = np.flatnonzero(original.target == label).tolist()
        dice.shuffle(indices)
        cut = round(0.8 * len(indices))
        train += indices[:cut]
        test += indices[cut:]
    for split, order in (digits.train, train), (digits.test, test):
        dice.shuffle(order)
        np.testing.assert_array_equal(split.images, original.images[order])
        np.testing.assert_array_equal(split.labels, original.target[order])


def test_it_is_small_and_attributed() -> None:
    folder = resources.files("tarograd.data")
    with resources.as_file(folder / "digits.npz") as path:
        assert path.stat().st_size <= 80 * 1024
    words = (folder / "digits.txt").read_text(encoding="utf-8")
    for word in ("Alpaydin", "Kaynak", "CC BY 4.0", "UCI", "Optical Recognition of Handwritten"):
        assert word in words


def test_loading_twice_gives_the_same_bytes(digits: Dataset) -> None:
    assert load("digits").hashes == digits.hashes
