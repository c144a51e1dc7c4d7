"""Causes in a pass that goes through steps: an axis between the samples and the features."""

from __future__ import annotations

import numpy as np

from tarograd.checking.case import Case
from tarograd.checking.points import elsewhere, samples, with_length
from tarograd.checking.report import Cause
from tarograd.checking.subject import Array, Values

POINTS = 3
FITS = 1e-6  # the relative error to which sums have to agree


def _steps(case: Case) -> list[str]:
    """The inputs with an axis of steps."""
    values = case.bench.values
    return [n for n in samples(case.bench) if n in case.bench.leaves and values[n].ndim == 3]


def one_step(case: Case) -> Case | None:
    """The case with one step, where the leaf is wrong in that one: nothing goes between steps."""
    for axis in (1, 0):  # in some libraries the steps come first, and then the samples
        lengths = {case.bench.values[n].shape[axis] for n in _steps(case)}
        if len(lengths) != 1 or lengths == {1}:
            continue
        alone = case.at(with_length(case.bench, axis, lengths.pop(), 1))
        if alone is not None and np.any(alone.n):  # a weight between steps has no part in one
            return alone if np.any(alone.wrong) else None
    return None


def overwritten_steps(case: Case) -> Cause | None:
    """Of a bias that is added in every step only one step's share is there.

    What is added beside x @ V gets the gradient that arrives there, which comes back to x through
    V: with nothing else that x goes through, db @ V.T is the sum of dx over samples and steps.
    """
    if case.x.ndim != 1 or case.leaf in samples(case.bench):
        return None
    for x in _steps(case):
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
