"""The gallery shows what `tg.draw` draws today."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from graphs import DOCS, TWELVE

import tarograd as tg
from tarograd.drawing.html import MOST

CODE = ("python", "text")


def visible(svg: str) -> str:
    """What is seen of a picture, without the last digits, which differ between machines."""
    return re.sub(r"<(title|desc)>.*?</\1>|base64,[\w+/=]+", "", svg)


@pytest.mark.parametrize("name", TWELVE)
def test_the_pictures_are_up_to_date(name: str) -> None:
    kept = (DOCS / "pictures" / f"{name}.svg").read_text(encoding="utf-8")
    assert visible(kept) == visible(tg.draw(TWELVE[name]()).svg()), "python docs/gallery.py"


def test_the_guide_says_what_happens(tmp_path: Path) -> None:
    text = (DOCS / "drawing.md").read_text(encoding="utf-8")
    [code], [output] = (re.findall(rf"^```{kind}\n(.*?)^```$", text, re.M | re.S) for kind in CODE)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert (done.stdout, done.stderr) == (output, "")
    assert {p.name for p in tmp_path.iterdir()} == {"apple.svg", "net.html", "deeper.svg"}
    assert f"up to {MOST} operations" in text


def test_the_gallery_has_all_twelve() -> None:
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    assert re.findall(r"pictures/([\w-]+)\.svg", text) == list(TWELVE)
    assert {path.stem for path in (DOCS / "pictures").glob("*.svg")} == set(TWELVE)
