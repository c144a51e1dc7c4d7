"""Checkpoints: what is saved comes back, what cannot be is refused by name."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import safetensors
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from child import run_child
from tarograd import checkpoint
from tarograd.checkpoint import CheckpointError

DTYPES = ["?", *"bhilBHILefd", ">i2", ">i4", ">f4", ">f8"]
LAYOUTS: list[Callable[[NDArray[Any]], NDArray[Any]]] = [
    lambda a: a,
    lambda a: a.T,
    np.asfortranarray,
    lambda a: a[..., ::2],
    lambda a: a[::-1] if a.ndim else a,
    lambda a: np.broadcast_to(a, (3, *a.shape)),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


# --- what is saved comes back ---------------------------------------------------------------


@given(
    arrays=st.dictionaries(
        st.text("abcw1.é", max_size=5),
        st.tuples(
            st.sampled_from(DTYPES).flatmap(
                lambda dtype: hnp.arrays(
                    dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0)
                )
            ),
            st.sampled_from(LAYOUTS),
        ).map(lambda pair: pair[1](pair[0]) if pair[0].ndim else pair[0]),
        max_size=4,
    ),
    metadata=st.dictionaries(st.text(), JSON, max_size=4),
)
def test_arrays_and_metadata_come_back(
    arrays: dict[str, NDArray[Any]], metadata: dict[str, Any]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.safetensors")
        checkpoint.save(path, arrays, metadata)
        loaded, loaded_metadata = checkpoint.load(path)
    assert list(loaded) == sorted(arrays)
    for name, array in arrays.items():
        native = array.astype(array.dtype.newbyteorder("="))
        assert loaded[name].dtype == native.dtype
        assert loaded[name].shape == array.shape
        assert loaded[name].tobytes() == native.tobytes()  # the same bits, nan and -0.0 too
        assert type(loaded[name]) is np.ndarray
        assert loaded[name].flags.writeable
    assert json.dumps(loaded_metadata, sort_keys=True) == json.dumps(metadata, sort_keys=True)


def test_the_file_is_plain_safetensors_with_one_metadata_key(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    w = np.arange(6, dtype=np.float32).reshape(2, 3).T  # not C-contiguous
    checkpoint.save(path, {"w": w, "lr": np.array(0.5)}, {"b": [1, 2.5], "a": "é"})
    with safetensors.safe_open(path, framework="np") as other_reader:
        assert other_reader.metadata() == {"tarograd": '{"a":"\\u00e9","b":[1,2.5]}'}
        np.testing.assert_array_equal(other_reader.get_tensor("w"), [[0, 3], [1, 4], [2, 5]])
        assert other_reader.get_tensor("lr").shape == ()


def test_equal_content_gives_equal_bytes_whatever_its_order_and_layout(tmp_path: Path) -> None:
    w = np.arange(6.0).reshape(2, 3)
    one, two = tmp_path / "one", tmp_path / "two"
    checkpoint.save(one, {"w": w, "b": w[0]}, {"x": 1, "y": {"p": 2, "q": 3}})
    checkpoint.save(
        two,
        {"b": w[0].astype(">f8"), "w": np.asfortranarray(w)},
        {"y": {"q": 3, "p": 2}, "x": 1},
    )
    assert one.read_bytes() == two.read_bytes()


def test_two_processes_with_different_hash_seeds_write_the_same_sha256(tmp_path: Path) -> None:
    code = """
