"""What a check found: verdict, causes, and the figures of every leaf."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from tarograd.checking.subject import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES, WIDTH = 40, 100
CORRECT, CHECK_AGAIN, CONCERNED = 1e-7, 1e-5, 1e-3  # the textbook's bounds for diff2
SHOWN = 5
ROWS = 15


@dataclass(frozen=True)
class Cause:
    """Why a gradient is wrong.

    Attributes:
        name: one of the names in the documentation, such as `scale-batch`.
        leaf: whose gradient.
        why: one sentence.
        evidence: the experiment that confirmed it, with its figures.
        fix: what to write instead.
        confidence: 1 for an exact observation, less for what experiments make likely.
    """

    name: str
    leaf: str
    why: str
    evidence: str = ""
    fix: str = ""
    confidence: float = 0.9


@dataclass(frozen=True)
class Worst:
    """One element: the two gradients there, and the numeric one's error bar."""

    index: tuple[int, ...]
    analytic: float
    numeric: float
    error: float


@dataclass
class LeafReport:
    """The gradient of one parameter or input.

    Attributes:
        verdict: right, wrong, or cannot tell.
        error: the gap between the two gradients along random directions, relative to their size.
        bound: the error bar of that gap.
        analytic: the claimed gradient.
        numeric: the numeric gradient: all elements of a leaf that is small or wrong, otherwise a
            sample, and NaN for the rest.
        uncertainty: the error bars of its elements.
        reason: why it can't be told.
        float32: with `dtype="both"`, how many digits float32 keeps.
        float32_expected: how many the rounding of the inputs to float32 leaves.
        steps: the step, and the gap at it relative to the size of the gradient.
    """

    name: str
    shape: tuple[int, ...]
    verdict: str = "right"
    error: float = 0.0
    bound: float = 0.0
    analytic: Any = None
    numeric: Any = None
    uncertainty: Array | None = None
    reason: str = ""
    float32: float | None = None
    float32_expected: float | None = None
    steps: tuple[tuple[float, float], ...] = ()

    @property
    def digits(self) -> float:
        """To how many digits the two gradients agree, as far as can be told."""
        return float(np.clip(-np.log10(max(self.error, self.bound, 1e-16)), 0, 16))

    @property
    def diff1(self) -> float:
        """The mean absolute difference of the elements that were differentiated numerically."""
        if self.numeric is None or self.analytic is None:
            return float("nan")
        gaps = np.abs(self.analytic - self.numeric)[~np.isnan(self.numeric)]
        return float(np.mean(gaps)) if gaps.size else 0.0

    @property
    def diff2(self) -> float:
        """‖a - n‖ / (‖a‖ + ‖n‖): where a = k·n this is |k - 1| / (|k| + 1)."""
        if self.numeric is None or self.analytic is None:
            return float("nan")
        known = ~np.isnan(self.numeric)
        both = np.stack([self.analytic[known], self.numeric[known]])
        largest = np.max(np.abs(both), initial=0)
        if not largest:
            return 0.0
        with np.errstate(all="ignore"):  # a gradient that is not finite gives NaN
            a, n = both / largest  # so that no square is too large or too small for a float
            return float(np.linalg.norm(a - n) / (np.linalg.norm(a) + np.linalg.norm(n)))

    @property
    def figures(self) -> str:
        """diff1 and diff2 as text, where there are any."""
        if self.numeric is None:
            return f"{'–':<8}  {'–':<8}"
        return f"{self.diff1:.2e}  {self.diff2:.2e}"

    @property
    def words(self) -> str:
        """What the textbook says to this `diff2`."""
        diff2 = self.diff2
        if self.verdict == "right" and self._within_bars:
            return "correct"  # two zeros, for one, which differ by rounding
        if self.verdict == "cannot tell" or (self.numeric is None and np.isnan(diff2)):
            return self.verdict
        if np.isnan(diff2):
            return "concerned"
        if diff2 > CONCERNED:
            return "concerned"
        if diff2 > CHECK_AGAIN:
            return "please check again"
        return "correct" if diff2 < CORRECT else "close"

    @property
    def _within_bars(self) -> bool:
        if self.numeric is None or self.analytic is None or self.uncertainty is None:
            return False
        known = ~np.isnan(self.numeric)
        gaps = np.abs(self.analytic - self.numeric)[known]
        return bool(np.all(gaps <= self.uncertainty[known]))

    def worst(self, count: int = SHOWN) -> list[Worst]:
        """The elements that differ most, worst first."""
        if self.numeric is None or self.analytic is None:
            return []
        gaps = np.abs(self.analytic - self.numeric)
        gaps = np.where(np.isnan(self.numeric), 0, np.nan_to_num(gaps, nan=np.inf))
        bars = np.zeros(self.shape) if self.uncertainty is None else self.uncertainty
        order = np.argsort(-gaps, axis=None, kind="stable")[:count]
        return [
            Worst(
                tuple(map(int, i)), float(self.analytic[i]), float(self.numeric[i]), float(bars[i])
            )
            for i in (np.unravel_index(place, self.shape) if self.shape else () for place in order)
            if gaps[i] > 0
        ]


