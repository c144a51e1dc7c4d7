"""Causes in a gate: a factor between 0 and 1 that forward makes of a part of a weight or bias."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations

import numpy as np

from tarograd.checking.bench import Bench
from tarograd.checking.case import Case
from tarograd.checking.causes_vanish import DEGENERATE, Change, judged, vanished
from tarograd.checking.decision import WRONG
from tarograd.checking.points import elsewhere, runs, samples
from tarograd.checking.report import Cause
from tarograd.checking.subject import Array, Values

FAR = 40.0  # a sigmoid is 1 there, but for its last bit
FITS = 1e-6  # the relative error to which gaps have to agree
Gate = tuple[str, Callable[..., dict[str, Array]], Callable[..., dict[str, Array]]]
GATES = (4, 3, 2, 1)  # so many stand in one array; the smallest part is tried first


def ungated(case: Case) -> Cause | None:
    """A gate is left out of one of the paths: right where it is 1, and wrong where it is 0."""
    usual = judged(case, case.bench.values)
    if usual is None or usual.verdict != WRONG:
        return None
    points = [dict(case.bench.values), elsewhere(case.bench)]
    for where, up, down in saturating(case.bench):
        for words, open_, shut in ((where, up, down), (f"{where}, as 1 - gate", down, up)):
            turned = open_ is down
            if not all(vanished(case, open_(v), usual.scale) for v in points):
                continue
            if not all(_wrong(case, shut(v), usual.scale) for v in points):
                continue
            there, beside = open_(points[0]), shut(points[0])
            there_too = not turned and _still_open(case, there, beside, usual.scale)
            if there_too or _is_the_gap(case, there, beside):
                return _left_out(case, words)
    return None


def _left_out(case: Case, where: str) -> Cause:
    return Cause(
        "wrong-tensor",
        case.leaf,
        f"one of the paths goes without the gate that is made with {where}",
        "right where the gate is all open, wrong where it is shut, at two random points",
        "multiply that path with the gate, as forward does",
        0.75,
    )


def _is_the_gap(case: Case, there: Values, beside: Values) -> bool:
    """Whether what is too much where the gate is shut is all that passes where it is open.

    That is what a gate that is left out lets through. Another mistake, in a path that is shut
    where this one is open, would have to be just as large.
    """
    both = _same_upstream(case, (there, beside))
    if both is None:
        return False
    open_, shut = both
    size = max(open_.size, shut.size)
    return bool(np.max(np.abs(shut.a - shut.n - open_.n)) <= FITS * size)


def _same_upstream(case: Case, points: tuple[Values, ...]) -> list[Case] | None:
    """The leaf at some points, all under one upstream gradient."""
    found = []
    for values in points:
        bench = runs(case.bench, dict(values))
        if bench is None or bench.y.shape != case.c.shape or case.leaf not in bench.leaves:
            return None
        found.append(Case(bench, case.leaf, case.c))
    return found


def _wrong(case: Case, values: Values, size: float) -> bool:
    """Whether the leaf is wrong at a point by more than what is left of a path that is shut."""
    found = judged(case, values)
    return found is not None and found.verdict == WRONG and found.gap > DEGENERATE * size


def _still_open(case: Case, there: Values, beside: Values, size: float) -> bool:
    """Whether the path in which the mistake is counts where the mistake is gone.

    An array that the path goes through makes it vanish when it is 0: then it has to change the
    numeric gradient there.
    """
    open_ = case.at(there)
    if open_ is None:
        return False
    for n in case.bench.leaves:
        without = {n: np.zeros_like(there[n])}
        found = judged(case, {**beside, **without}) if n != case.leaf else None
        if found is None or found.gap > DEGENERATE * size:
            continue
        shut = case.at({**there, **without})
        if shut is not None and np.max(np.abs(shut.n - open_.n)) > DEGENERATE * size:
            return True
    return False


def saturating(bench: Bench) -> tuple[Gate, ...]:
    """The gates of forward, looked for once for all of its leaves."""
    if bench.gates is None:
        bench.gates = tuple(gate for gate in _gates(bench) if _saturates(bench, gate))
    return bench.gates


def _saturates(bench: Bench, gate: Gate) -> bool:
    """Whether the outputs differ at both ends, and stay beyond each: a factor has no such ends."""
    outputs, size = [], float(np.max(np.abs(bench.y), initial=0))
    for change in gate[1:]:
        end, beyond = (bench.evaluate(change(bench.values, by=by)) for by in (1.0, 1.5))
        if not np.max(np.abs(end - beyond)) <= FITS * size:
            return False
        outputs.append(end)
    return bool(np.max(np.abs(outputs[0] - outputs[1])) > FITS * size)


def _gates(bench: Bench) -> Iterator[Gate]:
    """Parts of biases, or else of weights, in words; with them very large, and very small."""
    values, inputs = bench.values, samples(bench)
    weights = [n for n in bench.leaves if n not in inputs and values[n].ndim]
    biases = [n for n in weights if values[n].ndim == 1]
    for n in biases or weights:
        axes = (0, -1) if values[n].ndim == 3 else (-1,)
        for axis in axes:
            length = values[n].shape[axis]
            for width in _widths(bench, length):
                for start in range(0, length, width):
                    part = slice(start, start + width)
                    words = n if width == length else f"{n} at {start} to {start + width - 1}"
                    up, down = (
                        partial(_shifted, name=n, axis=axis, part=part, to=to, inputs=inputs)
                        for to in (FAR, -FAR)
                    )
                    yield words, up, down


def _widths(bench: Bench, length: int) -> list[int]:
    """How wide the gates in an array may be: as the output, if that divides it."""
    widths = [length // k for k in GATES if length % k == 0]
    return [w for w in widths if bench.outputs[0].shape[-1:] == (w,)] or widths


def _shifted(
    values: Values,
    name: str,
    axis: int,
    part: slice,
    to: float,
    inputs: tuple[str, ...],
    by: float = 1.0,
) -> dict[str, Array]:
    """The point with a part of an array at a number; what it is multiplied with is positive."""
    changed, x = dict(values), np.array(values[name])
    np.moveaxis(x, axis, 0)[part] = by * to
    changed[name] = x
    if x.ndim > 1:
        for n in inputs:
            if values[n].dtype.kind == "f":
                changed[n] = np.abs(values[n]) + np.asarray(0.5, values[n].dtype)
    return changed


def mixed_gates(case: Case) -> Cause | None:
    """A gate in the place of 1 - gate, or of another gate."""
    usual = judged(case, case.bench.values)
    if usual is None or usual.verdict != WRONG:
        return None
    points = [dict(case.bench.values), elsewhere(case.bench)]
    for where, up, down in saturating(case.bench):
        if all(_opposite(case, up(v), down(v)) for v in points):
            seen = "what is too much where it is large is what is missing where it is small, at "
            seen += "two random points"
            why = f"gate and 1 - gate, made with {where}, are exchanged in one of the paths"
            return Cause("wrong-tensor", case.leaf, why, seen, "use the other one", 0.8)
    for where, equal in _pairs(case):
        if all(vanished(case, equal(v), usual.scale) for v in points):
            seen = "right where both are equal, wrong beside it, at two random points"
            why = f"one of two gates is used in place of the other: those made with {where}"
            return Cause("wrong-tensor", case.leaf, why, seen, "use the other one", 0.8)
    return None


def _opposite(case: Case, up: Values, down: Values) -> bool:
    """Whether the gaps at two points, under one upstream gradient, are each other's negative."""
    both = _same_upstream(case, (up, down))
    if both is None:
        return False
    gaps = [o.a - o.n for o in both]
    size = max(max(o.size, float(np.max(np.abs(o.a)))) for o in both)
    small = float(np.max(np.abs(gaps[0] + gaps[1]))) <= FITS * size
    return small and float(np.max(np.abs(gaps[0]))) > DEGENERATE * size


def _pairs(case: Case) -> Iterator[tuple[str, Change]]:
    """Pairs of parts of the last axis, made equal in every weight and bias that has them."""
    values, inputs = case.bench.values, samples(case.bench)
    weights = [n for n in case.bench.leaves if n not in inputs and values[n].ndim]
    for length in dict.fromkeys(values[n].shape[-1] for n in weights):
        names = tuple(n for n in weights if values[n].shape[-1] == length)
        for count in (k for k in GATES[:-1] if length % k == 0):
            for one, other in combinations(range(0, length, length // count), 2):
                change = partial(
                    _made_equal, names=names, one=one, other=other, width=length // count
                )
                yield f"places {one} and {other} of {', '.join(names)}", change


def _made_equal(
    values: Values, names: tuple[str, ...], one: int, other: int, width: int
) -> dict[str, Array]:
    changed = dict(values)
    for n in names:
        changed[n] = np.array(values[n])
        changed[n][..., one : one + width] = changed[n][..., other : other + width]
    return changed
