"""Causes in a pass that goes through steps: an axis between the samples and the features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tarograd.checking.bench import Bench
from tarograd.checking.case import Case
from tarograd.checking.causes_gate import saturating
from tarograd.checking.points import elsewhere, samples, with_batch, with_length
from tarograd.checking.report import Cause
from tarograd.checking.subject import Array, Values

POINTS = 3
FITS = 1e-6  # the relative error to which sums have to agree
CARRY = 1e-5  # the same of a gap that is a multiple of another derivative
NEARLY = 0.3  # of what saturates a gate: 12 in place of 40, where something is left of it
CARRIES = {  # the gap at one end of a gate and at the other: name, why, fix
    (1.0, 0.0): ("wrong-tensor", "a gate is left out", "multiply by the gate, as forward does"),
    (-1.0, 1.0): ("wrong-tensor", "gate and 1 - gate are exchanged", "use the other one"),
    (-1.0, 0.0): ("missing-term", "the direct path is missing", "add dh times its gate"),
    (-2.0, 0.0): ("sign", "the direct path has the wrong sign", "turn its sign"),
}

Ends = Callable[..., dict[str, Array]]


def with_steps(bench: Bench) -> list[str]:
    """The inputs with an axis of steps."""
    return [n for n in samples(bench) if n in bench.leaves and bench.values[n].ndim == 3]


def few_steps(case: Case) -> tuple[str, Case] | None:
    """The case with as few steps as show the mistake, in words: one, or else two and one sample.

    With one step nothing goes between steps; with two there are few paths, and fast passes.
    """
    for axis in (1, 0):  # in some libraries the steps come first, and then the samples
        lengths = {case.bench.values[n].shape[axis] for n in with_steps(case.bench)}
        if len(lengths) != 1 or lengths == {1}:
            continue
        length = lengths.pop()
        alone = case.at(with_length(case.bench, axis, length, 1))
        if alone is not None and np.any(alone.n) and np.any(alone.wrong):
            return "one step", alone
        values = with_length(case.bench, axis, length, 2)
        for one in (with_batch(case.bench.at(values), 1) if axis else None, values):
            two = case.at(one) if one is not None else None
            if two is not None and two.c.size < case.c.size and np.any(two.wrong):
                return "two steps", two
    return None


def overwritten_steps(case: Case) -> Cause | None:
    """Of a bias that is added in every step only one step's share is there.

    What is added beside x @ V gets the gradient that arrives there, which comes back to x through
    V: with nothing else that x goes through, db @ V.T is the sum of dx over samples and steps.
    """
    if case.x.ndim != 1 or case.leaf in samples(case.bench):
        return None
    for x in with_steps(case.bench):
        for v in case.bench.leaves:
            if case.bench.values[v].shape != (case.bench.values[x].shape[-1], case.x.size):
                continue
            points = [case.bench.values, *(elsewhere(case.bench) for _ in range(POINTS - 1))]
            steps = [_only_step(case, x, v, _through_one(case, p, x, v)) for p in points]
            if steps[0] is not None and all(s == steps[0] for s in steps):
                why = f"of the steps of {x} only the share of index {steps[0]} is there"
                seen = f"the shares of the steps follow from the gradient of {x}; the claim is "
                seen += f"that of one, at {POINTS} points"
                fix = f"add them up: d{case.leaf} += …, not ="
                return Cause("overwrites", case.leaf, why, seen, fix, 0.85)
    return None


def _through_one(case: Case, values: Values, x: str, v: str) -> dict[str, Array]:
    """The point where x goes through no other weight than V."""
    shape = values[v].shape
    beside = [n for n in case.bench.leaves if n != v and values[n].shape == shape and n != x]
    return {**values, **{n: np.zeros_like(values[n]) for n in beside}}


def _only_step(case: Case, x: str, v: str, values: Values) -> int | None:
    """The one step whose share the claim is, if the numeric gradient is the sum of all."""
    there = case.at(values)
    if there is None:
        return None
    through = there.bench.values[v]
    back = Case(there.bench, x, there.c)
    if np.any(back.wrong):  # what arrives is wrong, and not how it is added up
        return None
    shares = back.n.sum(axis=0)
    size = FITS * float(np.max(np.abs(shares), initial=0))
    whole, claimed = there.n @ through.T, there.a @ through.T
    if not size or np.any(np.abs(whole - shares.sum(axis=0)) > size * len(shares)):
        return None
    fits = [t for t, share in enumerate(shares) if np.all(np.abs(claimed - share) <= size)]
    return fits[0] if len(fits) == 1 and len(shares) > 1 else None


def elementwise_carry(case: Case) -> Cause | None:
    """What a unit passes on to itself in the next step, such as (1 - z) h, is wrong.

    That path multiplies what one step alone gives by one number for each unit. So does the gap
    then, and at the ends of a gate the number says what the factor is in backward.
    """
    if case.leaf not in with_steps(case.bench):
        return None
    for axis in (1, 0):
        if case.x.shape[axis] != 2:
            continue
        for where, up, down in saturating(case.bench):
            kind = _at_both_ends(case, axis, up, down)
            if kind is None:
                continue
            name, why, fix = CARRIES[kind]
            seen = f"where the gate that is made with {where} is all but open, and all but shut, "
            seen += "the gap is {} and {} times what one step alone gives, or the other way round, "
            seen = seen.format(*kind) + "at two random points"
            why = "in what a unit hands on to itself in the next step " + why
            return Cause(name, case.leaf, why, seen, fix, 0.85)
    return None


def _at_both_ends(case: Case, axis: int, up: Ends, down: Ends) -> tuple[float, float] | None:
    """What the gap is at the ends of a gate, in one of the known ways."""
    kinds = set(CARRIES)
    for values in (case.bench.values, elsewhere(case.bench)):
        factors = []
        for change in (up, down):
            k = _carried(case, change(values, by=NEARLY), axis)
            if k is None:
                return None
            factors.append(k)
        kinds = {e for e in kinds if _ends(factors, e) or _ends(factors[::-1], e)}
    return kinds.pop() if len(kinds) == 1 else None


def _ends(factors: list[float], ends: tuple[float, float]) -> bool:
    return all(abs(f - e) < 0.05 for f, e in zip(factors, ends, strict=True))


def _carried(case: Case, values: Values, axis: int) -> float | None:
    """The gap, in multiples of what the first step alone gives; None if it is not of that form."""
    there = case.at(values)
    steps = with_steps(case.bench)
    first = (slice(None),) * axis + (slice(1),)
    alone = case.at({n: v[first] if n in steps else v for n, v in values.items()})
    if there is None or alone is None or not (there.whole and alone.whole):
        return None
    columns = np.zeros(there.x.shape, bool)
    columns[first] = True
    early = columns.ravel()
    gap = (there.claimed - there.numeric)[:, early]
    last, own = gap[-len(alone.numeric) :], alone.numeric
    size = float(np.max(np.abs(own), initial=0))
    norm = np.sum(own * own, axis=1, keepdims=True)
    if not size or not np.all(norm) or last.shape != own.shape:
        return None
    factors = np.sum(last * own, axis=1, keepdims=True) / norm
    if np.max(np.abs(last - factors * own)) > CARRY * size:
        return None
    return float(np.median(factors)) if np.ptp(factors) < 0.1 else None
