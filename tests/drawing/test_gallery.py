"""The gallery shows what `tg.draw` draws today."""

from __future__ import annotations

import re

import pytest
from graphs import DOCS, TWELVE

import tarograd as tg


def visible(svg: str) -> str:
    """What is seen of a picture, without the last digits, which differ between machines."""
    return re.sub(r"<(title|desc)>.*?</\1>|base64,[\w+/=]+", "", svg)


@pytest.mark.parametrize("name", TWELVE)
def test_the_pictures_are_up_to_date(name: str) -> None:
    kept = (DOCS / "pictures" / f"{name}.svg").read_text(encoding="utf-8")
    assert visible(kept) == visible(tg.draw(TWELVE[name]()).svg()), "python docs/gallery.py"


def test_the_gallery_has_all_twelve() -> None:
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    assert re.findall(r"pictures/([\w-]+)\.svg", text) == list(TWELVE)
    assert {path.stem for path in (DOCS / "pictures").glob("*.svg")} == set(TWELVE)
