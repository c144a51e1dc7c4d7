"""Causes that show in where a mistake vanishes: at points where it would make no difference.

A transposed matrix does no harm where it is symmetric, one array in place of another none where
both are equal, a forgotten mask none where nothing is cut off. Unlike an explanation of the whole
gradient this also works where only one of several paths to a leaf is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np

from tarograd.checking.case import Case
from tarograd.checking.decision import RIGHT, WRONG, Judgement, judge, random_direction
from tarograd.checking.jacobians import matrices
from tarograd.checking.points import batch_size, elsewhere, runs, samples, with_batch
from tarograd.checking.report import Cause
from tarograd.checking.subject import Array, Values

Change = Callable[[Values], dict[str, Array]]
Trial = tuple[str, str, str, Change, Change | None]  # name, why, fix, where it vanishes, where not
DEGENERATE = 1e-5  # a gradient that is smaller than this part of the usual shows nothing


def judged(case: Case, values: Values) -> Judgement | None:
    """The leaf at another point, along one direction; None where it can't be computed."""
    bench = runs(case.bench, dict(values))
    if bench is None or case.leaf not in bench.leaves:
        return None
    return judge(bench, random_direction(bench, (case.leaf,)), bench.upstream())


def vanishes(case: Case) -> Cause | None:
    """The first kind of point at which the mistake is gone, while it is there beside it."""
    bench = case.bench
    points = [dict(bench.values), elsewhere(bench)]
    usual = [judged(case, v) for v in points]
    if any(j is None or j.verdict != WRONG for j in usual):
        return None
    sizes = [j.scale for j in usual if j is not None]
    for name, why, fix, change, control in _trials(case):
        if all(vanished(case, change(v), size) for v, size in zip(points, sizes, strict=True)) and (
            control is None or all(_there(case, control(v)) for v in points)
        ):
            seen = "the gradient is right there, and wrong beside it, at two random points"
            return Cause(name, case.leaf, why, seen, fix, 0.8)
    return None


def vanished(case: Case, values: Values, size: float) -> bool:
    """Whether the leaf is right there, twice, with a gradient that is worth the name."""
    for _ in range(2):
        found = judged(case, values)
        if found is None or found.verdict != RIGHT or found.scale < DEGENERATE * size:
            return False
    return True


def _there(case: Case, values: Values) -> bool:
    found = judged(case, values)
    return found is not None and found.verdict == WRONG


def _trials(case: Case) -> Iterator[Trial]:
    values = case.bench.values
    floats = [n for n, x in values.items() if x.dtype.kind == "f" and x.size > 1]
    yield from _distinct(case)
    for n in floats:
        yield from _symmetric(n, values[n])
    for p, q in combinations(floats, 2):
        if values[p].shape == values[q].shape and not _difference(case, p, q):
            why = f"one of {p} and {q} is used in place of the other: where both are equal"
            fix = "take the array that the formula is meant for"
            yield "wrong-tensor", why, fix, _put(p, lambda x, v, q=q: v[q]), None
            why = f"a size or sum of one of {p} and {q} is used for the other: where they are equal"
            yield "wrong-tensor", why, fix, _put(p, lambda x, v, q=q: np.flip(v[q], -1)), None
    for n in floats:
        yield from _reversed(n, values[n])
    yield from _open(case)
    for n in floats:
        why = f"a factor or power of {n} is wrong in it: where {n} is 1"
        ones, others = (_put(n, lambda x, v, k=k: np.full_like(x, k)) for k in (1.0, 2.0))
        yield "formula", why, f"derive the gradient again where {n} enters", ones, others


def _difference(case: Case, p: str, q: str) -> bool:
    """Whether only p - q counts: then where both are equal is where it is 0, a point by itself."""
    values = case.bench.values
    both = {n: values[n] + np.asarray(0.37, values[n].dtype) for n in (p, q)}
    y = case.bench.evaluate({**values, **both})
    return bool(np.allclose(y, case.bench.y, rtol=1e-9, atol=1e-9))


def _put(name: str, function: Callable[..., Array]) -> Change:
    return lambda v: {**v, name: np.array(function(v[name], v), v[name].dtype)}


def _symmetric(n: str, x: Array) -> Iterator[Trial]:
    for i, j in combinations(range(x.ndim), 2):
        if x.shape[i] == x.shape[j] > 1:
            yield (
                "transposed",
                f"{n} is used with axes {i} and {j} exchanged: where {n} is symmetric in them",
                "use the transpose: .T, or np.swapaxes",
                _put(n, lambda x, v, i=i, j=j: (x + np.swapaxes(x, i, j)) / 2),
                None,
            )


def _reversed(n: str, x: Array) -> Iterator[Trial]:
    long = [i for i in range(x.ndim) if x.shape[i] > 2]
    for count in (1, 2):
        for axes in reversed(list(combinations(long, count))):
            along = ", ".join(map(str, axes))
            yield (
                "flipped",
                f"{n} is used reversed along axis {along}: where {n} reads the same both ways",
                "reverse that axis: np.flip",
                _put(n, lambda x, v, axes=axes: (x + np.flip(x, axes)) / 2),
                _put(n, lambda x, v, axes=axes: (x + np.roll(x, 1, axes)) / 2),
            )


