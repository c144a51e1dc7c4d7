"""The page for everyone: axe finds nothing serious, and its colors are far apart in lightness."""

from __future__ import annotations

import re
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from graphs import TWELVE
from playwright.sync_api import Browser
from test_html import browser

import tarograd as tg

__all__ = ["browser"]  # the fixture

SERIOUS = ("serious", "critical")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
@pytest.mark.parametrize("name", ["apple", "two-layer-net"])
def test_axe_finds_nothing_serious(
    browser: Browser, tmp_path: Path, name: str, scheme: Any, width: int
) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
    )
    path = tmp_path / "page.html"
    tg.draw(TWELVE[name]()).save(path)
    screen: Any = {"width": width, "height": 800}
    context = browser.new_context(color_scheme=scheme, viewport=screen, locale="en-US")
    page = context.new_page()
    page.goto(path.as_uri())
    page.keyboard.press("End")
    page.evaluate("[...trace.groups.keys()].slice(1, 3).forEach((g) => toggle(g))")
    page.evaluate("select('value0')")
    page.keyboard.press("c")
    found = axe.Axe().run(page).response
    assert len(found["passes"]) > 10
    serious = [v for v in found["violations"] if v["impact"] in SERIOUS]
    assert [(v["id"], [n["target"] for n in v["nodes"]]) for v in serious] == []
    context.close()


def colors(text: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6});", text))


def luminance(color: str) -> float:
    """The relative luminance of WCAG 2.2."""
    code = color[1:] if len(color) == 7 else "".join(2 * c for c in color[1:])
    channels = [int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_text_and_lines_stand_out_from_the_ground(dark: bool) -> None:
    style = (files("tarograd.drawing") / "viewer" / "page.css").read_text("utf-8")
    found = colors(style.split("@media")[1] if dark else style.split("@media")[0])
    for name in ("ink", "soft", "back-text", "bad"):
        assert contrast(found[name], found["paper"]) >= 4.5, name  # text, WCAG AA
    for name in ("back", "line", "ink"):
        assert contrast(found[name], found["paper"]) >= 3, name  # graphics
    # Forward and backward differ in lightness, not in hue alone, and in thickness and side.
    assert contrast(found["ink"], found["back"]) >= 2 or dark


def test_nothing_moves_by_itself(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    tg.draw(TWELVE["branch"]()).save(path)
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    page.goto(path.as_uri())
    page.keyboard.press("End")
    page.keyboard.press("Home")
    assert page.evaluate("document.getAnimations().length") == 0
    context.close()


@pytest.mark.parametrize("name", TWELVE)
def test_the_tree_is_what_a_screen_reader_is_told(
    browser: Browser, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "page.html"
    tg.draw(TWELVE[name](), depth=9).save(path)
    page = browser.new_page()
    page.goto(path.as_uri())
    session = page.context.new_cdp_session(page)
    items = page.locator('[role="treeitem"] > span').all_inner_texts()
    assert items
    told: list[str] = []
    end = time.monotonic() + 10  # a browser tells what an open item holds some frames later
    while len(told) != len(items) and time.monotonic() < end:
        page.wait_for_timeout(20)
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
        told = [n["name"]["value"] for n in nodes if n.get("role", {}).get("value") == "treeitem"]
    assert len(told) == len(items)
    for item in items:
        assert any(re.sub(r"\s+", " ", item).strip() in re.sub(r"\s+", " ", t) for t in told)
    page.close()
