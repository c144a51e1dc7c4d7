"""Runs code in a fresh interpreter, for what must be seen from another process."""

from __future__ import annotations

import os
import subprocess
import sys


def run_child(code: str, *args: object, **env: str) -> str:
    """What a child process printed; it must exit with 0."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        env=os.environ | env,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
    ).stdout
