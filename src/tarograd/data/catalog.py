"""The data sets that have a name, and the user's own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tarograd.data.dataset import DataError, Dataset, Split
from tarograd.data.download import Mirrors, RemoteFile, download
from tarograd.data.idx import read_idx, view_idx
from tarograd.data.npz import read_npz

_MAX_CLASSES = 1000


@dataclass(frozen=True)
class Published:
    """A data set of four IDX files on public mirrors.

    Args:
        name: what `load` calls it.
        files: training images, training labels, test images, test labels.
        mirrors: where the files are.
        classes: the number of classes.
        pixel_max: the greatest brightness of a pixel.
    """

    name: str
    files: tuple[RemoteFile, RemoteFile, RemoteFile, RemoteFile]
    mirrors: Mirrors
    classes: int
    pixel_max: int = 255


# Y. LeCun, C. Cortes, C. Burges: the MNIST database of handwritten digits.
MNIST = Published(
    name="mnist",
    files=(
        RemoteFile(
            "train-images-idx3-ubyte",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            47_040_016,
        ),
        RemoteFile(
            "train-labels-idx1-ubyte",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            60_008,
        ),
        RemoteFile(
            "t10k-images-idx3-ubyte",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            7_840_016,
        ),
        RemoteFile(
            "t10k-labels-idx1-ubyte",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            10_008,
        ),
    ),
    mirrors=Mirrors(
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        )
    ),
    classes=10,
)
_PUBLISHED = {MNIST.name: MNIST}


def names() -> tuple[str, ...]:
    """The data sets that `load` knows by name.

    Example:
        >>> names()
        ('digits', 'mnist')
    """
    return ("digits", *_PUBLISHED)


def load(
    name: str | os.PathLike[str],
    directory: str | os.PathLike[str] | None = None,
    *,
    progress: bool = True,
) -> Dataset:
    """Load a data set: by its name, or your own by its path.

    - `"digits"`: 1,797 handwritten digits of 8 × 8 pixels, brightness 0 to 16; comes with tarograd.
      The parts, 80 : 20, are shuffled and have the same share of each class. In the order of the
      original file the parts have different writers, and the same network gets only about 91 %.
    - `"mnist"`: 60,000 + 10,000 handwritten digits of 28 × 28 pixels, brightness 0 to 255. Looked
      for in `directory` and `directory/mnist`, in `$TAROGRAD_DATA/mnist`, in the user's cache; what
      is in none of them is downloaded into the cache. Each file is known by its SHA-256.
    - a path to a folder with the four IDX files under MNIST's names, packed with gzip or not, or to
      an NPZ file with the arrays `train_images, train_labels, test_images, test_labels` (or, as in
      Keras, `x_train, y_train, x_test, y_test`). A folder called mnist is "./mnist".

    Args:
        name: one of `names()`, or a path.
        directory: a folder that may already hold the files of a named set.
        progress: whether a download draws a progress bar on standard error.

    Returns:
        The data set. Labels are class numbers from 0; for your own, there are as many classes as
        the greatest label says.

    Raises:
        DataError: with the place, what was expected and what was found: for an unknown name, a
            damaged file, a label out of range, or files that could neither be found nor downloaded.

    Example:
        >>> digits = load("digits")
        >>> digits.train
        Split(images=uint8 (1438, 8, 8), labels=uint8 (1438,))
    """
    name = os.fspath(name)
    if directory is not None and not os.path.isdir(directory):
        found = "a file" if os.path.exists(directory) else "none of that name"
        raise DataError(directory, "directory= to be a folder", found)
    if name == "digits":
        return _load_digits()
    if name in _PUBLISHED:
        from platformdirs import user_cache_path

        cache = user_cache_path("tarograd") / name
        return load_published(_PUBLISHED[name], directory, cache, progress=progress)
    path = Path(os.path.expanduser(name))
    if name and os.path.isdir(path):
        return _load_idx_folder(path)
    if name and os.path.exists(path):
        return _own(path, read_npz(path), [path])
    raise _unknown(name)


def load_published(
    published: Published,
    directory: str | os.PathLike[str] | None,
    cache: Path,
    *,
    progress: bool = True,
) -> Dataset:
    """Load a published data set: from where it lies, or else from its mirrors.

    Args:
        published: the data set.
        directory: the first folder to look in.
        cache: the last folder to look in, and where downloads go.
        progress: whether a download draws a progress bar.

    Raises:
        DataError: when a file is not the published one, or cannot be had.
    """
    folders = [cache]
    if os.environ.get("TAROGRAD_DATA"):
        folders.insert(0, Path(os.environ["TAROGRAD_DATA"], published.name))
    if directory is not None:
        folders[:0] = [Path(directory), Path(directory, published.name)]
    missing = [file for file in published.files if not _find(file, folders)]
    if missing:
        try:
            download(missing, cache, published.mirrors, progress=progress)
        except DataError as fault:
            raise _ways_out(published, folders, fault) from None
    paths = [path for file in published.files if (path := _find(file, folders))]
    images, labels, test_images, test_labels = (
        view_idx(file.read(path), path) for file, path in zip(published.files, paths, strict=True)
    )
    return Dataset(
        name=published.name,
        train=Split(images, labels),
        test=Split(test_images, test_labels),
        classes=published.classes,
        pixel_max=published.pixel_max,
        sources=tuple(map(str, paths)),
    )


def _load_digits() -> Dataset:
    from importlib import resources

    file = resources.files("tarograd.data") / "digits.npz"
    with resources.as_file(file) as path:
        images, labels, test_images, test_labels = read_npz(path)
    return Dataset(
        name="digits",
        train=Split(images, labels),
        test=Split(test_images, test_labels),
        classes=10,
        pixel_max=16,
        sources=("tarograd/data/digits.npz",),
    )


def _load_idx_folder(folder: Path) -> Dataset:
    paths = []
    for file in MNIST.files:
        path = file.find(folder)
        if path is None:
            expected = f"the IDX file {file.name} or {file.name}.gz"
            raise DataError(folder, expected, _contents(folder))
        paths.append(path)
    return _own(folder, [read_idx(path) for path in paths], paths)


def _contents(folder: Path) -> str:
    try:
        return ", ".join(sorted(os.listdir(folder))[:8]) or "an empty folder"
    except OSError as fault:
        return f"a folder that cannot be read: {fault.strerror}"


def _own(path: Path, arrays: Sequence[NDArray[Any]], sources: Sequence[Path]) -> Dataset:
    """A data set of the user's: `arrays` are images, labels, images, labels."""
    images, labels, test_images, test_labels = arrays
    try:
        train, test = Split(images, labels), Split(test_images, test_labels)
    except DataError as fault:
        raise DataError(path, fault.expected, fault.found) from None
    for split in (train, test):
        _check_values(split, path)
    classes = 1 + max(int(train.labels.max()), int(test.labels.max()))
    pixel_max = 255 if images.dtype == np.uint8 else 1
    return Dataset(str(path), train, test, classes, pixel_max, tuple(map(str, sources)))


