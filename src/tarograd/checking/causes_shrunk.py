"""The smallest case that is still wrong: other paths are cut until one is left to be named."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from tarograd.checking.case import Case
from tarograd.checking.causes_factor import factor, near
from tarograd.checking.causes_vanish import DEGENERATE, Change, judged
from tarograd.checking.decision import RIGHT, WRONG
from tarograd.checking.points import runs, samples, with_batch
from tarograd.checking.projection import moved
from tarograd.checking.report import Cause
from tarograd.checking.subject import Array, Values, rms

MOVES = 24  # tried at most
RAY = tuple(0.5**k for k in range(9))
FAINT = 1e-6  # a claim that is no more than this may be the end of a saturating function


def shrunk(case: Case) -> Cause | None:
    """Name the mistake where as much as possible is 0."""
    values, cut = _smallest(case)
    if not cut:
        return None
    points = [values, *(_resized(case, values) for _ in range(4))]
    found = [o for o in map(case.at, points) if o is not None]
    mixed = _mixed(found)
    if mixed:
        return mixed
    cases = [o for o in found if np.any(o.wrong)]
    if len(cases) < 2:
        return None
    kind = _kind(cases)
    if kind is None:
        return None
    name, what, fix = kind
    if name == "missing-term" and _goes_elsewhere(case, values):
        return None
    confidence = 0.55 if name == "formula" else 0.75
    seen = f"with {', '.join(cut)}, which leaves fewer paths to {case.leaf}, at {len(cases)} points"
    return Cause(name, case.leaf, what, seen, fix, confidence)


def _smallest(case: Case) -> tuple[dict[str, Array], list[str]]:
    """Cut one thing after the other as long as the leaf stays wrong."""
    values, cut = dict(case.bench.values), []
    alone = with_batch(case.bench, 1)
    usual = judged(case, values)
    size = usual.scale if usual else 0.0

    def still(v: Values) -> bool:
        found = judged(case, v)
        return found is not None and found.verdict == WRONG and found.scale > DEGENERATE * size

    if alone is not None and still(alone):
        values = dict(alone)
        cut.append("one sample")
    for words, changed in list(_cuts(case, values))[:MOVES]:
        tried = changed(values)
        if still(tried):
            values = tried
            cut.append(words)
    return values, cut


def _cuts(case: Case, values: Values) -> Iterator[tuple[str, Change]]:
    floats = [n for n, x in values.items() if x.dtype.kind == "f" and n != case.leaf]
    for n in floats:
        yield f"{n} = 0", partial(_without, name=n)
    for n in floats:
        first = n in samples(case.bench) and case.bench.values[n].ndim > 1
        for axis in range(int(first), values[n].ndim):
            if values[n].shape[axis] > 1:
                yield f"{n} = 0 but for one index of axis {axis}", partial(_one, name=n, axis=axis)


def _without(values: Values, name: str) -> dict[str, Array]:
    return {**values, name: np.zeros_like(values[name])}


def _one(values: Values, name: str, axis: int) -> dict[str, Array]:
    x = values[name]
    sizes = np.abs(x).sum(axis=tuple(i for i in range(x.ndim) if i != axis))
    kept = np.zeros_like(x)
    place: list[slice | int] = [slice(None)] * x.ndim
    place[axis] = int(np.argmax(sizes))
    kept[tuple(place)] = x[tuple(place)]
    return {**values, name: kept}


def _resized(case: Case, values: Values) -> dict[str, Array]:
    """Another point with the same zeros."""
    random = case.bench.random
    leaf = values[case.leaf]
    if not np.any(leaf):  # a wrong derivative may be right, or vanish, just there
        values = {**values, case.leaf: random.standard_normal(leaf.shape).astype(leaf.dtype)}
    signs = {n: random.choice([-1.0, 1.0], x.shape) for n, x in values.items() if np.any(x < 0)}
    return {
        n: x * random.uniform(0.5, 1.5, x.shape) * signs.get(n, 1) if n in case.bench.leaves else x
        for n, x in values.items()
    }


def _goes_elsewhere(case: Case, values: Values) -> bool:
    """Whether what does not arrive does so for another index, from which nothing should."""
    for n, x in values.items():
        if n == case.leaf or x.dtype.kind != "f":
            continue
        for axis in range(x.ndim):
            others = tuple(i for i in range(x.ndim) if i != axis)
            if x.shape[axis] < 2 or np.count_nonzero(np.any(x, axis=others)) != 1:
                continue
            for by in range(1, x.shape[axis]):
                there = case.at({**values, n: np.roll(x, by, axis)})
                arrives = there is not None and np.any(np.abs(there.a) > 1e-6 * case.size)
                if there is not None and arrives and not np.any(there.n):
                    return True
    return False


def gated(case: Case) -> Cause | None:
    """A gradient arrives where forward is cut off, which it is where an array is far from 0."""
    values = case.bench.values
    seen = [(_passes(case, values), values)]
    for n in case.bench.leaves:
        far = 50 * max(1.0, float(np.max(np.abs(values[n]), initial=0)))
        for step in (far, -far):
            away = [{**values, n: values[n] + np.asarray(step * k, values[n].dtype)} for k in RAY]
            one = _passes(case, away[0])
            if one != "open" or not _fades(case, away):
                seen.append((one, away[0]))
    if not any(one == "open" for one, _ in seen):
        return None
    shut = any(one == "shut" for one, _ in seen)
    if not shut:
        alike = [judged(case, v) for one, v in seen if one == "both"]
        if not any(found is not None and found.verdict == RIGHT for found in alike):
            return None
    return _masked(case.leaf, shut)


def _passes(case: Case, values: Values) -> str:
    """What gets through at a point: the function, the claimed gradient, both or neither."""
    bench = runs(case.bench, dict(values))
    if bench is None or case.leaf not in bench.leaves:
        return ""
    claim = bench.gradients(bench.upstream())[case.leaf]
    if not _change(case, values):
        return "open" if np.any(np.abs(claim) > FAINT * max(1.0, case.size)) else ""
    return "both" if np.any(claim) else "shut"


def _change(case: Case, values: Values) -> float:
    """How much the outputs change with the leaf, along one direction."""
    u = rms(case.x) * case.bench.random.standard_normal(case.x.shape)
    above, below = (case.bench.evaluate(moved(values, {case.leaf: u}, h)) for h in (1e-3, -1e-3))
    return float(np.sum(np.abs(above - below)))


def _fades(case: Case, away: list[dict[str, Array]]) -> bool:
    """Whether it is no gate that shuts, but a sigmoid that fades on the way there."""
    on_the_way = [size for size in (_change(case, v) for v in away) if size > 0]
    return not on_the_way or min(on_the_way) < 1e-3 * max(on_the_way)


def _mixed(cases: list[Case]) -> Cause | None:
    """Whether something arrives where nothing should at some points only: a mask."""
    open_ = [not np.any(o.n) and bool(np.any(np.abs(o.a) > 1e-6)) for o in cases]
    shut = [bool(np.any(o.n)) and not np.any(o.a) for o in cases]
    right = [bool(np.any(o.n)) and not np.any(o.wrong) for o in cases]
    if not any(open_) or not (any(shut) or any(right)):
        return None
    return _masked(cases[0].leaf, any(shut))


def _masked(leaf: str, shut: bool) -> Cause:
    return Cause(
        "mask",
        leaf,
        "a path that forward cuts off passes a gradient on",
        "at some points a gradient arrives where none should, "
        + ("at others none where one should" if shut else "at others it is exactly right"),
        "use the mask that forward used",
        0.75,
    )


def _kind(cases: list[Case]) -> tuple[str, str, str] | None:
    """What is wrong there, if it is the same everywhere."""
    if all(not np.any(o.a) for o in cases):
        return "missing-term", "a path is missing: there nothing arrives at all", "add that term"
    factors = [factor(o) for o in cases]
    known = [k for k in factors if k is not None]
    if len(known) < len(factors):
        return None
    if all(near(k, -1) for k in known):
        return "sign", "one of the terms has the wrong sign", "turn its sign"
    if all(near(k, known[0]) for k in known):
        return None  # no mistake, perhaps: where a gate is cut off it passes 1/2
    fresh = [factor(Case(o.bench, o.leaf)) for o in cases]
    if all(f is not None and near(f, k) for f, k in zip(fresh, known, strict=True)):
        shown = ", ".join(f"{k:.4g}" for k in known)
        return (
            "formula",
            f"a factor of one of the terms is a wrong derivative: {shown} times what it should be",
            "derive that factor again",
        )
    return None
