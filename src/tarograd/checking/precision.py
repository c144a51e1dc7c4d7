"""How many digits of a gradient float32 keeps, once float64 has judged the formula."""

from __future__ import annotations

import numpy as np

from tarograd.checking.bench import as_gradient, quiet
from tarograd.checking.report import GradientReport
from tarograd.checking.subject import Array, Subject, Values, split

UNIT = 2.0**-24  # the unit roundoff of float32
SAMPLES = 5
LOST = 1.5  # so many digits fewer than the rounding of the inputs leaves are worth a word


def digits(error: float) -> float:
    """A relative error as the number of digits that are right; at most float32's own 7.2."""
    return float(np.clip(-np.log10(max(error, UNIT)), 0, None)) if np.isfinite(error) else 0.0


def distance(a: Array, b: Array) -> float:
    """‖a - b‖ / ‖b‖."""
    with np.errstate(all="ignore"):
        gap, size = np.linalg.norm((a - b).ravel()), np.linalg.norm(b.ravel())
        return float(gap / size) if size else float(gap > 0)


def compare(report: GradientReport, double: Subject, single: Subject) -> None:
    """Enter for every leaf how many digits float32 keeps, and how many its rounding leaves.

    Both compute the gradient at the same point, of float32 numbers. The error to be expected is
    what the rounding of the inputs and of the upstream gradient alone does to the exact gradient.

    Args:
        report: of the check in float64.
        double: the subject in float64.
        single: the same in float32.
    """
    random = np.random.default_rng(report.seed)
    with quiet():
        short: dict[str, Array] = {n: np.array(x) for n, x in single.values.items()}
        wide = {n: x.astype(np.float64) if x.dtype.kind == "f" else x for n, x in short.items()}
        outputs = single.fresh(short).forward(short)
        size = sum(np.size(y) for y in outputs)
        c = random.normal(size=size).astype(np.float32).astype(np.float64)
        kept = _gradients(single, short, c)
        exact = _gradients(double, wide, c)
        shaken = []
        for _ in range(SAMPLES):
            near = {n: _rounded(x, random) if n in double.leaves else x for n, x in wide.items()}
            shaken.append(_gradients(double, near, _rounded(c, random)))
    for n, leaf in report.leaves.items():
        expected = max(float(np.median([distance(s[n], exact[n]) for s in shaken])), UNIT)
        leaf.float32 = digits(distance(kept[n], exact[n]))
        leaf.float32_expected = digits(expected)
        if leaf.float32 < leaf.float32_expected - LOST:
            report.notes.append(
                f"{n}: float32 keeps {leaf.float32:.0f} digits, though the rounding of the inputs "
                f"would leave {leaf.float32_expected:.0f}: something on the way cancels, or is "
                "added up over very many terms"
            )


def _gradients(subject: Subject, values: Values, c: Array) -> dict[str, Array]:
    run = subject.fresh(values)
    outputs = run.forward({n: np.array(x) for n, x in values.items()})
    raw = run.backward(split(c, tuple(map(np.asarray, outputs))))
    return {n: as_gradient(raw.get(n), values[n], n) for n in subject.leaves}


def _rounded(x: Array, random: np.random.Generator) -> Array:
    """Each element off by up to the unit roundoff, as if it had been rounded to float32."""
    if x.dtype.kind != "f":
        return x
    return np.asarray(x * (1 + UNIT * random.uniform(-1, 1, x.shape)))