def _check_values(split: Split, path: Path) -> None:
    outside = (split.labels < 0) | (split.labels >= _MAX_CLASSES)
    if outside.any():
        first = int(outside.argmax())
        found = f"the label {split.labels[first]} at index {first} of {len(split)}"
        raise DataError(path, f"labels from 0 to {_MAX_CLASSES - 1}", found)
    # The extremes of an array with a NaN are NaN, and no array of the same size is needed.
    if not np.isfinite([split.images.min(), split.images.max()]).all():
        raise DataError(path, "finite numbers in the images", "NaN or infinity")


def _find(file: RemoteFile, folders: Sequence[Path]) -> Path | None:
    found = (file.find(folder) for folder in folders)
    return next((path for path in found if path), None)


def _unknown(name: str) -> DataError:
    from difflib import get_close_matches

    near = get_close_matches(name.lower(), names(), n=1)
    return DataError(
        f"load({name!r})",
        f"the name of a data set ({', '.join(names())}), or a path to a folder or an NPZ file",
        "neither",
        hint=f"Did you mean {near[0]!r}?" if near else "",
    )


def _ways_out(published: Published, folders: Sequence[Path], fault: DataError) -> DataError:
    """The one error for a data set that is nowhere, with everything that can be done about it."""
    name, cache = published.name, folders[-1]
    listed = "".join(f"\n     {file.name}.gz" for file in published.files)
    return DataError(
        name,
        f"its four files in one of the folders {', '.join(map(str, folders))}, or a way to "
        "download them",
        f"neither: {fault.path}: expected {fault.expected}, found {fault.found}",
        hint=f"""
Three ways out:
  1. Download these files by hand from {" or ".join(published.mirrors.urls)}{listed}
     into {cache}
  2. Where another folder has them: load({name!r}, directory="FOLDER"), or set the environment
     variable TAROGRAD_DATA to the folder that contains {name}/
  3. Use the data set that needs no network: load("digits")""",
    )
