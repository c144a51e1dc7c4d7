from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tarograd as tg
from tarograd.compiler.llvm.timing import measured_peak
from tarograd.compiler.lower import lower
from tarograd.compiler.plan import Plan
from tarograd.compiler.report import report
from tarograd.compiler.trace import trace


def test_operations_and_bytes_are_those_of_the_mathematics() -> None:
    program = trace(
        lambda a, b: (a @ b).relu(),
        {"a": np.ones((5, 7), np.float32), "b": np.ones((7, 3), np.float32)},
    )
    line = report(Plan(lower(program), widest=16)).splitlines()[1].split()
    assert line[:4] == ["matmul", "5×3", f"{2 * 5 * 7 * 3 + 15}", f"{4 * (35 + 21 + 15)}"]


def test_the_kernels_of_a_step_are_timed_without_changing_anything() -> None:
    net = tg.nn.TwoLayerNet(64, 30, 10)
    sgd = tg.optim.Momentum(net.parameters(), lr=0.1)

    @tg.compile
    def step(x: Any, t: Any) -> Any:
        loss = net.criterion(net(x), t)
        sgd.step(tg.grad(loss, net.parameters()))
        return loss

    data = tg.data.load("digits")
    step(*data.train[:100])
    before = [p.value for p in net.parameters()]
    lines = step.report().splitlines()
    assert lines[0].split() == [
        "kernel", "shape", "operations", "bytes", "µs", "share", "of", "peak", "computes",
    ]  # fmt: skip
    rows = [line.split() for line in lines[1:] if line[:4] != "in a" and line[:6] != "arrays"]
    shares = [float(row[5].rstrip("%")) for row in rows]
    assert sum(shares) == pytest.approx(100, abs=0.1 * len(rows))
    assert all(float(row[4]) >= 0 and float(row[6].rstrip("%")) >= 0 for row in rows)
    assert sum(int(row[2].replace(",", "")) >= 2 * 100 * 64 * 30 for row in rows) == 2
    assert any("[affine1, relu1" in line for line in lines)
    assert sum("update" in line for line in lines) >= 4
    for p, value in zip(net.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.value, value)
    first = float(step(*data.train[:100]))
    assert first < float(net.loss(*data.train[:100])) + 1


def test_the_machine_multiplies_and_adds_at_a_steady_pace() -> None:
    assert measured_peak() == measured_peak() > 1e8


def test_a_function_without_kernels_has_a_report() -> None:
    same = tg.compile(lambda x: x)
    same(np.ones(3))
    assert same.report().splitlines()[1:] == [
        "arrays: 0 bytes of scratch memory, 0 if none shared its place; 64 of state"
    ]
