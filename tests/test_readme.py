from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

import tarograd as tg

ROOT = Path(__file__).parents[1]
ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")


class Block(NamedTuple):
    language: str
    code: str
    output: str | None  # the block of text that follows, where there is one


def blocks(readme: str) -> list[Block]:
    found = re.findall(r"^```(\w+)\n(.*?)^```$", readme, flags=re.M | re.S)
    after = [*found[1:], ("", "")]
    return [
        Block(language, code, text if follows == "text" else None)
        for (language, code), (follows, text) in zip(found, after, strict=True)
    ]


PYTHON = [block for block in blocks(ENGLISH) if block.language == "python"]
SHELL = [block for block in blocks(ENGLISH) if block.language == "sh"]
QUICKSTART, *TOUR = PYTHON
COMMANDS = [line for block in SHELL for line in block.code.splitlines()]


def run(words: list[str], directory: Path) -> str:
    result = subprocess.run(
        [sys.executable, *words],
        cwd=directory,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def small(command: str) -> list[str]:
    """The words after `tarograd`, with a training run of a few steps instead of thousands."""
    words = shlex.split(command)[1:]
    if words[0] == "train":
        for i, word in enumerate(words):
            if word == "--epochs":
                words[i + 1] = str(int(words[i + 1]) // 30)
        words += [] if "--epochs" in words else ["--steps", "20"]
    if "TAROGRAD_DATA" not in os.environ:
        words = ["digits" if word == "mnist" else word for word in words]
    return words


def test_the_two_commands_stand_at_the_top() -> None:
    first, second = SHELL[:2]
    assert first.code == "pip install . && tarograd train\n"
    assert second.code == "pip install '.[dev]' && pytest\n"
    assert ENGLISH.index("```sh") < ENGLISH.index("```python")


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    assert {block.language for block in blocks(ENGLISH)} == {"python", "sh", "text"}
    assert len(TOUR) >= 3
    assert all(line.startswith(("pip install ", "tarograd ")) for line in COMMANDS)


def test_the_quickstart_prints_what_the_readme_shows(tmp_path: Path) -> None:
    assert QUICKSTART.output is not None
    printed = run(["-W", "error", "-c", QUICKSTART.code], tmp_path).splitlines()
    shown = QUICKSTART.output.splitlines()
    number = re.compile(r"\d+(?:\.\d+)?(?:e[+-]\d+)?")
    assert [number.sub("#", line) for line in printed] == [number.sub("#", line) for line in shown]

    *check, best = shown
    rows = [line.split() for line in check[2:]]
    assert [row[0] for row in rows] == ["w1", "b1", "w2", "b2", "x"]
    for row in rows + [line.split() for line in printed[2:-1]]:
        assert float(row[2]) < 1e-7
        assert row[3] == "correct"
    # Another machine's matrix products may round otherwise, and make another epoch the best one.
    there, here = (
        dict(zip(words[::2], words[1::2], strict=True))
        for words in (best.split(), printed[-1].split())
    )
    for name in ("loss", "train", "test"):
        assert abs(float(there[name]) - float(here[name])) < 0.01
    assert int(here["step"]) == 15 * int(here["epoch"])
    assert {path.name for path in (tmp_path / "runs" / "first").iterdir()} >= {
        "best.safetensors", "last.safetensors", "history.csv", "curve.png", "run.json",
    }  # fmt: skip


@pytest.mark.parametrize("block", TOUR, ids=range(len(TOUR)))
def test_the_tour_prints_what_the_readme_shows(block: Block, tmp_path: Path) -> None:
    assert run(["-W", "error", "-c", block.code], tmp_path) == block.output


def test_the_commands_run_one_after_the_other(tmp_path: Path) -> None:
    images, labels = tg.data.load("digits").test
    seven = images[labels == 7][0]
    Image.fromarray((seven * 15).astype(np.uint8)).save(tmp_path / "seven.png")
    for block in SHELL[2:]:
        commands = block.code.splitlines()
        printed = [run(["-m", "tarograd", *small(line)], tmp_path) for line in commands]
        if block.output is not None:
            assert printed == [block.output]
    assert any("digit" in text for text in printed)
    assert run(["-m", "tarograd", "train", "--steps", "20"], tmp_path)


def test_both_languages_have_the_same_code_and_the_same_sections() -> None:
    assert blocks(CHINESE) == blocks(ENGLISH)
    for mark in (r"^#+ ", r"^\|", r"^- "):
        counts = [len(re.findall(mark, readme, flags=re.M)) for readme in (ENGLISH, CHINESE)]
        assert counts[0] == counts[1] > 0


@pytest.mark.parametrize("readme", [ENGLISH, CHINESE], ids=["en", "zh"])
def test_links_lead_to_files(readme: str) -> None:
    links = re.findall(r"\]\(([^)]+)\)", readme)
    assert len(links) > 10
    missing = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert missing == []
