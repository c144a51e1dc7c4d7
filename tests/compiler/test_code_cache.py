"""Machine code in the cache folder: found again, and never believed when it is not ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llvmlite import binding

from tarograd.compiler.llvm import cache, native
from tarograd.compiler.llvm.cache import cached
from tarograd.compiler.lower import lower
from tarograd.compiler.trace import trace

CODE = bytes(range(256)) * 8
TEXT = ("define void @f()", "cpu")
as_root = pytest.mark.skipif(
    not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give a file away"
)
posix = pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no owners here")


def unmade() -> bytes:
    raise AssertionError("this is in the cache already")


def is_believed(folder: Path) -> bool:
    """Whether the one file in the folder is taken for what it says."""
    made: list[bytes] = []

    def make() -> bytes:
        made.append(CODE)
        return CODE

    assert cached(folder, TEXT, make) == CODE
    return not made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A cache with one file."""
    cached(tmp_path / "code", TEXT, lambda: CODE)
    assert cached(tmp_path / "code", TEXT, unmade) == CODE
    return tmp_path / "code"


def the_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_another_text_is_another_file(folder: Path) -> None:
    for other in [("define void @g()", "cpu"), ("define void @f()c", "pu"), TEXT[:1], ()]:
        assert cached(folder, other, lambda: b"another") == b"another"
    assert len(list(folder.iterdir())) == 5
    assert cached(folder, TEXT, unmade) == CODE


def test_a_file_under_the_name_of_another_is_not_believed(folder: Path) -> None:
    ours = the_file(folder)
    cached(folder, ("other",), lambda: b"other code")
    (other,) = set(folder.iterdir()) - {ours}
    os.replace(other, ours)
    assert not is_believed(folder)


@pytest.mark.parametrize("at", [0, 31, 32, 1000, -1])
def test_a_damaged_file_is_made_again(folder: Path, at: int) -> None:
    damaged = bytearray(the_file(folder).read_bytes())
    damaged[at] ^= 4
    the_file(folder).write_bytes(damaged)
    assert not is_believed(folder)
    assert is_believed(folder)


@pytest.mark.parametrize("length", [0, 10, 32, 33, 2000])
def test_a_file_that_was_cut_off_is_made_again(folder: Path, length: int) -> None:
    os.truncate(the_file(folder), length)
    assert not is_believed(folder)
    assert is_believed(folder)


@posix
def test_what_others_may_write_is_not_believed(folder: Path) -> None:
    assert folder.stat().st_mode & 0o777 == 0o700
    the_file(folder).chmod(0o622)
    assert not is_believed(folder)
    folder.chmod(0o777)
    assert not is_believed(folder)
    assert not is_believed(folder)


@as_root
def test_the_file_of_another_user_is_not_believed(folder: Path) -> None:
    os.chown(the_file(folder), 12345, -1)
    assert not is_believed(folder)
    os.chown(folder, 12345, -1)
    assert not is_believed(folder)
    assert not is_believed(folder)


@posix
def test_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    path = the_file(folder)
    os.replace(path, tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert not is_believed(folder)


def test_a_folder_that_cannot_be_used_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for impossible in (tmp_path / "file", tmp_path / "file" / "code", Path("/proc/nowhere/code")):
        assert not is_believed(impossible)
    assert (tmp_path / "file").read_text() == "mine"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_disk_that_cannot_be_written_to(small_disk: Path) -> None:
    assert not is_believed(small_disk / "code")
    remount = ["mount", "-o", "remount,ro", "tarograd-test", str(small_disk)]
    subprocess.run(remount, check=True)
    assert is_believed(small_disk / "code")
    assert cached(small_disk / "code", ("new",), lambda: CODE) == CODE
    assert cached(small_disk / "other", ("new",), lambda: CODE) == CODE


def test_a_full_disk_keeps_nothing_unfinished(small_disk: Path) -> None:
    large = bytes(200 * 1024)
    assert cached(small_disk / "code", TEXT, lambda: large) == large
    assert list((small_disk / "code").iterdir()) == []
    assert not is_believed(small_disk / "code")
    assert is_believed(small_disk / "code")


def test_what_was_not_used_for_longest_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "MOST_BYTES", 5000)
    for i in range(4):
        cached(tmp_path / "code", (str(i),), lambda: bytes(1000))
    for age, path in enumerate(sorted((tmp_path / "code").iterdir())):
        os.utime(path, (1e9 + age, 1e9 + age))
    cached(tmp_path / "code", ("2",), unmade)  # used just now
    cached(tmp_path / "code", ("last",), lambda: bytes(3000))
    assert sum(path.stat().st_size for path in (tmp_path / "code").iterdir()) == 3032 + 1032
    cached(tmp_path / "code", ("2",), unmade)
    cached(tmp_path / "code", ("last",), unmade)


WRITING = """
import sys
from pathlib import Path
from tarograd.compiler.llvm import cache
cache.MOST_BYTES = 100_000
print("started", flush=True)
for i in range(int(sys.argv[2])):
    for n in range(6):
        made = bytes([n]) * 30_000
        assert cache.cached(Path(sys.argv[1]), (str(n),), lambda: made) == made
"""


def writer(folder: Path, times: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITING, str(folder), str(times)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_that_write_and_remove_at_once(tmp_path: Path) -> None:
    writers = [writer(tmp_path / "code", 30) for _ in range(4)]
    assert [w.wait(timeout=120) for w in writers] == [0, 0, 0, 0]
    for w in writers:
        w.communicate()
    sizes = [path.stat().st_size for path in (tmp_path / "code").iterdir()]
    assert sizes == [30_032] * 3


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
def test_a_process_that_is_killed_while_it_writes_leaves_nothing_wrong(tmp_path: Path) -> None:
    for delay in (0.0, 0.003, 0.007):
        with writer(tmp_path / "code", 10**6) as killed:
            assert killed.stdout
            killed.stdout.readline()
            time.sleep(delay)
            killed.kill()
        for n in range(6):
            made = bytes([n]) * 30_000
            assert cached(tmp_path / "code", (str(n),), lambda made=made: made) == made  # type: ignore[misc]  # bound here


def test_machine_code_is_translated_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "user_folder", lambda: tmp_path / "code")
    x = np.linspace(-1, 1, 35).reshape(5, 7)

    def result() -> Any:
        return native.Native(lower(trace(lambda x: (x.tanh() @ x.T).sum(axis=0), {"x": x})))(x)[0]

    first = result()
    parsed: list[str] = []
    parse = binding.parse_assembly

    def noted(text: str) -> Any:
        parsed.append(text)
        return parse(text)

    monkeypatch.setattr(binding, "parse_assembly", noted)
    assert result().tobytes() == first.tobytes()
    assert parsed == [""]
    np.testing.assert_allclose(first, (np.tanh(x) @ x.T).sum(axis=0), rtol=1e-12)
