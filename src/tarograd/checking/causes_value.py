"""Causes that show in which way what is wrong depends on the values."""

from __future__ import annotations

import numpy as np

from tarograd.checking.case import Case
from tarograd.checking.jacobians import chosen_by_leaf, matrices
from tarograd.checking.report import Cause
from tarograd.checking.subject import Array

MULTIPLY = "multiply by the mask of forward: d{leaf} = dout * mask, with the one that it used"
SLOPE = "use the threshold of forward, and on each side of it the slope that forward has there"
SIDE = "{what} %s have a wrong slope, and the others the right one"
MASKS = {  # what is wrong, in words, and what to do
    "open": ("{what} that are cut off in forward pass their gradient on", MULTIPLY),
    "inverted": ("the mask is inverted", "turn it round: 1 where forward lets through, else 0"),
    "below": (SIDE % "below a threshold", SLOPE),
    "above": (SIDE % "above a threshold", SLOPE),
    "outside": (SIDE % "beyond two thresholds", SLOPE),
    "inside": (SIDE % "between two thresholds", SLOPE),
}


def mask(case: Case) -> Cause | None:
    """Wrong on one side of a threshold, or wherever the derivative is 0."""
    for rows in (True, False):
        kinds = [_mask_kind(o, rows) for o in (case, *case.others)]
        if case.others and kinds[0] and all(k == kinds[0] for k in kinds):
            what, (why, fix) = "outputs" if rows else "elements", MASKS[kinds[0]]
            seen = f"holds for every one of the {what} at three random points"
            fix = fix.format(leaf=case.leaf)
            return Cause("mask", case.leaf, why.format(what=what), seen, fix, 0.9)
    return None


def _mask_kind(case: Case, rows: bool) -> str | None:
    given = matrices(case)
    if given is None:
        return None
    a, n, tolerance = given
    if not rows:
        a, n = a.T, n.T
    judged = ~case.left_out if rows else np.ones(len(a), bool)
    no_a, no_n = (np.all(np.abs(m) <= tolerance, axis=1) for m in (a, n))
    equal = np.all(np.abs(a - n) <= tolerance, axis=1)
    wrong = ~equal & judged
    with np.errstate(all="ignore"):
        ratio = np.sum(a * n, axis=1) / np.sum(n * n, axis=1)
    along = np.all(np.abs(a - np.nan_to_num(ratio)[:, None] * n) <= 10 * tolerance, axis=1)
    live = judged & ~no_n
    open_ = judged & no_n & ~no_a
    if live.any() and np.all(no_a[live]) and open_.any() and np.all(open_[judged & no_n]):
        return "inverted"
    passes = open_.any() and np.all(open_[judged & no_n]) and live.any() and np.all(along[live])
    if passes and np.ptp(ratio[live]) <= 1e-4 * abs(ratio[live]).max():
        return "open"
    return _side(case, rows, wrong, judged, ratio, along | no_a | no_n)


def _side(
    case: Case, rows: bool, wrong: Array, judged: Array, ratio: Array, along: Array
) -> str | None:
    """Whether what is wrong lies beyond a threshold of the value, with one constant slope."""
    if not np.any(wrong) or not np.all(along[wrong]) or not np.any(judged & ~wrong):
        return None
    steep = ratio[wrong]
    finite = np.isfinite(steep)
    same = float(np.ptp(steep)) <= 1e-4 * max(1e-9, float(abs(steep).max()))
    if finite.any() and not (finite.all() and same):
        return None
    values = case.bench.y if rows else case.x.ravel()
    features = [values] + ([case.x.ravel()] if case.x.size == len(wrong) else [])
    for v in features:
        bad, good = v[wrong], v[judged & ~wrong]
        sides = {
            "below": bad.max() <= good.min(),
            "above": bad.min() >= good.max(),
            "outside": abs(bad).min() >= abs(good).max(),
            "inside": abs(bad).max() <= abs(good).min(),
        }
        if any(sides.values()):
            return next(side for side, holds in sides.items() if holds)
    return None


def coupling(case: Case) -> Cause | None:
    """The elements of the Jacobian that differ from 0 lie along another axis."""
    shape = case.x.shape
    if len(case.bench.outputs) != 1 or case.bench.outputs[0].shape != shape or len(shape) < 2:
        return None
    found = [_coupled(o) for o in (case, *case.others)]
    if not case.others or found[0] is None or any(f != found[0] for f in found):
        return None
    claimed, numeric = found[0]
    if claimed == numeric or not claimed:
        return None
    return Cause(
        "wrong-axis",
        case.leaf,
        f"elements are coupled along axis {claimed} instead of {numeric}",
        "the pattern of the claimed Jacobian, at three random points",
        f"sum over axis {numeric} instead",
        0.85,
    )


