"""`import tarograd` costs little more than `import numpy` and does nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tarograd

CODE = """
import json, sys, threading
sys.path.insert(0, sys.argv[1])
import numpy
environment = set(sys.modules)
threads = threading.active_count()
import tarograd
print(json.dumps({
    "beyond numpy": sorted(set(sys.modules) - environment),
    "threads": threading.active_count() - threads,
}))
"""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("empty")
    result = subprocess.run(
        [sys.executable, "-I", "-B", "-W", "error", "-c", CODE, Path(tarograd.__file__).parents[1]],
        cwd=folder,
        env=os.environ | dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TEMP"), str(folder)),
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    seen: dict[str, object] = json.loads(result.stdout)
    return seen | {"stderr": result.stderr, "files": [str(path) for path in folder.rglob("*")]}


def test_it_imports_numpy_and_the_standard_library_only(outcome: dict[str, list[str]]) -> None:
    packages = {name.partition(".")[0] for name in outcome["beyond numpy"]}
    assert "tarograd" in packages
    assert packages - sys.stdlib_module_names - {"numpy"} == {"tarograd"}


def test_it_imports_nothing_that_is_slow_and_only_sometimes_needed(
    outcome: dict[str, list[str]],
) -> None:
    heavy = {"sqlite3", "tkinter", "urllib.request", "http.client", "multiprocessing", "asyncio"}
    assert heavy.isdisjoint(outcome["beyond numpy"])


def test_it_writes_no_file_prints_nothing_and_starts_no_thread(outcome: dict[str, object]) -> None:
    assert outcome["files"] == []
    assert outcome["stderr"] == ""
    assert outcome["threads"] == 0


def test_a_run_that_nobody_looks_into_imports_nothing_that_draws() -> None:
    code = """
import sys
import tarograd as tg
tg.fit(tg.nn.TwoLayerNet(64, 5, 10), tg.data.load("digits"), steps=3, progress=False)
print([name for name in sys.modules if name.startswith(("tarograd.drawing", "matplotlib", "rich"))])
"""
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert result.stdout == "[]\n"
