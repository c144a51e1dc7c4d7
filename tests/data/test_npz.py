"""The NPZ reader: what it returns, and what it refuses."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from data_files import HOSTILE_NPZ, arrays, npy_with_header, npz_bytes
from hypothesis import given
from numpy.typing import NDArray

from tarograd.data import DataError, read_npz


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_reads_what_numpy_writes(tmp_path: Path, save: Any) -> None:
    path = tmp_path / "data.npz"
    save(path, **arrays(), something_else=np.array("not looked at"))
    for read, written in zip(read_npz(path), arrays().values(), strict=True):
        assert read.dtype == written.dtype
        np.testing.assert_array_equal(read, written)


def test_reads_the_names_of_keras(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    values = list(arrays().values())
    np.savez(path, x_test=values[2], y_test=values[3], x_train=values[0], y_train=values[1])
    for read, written in zip(read_npz(path), values, strict=True):
        np.testing.assert_array_equal(read, written)


@given(
    hnp.arrays(
        hnp.floating_dtypes(sizes=(16, 32, 64))
        | hnp.integer_dtypes()
        | hnp.unsigned_integer_dtypes(),
        hnp.array_shapes(max_dims=4, max_side=5),
    )
)
def test_gives_back_every_type_and_order(
    tmp_path_factory: pytest.TempPathFactory, array: NDArray[Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip.npz"
    turned = np.asfortranarray(array)
    path.write_bytes(npz_bytes(train_images=array, test_images=turned))
    images, _, test_images, _ = read_npz(path)
    for back in (images, test_images):
        assert back.dtype == array.dtype.newbyteorder("=")
        assert back.dtype.isnative
        assert back.flags.c_contiguous
        assert back.tobytes() == array.astype(back.dtype).tobytes()


@pytest.mark.parametrize(
    "header",
    [
        "{'shape':(6,),'fortran_order':False,'descr':'|u1'}",
        '{"descr": "u1", "fortran_order": False, "shape": (6, )}',
    ],
)
@pytest.mark.parametrize("version", [1, 2])
def test_reads_headers_of_other_writers(tmp_path: Path, header: str, version: int) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(npz_bytes(train_labels=npy_with_header(header, b"\0\1\2\0\1\2", version)))
    assert read_npz(path)[1].tolist() == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("name", "content", "message"), HOSTILE_NPZ, ids=[name for name, *_ in HOSTILE_NPZ]
)
def test_refuses_hostile_archives(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / "hostile.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"(?s){message}") as caught:
        read_npz(path)
    assert str(caught.value).startswith(str(path)), name
    assert len(str(caught.value)) < 600 + len(str(path))


def test_hostile_archives_are_distinct() -> None:
    assert len({content for _, content, _ in HOSTILE_NPZ}) == len(HOSTILE_NPZ) >= 60


def test_members_with_evil_names_stay_in_the_archive(tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    path = folder / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../evil", b"out")
        archive.writestr("/tmp/evil", b"out")
    with pytest.raises(DataError, match=r"found '\.\./evil', '/tmp/evil'"):
        read_npz(path)
    assert sorted(tmp_path.rglob("*")) == [folder, path]


def test_max_bytes_bounds_all_arrays_together(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(npz_bytes())
    unpacked = sum(array.nbytes + 128 for array in arrays().values())
    assert len(read_npz(path, max_bytes=unpacked)) == 4
    with pytest.raises(DataError, match=f"at most {unpacked - 1} bytes of data"):
        read_npz(path, max_bytes=unpacked - 1)
