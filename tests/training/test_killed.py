"""A run that is killed while it saves, or has no room to: the last good checkpoint is not lost."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import tarograd as tg
from commands import script
from tarograd import checkpoint

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and permissions")

# One process imports everything and then forks the runs, of which each saves after every step and
# says so. A kill comes some saves later, at a random moment of the saving or just after it.
KILLED = """
import importlib, os, random, signal, sys, time, warnings
import tarograd as tg
from tarograd import checkpoint
warnings.simplefilter("ignore")  # Python's about a fork beside threads: NumPy's are asleep
importlib.import_module("tarograd.training.fit").SAVE_SECONDS = -1.0
data = tg.data.load("digits")
data = tg.data.Dataset("some", data.train[:250], data.test[:50], 10, 16)
moments = random.Random(4)

def run(resume, steps=400):
    net = tg.nn.TwoLayerNet(64, 8, 10)
    adam = tg.optim.Adam(lr=0.01)
    tg.fit(net, data, optimizer=adam, steps=steps, directory="run", resume=resume, progress=False)

def child():
    told, telling = os.pipe()
    pid = os.fork()
    if pid:
        os.close(telling)
        return pid, told
    save = checkpoint.save
    def tell(*arguments):
        os.write(telling, b".")
        save(*arguments)
    checkpoint.save = tell
    try:
        run(True)
    finally:
        os._exit(0)

run(False, 0)
killed, steps = 0, set()
while killed < 50:
    pid, told = child()
    for _ in range(moments.randint(1, 5)):
        os.read(told, 1)
    time.sleep(moments.uniform(0, 0.004))
    os.kill(pid, signal.SIGKILL)
    os.close(told)
    killed += os.waitpid(pid, 0)[1] == signal.SIGKILL
    arrays, metadata = checkpoint.load("run/last.safetensors")
    assert len(arrays["history/losses"]) == metadata["step"]
    assert tg.load_network("run/last.safetensors").predict(data.test.images).shape == (50, 10)
    steps.add(metadata["step"])
temporary = [name for name in os.listdir("run") if name.endswith(".tmp")]
run(True)
print(killed, len(steps), len(temporary))
"""
WHOLE = KILLED[: KILLED.index("run(False, 0)")] + "run(False)"


def test_sigkill_at_fifty_random_moments_during_saving_costs_no_bit(tmp_path: Path) -> None:
    for name, code in (("killed", KILLED), ("whole", WHOLE)):
        (tmp_path / name).mkdir()
        outcome = script(code, folder=tmp_path / name)
        assert outcome.code == 0, outcome.err
        if name == "killed":
            killed, positions, temporary = map(int, outcome.out.split())
            assert killed == 50
            assert positions >= 10  # or the kills came too early to test anything
            assert temporary >= 5  # and some came in the middle of writing a file
    for file in ("last.safetensors", "best.safetensors", "history.csv", "curve.png"):
        whole = (tmp_path / "whole" / "run" / file).read_bytes()
        assert (tmp_path / "killed" / "run" / file).read_bytes() == whole, file


# Saves after every step, so that the disk is full sooner or later.
SAVING = """
import importlib, sys
from tarograd.cli import main
importlib.import_module("tarograd.training.fit").SAVE_SECONDS = -1.0
main(sys.argv[1:])
"""


def test_a_full_disk_stops_the_run_in_one_line_and_the_last_checkpoint_loads(
    small_disk: Path,
) -> None:
    words = ("train", "--hidden", 20, "--batch-size", 720, "--epochs", 2000, "--quiet", "--out")
    outcome = script(SAVING, *words, "run", folder=small_disk)
    assert outcome.code == 2
    assert outcome.out == ""
    run = small_disk / "run"
    (line,) = outcome.err.splitlines()
    assert line.startswith("tarograd: cannot write run/")
    assert line.endswith(": No space left on device (the previous file at that path is intact)")
    arrays, metadata = checkpoint.load(run / "last.safetensors")
    assert len(arrays["history/losses"]) == metadata["step"] > 10
    assert tg.load_network(run).accuracy(*tg.data.load("digits").test) > 0.2
    assert not list(run.glob("*.tmp"))


def test_a_disk_that_is_full_from_the_start(small_disk: Path) -> None:
    (small_disk / "filling").write_bytes(bytes(60 * 1024))
    outcome = script(SAVING, "train", "--steps", 3, "--quiet", "--out", "run", folder=small_disk)
    assert outcome.code == 2
    (line,) = outcome.err.splitlines()
    assert "No space left on device (nothing was written)" in line


def test_a_limit_of_the_file_size_stops_the_run_in_one_line(tmp_path: Path) -> None:
    limited = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (12288, 12288))\n"
    words = ("train", "--hidden", 20, "--batch-size", 720, "--epochs", 2000, "--quiet", "--out")
    outcome = script(limited + SAVING, *words, "run", folder=tmp_path)
    assert outcome.code == 2
    (line,) = outcome.err.splitlines()
    assert line == (
        "tarograd: cannot write run/last.safetensors: File too large (the previous file at that "
        "path is intact)"
    )
    arrays, metadata = checkpoint.load(tmp_path / "run" / "last.safetensors")
    assert len(arrays["history/losses"]) == metadata["step"] > 10


@pytest.fixture
def read_only_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that this process may not write to: for root, which may, on a read-only disk."""
    folder = tmp_path / "closed"
    (folder / "run").mkdir(parents=True)
    if os.geteuid() == 0:
        command = ["mount", "--bind", "-o", "ro", str(folder), str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("root may write everywhere, and mounting is not permitted here")
    else:
        (folder / "run").chmod(0o555)
        folder.chmod(0o555)
    try:
        yield folder
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", str(folder)], check=True)
        else:
            folder.chmod(0o755)


@pytest.mark.parametrize(
    ("place", "refusal"),
    [
        ("run", "cannot write run/run.json: {} (nothing was written)"),
        ("new", "cannot use the directory new: {}"),
    ],
)
def test_a_read_only_directory_is_refused_in_one_line(
    read_only_folder: Path, place: str, refusal: str
) -> None:
    words = ("train", "--steps", 3, "--quiet", "--out", place)
    outcome = script(SAVING, *words, folder=read_only_folder)
    reason = "Permission denied" if os.geteuid() else "Read-only file system"
    assert outcome == (2, "", f"tarograd: {refusal.format(reason)}\n")


def test_a_truncated_checkpoint_is_refused_and_the_best_one_still_loads(tmp_path: Path) -> None:
    data = tg.data.load("digits")
    net = tg.nn.TwoLayerNet(64, 10, 10)
    tg.fit(net, data, epochs=2, directory=tmp_path, progress=False)
    last = tmp_path / "last.safetensors"
    last.write_bytes(last.read_bytes()[:-100])
    with pytest.raises(checkpoint.CheckpointError, match=r"last.safetensors \(.*cut short"):
        tg.fit(net, data, epochs=2, directory=tmp_path, resume=True, progress=False)
    assert tg.load_network(tmp_path).accuracy(*data.test) > 0.1
