"""Causes in one of several paths to a leaf, where the paths can be told apart.

Where forward computes x @ W, the numeric gradients of x and of W have what arrives at the product
in common: from that of W follows what comes back to x through W, and from that of x what comes to
W. So the share of each path is known, without a derivative of anything inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tarograd.checking.case import Case
from tarograd.checking.causes_factor import near
from tarograd.checking.points import elsewhere, samples, with_batch
from tarograd.checking.report import Cause
from tarograd.checking.subject import Array, Values

ROWS = 2  # more of them can't be told apart in the gradient of a weight
FITS = 1e-6  # the relative error to which shares have to add up
POINTS = 3


@dataclass(frozen=True)
class Share:
    """What comes back to a leaf through one product.

    Attributes:
        name: the other factor of the product.
        arriving: the gradient that arrives at the product, rows by columns of the weight.
        value: its share of the leaf's gradient.
    """

    name: str
    arriving: Array
    value: Array


def paths(case: Case) -> Cause | None:
    """One of the paths is missing, counted twice, of the wrong sign, transposed or exchanged."""
    points = _points(case)
    found = [_explained(o) for o in points]
    if len(found) < POINTS or not found[0]:
        return None
    for key in found[0]:
        factors = [f[key] for f in found if key in f]
        if len(factors) == len(found) and all(near(k, factors[0]) for k in factors):
            return _named(case, key, factors[0], len(found))
    return None


def _named(case: Case, key: tuple[str, str], k: float, points: int) -> Cause:
    kind, what = key
    path = f"the path to {case.leaf} through the product with {what}"
    seen = "the share of each product follows from the other gradients; the claim is {}, at "
    seen += f"{points} random points"
    if kind == "only":
        why, said = f"only {path} is there", "that share alone"
        return Cause("overwrites", case.leaf, why, seen.format(said), "add all: +=, not =", 0.85)
    if kind in ("transposed", "wrong-tensor"):
        why = f"{what} is used with its axes exchanged"
        if kind == "wrong-tensor":
            why = f"{what} are exchanged in what goes back to {case.leaf}"
        said = "right but for that"
        return Cause(kind, case.leaf, why, seen.format(said), "use the weight of forward", 0.9)
    said = f"the numeric gradient {k:+.6g} times that share"
    for value, name, words in (
        (-1, "missing-term", "is missing"),
        (1, "extra-term", "is there twice"),
        (-2, "sign", "has the wrong sign"),
    ):
        if near(k, value):
            fix = f"{'add' if k < 0 else 'drop'} that term of d{case.leaf}"
            return Cause(name, case.leaf, f"{path} {words}", seen.format(said), fix, 0.9)
    why = f"{path} has a wrong factor"
    fix = f"multiply that term by {1 / (1 + k):.6g}"
    return Cause("scale", case.leaf, why, seen.format(said), fix, 0.85)


def inner_matrix(case: Case) -> Cause | None:
    """Forward makes a square matrix, such as that of attention, and backward does not turn it.

    Where an input's gradient is S @ p, with another input p of more columns than rows, S follows
    from the two; the claim is S.T @ p.
    """
    others = [n for n in case.bench.leaves if n != case.leaf]
    alike = [n for n in others if case.bench.values[n].shape == case.x.shape]
    if case.x.ndim < 2 or not alike or case.leaf not in case.bench.subject.inputs:
        return None
    points = _points(case)
    for name in alike:
        if len(points) == POINTS and all(_is_turned(o, name) for o in points):
            return Cause(
                "transposed",
                case.leaf,
                f"the square matrix that is multiplied with {name} is not transposed, or once too "
                "often",
                f"the numeric gradient is S @ {name} and the claim S.T @ {name}, at {POINTS} "
                "random points",
                "use the other one of S and S.T",
                0.9,
            )
    return None


def _is_turned(case: Case, name: str) -> bool:
    """Whether the numeric gradient is S @ p and the claimed one S.T @ p."""
    p = case.bench.values[name]
    rows, length = p.shape[-2:]
    if p.shape != case.x.shape or rows < 2 or length <= rows or p.size != rows * length:
        return False
    p, n, a = (m.reshape(rows, length) for m in (p, case.n, case.a))
    s = np.linalg.lstsq(p.T, n.T, rcond=None)[0].T
    return bool(np.any(n)) and _same(s @ p, n, n) and _same(s.T @ p, a, n) and not _same(a, n, n)


def _points(case: Case) -> list[Case]:
    """The leaf at random points with few rows."""
    found: list[Case] = []
    for _ in range(2 * POINTS):
        start = elsewhere(case.bench)
        there = case.at(_few_rows(case, start)) or case.at(_cut(case, start))
        if there is not None and np.any(there.wrong):
            found.append(there)
        if len(found) == POINTS:
            break
    return found


def _few_rows(case: Case, values: Values) -> dict[str, Array]:
    """Two samples, or one with two steps where an axis stands between samples and features."""
    inputs = [values[n] for n in samples(case.bench) if n in case.bench.leaves]
    steps = any(x.ndim == 3 for x in inputs)
    narrow = any(x.ndim and x.shape[-1] <= ROWS for x in inputs)
    few = with_batch(case.bench.at(dict(values)), 1 if steps or narrow else ROWS)
    few = dict(values if few is None else few)
    names = [n for n in samples(case.bench) if few[n].ndim == 3]
    return {**few, **{n: few[n][:, :ROWS] for n in names}}


def _cut(case: Case, values: Values) -> dict[str, Array]:
    """The first rows of every input, where they have not equally many."""
    inputs = samples(case.bench)
    return {n: v[:ROWS] if n in inputs and v.ndim == 2 else v for n, v in values.items()}


def _explained(case: Case) -> dict[tuple[str, str], float]:
    """What the claim is, in terms of the shares: kind, through what, how many times."""
    shares = _to_input(case) if case.leaf in samples(case.bench) else _to_weight(case)
    gap, n = case.a - case.n, case.n
    rest = n - sum((s.value for s in shares), np.zeros(n.shape))
    parts = [(s.name, s.value) for s in shares]
    found: dict[tuple[str, str], float] = {}
    for name, part in parts:
        size = float(np.sum(part * part))
        k = float(np.sum(gap * part)) / size if size else 0.0
        if k and _same(gap, k * part, n) and not _same(part, n, n):
            found["part", name] = k
        if len(parts) > 2 and _same(case.a, part, n):
            found["only", name] = 1.0
    if shares and np.max(np.abs(rest)) > 1e-3 * np.max(np.abs(n)) and _same(gap, -rest, n):
        found["part", "nothing else, straight through,"] = -1.0
    if case.leaf in samples(case.bench):
        found |= _exchanged(case, shares)
    return found


def _same(a: Array, b: Array, n: Array) -> bool:
    return bool(np.max(np.abs(a - b)) <= FITS * np.max(np.abs(n)))


def _to_input(case: Case) -> list[Share]:
    """The shares of x in x @ W, for each W whose gradient is of that form."""
    x = case.x.reshape(-1, case.x.shape[-1])
    found = []
    if len(x) > ROWS or x.shape[1] <= len(x):
        return []
    for name in case.bench.leaves:
        w = case.bench.values[name]
        if name == case.leaf or w.ndim != 2 or w.shape[0] != x.shape[1]:
            continue
        n = Case(case.bench, name, case.c).n
        arriving = np.linalg.lstsq(x.T, n, rcond=None)[0]
        if np.any(n) and _same(x.T @ arriving, n, n):
            value = (arriving @ w.T).reshape(case.x.shape)
            found.append(Share(name, arriving, value))
    return found


def _to_weight(case: Case) -> list[Share]:
    """The share of W in x @ W, for an input whose gradient is of that form."""
    w = case.x
    if w.ndim != 2 or w.shape[0] <= w.shape[1]:
        return []
    found = []
    for name in samples(case.bench):
        if name not in case.bench.leaves or case.bench.values[name].shape[-1:] != w.shape[:1]:
            continue
        x = case.bench.values[name].reshape(-1, len(w))
        n = Case(case.bench, name, case.c).n.reshape(x.shape)
        arriving = np.linalg.lstsq(w, n.T, rcond=None)[0].T
        if np.any(n) and _same(arriving @ w.T, n, n):
            found.append(Share(name, arriving, x.T @ arriving))
    return found


def _exchanged(case: Case, shares: list[Share]) -> dict[tuple[str, str], float]:
    """A weight transposed, or two of them exchanged."""
    found: dict[tuple[str, str], float] = {}
    gap, values = case.a - case.n, case.bench.values
    for i, s in enumerate(shares):
        w = values[s.name]
        if w.shape[0] == w.shape[1]:
            turned = (s.arriving @ w).reshape(gap.shape) - s.value
            if _same(gap, turned, case.n):
                found["transposed", s.name] = 1.0
        for t in shares[i + 1 :]:
            if values[t.name].shape == w.shape:
                other = s.arriving @ values[t.name].T + t.arriving @ w.T
                if _same(gap, other.reshape(gap.shape) - s.value - t.value, case.n):
                    found["wrong-tensor", f"{s.name} and {t.name}"] = 1.0
    return found
