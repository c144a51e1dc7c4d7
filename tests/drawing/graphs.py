"""The graphs that are drawn in several tests: the twelve of the gallery, and very large ones."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import tarograd as tg
from tarograd.drawing.trace import Trace

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TWELVE: dict[str, Callable[[], tg.Tensor]] = runpy.run_path(str(DOCS / "gallery.py"))["TWELVE"]
apple, branch = TWELVE["apple"], TWELVE["branch"]
_LARGE = runpy.run_path(str(ROOT / "benchmarks" / "drawing.py"))
branching_chain: Callable[[int], tg.Tensor] = _LARGE["chain"]
flat: Callable[[Trace], Trace] = _LARGE["flat"]
