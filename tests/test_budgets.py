"""The budget script finds what it promises to find, and nothing else."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "budgets.py"
BUDGETS = runpy.run_path(str(SCRIPT), run_name="budgets")

FIFTY_LINES = "def f():\n" + '    """Two\n    lines."""\n' + "    pass\n" * 49


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\n" * 400,
        FIFTY_LINES,
        "@decorator\n" * 9 + FIFTY_LINES,
        "TABLE = {}\n_ROWS: list[int] = []\n__all__ = ['a']\n",
        "names = ('a', 'b')\nvalue = frozenset({1})\nx: int\n",
        "def f():\n    seen = []\n    return seen\n",
    ],
)
def test_source_within_its_budgets_passes(text: str) -> None:
    assert list(BUDGETS["source_violations"](text)) == []


@pytest.mark.parametrize(
    ("text", "violation"),
    [
        ("x = 1\n" * 401, (401, "the file has 401 lines, more than 400")),
        (FIFTY_LINES + "    pass\n", (1, "f has 51 lines, more than 50")),
        ("class A:\n    async def g(self):\n" + "        pass\n" * 50, (2, "g has 51 lines")),
        ("x = 1\ncache = {}\n", (2, "module-level mutable state: cache")),
        ("_seen: set[int] = set()\n", (1, "module-level mutable state: _seen")),
        ("a = b = [i for i in range(3)]\n", (1, "module-level mutable state: a")),
        ("import collections\nx = collections.deque()\n", (2, "module-level mutable state: x")),
        ("def f():\n    global n\n    n = 1\n", (2, "global statement: n")),
    ],
)
def test_source_beyond_a_budget_is_found(text: str, violation: tuple[int, str]) -> None:
    line, message = next(BUDGETS["source_violations"](text))
    assert line == violation[0]
    assert message.startswith(violation[1])


@pytest.mark.parametrize(
    "comment",
    [
        "# type: ignore[no-any-return]  # the stub says Any",
        "# type: ignore[arg-type, misc]  # NumPy's stub is too narrow",
        "# noqa: E501  # a formula reads best on one line",
        "# TODO(waits for numpy 3): drop the copy",
        "# the type is ignored here",
    ],
)
def test_a_comment_with_a_reason_passes(comment: str) -> None:
    assert list(BUDGETS["comment_violations"](f"x = 1  {comment}\n")) == []
    assert list(BUDGETS["comment_violations"](f"text = '{comment[:12]}'\n")) == []


@pytest.mark.parametrize(
    "comment",
    [
        "# type: ignore",
        "# type: ignore[misc]",
        "# type: ignore  # a reason but no code",
        "#type:ignore[misc]",
        "# noqa",
        "# NOQA: E501",
        "# noqa: E501 because",
        "# ruff: noqa",
        "# mypy: ignore-errors",
        "# TODO: later",
        "# TODO(): later",
        "# FIXME",
    ],
)
def test_a_comment_without_a_reason_is_found(comment: str) -> None:
    found = list(BUDGETS["comment_violations"](f"x = 1\ny = 2  {comment}\n"))
    assert [line for line, _ in found] == [2]
    assert comment in found[0][1]


def test_a_fourth_ruff_ignore_is_found() -> None:
    settings = "[tool.ruff.lint]\nignore = [{}]\n[tool.ruff.lint.per-file-ignores]\nx = ['D']\n"
    three = "'A1', 'B2', 'C3'"
    assert list(BUDGETS["settings_violations"](settings.format(three))) == []
    [(_, message)] = BUDGETS["settings_violations"](settings.format(three + ", 'D4'"))
    assert message == "ruff ignores A1, B2, C3, D4: more than 3"


def test_the_script_prints_each_violation_and_fails(tmp_path: Path) -> None:
    for folder in ("src", "tests", ".ci"):
        (tmp_path / folder).mkdir()
    shutil.copy(SCRIPT, tmp_path / ".ci")
    (tmp_path / "pyproject.toml").write_text("[tool.ruff.lint]\nignore = []\n")
    (tmp_path / "src" / "a.py").write_text("seen = []\n")
    (tmp_path / "tests" / "b.py").write_text("seen = []\nx = 1  # noqa\n")
    command = [sys.executable, str(tmp_path / ".ci" / "budgets.py")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stdout.splitlines() == [
        f"{Path('src', 'a.py')}:1: module-level mutable state: seen",
        f"{Path('tests', 'b.py')}:2: suppression without code and reason: # noqa",
    ]
    (tmp_path / "src" / "a.py").write_text("SEEN = ()\n")
    (tmp_path / "tests" / "b.py").write_text("x = 1\n")
    assert subprocess.run(command, capture_output=True).returncode == 0