def direction(case: Case) -> Cause | None:
    """What reaches what: the claimed pattern is the numeric one turned round, or along others."""
    shape = case.x.shape
    if len(case.bench.outputs) != 1 or case.bench.outputs[0].shape != shape or not case.others:
        return None
    patterns = []
    for o in (case, *case.others):
        given = matrices(o)
        if given is None or o.x.shape != shape:
            return None
        patterns.append([np.abs(m) > given[2] for m in given[:2]])
    a, n = patterns[0]
    if any(not np.array_equal(p, a) or not np.array_equal(q, n) for p, q in patterns[1:]):
        return None
    if np.array_equal(a, n.T) and not np.array_equal(a, n):
        return Cause(
            "flipped",
            case.leaf,
            "backward runs in the direction of forward, not against it",
            "the claim connects the elements that the numeric Jacobian connects, the other way "
            "round, at three random points",
            "go through the axis from the end: reversed(range(n)), x[::-1]",
            0.8,
        )
    both = np.diag(a & n)
    gap = np.abs(case.claimed - case.numeric) > matrices(case)[2]  # type: ignore[index]  # not None
    if both.all() and np.any(a & ~n) and np.any(gap & n & ~np.eye(len(n), dtype=bool)):
        return Cause(
            "wrong-axis",
            case.leaf,
            "elements are coupled that forward does not couple, in place of those that it does",
            "the pattern of the claimed Jacobian, at three random points",
            "sum over the axis that forward sums over",
            0.75,
        )
    return None


def untransposed(case: Case) -> Cause | None:
    """Backward multiplies by the Jacobian where it should by its transpose."""
    points = (case, *case.others)
    if not case.others or any(o.bench.y.size != o.x.size or not o.has_matrices for o in points):
        return None
    if not all(np.all(np.abs(o.claimed - o.numeric.T) <= 10 * o.tolerance) for o in points):
        return None
    return Cause(
        "transposed",
        case.leaf,
        "backward applies the matrix that forward applies, not its transpose",
        "the claimed Jacobian is the transpose of the numeric one, at three random points",
        "use the transpose: .T, or np.swapaxes",
        0.85,
    )


def _coupled(case: Case) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    given = matrices(case)
    if given is None:
        return None
    result = []
    for m in given[:2]:
        j, i = np.nonzero(np.abs(m) > given[2])
        apart = [
            p != q
            for p, q in zip(*(np.unravel_index(k, case.x.shape) for k in (j, i)), strict=True)
        ]
        result.append(tuple(axis for axis, d in enumerate(apart) if d.any()))
    return result[0], result[1]


def piecewise(case: Case) -> Cause | None:
    """Exactly right for some paths and wrong for others, and which depends on the values."""
    rights, wrongs, slopes = [], [], []
    for o in (case, *case.others):
        given = matrices(o)
        if given is None:
            return None
        a, n, tolerance = given
        live = np.maximum(np.abs(a), np.abs(n)) > 100 * tolerance
        live[o.left_out] = False
        sharp = tolerance if o.bench.ulp > 1e-10 else 1e-8 * float(np.max(np.abs(n), initial=0))
        rights.append(live & (np.abs(a - n) <= sharp))
        wrongs.append(live & (np.abs(a - n) > 100 * tolerance))
        both = wrongs[-1] & (np.abs(n) > 100 * tolerance)
        slopes += list(a[both] / n[both])
    right, wrong = (sum(map(np.count_nonzero, m)) for m in (rights, wrongs))
    pairs = [(r, w) for i, r in enumerate(rights) for k, w in enumerate(wrongs) if i != k]
    changed = sum(np.count_nonzero(r & w) for r, w in pairs if r.shape == w.shape)
    # Beyond a threshold a path is open, closed, or has one other slope; else more has to change.
    one = not slopes or np.ptp(slopes) <= 1e-3 * max(1e-9, float(np.max(np.abs(slopes))))
    enough = 0.1 if one else 0.3
    if not wrong or min(right, wrong) < 0.1 * (right + wrong) or changed < enough * (right + wrong):
        return None
    if not chosen_by_leaf(case):
        return None
    seen = f"{right / (right + wrong):.0%} of the entries of the Jacobian are right to the last "
    seen += "digit, and which ones changes with the values, at three random points"
    if not one and len(slopes) == wrong:  # no path is open that should be shut, or shut
        why = "right on one side of a threshold, and on the other a wrong derivative"
        return Cause("formula", case.leaf, why, seen, "derive it again there", 0.75)
    return Cause(
        "mask",
        case.leaf,
        "right on one side of a threshold or choice, wrong on the other",
        seen,
        "use the mask, argmax or branch that forward used",
        0.75,
    )


