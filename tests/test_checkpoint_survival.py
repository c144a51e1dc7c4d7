"""Checkpoints: whatever happens while one is written, the last good file survives."""

from __future__ import annotations

import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from child import run_child
from tarograd import checkpoint
from tarograd.checkpoint import CheckpointError

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and permissions")


def temporary_files(folder: Path) -> list[Path]:
    return sorted(folder.glob(".tarograd-*.tmp"))


@posix_only
def test_sigkill_at_fifty_random_moments_leaves_a_whole_checkpoint_each_time(
    tmp_path: Path,
) -> None:
    code = """
import sys, numpy as np
from tarograd import checkpoint
import safetensors.numpy
print("ready", flush=True)
step = int(sys.stdin.readline())
while True:
    step += 1
    arrays = {name: np.full(50_000, step, np.float32) for name in ("w1", "w2", "w3")}
    checkpoint.save(sys.argv[1], arrays, {"step": step})
    print("saved", flush=True)
"""
    path = tmp_path / "last.safetensors"
    checkpoint.save(path, {name: np.zeros(3) for name in ("w1", "w2", "w3")}, {"step": 0})
    moments = random.Random(0)
    step, progressed = 0, 0
    for _ in range(10):
        children = [
            subprocess.Popen(
                [sys.executable, "-c", code, path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(5)  # they import side by side, then save and die one after another
        ]
        for child in children:
            with child:
                assert child.stdin is not None
                assert child.stdout is not None
                assert child.stdout.readline() == "ready\n"
                child.stdin.write(f"{step}\n")
                child.stdin.flush()
                for _ in range(moments.randrange(3)):
                    assert child.stdout.readline() == "saved\n"
                time.sleep(moments.uniform(0, 0.03))
                child.send_signal(signal.SIGKILL)
                assert child.wait() == -signal.SIGKILL
            arrays, metadata = checkpoint.load(path)
            assert list(arrays) == ["w1", "w2", "w3"]
            for array in arrays.values():
                assert set(array) == {metadata["step"]}
            progressed += metadata["step"] > step
            step = metadata["step"]
    # Some died before the renaming and some after it, or the kills tested nothing.
    assert progressed >= 5
    assert len(temporary_files(tmp_path)) >= 5


def test_temporary_files_are_removed_once_they_are_old_and_nothing_else_is(tmp_path: Path) -> None:
    old = tmp_path / ".tarograd-0123456789abcdef.tmp"
    young = tmp_path / ".tarograd-fedcba9876543210.tmp"
    foreign = tmp_path / ".tarograd-notes.tmp"
    two_hours_ago = time.time() - 7200
    for file in (old, young, foreign):
        file.write_bytes(b"")
    for file in (old, foreign):
        os.utime(file, (two_hours_ago, two_hours_ago))
    checkpoint.save(tmp_path / "a.safetensors", {}, {})
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "a.safetensors", foreign, young])


def test_a_full_disk_keeps_the_old_file_and_says_so(small_disk: Path) -> None:
    path = small_disk / "last.safetensors"
    checkpoint.save(path, {"w": np.arange(5_000.0)}, {})
    before = path.read_bytes()
    with pytest.raises(CheckpointError) as caught:
        checkpoint.save(path, {"w": np.zeros(5_000)}, {})
    assert str(caught.value) == (
        f"cannot write {path}: No space left on device "
        "(the previous file at that path is intact)"
    )  # fmt: skip
    assert path.read_bytes() == before
    assert list(small_disk.iterdir()) == [path]


@posix_only
def test_a_file_size_limit_keeps_the_old_file_and_says_so(tmp_path: Path) -> None:
    code = """
import resource, sys, numpy as np
from tarograd import checkpoint
checkpoint.save(sys.argv[1], {"w": np.arange(10.0)}, {})
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for path in sys.argv[1:]:
    try:
        checkpoint.save(path, {"w": np.zeros(5_000)}, {})
    except checkpoint.CheckpointError as error:
        print(error)
"""
    old, new = tmp_path / "old", tmp_path / "new"
    assert run_child(code, old, new).splitlines() == [
        f"cannot write {old}: File too large (the previous file at that path is intact)",
        f"cannot write {new}: File too large (nothing was written)",
    ]
    np.testing.assert_array_equal(checkpoint.load(old)[0]["w"], np.arange(10.0))
    assert list(tmp_path.iterdir()) == [old]


