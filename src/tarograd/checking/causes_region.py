"""Causes that show in which elements, or which paths to them, are wrong."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from tarograd.checking.case import Case
from tarograd.checking.jacobians import matrices
from tarograd.checking.points import samples
from tarograd.checking.report import Cause
from tarograd.checking.subject import Array


def overwrites(case: Case) -> Cause | None:
    """Where several contributions meet, only the one that a loop writes last is left."""
    shape = _shape(case)
    if shape is None or not case.others:
        return None
    for axes in _subsets(len(shape)):
        kinds = [_last_only(o, shape_, axes) for o, shape_ in _with_shapes(case)]
        kind = kinds[0]
        if kind is None or any(k != kind for k in kinds):
            continue
        which, along = kind, ", ".join(map(str, axes))
        if case.leaf in samples(case.bench) and _own_place(case, shape, axes):
            return _cause(
                "missing-term",
                case,
                "only the direct path is there: what an element does to other outputs is missing",
                f"of the contributions along axis {along} of the output exactly the one in the "
                "place of the element itself is there, and it is right",
                "add what comes back from the other outputs: +=, or the gradient of the carry",
            )
        if which == "one for all":
            return _cause(
                "slice",
                case,
                f"of the upstream gradient only the first index of axis {along} is used",
                "the claimed paths from the other outputs are all 0, those from it are right",
                "use all of dout",
                0.84,  # a carry that is missing in another leaf says more
            )
        return _cause(
            "overwrites",
            case,
            "where several outputs depend on one element, their contributions overwrite each other",
            f"of the contributions along axis {along} of the output exactly the {which} one is "
            "left in every element, and it is right; where there is only one, all is right",
            "add: dx[…] += …, or np.add.at(dx, index, …) for repeated indices",
        )
    return None


def _cause(name: str, case: Case, why: str, seen: str, fix: str, confidence: float = 0.92) -> Cause:
    points = f", at {1 + len(case.others)} random points"
    return Cause(name, case.leaf, why, seen + points, fix, confidence)


def _shape(case: Case) -> tuple[int, ...] | None:
    """The shape of the output, if there is only one that is an array."""
    outputs = case.bench.outputs
    return outputs[0].shape if len(outputs) == 1 and outputs[0].ndim else None


def _with_shapes(case: Case) -> Iterator[tuple[Case, tuple[int, ...]]]:
    for o in (case, *case.others):
        yield o, o.bench.outputs[0].shape


def _subsets(count: int) -> list[tuple[int, ...]]:
    return [s for k in range(1, count + 1) for s in combinations(range(count), k)]


def _last_only(case: Case, shape: tuple[int, ...], axes: tuple[int, ...]) -> str | None:
    """Whether of the positions along some axes of the output only one is left per element."""
    given = matrices(case)
    if given is None:
        return None
    a, n, tolerance = given
    there, kept = np.abs(n) > tolerance, np.abs(a) > tolerance
    if np.any(np.abs(a - n)[kept] > 10 * tolerance):
        return None
    index = np.indices(shape)[list(axes)].reshape(len(axes), -1)
    position = np.ravel_multi_index(tuple(index), tuple(shape[i] for i in axes))
    count = int(position.max()) + 1
    met, left, lost = (np.zeros((count, a.shape[1]), bool) for _ in range(3))
    np.logical_or.at(met, position, there)
    np.logical_or.at(left, position, there & kept)
    np.logical_or.at(lost, position, there & ~kept)
    touched = met.any(axis=0)
    writes = left.sum(axis=0)
    if np.any(left & lost) or np.any(writes[touched] > 1) or np.mean(writes[touched]) < 0.3:
        return None
    several = (met.sum(axis=0) > 1) & (writes == 1)
    if not several.any() or (case.x.shape == shape and _diagonal(kept)):
        return None
    return _which(left, met, several)


def _own_place(case: Case, shape: tuple[int, ...], axes: tuple[int, ...]) -> bool:
    """Whether the output that is left for element i is number i, or 2 i, 3 i, …: no loop's last."""
    given = matrices(case)
    if given is None:
        return False
    j, i = np.nonzero(np.abs(given[0]) > given[2])
    outputs, elements = np.unravel_index(j, shape), np.unravel_index(i, case.x.shape)
    for axis in axes:
        out = outputs[axis]
        fits = [
            np.array_equal(out, stride * place)
            for place in elements
            for stride in range(1, shape[axis] + 1)
            if np.ptp(place) > 0
        ]
        if not any(fits):
            return False
    return True


