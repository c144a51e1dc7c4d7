"""Runs code in a fresh interpreter, for what must be seen from another process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import tarograd

SOURCE = str(Path(tarograd.__file__).parents[1])


def run_child(code: str, *args: object, **env: str) -> str:
    """What a child process that finds the same tarograd printed; it must exit with 0."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        env=os.environ | {"PYTHONPATH": SOURCE} | env,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
    ).stdout
