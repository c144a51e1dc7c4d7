"""The IDX reader: what it returns, and what it refuses."""

from __future__ import annotations

import gzip
import os
import tracemalloc
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from data_files import GZ, HOSTILE_IDX, IDX, IDX_CODES, IMAGES, idx_bytes, idx_header
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tarograd.data import DataError, read_idx


@pytest.mark.parametrize("content", [IDX, GZ, gzip.compress(IDX, 0)])
@pytest.mark.parametrize("name", ["images", "images.gz", "images.idx"])
def test_reads_plain_and_packed_whatever_the_name(
    tmp_path: Path, content: bytes, name: str
) -> None:
    (tmp_path / name).write_bytes(content)
    array = read_idx(tmp_path / name)
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, IMAGES)


@given(
    array=st.sampled_from(sorted(IDX_CODES)).flatmap(
        lambda code: hnp.arrays(code, hnp.array_shapes(max_dims=4, max_side=6))
    )
)
def test_gives_back_every_type_in_native_order(
    tmp_path_factory: pytest.TempPathFactory, array: NDArray[Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip"
    path.write_bytes(idx_bytes(array))
    back = read_idx(path)
    assert back.dtype == array.dtype
    assert back.dtype.isnative
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()


def test_reads_big_endian_numbers(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    path.write_bytes(bytes.fromhex("00000c01 00000002 00000102 fffffffe"))
    assert read_idx(path).tolist() == [258, -2]


@pytest.mark.parametrize(
    ("name", "content", "message"), HOSTILE_IDX, ids=[name for name, *_ in HOSTILE_IDX]
)
def test_refuses_hostile_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / "hostile"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"(?s){message}") as caught:
        read_idx(path)
    assert str(caught.value).startswith(str(path)), name
    assert caught.value.path == str(path)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_hostile_files_are_distinct() -> None:
    assert len({content for _, content, _ in HOSTILE_IDX}) == len(HOSTILE_IDX) >= 60


def test_refuses_what_is_no_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(DataError, match="expected a file, found a device or a pipe"):
        read_idx(pipe)
    with pytest.raises(DataError, match="expected a file, found a device or a pipe"):
        read_idx("/dev/zero")
    with pytest.raises(DataError, match="expected a file, found a folder"):
        read_idx(tmp_path)
    with pytest.raises(DataError, match="absent: expected a file, found none of that name"):
        read_idx(tmp_path / "absent")
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(DataError, match="expected a readable file"):
        read_idx(loop)


def test_max_bytes_bounds_the_array(tmp_path: Path) -> None:
    path = tmp_path / "images"
    path.write_bytes(IDX)
    assert read_idx(path, max_bytes=IMAGES.nbytes).shape == IMAGES.shape
    with pytest.raises(DataError, match="at most 3,919 bytes of data"):
        read_idx(path, max_bytes=IMAGES.nbytes - 1)


def test_a_promise_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "promise"
    path.write_bytes(idx_header(8, 2**32 - 1, 28, 28) + bytes(4080))
    tracemalloc.start()
    with pytest.raises(DataError, match="promises"):
        read_idx(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


def test_a_whole_array_is_held_once(tmp_path: Path) -> None:
    path = tmp_path / "doubles.gz"
    array = np.random.default_rng(0).integers(0, 9, (100, 100, 100)).astype(np.float64)
    path.write_bytes(gzip.compress(idx_bytes(array), 1))
    tracemalloc.start()
    back = read_idx(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(back, array)
    assert peak < array.nbytes + 4 * 2**20