def _which(left: Array, met: Array, several: Array) -> str | None:
    """Whether it is the last position that is left, or the first: of some, or the one for all."""
    where, count = left.argmax(axis=0), len(met)
    first, last = met.argmax(axis=0), count - 1 - met[::-1].argmax(axis=0)
    if np.all((where == last)[several]):
        return "last"
    if not np.all((where == first)[several]):
        return None
    same = np.all(met[:, several] == met[:, several][:, :1])
    return "one for all" if same and count > 1 else "first"


def _diagonal(kept: Array) -> bool:
    """Whether each element keeps only the output in its own place: that is no loop."""
    return not np.any(kept & ~np.eye(len(kept), dtype=bool))


def slices(case: Case) -> Cause | None:
    """The wrong elements are the same at every point, and empty or off by one factor."""
    if not case.others or any(o.x.shape != case.x.shape for o in case.others):
        return None
    return _rows_left_out(case) or _same_elements(case)


def _same_elements(case: Case) -> Cause | None:
    sets = [case.wrong, *(o.wrong for o in case.others)]
    wrong = np.any(sets, axis=0)  # a gradient can be 0 by chance at one of the points
    kind = None if wrong.all() else _filled_with(case)
    moved = case.with_other_data
    if moved is None or wrong.all():
        return _end(case, wrong)
    if moved is not case and _follows_data(case, moved, wrong):
        return _end(case, wrong) or _of_data(case, kind or "several factors")
    if kind is None:
        return _end(case, wrong)
    where = hyperplane(wrong)
    if where is None or kind == "more" or any(not np.array_equal(s, wrong) for s in sets):
        return None
    seen = f"the same {np.count_nonzero(wrong)} of {wrong.size} elements"
    if kind == "sign":
        why, fix = f"only {where} is wrong: the sign; the rest is right", "turn the sign there"
        return _cause("sign", case, why, seen, fix)
    with np.errstate(all="ignore"):
        k = float(np.nanmedian((case.a / case.n)[wrong]))
    what = "not filled" if kind == "nothing" else f"{k:.6g} times what it should be"
    return _cause(
        "slice",
        case,
        f"only {where} is wrong: it is {what}; the rest is right",
        seen,
        "look at the bounds of the loop or slice that fills them"
        if kind == "nothing"
        else "look at what fills it: a factor, or the bounds of a loop or slice",
    )


def _follows_data(case: Case, moved: Case, wrong: Array) -> bool:
    """Whether other elements are wrong with other data; a few draws may repeat the same ones."""
    draws = (moved, *(case.shuffled() for _ in range(3)))
    return any(o is not None and bool(np.any(o.wrong & ~wrong)) for o in draws)


def _filled_with(case: Case) -> str | None:
    """What stands in the wrong elements, at every point: nothing, too much, a factor."""
    kinds = set()
    ratios = []
    for o in (case, *case.others):
        a, n = o.a[case.wrong], o.n[case.wrong]
        if not np.any(a):
            kinds.add("nothing")
        elif np.all(np.abs(n) <= 10 * o.tolerance):
            kinds.add("more")
        else:
            kinds.add("factor")
            with np.errstate(all="ignore"):
                ratios += [r for r in (a / n).ravel() if np.isfinite(r)]
    if len(kinds) != 1:
        return None
    if ratios and np.ptp(ratios) > 1e-4 * max(1e-9, max(map(abs, ratios))):
        return None
    kind = kinds.pop()
    return "sign" if ratios and abs(ratios[0] + 1) < 1e-4 else kind


def _of_data(case: Case, kind: str) -> Cause | None:
    """Which elements are wrong follows from data such as labels, masks or indices."""
    data = ", ".join(n for n in case.bench.subject.inputs if n not in case.bench.leaves)
    seen = f"the wrong elements move when {data} is permuted, and not with the float values"
    if kind == "nothing":
        why, fix = f"the term of the elements that {data} marks is missing", "add that term"
        return _cause("missing-term", case, why, seen, fix, 0.85)
    if kind == "more":
        why = f"a gradient passes to elements that {data} cuts off"
        return _cause("mask", case, why, seen, f"multiply by the mask from {data}", 0.9)
    if kind == "sign":
        why, fix = f"the elements that {data} marks have the wrong sign", "turn the sign there"
        return _cause("sign", case, why, seen, fix, 0.85)
    why = f"the elements that {data} marks have a wrong factor"
    return _cause("formula", case, why, seen, f"derive the term with {data} again", 0.8)


