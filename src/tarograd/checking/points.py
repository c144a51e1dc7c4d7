"""Other points and other shapes, at which a claim that was made at one has to hold again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tarograd.checking.bench import Bench, quiet
from tarograd.checking.subject import Array, rms

SIZES = (3, 5, 7, 2, 11, 13)


def elsewhere(bench: Bench) -> dict[str, Array]:
    """A random other point: the leaves' elements shuffled, resized, and of other signs."""
    values = dict(bench.values)
    for name in bench.leaves:
        x = values[name]
        size = np.exp(0.3 * bench.random.standard_normal(x.shape))
        shuffled = bench.random.permutation(x.reshape(-1)).reshape(x.shape) * size
        if np.any(x < 0):
            shuffled = shuffled * bench.random.choice([-1.0, 1.0], x.shape)
        elif not np.any(x):
            shuffled = bench.random.standard_normal(x.shape)
        values[name] = shuffled.astype(x.dtype)
    return values


def runs(bench: Bench, values: dict[str, Array], draw: int | None = None) -> Bench | None:
    """A bench at the point, or None if forward or backward cannot be computed there."""
    try:
        with quiet():
            other = bench.at(values, draw)
            if not np.all(np.isfinite(other.y)) or not other.y.size:
                return None
            other.gradients(other.upstream())
    except Exception as error:
        if type(error).__name__ == "OutOfTime":
            raise
        return None
    return other


def resized(bench: Bench, name: str, x: Array, axis: int, size: int) -> Array:
    """An array with another length along one axis: its rows again, a little changed.

    Data that is not differentiated stays as it is: a row of it may have to add up to 1.
    """
    rows: Array = np.take(x, np.arange(size) % max(x.shape[axis], 1), axis=axis)
    if rows.dtype.kind != "f" or name not in bench.leaves:
        return rows
    changed: Array = rows * (1 + 0.2 * bench.random.uniform(-1, 1, rows.shape))
    return changed.astype(x.dtype)


def unused_size(bench: Bench) -> int:
    """A length that no axis of any array has, and that no place in one of them is beyond."""
    used = {n for x in bench.values.values() for n in x.shape}
    longest = max(used, default=0)
    whole = (x for x in bench.values.values() if x.dtype.kind in "iu" and x.size)
    places = max((int(x.max()) for x in whole if x.max() < longest), default=0)
    return next(s for s in (*SIZES, longest + 1) if s not in used and s > places)


def batched(bench: Bench) -> tuple[str, ...]:
    """The inputs with one row for each sample: those of which forward takes more or fewer rows.

    Mostly all with as many rows as the first; but a weight may stand first, or have as many.
    """
    if bench.rows is None:
        inputs = [n for n in bench.subject.inputs if bench.values[n].ndim]
        lengths = dict.fromkeys(bench.values[n].shape[0] for n in inputs)
        groups = [tuple(n for n in inputs if len(bench.values[n]) == k) for k in lengths]
        groups = list(dict.fromkeys([*groups, *((n,) for n in inputs)]))
        bench.rows = groups[0] if groups else ()
        if len(groups) > 1:
            taken = (g for g in groups if _taken(bench, g))
            bench.rows = next(taken, groups[0])
    return bench.rows


def _taken(bench: Bench, names: tuple[str, ...]) -> bool:
    """Whether forward and backward can be computed with another number of rows in these inputs."""
    values = _with_rows(bench, names, unused_size(bench))
    return values is not None and runs(bench, values) is not None


def samples(bench: Bench) -> tuple[str, ...]:
    """The inputs that are no weights; a function takes its weights as arguments, too."""
    inputs = bench.subject.inputs
    if any(n not in inputs for n in bench.leaves):
        return inputs
    rows = batched(bench)
    return tuple(n for n in inputs if n in rows or n not in bench.leaves)


def batch_size(bench: Bench) -> int:
    """The number of samples, or 0."""
    return next((len(bench.values[n]) for n in batched(bench)), 0)


def with_batch(bench: Bench, size: int) -> dict[str, Array] | None:
    """The point with another number of samples."""
    return _with_rows(bench, batched(bench), size)


