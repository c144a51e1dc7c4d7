"""Each example runs by itself, and prints the numbers that it promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = [
    "01_apple",
    "02_apple_and_orange",
    "03_nodes",
    "04_layers",
    "05_gradient_check",
    "06_two_layer_net",
    "07_own_numpy_function",
]
NUMBER = re.compile(r"[-+]?\d+\.?\d*(?:e[-+]?\d+)?")


def run(name: str, folder: Path) -> list[str]:
    """What an example prints, by lines; in an empty folder, with every warning an error."""
    result = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py")],
        cwd=folder,
        env=os.environ | {"PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert list(folder.iterdir()) == []
    return result.stdout.splitlines()


def numbers(text: str) -> list[float]:
    return [float(number) for number in NUMBER.findall(text)]


def after(lines: list[str], start: str, count: int = 1) -> list[list[float]]:
    """The numbers that follow `start` in its line, and those of the next lines."""
    first = next(i for i, line in enumerate(lines) if line.startswith(start))
    return [numbers(line.removeprefix(start)) for line in lines[first : first + count]]


def test_they_are_seven_and_short() -> None:
    files = sorted(EXAMPLES.glob("*.py"))
    assert [file.stem for file in files] == NAMES
    for file in files:
        assert len(file.read_text(encoding="utf-8").splitlines()) < 60


def test_the_apple(tmp_path: Path) -> None:
    lines = run("01_apple", tmp_path)
    assert "With 10 % tax he pays 220 yen." in lines[0]
    assert after(lines, "  apple")[0][:2] == [100, 2.2]
    assert after(lines, "  count")[0][:2] == [2, 110]
    assert after(lines, "  tax")[0][:2] == [1.1, 200]


def test_the_apple_and_the_orange(tmp_path: Path) -> None:
    lines = run("02_apple_and_orange", tmp_path)
    assert lines[0].endswith("715 yen")
    printed = {
        name: after(lines, f"  {name} ")[0]
        for name in (
            *("apple price", "apple count", "orange price", "orange count", "tax"),
            *("all apples", "all oranges", "fruit", "payment"),
        )
    }
    assert printed == {
        "apple price": [100, 2.2],
        "apple count": [2, 110],
        "orange price": [150, 3.3],
        "orange count": [3, 165],
        "tax": [1.1, 650],
        "all apples": [200, 1.1],
        "all oranges": [450, 1.1],
        "fruit": [650, 1.1],
        "payment": [715, 1],
    }


def test_the_nodes(tmp_path: Path) -> None:
    lines = run("03_nodes", tmp_path)
    e2, ln2 = round(float(np.exp(2)), 3), round(float(np.log(2)), 4)
    rows = [1, 2, 3, 4, 5, 6]
    expected = {
        "+": ([10, 5, 15], [1.3, 1.3, 1.3]),
        "×": ([10, 5, 50], [1.3, 1.3 * 5, 1.3 * 10]),
        "÷": ([10, 5, 2], [1.3, 1.3 / 5, -1.3 * 10 / 25]),
        "exp": ([2, e2], [1.3, round(1.3 * float(np.exp(2)), 3)]),
        "log": ([2, ln2], [1.3, 1.3 / 2]),
        "branch": ([2, 2, 2], [1.3, 0.7, 2.0]),
        "repeat": ([1, 2, 1, 2, 1, 2, 1, 2], [*rows, 9, 12]),
        "sum": ([*rows, 9, 12], [1, 10, 1, 10, 1, 10, 1, 10]),
        "(x+y)²": ([3, 1, 2, 9], [1, 6, 6, 6]),
        "sigmoid": ([1, 0.7311], [1, 0.1966]),
    }
    for name, (forward, backward) in expected.items():
        assert after(lines, name.ljust(7), 2) == [
            pytest.approx(forward, rel=1e-12),
            pytest.approx(backward, rel=1e-12),
        ]
    assert after(lines, "        y (1-y)") == [[0.1966]]


def test_the_layers(tmp_path: Path) -> None:
    lines = run("04_layers", tmp_path)
    assert after(lines, "ReLU", 4)[1:] == [[1, -0.5, -2, 3], [1, 0, 0, 3], [1, 0, 0, 4]]
    x, dout = np.array([1, -0.5, -2, 3]), np.array([1, 2, 3, 4])
    y = 1 / (1 + np.exp(-x))
    expected = [y, dout * y * (1 - y)]
    np.testing.assert_allclose(after(lines, "Sigmoid", 3)[1:], expected, rtol=0, atol=0.5001e-4)
    expected = [np.tanh(x), dout / np.cosh(x) ** 2]
    np.testing.assert_allclose(after(lines, "Tanh", 3)[1:], expected, rtol=0, atol=0.5001e-4)
    assert after(lines, "Affine", 5)[1:] == [
        [1, 2, 3, 11, 12, 13],
        [12, 24, 30, 60],
        [4, 5, 6, 8, 10, 12],
        [5, 7, 9],
    ]
    losses = [i for i, line in enumerate(lines) if line.startswith("SoftmaxWithLoss")]
    printed = [numbers(line) for i in losses for line in lines[i + 1 : i + 3]]
    assert printed[0] == [round(-float(np.log(0.2)), 4)]
    assert printed[1] == [0.3, -0.8, 0.5]
    assert printed[2] == [round(-float(np.log(0.99)), 4)]
    assert printed[3] == [0.005, -0.01, 0.005]


def test_the_gradient_check(tmp_path: Path) -> None:
    lines = run("05_gradient_check", tmp_path)
    assert [line.split(":")[0] for line in lines if ": the gradients of" in line] == [
        *("RIGHT", "RIGHT", "WRONG")
    ]
    table = [line.split() for line in lines if line.endswith(("correct", "concerned"))]
    correct, wrong = table[:-1], table[-1]
    assert [row[0] for row in correct] == [
        *("w1", "b1", "w2", "b2", "x"),
        *("affine1.w", "affine1.b", "affine2.w", "affine2.b", "x"),
    ]
    assert all(float(row[-2]) < 1e-7 for row in correct)
    # k = 1/2 times the right gradient: |k - 1| / (k + 1).
    assert wrong[-2:] == ["3.33e-01", "concerned"]
    assert after(lines, "  ours over theirs:") == [[0.5, 0.5, 0.5]]


def test_the_two_layer_network(tmp_path: Path) -> None:
    lines = run("06_two_layer_net", tmp_path)
    assert numbers(lines[0]) == [1438, 8, 8, 359]
    table = np.array([numbers(line) for line in lines if line.count("%") == 2 and "." in line][:6])
    steps, loss, train, test = table.T
    assert steps.tolist() == [0, 200, 400, 600, 800, 1000]
    assert loss[0] == pytest.approx(np.log(10), abs=0.01)  # it knows nothing yet
    assert loss[-1] < 0.1
    assert max(train[0], test[0]) < 30
    assert train[-1] > 98
    assert test[-1] > 95
    wrong = next(numbers(line)[1] for line in lines if "misreads" in line)
    assert wrong == round(359 * (1 - test[-1] / 100))
    start = next(i for i, line in enumerate(lines) if "misreads" in line) + 2
    assert all(re.fullmatch(r"[ .:\-=+*#%@]{0,20}", line) for line in lines[start : start + 8])
    answer, chance, meant = numbers(lines[-1])
    assert answer != meant
    assert 10 <= chance <= 100


def test_your_own_numpy_function(tmp_path: Path) -> None:
    lines = run("07_own_numpy_function", tmp_path)
    # 100 (1 - 1.44)² + 2.2², and its derivatives by hand.
    assert numbers(lines[0]) == [-1.2, 1, 24.2, -215.6, -88]
    steps = after(lines, "  0  height", 7)
    heights = [step[-3] for step in steps]
    assert heights[0] == 24.2
    assert heights[-1] < 1e-15
    assert steps[-1][-2:] == [1, 1]
    # The first Newton step, solved by hand with the Hessian [[1330, 480], [480, 200]].
    x = np.array([-1.2, 1]) - np.linalg.solve([[1330, 480], [480, 200]], [-215.6, -88])
    np.testing.assert_allclose(steps[1][-2:], x, rtol=0, atol=1e-6)
    assert any(line.startswith("RIGHT: the gradients of Primitive(softplus)") for line in lines)
    assert numbers(lines[-1]) == [0, round(float(np.log(2)), 4), 0.5, 0.25]
