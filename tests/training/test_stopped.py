"""A run that is stopped by a signal, wherever it is, and goes on: the bits of one never stopped."""

from __future__ import annotations

import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from commands import Outcome, digests, finish, script, start, taro
from tarograd import checkpoint

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")

SETTINGS = ("--epochs", 100, "--batch-size", 720, "--hidden", 20, "--validation", 0.1)
SAVED = re.compile(r"stopped by (SIGINT|SIGTERM) after step \d+ of \d+; saved\. To go on: (.*), or")


class Whole:
    """A run that nobody stopped, and how long it took when its machine code was in the cache."""

    def __init__(self, folder: Path) -> None:
        taro("train", *SETTINGS, "--quiet", "--out", "first", folder=folder)
        began = time.monotonic()
        outcome = taro("train", *SETTINGS, "--quiet", "--out", "run", folder=folder)
        self.seconds = time.monotonic() - began
        assert outcome.code == 0, outcome.err
        self.digests = digests(folder / "run")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(tmp_path_factory.mktemp("whole"))


def stop_after(seconds: float, signum: int, folder: Path) -> Outcome:
    process = start("train", *SETTINGS, "--quiet", "--out", "run", folder=folder)
    time.sleep(seconds)
    process.send_signal(signum)
    return finish(process)


def go_on(outcome: Outcome, folder: Path) -> None:
    """What somebody does who reads the message; or who got none, since nothing was saved yet."""
    command = SAVED.search(outcome.err)
    if command:
        words = shlex.split(command[2])
        assert words[0] == "tarograd"
        last = taro(*words[1:], "--quiet", folder=folder)
    elif (folder / "run" / "last.safetensors").exists():
        last = taro("train", "--resume", "run", "--quiet", folder=folder)
    else:
        last = taro("train", *SETTINGS, "--quiet", "--out", "run", folder=folder)
    assert last.code == 0, last.err
    assert last.err == ""


def test_sigterm_at_twenty_random_moments_costs_no_bit(tmp_path: Path, whole: Whole) -> None:
    moments = random.Random(2024)
    stopped, saved = 0, 0
    for attempt in range(20):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        outcome = stop_after(moments.uniform(0, whole.seconds), signal.SIGTERM, folder)
        # Before Python has set up anything, the signal itself ends the process.
        assert outcome.code in (143, -signal.SIGTERM, 0), outcome
        assert len(outcome.err.splitlines()) == (outcome.code == 143), outcome
        stopped += outcome.code != 0
        saved += SAVED.search(outcome.err) is not None
        go_on(outcome, folder)
        assert digests(folder / "run") == whole.digests, f"attempt {attempt}"
    assert stopped >= 10  # or the moments tested nothing
    assert saved >= 5


# Each phase is entered with a signal that has just come. The phase, and where it is entered.
PHASES = {
    "data": ("tarograd.cli.train", "datasets.load"),
    "rehearsal": ("tarograd.training.fit", "Run.rehearse"),
    "start": ("tarograd.training.store", "Store.start"),
    "step": ("tarograd.training.fit", "Run._steps"),
    "evaluation": ("tarograd.nn", "Network.accuracy"),
    "best": ("tarograd.training.store", "Store.save_best"),
    "curve": ("tarograd.training.history", "History.plot"),
}
# The machine code comes back after each step, so that a signal can hit any of them.
SIGNALED = """
import importlib, os, sys
import tarograd.training.pace
tarograd.training.pace.CALL_SECONDS = 0
from tarograd.cli import main
module, path, call, signum, *words = sys.argv[1:]
owner = importlib.import_module(module)
*way, name = path.split(".")
for step in way:
    owner = getattr(owner, step)
original, calls = getattr(owner, name), 0
def signaled(*arguments, **settings):
    global calls
    calls += 1
    if calls == int(call):
        os.kill(os.getpid(), int(signum))
    return original(*arguments, **settings)
setattr(owner, name, signaled)
main(words)
"""


