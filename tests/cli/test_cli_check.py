"""tarograd check: right for what is right, 1 for a broken rule."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from words import call

from commands import Outcome, script

ROW = re.compile(
    r"^  (w1|b1|w2|b2|x) +(\d\.\d\de[-+]\d\d)  (\d\.\d\de[-+]\d\d)  (.+)$", re.MULTILINE
)


def figures(text: str) -> list[dict[str, float]]:
    """diff2 by name, for each of the two tables."""
    rows = [(name, float(diff2)) for name, _, diff2, _ in ROW.findall(text)]
    assert [name for name, _ in rows] == ["w1", "b1", "w2", "b2", "x"] * 2
    return [dict(rows[:5]), dict(rows[5:])]


@pytest.mark.parametrize("words", [(), ("--hidden", 12, "--steps", 300, "--seed", 8)])
def test_every_difference_is_below_1e_7_at_the_start_and_after_training(
    words: tuple[object, ...],
) -> None:
    outcome = call("check", *words)
    assert (outcome.code, outcome.err) == (0, "")
    for table in figures(outcome.out):
        assert max(table.values()) < 1e-7
    assert outcome.out.startswith("With random weights:\nRIGHT: ")
    accuracy = re.search(r"After (\d+) training steps \(test accuracy (0\.\d{4})\):", outcome.out)
    assert accuracy
    assert int(accuracy[1]) == (300 if words else 500)
    assert float(accuracy[2]) > (0.4 if words else 0.9)


BREAK = """
import dataclasses, importlib, sys
from tarograd.cli import main
module, name, factor, *words = sys.argv[1:]
module = importlib.import_module(module)
broken = getattr(module, name)
rules = broken.vjp if isinstance(broken.vjp, tuple) else (broken.vjp,)
def scaled(rule):
    def wrong(*arguments, **attributes):
        result = rule(*arguments, **attributes)
        parts = result if isinstance(result, tuple) else (result,)
        parts = tuple(None if g is None else g * float(factor) for g in parts)
        return parts if isinstance(result, tuple) else parts[0]
    return None if rule is None else wrong
wrong = tuple(scaled(rule) for rule in rules)
vjp = wrong if isinstance(broken.vjp, tuple) else wrong[0]
setattr(module, name, dataclasses.replace(broken, vjp=vjp))
main(words)
"""


@pytest.mark.parametrize(
    ("rule", "factor", "wrong"),
    [
        (("tarograd.ops.elementwise", "relu"), 1.001, {"w1", "b1", "x"}),
        (("tarograd.ops.reduction", "softmax_with_loss"), 0.5, {"w1", "b1", "w2", "b2", "x"}),
        (("tarograd.ops.reduction", "softmax_with_loss"), -1.0, {"w1", "b1", "w2", "b2", "x"}),
    ],
)
def test_a_broken_rule_ends_with_1(
    tmp_path: Path, rule: tuple[str, str], factor: float, wrong: set[str]
) -> None:
    words = ("check", "--hidden", 8, "--steps", 20)
    outcome = script(BREAK, *rule, factor, *words, folder=tmp_path)
    assert (outcome.code, outcome.err) == (1, "")
    # One gradient k times the other: |k - 1| / (|k| + 1), by the definition of diff2.
    expected = abs(factor - 1) / (abs(factor) + 1)
    for table in figures(outcome.out):
        assert {name for name, diff2 in table.items() if diff2 > 1e-7} == wrong
        assert all(table[name] == pytest.approx(expected, rel=0.01) for name in wrong)
    assert outcome.out.count("WRONG: the gradients of TwoLayerNet(64, 8, 10)") == 2


def test_the_same_seed_gives_the_same_text() -> None:
    words = ("check", "--hidden", 2, "--steps", 10)
    first, again, other = call(*words), call(*words), call(*words, "--seed", 1)
    assert isinstance(first, Outcome)
    assert first == again
    assert first.out != other.out
