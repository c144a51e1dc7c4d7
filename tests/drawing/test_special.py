"""Numbers and names that break pictures elsewhere: drawn right in every medium."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from playwright.sync_api import Browser
from test_html import browser

import tarograd as tg

__all__ = ["browser"]  # the fixture

NASTY = "</script><img src=x onerror=window.broken=1>\"'&\x1b[2J"
# What is written of x, and what of 2 x.
ARRAYS: dict[str, tuple[Any, str, str]] = {
    "nan": (np.nan, "NaN", "NaN"),
    "inf": (np.inf, "∞", "∞"),
    "-inf": (-np.inf, "-∞", "-∞"),
    "huge": (1e308, "1e308", "∞"),
    "tiny": (5e-324, "4.941e-324", "9.881e-324"),
    "row": ([np.nan, np.inf, -1e308], "[NaN ∞ -1e308]", "[NaN ∞ -∞]"),
    "0-d": (0.0, "0", "0"),
    "minus zero": (-0.0, "0", "0"),
    "empty": (np.zeros((0, 3)), "0×3", "0×3"),
    "empty row": (np.zeros(0), "(0)", "(0)"),
    "one": (np.ones((1, 1, 1)), "1×1×1", "1×1×1"),
    "all nan": (np.full((3, 4), np.nan), "3×4", "3×4"),
    "large": (np.full((2, 9, 9), 1e308), "2×9×9", "2×9×9"),
}
NAMES = ["苹果价格", "価格🍎", NASTY, "a" * 300, "", "é́ x\ny"]


@pytest.fixture
def drawn(request: pytest.FixtureRequest) -> tuple[tg.Picture, str, str]:
    array, before, after = ARRAYS[request.param]
    with np.errstate(all="ignore"):
        x = tg.Tensor(np.array(array, float), "x") * 2.0
    return tg.draw(x), before, after


@pytest.mark.parametrize("drawn", ARRAYS, indirect=True)
def test_special_numbers(drawn: Any, browser: Browser, tmp_path: Path) -> None:
    picture, before, after = drawn
    for text in (picture.terminal(), picture.terminal(width=2), picture.terminal(columns=5)):
        assert before in text
        assert after in text
    assert picture.terminal(ascii=True).isascii()
    svg = picture.svg()
    texts = ["".join(t.itertext()) for t in ElementTree.fromstring(svg).iter() if "text" in t.tag]
    assert any(before in text for text in texts)
    assert any(after in text for text in texts)
    json.loads(picture.json(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert "digraph" in picture.dot()
    html = picture._repr_mimebundle_()["text/html"]
    assert base64.b64encode(svg.encode()).decode() in html
    picture.save(tmp_path / "x.html")
    page, problems = browser.new_page(), list[str]()
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text))
    page.goto((tmp_path / "x.html").as_uri())
    page.keyboard.press("End")
    seen = page.locator(".label text").all_text_contents()
    assert before in seen
    assert after in seen
    for key in ("value0", "node0", "value2"):
        page.evaluate("(key) => select(key)", key)
        assert page.locator("aside h2").count() == 1
    assert problems == []
    page.close()


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_special_names(name: str, browser: Browser, tmp_path: Path) -> None:
    layer = tg.nn.Affine(2, 2)
    layer.name = name
    picture = tg.draw(layer, tg.Tensor([[1.0, 2.0]], name))
    for text in (picture.terminal(), picture.terminal(ascii=True), picture.terminal(columns=5)):
        assert not re.search(r"[\x00-\x09\x0b-\x1f]", text)
        assert max(map(len, text.splitlines())) < 250
    root = ElementTree.fromstring(picture.svg())
    assert not {e.tag.split("}")[1] for e in root.iter()} & {"script", "img"}
    assert picture.dot().count("\n") == len(picture.dot().splitlines())
    picture.save(tmp_path / "x.html")
    html = (tmp_path / "x.html").read_text("utf-8")
    assert html.count("<script") == 2
    page = browser.new_page()
    page.goto((tmp_path / "x.html").as_uri())
    page.evaluate("toggle(1)")
    page.evaluate("select('value0')")
    assert page.evaluate("window.broken") is None
    assert page.locator("img").count() == 0
    if name.isprintable() and 0 < len(name) < 24:
        assert page.locator(".box.leaf text", has_text=name).count() == 1
        assert name in page.locator('[role="tree"]').inner_text()
    page.close()
