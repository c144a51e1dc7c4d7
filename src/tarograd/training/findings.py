"""Illnesses of a network, told from the measurements of a few of its steps.

A step alone says little, so each sign has to be seen at `PERSIST` moments in a row. The limits
were set between what healthy runs show and what sick ones do: `python -m benchmarks.health`
measures both, and prints how far the healthy ones stay away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import median

from tarograd.training.vitals import Units, Vitals, Weights

PERSIST = 3

Sign = tuple[str, dict[str, float]]  # where it is seen, and the numbers of the sentence
Rule = Callable[[Sequence[Vitals], Sequence[Vitals]], Iterator[Sign]]

# The share of a layer's ReLUs that give 0 for every image of the last batches.
DEAD = 0.4
# ‖∂L/∂(first layer's output)‖ / ‖∂L/∂(last layer's output)‖; initial weights as of Glorot and
# Bengio (2010) and of He et al. (2015) are drawn to keep it near 1.
VANISHED, EXPLODED = 1e-3, 1e3
# The norm of the whole gradient beside its median before, while the loss is above that of the
# start: a run that converges has single steep batches, too, but not a loss like that.
JUMP = 100.0
# The share of a layer's outputs where the slope is below 7 % of the steepest.
SATURATED = 0.5
# ‖update‖ / ‖w‖ of a weight matrix. About 1e-3 is the rule of thumb of the course CS231n
# (https://cs231n.github.io/neural-networks-3/#ratio); small initial weights make it far greater
# in the first steps of healthy runs, and the bias, which starts at 0, is no measure at all.
LARGE_STEP, SMALL_STEP = 0.35, 1e-5


@dataclass(frozen=True)
class Finding:
    """A sign of an illness.

    Attributes:
        kind: `dead`, `vanishing`, `exploding`, `saturated`, `large-step` or `small-step`.
        where: the layer or parameter.
        first: the step at which it was seen first.
        last: the step at which it was seen last.
        numbers: what was measured then.
    """

    kind: str
    where: str
    first: int
    last: int
    numbers: dict[str, float]


def findings(history: Sequence[Vitals]) -> list[Finding]:
    """The illnesses that the measurements show, in the order in which they were first seen.

    Args:
        history: of a run, in the order of its steps.

    Example:
        >>> from tarograd.training.vitals import Units, Vitals
        >>> relu = Units("relu1", "relu", count=4, silent=(0, 2, 3), saturated=0.0)
        >>> history = [Vitals(step, 2.3, (), (relu,), ()) for step in (0, 1, 2, 5)]
        >>> findings(history)
        [Finding(kind='dead', where='relu1', first=2, last=5, numbers={'dead': 3, 'count': 4})]
    """
    found: dict[tuple[str, str], Finding] = {}
    for end in range(PERSIST, len(history) + 1):
        window, before = history[end - PERSIST : end], history[: end - PERSIST]
        if not all(isfinite(v.loss) for v in window):
            continue
        step = window[-1].step
        for kind, rule in RULES.items():
            for where, numbers in rule(window, before):
                first = found[kind, where].first if (kind, where) in found else step
                found[kind, where] = Finding(kind, where, first, step, numbers)
    return list(found.values())


def _dead(window: Sequence[Vitals], before: Sequence[Vitals]) -> Iterator[Sign]:
    for moments in _same_units(window):
        silent = set[int].intersection(*(set(u.silent) for u in moments))
        if moments[-1].count and len(silent) >= DEAD * moments[-1].count:
            yield moments[-1].name, {"dead": len(silent), "count": moments[-1].count}


def _saturated(window: Sequence[Vitals], before: Sequence[Vitals]) -> Iterator[Sign]:
    for moments in _same_units(window):
        share = min(u.saturated for u in moments)
        if share >= SATURATED:
            yield moments[-1].name, {"share": share}


def _vanishing(window: Sequence[Vitals], before: Sequence[Vitals]) -> Iterator[Sign]:
    ratio = max((_ratio(v) for v in window), default=1.0)
    if ratio < VANISHED and not any(_silenced(v) for v in window):
        yield window[-1].signal[0].name, {"ratio": ratio}


def _exploding(window: Sequence[Vitals], before: Sequence[Vitals]) -> Iterator[Sign]:
    ratio = min((_ratio(v) for v in window), default=1.0)
    if ratio > EXPLODED:
        yield window[-1].signal[0].name, {"ratio": ratio}
    elif len(before) >= PERSIST:
        usual = median(v.gradient for v in before)
        jump = min(v.gradient for v in window) / usual if usual else 1.0
        if jump > JUMP and all(v.loss > before[0].loss for v in window):
            yield "", {"ratio": jump}


def _large_step(window: Sequence[Vitals], before: Sequence[Vitals]) -> Iterator[Sign]:
    for moments in _same_weights(window):
        ratio = min(w.update or 0.0 for w in moments)
        if ratio > LARGE_STEP:
            yield moments[-1].name, {"ratio": ratio}


def _small_step(window: Sequence[Vitals], before: Sequence[Vitals]) -> Iterator[Sign]:
    steps = [w.update or 0.0 for moments in _same_weights(window) for w in moments]
    started = before[0].loss if before else window[0].loss
    explained = any(_silenced(v) or _ratio(v) < VANISHED for v in window)
    learned = window[-1].loss < started / 2  # then there may be no more to learn
    if steps and max(steps) < SMALL_STEP and not explained and not learned:
        yield "", {"ratio": max(steps)}


RULES: dict[str, Rule] = {
    "dead": _dead,
    "vanishing": _vanishing,
    "exploding": _exploding,
    "saturated": _saturated,
    "large-step": _large_step,
    "small-step": _small_step,
}


def _ratio(v: Vitals) -> float:
    """How the gradient changes on its way from the last layer with weights to the first."""
    if len(v.signal) < 2 or not v.signal[-1].norm:
        return 1.0
    return v.signal[0].norm / v.signal[-1].norm


def _silenced(v: Vitals) -> bool:
    """Whether a layer of dead ReLUs lets nothing through, which says why there is no gradient."""
    return any(u.op == "relu" and len(u.silent) >= 0.9 * u.count for u in v.units)


def _same_units(window: Sequence[Vitals]) -> Iterator[list[Units]]:
    """Each layer's units at all moments."""
    for moments in zip(*(v.units for v in window), strict=False):
        if len({(u.name, u.count) for u in moments}) == 1:
            yield list(moments)


def _same_weights(window: Sequence[Vitals]) -> Iterator[list[Weights]]:
    """Each matrix of weights at all moments."""
    for moments in zip(*(v.weights for v in window), strict=False):
        if len({w.name for w in moments}) == 1 and len(moments[-1].shape) > 1:
            yield list(moments)
