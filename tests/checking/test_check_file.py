"""`tarograd check FILE` and the pytest plugin, run as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

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
    own = {k: v for k, v in os.environ.items() if k != "PYTEST_ADDOPTS"}  # of the outer pytest
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=cwd, env=own, capture_output=True, text=True, check=False)


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


BOOK = """
import numpy as np

class Relu:
    def __init__(self):
        self.mask = None
    def forward(self, x):
        self.mask = x < 0
        x[self.mask] = 0
        return x
    def backward(self, dout):
        dout[self.mask] = 0
        return dout

class Sigmoid:
    def __init__(self):
        self.out = None
    def forward(self, x):
        out = 1 / (1 + np.exp(-x))
        self.out = out.copy()
        return out
    def backward(self, dout):
        return dout * self.out * (1 - self.out)

class Affine:
    def __init__(self, w, b):
        self.w, self.b = w, b
    def forward(self, x):
        self.original_x_shape = x.shape
        x = x.reshape(x.shape[0], -1)
        self.x = x
        return np.dot(self.x, self.w) + self.b
    def backward(self, dout):
        self.dw = np.dot(self.x.T, dout)
        self.db = dout if dout.ndim == 1 else np.sum(dout, axis=0)
        return np.dot(dout, self.w.T).reshape(*self.original_x_shape)

class SoftmaxWithLoss:
    def forward(self, x, t):
        self.t = t.copy()
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.y = e / e.sum(axis=1, keepdims=True)
        labels = t if t.ndim == 1 else t.argmax(axis=1)
        return -np.mean(np.log(self.y[np.arange(len(t)), labels]))
    def backward(self, dout=1):
        batch_size = self.t.shape[0]
        if self.t.size == self.y.size:
            dx = self.y - self.t
        else:
            dx = self.y.copy()
            dx[np.arange(batch_size), self.t] -= 1
        return dx / batch_size

class Noise:
    def __call__(self, x):
        return x + np.random.default_rng().normal(size=x.shape)
    def backward(self, dout):
        return dout

class Table:
    def __init__(self, path):
        self.path = open(path)
    def forward(self, x):
        return x
    def backward(self, dout):
        return dout
"""
FOUND = {
    "Affine": "right",
    "Noise": "cannot tell  nondeterministic",
    "Relu": "wrong  mutates-input",
    "Sigmoid": "right",
    "SoftmaxWithLoss": "wrong  upstream-ignored",
    "Table": "not checked: no arguments or shapes were found that fit; give --shape or --at",
}


def test_the_layers_of_the_text_are_named_and_a_build_server_is_told(tmp_path: Path) -> None:
    (tmp_path / "book.py").write_text(BOOK)
    done = run("tarograd", "check", "book.py", "--junit", "report.xml", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    rows = [line.split(maxsplit=1) for line in done.stdout.splitlines()[: len(FOUND)]]
    assert {name: said.strip() for name, said in rows} == FOUND
    suite = ElementTree.parse(tmp_path / "report.xml").getroot()[0]
    counts = {k: suite.attrib[k] for k in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "6", "failures": "2", "errors": "0", "skipped": "2"}
    outcomes = {case.attrib["name"]: case[0].tag for case in suite}
    assert outcomes == {
        **dict.fromkeys(("Affine", "Sigmoid"), "system-out"),
        **dict.fromkeys(("Relu", "SoftmaxWithLoss"), "failure"),
        **dict.fromkeys(("Noise", "Table"), "skipped"),
    }
    relu = next(case for case in suite if case.attrib["name"] == "Relu")[0]
    assert relu.attrib["message"].startswith("mutates-input of x")
    assert relu.text is not None
    assert relu.text.startswith("WRONG: the gradients of Relu")


@pytest.mark.parametrize(
    ("chosen", "code"), [("Sigmoid", 0), ("Noise", 0), ("Table", 0), ("Relu", 1)]
)
def test_only_a_wrong_layer_ends_with_1(tmp_path: Path, chosen: str, code: int) -> None:
    (tmp_path / "book.py").write_text(BOOK)
    done = run("tarograd", "check", f"book.py::{chosen}", "--mode", "quick", cwd=tmp_path)
    assert done.returncode == code, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--junit", "x.xml"), "go with a FILE"),
        (("book.py", "--at", "none.npz"), "none.npz: there is no such file"),
        (("book.py", "--at", "book.py"), "book.py: not an .npz file of arrays"),
        (("book.py::Sigmoid", "--junit", "none/x.xml"), "none/x.xml"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    (tmp_path / "book.py").write_text(BOOK)
    done = run("tarograd", "check", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_pytests_own_junit_file_carries_the_report(tmp_path: Path) -> None:
    (tmp_path / "layers.py").write_text(LAYERS)
    (tmp_path / "test_layers.py").write_text(
        "import numpy as np\n"
        "from layers import Affine, Dense\n"
        "def test_right(check_gradients):\n"
        "    report = check_gradients(Dense(4, 3), shape=(2, 4))\n"
        "    assert report.seed == 7\n"
        "    assert report.leaves['x'].shape == (2, 4)\n"
        "def test_wrong(check_gradients):\n"
        "    check_gradients(Affine(np.ones((4, 3)), np.ones(3)), shape=(5, 4))\n"
    )
    plugin = ("-p", "no:tarograd", "-p", "tarograd.checking.pytest_plugin")
    options = ("--gradcheck-seed", "7", "--gradcheck-mode", "quick", "--junitxml", "out.xml")
    done = run("pytest", "-q", *plugin, *options, cwd=tmp_path)
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    right, wrong = ElementTree.parse(tmp_path / "out.xml").getroot().iter("testcase")
    sent = [p.attrib["value"] for p in right.iter("property") if p.attrib["name"] == "gradcheck"]
    assert json.loads(sent[0])["verdict"] == "right"
    failure = next(wrong.iter("failure"))
    assert failure.text is not None
    assert "scale-batch" in failure.text
    assert "Traceback" not in failure.text
    assert "def test_wrong" not in failure.text


def test_an_unknown_mode_of_the_plugin_is_refused(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text("def test(): pass\n")
    plugin = ("-p", "no:tarograd", "-p", "tarograd.checking.pytest_plugin")
    done = run("pytest", "-q", *plugin, "--gradcheck-mode", "fast", cwd=tmp_path)
    assert done.returncode == 4
    assert "fast" in done.stderr
