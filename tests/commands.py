"""The command `tarograd` as a real process, and the files that a run leaves."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

FILES = ("best.safetensors", "curve.png", "history.csv", "last.safetensors", "run.json")
ALL_FILES = (*FILES, "report.html")  # the report of a run that was stopped has more moments
PYTHON = (sys.executable, "-W", "error")
TARO = (*PYTHON, "-m", "tarograd")


class Outcome(NamedTuple):
    """How a process ended."""

    code: int
    out: str
    err: str


def start(
    *words: object,
    folder: Path,
    program: Sequence[str] = TARO,
    env: Mapping[str, str] = os.environ,
) -> subprocess.Popen[str]:
    """Start `tarograd` with these words, in a folder, with the usual signals."""
    return subprocess.Popen(
        [*program, *map(str, words)],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts background jobs, such as a test run, with SIGINT ignored.
        preexec_fn=allow_interrupt if os.name == "posix" else None,
    )


def allow_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def finish(process: subprocess.Popen[str], timeout: float = 120.0) -> Outcome:
    """Wait for a process."""
    with process:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return Outcome(process.returncode, out, err)


def taro(*words: object, folder: Path, **env: str) -> Outcome:
    """Run `tarograd` to its end, with these additions to the environment, without a terminal."""
    around = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    return finish(start(*words, folder=folder, env=around | env))


def script(code: str, *words: object, folder: Path) -> Outcome:
    """Run a script in a fresh interpreter to its end."""
    return finish(start(*words, folder=folder, program=(*PYTHON, "-c", code)))


def digests(run: Path) -> dict[str, str]:
    """The SHA-256 of each file of a run but its report."""
    return {name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in FILES}
