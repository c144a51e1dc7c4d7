"""Causes that put the right numbers in the wrong place, or take the wrong array."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tarograd.checking.case import Case
from tarograd.checking.jacobians import matrices
from tarograd.checking.points import samples, unequal
from tarograd.checking.report import Cause
from tarograd.checking.subject import Array, Values
from tarograd.checking.transforms import Transform, transforms


def wrong_layout(case: Case) -> Cause | None:
    """The gradient or the upstream gradient laid out wrongly."""
    return _of_result(case) or _of_upstream(case)


def _of_result(case: Case) -> Cause | None:
    for kind, words, turn in transforms(case.x.shape):
        if not case.fits(turn(case.n)) or not _again(case, lambda o, t=turn: t(o.n)):
            continue
        moved = case.with_other_data  # indices may have put things in order by chance
        if moved is None or not moved.fits(turn(moved.n)):
            continue
        gathered = case.whole and np.all(np.count_nonzero(case.numeric, axis=0) <= 1)
        if kind == "transposed" and gathered and 1 < case.bench.y.size < case.x.size:
            kind, words = "wrong-axis", "spread along the wrong axis"
        said = f"the gradient has the right numbers, but {words}"
        return _cause(kind, case.leaf, said, f"the numeric gradient {words}")
    return None


def _again(case: Case, explain: object) -> bool:
    """Whether the explanation holds at the other points as well."""
    return bool(case.others) and all(o.fits(explain(o)) for o in case.others)  # type: ignore[operator]  # a callable


def _shapes(case: Case) -> tuple[int, ...] | None:
    outputs = case.bench.outputs
    return outputs[0].shape if len(outputs) == 1 and outputs[0].ndim else None


def _of_upstream(case: Case) -> Cause | None:
    shape = _shapes(case)
    if not case.whole or shape is None or not case.bench.subject.takes_upstream:
        return None
    for kind, words, turn in transforms(shape):

        def plain(o: Case, turn: object = turn) -> Array:
            c = turn(o.c.reshape(shape)).reshape(-1)  # type: ignore[operator]  # a transform
            unknown = np.isnan(c) @ (o.numeric != 0)
            n = np.where(unknown, np.nan, np.nan_to_num(c) @ o.numeric)
            return np.asarray(n).reshape(o.x.shape)

        matrix = case.x.ndim > 1 and min(case.x.shape) > 1
        named = "wrong-axis" if kind == "transposed" and not matrix else kind
        if case.fits(plain(case)) and _again(case, plain):
            if kind == "transposed" and _reordered(case):
                said = "the upstream gradient is read in the wrong order of its axes"
                equals = "with unequal lengths, the gradient for an upstream gradient read so"
                return _cause("layout", case.leaf, said, equals)
            said = f"the upstream gradient is taken {words}"
            return _cause(named, case.leaf, said, f"the gradient for an upstream {words}")
        if shape != case.x.shape:
            continue

        def both(o: Case, turn: object = turn, plain: object = plain) -> Array:
            return np.asarray(turn(plain(o)))  # type: ignore[operator]  # transforms

        if case.fits(both(case)) and _again(case, both):
            said = f"backward runs {words}: as forward does, not against it"
            return _cause(named, case.leaf, said, f"the gradient of the function {words}")
    return None


def _reordered(case: Case) -> bool:
    """Whether an exchange of equal axes is a reshape where their lengths differ."""
    if np.all(np.count_nonzero(case.numeric, axis=1) <= 1):
        return False  # a leaf that is spread along an axis, the wrong one
    for values in unequal(case.bench):
        other = case.at(values)
        shape = _shapes(other) if other is not None and other.whole else None
        if other is None or shape is None or len(set(shape)) < min(2, len(shape)):
            continue
        for _, _, turn in transforms(shape, ("layout",)):
            c = turn(other.c.reshape(shape)).reshape(-1)
            if np.any(other.wrong) and other.fits((c @ other.numeric).reshape(other.x.shape)):
                return True
    return False


def operand(case: Case) -> Cause | None:
    """Another array: numeric with it transposed, flipped or shifted gives what is claimed."""
    for name in case.bench.leaves:
        x = case.bench.values[name]
        if name == case.leaf or x.ndim == 0:
            continue
        for kind, words, turn in transforms(x.shape, ("transposed", "flipped", "shifted")):
            if not _operand_again(case, name, turn):
                continue
            if case.others and all(_operand_again(o, name, turn) for o in case.others):
                return _cause(
                    kind,
                    case.leaf,
                    f"{name} is used {words}",
                    f"the numeric gradient for {name} {words}",
                )
    return None


def _operand_again(case: Case, name: str, turn: object) -> bool:
    x = case.bench.values[name]
    turned = turn(x)  # type: ignore[operator]  # a transform
    values = case.bench.values
    filled = [np.nan_to_num(turned)]
    if np.isnan(turned).any():  # what leaves at one end comes in at the other
        for by in (1, -1, 2, -2):
            for axis in range(x.ndim):
                rolled = np.roll(x, by, axis)
                if np.array_equal(rolled[~np.isnan(turned)], turned[~np.isnan(turned)]):
                    filled.append(rolled)
    return any(case.fits_at({**values, name: f.astype(x.dtype)}) for f in filled)


def _cause(kind: str, leaf: str, why: str, equals: str) -> Cause:
    fixes = {
        "transposed": "use the transpose: .T, or np.swapaxes",
        "flipped": "reverse that axis: np.flip",
        "shifted": "move the index by that much",
        "layout": "transpose the axes (np.transpose) where they were only reshaped",
        "wrong-axis": "sum or spread along the other axis",
    }
    return Cause(
        kind,
        leaf,
        why,
        f"{equals} equals the claimed one, here and at two other points",
        fixes[kind],
        0.95,
    )


def _substitutions(case: Case) -> Iterator[tuple[str, dict[str, Array]]]:
    """Points with one array in the place of another one."""
    values = case.bench.values
    shape = _shapes(case)
    floats = [n for n in values if values[n].dtype.kind == "f"]
    if shape == case.x.shape:
        y = case.bench.y.reshape(shape)
        yield "the output in place of the input", {**values, case.leaf: y}
    for p in floats:
        for q in floats:
            if p != q and values[p].shape == values[q].shape:
                yield f"{q} in place of {p}", {**values, p: values[q]}
        if p != case.leaf and shape == values[p].shape:
            yield f"the output in place of {p}", {**values, p: case.bench.y.reshape(shape)}


def _passed_on(case: Case) -> bool:
    """Whether the upstream gradient is handed on: that fits many points, such as sorted ones."""
    return case.a.size == case.c.size and bool(np.all(case.a.reshape(-1) == case.c))


def _unmoved(case: Case, values: Values) -> bool:
    """Whether forward makes nothing new of the output, as a normalization: then that fits more."""
    x = values[case.leaf]
    moved = x is not case.bench.values[case.leaf] and case.bench.y.size == x.size
    return moved and bool(np.allclose(case.bench.evaluate(values), x.ravel(), rtol=1e-6))


def _cut_off(case: Case) -> bool:
    """Whether what is right at some points is wrong at others by being 0: a gate, no exchange."""
    right, wrong = [], []
    for o in (case, *case.others):
        given = matrices(o)
        if given is None:
            return False
        a, n, tolerance = given
        right.append((np.abs(n) > 100 * tolerance) & (np.abs(a - n) <= tolerance))
        wrong.append((np.abs(n) <= tolerance) & (np.abs(a) > 100 * tolerance))
        if np.any(~wrong[-1] & (np.abs(a - n) > 100 * tolerance)):
            return False
    pairs = [(r, w) for r in right for w in wrong if r.shape == w.shape]
    return any(np.any(r & w) for r, w in pairs)


def wrong_tensor(case: Case) -> Cause | None:
    """Another array of the same shape: input for output, one operand for the other."""
    if _cut_off(case):
        return None
    factor = _multiplied_with(case) or _passed_through(case)
    if factor:
        return factor
    swapped = _exchanged(case)
    if swapped:
        return swapped
    for words, values in _substitutions(case):
        if not case.fits_at(values) or _passed_on(case) or _unmoved(case, values):
            continue
        if all(any(w == words and o.fits_at(v) for w, v in _substitutions(o)) for o in case.others):
            return _taken(case, words)
    shape = _shapes(case)
    if shape == case.x.shape and all(_inverse(o) for o in (case, *case.others)):
        return _taken(case, "the input in a formula that is meant for the output")
    return _exchanged(case, mutual=False)


def _multiplied_with(case: Case) -> Cause | None:
    """A parameter whose claimed Jacobian is made of an input, and the numeric one is not."""
    shape = _shapes(case)
    inputs = samples(case.bench)
    if case.leaf in inputs or not case.others:
        return None
    for name in inputs:
        x = case.bench.values[name]
        if (
            x.dtype.kind == "f"
            and x.shape == shape
            and all(_made_of(o, o.bench.values[name]) for o in (case, *case.others))
        ):
            return Cause(
                "wrong-tensor",
                case.leaf,
                f"the upstream gradient is multiplied with {name} itself",
                f"the claimed Jacobian is made of the elements of {name}, the numeric one is not, "
                "here and at two other points",
                f"multiply with what forward multiplies {case.leaf} with",
                0.9,
            )
    return None


def other_array(case: Case) -> Cause | None:
    """Forward is linear in a weight, and what stands beside it is another array in backward."""
    if case.leaf in samples(case.bench) or not case.others:
        return None
    given = matrices(case)
    moved = [case.at({**case.bench.values, case.leaf: o.x}) for o in case.others]
    if given is None or any(o is None or not o.has_matrices for o in moved):
        return None
    a, n, tolerance = given
    has_a, has_n = (np.abs(m) > tolerance for m in (a, n))
    gaps = [(o.claimed - a, o.numeric - n) for o in moved if o is not None]
    if any(p.shape != a.shape or np.any(np.abs((p, q)) > tolerance) for p, q in gaps):
        return None
    if not np.array_equal(has_a, has_n) or np.mean(np.abs(a - n)[has_a] > 10 * tolerance) < 0.9:
        return None
    return Cause(
        "wrong-tensor",
        case.leaf,
        f"the upstream gradient is not multiplied with what forward multiplies {case.leaf} with",
        f"neither Jacobian depends on {case.leaf}, and where one is 0 the other is; the numbers "
        f"differ, at {len(gaps) + 1} points",
        f"take the array that stands beside {case.leaf} in forward",
        0.75,
    )


def _passed_through(case: Case) -> Cause | None:
    """An input whose claimed gradient is dout @ V.T with a parameter V that forward changes."""
    shape = _shapes(case)
    if shape is None or case.leaf not in samples(case.bench) or not case.others:
        return None

    def plain(o: Case, name: str) -> Array:
        c = o.c.reshape(o.bench.outputs[0].shape)
        return np.asarray(c @ o.bench.values[name].T)

    for name in case.bench.leaves:
        v = case.bench.values[name]
        fits = v.ndim == 2 and v.shape == (case.x.shape[-1:] + shape[-1:])
        fits = fits and all(o.fits(plain(o, name)) for o in (case, *case.others))
        if fits and _is_linear(case):
            return Cause(
                "wrong-tensor",
                case.leaf,
                f"the upstream gradient goes back through {name} itself",
                f"the claim is dout @ {name}.T, here and at two other points",
                f"use what forward makes of {name}, and multiplies with",
                0.9,
            )
    return None


def _is_linear(case: Case) -> bool:
    """Whether the numeric Jacobian stays when the leaf changes."""
    there = case.at({**case.bench.values, case.leaf: case.others[0].x})
    alike = there is not None and there.whole and there.numeric.shape == case.numeric.shape
    if there is None or not alike:
        return False
    return bool(np.max(np.abs(there.numeric - case.numeric)) <= 1e-6 * np.max(np.abs(case.numeric)))


def _made_of(case: Case, x: Array) -> bool:
    given = matrices(case)
    if given is None or len(given[0]) != x.size:
        return False
    a, n, tolerance = given
    there, like = np.abs(a) > tolerance, np.abs(a - x.reshape(-1, 1)) <= tolerance
    other = np.abs(a - n) > 100 * tolerance
    return bool(np.all(like[there]) and there.any(axis=1).mean() > 0.9 and other[there].any())


def _inverse(case: Case) -> bool:
    """Whether the claim at x = f(x₀) is the derivative at x₀."""
    moved = {**case.bench.values, case.leaf: case.bench.y.reshape(case.x.shape)}
    try:
        a = case.bench.gradients(case.c, moved)[case.leaf]
    except Exception:
        return False
    size = float(np.max(np.abs(case.n), initial=0))
    return bool(size) and bool(np.all(np.abs(a - case.n) <= 1e-6 * size + 20 * case.bar))


def _exchanged(case: Case, mutual: bool = True) -> Cause | None:
    """The gradient of another leaf, which may have that of this one in return."""
    for name in case.bench.leaves:
        if name == case.leaf or case.bench.values[name].shape != case.x.shape:
            continue
        pairs = [(case, Case(case.bench, name, case.c))]
        pairs += [(o, Case(o.bench, name, o.c)) for o in case.others]
        back = not mutual or all(np.any(b.wrong) and b.fits(a.n) for a, b in pairs)
        if back and all(a.fits(b.n) for a, b in pairs):
            return _taken(case, f"the gradient of {name} in place of that of {case.leaf}")
    return None


def _taken(case: Case, words: str) -> Cause:
    return Cause(
        "wrong-tensor",
        case.leaf,
        f"backward takes {words}",
        "the numeric derivative with that exchange equals the claim, here and at two other points",
        "take the array that the formula is meant for",
        0.95,
    )


__all__ = ["Transform", "operand", "other_array", "wrong_layout", "wrong_tensor"]