def _distinct(case: Case) -> Iterator[Trial]:
    """Whole numbers that are indices: all different against all equal."""
    for n in case.bench.subject.inputs:
        x = case.bench.values[n]
        if x.dtype.kind not in "iu" or x.size < 2:
            continue

        alone = None if x.size <= int(x.max()) + 1 else with_batch(case.bench, 1)
        size = (x if alone is None else alone[n]).size
        if size < 2 or size > int(x.max()) + 1:
            continue

        def different(v: Values, n: str = n, alone: object = alone) -> dict[str, Array]:
            one = v if alone is None else first_row(case, v)
            return {**one, n: np.arange(one[n].size, dtype=v[n].dtype).reshape(one[n].shape)}

        def equal(v: Values, n: str = n, alone: object = alone) -> dict[str, Array]:
            one = v if alone is None else first_row(case, v)
            return {**one, n: np.full_like(one[n], v[n].max())}

        if case.bench.outputs[0].shape[: x.ndim] == x.shape and _averages(case):
            continue
        yield (
            "overwrites",
            f"what belongs to the same index overwrites each other: where {n} has no index twice",
            "np.add.at(dx, index, …) adds all of them; dx[index] += … only the last",
            different,
            equal,
        )


def _averages(case: Case) -> bool:
    """Whether a path of the claim is neither right nor missing: that is not overwriting."""
    given = matrices(case)
    if given is None:
        return False
    a, n, tolerance = given
    there = np.abs(a) > 10 * tolerance
    return bool(np.any(there & (np.abs(a - n) > 100 * tolerance)))


def first_row(case: Case, values: Values) -> dict[str, Array]:
    """The point with one sample."""
    rows = batch_size(case.bench)
    inputs = [n for n in case.bench.subject.inputs if values[n].shape[:1] == (rows,)]
    return {**values, **{n: values[n][:1] for n in inputs}}


def _open(case: Case) -> Iterator[Trial]:
    """All values positive: no rectifier cuts anything off."""
    leaves = case.bench.leaves

    def positive(v: Values) -> dict[str, Array]:
        return {**v, **{n: np.abs(v[n]) for n in leaves}}

    why = "a mask or threshold of forward is not the one that backward uses: where "
    fix = "keep the mask in forward and use it in backward"
    if any(np.any(case.bench.values[n] < 0) for n in leaves):
        yield "mask", why + "all values are positive", fix, positive, None
    for n in case.bench.subject.inputs:
        x = case.bench.values[n]
        if x.dtype.kind in "iub" and x.size > 1 and np.array_equal(np.unique(x), [0, 1]):
            every, none = (_put(n, lambda x, v, k=k: np.full_like(x, k)) for k in (1, 0))
            if not _alike(case, every(case.bench.values), none(case.bench.values)):
                continue
            yield "mask", f"{n} is not used as forward uses it: where it is all 1", fix, every, None


def _alike(case: Case, one: Values, two: Values) -> bool:
    """Whether the claim is the same at two points."""
    try:
        first, second = (case.bench.gradients(case.c, v)[case.leaf] for v in (one, two))
    except Exception:
        return False
    return bool(np.array_equal(first, second, equal_nan=True))


def accumulated(case: Case) -> Cause | None:
    """Of the contributions along an axis of the input only one is there: the first or the last."""
    inputs = samples(case.bench)
    if case.leaf in inputs:
        return None
    usual = judged(case, case.bench.values)
    for n in inputs:
        x = case.bench.values[n]
        if x.dtype.kind != "f":
            continue
        for axis in range(x.ndim - 1):
            ends = (0, x.shape[axis] - 1)
            if usual is None or x.shape[axis] < 2:
                continue
            right = [
                vanished(case, _only(case.bench.values, n, axis, i), usual.scale)
                and vanished(case, _only(elsewhere(case.bench), n, axis, i), usual.scale)
                for i in ends
            ]
            if right.count(True) != 1:
                continue
            kept, lost = ends[right.index(True)], ends[right.index(False)]
            empty = case.at(_only(case.bench.values, n, axis, lost))
            without = case.at(_without_one(case.bench.values, n, axis, kept))
            if any(o is None or np.any(np.abs(o.a) > o.tolerance) for o in (empty, without)):
                continue
            first_row = axis == 0 and kept == 0
            return Cause(
                "slice" if first_row else "overwrites",
                case.leaf,
                f"of the contributions of {n} along axis {axis} only that of index {kept} is there",
                f"right where {n} is 0 but for that index, 0 where it is 0 but for the other end",
                "use all rows" if first_row else f"add them up: d{case.leaf} += …",
                0.86,
            )
    return None


def _only(values: Values, name: str, axis: int, index: int) -> dict[str, Array]:
    kept = np.zeros_like(values[name])
    place: list[slice | int] = [slice(None)] * kept.ndim
    place[axis] = index
    kept[tuple(place)] = values[name][tuple(place)]
    return {**values, name: kept}


def _without_one(values: Values, name: str, axis: int, index: int) -> dict[str, Array]:
    left = values[name].copy()
    place: list[slice | int] = [slice(None)] * left.ndim
    place[axis] = index
    left[tuple(place)] = 0
    return {**values, name: left}
