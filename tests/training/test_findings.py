"""Sick networks are told from healthy ones, and what is measured of a step is right."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import some_digits

import tarograd as tg
from tarograd.training.findings import LARGE_STEP, findings
from tarograd.training.replay import Replay, state_of
from tarograd.training.vitals import FLAT, Vitals, Weights, read_vitals, vitals

HEALTH = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "health.py"))
SICK, HEALTHY = HEALTH["SICK"], HEALTH["HEALTHY"]
DIGITS = tg.data.load("digits")


@pytest.mark.parametrize("patient", SICK, ids=lambda p: p.name)
def test_an_illness_is_named_within_fifty_steps(patient: Any) -> None:
    assert HEALTH["found"](patient, DIGITS, seed=100)  # a seed that the limits were not set with


@pytest.mark.parametrize("patient", HEALTHY[::3], ids=lambda p: p.name)
def test_a_healthy_run_raises_no_alarm(patient: Any) -> None:
    assert HEALTH["alarms"](patient, DIGITS, seed=101) == []


def test_the_measurements_are_those_of_the_step_that_is_made() -> None:
    net, data = tg.nn.Sequential(tg.nn.Affine(64, 9), tg.nn.ReLU(), tg.nn.Affine(9, 10)), DIGITS
    net.pixel_max = data.pixel_max
    batches = tg.data.Batches(len(data.train), 50, seed=3)
    optimizer = tg.optim.Adam(lr=0.01).bind(net.parameters())
    replay = Replay(net, net.criterion, optimizer, batches, data.train)
    for step in range(4):
        before = {name: p.value.astype(np.float64) for name, p in net.named_parameters().items()}
        seen = vitals(replay.see(state_of(net, optimizer, batches, step)), step)
        x, t = data.train[batches.indices(step)]
        hidden = np.maximum(net.layers["affine1"].forward(net.read(x)), 0)
        for p in net.parameters():
            p.zero_grad()
        loss = net.objective(x, t)
        loss.backward()
        optimizer.step()
        assert seen.loss == float(loss)
        assert seen.units[0].silent == tuple(np.flatnonzero((hidden == 0).all(axis=0)))
        for measured, (name, p) in zip(seen.weights, net.named_parameters().items(), strict=True):
            assert measured.name == name
            assert measured.norm == pytest.approx(np.linalg.norm(before[name]), rel=1e-12)
            assert p.grad is not None
            assert measured.gradient == pytest.approx(float(np.linalg.norm(p.grad)), rel=1e-6)
            moved = np.linalg.norm(p.value - before[name])
            if measured.norm:
                assert measured.update == pytest.approx(moved / measured.norm, rel=1e-6)


def test_the_slope_of_saturation_is_that_of_the_book() -> None:
    assert 4 * np.exp(-4.0) / (1 + np.exp(-4.0)) ** 2 == pytest.approx(FLAT, rel=2e-3)
    assert 1 - np.tanh(2.0) ** 2 == pytest.approx(FLAT, rel=2e-3)


def test_a_step_on_the_side_changes_nothing() -> None:
    net, data = tg.nn.TwoLayerNet(64, 5, 10), some_digits()
    optimizer = tg.optim.Momentum(lr=0.1).bind(net.parameters())
    batches = tg.data.Batches(len(data.train), 50, seed=0)
    values, state = [p.value for p in net.parameters()], optimizer.state_arrays()
    drawn: Any = np.random.get_state()  # noqa: NPY002  # what users' layers may use
    replay = Replay(net, net.criterion, optimizer, batches, data.train)
    replay.see(state_of(net, optimizer, batches, 0))
    assert all(a is b.value for a, b in zip(values, net.parameters(), strict=True))
    assert all(p.grad is None for p in net.parameters())
    for name, array in optimizer.state_arrays().items():
        assert np.array_equal(array, state[name])
    again: Any = np.random.get_state()  # noqa: NPY002  # see above
    assert np.array_equal(again[1], drawn[1])


def test_a_sign_that_is_seen_once_is_no_finding() -> None:
    def moment(step: int, update: float) -> Vitals:
        weights = (Weights("w", (3, 3), 1.0, 1.0, update),)
        return Vitals(step, 2.0, weights, (), ())

    high, low = 2 * LARGE_STEP, LARGE_STEP / 2
    assert findings([moment(i, high) for i in range(2)]) == []
    assert findings([moment(i, u) for i, u in enumerate((high, high, low, high, high))]) == []
    (finding,) = findings([moment(i, u) for i, u in enumerate((low, high, high, high, high, low))])
    assert (finding.kind, finding.where, finding.first, finding.last) == ("large-step", "w", 3, 4)
    assert finding.numbers == {"ratio": high}


def test_measurements_come_back_from_json_and_nonsense_does_not() -> None:
    history, _ = HEALTH["course"](SICK[0], DIGITS, 0, (0, 1))
    odd = Vitals(3, float("nan"), (Weights("w", (2,), float("inf"), None, None),), (), ())
    for one in history:
        assert read_vitals(one.json()) == one
    again = read_vitals(odd.json())
    assert np.isnan(again.loss)
    assert again.weights == odd.weights
    for bad in ({}, {"step": -1}, odd.json() | {"loss": "much"}, odd.json() | {"units": [{}]}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            read_vitals(bad)
