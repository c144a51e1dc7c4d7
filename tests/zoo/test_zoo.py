"""The checker's own mutation test: wrong operations are named, correct ones are not accused."""

from __future__ import annotations

import pytest
from regimes import REGIMES, under
from zoo_mistakes import MISTAKES
from zoo_op import Mistake, Op
from zoo_ops import OPS

from tarograd.checking import check_gradients


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.label)
def test_a_mistake_is_found_and_named(mistake: Mistake) -> None:
    layer, inputs = mistake.op.make(0)
    report = check_gradients(layer, *inputs)
    assert report.verdict == "wrong"
    assert report.causes[0].name in mistake.expected


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_a_correct_operation_is_right_under_every_condition(op: Op) -> None:
    for regime in REGIMES:
        given = under(regime, op, seed=1)
        if given is not None:
            layer, inputs = given
            report = check_gradients(layer, *inputs, seed=1)
            assert report.verdict == "right", f"{regime}:\n{report}"


def test_the_zoo_is_large_enough() -> None:
    assert len({m.number for m in MISTAKES}) >= 60
    assert len(OPS) >= 60