@pytest.fixture
def read_only_folder() -> Iterator[Path]:
    """A folder that this process may not write to, even when the tests are run by root."""
    root = os.geteuid() == 0
    folder = Path(tempfile.mkdtemp())  # the parents of tmp_path are closed to other users
    checkpoint.save(folder / "last.safetensors", {}, {"good": 1})
    folder.chmod(0o555)
    if root:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


@posix_only
def test_a_read_only_folder_keeps_the_old_file_and_says_so(read_only_folder: Path) -> None:
    path = read_only_folder / "last.safetensors"
    with pytest.raises(CheckpointError, match=r"Permission denied \(the previous file .* intact\)"):
        checkpoint.save(path, {}, {"good": 2})
    assert checkpoint.load(path)[1] == {"good": 1}
    assert list(read_only_folder.iterdir()) == [path]


@pytest.mark.parametrize("interrupted", ["fsync", "replace"])
@pytest.mark.parametrize("reason", [KeyboardInterrupt(), OSError(5, "Input/output error")])
def test_an_interruption_leaves_the_old_file_and_no_temporary_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    interrupted: str,
    reason: BaseException,
) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, {}, {"good": 1})

    def stop(*_: object) -> None:
        assert len(temporary_files(tmp_path)) == 1
        raise reason

    monkeypatch.setattr(os, interrupted, stop)
    with pytest.raises((KeyboardInterrupt, CheckpointError)) as caught:
        checkpoint.save(path, {}, {"good": 2})
    assert caught.value is reason or caught.value.__cause__ is reason
    assert list(tmp_path.iterdir()) == [path]
    assert checkpoint.load(path)[1] == {"good": 1}


def test_renaming_is_tried_again_while_another_process_holds_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "new", tmp_path / "a"
    source.write_text("new")
    target.write_text("old")
    replace, refusals = os.replace, [PermissionError(13, "held")] * 3

    def held(*paths: str) -> None:
        if refusals:
            raise refusals.pop()
        replace(*paths)

    monkeypatch.setattr(os, "replace", held)
    checkpoint._replace(str(source), str(target), patience=60.0)
    assert target.read_text() == "new"
    refusals = [PermissionError(13, "held")] * 10**6
    with pytest.raises(PermissionError):
        checkpoint._replace(str(source), str(target), patience=0.2)


def test_concurrent_writers_never_show_a_torn_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"

    def write(writer: int) -> None:
        for _ in range(20):
            checkpoint.save(path, {"w": np.full(20_000, writer)}, {"writer": writer})

    write(0)
    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(write, writer) for writer in (1, 2, 3)]
        while not all(future.done() for future in running):
            arrays, metadata = checkpoint.load(path)
            assert set(arrays["w"]) == {metadata["writer"]}
    for future in running:
        future.result()
    assert list(tmp_path.iterdir()) == [path]


def test_write_atomically_replaces_the_whole_content(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    checkpoint.write_atomically(path, b"a much longer first content")
    checkpoint.write_atomically(path, b"short")
    assert path.read_bytes() == b"short"


@posix_only
def test_a_new_file_has_the_permissions_of_any_other_new_file(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"")
    checkpoint.save(tmp_path / "a", {}, {})
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


@posix_only
def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "last.safetensors"
    link.symlink_to(tmp_path / "disk" / "last.safetensors")
    checkpoint.save(link, {}, {"good": 1})
    assert link.is_symlink()
    assert checkpoint.load(tmp_path / "disk" / "last.safetensors")[1] == {"good": 1}


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        checkpoint.save(tmp_path / "runs" / "a", {}, {})
    assert f"there is no folder {tmp_path / 'runs'} (nothing was written)" in str(caught.value)
