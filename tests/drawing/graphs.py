"""The twelve graphs of the gallery, which the tests draw in every medium."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import tarograd as tg

DOCS = Path(__file__).parents[2] / "docs"
TWELVE: dict[str, Callable[[], tg.Tensor]] = runpy.run_path(str(DOCS / "gallery.py"))["TWELVE"]
apple, branch = TWELVE["apple"], TWELVE["branch"]