@pytest.mark.parametrize(
    ("phase", "signum"),
    [
        *((phase, signal.SIGTERM) for phase in PHASES),
        *((phase, signal.SIGINT) for phase in ("data", "step", "curve")),
    ],
)
def test_a_signal_in_any_phase_costs_no_bit(
    tmp_path: Path, whole: Whole, phase: str, signum: signal.Signals
) -> None:
    call = 70 if phase in ("step", "evaluation") else 1
    words = ("train", *SETTINGS, "--quiet", "--out", "run")
    outcome = script(SIGNALED, *PHASES[phase], call, int(signum), *words, folder=tmp_path)
    assert outcome.code == 128 + signum, outcome
    assert len(outcome.err.splitlines()) == 1
    if phase in ("data", "rehearsal"):
        assert outcome.err == f"tarograd: stopped at once by {signum.name}\n"
        assert not (tmp_path / "run").exists()
    else:
        found = SAVED.search(outcome.err)
        assert found
        assert found[1] == signum.name
        checkpoint.load(tmp_path / "run" / "last.safetensors")
    if phase == "step":  # it is finished, then comes the saving
        assert "after step 70 of 200" in outcome.err
    go_on(outcome, tmp_path)
    assert digests(tmp_path / "run") == whole.digests


def test_a_run_stopped_again_and_again_gets_there(tmp_path: Path, whole: Whole) -> None:
    words: tuple[object, ...] = (*SETTINGS, "--out", "run")
    for stops in range(1, 4):
        call = 60  # each time sixty steps further
        outcome = script(
            SIGNALED, *PHASES["step"], call, 15, "train", *words, "--quiet", folder=tmp_path
        )
        assert outcome.code == 143
        assert f"after step {60 * stops} of 200" in outcome.err
        words = ("--resume", "run")
    go_on(outcome, tmp_path)
    assert digests(tmp_path / "run") == whole.digests


