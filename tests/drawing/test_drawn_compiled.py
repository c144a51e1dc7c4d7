"""A compiled function is drawn as its last call, with what the compiler made of it."""

from __future__ import annotations

import numpy as np
import pytest

import tarograd as tg
from tarograd.drawing.numbers import short


def test_the_last_call_is_drawn() -> None:
    count = tg.Parameter(2.0, "count")
    payment = tg.compile(lambda apple: apple * count * 1.1)
    with pytest.raises(ValueError, match="call it first"):
        tg.draw(payment)
    payment(100.0)
    assert "apple ──100──▶(×)──200──▶(×)──220──▶" in str(tg.draw(payment))
    payment(50.0)
    found = {v.name: v for v in tg.draw(payment).trace.values if v.name}
    assert [float(found["apple"].array), float(found["count"].array)] == [50, 2]
    assert short(float(found["count"].gradient)) == "55"  # type: ignore[arg-type]  # computed


def test_with_inputs_it_is_computed_for_them() -> None:
    square = tg.compile(lambda x: (x * x).sum())
    picture = tg.draw(square, np.array([3.0, 4.0]))
    [x] = [v for v in picture.trace.values if v.name == "x"]
    assert x.gradient is not None
    np.testing.assert_array_equal(x.gradient, [6, 8])


def test_a_network_keeps_its_layers() -> None:
    net = tg.nn.TwoLayerNet(4, 3, 2).astype(np.float64)
    loss = tg.compile(lambda x, t: net.objective(x, t))
    x, t = np.random.default_rng(0).normal(size=(3, 4)), np.array([0, 1, 1])
    loss(x, t)
    picture = tg.draw(loss)
    names = {v.name for v in picture.trace.values}
    assert {"x", "t"} <= names
    assert {g.kind for g in picture.trace.groups} >= {"Affine", "ReLU"}
    eager = net.gradient(x, t)
    drawn = {g.tobytes() for v in picture.trace.values if (g := v.gradient) is not None}
    close = [np.frombuffer(g) for g in drawn]
    for name in ("w1", "b1", "w2", "b2"):
        assert any(
            g.size == eager[name].size and np.allclose(g, eager[name].ravel(), 1e-9, 1e-12)
            for g in close
        )
