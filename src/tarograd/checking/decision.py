"""One comparison: the claimed gradient against the numeric derivative along one direction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tarograd.checking.bench import Bench
from tarograd.checking.projection import FIRST, Slopes, slopes
from tarograd.checking.subject import Array, Values, rms

RIGHT, WRONG, UNKNOWN = "right", "wrong", "cannot tell"
CONCLUSIVE = 1e-5  # an error bar wider than this part of the gradient's size decides nothing
PLAIN, EVENED, SIZED = range(3)  # kinds of random directions
EVEN = 1e-2  # of the size of a gradient: elements with less of it are moved alike
SPLITS, ADDED = 3, 1e-8  # of a direction into two; how precisely their slopes have to add up
SHORT = 1e-10  # a unit roundoff above this is that of float32 or less


@dataclass(frozen=True)
class Judgement:
    """What one direction says about the gradient of some leaves.

    Attributes:
        verdict: right, wrong or cannot tell.
        gap: |analytic - numeric|.
        bound: how large a gap the error bars explain.
        scale: the size of the terms that were added up.
        left_out: outputs on a kink, or without a resolvable derivative.
        reason: for "cannot tell".
        steps: how large the gap was at each step, relative to the scale.
    """

    verdict: str
    gap: float
    bound: float
    scale: float
    left_out: int
    reason: str = ""
    steps: tuple[tuple[float, float], ...] = ()

    @property
    def severity(self) -> float:
        """The gap relative to the size of the gradient."""
        return self.gap / self.scale if self.scale else float(self.gap > 0)


def random_direction(bench: Bench, leaves: tuple[str, ...], kind: int = PLAIN) -> dict[str, Array]:
    """How the leaves move: random numbers of each leaf's size.

    A sum over a million elements hides one of them, so two kinds of three are weighted. EVENED
    moves an element the less the larger its claimed gradient is: then all contribute alike, and
    a wrong one counts however small its gradient is beside the others. SIZED moves each element
    by its own size.
    """
    if kind % 3 == EVENED and bench.ulp <= SHORT:  # what float32 rounds hides the small terms
        return _evened(bench, leaves)
    direction = {}
    for name in leaves:
        x = bench.values[name]
        size = rms(x)
        each = np.maximum(np.abs(x), 0.03 * size) if kind % 3 == SIZED else size
        direction[name] = each * bench.random.standard_normal(x.shape)
    return direction


def _evened(bench: Bench, leaves: tuple[str, ...]) -> dict[str, Array]:
    """Moves of random sign, near the leaf's size, and smaller as the gradient is larger."""
    claimed, direction = bench.gradients(bench.upstream()), {}
    for name in leaves:
        x, g = bench.values[name], np.nan_to_num(np.abs(claimed[name]), posinf=0)
        small = EVEN * rms(g)
        move = bench.random.uniform(0.5, 1.5, x.shape) * bench.random.choice([-1.0, 1.0], x.shape)
        direction[name] = rms(x) * (small + np.min(g)) / (small + g) * move
    return direction


def judge(
    bench: Bench, direction: Values, c: Array, first: float = FIRST, ties: bool = False
) -> Judgement:
    """Compare the two derivatives along a direction, under the upstream gradient `c`.

    Args:
        bench: the point.
        direction: how each leaf moves.
        c: the upstream gradient.
        first: the largest step.
        ties: the direction keeps equal elements equal, so it must not be split.
    """
    claimed = bench.gradients(c)
    # Elements without a finite gradient are judged one by one elsewhere.
    direction = {n: np.where(np.isfinite(claimed[n]), u, 0) for n, u in direction.items()}
    found = slopes(bench.evaluate, bench.values, direction, bench.noise, first)
    size = float(np.linalg.norm(c * found.value))
    unresolved = np.abs(c * found.error) > 1e-2 * CONCLUSIVE * size
    if np.all(unresolved | found.kink):
        unresolved[:] = False
    result = _without(bench, direction, c, found, found.kink | unresolved)
    if result.verdict == WRONG and not ties:
        bent = _not_additive(bench, direction, found, first)
        if np.any(bent):
            return _without(bench, direction, c, found, found.kink | unresolved | bent)
    return result


