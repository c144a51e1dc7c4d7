"""`tarograd check FILE` and the pytest plugin, run as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

LAYERS = """
import numpy as np

class Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b
    def forward(self, x):
        self.x = x
        return x @ self.W + self.b
    def backward(self, dout):
        self.dW, self.db = self.x.T @ dout, dout.mean(axis=0)
        return dout @ self.W.T

class Dense:
    def __init__(self, n_in, n_out):
        self.W = np.ones((n_in, n_out))
    def forward(self, x):
        self.x = x
        return x @ self.W
    def backward(self, dout):
        self.dW = self.x.T @ dout
        return dout @ self.W.T
"""


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_a_file_is_checked_and_its_wrong_layer_named(tmp_path: Path) -> None:
    (tmp_path / "layers.py").write_text(LAYERS)
    done = run("tarograd", "check", "layers.py", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines()[:2] == ["Affine  wrong  scale-batch", "Dense   right"]
    one = run("tarograd", "check", "layers.py::Dense", "--json", cwd=tmp_path)
    assert one.returncode == 0, one.stderr
    assert json.loads(one.stdout)["Dense"]["verdict"] == "right"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("missing.py",), "tarograd: missing.py: there is no such file\n"),
        (("layers.py", "--shape", "2,b"), "tarograd: --shape 2,b: whole numbers, divided by comm"),
    ],
)
def test_wrong_words_are_one_line(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    (tmp_path / "layers.py").write_text(LAYERS)
    done = run("tarograd", "check", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("text", ["x = 1\n", "1 / 0\n"])
def test_a_file_without_layers_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "layers.py").write_text(text)
    done = run("tarograd", "check", "layers.py", cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "layers.py" in done.stderr


def test_the_fixture_fails_with_the_report_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "layers.py").write_text(LAYERS)
    (tmp_path / "test_layers.py").write_text(
        "import numpy as np\n"
        "from layers import Affine, Dense\n"
        "def test_right(check_gradients):\n"
        "    check_gradients(Dense(4, 3), shape=(5, 4))\n"
        "def test_wrong(check_gradients):\n"
        "    check_gradients(Affine(np.ones((4, 3)), np.ones(3)), shape=(5, 4))\n"
    )
    plugin = ("-p", "tarograd.checking.pytest_plugin")
    words = ("pytest", "-q", "-p", "no:tarograd", *plugin, "--gradcheck-mode", "quick")
    done = run(*words, cwd=tmp_path)
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert "scale-batch" in done.stdout
    assert "Traceback" not in done.stdout
    assert "check_gradients(Affine" not in done.stdout