def _with_rows(bench: Bench, names: tuple[str, ...], size: int) -> dict[str, Array] | None:
    """The point with another number of rows in some inputs.

    Places that all differ stay so: there are fewer of them then, instead of more.
    """
    old = next((len(bench.values[n]) for n in names), 0)
    if _are_places(bench, old):
        size = min(size, old - 1)
    if not old or not size or old == size:
        return None
    rows = {n: resized(bench, n, bench.values[n], 0, size) for n in names}
    return {**bench.values, **rows}


def unequal(bench: Bench) -> Iterator[dict[str, Array]]:
    """Points with one axis of the inputs at a length that no other axis has.

    Only inputs change: an object may have kept the sizes of its parameters in its fields.
    """
    size = unused_size(bench)
    lengths = [n for name in bench.subject.inputs for n in bench.values[name].shape]
    ranks = max((bench.values[n].ndim for n in bench.subject.inputs), default=0)
    for axis in reversed(range(ranks)):
        for old in filter(None, dict.fromkeys(lengths)):
            if axis and (lengths.count(old) < 2 or _in_data(bench, axis, old)):
                continue
            if not axis and _are_places(bench, old):
                continue
            values = with_length(bench, axis, old, size)
            if any(values[n] is not bench.values[n] for n in values):
                yield values


def with_length(bench: Bench, axis: int, old: int, size: int) -> dict[str, Array]:
    """The point with another length of an axis in every input that has the old one there."""
    values = dict(bench.values)
    for name in bench.subject.inputs:
        x = values[name]
        if x.ndim > axis and x.shape[axis] == old:
            values[name] = resized(bench, name, x, axis, size)
    return values


def _are_places(bench: Bench, length: int) -> bool:
    """Whether so many whole numbers all differ, as the places of a scatter may have to."""
    inputs = [bench.values[n] for n in bench.subject.inputs]
    vectors = [x for x in inputs if x.shape == (length,) and x.dtype.kind in "iu"]
    return any(1 < x.size == np.unique(x).size for x in vectors)


def _in_data(bench: Bench, axis: int, length: int) -> bool:
    """Whether data, such as one-hot rows, has that axis: longer it would mean something else."""
    data = [bench.values[n] for n in bench.subject.inputs if n not in bench.leaves]
    return any(x.shape[axis : axis + 1] == (length,) for x in data)


def rounded(bench: Bench, coarse: float) -> dict[str, Array]:
    """The inputs on multiples of a half, of which few differ: equal elements are common."""
    values = dict(bench.values)
    for name in bench.subject.inputs:
        if name in bench.leaves:
            x = values[name]
            steps = np.round(x / (coarse * rms(x)))
            values[name] = (np.maximum(steps, 1) if np.all(x > 0) else steps).astype(x.dtype) * 0.5
    return values


def scaled(bench: Bench, factor: float) -> dict[str, Array]:
    """The inputs that are leaves times a factor."""
    inputs = [n for n in bench.subject.inputs if n in bench.leaves]
    return {**bench.values, **{n: (bench.values[n] * factor) for n in inputs}}


def nudged(bench: Bench, size: float = 0.05) -> dict[str, Array]:
    """Every leaf moved a little, off the kinks that it may lie on."""
    values = dict(bench.values)
    for name in bench.leaves:
        x = values[name]
        move = size * rms(x) * bench.random.uniform(0.2, 1, x.shape)
        inwards = np.all(x >= 0)
        sign = 1 if inwards else bench.random.choice([-1.0, 1.0], x.shape)
        values[name] = (x + sign * move).astype(x.dtype)
    return values


def squared(bench: Bench) -> dict[str, Array]:
    """The point with every axis but the batch at one length, parameters included."""
    old, values = batch_size(bench), dict(bench.values)
    lengths = [n for x in values.values() for n in x.shape if n != old]
    size = max(set(lengths), key=lengths.count) if lengths else 3
    for name, x in bench.values.items():
        first = 1 if name in bench.subject.inputs and x.shape[:1] == (old,) else 0
        for axis in range(first, x.ndim):
            if values[name].shape[axis] not in (1, size):
                values[name] = resized(bench, name, values[name], axis, size)
    return values
