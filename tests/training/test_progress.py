"""What is seen of a run: a bar in a real terminal, plain lines elsewhere, nothing on request."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import tarograd as tg
from commands import PYTHON, TARO, allow_interrupt, digests, taro

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")

WORDS = ("train", "--epochs", "60", "--batch-size", "360", "--hidden", "16", "--out")
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"  # the cursor


def in_terminal(
    *words: str, folder: Path, columns: int = 80, term: str = "xterm", stop_at: str = ""
) -> tuple[int, str]:
    """Exit code and all that a terminal was sent; at the text `stop_at` it sends Ctrl-C."""
    import pty

    main, side = pty.openpty()
    set_size(side, columns)
    process = subprocess.Popen(
        [*TARO, *words],
        cwd=folder,
        env=os.environ | {"TERM": term, "COLUMNS": str(columns)},
        stdin=side,
        stdout=side,
        stderr=side,
        preexec_fn=lead_the_terminal,
    )
    os.close(side)
    sent, stopped = b"", not stop_at
    with process:
        while True:
            try:
                part = os.read(main, 65536)
            except OSError:  # Linux says so when the last process has closed its side
                break
            if not part:
                break
            sent += part
            if not stopped and stop_at.encode() in sent:
                os.write(main, b"\x03")  # what the key sends; the terminal makes a signal of it
                stopped = True
    os.close(main)
    return process.returncode, sent.decode()


def set_size(terminal: int, columns: int) -> None:
    import fcntl
    import struct
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


def lead_the_terminal() -> None:
    """In the child: Ctrl-C goes to it, as it goes to what a shell runs."""
    import fcntl
    import termios

    allow_interrupt()
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def screen(sent: str, columns: int = 80, rows: int = 24) -> list[str]:
    """What stands on the screen after all that was sent: as much of a terminal as is needed."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[\s\S]", sent):
        if part == "\n":
            row += 1
        elif part == "\r":
            column = 0
        elif part.startswith("\x1b["):
            count = int(part[2:-1]) if part[2:-1].isdigit() else 1
            if part[-1] == "A":
                row = max(row - count, 0)
            elif part == "\x1b[2K":
                lines[row] = ""
            else:
                assert part[-1] in "mhl", part  # colors and the cursor
        else:
            if column == columns:
                row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
            lines[row] = f"{lines[row][:column]:<{column}}{part}{lines[row][column + 1 :]}"
            column += 1
        lines += [""] * (row + 1 - len(lines))
    return [line.rstrip() for line in lines]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str]:
    folder = tmp_path_factory.mktemp("bar")
    return folder, *in_terminal(*WORDS, "run", folder=folder)


def test_a_bar_shows_loss_accuracies_speed_and_the_time_left(
    finished: tuple[Path, int, str],
) -> None:
    _, code, sent = finished
    assert code == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", sent)
    bars = re.findall(
        r"(\d+)% (\S+)\s+([\d,]+) steps/s (\d:\d\d:\d\d|-:--:--) +"
        r"loss (\d\.\d{4})  train (\d\.\d{4})  test (\d\.\d{4})",
        plain,
    )
    assert len(bars) >= 3
    shares = [int(bar[0]) for bar in bars]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] <= 100
    assert all(len(bar[1]) >= 4 for bar in bars)
    assert float(bars[-1][4]) < float(bars[0][4]) < 2.4  # the loss goes down from log(10)
    assert float(bars[-1][6]) > float(bars[0][6])
    assert all(float(bar[2].replace(",", "")) > 0 for bar in bars)


def test_the_bar_leaves_a_clean_terminal(finished: tuple[Path, int, str]) -> None:
    _, _, sent = finished
    assert sent.count(HIDE) == sent.count(SHOW) == 1
    lines = [line for line in screen(sent) if line]
    assert len(lines) == 2
    assert lines[0].startswith("best: epoch ")
    assert lines[1].startswith("kept in run; look at its report.html, or try: tarograd predict run")


def test_the_bar_changes_no_bit_nor_do_lines_nor_silence(finished: tuple[Path, int, str]) -> None:
    folder, _, _ = finished
    quiet = taro(*WORDS, "quiet", "--quiet", folder=folder)
    assert [quiet.code, quiet.err] == [0, ""]
    lines = taro(*WORDS, "lines", folder=folder)
    shown = lines.err.splitlines()
    assert re.fullmatch(r"epoch 0  step 0  train 0\.\d{4}  test 0\.\d{4}", shown[0])
    pattern = r"epoch \d+  step \d+  loss \d\.\d{4}  train \d\.\d{4}  test \d\.\d{4}"
    assert all(re.fullmatch(pattern, line) for line in shown[1:])
    assert shown[-1].startswith("epoch 60  step 240  ")
    rows = (folder / "lines" / "history.csv").read_text().splitlines()
    assert f"test {float(rows[-1].split(',')[4]):.4f}" in shown[-1]
    assert len(lines.out.splitlines()) == len(quiet.out.splitlines()) == 2
    assert digests(folder / "quiet") == digests(folder / "lines") == digests(folder / "run")


@pytest.mark.parametrize("columns", [80, 120])
def test_ctrl_c_leaves_a_clean_terminal_and_the_way_to_go_on(tmp_path: Path, columns: int) -> None:
    words = (*WORDS[:2], "100000", *WORDS[3:], "run")
    code, sent = in_terminal(*words, folder=tmp_path, columns=columns, stop_at="  test 0.")
    assert code == 130
    assert sent.count(HIDE) == sent.count(SHOW) == 1
    text = "".join(line.ljust(columns) for line in screen(sent, columns)).strip()
    text = " ".join(text.replace("^C", "").split())
    assert re.fullmatch(
        r"stopped by SIGINT after step \d+ of 400000; saved\. To go on: tarograd train "
        r"--resume run, or tg\.fit\(\.\.\., directory='run', resume=True\)",
        text,
    ), text


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(tmp_path: Path) -> None:
    code, sent = in_terminal(*WORDS, "run", folder=tmp_path, term="dumb")
    assert code == 0
    assert "\x1b" not in sent
    assert sent.startswith("epoch 0  step 0  train 0.")


def test_lines_come_while_the_run_goes_on(tmp_path: Path) -> None:
    code = """
import importlib, sys
import tarograd as tg
importlib.import_module("tarograd.training.progress").PLAIN_SECONDS = 0.0
tg.fit(tg.nn.TwoLayerNet(64, 5, 10), tg.data.load("digits"), epochs=4)
"""
    process = subprocess.run(
        [*PYTHON, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE, text=True, timeout=60
    )
    epochs = [line.split()[1] for line in process.stderr.splitlines()]
    assert epochs == ["0", "1", "2", "3", "4"]


def test_a_run_that_goes_on_begins_with_where_it_was(
    tmp_path: Path, finished: tuple[Path, int, str]
) -> None:
    shutil.copytree(finished[0] / "run", tmp_path / "run")
    outcome = taro("train", "--resume", "run", "--epochs", 61, folder=tmp_path)
    epochs = [line.split()[1] for line in outcome.err.splitlines()]
    assert epochs == ["60", "61"]


def test_progress_false_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    tg.fit(tg.nn.TwoLayerNet(64, 5, 10), tg.data.load("digits"), steps=3, progress=False)
    assert capfd.readouterr() == ("", "")


def test_a_narrow_terminal_does_no_harm(tmp_path: Path) -> None:
    code, sent = in_terminal(*WORDS, "run", folder=tmp_path, columns=30)
    assert code == 0
    assert "%" in sent
