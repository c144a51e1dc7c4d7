"""From a wrong gradient to its cause: each rule is a guess and the experiment that confirms it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tarograd.checking.bench import Bench, OutOfTime
from tarograd.checking.case import Case, columns
from tarograd.checking.causes_coupling import coefficient, through_norm
from tarograd.checking.causes_cut import one_of_paths
from tarograd.checking.causes_exchange import operand, other_array, wrong_layout, wrong_tensor
from tarograd.checking.causes_factor import averaged, fixed_factor, scale, zero
from tarograd.checking.causes_formula import by_rows, formula, multiplier, rounded
from tarograd.checking.causes_gate import mixed_gates, ungated
from tarograd.checking.causes_mean import beside_samples, part_of_batch, through_mean, unneeded
from tarograd.checking.causes_paths import inner_matrix, paths
from tarograd.checking.causes_region import hyperplane, overwrites, slices, turned_paths
from tarograd.checking.causes_shrunk import gated, shrunk
from tarograd.checking.causes_steps import elementwise_carry, few_steps, overwritten_steps
from tarograd.checking.causes_term import extra_or_missing, lost_coupling, other_use
from tarograd.checking.causes_value import (
    coupling,
    direction,
    displaced,
    mask,
    other_axis,
    permuted,
    piecewise,
    untransposed,
)
from tarograd.checking.causes_vanish import accumulated, vanishes
from tarograd.checking.report import Cause
from tarograd.checking.subject import Array

Rule = Callable[[Case], Cause | None]
FIRST: tuple[Rule, ...] = (  # the surest and cheapest first
    zero,
    unneeded,
    scale,
    averaged,
    part_of_batch,
    rounded,
    wrong_layout,
    operand,
    extra_or_missing,
    other_use,
    overwrites,
    wrong_tensor,
    slices,
    turned_paths,
    mask,
    inner_matrix,
    coupling,
    coefficient,
    through_norm,
    through_mean,
    lost_coupling,
    permuted,
    other_axis,
    displaced,
    piecewise,
    direction,
    untransposed,
    beside_samples,
    fixed_factor,
    formula,
)
DEEP: tuple[Rule, ...] = (  # about one of several paths, and by many passes
    paths,
    accumulated,
    overwritten_steps,
    elementwise_carry,
    ungated,
    mixed_gates,
    one_of_paths,
    vanishes,
    multiplier,
    gated,
    shrunk,
    by_rows,
    other_array,
)
SHORT: tuple[Rule, ...] = (overwritten_steps, by_rows, other_array)  # of these, by few passes
ELEMENTS = 4096
# Below it a name was wrong more often than right on mistakes that no rule was made for.
CONFIRMED = 0.72


def name_cause(case: Case) -> Cause:
    """The first rule whose experiment confirms it, or an honest `unclassified`."""
    first = first_look(case)
    return first if first.name != "unclassified" else closer_look(case, first)


def first_look(case: Case) -> Cause:
    """By the experiments that take few passes."""
    return _named(case, FIRST)


def closer_look(case: Case, first: Cause) -> Cause:
    """By those that take many, where the first ones have not named the cause."""
    inner = _at_few_steps(case)
    if inner is not None and inner.name != "unclassified":
        return inner
    deep = _named(case, DEEP)
    return first if deep.name == "unclassified" and first.fix else deep


def last_look(case: Case, first: Cause) -> Cause:
    """By the few quick ones of them, where another leaf has told the cause already."""
    last = _named(case, SHORT)
    if last.name != "unclassified" or first.fix:
        return first if last.name == "unclassified" else last
    why = "wrong as well, which may follow from the other cause: mend that one first"
    return replace(first, why=why)


def _at_few_steps(case: Case) -> Cause | None:
    """The name where there are few steps: fewer paths, and as many passes fewer to look."""
    try:
        found = few_steps(case)
    except OutOfTime:  # the rules that are left will meet it again
        return None
    if found is None:
        return None
    words, step = found
    inner = _named(step, (*FIRST, *DEEP) if words == "one step" else DEEP)
    if inner.name == "zero":  # with more steps something arrives, by another path
        why = f"a path to {case.leaf} is missing: with {words} nothing arrives at all"
        inner = replace(inner, name="missing-term", why=why, fix="add that term")
    return replace(inner, evidence=f"{inner.evidence}; with inputs of {words}")


def _named(case: Case, rules: tuple[Rule, ...]) -> Cause:
    """The first rule whose experiment confirms it at this point."""
    guess: Cause | None = None
    why = "wrong in no way that is known here"
    for rule in rules:
        try:
            found = rule(case)
        except OutOfTime:
            if time.monotonic() > case.bench.deadline:
                raise
            why = "no cause was found with as many passes as a search may make"
            break
        except (ValueError, IndexError, TypeError, ArithmeticError, np.linalg.LinAlgError):
            continue  # an experiment at a point or shape that the subject can't take
        if found is not None and found.confidence >= CONFIRMED:
            where = _part(case) if found.name not in ("slice", "sign") else ""
            return (
                replace(found, evidence=f"{found.evidence}; only {where} differs")
                if where
                else found
            )
        guess = guess or found
    if guess is not None:
        why = f"no experiment confirms what it looks most like, {guess.name}: {guess.why}"
        return Cause("unclassified", case.leaf, why, guess.evidence, guess.fix, 0)
    return Cause("unclassified", case.leaf, why, seen(case), "", 0)


def _part(case: Case) -> str:
    """Which part of an axis is wrong, such as one gate of several; empty if not a part of one."""
    wrong = case.wrong
    if np.all(np.abs(case.n[~wrong]) <= 1e-3 * case.size):
        return ""  # the others are not right, but 0
    where = hyperplane(wrong) if np.count_nonzero(wrong) > 1 else None
    return where if where and where.startswith("index") and " to " in where else ""


def seen(case: Case) -> str:
    """What there is to see where nothing explains it."""
    wrong = case.wrong
    where = _part(case)
    parts = [f"{np.count_nonzero(wrong)} of {wrong.size} elements differ"]
    parts = [f"{parts[0]}, all at {where}"] if where else parts
    a, n = case.a[wrong], case.n[wrong]
    with np.errstate(all="ignore"):
        ratios = (a / n)[np.isfinite(a / n)]
    if ratios.size:
        parts.append(f"analytic / numeric from {ratios.min():.4g} to {ratios.max():.4g}")
    if case.left_out.any():
        parts.append(f"{np.count_nonzero(case.left_out)} outputs on a kink left out")
    return "; ".join(parts)


def shape_cause(bench: Bench, leaf: str, raw: Any) -> Cause:
    """Why a gradient has another shape than its leaf."""
    x = bench.values[leaf]
    said = f"the gradient has the shape {np.shape(raw)}, {leaf} itself {x.shape}"
    c = bench.upstream()
    found = None
    if x.size <= ELEMENTS:
        matrix, _, _ = columns(bench, leaf, np.arange(x.size), c)
        n = (c @ matrix if matrix.shape[0] == bench.y.size else matrix).reshape(x.shape)
        found = _reshaped(leaf, said, np.asarray(bench.raw_gradients(c)[leaf], float), n)
    return found or Cause("shape", leaf, said, "", f"d{leaf}.shape has to be {leaf}.shape", 1.0)


def _equal(a: Array, b: Array) -> bool:
    size = float(np.max(np.abs(b), initial=0))
    return a.shape == b.shape and np.allclose(a, b, rtol=0, atol=1e-5 * size)


def _reshaped(leaf: str, said: str, g: Array, n: Array) -> Cause | None:
    """What has to be done to the claimed gradient to get the numeric one."""
    if g.ndim >= 2 and _equal(np.swapaxes(g, -1, -2), n):
        why, evidence = f"{said}: it is the transpose", "its transpose equals the numeric gradient"
        return Cause("transposed", leaf, why, evidence, f"d{leaf} = (…).T", 1.0)
    if g.size == n.size and _equal(g.reshape(n.shape), n):
        why = f"{said}: the numbers are right, the axes are not"
        evidence = "reshaped it equals the numeric gradient"
        fix = f"keepdims=True, or reshape the gradient to {leaf}.shape"
        return Cause("shape", leaf, why, evidence, fix, 1.0)
    for axes in _summed(g.shape, n.shape):
        if _equal(g.sum(axis=axes).reshape(n.shape), n):
            along = ", ".join(map(str, axes))
            why = f"{said}: it is not summed over axis {along}, along which {leaf} was repeated"
            evidence = f"summed over axis {along} it equals the numeric gradient"
            fix = f"d{leaf} = dout.sum(axis={axes[0] if len(axes) == 1 else axes})"
            return Cause("shape", leaf, why, evidence, fix, 1.0)
    total = float(np.sum(np.abs(n)))
    if g.ndim and g.size > 1 and abs(float(g.sum() - n.sum())) <= 1e-6 * total:
        evidence = "all its elements have the sum of the numeric gradient: the same terms, gathered"
        evidence += " along another axis"
        fix = "sum over the axes along which the leaf was repeated"
        return Cause("wrong-axis", leaf, f"{said}: summed over the wrong axis", evidence, fix, 0.9)
    return None


def _summed(given: tuple[int, ...], wanted: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Sets of axes whose sum may give an array of as many elements as wanted."""
    count = int(np.prod(wanted))
    sets = []
    for bits in range(1, 2 ** len(given)):
        axes = tuple(i for i in range(len(given)) if bits >> i & 1)
        rest = [n for i, n in enumerate(given) if i not in axes]
        if int(np.prod(rest)) == count:
            sets.append(axes)
    return sets