import sys, numpy as np
from tarograd import checkpoint
names = {f"layer{i}.w" for i in range(20)}
arrays = {name: np.arange(12.0).reshape(3, 4) * len(name) for name in names}
checkpoint.save(sys.argv[1], arrays, {name: [name] for name in names})
print(list(names))
"""
    paths = [tmp_path / seed for seed in "123"]
    orders = {run_child(code, path, PYTHONHASHSEED=path.name) for path in paths}
    assert len(orders) > 1  # the seeds did make a difference
    assert len({hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}) == 1


@pytest.mark.parametrize("start", [b"\x80\x02", b"\x80\x04", b"PK"])
def test_a_header_length_that_looks_like_a_pickle_or_zip_is_read(
    tmp_path: Path, start: bytes
) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, {}, {"pad": ""})
    padding = int.from_bytes(start, "little") - int.from_bytes(path.read_bytes()[:8], "little")
    checkpoint.save(path, {}, {"pad": "x" * padding})
    assert path.read_bytes()[:2] == start
    assert checkpoint.load(path)[1] == {"pad": "x" * padding}


# --- what cannot be stored ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrays", "metadata", "message"),
    [
        ({"w": np.zeros(2, complex)}, {}, "w holds complex128"),
        ({"w": np.zeros(2, np.complex64)}, {}, "w holds complex64"),
        ({"w": np.array(["a"])}, {}, "w holds <U1"),
        ({"w": np.array([None])}, {}, "w holds object"),
        ({"w": np.zeros(2, "M8[s]")}, {}, "w holds datetime64"),
        ({"w": np.zeros(2, [("x", "f4")])}, {}, "w holds"),
        ({"__metadata__": np.zeros(2)}, {}, "name '__metadata__'"),
        ({"a\nb": np.zeros(2)}, {}, r"name 'a\\nb'"),
        ({"a\ud800": np.zeros(2)}, {}, r"name 'a\\ud800'"),
        ({}, {"lr": float("nan")}, r"metadata\['lr'\] is nan"),
        ({}, {"a": [{"b": -np.inf}]}, r"metadata\['a'\]\[0\]\['b'\] is -inf"),
        ({}, {"shape": (2, 3)}, r"metadata\['shape'\] is of type tuple"),
        ({}, {"n": np.int64(3)}, r"metadata\['n'\] is of type int64"),
        ({}, {"w": np.zeros(2)}, r"metadata\['w'\] is of type ndarray"),
        ({}, {"state": {1: 2}}, r"metadata\['state'\] has the key 1"),
        ({}, {"b": b"bytes"}, r"metadata\['b'\] is of type bytes"),
        ({}, {"long": "x" * 5_000_000}, "store long lists as arrays"),
    ],
)
def test_what_would_not_come_back_is_refused_by_name(
    tmp_path: Path, arrays: dict[str, NDArray[Any]], metadata: dict[str, Any], message: str
) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, {}, {"good": 1})
    with pytest.raises(CheckpointError, match=message):
        checkpoint.save(path, arrays, metadata)
    assert checkpoint.load(path)[1] == {"good": 1}


# --- a file for another network -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"w1": (784, 50), "b1": (50,)}, "w1: the file has (784, 50), the network (784, 100)"),
        ({"w1": (784, 100), "b1": (50,)}, "b1: the file has (50,), the network (100,)"),
        ({"b1": (50,)}, "w1: the file has none, the network (784, 100)"),
        ({"b1": (100,), "w1": (784, 100), "w2": (3,)}, "w2: the file has (3,), the network none"),
        ({"w1": (784, 100), "b1": (100, 1)}, "b1: the file has (100, 1), the network (100,)"),
    ],
)
def test_the_first_parameter_that_does_not_fit_is_named_with_both_shapes(
    shapes: dict[str, tuple[int, ...]], message: str
) -> None:
    arrays = {name: np.zeros(shape) for name, shape in shapes.items()}
    with pytest.raises(CheckpointError) as caught:
        checkpoint.check_shapes(arrays, {"w1": (784, 100), "b1": (100,)}, "best.safetensors")
    assert str(caught.value) == f"best.safetensors: {message}"


def test_a_file_for_the_same_network_passes() -> None:
    arrays = {"b1": np.zeros(100), "w1": np.zeros((784, 100))}
    checkpoint.check_shapes(arrays, {"w1": (784, 100), "b1": (100,)}, "best.safetensors")
