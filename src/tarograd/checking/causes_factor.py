"""Causes that are one number: zero, a constant factor, a sign, a batch size."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tarograd.checking.case import Case
from tarograd.checking.points import (
    SIZES,
    batch_size,
    batched,
    elsewhere,
    unused_size,
    with_batch,
    with_length,
)
from tarograd.checking.report import Cause

KNOWN = {
    2.0: "2: a factor of 2 too much, or a variable that is used once counted twice",
    0.5: "1/2: the factor 2 of a square, or one of two uses, is missing",
    math.log(2): "ln 2: log and log2 are mixed up",
    1 / math.log(2): "1/ln 2: log and log2 are mixed up",
    math.log(10): "ln 10: log and log10 are mixed up",
    1 / math.log(10): "1/ln 10: log and log10 are mixed up",
    math.pi / 180: "π/180: degrees and radians are mixed up",
    180 / math.pi: "180/π: degrees and radians are mixed up",
}
LENGTHS: dict[str, Callable[[int], float]] = {
    "{of}": lambda d: d,
    "1 / {of}": lambda d: 1 / d,
    "√ of {of}": math.sqrt,
    "1 / √ of {of}": lambda d: 1 / math.sqrt(d),
    "{less} and {d} mixed up: n and n - 1 for {of}": lambda d: (d - 1) / d,
    "{d} and {less} mixed up: n and n - 1 for {of}": lambda d: d / (d - 1) if d > 1 else 0,
}


def zero(case: Case) -> Cause | None:
    """Nothing arrives at the leaf, here and elsewhere."""
    if np.any(case.a) or not case.others or any(np.any(o.a) for o in case.others):
        return None
    return Cause(
        "zero",
        case.leaf,
        f"the gradient of {case.leaf} is 0 everywhere, but the output depends on it",
        f"0 at {1 + len(case.others)} random points, where the numeric gradient reaches "
        f"{case.size:.3g}",
        "the path back to it is cut (detached, never written, or a mask of zeros)",
        0.85,
    )


def averaged(case: Case) -> Cause | None:
    """Only the sum of the upstream gradient counts: right for one of ones, and for no other."""
    bench, c = case.bench, case.c
    if c.size < 3 or not bench.subject.takes_upstream or not case.whole:
        return None
    flat, shuffled = np.full(c.shape, c.mean()), bench.random.permutation(c)
    if not all(case.fits(bench.gradients(other)[case.leaf]) for other in (flat, shuffled)):
        return None
    even = (flat @ case.numeric).reshape(case.x.shape)
    if not case.fits(even):
        return None
    return Cause(
        "upstream-ignored",
        case.leaf,
        "of the upstream gradient only the sum is used, not its elements",
        "the claim is the same for its elements in another order, and right for equal ones",
        "multiply by dout element by element",
        0.95,
    )


def factor(case: Case) -> float | None:
    """The k of a = k·n, if there is one."""
    a, n = case.a.ravel(), case.n.ravel()
    norm = float(n @ n)
    if not norm or not np.all(np.isfinite(a)):
        return None
    k = float(a @ n) / norm
    slack = max(case.tolerance, 20 * abs(k) * float(np.max(case.bar, initial=0)))
    return k if k and np.all(np.abs(a - k * n) <= slack * max(1.0, abs(k))) else None


def near(a: float, b: float) -> bool:
    """Whether two factors are the same number."""
    return abs(a - b) <= 1e-4 * max(abs(a), abs(b)) and abs(a - b) <= 0.1 * abs(a - 1) + 1e-7


def scale(case: Case) -> Cause | None:
    """The same factor in all elements, and the same at other points."""
    k = factor(case)
    if k is None or not case.others:
        return None
    factors = [factor(o) for o in case.others]
    elements = f"analytic = {k:.10g} × numeric {case.extent}"
    where = "other points"
    if near(k, -1) and not any(f is not None and near(f, k) for f in factors):
        # elsewhere another input may not be what it has to be, such as probabilities
        moved = [case.at({**case.bench.values, case.leaf: o.x}) for o in case.others]
        factors = [factor(o) if o else None for o in moved]
        where += f" that differ in {case.leaf}"
    if not all(f is not None and near(f, k) for f in factors):
        return None
    if near(k, -1):
        return Cause(
            "sign",
            case.leaf,
            "the sign is wrong",
            f"{elements}, here and at {len(factors)} {where}",
            f"d{case.leaf} = -(…)",
            1.0,
        )
    sizes = _by_batch(case)
    also = " and batch sizes" if len(sizes) == 2 else ""
    return _batch(case, k, elements, sizes) or Cause(
        "scale",
        case.leaf,
        f"the gradient of {case.leaf} is {k:.10g} times as large as it should be" + hint(case, k),
        f"{elements}, and the same at {len(factors)} other points{also}",
        f"multiply by {1 / k:.6g}",
        0.95,
    )


def hint(case: Case, k: float) -> str:
    """What number the factor is, if it is a known one."""
    for value, words in KNOWN.items():
        if near(k, value):
            return f" ({words})"
    for name, x in case.bench.values.items():
        for axis, d in enumerate(x.shape):
            of = f"the length {d} of axis {axis} of {name}"
            for form, of_length in LENGTHS.items():
                fits = d > 1 and near(k, of_length(d))
                if fits and not _refuted(case, k, name, axis, of_length):
                    return f" ({form.format(of=of, d=d, less=d - 1)})"
    return ""


def _refuted(case: Case, k: float, name: str, axis: int, value: Callable[[int], float]) -> bool:
    """Whether the factor does not follow the length of that axis, where that can be changed."""
    bench = case.bench
    size, old = unused_size(bench), bench.values[name].shape[axis]
    longer = with_length(bench, axis, old, size)
    other = case.at(longer) if name in bench.subject.inputs else None
    before, after = factor(case), factor(other) if other else None
    if before is None or after is None or not near(before, k):
        return False
    return not near(after, value(size))


def _by_batch(case: Case) -> list[tuple[int, float]]:
    """The factor at other batch sizes."""
    seen: list[tuple[int, float]] = []
    for other in [s for s in SIZES if s != batch_size(case.bench)]:
        values = with_batch(case.bench, other)
        found = case.at(values) if values else None
        f = factor(found) if found else None
        if found is not None and f is None and not np.any(found.wrong):
            f = 1.0
        if f is not None:
            seen.append((other, f))
        if len(seen) == 2:
            break
    return seen


def _batch(case: Case, k: float, elements: str, seen: list[tuple[int, float]]) -> Cause | None:
    """Whether the factor follows the batch size."""
    size = batch_size(case.bench)
    if len(seen) < 2:
        return None
    shown = " and ".join(f"at batch {b} it is {f:.6g}" for b, f in seen)
    rows = batched(case.bench)[0]
    if all(near(f / k, b / size) for b, f in seen):
        return Cause(
            "scale-batch",
            case.leaf,
            f"the gradient of {case.leaf} is {k:.6g} times too large: it is not divided by the "
            f"batch size ({size})" + _besides(case, k / size),
            f"{elements}; {shown}",
            f"divide by the batch size: d{case.leaf} = … / len({rows})"
            if near(k, size)
            else f"divide by {k:.6g}",
            1.0,
        )
    if all(near(f / k, size / b) for b, f in seen):
        return Cause(
            "scale-batch",
            case.leaf,
            f"the gradient of {case.leaf} is {k:.6g} times what it should be: it is divided by "
            f"the batch size ({size}) once too often" + _besides(case, k * size),
            f"{elements}; {shown}",
            "sum over the batch instead of averaging, or divide only once, in the loss"
            if near(k, 1 / size)
            else f"multiply by {1 / k:.6g}",
            1.0,
        )
    return None


def _besides(case: Case, rest: float) -> str:
    """The factor that there is besides the batch size, if there is one."""
    return "" if near(rest, 1) else f", and is {rest:.6g} times as large besides{hint(case, rest)}"


def fixed_factor(case: Case) -> Cause | None:
    """Each element has a factor of its own, which no input and no parameter changes."""
    if case.x.size < 3 or case.left_out.any() or not np.all(np.abs(case.n) > 1e-3 * case.size):
        return None
    points = [case.at(elsewhere(case.bench)) for _ in range(2)]
    ratio, seen = case.a / case.n, 0
    for other in (Case(case.bench, case.leaf), *points):
        if other is None or other.x.shape != case.x.shape:
            return None
        known = np.abs(other.n) > 1e-3 * other.size
        if np.any(np.abs(other.a - ratio * other.n)[known] > 1e-5 * np.abs(other.n)[known]):
            return None
        seen += int(np.count_nonzero(known))
    if seen < 1.5 * case.x.size or np.ptp(ratio) < 1e-3 * np.max(np.abs(ratio)):
        return None
    return Cause(
        "wrong-tensor",
        case.leaf,
        "a factor that depends on neither inputs nor parameters, such as noise, a mask or weights "
        "of classes, is left out or is another one than in forward",
        f"analytic / numeric is another number for each element, from {np.min(ratio):.4g} to "
        f"{np.max(ratio):.4g}, the same at 3 random points and under other upstream gradients",
        "keep that array in forward, and multiply by it in backward",
        0.85,
    )
