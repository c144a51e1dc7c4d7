"""Finding data sets: by name, in folders, on mirrors, at the user's path."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import HOSTILE_IDX, UNFIT, arrays, idx_bytes, npz_bytes, zip_bytes
from numpy.typing import NDArray

from tarograd.data import DataError, load, names
from tarograd.data.catalog import MNIST, Published, load_published
from tarograd.data.download import Mirrors, RemoteFile

NAMES = [file.name for file in MNIST.files]
CONTENTS = dict(zip(NAMES, map(idx_bytes, arrays().values()), strict=True))


def tiny() -> Published:
    """The small data set as if it were published on two mirrors, both of them dead."""
    files = [RemoteFile(n, hashlib.sha256(c).hexdigest(), len(c)) for n, c in CONTENTS.items()]
    a, b, c, d = files
    dead = Mirrors(("http://127.0.0.1:1/one/", "http://127.0.0.1:1/two/"), pause=0)
    return Published("tiny", (a, b, c, d), dead, classes=3)


def write(folder: Path, packed: bool = True, /, **changed: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {**CONTENTS, **changed}.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("TAROGRAD_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    return tmp_path / "cache"


def test_names() -> None:
    assert names() == ("digits", "mnist")


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("place", ["directory", "directory/tiny", "environment/tiny", "cache"])
def test_a_published_set_is_found_in_each_place(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, packed: bool, place: str
) -> None:
    monkeypatch.setenv("TAROGRAD_DATA", str(tmp_path / "environment"))
    (tmp_path / "directory").mkdir()
    write(tmp_path / place, packed)
    data = load_published(tiny(), tmp_path / "directory", cache, progress=False)
    assert (data.name, data.classes, data.pixel_max) == ("tiny", 3, 255)
    assert [Path(source).parent for source in data.sources] == [tmp_path / place] * 4
    np.testing.assert_array_equal(data.train.images, arrays()["train_images"])
    np.testing.assert_array_equal(data.test.labels, arrays()["test_labels"])
    if place != "cache":
        assert not cache.exists()


def test_the_directory_comes_first_then_the_environment(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAROGRAD_DATA", str(tmp_path / "environment"))
    places = [tmp_path / "given", tmp_path / "given/tiny", tmp_path / "environment/tiny", cache]
    for place in places:
        write(place)
    for place in places:
        data = load_published(tiny(), tmp_path / "given", cache)
        assert {Path(source).parent for source in data.sources} == {place}
        for file in place.glob("*.gz"):
            file.unlink()


def test_a_damaged_local_file_is_named_with_both_hashes(tmp_path: Path, cache: Path) -> None:
    wrong = bytearray(CONTENTS[NAMES[1]])
    wrong[-1] ^= 1
    write(tmp_path / "given", **{NAMES[1]: bytes(wrong)})
    with pytest.raises(DataError) as caught:
        load_published(tiny(), tmp_path / "given", cache)
    message = str(caught.value)
    assert caught.value.path == str(tmp_path / "given" / f"{NAMES[1]}.gz")
    assert hashlib.sha256(wrong).hexdigest() in message
    assert hashlib.sha256(CONTENTS[NAMES[1]]).hexdigest() in message
    assert "delete it" in message


@pytest.mark.parametrize(
    ("name", "content", "_"), HOSTILE_IDX, ids=[name for name, *_ in HOSTILE_IDX]
)
def test_no_hostile_file_passes_for_a_published_one(
    tmp_path: Path, cache: Path, name: str, content: bytes, _: str
) -> None:
    write(cache)
    (cache / f"{NAMES[0]}.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"SHA-256|a whole gzip file") as caught:
        load_published(tiny(), None, cache)
    assert caught.value.path == str(cache / f"{NAMES[0]}.gz"), name


def test_nowhere_and_no_network_is_one_error_with_three_ways_out(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAROGRAD_DATA", str(tmp_path / "environment"))
    (tmp_path / "given").mkdir()
    with pytest.raises(DataError) as caught:
        load_published(tiny(), tmp_path / "given", cache, progress=False)
    message = str(caught.value)
    places = [tmp_path / "given", tmp_path / "given/tiny", tmp_path / "environment/tiny", cache]
    for words in (
        "tiny: expected its four files in one of the folders " + ", ".join(map(str, places)),
        f"http://127.0.0.1:1/one/{NAMES[0]}.gz: Failed to establish a new connection",
        f"http://127.0.0.1:1/two/{NAMES[0]}.gz: Failed to establish a new connection",
        "Three ways out:",
        "by hand from http://127.0.0.1:1/one/ or http://127.0.0.1:1/two/",
        *(f"{name}.gz\n" for name in NAMES),
        f"into {cache}\n",
        "load('tiny', directory=\"FOLDER\")",
        "TAROGRAD_DATA to the folder that contains tiny/",
        'load("digits")',
    ):
        assert words in message
    assert caught.value.__suppress_context__
    assert not cache.exists() or not list(cache.iterdir())


def test_only_what_is_missing_is_downloaded(tmp_path: Path, cache: Path) -> None:
    write(tmp_path / "given")
    (tmp_path / "given" / f"{NAMES[2]}.gz").unlink()
    with pytest.raises(DataError, match="Three ways out") as caught:
        load_published(tiny(), tmp_path / "given", cache, progress=False)
    assert f"one/{NAMES[2]}.gz" in str(caught.value)
    assert f"one/{NAMES[0]}.gz" not in str(caught.value)
    write(cache)
    for name in NAMES[:2] + NAMES[3:]:
        (cache / f"{name}.gz").unlink()
    data = load_published(tiny(), tmp_path / "given", cache)
    folders = [Path(source).parent.name for source in data.sources]
    assert folders == ["given", "given", "cache", "given"]


def test_a_directory_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: expected directory= to be a folder"):
        load("mnist", directory=tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file: expected directory= to be a folder, found a file"):
        load("mnist", directory=tmp_path / "file")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("minst", "mnist"),
        ("MNIST", "mnist"),
        ("digit", "digits"),
        ("imagenet", None),
        ("", None),
        ("a\0b", None),
    ],
)
def test_an_unknown_name_is_told_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, near: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"\(digits, mnist\), or a path .* found neither") as caught:
        load(name)
    assert (f"Did you mean '{near}'?" in str(caught.value)) is (near is not None)


@pytest.mark.parametrize("packed", [True, False])
def test_a_folder_of_idx_files(tmp_path: Path, packed: bool) -> None:
    write(tmp_path, packed)
    data = load(tmp_path)
    assert (data.name, data.classes, data.pixel_max) == (str(tmp_path), 3, 255)
    assert data.hashes == {n: hashlib.sha256(a.tobytes()).hexdigest() for n, a in arrays().items()}
    assert len(data.sources) == 4


def test_a_folder_may_be_called_like_a_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "digits")
    monkeypatch.chdir(tmp_path)
    assert load("./digits").classes == 3
    assert load("digits").classes == 10


def test_the_home_folder_may_be_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "own")
    assert load("~/own").classes == 3


def test_a_folder_that_lacks_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"the IDX file {NAMES[0]} or .*, found an empty folder"):
        load(tmp_path)
    write(tmp_path, False)
    (tmp_path / NAMES[3]).unlink()
    with pytest.raises(DataError, match=f"the IDX file {NAMES[3]} or .*, found {NAMES[2]}, train"):
        load(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_file_in_a_folder_is_named(tmp_path: Path, name: str) -> None:
    write(tmp_path, False, **{name: CONTENTS[name][:-1]})
    with pytest.raises(DataError, match="the end after") as caught:
        load(tmp_path)
    assert caught.value.path == str(tmp_path / name)


def test_an_npz_file(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    path.write_bytes(npz_bytes())
    data = load(str(path))
    assert (data.name, data.classes, data.sources) == (str(path), 3, (str(path),))
    np.testing.assert_array_equal(data.test.images, arrays()["test_images"])


def test_float_images_are_taken_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    images = {n: a / np.float32(255) for n, a in arrays().items() if n.endswith("images")}
    path.write_bytes(npz_bytes(**images))
    data = load(path)
    assert data.train.images.dtype == np.float32
    assert data.pixel_max == 1


def test_classes_reach_to_the_greatest_label_of_both_parts(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    path.write_bytes(npz_bytes(test_labels=np.array([0, 999, 1, 2], np.uint16)))
    assert load(path).classes == 1000


@pytest.mark.parametrize(("name", "changed", "message"), UNFIT, ids=[name for name, *_ in UNFIT])
def test_arrays_that_are_no_data_set(
    tmp_path: Path, name: str, changed: dict[str, NDArray[Any]], message: str
) -> None:
    path = tmp_path / "own.npz"
    path.write_bytes(npz_bytes(**changed))
    with pytest.raises(DataError, match=message) as caught:
        load(path)
    assert caught.value.path == str(path), name


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "images.csv"
    path.write_text("1,2,3")
    with pytest.raises(DataError, match=r"csv: expected an NPZ file, .* not a zip file"):
        load(path)
    path.write_bytes(zip_bytes({"train.csv": b"1,2,3"}))
    with pytest.raises(DataError, match=r"the arrays train_images, .* found 'train\.csv'"):
        load(path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="a device or a pipe"):
        load(tmp_path / "pipe")


REAL = Path(os.environ.get("TAROGRAD_DATA", ""), "mnist")


@pytest.mark.skipif(
    not os.environ.get("TAROGRAD_DATA") or not REAL.is_dir(),
    reason="the real MNIST is not at hand: set TAROGRAD_DATA to the folder that contains mnist/",
)
class TestRealMnist:
    def test_it_is_the_published_one(self) -> None:
        data = load("mnist")
        assert data.train.images.shape == (60_000, 28, 28)
        assert data.test.images.shape == (10_000, 28, 28)
        assert (data.classes, data.pixel_max, data.train.images.dtype.name) == (10, 255, "uint8")
        assert data.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
        assert data.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
        # The class sizes and the mean and deviation of the pixels that are published everywhere.
        sizes = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
        assert np.bincount(data.train.labels).tolist() == sizes
        assert abs(float(data.train.images.mean()) / 255 - 0.1307) < 5e-5
        assert abs(float(data.train.images.std()) / 255 - 0.3081) < 5e-5

    def test_the_files_on_disk_have_the_published_hashes(self) -> None:
        for file in MNIST.files:
            path = file.find(REAL)
            assert path is not None
            with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as stream:
                assert hashlib.sha256(stream.read()).hexdigest() == file.sha256

    def test_one_changed_bit_is_found(self, tmp_path: Path) -> None:
        for file in MNIST.files:
            path = file.find(REAL)
            assert path is not None
            shutil.copy(path, tmp_path)
        labels = tmp_path / f"{NAMES[3]}.gz"
        content = bytearray(gzip.decompress(labels.read_bytes()))
        content[5000] ^= 1
        labels.write_bytes(gzip.compress(bytes(content)))
        with pytest.raises(DataError, match=f"SHA-256 {MNIST.files[3].sha256}, found 10,008 bytes"):
            load("mnist", directory=tmp_path)

    def test_as_the_users_own_folder(self) -> None:
        own = load(REAL)
        assert own.hashes == replace(load("mnist"), name="other").hashes
        assert own.classes == 10
