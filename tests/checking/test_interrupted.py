"""Ctrl-C at any moment of a check leaves everything as it was, bit for bit."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tarograd.checking import check_gradients

X = np.random.default_rng(0).normal(size=(5, 4))


class Interrupting:
    """Sends SIGINT to its own process at the nth call of forward or backward."""

    def __init__(self) -> None:
        self.left = 0

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)


COUNT = Interrupting()


class Stateful:
    """Dropout, a running mean in place, a cache, a parameter in a dict, a wrong gradient."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(3)
        self.mean = np.zeros(4)
        self.params = {"W": np.ones(4)}
        self.cache = [np.arange(3.0)]

    def forward(self, x: Any) -> Any:
        COUNT()
        self.mean += x.mean(axis=0)
        noise = np.random.random_sample(x.shape) + random.random()  # noqa: NPY002  # users' do
        self.cache[0] = x * (self.rng.random(x.shape) < 0.7) * noise
        return self.cache[0] * self.params["W"]

    def backward(self, dout: Any) -> Any:
        COUNT()
        self.grads = {"W": 2 * (dout * self.cache[0]).sum(axis=0)}
        with np.errstate(all="ignore"):
            return np.nan_to_num(dout * self.cache[0] / self.x_of() * self.params["W"])

    def x_of(self) -> Any:
        return X[: len(self.cache[0])] if len(self.cache[0]) <= len(X) else 1.0


def bits(thing: Any) -> Any:
    """Everything in an object, as bytes."""
    if isinstance(thing, np.ndarray):
        return thing.shape, thing.tobytes()
    if isinstance(thing, np.random.Generator):
        return str(thing.bit_generator.state)
    if isinstance(thing, dict):
        return {k: bits(v) for k, v in thing.items()}
    if isinstance(thing, list):
        return [bits(v) for v in thing]
    return bits(vars(thing)) if hasattr(thing, "__dict__") else thing


def globals_() -> Any:
    old = np.random.get_state()  # noqa: NPY002  # users' layers still draw from it
    return str(old), random.getstate()


def interrupted(check: Callable[[], Any], state: Callable[[], Any]) -> int:
    """Interrupt a check at its 1st, 2nd, 3rd, 5th … call; how often it could be."""
    times = 0
    for n in (1, 2, 3, 5, 8, 13, 21, 34, 55, 144, 377, 987):
        before = state()
        COUNT.left = n
        try:
            check()
        except KeyboardInterrupt:
            times += 1
        assert state() == before, f"after call {n}"
    COUNT.left = 0
    return times


def test_an_interrupted_check_of_an_object_leaves_all_as_it_was() -> None:
    layer, x = Stateful(), X.copy()
    held = layer.params["W"]
    times = interrupted(
        lambda: check_gradients(layer, x, dtype="both"),
        lambda: (bits(layer), bits(x), globals_()),
    )
    assert times >= 8
    assert layer.params["W"] is held


def test_an_interrupted_check_of_functions_leaves_the_objects_they_use_as_they_were() -> None:
    layer = Stateful()
    times = interrupted(
        lambda: check_gradients(
            lambda x: layer.forward(x), X, grad=lambda x, dout: layer.backward(dout)
        ),
        lambda: (bits(layer), globals_()),
    )
    assert times >= 5


def test_an_interrupted_check_of_torch_leaves_statistics_and_generators_as_they_were() -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.5)).double()

    def call(x: Any) -> Any:
        COUNT()
        return module(x)

    class Counted(torch.nn.Module):  # type: ignore[misc, name-defined]  # torch is imported here
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, x: Any) -> Any:
            return call(x)

    def state() -> Any:
        tensors = [*module.state_dict().values(), torch.random.get_rng_state()]
        grads = [p.grad for p in module.parameters()]
        return [t.numpy().tobytes() for t in tensors], grads, globals_(), torch.get_num_threads()

    def checked(subject: Any) -> Callable[[], Any]:
        return lambda: check_gradients(subject, torch.tensor(X))

    for subject in (call, Counted()):
        assert interrupted(checked(subject), state) >= 5


CHILD = """
import random, sys
sys.path.insert(0, sys.argv[1])
import test_interrupted as t
from tarograd.checking import check_gradients
layer = t.Stateful()
before = t.bits(layer), t.globals_()
print("started", flush=True)
stopped = 0
while stopped < 3:
    try:
        check_gradients(layer, t.X, mode="thorough", dtype="both")
    except KeyboardInterrupt:
        stopped += 1
        print("same" if (t.bits(layer), t.globals_()) == before else "changed", flush=True)
"""


def test_a_real_ctrl_c_from_outside(request: pytest.FixtureRequest) -> None:
    words = [sys.executable, "-c", CHILD, str(request.path.parent)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "started\n"
        for wait in (0.05, 0.11, 0.23):
            time.sleep(wait)
            child.send_signal(signal.SIGINT)
            assert child.stdout.readline() == "same\n"
    assert child.returncode == 0


@pytest.mark.parametrize(("budget", "verdict"), [(30, "cannot tell"), (500, "wrong")])
def test_a_budget_is_kept_also_while_a_cause_is_looked_for(
    monkeypatch: pytest.MonkeyPatch, budget: int, verdict: str
) -> None:
    now = 0.0  # a clock on which every forward pass takes a second
    monkeypatch.setattr("time.monotonic", lambda: now)

    def slow(x: Any) -> Any:
        nonlocal now
        now += 1
        return np.tanh(x)

    def cubed(x: Any) -> Any:
        return 1 - np.tanh(x) ** 3

    x = np.random.default_rng(0).normal(size=(20, 20))
    report = check_gradients(slow, x, grad=cubed, budget=budget)
    assert report.verdict == report.leaves["x"].verdict == verdict
    assert now <= budget + 2
    assert "budget" in report.notes[-1]
    assert report.causes == []  # it was not reached
    now = 0.0
    assert check_gradients(slow, x, grad=cubed).causes
    assert now > 1000
