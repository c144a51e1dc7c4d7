"""Checkpoints: whatever a file holds, it loads or is refused in one line, and nothing else."""

from __future__ import annotations

import json
import os
import pickle
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from child import run_child
from tarograd import checkpoint
from tarograd.checkpoint import CheckpointError


class Payload:
    """Unpickled, it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_refused_unread(tmp_path: Path, protocol: int) -> None:
    path, trap = tmp_path / "model.pkl", tmp_path / "trap"
    path.write_bytes(pickle.dumps(Payload(trap), protocol))
    reason = "a pickle can run any code" if protocol >= 2 else "is not a checkpoint"
    with pytest.raises(CheckpointError, match=reason):
        checkpoint.load(path)
    assert not trap.exists()


def test_a_zip_with_a_pickle_is_refused_and_the_way_out_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    np.savez(path, w=np.array([1, None], dtype=object))
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(path)
    assert "is a zip archive (.pt or .npz), and is not opened" in str(caught.value)
    assert "tarograd.checkpoint.save(new_path, {name: array, ...}, {})" in str(caught.value)


def raw(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    """A file in the shape of safetensors, with whatever header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def tensor(shape: object, begin: object, end: object, dtype: object = "U8") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


OURS = {"tarograd": "{}"}
DAMAGED = r"bytes\) is damaged"
HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty or cut short: the file has 0 bytes"),
    "one byte": (b"\x10", "the file has 1 bytes"),
    "eight bytes": (b"\x10" + bytes(7), "the file has 8 bytes"),
    "zeros": (bytes(1000), "is not a checkpoint"),
    "ones": (b"\xff" * 1000, "is not a checkpoint"),
    "text": (b"epoch,loss,accuracy\n" * 9, "is not a checkpoint: it begins with b'epoch,lo"),
    "html": (b"<!DOCTYPE html><html>404</html>", "is not a checkpoint"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(100), "is not a checkpoint"),
    "npy": (b"\x93NUMPY\x01\x00v\x00{'descr': '<f8'}", "is not a checkpoint"),
    "gzip": (b"\x1f\x8b\x08" + bytes(50), "is not a checkpoint"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(50), "is not a checkpoint"),
    "noise": (random.Random(3).randbytes(5000), "is not a checkpoint"),
    "escape codes": (b"\x1b[2J\x1b[31m" * 4, "is not a checkpoint"),
    "terabyte header": (raw({}, length=3 * 2**40), "promises a header of 3,298,534,883,328"),
    "largest header": (raw({}, length=2**64 - 1), "promises a header of 18,446,744,073,709"),
    "long header": (raw({}, length=1000), "its header ends at byte 1,008, the file at 10"),
    "header cut in a string": (raw(b'{"a":{"dty'), DAMAGED),
    "no header": (raw(b"", b"{"), "is not a checkpoint|damaged"),
    "header is a list": (raw(b"[]", bytes(9)), "is not a checkpoint"),
    "header is not UTF-8": (raw(b'{"\xff\xfe":1}'), DAMAGED),
    "header has a NUL": (raw(b'{"a\x00b":1}'), DAMAGED),
    "header is nested deeply": (raw(b'{"a":' * 100_000), DAMAGED),
    "ignored field is nested deeply": (
        raw(b'{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1],"x":' + b"[" * 100_000, b"1"),
        DAMAGED,
    ),
    "ignored field is a huge number": (
        raw(
            b'{"__metadata__":{"tarograd":"{}"},"a":{"dtype":"U8","shape":[],'
            b'"data_offsets":[0,1],"x":' + b"9" * 5000 + b"}}",
            b"1",
        ),
        DAMAGED,
    ),
    "terabyte array": (raw({"a": tensor([2**40], 0, 2**40)}), DAMAGED),
    "shape overflows": (raw({"a": tensor([2**62, 2**62], 0, 8)}, bytes(8)), DAMAGED),
    "shape beyond 64 bits": (raw({"a": tensor([10**30], 0, 1)}, b"1"), DAMAGED),
    "shape is negative": (raw({"a": tensor([-1], 0, 1)}, b"1"), DAMAGED),
    "shape is a float": (raw({"a": tensor([1.5], 0, 1)}, b"1"), DAMAGED),
    "shape is text": (raw({"a": tensor("3", 0, 1)}, b"1"), DAMAGED),
    "shape of 100 dimensions": (raw({"a": tensor([1] * 100, 0, 1)}, b"1"), "NumPy cannot"),
    "shape disagrees with data": (raw({"a": tensor([3], 0, 2)}, b"12"), DAMAGED),
    "offsets are negative": (raw({"a": tensor([1], -1, 0)}, b"1"), DAMAGED),
    "offsets run backward": (raw({"a": tensor([1], 1, 0)}, b"1"), DAMAGED),
    "offsets overlap": (
        raw({"a": tensor([2], 0, 2), "b": tensor([2], 1, 3)}, b"123"),
        DAMAGED,
    ),
    "offsets leave a hole": (
        raw({"a": tensor([1], 0, 1), "b": tensor([1], 2, 3)}, b"123"),
        DAMAGED,
    ),
    "data is short": (raw({"a": tensor([4], 0, 4)}, b"123"), DAMAGED),
    "data is long": (raw({"a": tensor([2], 0, 2)}, b"123"), DAMAGED),
    "no dtype": (raw({"a": {"shape": [1], "data_offsets": [0, 1]}}, b"1"), DAMAGED),
    "unknown dtype": (raw({"a": tensor([1], 0, 1, "U9")}, b"1"), DAMAGED),
    "bfloat16": (raw({"a": tensor([1], 0, 2, "BF16")}, b"12"), "type BF16, which NumPy does not"),
    "dtype is a number": (raw({"a": tensor([1], 0, 1, 8)}, b"1"), DAMAGED),
    "foreign, empty": (raw({}), "of another program"),
    "foreign, null metadata": (raw({"__metadata__": {"format": "pt"}}), "of another program"),
    "foreign": (safetensors.numpy.save({"w": np.zeros(2)}), "of another program"),
    "metadata is null": (raw({"__metadata__": None}), "of another program"),
    "metadata is a list": (raw({"__metadata__": []}), DAMAGED),
    "metadata is no JSON": (raw({"__metadata__": {"tarograd": "{]"}}), "not JSON"),
    "metadata is empty": (raw({"__metadata__": {"tarograd": ""}}), "not JSON"),
    "metadata is a JSON list": (raw({"__metadata__": {"tarograd": "[]"}}), "not a JSON object"),
    "metadata is JSON null": (raw({"__metadata__": {"tarograd": "null"}}), "not a JSON object"),
    "metadata holds an object": (raw({"__metadata__": {"tarograd": {}}}), DAMAGED),
    "metadata is nested deeply": (
        raw({"__metadata__": {"tarograd": '{"a":' + "[" * 200_000}}),
        "not JSON",
    ),
    "metadata holds a huge number": (
        raw({"__metadata__": {"tarograd": '{"a":' + "9" * 9000 + "}"}}),
        "not JSON",
    ),
    "two metadata": (
        raw(b'{"__metadata__":{"tarograd":"{}"},"__metadata__":{"tarograd":"{}"}}'),
        DAMAGED,
    ),
    "escape codes in a name": (raw({"\x1b[2J\n": tensor([2], 0, 1)}, b"1"), DAMAGED),
    "a very long name": (raw({"n" * 100_000: tensor([2], 0, 1)}, b"1"), DAMAGED),
}


