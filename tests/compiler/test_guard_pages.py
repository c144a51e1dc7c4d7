"""No kernel touches a byte beyond its arrays: beside them are pages that end the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

GUARDED = Path(__file__).with_name("guarded.py")


@pytest.mark.skipif(sys.platform == "win32", reason="mprotect is POSIX")
@pytest.mark.parametrize("bits", [128, 256, 512])
@pytest.mark.parametrize(("pixels", "batch"), [(784, 33), (67, 5)])
def test_a_training_step_stays_in_its_memory(bits: int, pixels: int, batch: int) -> None:
    told = subprocess.run(
        [sys.executable, str(GUARDED), str(bits), str(pixels), str(batch)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert told.returncode == 0, told.stderr
    assert 0 < float(told.stdout) < 10


@pytest.mark.skipif(sys.platform == "win32", reason="mprotect is POSIX")
@pytest.mark.parametrize("bits", [128, 256, 512])
def test_views_of_odd_lengths_stay_in_their_memory(bits: int) -> None:
    script = str(GUARDED.with_name("guarded_views.py"))
    told = subprocess.run(
        [sys.executable, script, str(bits)], capture_output=True, text=True, timeout=120
    )
    assert (told.returncode, told.stdout) == (0, "whole\n"), told.stderr


def test_the_guard_is_real() -> None:
    script = (
        "import numpy as np\nfrom guarded import guarded\n"
        "x = guarded(np.zeros(8, np.uint8), at_the_end=True)\n"
        "print(np.lib.stride_tricks.as_strided(x, (9,), (1,)).sum())"
    )
    told = subprocess.run([sys.executable, "-c", script], cwd=GUARDED.parent, capture_output=True)
    assert told.returncode < 0
