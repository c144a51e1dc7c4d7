"""`tarograd graph` draws in the terminal as the terminal can, and saves a picture."""

from __future__ import annotations

import errno
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from graphs import apple
from test_terminal import APPLE

import tarograd as tg

WORDS = ["graph", "apple * count * tax", "apple=100", "count=2", "tax=1.1"]
COMMAND = [sys.executable, "-m", "tarograd", *WORDS]


def run(*more: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *more],
        env=os.environ | {"PYTHONIOENCODING": "utf-8", "COLUMNS": "100"} | environment,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


def in_terminal(**environment: str) -> str:
    """What the command writes to a terminal."""
    leader, follower = pty.openpty()
    given = os.environ | {"PYTHONIOENCODING": "utf-8", "COLUMNS": "100"} | environment
    process = subprocess.Popen(COMMAND, env=given, stdout=follower)
    os.close(follower)
    text = b""
    try:
        while chunk := os.read(leader, 4096):
            text += chunk
    except OSError:  # the other end is closed
        pass
    os.close(leader)
    assert process.wait(timeout=60) == 0
    return text.decode()


def test_it_draws_the_apple_above_the_table() -> None:
    result = run()
    assert result.stdout.startswith(APPLE + "\n\nvalue   derivative   of\n")
    assert result.returncode == 0


def test_ascii_is_asked_for_or_all_that_the_output_can_carry() -> None:
    asked, carried = run("--ascii"), run(PYTHONIOENCODING="ascii")
    assert asked.stdout == carried.stdout
    assert asked.stdout.isascii()
    assert "apple --100-->(*)" in asked.stdout


@pytest.mark.parametrize(
    "words", [("graph", "--help"), ("draw", "--help"), ("graph", "苹*2", "苹=3")]
)
def test_a_code_page_without_the_signs_shows_a_question_mark(words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [*COMMAND[:3], *words],
        env=os.environ | {"PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        encoding="cp1252",
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "?" in done.stdout
    assert "×" in done.stdout or words[1] == "苹*2"


def test_a_print_is_in_ascii_where_nothing_else_can_be_shown() -> None:
    code = "import tarograd as tg; print(tg.draw(tg.Tensor(3.0, 'x') * 2))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.stdout.startswith("x --3-->(*)--6-->")


def test_wide_is_for_terminals_with_characters_of_two_cells() -> None:
    wide = run("--wide").stdout
    assert wide.startswith(tg.draw(apple()).terminal(width=2) + "\n\nvalue ")
    assert wide != run().stdout
    assert run("--wide", "--ascii").stdout == run("--ascii").stdout


def test_a_narrow_terminal_gets_an_outline() -> None:
    assert run(COLUMNS="24").stdout.startswith("apple = 100   ∂ 2.2\n")


def test_color_is_for_terminals_that_want_it() -> None:
    assert "\x1b[" in in_terminal(NO_COLOR="", TERM="xterm")
    assert "\x1b[" not in in_terminal(NO_COLOR="1", TERM="xterm")
    assert "\x1b[" not in in_terminal(NO_COLOR="", TERM="dumb")
    assert "\x1b[" not in run().stdout


@pytest.mark.parametrize("ending", ["svg", "html", "json", "dot"])
def test_it_saves_the_picture(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"apple.{ending}"
    assert run("-o", str(path)).returncode == 0
    text = path.read_text(encoding="utf-8")
    starts = {"svg": "<svg", "html": "<!DOCTYPE html>", "json": "{", "dot": "digraph {"}
    assert text.startswith(starts[ending])
    assert "apple" in text
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    if ending == "json":
        assert json.loads(text)["format"] == "tarograd-trace"


def test_what_cannot_be_saved_is_said_in_a_line(tmp_path: Path) -> None:
    for path, message in (
        (tmp_path / "apple.bmp", "a picture is saved as .svg, .html, .json, .dot, .png"),
        (tmp_path / "none" / "apple.svg", "there is no folder"),
    ):
        result = run("-o", str(path))
        assert result.returncode == 2
        assert message in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ["svg", "html"])
def test_a_full_disk_is_said_and_leaves_the_old_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    path = tmp_path / f"apple.{ending}"
    path.write_text("the old one")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"cannot write .*apple.*: No space .*\(the previous file"):
        tg.draw(apple()).save(path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(path.name, "the old one")]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_the_output_is_one_sentence() -> None:
    with open("/dev/full", "w") as disk:
        done = subprocess.run(COMMAND, stdout=disk, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "tarograd: the output cannot be written: no space is left where it goes\n"