@pytest.mark.parametrize(("content", "message"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_is_refused_in_one_printable_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        checkpoint.load(path)
    assert str(path) in str(caught.value)
    assert str(caught.value).isprintable()  # neither a line break nor a terminal command
    assert len(str(caught.value)) <= 1000


@pytest.fixture(scope="module")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("small") / "a.safetensors"
    checkpoint.save(path, {"w": np.arange(6.0).reshape(2, 3), "b": np.array(True)}, {"epoch": 3})
    return path.read_bytes()


def test_a_file_cut_at_any_length_is_refused_with_its_length(
    tmp_path: Path, small_file: bytes
) -> None:
    path = tmp_path / "cut"
    for length in range(len(small_file)):
        path.write_bytes(small_file[:length])
        with pytest.raises(CheckpointError, match=rf"\b{length}\b"):
            checkpoint.load(path)


def loads_or_is_refused(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    try:
        arrays, metadata = checkpoint.load(path)
    except CheckpointError:
        return "refused"
    assert isinstance(metadata, dict)
    assert sum(array.nbytes for array in arrays.values()) <= len(content)
    return "loads"


def test_every_single_flipped_bit_loads_or_is_refused(tmp_path: Path, small_file: bytes) -> None:
    outcomes = set()
    for position in range(len(small_file)):
        for bit in range(8):
            content = bytearray(small_file)
            content[position] ^= 1 << bit
            outcomes.add(loads_or_is_refused(tmp_path / "flipped", bytes(content)))
    assert outcomes == {"loads", "refused"}  # flips in the numbers load, flips in the header do not


def test_random_edits_load_or_are_refused(tmp_path: Path, small_file: bytes) -> None:
    edits = random.Random(20240229)
    for _ in range(3000):
        content = bytearray(small_file)
        for _ in range(edits.randint(1, 6)):
            begin = edits.randrange(len(content) or 1)
            end = begin + edits.randrange(8)
            insert = edits.choice([b"", edits.randbytes(3), content[end : end + 20], b"\xff" * 8])
            content[begin:end] = insert
        loads_or_is_refused(tmp_path / "edited", bytes(content))


def test_paths_that_are_not_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot read .*No such file"):
        checkpoint.load(tmp_path / "missing")
    with pytest.raises(CheckpointError, match=r"is a folder: name the file in it"):
        checkpoint.load(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="needs named pipes")
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="not a regular file"):
        checkpoint.load(tmp_path / "pipe")


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
def test_hostile_files_cost_less_than_300_megabytes(tmp_path: Path) -> None:
    size = 4 * 2**20 - 200  # the longest header that is read
    bombs = {
        "empty arrays": raw(
            {"__metadata__": OURS} | {f"{i:x}": tensor([0], 0, 0) for i in range(size // 70)}
        ),
        "nested metadata": raw(
            {"__metadata__": {"tarograd": '{"a":[%s[]]}' % ("[]," * (size // 3))}}
        ),
        "ignored field": raw(
            b'{"__metadata__":{"tarograd":"{}"},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],'
            b'"x":[%s[]]}}' % (b"[]," * (size // 3 - 20))
        ),
        "dimensions": raw({"__metadata__": OURS, "a": tensor([1] * (size // 4), 0, 1)}, b"1"),
    }
    for name, content in bombs.items():
        assert len(content) > size // 2
        (tmp_path / name).write_bytes(content)
    for name, (content, _) in HOSTILE.items():
        (tmp_path / name).write_bytes(content)
    code = """
import pathlib, sys
from tarograd import checkpoint
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        checkpoint.load(path)
    except checkpoint.CheckpointError:
        pass
    else:
        print("loaded", path.name)
print(*(line for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    *loaded, peak = run_child(code, tmp_path).strip().splitlines()
    assert loaded == ["loaded empty arrays", "loaded ignored field", "loaded nested metadata"]
    assert int(peak.split()[1]) < 300_000  # kB
