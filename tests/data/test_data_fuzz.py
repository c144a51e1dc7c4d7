"""Thousands of damaged files: each is read or refused, and memory stays small."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from data_files import IDX, idx_header
from hypothesis import given
from hypothesis import strategies as st

from tarograd.data import DataError, read_idx, read_npz


def test_damaged_files_are_read_or_refused_in_300_mb() -> None:
    program = Path(__file__).with_name("fuzz_data.py")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program), "4000", "1"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    outcome = json.loads(done.stdout)
    # Damage within the pixels of a plain IDX file cannot be seen; most of the rest must be.
    assert outcome["refused"] > 2500
    assert outcome["read"] > 100
    assert outcome["peak_mb"] < 300


@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=100).map(lambda tail: IDX[:16] + tail),
        st.builds(
            lambda code, sizes, tail: idx_header(code, *sizes) + tail,
            st.integers(0, 255),
            st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 3), max_size=5),
            st.binary(max_size=64),
        ),
    )
)
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(content)
    for read in (read_idx, read_npz):
        with contextlib.suppress(DataError):
            read(path)
