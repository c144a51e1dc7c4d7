"""All probes: the contract, and what is not finite in forward or backward."""

from __future__ import annotations

import numpy as np

from tarograd.checking.bench import quiet
from tarograd.checking.overflow import flagged, leaps
from tarograd.checking.points import scaled
from tarograd.checking.probes_contract import ContractProbes
from tarograd.checking.projection import one_sided
from tarograd.checking.subject import Values

HUGE = 1000.0


class Probes(ContractProbes):
    """The contract of one subject at one point, and the end of its range."""

    def finite(self) -> None:
        """Finite inputs times up to 1,000: NaN out of an overflow, in forward or backward."""
        bench = self.bench
        inputs = [bench.values[n] for n in bench.subject.inputs if n in bench.leaves]
        largest = max((float(np.max(np.abs(x), initial=0)) for x in inputs), default=0.0)
        if not largest or bench.ulp > 1e-10 or not np.all(np.isfinite(bench.y)):
            return
        for reach in (30.0, HUGE, 10 * HUGE):
            values = scaled(bench, max(1.0, reach / largest))
            try:
                with quiet():
                    y, flags = flagged(bench, values)
                    raw = bench.gradients(self.c, values)
            except Exception as error:
                if type(error).__name__ == "OutOfTime":
                    raise
                return
            leap = leaps(bench, values, y)
            if leap or np.any(np.isnan(y)):
                if leap or reach > 30:
                    self.overflows(reach, flags)
                return
            if np.all(np.isfinite(y)) and self._not_finite(values, raw, 0.5):
                return

    def overflows(self, reach: float, flags: set[str]) -> None:
        """NaN for large inputs: a mistake where an exp overflows, and a limit elsewhere.

        The logarithm of a sigmoid that is rounded to 0 is a correct formula at the end of its
        range; exp(1000) / exp(1000) is one written too naively. One of several may be a logarithm.
        """
        several = sum(n in self.bench.leaves for n in self.bench.subject.inputs) > 1
        if "overflow" not in flags or "divide by zero" in flags or several:
            self.notes.append(
                f"forward gives NaN for inputs up to {reach:.0f}, such as log(0) or 0 · ∞; "
                "right where it is finite"
            )
            return
        self.found(
            "nonfinite-forward",
            "",
            "forward is not finite for large finite inputs: something overflows",
            evidence=f"finite for inputs up to 30, NaN or infinite for inputs up to {reach:.0f}",
            fix="subtract the largest element before exp: np.exp(x - x.max(axis, keepdims=True)); "
            "and log(1 + exp(x)) is np.logaddexp(0, x)",
            confidence=0.5,
        )

    def _not_finite(self, values: Values, gradients: Values, confidence: float = 1.0) -> bool:
        """Report elements that are not finite although the derivative there is."""
        found = False
        for n in self.bench.leaves:
            for index in np.argwhere(~np.isfinite(gradients[n]))[:3]:
                step = np.zeros(values[n].shape)
                step[tuple(index)] = max(abs(float(values[n][tuple(index)])), 1e-3)
                settled, _ = one_sided(self.bench.evaluate, values, {n: step})
                if settled:
                    self.found(
                        "nonfinite-backward",
                        n,
                        "backward gives NaN or infinity where the derivative is finite",
                        evidence=f"{n}{index.tolist()} = {values[n][tuple(index)]:.6g}: analytic "
                        f"{gradients[n][tuple(index)]}, while the difference quotients settle",
                        fix="write the derivative in terms of the output, such as y * (1 - y)",
                        confidence=confidence,
                    )
                    found = True
                    break
        return found

    def at_the_point(self) -> None:
        """Gradients that are not finite at the point itself."""
        gradients = self._checked(self.raw)
        if np.all(np.isfinite(self.bench.y)):
            self._not_finite(self.bench.values, gradients)
