"""Help, exit codes, wrong usage, and output that nobody reads to its end."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from words import call, refusal

import tarograd as tg
from commands import PYTHON, Outcome, script, taro

COMMANDS = ("train", "check", "predict", "draw", "graph")


def examples(text: str) -> list[list[str]]:
    """The words of the commands under the heading Examples of a help text."""
    _, heading, rest = text.partition("\n  Examples:\n")
    assert heading
    return [shlex.split(line) for line in rest.splitlines()]


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_the_help_names_the_commands_and_shows_examples(words: tuple[str, ...]) -> None:
    outcome = call(*words)
    assert (outcome.code, outcome.err) == (0, "")
    for command in COMMANDS:
        assert re.search(rf"^  {command} +\w.*[^.]\.$", outcome.out, re.MULTILINE)
    assert sorted(words[1] for words in examples(outcome.out)) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_a_short_help_with_examples(command: str) -> None:
    outcome = call(command, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert len(outcome.out.splitlines()) <= 45
    assert all(len(line) <= 80 for line in outcome.out.splitlines())
    shown = examples(outcome.out)
    assert len(shown) >= 2
    assert all(words[:2] == ["tarograd", command] for words in shown)
    known = set(re.findall(r"--[a-z-]+", outcome.out.partition("Examples:")[0]))
    assert {word for words in shown for word in words if word.startswith("--")} <= known


def test_the_version() -> None:
    assert call("--version") == (0, f"tarograd {tg.__version__}\n", "")


def test_h_is_help_alone_and_a_name_in_a_formula() -> None:
    assert call("graph", "-h").out == call("graph", "--help").out
    assert "-2" in call("graph", "-h", "h=2").out


def test_every_optimizer_and_the_defaults_stand_in_the_help() -> None:
    text = " ".join(call("train", "--help").out.split())
    assert ", ".join(tg.optim.OPTIMIZERS) in text
    for default in (
        "digits",
        "50; 1<=x<=1000000",
        "0.1 for sgd",
        "100; x>=1",
        "10000",
        "sgd",
        "shuffle",
    ):
        assert f"[default: {default}" in text


WRONG = {
    "an unknown command": (("trian",), "No such command 'trian'"),
    "an unknown option": (("--verbose",), "No such option"),
    "an option that is nearly right": (("train", "--step", "5"), "--steps"),
    "an argument that is none": (("train", "mnist"), "unexpected extra argument (mnist)"),
    "no value": (("train", "--steps"), "Option '--steps' requires an argument"),
    "steps as text": (("train", "--steps", "many"), "'many' is not a valid integer"),
    "steps that are broken": (("train", "--steps", "1.5"), "'1.5' is not a valid integer"),
    "negative steps": (("train", "--steps", "-1"), "-1 is not in the range 0<=x<=10"),
    "negative epochs": (("train", "--epochs", "-1"), "-1 is not in the range 0<=x<=10"),
    "steps and epochs": (("train", "--steps", "5", "--epochs", "1"), "--steps and --epochs: give"),
    "steps without number": (("train", "--steps", "10" * 400), "is not in the range 0<=x<=100000"),
    "no batch": (("train", "--batch-size", "0"), "0 is not in the range x>=1"),
    "no neurons": (("train", "--hidden", "0"), "0 is not in the range 1<=x<=1000"),
    "too many neurons": (("train", "--hidden", "1000001"), "1000001 is not in the range 1<=x<=1"),
    "layers of more than memory": (
        ("train", "--layers", "1,1000000,1000000"),
        "Unable to allocate",
    ),
    "layers that are too large": (
        ("train", "--layers", "9,1000001"),
        "'9,1000001': sizes from 1 to",
    ),
    "layers as text": (
        ("train", "--layers", "big"),
        "'big': sizes from 1 to 1000000, divided by commas",
    ),
    "layers of nothing": (
        ("train", "--layers", ""),
        "'': sizes from 1 to 1000000, divided by commas",
    ),
    "layers with a hole": (("train", "--layers", "50,,20"), "'50,,20': sizes from 1 to"),
    "layers of no size": (
        ("train", "--layers", "50,0"),
        "'50,0': sizes from 1 to 1000000, divided",
    ),
    "hidden and layers": (("train", "--hidden", "9", "--layers", "9"), "--hidden and --layers:"),
    "a learning rate as text": (("train", "--lr", "fast"), "'fast' is not a valid float"),
    "a negative learning rate": (("train", "--lr", "-0.1"), "lr is a finite number from 0 on"),
    "a learning rate that is none": (("train", "--lr", "nan"), "lr is a finite number from 0 on"),
    "an endless learning rate": (("train", "--lr", "inf"), "lr is a finite number from 0 on"),
    "an unknown optimizer": (("train", "--optimizer", "lion"), "'lion' is not one of 'sgd'"),
    "an unknown sampling": (("train", "--sampling", "all"), "'all' is not one of 'shuffle'"),
    "all for validation": (("train", "--validation", "1"), "1.0 is not in the range 0<=x<1"),
    "negative validation": (("train", "--validation", "-0.1"), "-0.1 is not in the range 0<=x<1"),
    "validation that is none": (("train", "--validation", "nan"), "nan"),
    "too little validation": (("train", "--validation", "1e-9"), "leaves 1438 to train on and 0"),
    "a negative seed": (("train", "--seed", "-1"), "-1 is not in the range 0<=x<=18446744073709"),
    "a huge seed": (("train", "--seed", "18446744073709551616"), "is not in the range 0<=x<=1844"),
    "unknown data": (("train", "--data", "digit"), "found neither. Did you mean 'digits'?"),
    "data of no name": (("train", "--data", ""), "the name of a data set (digits, mnist)"),
    "data that is a file of text": (("train", "--data", __file__), "an NPZ file, a zip of arrays"),
    "data that is an empty folder": (("train", "--data", "{empty}"), "train-images-idx3-ubyte"),
    "data that is a device": (("train", "--data", "/dev/zero"), "found a device or a pipe"),
    "a folder that is a file": (("train", "--out", "{file}", "--quiet"), "File exists"),
    "nothing to resume": (("train", "--resume", "{empty}"), "there is no run to go on with"),
    "nowhere to resume": (("train", "--resume", "{empty}/x"), "there is no run to go on with"),
    "resume with an optimizer": (
        ("train", "--resume", "{empty}", "--optimizer", "adam"),
        "--resume goes on as the run was started, without --optimizer",
    ),
    "resume with the same size": (
        ("train", "--resume", "{empty}", "--batch-size", "100"),
        "--resume goes on as the run was started, without --batch-size",
    ),
    "resume elsewhere": (("train", "--resume", "{empty}", "--out", "x"), "without --out"),
    "check of unknown data": (("check", "--data", "nothing"), "the name of a data set"),
    "check without neurons": (("check", "--hidden", "0"), "0 is not in the range 1<=x<=1000"),
    "check with an argument": (("check", "digits"), "digits: a Python file (.py) is needed"),
    "predict without anything": (("predict",), "Missing argument 'MODEL'"),
    "predict without an image": (("predict", "{empty}"), "Missing argument 'IMAGES...'"),
    "predict without a model": (("predict", "{empty}", "x.png"), "best.safetensors: No such file"),
    "predict with a text": (("predict", __file__, "x.png"), "is not a checkpoint: it begins with"),
    "graph without a formula": (("graph",), "Missing argument 'FORMULA'"),
    "a name with control characters": (("train", "--data", "\x1b[31m\n"), "neither"),
}


@pytest.mark.parametrize(("words", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_usage_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    filled = [word.replace("{empty}", "empty").replace("{file}", "file") for word in words]
    assert message in refusal(*filled)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file"]


@pytest.mark.skipif(sys.platform == "win32", reason="no /dev")
@pytest.mark.parametrize(
    "name", ["an unknown command", "unknown data", "layers of more than memory"]
)
def test_wrong_usage_of_the_real_command_too(tmp_path: Path, name: str) -> None:
    words, message = WRONG[name]
    outcome = taro(*words, folder=tmp_path)
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.count("\n") == 1
    assert message in outcome.err
    assert "Traceback" not in outcome.err


def test_missing_mnist_keeps_the_lines_of_its_ways_out(tmp_path: Path) -> None:
    code = """
