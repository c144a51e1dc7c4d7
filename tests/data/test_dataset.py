"""Splits and data sets: what they hold, what they refuse."""

from __future__ import annotations

import hashlib
import pickle
from typing import Any

import numpy as np
import pytest
from data_files import arrays

from tarograd.data import DataError, Dataset, Split


def dataset(**changed: Any) -> Dataset:
    a = arrays()
    train = Split(a["train_images"], a["train_labels"])
    test = Split(a["test_images"], a["test_labels"])
    given = {"name": "tiny", "train": train, "test": test, "classes": 3, "pixel_max": 255}
    return Dataset(**{**given, **changed})


def test_a_split_unpacks_as_images_and_labels() -> None:
    images, labels = arrays()["train_images"], arrays()["train_labels"]
    first, second = Split(images, labels)
    np.testing.assert_array_equal(first, images)
    np.testing.assert_array_equal(second, labels)
    assert len(Split(images, labels)) == 6

    def two(x: Any, t: Any) -> tuple[int, int]:
        return len(x), len(t)

    assert two(*Split(images, labels)[:3]) == (3, 3)


@pytest.mark.parametrize(
    "index",
    [
        slice(1, 4),
        slice(None, None, -2),
        slice(2, 2),
        [5, 0, 0],
        np.array([3, 1]),
        np.array([True, False, True, False, False, True]),
    ],
)
def test_indexing_selects_both_and_stays_read_only(index: Any) -> None:
    images, labels = arrays()["train_images"], arrays()["train_labels"]
    part = Split(images, labels)[index]
    np.testing.assert_array_equal(part.images, images[index])
    np.testing.assert_array_equal(part.labels, labels[index])
    assert not part.images.flags.writeable
    assert not part.labels.flags.writeable


@pytest.mark.parametrize("index", [0, np.int64(2), (0, 1), (slice(2), 0), "a", [[0], [1]], None])
def test_other_indices_are_a_type_error_that_says_what_works(index: Any) -> None:
    split = dataset().train
    with pytest.raises(TypeError, match=r"for one image write split\[3:4\]"):
        split[index]


def test_the_arrays_cannot_be_written_and_the_givers_stay_as_they_were() -> None:
    images, labels = arrays()["train_images"], arrays()["train_labels"]
    split = Split(images, labels)
    with pytest.raises(ValueError, match="read-only"):
        split.images[0, 0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        split.labels[0] = 1
    assert images.flags.writeable
    assert labels.flags.writeable
    with pytest.raises(AttributeError):
        split.images = images  # type: ignore[misc]  # that this fails is what is tested


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((3, 4)), np.zeros(2, int), "one label for each image, found 3 images and 2"),
        (np.zeros((3, 4)), np.zeros(3), r"class numbers, .* found float64 \(3,\)"),
        (np.zeros((3, 4)), np.zeros((3, 1), int), r"found int64 \(3, 1\)"),
        (np.zeros((3, 4)), np.zeros(3, bool), r"found bool \(3,\)"),
        (np.zeros(3), np.zeros(3, int), r"images of shape .* found float64 \(3,\)"),
        (np.zeros((3, 1, 1, 1, 1)), np.zeros(3, int), "images of shape"),
        (np.zeros((3, 0)), np.zeros(3, int), "images of shape"),
        (np.zeros((3, 4), int), np.zeros(3, int), r"uint8, float32, float64, found int64"),
        (np.zeros((3, 4), np.float16), np.zeros(3, int), "found float16"),
    ],
)
def test_a_split_refuses_what_does_not_fit(images: Any, labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Split(images, labels)


@pytest.mark.parametrize("shape", [(2, 9), (2, 3, 3), (2, 1, 3, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_a_split_takes_flat_gray_and_channel_images(shape: tuple[int, ...], dtype: str) -> None:
    assert Split(np.zeros(shape, dtype), np.zeros(2, np.int8)).images.shape == shape


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"classes": 2}, "train labels from 0 to 1, found the label 2 at index 2"),
        ({"test": Split(np.zeros((1, 2, 2), np.uint8), np.zeros(1, int))}, r"of \(2, 2\)"),
        ({"test": Split(np.zeros((1, 3, 3)), np.zeros(1, int))}, r"found float64 of \(3, 3\)"),
        ({"test": Split(np.zeros((0, 3, 3), np.uint8), np.zeros(0, int))}, "one test image"),
        (
            {"test": Split(np.zeros((2, 3, 3), np.uint8), np.array([0, -1]))},
            "the label -1 at index 1",
        ),
    ],
)
def test_a_dataset_refuses_parts_that_do_not_fit(changed: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        dataset(**changed)
    assert caught.value.path == "tiny"


def test_hashes_are_those_of_the_bytes() -> None:
    expected = {name: hashlib.sha256(a.tobytes()).hexdigest() for name, a in arrays().items()}
    assert dataset().hashes == expected
    # A view in another order is the same data.
    turned = Split(np.asfortranarray(arrays()["train_images"]), arrays()["train_labels"])
    assert dataset(train=turned).hashes == expected


def test_hold_out_parts_the_training_set() -> None:
    images = np.arange(100, dtype=np.uint8).reshape(100, 1)
    split = Split(images, np.zeros(100, int))
    data = Dataset("hundred", split, split, 1, 255)
    rest, held = data.hold_out(0.1, seed=3)
    assert (len(rest), len(held)) == (90, 10)
    assert sorted([*rest.images[:, 0], *held.images[:, 0]]) == list(range(100))
    again, other = data.hold_out(0.1, seed=3)[1], data.hold_out(0.1, seed=4)[1]
    np.testing.assert_array_equal(again.images, held.images)
    assert other.images.tolist() != held.images.tolist()


def test_hold_out_reaches_every_image() -> None:
    split = Split(np.arange(20, dtype=np.uint8).reshape(20, 1), np.zeros(20, int))
    data = Dataset("twenty", split, split, 1, 255)
    seen = [data.hold_out(0.5, seed)[1].images[:, 0] for seed in range(200)]
    counts = np.bincount(np.concatenate(seen), minlength=20)
    # Each count is binomial(200, 1/2): mean 100, deviation 7.1; 5 deviations.
    assert counts.sum() == 2000
    assert np.abs(counts - 100).max() < 36


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan"), 0.01, 0.99])
def test_hold_out_refuses_what_leaves_a_part_empty(fraction: float) -> None:
    with pytest.raises(ValueError, match=f"fraction={fraction}"):
        dataset().hold_out(fraction, seed=0)


def test_a_data_error_travels_between_processes() -> None:
    error = DataError("a/b", "this", "that", 7, "do so")
    assert str(error) == "a/b, byte 7: expected this, found that. do so"
    back = pickle.loads(pickle.dumps(error))
    assert (str(back), back.offset) == (str(error), 7)
