"""Contract probes: observations of one or two passes, exact but for rounding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tarograd.checking.bench import Bench, as_gradient
from tarograd.checking.points import batch_size, elsewhere, unused_size, with_batch
from tarograd.checking.projection import slopes
from tarograd.checking.report import Cause
from tarograd.checking.subject import Array, Run, Values, flat, rms, split

ROUNDED = 1e-2  # of a gradient: more than what a short dtype cuts off


def same(a: Any, b: Any) -> bool:
    """Whether two arrays are equal bit by bit, NaN included."""
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))


def close(a: Values, b: Values, tolerance: float = 1e-9) -> bool:
    """Whether gradients of equal names agree, relative to the largest element of each."""
    for n in a:
        if a[n].shape != b[n].shape:
            return False
        size = np.nanmax(np.abs([a[n], b[n]]), initial=0)
        if not np.allclose(a[n], b[n], rtol=0, atol=tolerance * size, equal_nan=True):
            return False
    return True


def _added(first: Array, twice: Array) -> float:
    """How many times the first gradient the second is, if it has the first, or a part, added."""
    size = float(np.sum(first * first))
    k = float(np.sum(first * twice)) / size if size else 0.0
    return k if 1 < k <= 2 + 1e-9 and close({"": k * first}, {"": twice}) else 0.0


class ContractProbes:
    """The contract of one subject at one point.

    Attributes:
        causes: what was found.
        failed: whether backward gave nothing that could be judged.
        nondeterministic: whether the outputs change between equal calls.
    """

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.causes: list[Cause] = []
        self.notes: list[str] = []
        self.failed = self.nondeterministic = False
        self.c = bench.upstream()
        self.tolerance = 1e-3 if bench.ulp > 1e-10 else 1e-9
        self.raw: dict[str, Any] = {}

    def found(self, name: str, leaf: str, why: str, **more: Any) -> None:
        """Note a cause, once for each leaf."""
        if not any(c.name == name and c.leaf == leaf for c in self.causes):
            self.causes.append(Cause(name, leaf, why, **({"confidence": 1.0} | more)))

    def one_pass(self) -> None:
        """Forward and backward once: what they write into, and what they return."""
        bench = self.bench
        run = bench.subject.fresh(bench.values, bench.draw)
        given = {k: np.array(v) for k, v in bench.values.items()}
        outputs = tuple(map(np.asarray, run.forward(given)))
        self._mutations(run, given, "forward")
        upstream = split(self.c, outputs)
        kept = [np.array(c) for c in upstream]
        try:
            self.raw = run.backward(upstream)
        except Exception as error:
            self.failed = True
            self.raw = {}
            self.error = error
            return
        for i, (c, before) in enumerate(zip(upstream, kept, strict=True)):
            if not same(c, before):
                self.found(
                    "mutates-upstream",
                    "",
                    "backward writes into the upstream gradient that it is given",
                    evidence=f"upstream gradient {i}: {np.count_nonzero(c != before)} of {c.size} "
                    "elements differ after backward; the layer above still uses that array",
                    fix="work on a copy: dx = dout.copy(), then change dx",
                )
        self._mutations(run, given, "backward")
        for name, raw in self.raw.items():
            kind = None if raw is None else np.asarray(raw).dtype.kind
            if kind not in (None, "f", "O"):
                imaginary = kind == "c"
                lost = "its imaginary part is lost" if imaginary else "fractions are cut off"
                buffer = "make the buffer a float one: np.zeros(x.shape, dtype=float)"
                self.found(
                    "downcast",
                    name,
                    f"the gradient has the dtype {np.asarray(raw).dtype}: {lost}",
                    evidence=f"dtype of the gradient of {name}; {name} itself is a float array",
                    fix="take the real part: np.real(…)" if imaginary else buffer,
                )
        self._shared_memory()

    def _mutations(self, run: Run, given: dict[str, Array], during: str) -> None:
        for name in self.bench.subject.inputs:
            if not same(given[name], self.bench.values[name]):
                changed = np.count_nonzero(given[name] != self.bench.values[name])
                self.found(
                    "mutates-input",
                    name,
                    f"{during} writes into its input",
                    evidence=f"{changed} of {given[name].size} elements of {name} differ after "
                    f"{during}; whoever passed the array still uses it",
                    fix=f"work on a copy: out = {name}.copy(), then change out",
                )
        for name, now in run.parameters().items():
            if name in self.bench.values and not same(now, self.bench.values[name]):
                self.found(
                    "mutates-parameter",
                    name,
                    f"{during} changes the parameter {name}",
                    evidence=f"{name} differs after {during}, by up to "
                    f"{np.max(np.abs(now - self.bench.values[name]), initial=0):.3g}"
                    if now.shape == self.bench.values[name].shape
                    else f"{name} has another shape after {during}",
                    fix="leave the update to the optimizer, after the whole backward pass",
                )

    def _shared_memory(self) -> None:
        arrays = [(n, r) for n, r in self.raw.items() if isinstance(r, np.ndarray)]
        for i, (a, first) in enumerate(arrays):
            for b, second in arrays[i + 1 :]:
                if first.size and np.shares_memory(first, second):
                    self.notes.append(f"the gradients of {a} and {b} share memory")

    def replay(self) -> None:
        """The same pass again: on the same object, on a fresh one, after another input."""
        bench, c = self.bench, self.c
        first = bench.gradients(c)
        if not same(bench.evaluate(bench.values), bench.y) and not np.allclose(
            bench.evaluate(bench.values), bench.y, rtol=1e-9, atol=0, equal_nan=True
        ):
            self.nondeterministic = True
            return
        moved_on = self._gradients(lambda run: run.advance_generators(), None)
        again = bench.gradients(c)
        if (moved_on and not close(first, moved_on, 1e-6)) or not close(first, again, 1e-6):
            self.found(
                "random-in-backward",
                "",
                "backward draws random numbers of its own",
                evidence="with the same input and upstream gradient it gives another gradient "
                "when the generator has moved on after forward",
                fix="draw the mask in forward, keep it (self.mask) and use that in backward",
            )
            return
        if any(x.name == "mutates-parameter" for x in self.causes):
            return
        twice = self._twice()
        if twice and not close(first, twice, self.tolerance):
            self._not_repeatable(first, twice)
            return
        for before in (elsewhere(bench), with_batch(bench, unused_size(bench))):
            stale = before and self._gradients(None, before)
            if stale and not close(first, stale, self.tolerance):
                self.found(
                    "stale-cache",
                    ", ".join(n for n in first if not close({n: first[n]}, {n: stale[n]}, 1e-9)),
                    "backward uses what an earlier forward kept",
                    evidence="forward(x₁), forward(x₂), backward gives another gradient than "
                    "forward(x₂), backward on a fresh object",
                    fix="keep the tensors anew in every forward: self.x = x",
                )
                return

    def _not_repeatable(self, first: Values, twice: Values) -> None:
        sums = [n for n in first if _added(first[n], twice[n])]
        if sums:
            self.found(
                "accumulates",
                ", ".join(sums),
                "a second backward pass adds to the gradient of the first",
                evidence="forward, backward, forward, backward gives "
                f"{_added(first[sums[0]], twice[sums[0]]):.4g} times the gradient",
                fix="assign: self.dW = …, not self.dW += …",
            )
        else:
            self.found(
                "stale-cache",
                ", ".join(n for n in first if not close({n: first[n]}, {n: twice[n]}, 1e-9)),
                "a second pass on the same object gives another gradient",
                evidence="forward, backward, forward, backward differs from forward, backward",
                fix="keep the tensors anew in every forward: self.x = x",
            )

    def _gradients(
        self, between: Callable[[Run], None] | None, before: Values | None
    ) -> dict[str, Array] | None:
        """The gradients of one use with something done before or between; None if it fails."""
        bench = self.bench
        try:
            run = bench.subject.fresh(bench.values, bench.draw)
            if before is not None:
                inputs = {k: np.array(before[k]) for k in bench.subject.inputs}
                run.forward({k: np.array(v) for k, v in bench.values.items()} | inputs)
            outputs = run.forward({k: np.array(v) for k, v in bench.values.items()})
            outputs = tuple(map(np.asarray, outputs))
            if before is not None and not same(flat(outputs), bench.y):
                note = "forward gives other outputs after one with other inputs: it keeps a state, "
                note += "such as that of a cell, or a mask of the first call"
                self.notes += [note] if note not in self.notes else []
                return None
            if between:
                between(run)
            return self._checked(run.backward(split(self.c, outputs)))
        except Exception:
            return None

    def _checked(self, raw: Mapping[str, Any]) -> dict[str, Array]:
        return {n: as_gradient(raw.get(n), self.bench.values[n], n) for n in self.bench.leaves}

    def _twice(self) -> dict[str, Array] | None:
        bench = self.bench
        try:
            run = bench.subject.fresh(bench.values, bench.draw)
            for _ in range(2):
                outputs = run.forward({k: np.array(v) for k, v in bench.values.items()})
                outputs = tuple(map(np.asarray, outputs))
                if not same(flat(outputs), bench.y):
                    return None
                gradients = self._checked(run.backward(split(self.c, outputs)))
            return gradients
        except Exception:
            return None

    def linearity(self) -> None:
        """B(c₁ + 2 c₂) = B(c₁) + 2 B(c₂), and the same for large and small upstream gradients."""
        bench = self.bench
        if not bench.subject.takes_upstream:
            return
        c1, c2 = self.c, bench.upstream()
        b1, b2, both = (bench.gradients(c) for c in (c1, c2, c1 + 2 * c2))
        zero = bench.gradients(0 * c1)
        # Both sums of the size of their largest part, which may cancel.
        sums = {n: b1[n] + 2 * b2[n] for n in b1}
        large, small = bench.gradients(1e4 * c1), bench.gradients(1e-4 * c1)
        short, shaken = self.short(), bench.gradients(c1, bench.jittered())
        largest = max(float(np.max(np.abs(np.nan_to_num(b)), initial=0)) for b in b1.values())
        reach = float(np.sum(np.abs(c1 * bench.y)[np.isfinite(bench.y)]))
        for n in bench.leaves:
            if not all(np.all(np.isfinite(b[n])) for b in (b1, b2, both, large, small)):
                continue
            size = max(float(np.max(np.abs(b), initial=0)) for b in (b1[n], 2 * b2[n], both[n]))
            tolerance = ROUNDED if n in short else self.tolerance
            slack = tolerance * size + 1e-3 * tolerance * largest
            slack += 50 * float(np.max(np.nan_to_num(np.abs(shaken[n] - b1[n])), initial=0))
            slack += (
                64 * bench.ulp * reach / rms(bench.values[n])
            )  # terms that cancel leave rounding
            if not size or (
                np.all(np.abs(both[n] - sums[n]) <= slack)
                and np.all(np.abs(zero[n]) <= slack)
                and np.all(np.abs(large[n] - 1e4 * b1[n]) <= 1e4 * slack)
                and np.all(np.abs(small[n] - 1e-4 * b1[n]) <= 1e-4 * slack)
            ):
                continue
            self._nonlinear(n, b1[n], b2[n], np.nan_to_num(zero[n]), large[n], small[n])

    def _nonlinear(
        self, n: str, b1: Array, b2: Array, zero: Array, large: Array, small: Array
    ) -> None:
        at = {n: b1}
        if close(at, {n: b2}) or (close(at, {n: large}) and close(at, {n: small})):
            self.found(
                "upstream-ignored",
                n,
                "backward does not multiply by the upstream gradient",
                evidence="backward(c) is the same for another c"
                if close(at, {n: b2})
                else "backward(10000 c) = backward(c)",
                fix="multiply by what backward is given: dx = dout * …",
            )
        elif close({n: large}, {n: 1e4 * b1}, 1e-6) and close({n: small}, {n: 1e-4 * b1}, 1e-6):
            self.found(
                "mask",
                n,
                "backward makes a choice by the upstream gradient, not by what forward saw",
                evidence="backward(10000 c) = 10000 backward(c), but backward(c₁ + 2 c₂) is not "
                "backward(c₁) + 2 backward(c₂)",
                fix="take the mask from forward: dx = dout * (x > 0)",
            )
        elif np.any(zero) and close({n: large - zero}, {n: 1e4 * (b1 - zero)}, 1e-6):
            self._constant(n, b1, zero)
        elif close({n: 1e-4 * b1}, {n: small}, 1e-6) or np.all(np.abs(large) <= np.abs(1e4 * b1)):
            self.found(
                "scale-dependent",
                n,
                "backward is linear in small upstream gradients only: it clips or saturates",
                evidence="backward(10000 c) is not 10000 backward(c); its largest element is "
                f"{np.max(np.abs(large)):.3g} instead of {1e4 * np.max(np.abs(b1)):.3g}",
                fix="clip gradients in the optimizer; backward itself has to be linear in dout",
            )
        else:
            self.found(
                "unclassified",
                n,
                "backward is not linear in the upstream gradient",
                evidence="backward(c₁ + 2 c₂) differs from backward(c₁) + 2 backward(c₂)",
                fix="the chain rule only multiplies by dout and adds",
                confidence=0.5,
            )

    def _constant(self, n: str, b1: Array, zero: Array) -> None:
        """A part that does not depend on the upstream gradient: too much, or not multiplied."""
        seen = f"backward(0) is not 0 but up to {np.max(np.abs(zero)):.3g}"
        fix = "multiply every term of the gradient by dout"
        if self._right_without(n, b1 - zero):
            why = "backward adds something that does not depend on the upstream gradient"
            self.found("extra-term", n, why, evidence=seen, fix=fix)
            return
        why = "a term of the gradient is not multiplied by the upstream gradient"
        seen += ", and without that the gradient is wrong as well"
        self.found("upstream-ignored", n, why, evidence=seen, fix=fix)

    def _right_without(self, n: str, claim: Array) -> bool:
        """Whether the gradient is right when what does not depend on the upstream one is gone."""
        bench = self.bench
        u = rms(bench.values[n]) * bench.random.standard_normal(claim.shape)
        found = slopes(bench.evaluate, bench.values, {n: u}, bench.noise)
        numeric, terms = self.c * found.value, claim * u
        gap = abs(float(np.sum(terms)) - float(np.sum(numeric)))
        return gap <= 1e-4 * (float(np.linalg.norm(numeric)) + float(np.linalg.norm(terms)))

    def short(self) -> dict[str, str]:
        """The leaves whose gradients all fit a shorter float dtype, and which."""
        found = {}
        gradients = self._checked(self.raw)
        if self.bench.ulp > 1e-10:
            return {}
        for n, g in gradients.items():
            raw = self.raw.get(n)
            for dtype in (np.float16, np.float32):
                with np.errstate(all="ignore"):
                    fits = np.array_equal(g.astype(dtype).astype(np.float64), g)
                if fits and raw is not None and np.any(g) and batch_size(self.bench) >= 0:
                    found[n] = np.dtype(dtype).name
                    break
        return found
