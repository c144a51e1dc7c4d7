"""The check: contract probes, projected derivatives, other points, and only then the cause."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np

from tarograd.checking.bench import Bench, OutOfTime, quiet
from tarograd.checking.case import Case
from tarograd.checking.causes import ELEMENTS, name_cause, shape_cause
from tarograd.checking.decision import RIGHT, UNKNOWN, WRONG
from tarograd.checking.derivatives import MODES, Derivatives
from tarograd.checking.overflow import flagged, leaps
from tarograd.checking.points import elsewhere, runs, squared
from tarograd.checking.probes import Probes
from tarograd.checking.report import Cause, GradientReport, LeafReport
from tarograd.checking.subject import Subject


@dataclass
class Check:
    """One check in progress.

    Args:
        subject: what is checked.
        mode: how thoroughly, one of MODES.
        seed: of directions and upstream gradients.
        strict: mismatches as small as an approximation count as wrong.
        deadline: when to stop, in seconds of `time.monotonic`.
    """

    subject: Subject
    mode: str = "default"
    seed: int = 0
    strict: bool = False
    deadline: float = float("inf")
    report: GradientReport = field(init=False)

    def run(self) -> GradientReport:
        """Check, and put back whatever was used, whatever happens."""
        from threadpoolctl import threadpool_limits

        started = time.monotonic()
        self.report = GradientReport(self.subject.name, seed=self.seed)
        self.report.notes += self.subject.notes
        try:  # two threads of a BLAS are ten times slower than one beside a busy process
            with quiet(), threadpool_limits(limits=1, user_api="blas"):
                self._check()
        except OutOfTime:
            self._out_of_time()
        finally:
            self.subject.release()
        self.report.seconds = time.monotonic() - started
        return self.report

    def _check(self) -> None:
        bench = self.bench = Bench(self.subject, None, self.seed, self.deadline)
        self.report.precision = np.dtype(np.float32 if bench.ulp > 1e-10 else np.float64).name
        self.probes = Probes(bench)
        self.probes.one_pass()
        if self.probes.failed:
            self._raised()
            return
        self._shapes()
        if not self._finite_outputs():
            return
        if bench.leaves:
            self._contract()
        self.report.causes += self.probes.causes
        self.report.notes += self.probes.notes
        if self.probes.nondeterministic:
            self._nondeterministic()
            return
        random = any(c.name == "random-in-backward" for c in self.report.causes)
        if MODES[self.mode] and bench.leaves and not random:
            self._derivatives().run()
        self._conclude()

    def _out_of_time(self) -> None:
        """What was found until then stands; what was not looked at cannot be told."""
        self.report.notes.append("stopped: the budget of seconds is used up")
        for n in self.subject.leaves:
            reason = f"{n}: not reached within the budget"
            missing = LeafReport(n, self.subject.values[n].shape, UNKNOWN, reason=reason)
            self.report.leaves.setdefault(n, missing)
        if hasattr(self, "probes"):
            found = self.report.causes
            self.report.causes += [c for c in self.probes.causes if c not in found]
        self._verdict()

    def _contract(self) -> None:
        probes, bench = self.probes, self.bench
        probes.replay()
        if probes.nondeterministic:
            return
        probes.linearity()
        probes.at_the_point()
        probes.finite()
        state = {"accumulates", "stale-cache", "mutates-parameter", "random-in-backward"}
        if any(c.name in state for c in probes.causes):
            return
        bench.stateless = True
        bench.evaluate(bench.values)
        other = elsewhere(bench)
        bench.evaluate(other)
        bench.stateless = np.array_equal(bench.evaluate(bench.values), bench.y, equal_nan=True)
        if bench.quantized():
            bench.ulp, bench._noise = 6e-8, None
            self.report.precision = "float32"
            self.report.notes.append("forward computes in float32 inside, whatever it is given")

    def _raised(self) -> None:
        """Backward stopped with an error: try it where all lengths are equal."""
        error = self.probes.error
        why = f"backward raises {type(error).__name__}: {error}"
        square = runs(self.bench, squared(self.bench))
        cause = None
        for leaf in square.leaves if square is not None else ():
            assert square is not None
            if square.values[leaf].size > ELEMENTS:
                continue
            case = Case(square, leaf)
            found = name_cause(case) if np.any(case.wrong) else None
            if found and found.name != "unclassified":
                why = f"{why}. With all lengths equal: {found.why}"
                cause = replace(found, why=why)
                break
        of_shape = isinstance(error, ValueError | IndexError) or "shape" in str(error)
        kind = "shape" if of_shape else "unclassified"
        of_list = isinstance(error, AttributeError) and "'list' object" in str(error)
        fix = "make an array of the list: self.W = np.array(W)" if of_list else ""
        self.report.causes = [*self.probes.causes, cause or Cause(kind, "", why, "", fix, 0.5)]
        self.report.verdict = WRONG

    def _shapes(self) -> None:
        """Gradients of a wrong shape are explained and left out of what follows."""
        for name in self.bench.leaves:
            raw = self.probes.raw.get(name)
            x = self.bench.values[name]
            if raw is None or np.shape(raw) == x.shape:
                continue
            self.probes.causes.append(shape_cause(self.bench, name, raw))
            self.report.leaves[name] = LeafReport(name, x.shape, WRONG, 1.0)
        wrong = self.report.leaves
        self.bench.leaves = tuple(n for n in self.bench.leaves if n not in wrong)

    def _finite_outputs(self) -> bool:
        """Whether there is a finite output; NaN out of an overflow is a cause of its own."""
        bench = self.bench
        if np.all(np.isfinite(bench.y)):
            return True
        largest = max((np.max(np.abs(bench.values[n]), initial=0) for n in bench.leaves), default=0)
        small = {
            **bench.values,
            **{
                n: bench.values[n] * 10 / max(largest, 10.0)
                for n in self.subject.inputs
                if n in bench.leaves
            },
        }
        if (
            (np.any(np.isnan(bench.y)) or leaps(bench, bench.values, bench.y))
            and largest > 80
            and np.all(np.isfinite(bench.evaluate(small)))
        ):
            self.probes.overflows(float(largest), flagged(bench, bench.values)[1])
        elif np.any(np.isfinite(bench.y)):
            return True
        self.report.causes += self.probes.causes
        self.report.verdict = WRONG if self.probes.causes else UNKNOWN
        for n in bench.leaves:
            self.report.leaves[n] = LeafReport(
                n, bench.values[n].shape, UNKNOWN, reason="forward is not finite at this point"
            )
        return False

    def _nondeterministic(self) -> None:
        self.report.verdict = WRONG if self.report.causes else UNKNOWN
        self.report.causes.append(
            Cause(
                "nondeterministic",
                "",
                "forward gives other outputs for the same input, so there is nothing to compare",
                "two fresh uses, all reachable random generators rewound",
                "keep the generator in the object: self.rng = np.random.default_rng(seed)",
                1.0,
            )
        )
        for n in self.bench.leaves:
            self.report.leaves[n] = LeafReport(
                n, self.bench.values[n].shape, UNKNOWN, reason="f(x) changes between calls"
            )

    def _derivatives(self) -> Derivatives:
        return Derivatives(self.bench, self.probes, self.report, self.mode, self.strict)

    def _mark(self) -> None:
        """Enter the leaves that no comparison entered, and what was seen in the outputs."""
        for n in self.subject.leaves:
            x = self.bench.values[n]
            if not x.size:  # nothing that could be wrong
                self.report.leaves[n] = LeafReport(n, x.shape, analytic=x, numeric=x)
        named = {n for c in self.report.causes for n in c.leaf.split(", ")}
        for n, leaf in self.report.leaves.items():
            if n in named:
                leaf.verdict = WRONG
        count = int(np.count_nonzero(np.isnan(self.bench.y)))
        if count and self.report.leaves:
            self.report.notes.append(f"forward gives NaN in {count} of {self.bench.y.size} outputs")
            for leaf in self.report.leaves.values():
                if leaf.verdict == RIGHT:
                    leaf.verdict, leaf.reason = UNKNOWN, "forward gives NaN"

    def _verdict(self) -> None:
        verdicts = [leaf.verdict for leaf in self.report.leaves.values()]
        if self.report.causes or WRONG in verdicts:
            self.report.verdict = WRONG
        elif UNKNOWN in verdicts:
            self.report.verdict = UNKNOWN
        self.report.causes.sort(key=lambda c: -c.confidence)

    def _conclude(self) -> None:
        self._mark()
        self._verdict()
        if MODES[self.mode] == 0 and self.report.verdict == RIGHT:
            self.report.notes.append("contract only: no derivative was compared")
            for n in self.bench.leaves:
                self.report.leaves[n] = LeafReport(n, self.bench.values[n].shape)
        self.report.forwards = self.bench.forwards
