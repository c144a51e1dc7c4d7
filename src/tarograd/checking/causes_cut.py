"""Causes in one of several paths that show where the other paths are cut."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from tarograd.checking.case import Case
from tarograd.checking.causes_gate import saturating
from tarograd.checking.causes_vanish import Change, judged, vanished
from tarograd.checking.jacobians import matrices
from tarograd.checking.points import elsewhere
from tarograd.checking.report import Cause
from tarograd.checking.subject import Array, Values

KINDS = {
    "missing-term": ("one of several paths is missing", "add what comes back along that path"),
    "sign": ("one of several paths has the wrong sign", "turn the sign of what that path adds"),
}


def one_of_paths(case: Case) -> Cause | None:
    """With other paths cut, whatever is wrong is missing, or has the wrong sign.

    Something has to cut the path itself, too: then the leaf is right. Otherwise a gate that is
    another one than in forward, and shut there, would look like a path that is missing.
    """
    if not case.others or not case.has_matrices:
        return None
    for words, change, back in _cuts(case):
        kind = _kind_at(case, change)
        if kind in KINDS and _kind_at(case, back) != "extra-term" and _can_be_cut(case):
            why, fix = KINDS[kind]
            is_so = "0" if kind == "missing-term" else "-1 times what they should be"
            seen = f"with {words} all wrong entries of the claimed Jacobian are {is_so}, at two "
            seen += "random points; with another path cut nothing is wrong"
            return Cause(kind, case.leaf, why, seen, fix, 0.8)
    return None


def _cuts(case: Case) -> Iterator[tuple[str, Change, Change]]:
    """What may cut a path: a gate that is shut or open, an array of zeros; and its opposite."""
    for where, up, down in saturating(case.bench):
        yield f"the gate open that is made with {where}", up, down
        yield f"the gate shut that is made with {where}", down, up
    for n in case.bench.leaves:
        if n != case.leaf:
            yield f"{n} = 0", partial(_without, name=n), dict


def _without(values: Values, name: str) -> dict[str, Array]:
    return {**values, name: np.zeros_like(values[name])}


def _kind_at(case: Case, change: Change) -> str | None:
    """What all wrong entries of the Jacobian are, at two points."""
    kinds = set()
    for values in (case.bench.values, elsewhere(case.bench)):
        there = case.at(change(values))
        if there is None or not np.any(there.wrong):
            return None
        there.others = [there]  # nothing but this point is compared
        given = matrices(there)
        if given is None:
            return None
        a, n, tolerance = given
        wrong = np.abs(a - n) > 10 * tolerance
        if not np.any(wrong):
            return None
        if np.all(np.abs(a[wrong]) <= 10 * tolerance):
            kinds.add("missing-term")
        elif np.all(np.abs(a + n)[wrong] <= 10 * tolerance):
            kinds.add("sign")
        elif np.all(np.abs(n[wrong]) <= 10 * tolerance):
            kinds.add("extra-term")
        else:
            return None
    return kinds.pop() if len(kinds) == 1 else None


def _can_be_cut(case: Case) -> bool:
    """Whether something makes the mistake vanish, and not the gradient."""
    usual = judged(case, case.bench.values)
    if usual is None:
        return False
    points = [dict(case.bench.values), elsewhere(case.bench)]
    return any(
        all(vanished(case, change(v), usual.scale) for v in points) for _, change, _ in _cuts(case)
    )