def other_axis(case: Case) -> Cause | None:
    """A vector that lies along one axis of the output gets the sums along another."""
    if case.x.ndim != 1 or len({y.ndim for y in case.bench.outputs}) != 1 or not case.others:
        return None
    found = [_axes_of_vector(o) for o in (case, *case.others)]
    if found[0] is None or any(axes != found[0] for axes in found):
        return None
    claimed, numeric = found[0]
    return Cause(
        "wrong-axis",
        case.leaf,
        f"its elements follow axis {claimed} of the output, where forward lays them along axis "
        f"{numeric}",
        "which output depends on which element, in the two Jacobians at three random points",
        f"sum over the axes of the output other than {numeric}",
        0.85,
    )


def _axes_of_vector(case: Case) -> tuple[int, int] | None:
    """Along which axes of the output a vector lies, claimed and numeric, if they differ."""
    given = matrices(case)
    if given is None:
        return None
    own = [index[:, None] == np.arange(case.x.size) for index in _places(case).T]
    links = [np.abs(m) > given[2] for m in given[:2]]
    claimed, numeric = ([i for i, o in enumerate(own) if np.array_equal(o, k)] for k in links)
    return (claimed[0], numeric[0]) if claimed and numeric and claimed != numeric else None


def displaced(case: Case) -> Cause | None:
    """For each output the right numbers stand in the wrong places."""
    found = [matrices(o) for o in (case, *case.others)]
    given = [_whole_windows(*g) for g in found if g is not None]
    if len({y.ndim for y in case.bench.outputs}) != 1 or case.left_out.any():
        return None
    if len(given) < len(found) or case.bench.y.size < 2 or case.x.size < 4 or not case.others:
        return None
    if not all(_same_numbers(a, n, tolerance) for a, n, tolerance, _ in given):
        return None
    links = [[np.abs(m) > tolerance for m in (a, n)] for a, n, tolerance, _ in given]
    if any(np.shape(p) != np.shape(links[0]) or np.any(np.not_equal(p, links[0])) for p in links):
        return _other_choice(case, [n for _, n in links])
    moves = [
        _moves(a, n, tolerance, case.x.shape, _places(case)[k]) for a, n, tolerance, k in given
    ]
    if any(m is None or m != moves[0] for m in moves):
        return None
    name = "shifted" if moves[0] else "layout"
    why = "for each output the numbers are right, but they go to the wrong places"
    if name == "shifted":
        why += ": an offset, a stride or a window that is not that of forward"
        fix = "use the same index expression in backward as in forward"
    else:
        why += ": the axes are in another order"
        fix = "transpose the axes (np.transpose) where they were only reshaped"
    seen = "for every output the claimed derivatives are the numeric ones "
    seen += "moved by the same distance" if name == "shifted" else "in another order"
    return Cause(name, case.leaf, why, f"{seen}, at three random points", fix, 0.8)


def _whole_windows(a: Array, n: Array, tolerance: float) -> tuple[Array, Array, float, Array]:
    """The outputs of which nothing falls beyond an edge, such as into a padding; their indices."""
    counts = [np.count_nonzero(np.abs(m) > tolerance, axis=1) for m in (a, n)]
    whole = np.flatnonzero((counts[0] == np.max(counts)) & (counts[1] == np.max(counts)))
    if len(whole) < 0.4 * len(a):
        whole = np.arange(len(a))
    return a[whole], n[whole], tolerance, whole


def _same_numbers(a: Array, n: Array, tolerance: float) -> bool:
    """Whether for each output the claimed derivatives are the numeric ones in another order."""
    return bool(np.all(np.abs(np.sort(a, axis=1) - np.sort(n, axis=1)) <= 10 * tolerance))