def turned_paths(case: Case) -> Cause | None:
    """Every entry of the claimed Jacobian is right or its negative, always the same ones."""
    signs = []
    for o in (case, *case.others):
        given = matrices(o)
        if given is None:
            return None
        a, n, tolerance = given
        right, turned = (np.abs(m) <= 10 * tolerance for m in (a - n, a + n))
        live = np.abs(n) > 100 * tolerance
        if not np.all(right | turned) or not np.any(right & live) or not np.any(turned & live):
            return None
        signs.append(np.where(live, np.where(right, 1, -1), 0))
    if any(s.shape != signs[0].shape or np.any(s * signs[0] < 0) for s in signs):
        return None
    seen = "each entry of the Jacobian is right or -1 times what it should be, always the same ones"
    why = "some of the paths have the wrong sign, such as what comes back from the next step"
    return _cause("sign", case, why, seen, "turn the sign of what those paths add", 0.9)


def _end(case: Case, wrong: Array) -> Cause | None:
    """Whether only the first or the last index of an axis is wrong, whatever the values are."""
    for axis, length in enumerate(wrong.shape):
        others = tuple(i for i in range(wrong.ndim) if i != axis)
        some = np.any(wrong, axis=others)
        if length < 3 or some[0] == some[-1] or np.count_nonzero(some) != 1:
            continue
        moved = [case.shuffled() for _ in range(3)]  # other labels, too
        every = np.all(wrong, axis=others)
        if not np.array_equal(some, every) and moved[0] is case:
            continue
        if any(o is None or np.any(np.any(o.wrong, axis=others) & ~some) for o in moved):
            continue
        return _cause(
            "slice",
            case,
            f"only index {int(some.argmax())} of axis {axis} is wrong, the rest is right",
            f"{np.count_nonzero(wrong)} of {wrong.size} elements, whatever the values",
            "look at the bounds of the loop or slice that fills them",
            0.85,
        )
    return None


def hyperplane(wrong: Array) -> str | None:
    """How a set of indices reads, if it is a part of an axis or a few elements."""
    if np.count_nonzero(wrong) == 1:
        return f"element {np.argwhere(wrong)[0].tolist()}"
    for axis in range(wrong.ndim):
        others = tuple(i for i in range(wrong.ndim) if i != axis)
        some, every = np.any(wrong, axis=others), np.all(wrong, axis=others)
        share = np.count_nonzero(wrong) / max(1, np.compress(some, wrong, axis=axis).size)
        if not some.all() and (np.array_equal(some, every) or share > 0.5):
            return f"index {_listed(np.flatnonzero(some))} of axis {axis}"
    return f"a set of {np.count_nonzero(wrong)} elements" if wrong.mean() < 0.34 else None


def _listed(places: Array) -> str:
    """Places in words, neighbors as a range."""
    first, last = int(places[0]), int(places[-1])
    if places.size > 2 and last - first == places.size - 1:
        return f"{first} to {last}"
    return ", ".join(map(str, places[:6])) + (", …" if places.size > 6 else "")


def _rows_left_out(case: Case) -> Cause | None:
    """The outputs of some rows pass nothing back, the others all that they should."""
    found = [_dead_rows(o) for o in (case, *case.others)]
    if found[0] is None or any(f is None or not np.array_equal(f, found[0]) for f in found):
        return None
    seen = "the rows of the Jacobian for the other outputs are 0"
    if len(case.bench.outputs) > 1:
        why = f"the paths from some of the {len(case.bench.outputs)} outputs are missing"
        fix = "add the gradients that arrive from every output"
        return _cause("missing-term", case, why, seen, fix, 0.85)
    shape = case.bench.outputs[0].shape
    dead: Array = found[0].reshape(shape)
    for axis in range(dead.ndim):
        others = tuple(i for i in range(dead.ndim) if i != axis)
        some, every = np.any(dead, axis=others), np.all(dead, axis=others)
        if not np.array_equal(some, every) or np.all(some):
            continue
        kept = np.flatnonzero(~some).tolist()
        if kept[-1] - kept[0] >= len(kept) or (0 not in kept and dead.shape[axis] - 1 not in kept):
            why = f"the terms from some indices of axis {axis} of the output are missing"
            return _cause(
                "missing-term",
                case,
                why,
                seen,
                "add them all: dx[…] += …, or np.add.at(dx, index, …) where an index comes twice",
                0.75,
            )
        why = f"of the upstream gradient only index {kept[:6]} of axis {axis} is used"
        return _cause("slice", case, why, seen, "use all of dout")
    return None


def _dead_rows(case: Case) -> Array | None:
    given = matrices(case)
    if given is None:
        return None
    a, n, tolerance = given
    right = np.all(np.abs(a - n) <= tolerance, axis=1)
    none = np.all(np.abs(a) <= tolerance, axis=1)
    if not np.all(right | none) or right.all() or not right.any():
        return None
    return np.asarray(~right)