@dataclass
class GradientReport:
    """What `check_gradients` found. It is true if every gradient is right.

    Attributes:
        subject: what was checked.
        verdict: right, wrong or cannot tell.
        causes: why, the surest first; only for a wrong gradient.
        leaves: for each input and parameter by its name, its figures.
        notes: what was left out, and what else the user should know.
        seed: of directions and upstream gradients.
        forwards: how often forward was called.
        seconds: how long it took.
        precision: the dtype in which the check was made.
    """

    subject: str
    verdict: str = "right"
    causes: list[Cause] = field(default_factory=list)
    leaves: dict[str, LeafReport] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seed: int = 0
    forwards: int = 0
    seconds: float = 0.0
    precision: str = "float64"

    def __bool__(self) -> bool:
        return self.verdict == "right"

    @property
    def digits(self) -> float:
        """To how many digits every gradient agrees."""
        return min((leaf.digits for leaf in self.leaves.values()), default=0.0)

    @property
    def float32(self) -> float | None:
        """How many digits float32 keeps in every leaf; None unless `dtype="both"`."""
        kept = [leaf.float32 for leaf in self.leaves.values() if leaf.float32 is not None]
        return min(kept, default=None)

    def picture(self) -> Figure:
        """The gap by step, and which elements of the worst leaf differ, as a matplotlib figure."""
        from tarograd.checking.picture import draw

        return draw(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture to a file whose name ends in .svg or .png.

        Raises:
            ValueError: for another ending.
            OSError: if the file can't be written; an older one stays as it was.
        """
        from tarograd.checking.picture import save

        save(self, path)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What a notebook shows: the report, and below it the picture."""
        from tarograd.checking.picture import rendered

        image = base64.b64encode(rendered(self, "svg")).decode()
        html = (
            f"<pre>{escape(str(self))}</pre>"
            f'<img alt="the gaps by step and by element" style="max-width:100%" '
            f'src="data:image/svg+xml;base64,{image}">'
        )
        return {"text/plain": str(self), "text/html": html}

    def raise_if_wrong(self) -> None:
        """Raise AssertionError with the report's text if a gradient is wrong."""
        if self.verdict == "wrong":
            raise AssertionError(f"\n{self}")

    def to_json(self) -> str:
        """The report as JSON, without the arrays."""
        leaves = {
            name: {
                "shape": list(leaf.shape),
                "verdict": leaf.verdict,
                "error": leaf.error,
                "bound": leaf.bound,
                "digits": leaf.digits,
                "float32": leaf.float32,
                "float32_expected": leaf.float32_expected,
                "diff1": leaf.diff1,
                "diff2": leaf.diff2,
                "reason": leaf.reason,
                "worst": [vars(w) | {"index": list(w.index)} for w in leaf.worst()],
            }
            for name, leaf in self.leaves.items()
        }
        plain = {
            "subject": self.subject,
            "verdict": self.verdict,
            "digits": self.digits,
            "float32": self.float32,
            "causes": [vars(c) for c in self.causes],
            "leaves": leaves,
            "notes": self.notes,
            "seed": self.seed,
            "forwards": self.forwards,
            "seconds": self.seconds,
            "precision": self.precision,
        }
        return json.dumps(_finite(plain), indent=2, ensure_ascii=False, allow_nan=False)

    def __str__(self) -> str:
        lines = [f"{self.verdict.upper()}: the gradients of {self.subject}"]
        if self.float32 is not None:
            lines[0] += f", to {self.digits:.0f} digits (float64); float32 keeps {self.float32:.0f}"
        if self.verdict != "right":
            lines += _wrapped("", self._summary())
        for cause in self.causes[:3]:
            lines += _lines_of(cause)
        if len(self.causes) > 3:
            others = ", ".join(f"{c.name} ({c.leaf})" for c in self.causes[3:])
            lines.append(_short(f"  also     {others}"))
        lines += self._worst_elements()
        lines += self._table()
        lines += [line for note in self.notes for line in _wrapped("note", note)]
        if len(lines) > LINES:
            lines = [*lines[: LINES - 1], f"  … {len(lines) - LINES + 1} more lines"]
        return "\n".join(lines)

    def _summary(self) -> str:
        """Which leaves, or why it can't be told; and how it was found."""
        bad = [n for n, leaf in self.leaves.items() if leaf.verdict == "wrong"]
        reasons = [leaf.reason for leaf in self.leaves.values() if leaf.reason]
        if self.verdict == "wrong":
            what = f"wrong: {', '.join(bad[:4])}{' …' if len(bad) > 4 else ''}; " if bad else ""
        else:
            what = f"{reasons[0]}; " if reasons else ""
        figures = f"seed {self.seed}, {self.precision}, {self.forwards} forwards"
        return f"{what}{figures}, {self.seconds * 1e3:.0f} ms"

    def _worst_elements(self) -> list[str]:
        for name, leaf in self.leaves.items():
            if leaf.verdict == "wrong" and leaf.worst(1) and not leaf._within_bars:
                return [
                    f"  {'worst' if i == 0 else '':<8} {name}{list(w.index) or ''}  analytic "
                    f"{w.analytic:.7g}  numeric {w.numeric:.7g} ± {w.error:.0e}"
                    for i, w in enumerate(leaf.worst(3))
                ]
        return []

    def _table(self) -> list[str]:
        if not self.leaves:
            return []
        leaves = list(self.leaves.values())
        if len(leaves) > ROWS:  # worst first, and no more than fit
            order = {"wrong": 0, "cannot tell": 1, "right": 2}
            leaves = sorted(leaves, key=lambda leaf: order[leaf.verdict])
        width = max(len(leaf.name) for leaf in leaves[:ROWS])
        rows = [f"  {leaf.name:<{width}}  {leaf.figures}  {leaf.words}" for leaf in leaves[:ROWS]]
        if len(leaves) > ROWS:
            rows.append(f"  … and {len(leaves) - ROWS} more, none worse")
        return [f"  {'':<{width}}  diff1     diff2     verdict", *rows]


def _lines_of(cause: Cause) -> list[str]:
    leaf = f" of {cause.leaf}" if cause.leaf else ""
    lines = _wrapped("cause", f"{cause.name}{leaf}: {cause.why}")
    if cause.evidence:
        lines += _wrapped("shown by", cause.evidence)
    return lines + (_wrapped("try", cause.fix) if cause.fix else [])


def _wrapped(label: str, text: str) -> list[str]:
    lines, line = [], f"  {label:<8}"
    for word in text.split():
        if len(line) + len(word) + 1 > WIDTH:
            lines.append(line)
            line = " " * 10
        line += f" {word}"
    return [*lines, line][:3]


def _short(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"


def _finite(x: Any) -> Any:
    """The same with None for NaN and infinity, which JSON does not have."""
    if isinstance(x, dict):
        return {k: _finite(v) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return [_finite(v) for v in x]
    if isinstance(x, float | np.floating):
        return float(x) if np.isfinite(x) else None
    return x