def _not_additive(bench: Bench, direction: Values, found: Slopes, first: float) -> Array:
    """Outputs whose slope along a sum is not the sum of their slopes: a kink that looks smooth.

    The middle one of three equal elements, for one, has the same slope to both sides. Where the
    same element is in the middle along all three directions it adds up by chance, hence SPLITS.
    """
    bent = np.zeros(found.kink.shape, bool)
    for _ in range(SPLITS):
        parts: list[dict[str, Array]] = [{}, {}]
        for n, u in direction.items():
            part = bench.random.normal(0.5, 1.0, u.shape) * u
            parts[0][n], parts[1][n] = part, u - part
        one, two = (
            slopes(bench.evaluate, bench.values, part, bench.noise, first, ADDED) for part in parts
        )
        gap = np.abs(found.value - one.value - two.value)
        bars = 5 * (found.error + one.error + two.error)
        size = np.abs(found.value) + np.abs(one.value) + np.abs(two.value)
        bent |= (gap > bars + 100 * ADDED * size) | one.kink | two.kink
    return bent


def _without(
    bench: Bench, direction: Values, c: Array, found: Slopes, left_out: Array
) -> Judgement:
    """The comparison without the outputs that have no derivative."""
    if np.all(left_out) or (np.any(left_out) and not bench.subject.takes_upstream):
        return Judgement(UNKNOWN, 0.0, np.inf, 0.0, int(left_out.sum()), "kink")
    kept = np.where(left_out, 0, c)
    claimed = bench.gradients(kept)
    shaken = bench.gradients(kept, bench.jittered())
    with np.errstate(all="ignore"):
        terms = np.concatenate([(claimed[n] * u).ravel() for n, u in direction.items()])
        changes = np.concatenate(
            [((shaken[n] - claimed[n]) * u).ravel() for n, u in direction.items()]
        )
    finite = np.isfinite(terms)
    terms, changes = terms[finite], np.where(np.isfinite(changes), changes, 0)[finite]
    return _compared(bench, kept, terms, float(np.linalg.norm(changes)), found, left_out)


def _compared(
    bench: Bench, c: Array, terms: Array, shaken: float, found: Slopes, left_out: Array
) -> Judgement:
    """The three-valued decision."""
    projected, errors = c * found.value, np.abs(c * found.error)
    a, n = float(np.sum(terms)), float(np.sum(projected))
    gap, short = abs(a - n), bench.ulp > SHORT
    scale = max(abs(a), abs(n), float(np.linalg.norm(terms)), float(np.linalg.norm(projected)))
    bound = 5 * float(np.linalg.norm(errors) + np.max(errors)) + 4 * shaken
    bound += 64 * bench.ulp * float(np.sum(np.abs(terms)) + np.sum(np.abs(projected)))
    bound += (1e-5 if short else 1e-9) * max(abs(a), abs(n))
    count = int(np.count_nonzero(left_out))
    limit = (1e3 if short else 1) * CONCLUSIVE * scale
    # No gradient is claimed, and none is there: nothing but rounding is left.
    flat = scale <= bound <= 1e-6 * float(np.sum(np.abs(c * bench.y))) + 1e-290
    rungs = [a - float(np.sum(np.where(left_out, 0, c * r))) for r in found.rungs]
    sizes = (abs(r) / (scale or 1.0) for r in rungs)
    seen = gap, bound, scale, count
    steps = tuple(zip(found.steps, sizes, strict=True))
    if gap <= bound:
        sure = bound <= limit or flat or a == n == 0
        return Judgement(RIGHT if sure else UNKNOWN, *seen, "noise", steps)
    if bound > 0.1 * gap and bound > limit:
        return Judgement(UNKNOWN, *seen, "noise", steps)
    if sum(abs(r - (a - n)) <= 0.5 * gap for r in rungs) < min(2, len(rungs)):
        return Judgement(UNKNOWN, *seen, "the gap depends on the step", steps)
    return Judgement(WRONG, *seen, steps=steps)
