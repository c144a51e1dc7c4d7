"""What many tests need. Being here, it also makes the helpers beside it importable below."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 64 KiB, which is soon full."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tarograd-test", str(disk)]
    if shutil.which("mount") is None:
        pytest.skip("no mount command here")
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(
            f"mounting a small disk is not permitted here: {mounted.stderr.splitlines()[0]}"
        )
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)