def test_a_folder_with_a_space_can_be_resumed_as_the_message_says(tmp_path: Path) -> None:
    words = ("train", "--steps", 30, "--quiet", "--out", "my runs/it's")
    outcome = script(SIGNALED, *PHASES["step"], 10, 15, *words, folder=tmp_path)
    found = SAVED.search(outcome.err)
    assert found
    again = subprocess.run(
        [found[2].replace("tarograd", f"{sys.executable} -m tarograd", 1)],
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert again.returncode == 0, again.stderr
    assert "step 30" in again.stdout


TWICE = """
import os, signal, sys, time
import tarograd as tg
from tarograd.training import pace
from tarograd.training.fit import Run
pace.CALL_SECONDS = 0
from tarograd.cli import main
step, calls = Run._steps, 0
def twice(run, done):
    global calls
    calls += 1
    if calls == 20:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), int(sys.argv[1]))
        time.sleep(100)  # a step that would take long
        print("waited for the step")
    return step(run, done)
Run._steps = twice
main(sys.argv[2:])
"""


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_second_signal_stops_at_once(tmp_path: Path, second: signal.Signals) -> None:
    words = ("train", *SETTINGS, "--quiet", "--out", "run")
    outcome = script(TWICE, int(second), *words, folder=tmp_path)
    message = f"stopped at once by {second.name}; what was saved before is intact"
    assert outcome == (128 + second, "", f"tarograd: {message}\n")
    _, metadata = checkpoint.load(tmp_path / "run" / "last.safetensors")
    assert metadata["step"] == 0  # that of the start: the step was not finished


def test_without_a_directory_the_message_says_that_nothing_was_saved(tmp_path: Path) -> None:
    code = """
import os, signal, sys
import tarograd as tg
from tarograd.nn import ReLU
class Signal(ReLU):
    def call(self, x):
        if len(x.shape) > 1 and x.shape[0] == 100:  # in a step, not in a measurement
            os.kill(os.getpid(), signal.SIGTERM)
        return super().call(x)
net = tg.nn.Sequential(tg.nn.Affine(64, 10), Signal())
try:
    tg.fit(net, tg.data.load("digits"), steps=20, progress=False, compiled=False)
except SystemExit as error:
    print(type(error).__name__, error.code, "|", error)
    raise
"""
    outcome = script(code, folder=tmp_path)
    message = (
        "stopped by SIGTERM after step 1 of 20; nothing was saved, since no directory was given"
    )
    assert outcome == (143, f"Interrupted 143 | {message}\n", f"{message}\n")


def test_in_an_interactive_session_ctrl_c_does_not_end_it(tmp_path: Path) -> None:
    code = """
import os, signal, sys
import tarograd as tg
from tarograd.training import pace
from tarograd.training.fit import Run
pace.CALL_SECONDS = 0
sys.ps1 = ">>> "
step = Run._steps
def signaled(run, done):
    if done == 5:
        os.kill(os.getpid(), signal.SIGINT)
    return step(run, done)
Run._steps = signaled
net = tg.nn.TwoLayerNet(64, 5, 10)
try:
    tg.fit(net, tg.data.load("digits"), steps=20, progress=False)
except KeyboardInterrupt as error:
    print(error)
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""
    outcome = script(code, folder=tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    first, second = outcome.out.splitlines()
    assert first.startswith("stopped by SIGINT after step 6 of 20")
    assert second == "True"


def test_an_ignored_interrupt_stays_ignored_and_handlers_are_put_back(tmp_path: Path) -> None:
    code = """
import os, signal
import tarograd as tg
from tarograd.training import pace
from tarograd.training.fit import Run
pace.CALL_SECONDS = 0
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell starts its background jobs
before = signal.getsignal(signal.SIGTERM)
step = Run._steps
def signaled(run, done):
    os.kill(os.getpid(), signal.SIGINT)
    return step(run, done)
Run._steps = signaled
history = tg.fit(tg.nn.TwoLayerNet(64, 5, 10), tg.data.load("digits"), steps=3, progress=False)
assert len(history.losses) == 3
assert signal.getsignal(signal.SIGTERM) is before
assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
"""
    assert script(code, folder=tmp_path) == (0, "", "")


def test_a_signal_at_the_very_end_is_not_lost(tmp_path: Path) -> None:
    code = """
import os, signal
from tarograd.training.interruption import Interrupted, Interruption
seen = []
signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
with Interruption() as interruption:
    os.kill(os.getpid(), signal.SIGTERM)
    assert interruption.signum == signal.SIGTERM
    assert not seen
assert seen == [signal.SIGTERM]
"""
    assert script(code, folder=tmp_path) == (0, "", "")


def test_fit_works_in_a_thread_where_python_delivers_no_signals(tmp_path: Path) -> None:
    code = """
import threading
import tarograd as tg
losses = []
def train():
    net = tg.nn.TwoLayerNet(64, 5, 10)
    history = tg.fit(net, tg.data.load("digits"), steps=7, progress=False)
    losses.extend(history.losses)
thread = threading.Thread(target=train)
thread.start()
thread.join()
print(len(losses))
"""
    assert script(code, folder=tmp_path) == (0, "7\n", "")


def test_a_run_stopped_before_its_first_step_has_the_whole_run_before_it(
    tmp_path: Path, whole: Whole
) -> None:
    words = ("train", *SETTINGS, "--quiet", "--out", "run")
    outcome = script(SIGNALED, *PHASES["start"], 1, 15, *words, folder=tmp_path)
    assert "after step 0 of 200" in outcome.err
    arrays, metadata = checkpoint.load(tmp_path / "run" / "last.safetensors")
    assert metadata["epochs"] == []
    np.testing.assert_array_equal(arrays["history/losses"], np.zeros(0))