def _other_choice(case: Case, links: list[Array]) -> Cause | None:
    """Forward chooses elements by their values, such as the largest, and backward others."""
    few = all(np.all(np.count_nonzero(n, axis=1) <= 1) for n in links)
    chosen = any(n.shape == links[0].shape and np.any(n != links[0]) for n in links[1:])
    if not few or not chosen:
        return None
    return Cause(
        "mask",
        case.leaf,
        "the gradient goes to other elements than those that forward chose",
        "each output passes its gradient to one element, and which one forward took depends on "
        f"the values, at {1 + len(case.others)} random points",
        "keep the argmax (or mask) in forward and use it in backward, with the same indices",
        0.85,
    )


def _moves(
    a: Array, n: Array, tolerance: float, shape: tuple[int, ...], index: Array
) -> bool | None:
    """Whether each output's numbers are moved alike, by a distance that grows with its index."""
    moves, places = [], []
    for claimed, numeric, place in zip(a, n, index, strict=True):
        start = np.unravel_index(np.argmax(np.abs(numeric)), shape)
        fits = np.abs(claimed - numeric[np.argmax(np.abs(numeric))]) <= 10 * tolerance
        ends = [np.unravel_index(i, shape) for i in np.flatnonzero(fits)]
        distances = [np.subtract(end, start) for end in ends]
        alike = [
            d
            for d in distances
            if np.all(
                np.abs(np.roll(numeric.reshape(shape), d, range(len(shape))).ravel() - claimed)
                <= 10 * tolerance
            )
        ]
        if not alike:
            return False
        moves.append(min(alike, key=lambda d: float(np.abs(d).sum())))
        places.append(place)
    if not np.any(moves):
        return None
    terms = np.column_stack([np.ones(len(places)), np.array(places)])
    by_index = np.linalg.lstsq(terms, np.array(moves, float), rcond=None)[0]
    return bool(np.all(np.abs(terms @ by_index - moves) < 1e-6))


def _places(case: Case) -> Array:
    """The index of every output."""
    shapes = [y.shape for y in case.bench.outputs]
    return np.concatenate([np.argwhere(np.ones(shape)) for shape in shapes])


def _turned(given: tuple[Array, Array, float] | None) -> bool:
    """Whether outputs and elements have changed places, one for one."""
    if given is None or given[0].shape[0] != given[0].shape[1]:
        return False
    a, n = (np.abs(m) > 10 * given[2] for m in given[:2])
    return bool(np.array_equal(a, n.T) and np.all(n.sum(axis=0) <= 1))


def _symmetric(given: tuple[Array, Array, float] | None) -> bool:
    if given is None:
        return True
    n = np.abs(given[1]) > 10 * given[2]
    return bool(np.array_equal(n, n.T))


def permuted(case: Case) -> Cause | None:
    """The right numbers in another order."""
    cases = (case, *case.others)
    if case.x.size < 4 or not case.others:
        return None
    for o in cases:
        gap = np.abs(np.sort(o.a, axis=None) - np.sort(o.n, axis=None))
        if np.any(gap > 2 * o.tolerance) or np.ptp(o.n) <= 100 * o.tolerance:
            return None
    given = [matrices(o) for o in cases]
    if all(g is not None and g[0].shape == given[0][0].shape for g in given):  # type: ignore[index]  # not None
        a, n = (np.concatenate([g[k] for g in given]) for k in (0, 1))  # type: ignore[index]  # not None
        slack = 10 * max(g[2] for g in given)  # type: ignore[index]  # not None
        if all(map(_turned, given)) and not all(map(_symmetric, given)):
            return Cause(
                "layout",
                case.leaf,
                "the order of forward is applied once more, where it has to be undone",
                "the claim connects the same outputs and elements the other way round, at three "
                "random points",
                "scatter where forward gathers: dx[index] = dout, not dout[index]",
                0.85,
            )
        if any(not np.any(np.max(np.abs(n - one[:, None]), axis=0) <= slack) for one in a.T):
            return Cause(
                "mask",
                case.leaf,
                "the gradient goes to other elements than those that forward chose",
                "the claimed numbers are right but elsewhere, and where they belong depends on "
                "the values, at three random points",
                "keep the argmax (or mask) in forward and use it in backward",
                0.8,
            )
    return Cause(
        "layout",
        case.leaf,
        "the gradient has the right numbers in the wrong order",
        "sorted, the claimed and the numeric gradient are equal, at three random points",
        "transpose the axes (np.transpose) where they were only reshaped, or undo the order",
        0.8,
    )
