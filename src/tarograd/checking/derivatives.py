"""The gradients of the leaves against their numeric derivatives, here and at other points."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from tarograd.checking.bench import Bench
from tarograd.checking.case import Case, columns, quicker
from tarograd.checking.causes import name_cause
from tarograd.checking.causes_steps import with_steps
from tarograd.checking.decision import RIGHT, UNKNOWN, WRONG, Judgement, judge, random_direction
from tarograd.checking.guard import guard
from tarograd.checking.large import (
    SKETCHED,
    culprits,
    lone_cause,
    sampled_cause,
    severity,
    sketched_cause,
    small_mismatch,
)
from tarograd.checking.points import (
    elsewhere,
    nudged,
    rounded,
    runs,
    unequal,
    unused_size,
    with_batch,
)
from tarograd.checking.probes import Probes
from tarograd.checking.projection import FIRST
from tarograd.checking.report import Cause, GradientReport, LeafReport
from tarograd.checking.search import Search
from tarograd.checking.subject import Array, Values

MODES = {"contract": 0, "quick": 2, "default": 3, "thorough": 6}  # directions for each leaf
APPROXIMATION = 5e-7  # a smaller relative mismatch may be meant
SMALL = 1e-4  # a relative mismatch that a small constant may have caused
MOST_WORK = 3_000_000  # elements moved and outputs read in one step of a bisection
MOST_CASE = 1e8  # elements moved and read in differentiating all of a leaf once
ROUNDED = 1e-2  # a larger mismatch is not the rounding of a short dtype
SAMPLE = 4, 12  # elements of a leaf at least, of all together: shown where it is right
ELEMENTS = 4096  # up to so many elements are differentiated one by one


@dataclass
class Derivatives:
    """The part of a check that compares derivatives; it writes into the report."""

    bench: Bench
    probes: Probes
    report: GradientReport
    mode: str
    strict: bool
    beside: dict[str, Bench] = field(default_factory=dict)
    guarded: set[str] = field(default_factory=set)  # leaves that differ by a guard, everywhere

    def run(self) -> None:
        """Judge every leaf; where one is wrong, name the cause; where all are right, look on."""
        bench, wrong = self.bench, []
        for leaf in bench.leaves:
            judged = self._judge(bench, (leaf,))
            found = self._leaf(bench, leaf, judged)
            if found.verdict == WRONG:
                wrong.append((leaf, judged, found))
        first = with_steps(bench)  # what is carried from step to step shows there best
        wrong.sort(key=lambda w: (w[0] not in first, _extent(w[2])))
        causes = self.diagnose(bench, [leaf for leaf, _, _ in wrong])
        for leaf, judged, found in wrong:
            cause = causes[leaf]
            vague = cause is None or cause.name == "unclassified"
            if not (vague and judged.left_out and self._right_beside(bench, leaf, found)):
                self._wrong(bench, found, cause)
        explained = any(leaf.verdict == WRONG for leaf in self.report.leaves.values())
        if MODES[self.mode] >= MODES["default"] and not explained and not self.report.causes:
            self._elsewhere()

    def _judge(self, bench: Bench, leaves: tuple[str, ...]) -> Judgement:
        """Judge some leaves along several directions; what is wrong has to be wrong again."""
        best: Judgement | None = None
        for kind in range(MODES[self.mode]):
            first, one = self._resolved(bench, leaves, kind)
            if one.verdict == WRONG:
                again = []
                for part in (0.36, 0.6):
                    direction = random_direction(bench, leaves, kind)
                    again.append(judge(bench, direction, bench.upstream(), first * part))
                if all(j.verdict == WRONG for j in again):
                    return max([one, *again], key=lambda j: j.severity)
                one = next(j for j in again if j.verdict != WRONG)
            better = best is None or (one.verdict == RIGHT and best.verdict == UNKNOWN)
            if better or (best and one.verdict == best.verdict and one.severity > best.severity):
                best = one
        return best or Judgement(UNKNOWN, 0.0, np.inf, 0.0, 0, "no direction was tried")

    def _resolved(
        self, bench: Bench, leaves: tuple[str, ...], kind: int
    ) -> tuple[float, Judgement]:
        """Judge with larger first steps while rounding noise hides the derivative.

        A leaf can be tiny beside the scale on which the function changes.
        """
        one = judge(bench, random_direction(bench, leaves, kind), bench.upstream())
        if one.verdict != UNKNOWN or one.reason != "noise":
            return FIRST, one
        for first in (16.0, 1024.0, 65536.0):
            wider = judge(bench, random_direction(bench, leaves, kind), bench.upstream(), first)
            if wider.verdict != UNKNOWN:
                return first, wider
        return FIRST, one

    def _leaf(self, bench: Bench, leaf: str, judged: Judgement) -> LeafReport:
        """The report of one leaf; near a kink it is judged beside it as well."""
        outputs = bench.y.size
        crowded = judged.left_out > 0.2 * outputs
        if judged.verdict != WRONG and (judged.verdict == UNKNOWN or crowded):
            for size in (0.05, 0.3):
                beside = runs(bench, nudged(bench, size))
                second = self._judge(beside, (leaf,)) if beside else judged
                if second.verdict == WRONG or judged.verdict == UNKNOWN:
                    judged = second
                if beside and second.verdict != UNKNOWN:
                    self.report.notes.append(
                        f"{leaf}: the point lies on kinks; judged at a point beside it"
                    )
                    self.beside[leaf] = beside
                    break
        elif judged.left_out:
            note = f"{judged.left_out} of {outputs} outputs left out: they lie on a kink"
            if note not in self.report.notes:
                self.report.notes.append(note)
        scale = judged.scale or 1.0
        found = LeafReport(
            leaf,
            bench.values[leaf].shape,
            judged.verdict,
            judged.gap / scale,
            judged.bound / scale if np.isfinite(judged.bound) else 1.0,
            steps=judged.steps,
        )
        if judged.verdict == UNKNOWN:
            found.reason = {
                "kink": f"{leaf}: all outputs lie on kinks or jumps here and nearby",
                "noise": f"{leaf}: the rounding noise of forward hides the derivative",
            }.get(judged.reason, f"{leaf}: {judged.reason}")
        self.report.leaves[leaf] = found
        self._elements(self.beside.get(leaf, bench), found)
        return found

    def _right_beside(self, bench: Bench, leaf: str, found: LeafReport) -> bool:
        """Whether a mismatch among kinks, which nothing explains, is gone beside them."""
        beside = runs(bench, nudged(bench))
        if beside is None or self._judge(beside, (leaf,)).verdict != RIGHT:
            return False
        found.verdict, found.reason = UNKNOWN, f"{leaf}: right beside the kinks, not on them"
        return True

    def _elements(self, bench: Bench, found: LeafReport) -> None:
        """Some elements one by one: all of a wrong or small leaf, a sample of others.

        In default mode all elements under a function with one number as its result: then diff1
        and diff2 are those of the textbook, which differentiates a loss by every element.
        """
        x = bench.values[found.name]
        work, wrong = x.size + bench.y.size, found.verdict == WRONG
        few, each = SAMPLE
        most = {"quick": few, "default": max(few, each // len(bench.leaves))}.get(self.mode, 256)
        if wrong:
            most = ELEMENTS if x.size <= ELEMENTS else 64
        if wrong or self.mode == "quick":  # the projection has judged; these are for the eye
            work = bench.y.size + sum(v.size for v in bench.values.values())
        most = min(most, int((1e7 if wrong else 1e6 if self.mode == "quick" else 5e6) / work))
        if bench.y.size == 1 and self.mode == "default" and x.size <= ELEMENTS:
            most = ELEMENTS
        indices = np.arange(x.size)
        if x.size > most:
            indices = np.sort(bench.random.choice(x.size, most, replace=False))
        self._differentiate(bench, found, indices)
        if x.size > ELEMENTS and wrong and work < MOST_WORK and severity(found, 0) < APPROXIMATION:
            self._differentiate(bench, found, np.union1d(indices, culprits(bench, found.name)))

    def _differentiate(self, bench: Bench, found: LeafReport, indices: Array) -> None:
        """Enter the numeric gradient of some elements."""
        if not indices.size:
            return
        c = bench.upstream()
        matrix, bars, kinks = columns(bench, found.name, indices, c)
        if bench.subject.takes_upstream:
            c = np.where(kinks, 0, c)
        numeric = c @ matrix if matrix.shape[0] == bench.y.size else matrix[0]
        found.analytic = bench.gradients(c)[found.name]
        found.numeric, found.uncertainty = (np.full(found.shape, np.nan) for _ in range(2))
        found.numeric.reshape(-1)[indices], found.uncertainty.reshape(-1)[indices] = numeric, bars

    def diagnose(self, bench: Bench, leaves: list[str]) -> dict[str, Cause | None]:
        """The cause of each leaf; None where the contract probes, or nothing, have told enough."""
        look = partial(self._plain, bench)
        found = Search(leaves, look, bench.patience, self.report.causes).run()
        vague = [c for c in found.values() if c is not None and c.name == "unclassified"]
        return {n: None if c in vague and self.probes.causes else c for n, c in found.items()}

    def _plain(self, bench: Bench, leaf: str) -> tuple[Cause | None, Case | None]:
        """The cause that needs no search, or the elements, if there is a mismatch in them too."""
        beyond = "downcast", "nonfinite-backward"  # they may come with another mistake
        if any(c.leaf == leaf and c.name not in beyond for c in self.probes.causes):
            return None, None
        named, size = self._node(bench), bench.values[leaf].size
        if named is None and size > SKETCHED:
            named = sketched_cause(bench, leaf) or lone_cause(bench, leaf)
        work = size * (bench.y.size + sum(v.size for v in bench.values.values()))
        if named is None and (size > ELEMENTS or work > MOST_CASE):
            named = sampled_cause(self.report.leaves[leaf])
        if named is not None:
            return named, None
        case, found = Case(bench, leaf), self.report.leaves[leaf]
        if not np.any(case.wrong) and leaf not in self.probes.short():
            found.verdict = UNKNOWN
            found.reason = f"{leaf}: it differs along random directions, but not by elements"
            return None, None
        gap = severity(found)
        if gap < SMALL and leaf not in self.probes.short():
            return sketched_cause(bench, leaf) or small_mismatch(leaf, gap), None
        return None, quicker(case)

    def _node(self, bench: Bench) -> Cause | None:
        """In a graph that is known: the first node that is wrong in its place."""
        parts = getattr(self.bench.subject, "parts", None)
        for part in parts(bench.values, bench.draw) if parts else ():
            inner = Bench(part, None, self.bench.seed, self.bench.deadline)
            for leaf in inner.leaves:
                try:
                    wrong = self._judge(inner, (leaf,)).verdict == WRONG
                except ValueError as error:
                    return Cause("shape", f"{leaf} of node {part.name}", str(error), "", "", 1.0)
                small = inner.values[leaf].size <= ELEMENTS
                found = sketched_cause(inner, leaf) if wrong and not small else None
                if wrong and small:
                    found = name_cause(Case(inner, leaf))
                if found is not None:
                    return replace(found, leaf=f"{leaf} of node {part.name}")
        return None

    def _wrong(self, bench: Bench, found: LeafReport, cause: Cause | None) -> None:
        """Enter a wrong leaf, unless the mismatch is small enough to be meant."""
        short = self.probes.short()
        gap = severity(found)
        if found.verdict == UNKNOWN:
            return
        if found.name in short and found.error < ROUNDED:
            cause = Cause(
                "downcast",
                found.name,
                f"the gradient is rounded to {short[found.name]}",
                f"all its elements are {short[found.name]} numbers, and it differs from the "
                f"numeric one by {gap:.0e}, the rounding of that dtype",
                "keep the dtype of the input: np.zeros_like(x), without astype",
                1.0,
            )
        elif not self.strict and (meant := self._meant(bench, found, gap)):
            found.verdict = RIGHT
            note = (
                f"{found.name}: a mismatch of {gap:.0e} ({meant}); strict=True counts it as wrong"
            )
            if note not in self.report.notes:
                self.report.notes.append(note)
            return
        if cause is not None and cause not in self.report.causes:
            self.report.causes.append(cause)

    def _meant(self, bench: Bench, found: LeafReport, gap: float) -> str:
        """Why a mismatch may be meant; empty where nothing speaks for it."""
        if gap < APPROXIMATION:
            return "approximation, or a constant with too few digits?"
        epsilon = guard(bench, found.name) if bench.y.size == 1 else None
        if epsilon is None:
            return ""
        self.guarded.add(found.name)
        return f"that of the {epsilon:.0e} in log(y + {epsilon:.0e}), which backward leaves out"

    def _elsewhere(self) -> None:
        """Right here: so at other shapes, other values, and with ties?"""
        bench = self.bench
        points: Iterator[tuple[str, Values | None]] = self._points(bench)
        for words, values in points:
            other = runs(bench, dict(values), bench.draw + 1) if values is not None else None
            if other is None:
                continue
            other.stateless = bench.stateless
            leaves = tuple(n for n in other.leaves if self._is_exact(n))
            if not leaves:
                continue
            together = judge(other, random_direction(other, leaves), other.upstream())
            if together.verdict == RIGHT:
                continue
            for leaf in leaves:
                judged = self._judge(other, (leaf,))
                if judged.verdict == WRONG and judged.severity > APPROXIMATION:
                    found = self._leaf(other, leaf, judged)
                    self._wrong(other, found, self.diagnose(other, [leaf])[leaf])
                    if found.verdict == WRONG:
                        note = f"{leaf}: right at the given point, wrong {words}"
                        self.report.notes.append(note)
            if any(leaf.verdict == WRONG for leaf in self.report.leaves.values()):
                return
        self._ties()

    def _is_exact(self, leaf: str) -> bool:
        """Whether a leaf is right, and not but for a guard."""
        return self.report.leaves[leaf].verdict == RIGHT and leaf not in self.guarded

    def _points(self, bench: Bench) -> Iterator[tuple[str, Values | None]]:
        size = unused_size(bench)
        yield f"at batch size {size}", with_batch(bench, size)
        for values in unequal(bench):
            shapes = ", ".join(f"{n} {values[n].shape}" for n in self.bench.subject.inputs)
            yield f"at the shapes {shapes}", values
        yield "at a random other point", elsewhere(bench)
        other = elsewhere(bench)
        if max(float(np.max(np.abs(other[n]), initial=0)) for n in bench.leaves) < 40:
            leaves = {n: other[n] * 2.5 for n in bench.leaves}
            yield "at larger values", {**other, **leaves}

    def _ties(self) -> None:
        """Along directions that keep ties the function is smooth: there a gradient is judged.

        Where no output has a kink along a random direction, ties make no difference.
        """
        points = [self.bench, *(runs(self.bench, rounded(self.bench, k)) for k in (1.2, 0.5))]
        inputs = self.bench.subject.inputs
        leaves = tuple(n for n in inputs if n in self.bench.leaves and self._is_exact(n))
        for bench in points:
            if bench is None or not leaves:
                continue
            split = judge(bench, random_direction(bench, leaves), bench.upstream())
            if split.verdict == RIGHT and not split.left_out:
                continue
            for group in dict.fromkeys([*((n,) for n in leaves), leaves]):
                ones = {n: np.ones(bench.values[n].shape) for n in group}
                same = {n: bench.values[n].astype(float) for n in group}
                for direction in (ones, same):
                    if not any(np.any(u) for u in direction.values()):
                        continue
                    judged = judge(bench, direction, bench.upstream(), ties=True)
                    if judged.verdict != WRONG or judged.severity < 1e-4:
                        continue
                    again = judge(bench, direction, bench.upstream(), 0.1, ties=True)
                    if again.verdict == WRONG:
                        self._tied(bench, group[0], again)
                        return

    def _tied(self, bench: Bench, leaf: str, judged: Judgement) -> None:
        self.report.leaves[leaf].verdict = WRONG
        self.report.leaves[leaf].error = judged.severity
        self.report.causes.append(
            Cause(
                "ties",
                leaf,
                "where elements are equal, the gradient is given to them more than once or not "
                "at all",
                "right where no two are equal; on equal elements moved together, where the "
                f"function is smooth, off by {judged.severity:.0%}",
                "give it to one of them (argmax), or divide it by their number",
                0.95,
            )
        )


def _extent(found: LeafReport) -> int:
    """How many elements differ: the fewer, the simpler, as in a bias before its weight."""
    size = int(np.prod(found.shape))
    if found.analytic is None or found.numeric is None or size > ELEMENTS:
        return size
    gap, largest = np.abs(found.analytic - found.numeric), np.nanmax(np.abs(found.numeric))
    return int(np.count_nonzero(~(gap <= 1e-6 * largest)))
