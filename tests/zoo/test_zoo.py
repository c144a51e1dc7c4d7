"""The checker's own mutation test: wrong operations are named, correct ones are not accused.

A part of the zoo: one mistake of each kind, and each correct operation under two of the nine
conditions, in turn. `python -m benchmarks.zoo` runs all of it.
"""

from __future__ import annotations

import pytest
from regimes import REGIMES, under
from zoo_mistakes import MISTAKES
from zoo_op import Mistake, Op
from zoo_ops import OPS

from tarograd.checking import check_gradients

ONE_OF_EACH = list({(m.number, m.note): m for m in reversed(MISTAKES)}.values())


@pytest.mark.parametrize("mistake", ONE_OF_EACH, ids=lambda m: m.label)
def test_a_mistake_is_found_and_named(mistake: Mistake) -> None:
    layer, inputs = mistake.op.make(0)
    report = check_gradients(layer, *inputs)
    assert report.verdict == mistake.verdict
    assert report.causes[0].name in mistake.expected


@pytest.mark.parametrize(("turn", "op"), list(enumerate(OPS)), ids=lambda x: getattr(x, "name", ""))
def test_a_correct_operation_is_right_under_every_condition(turn: int, op: Op) -> None:
    for k in (0, 5):
        regime = REGIMES[(turn + k) % len(REGIMES)]
        given = under(regime, op, seed=1)
        if given is not None:
            layer, inputs = given
            report = check_gradients(layer, *inputs, seed=1)
            assert report.verdict == "right", f"{regime}:\n{report}"


def test_the_zoo_is_large_enough() -> None:
    assert len({m.number for m in MISTAKES}) >= 70
    assert len(OPS) >= 60