import dataclasses, sys
from tarograd.cli import main
from tarograd.data import catalog
far = dataclasses.replace(catalog.MNIST, mirrors=catalog.Mirrors(("http://127.0.0.1:9/",)))
catalog._PUBLISHED["mnist"] = far
main(["train", "--data", "mnist", "--quiet"])
"""
    hidden = {"TAROGRAD_DATA": "", "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    program = (*PYTHON, "-c", code)
    process = subprocess.run(
        program, cwd=tmp_path, env=os.environ | hidden, capture_output=True, text=True, timeout=120
    )
    assert process.returncode == 2
    assert process.stderr.startswith("tarograd: mnist: expected its four files")
    assert "\nThree ways out:\n  1. " in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
@pytest.mark.parametrize(
    "command",
    [
        'graph "x*x*x*x*x*x*x*x" x=2 | head -n 1',
        "--help | head -n 1",
        "predict net.safetensors image.npy image.npy image.npy | head -n 1",
        "train --steps 40 --out run 2>&1 | head -n 1",
        'graph "x" x=2 | true',
        'graph "x" x=2 >&- 2>&1 | true',
    ],
)
def test_output_that_nobody_reads_to_its_end_makes_no_noise(tmp_path: Path, command: str) -> None:
    tg.save_network(tg.nn.TwoLayerNet(64, 5, 10), tmp_path / "net.safetensors")
    np.save(tmp_path / "image.npy", np.eye(8))
    process = subprocess.run(
        f"{sys.executable} -m tarograd {command}",
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode == 0  # that of the reader
    assert process.stderr == ""
    assert process.stdout.count("\n") == ("head" in command)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_in_check_ends_it_with_one_line(tmp_path: Path, signum: signal.Signals) -> None:
    code = """
import os, sys
from tarograd.cli import main
from tarograd.nn import Network
original, calls = Network.objective, 0
def signaled(*arguments):
    global calls
    calls += 1
    if calls == 30:
        os.kill(os.getpid(), int(sys.argv[1]))
    return original(*arguments)
Network.objective = signaled
main(["check", "--hidden", "4"])
"""
    outcome = script(code, int(signum), folder=tmp_path)
    message = f"tarograd: stopped at once by {signum.name}\n"
    assert outcome == Outcome(128 + signum, "With random weights:\n", message)


def test_main_puts_the_signals_back() -> None:
    before = [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)]
    call("graph", "x", "x=1")
    call("nonsense")
    after = [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)]
    assert after == before
