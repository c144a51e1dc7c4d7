"""Several threads on one step: the same bits, whatever happens to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tarograd as tg
from tarograd.compiler import Recipe, step_program
from tarograd.compiler.llvm import share, team
from tarograd.compiler.llvm.native import Native
from tarograd.compiler.llvm.team import threads_possible, together
from tarograd.compiler.lower import lower

pytestmark = pytest.mark.skipif(not threads_possible(), reason="threads cannot sleep here")
OPTIMIZERS = [
    tg.optim.SGD(lr=0.1),
    tg.optim.SGD(lr=0.1, weight_decay=0.01),
    tg.optim.Momentum(lr=0.05),
    tg.optim.Nesterov(lr=0.05),
    tg.optim.AdaGrad(lr=0.05),
    tg.optim.RMSProp(lr=0.01),
    tg.optim.Adam(lr=0.01),
    tg.optim.AdamW(lr=0.01),
]


class Training:
    """A network and a compiled step of it, with nothing too small to be shared."""

    def __init__(
        self, sizes: list[int], batch: int, optimizer: tg.optim.Optimizer, sparse: bool = False
    ) -> None:
        rng = np.random.default_rng(sizes)
        images = rng.integers(0, 256, (3 * batch, sizes[0]), dtype=np.uint8)
        images[rng.random(images.shape) < 0.8 * sparse] = 0
        labels = rng.integers(0, sizes[-1], 3 * batch)
        layers: list[Any] = []
        for n, m in pairwise(sizes[:-1]):
            layers += [tg.nn.Affine(n, m), tg.nn.Tanh(), tg.nn.Dropout(0.3)]
        self.net = tg.nn.Sequential(*layers, tg.nn.Affine(*sizes[-2:]))
        bound = optimizer.bind(self.net.parameters())
        recipe = Recipe(self.net, self.net.criterion, bound, images, labels)
        self.program = lower(step_program(recipe, batch))
        self.native = Native(
            self.program,
            {"images": images, "labels": labels},
            sparse=["images"] if sparse else [],
            shared=True,
        )
        self.first = {name: p.value for name, p in recipe.parameters().items()}
        self.rng, self.size, self.batch = rng, len(images), batch

    def bits(self, threads: int, steps: int = 4) -> list[bytes]:
        """What comes out of a few steps."""
        inputs = self.program.inputs
        self.native.state[: self.native.plan.sizes["state"]] = 0
        for v in self.program.order():
            if v.array is not None:
                self.native.view(v)[...] = v.array
        for name, value in self.first.items():
            self.native.view(inputs[name])[...] = value
        rng = np.random.default_rng(0)
        fed = {
            "batch": rng.integers(0, self.size, (steps, self.batch)),
            "step": np.arange(steps),
            "lr": np.full(steps, 0.1),
        }
        losses = self.native.run(fed, steps, threads)
        assert np.isfinite(losses).all()
        assert len(set(losses)) == steps
        results = [self.native.result(name) for name in self.program.outputs]
        return [a.tobytes() for a in (losses, *results)]


@pytest.fixture
def everything_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share, "WORTH_SHARING", 0.0)
    monkeypatch.setattr(share, "WORTH_TAKING", 0.0)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.usefixtures("everything_is_shared")
def test_the_bits_do_not_depend_on_the_number_of_threads(optimizer: tg.optim.Optimizer) -> None:
    training = Training([13, 50, 37, 5], 21, optimizer)
    assert training.native.phases >= len(training.native.plan.kernels) / 2
    expected = training.bits(threads=1)
    for threads in (2, 3, 4):
        for _ in range(3):
            assert training.bits(threads) == expected


@settings(max_examples=12)
@given(
    sizes=st.lists(st.integers(1, 70), min_size=2, max_size=4),
    batch=st.integers(1, 40),
    worth=st.sampled_from([0.0, 100.0, 1000.0]),
)
def test_sizes_of_all_kinds_are_shared(sizes: list[int], batch: int, worth: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(share, "WORTH_SHARING", worth)
        patch.setattr(share, "WORTH_TAKING", worth / 3)
        training = Training([*sizes, 3], batch, tg.optim.Adam(lr=0.01))
        assert training.bits(2) == training.bits(3) == training.bits(1)


@pytest.mark.usefixtures("everything_is_shared")
def test_the_lists_of_what_is_not_zero_are_shared() -> None:
    training = Training([150, 50, 10], 41, tg.optim.SGD(lr=0.1), sparse=True)
    assert any(kernel.kind == "visits" for kernel in training.native.plan.kernels)
    assert training.bits(3) == training.bits(2) == training.bits(1)


def test_more_threads_than_cores_get_through() -> None:
    training = Training([300, 200, 10], 64, tg.optim.Momentum(lr=0.05))
    expected = training.bits(1, steps=30)
    assert training.native.phases > 3
    for threads in (8, 40):
        assert training.bits(threads, steps=30) == expected


def test_a_step_too_small_for_threads_has_no_phases() -> None:
    training = Training([8, 5, 3], 4, tg.optim.SGD(lr=0.1))
    assert training.native.phases == 0
    assert training.bits(4) == training.bits(1)


def test_fewer_threads_where_there_cannot_be_more(monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training([300, 200, 10], 64, tg.optim.SGD(lr=0.1))
    expected = training.bits(1)
    start = threading.Thread.start
    for allowed in (0, 1, 2):
        left = [allowed]

        def limited(thread: threading.Thread, left: list[int] = left) -> None:
            if not left[0]:
                raise RuntimeError("can't start new thread")
            left[0] -= 1
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", limited)
        assert training.bits(4) == expected
        assert left == [0]


def test_one_thread_where_there_are_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "_system", lambda: None)
    training = Training([300, 200, 10], 64, tg.optim.SGD(lr=0.1))
    assert training.native.phases == 0
    assert training.bits(4) == training.bits(1)


def test_nobody_is_left_behind() -> None:
    before = threading.active_count()
    training = Training([300, 200, 10], 64, tg.optim.SGD(lr=0.1))
    training.bits(4)
    for thread in threading.enumerate():  # they have done their work
        if thread.name == "tarograd":
            thread.join(timeout=60)
    assert threading.active_count() == before


@pytest.mark.parametrize("threads", [1, 2])
def test_other_threads_of_python_go_on_meanwhile(threads: int) -> None:
    training = Training([400, 300, 10], 64, tg.optim.SGD(lr=1e-3))
    with_threads = threading.Thread(target=training.bits, args=(threads, 400))
    with_threads.start()
    seen = 0
    while with_threads.is_alive():
        seen += 1
        time.sleep(0)
    assert seen > 100


def test_what_goes_wrong_at_ctrl_c_is_told_when_all_are_done() -> None:
    done: list[int] = []
    first = [True]

    def work() -> None:
        if first and first.pop():
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)
        done.append(1)

    with pytest.raises(KeyboardInterrupt):
        together(work, 3)
    assert done == [1, 1, 1]


HARD = """
import sys, os
import numpy as np
sys.path.insert(0, sys.argv[1])
from test_team import Training
import tarograd as tg
training = Training([300, 200, 10], 64, tg.optim.SGD(lr=1e-3))
expected = training.bits(1, 20)
"""
FORKED = """
import threading
busy = threading.Thread(target=training.bits, args=(3, 2000))
busy.start()
child = os.fork()
if child == 0:
    other = Training([300, 200, 10], 64, tg.optim.SGD(lr=1e-3))
    same = other.bits(3, 20) == other.bits(1, 20)
    print("child", same, flush=True)
    os._exit(0)
os.waitpid(child, 0)
busy.join()
print("parent", training.bits(3, 20) == expected)
"""
KILLED = """
print("ready", flush=True)
training.bits(3, 10**6)
"""
LEAVING = """
import threading
threading.Thread(target=training.bits, args=(3, 300)).start()
print("leaving", flush=True)
"""


def script(code: str) -> list[str]:
    return [sys.executable, "-c", HARD + code, os.path.dirname(__file__)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_fork_in_the_middle() -> None:
    told = subprocess.run(
        script(FORKED), stdout=subprocess.PIPE, text=True, timeout=120, check=True
    ).stdout
    assert told.split("\n")[:2] == ["child True", "parent True"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_process_ends(number: signal.Signals) -> None:
    with subprocess.Popen(script(KILLED), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        process.send_signal(number)
        assert process.wait(timeout=60) == -number


def test_a_process_ends_when_its_steps_are_made() -> None:
    done = subprocess.run(script(LEAVING), stdout=subprocess.PIPE, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "leaving\n")
