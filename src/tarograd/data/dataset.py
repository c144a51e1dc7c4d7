"""What a data set is: images with labels, twice: one part to train on and one to test on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tarograd.ops.random import permutation

IMAGE_TYPES = ("uint8", "float32", "float64")


class DataError(ValueError):
    """A file or array that cannot be used as data: where it is, what was expected, what was found.

    Example:
        >>> print(DataError("labels.idx", "an unsigned byte (08)", "type 07", offset=2))
        labels.idx, byte 2: expected an unsigned byte (08), found type 07
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        expected: str,
        found: str,
        offset: int | None = None,
        hint: str = "",
    ) -> None:
        """Keeps the parts of the message, all of them readable as attributes.

        Args:
            path: the file or folder, or the name of what was given.
            expected: what would have been right.
            found: what is there instead.
            offset: the byte where it went wrong, counted in the unpacked file.
            hint: how to mend it; a new sentence, or new lines.
        """
        super().__init__(os.fspath(path), expected, found, offset, hint)
        self.path = os.fspath(path)
        self.expected = expected
        self.found = found
        self.offset = offset
        self.hint = hint

    def __str__(self) -> str:
        place = self.path if self.offset is None else f"{self.path}, byte {self.offset}"
        text = f"{place}: expected {self.expected}, found {self.found}"
        if not self.hint:
            return text
        return f"{text}{self.hint}" if self.hint.startswith("\n") else f"{text}. {self.hint}"


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """Images and their labels, as read-only arrays. It unpacks as `images, labels`.

    A slice, an index array or a mask selects a smaller Split, so `net.loss(*split[:100])` reads
    as it should.

    Args:
        images: uint8, float32 or float64, of shape (n, features), (n, height, width) or
            (n, channels, height, width).
        labels: the class number of each image, integers of shape (n,).

    Raises:
        DataError: when the types or shapes are others, or the two do not agree in n.

    Example:
        >>> split = Split(np.zeros((5, 8, 8), np.uint8), np.arange(5))
        >>> split[:3]
        Split(images=uint8 (3, 8, 8), labels=int64 (3,))
        >>> images, labels = split[[4, 0]]
        >>> labels
        array([4, 0])
    """

    images: NDArray[Any]
    labels: NDArray[np.integer[Any]]

    def __post_init__(self) -> None:
        images, labels = np.asarray(self.images), np.asarray(self.labels)
        fault = _fault(images, labels)
        if fault:
            raise DataError("Split", *fault)
        object.__setattr__(self, "images", _read_only(images))
        object.__setattr__(self, "labels", _read_only(labels))

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return iter((self.images, self.labels))

    def __getitem__(self, index: slice | NDArray[Any] | list[int]) -> Split:
        one_line = isinstance(index, slice) or np.asarray(index).ndim == 1
        if not one_line or isinstance(index, tuple):
            raise TypeError(
                f"split[{index!r}]: a slice, a list or an array of indices selects a smaller "
                "Split; for one image write split[3:4] or split.images[3]"
            )
        return Split(self.images[index], self.labels[index])

    def __repr__(self) -> str:
        parts = (f"{name}={a.dtype} {a.shape}" for name, a in vars(self).items())
        return f"Split({', '.join(parts)})"


@dataclass(frozen=True, eq=False)
class Dataset:
    """A named data set: the part to train on and the part to test on.

    Args:
        name: what `load` was asked for.
        train: the images to train on.
        test: the images to test on, of the same shape and type.
        classes: the number of classes; labels run from 0 to classes - 1.
        pixel_max: the greatest brightness that an integer image can have. Networks divide uint8
            images by it, so that pixels run from 0 to 1; float images are taken as they are.
        sources: the files that it was read from.

    Raises:
        DataError: when the parts do not fit together, or a label is not a class number.
    """

    name: str
    train: Split
    test: Split
    classes: int
    pixel_max: int
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        train, test = self.train.images, self.test.images
        for part, split in (("train", self.train), ("test", self.test)):
            if not len(split):
                raise DataError(self.name, f"at least one {part} image", "none")
            outside = (split.labels < 0) | (split.labels >= self.classes)
            if outside.any():
                first = int(outside.argmax())
                raise DataError(
                    self.name,
                    f"{part} labels from 0 to {self.classes - 1}",
                    f"the label {split.labels[first]} at index {first}",
                )
        if (train.shape[1:], train.dtype) != (test.shape[1:], test.dtype):
            raise DataError(
                self.name,
                f"test images like the training images, {train.dtype} of {train.shape[1:]}",
                f"{test.dtype} of {test.shape[1:]}",
            )

    @property
    def hashes(self) -> dict[str, str]:
        """The SHA-256 of each array's bytes (C order, little-endian), to tell which data ran.

        Example:
            >>> split = Split(np.zeros((1, 2), np.uint8), np.zeros(1, np.uint8))
            >>> Dataset("two zeros", split, split, 1, 255).hashes["train_images"][:16]
            '96a296d224f285c6'
        """
        return {
            f"{part}_{kind}": _sha256(array)
            for part, split in (("train", self.train), ("test", self.test))
            for kind, array in vars(split).items()
        }

    def hold_out(self, fraction: float, seed: int) -> tuple[Split, Split]:
        """Set a part of the training images aside, chosen at random, for validation.

        Args:
            fraction: how much of the training set, 0 < fraction < 1; rounded to whole images.
            seed: the same seed chooses the same images.

        Returns:
            The rest to train on, and the part held out, both in their former order.

        Raises:
            ValueError: when one of the two would be empty.

        Example:
            >>> split = Split(np.zeros((10, 4), np.uint8), np.zeros(10, np.uint8))
            >>> [len(part) for part in Dataset("ten", split, split, 1, 255).hold_out(0.2, seed=0)]
            [8, 2]
        """
        size = len(self.train)
        if not 0 < fraction < 1:
            raise ValueError(f"fraction={fraction}: it must lie between 0 and 1, 0.1 for a tenth")
        held = round(fraction * size)
        if not 0 < held < size:
            raise ValueError(
                f"fraction={fraction} of {size} training images leaves {size - held} to train on "
                f"and {held} for validation; each needs at least one"
            )
        order = permutation(size, seed, stream="hold_out")
        return self.train[np.sort(order[held:])], self.train[np.sort(order[:held])]


def _fault(images: NDArray[Any], labels: NDArray[Any]) -> tuple[str, str] | None:
    """What was expected and what was found, when the two cannot be a Split."""
    shapes = "images of shape (n, features), (n, height, width) or (n, channels, height, width)"
    if images.dtype.name not in IMAGE_TYPES:
        return f"images of type {', '.join(IMAGE_TYPES)}", f"{images.dtype} {images.shape}"
    if images.ndim not in (2, 3, 4) or 0 in images.shape[1:]:
        return shapes, f"{images.dtype} {images.shape}"
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        return (
            "labels that are class numbers, integers of shape (n,)",
            f"{labels.dtype} {labels.shape}",
        )
    if len(images) != len(labels):
        return "one label for each image", f"{len(images)} images and {len(labels)} labels"
    return None


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A read-only view: the flag of the caller's own array stays as it is."""
    view = array.view()
    view.flags.writeable = False
    return view


def _sha256(array: NDArray[Any]) -> str:
    import hashlib

    if sys.byteorder == "big":
        array = array.byteswap()
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
