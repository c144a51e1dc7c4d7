"""The page on paper, without scripts, under two fingers, in Firefox, with names of all kinds."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import TWELVE, apple
from PIL import Image
from playwright.sync_api import Browser
from test_html import browser

import tarograd as tg

__all__ = ["browser"]  # the fixture

FIREFOX = next(filter(None, map(shutil.which, ("firefox", "firefox-esr"))), None)
BACKWARD = (0xD5, 0x5E, 0)


def saved(picture: tg.Picture, folder: Path) -> str:
    picture.save(folder / "page.html")
    return (folder / "page.html").as_uri()


def colors(path: Path) -> set[Any]:
    with Image.open(path) as image:
        return {color for _, color in image.convert("RGB").getcolors(10**7) or []}


@pytest.mark.parametrize("opened", [False, True], ids=["small", "far away"])
def test_paper_shows_the_whole_picture_and_no_controls(
    browser: Browser, tmp_path: Path, opened: bool
) -> None:
    picture = tg.draw(TWELVE["two-layer-net"](), depth=9 if opened else 1)
    page = browser.new_page(viewport={"width": 794, "height": 1123})  # A4
    page.goto(saved(picture, tmp_path))
    page.evaluate("zoom(0.1)" if opened else "zoom(4)")
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    places = page.evaluate(
        """[...document.querySelectorAll(".box")].map((box) => box.getBoundingClientRect())
        .map(({ left, top, right, bottom }) => [left, top, right, bottom])"""
    )
    assert len(places) == page.evaluate("scene.boxes.length")
    left, top, right, bottom = zip(*places, strict=True)
    assert min(*left, *top) >= 0
    assert max(right) <= 794
    assert max(bottom) <= 1123
    assert page.locator(".label text").first.is_visible()
    assert page.locator("button, nav, .keys, .hint").locator("visible=true").count() == 0
    page.close()


def test_without_scripts_the_picture_stands_still(browser: Browser, tmp_path: Path) -> None:
    context = browser.new_context(java_script_enabled=False, color_scheme="light")
    page = context.new_page()
    page.goto(saved(tg.draw(apple()), tmp_path))
    page.screenshot(path=tmp_path / "seen.png")
    assert BACKWARD in colors(tmp_path / "seen.png")
    image = page.locator("noscript img")
    assert "apple = 100, derivative 2.2" in (image.get_attribute("alt") or "")
    place = image.bounding_box()
    assert place is not None
    assert place["y"] + place["height"] < 500
    assert [p.get_attribute("lang") for p in page.locator("noscript p").all()] == [
        *("en", "zh-CN", "ja"),
    ]
    context.close()


def test_names_cannot_leave_the_still_picture(browser: Browser, tmp_path: Path) -> None:
    name = "</noscript>'\"><img src=x onerror=1> 100 % #&amp;"
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(saved(tg.draw(tg.Tensor(3.0, name) * 2), tmp_path))
    assert page.locator("img").count() == 1
    page.screenshot(path=tmp_path / "seen.png")
    assert BACKWARD in colors(tmp_path / "seen.png")
    context.close()


def test_a_large_still_picture_is_told() -> None:
    x: Any = tg.Tensor(np.random.default_rng(0).random((40, 40)), "x")
    y = x
    for _ in range(40):
        y = np.sin(y) * x
    html = tg.draw(y).html(language="en")
    still = html.partition("<noscript>")[2].partition("</noscript>")[0]
    assert "<img" not in still
    assert still.startswith('<p lang="en">')
    assert "x = 40×40" in still
    assert len(still) < 10_000


def test_two_fingers_zoom_about_what_is_between_them(browser: Browser, tmp_path: Path) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True)
    page = context.new_page()
    page.goto(saved(tg.draw(TWELVE["two-layer-net"]()), tmp_path))
    session = context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[int, int]) -> None:
        fingers = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    place = page.locator(".graph").bounding_box()
    assert place is not None
    y = round(place["y"] + 100)
    between = f"[(150 - view.x) / view.k, ({y} - {place['y']} - view.y) / view.k]"
    before, size = page.evaluate(between), page.evaluate("view.k")
    touch("touchStart", (100, y))
    touch("touchStart", (100, y), (200, y))
    touch("touchMove", (50, y), (250, y))
    touch("touchEnd")
    assert page.evaluate("view.k") == pytest.approx(2 * size)
    assert page.evaluate(between) == pytest.approx(before)
    assert page.evaluate("state.selected") is None  # no click
    x = page.evaluate("view.x")
    touch("touchStart", (100, y))
    touch("touchMove", (130, y))
    touch("touchMove", (160, y))
    touch("touchEnd")
    assert page.evaluate("view.x") == pytest.approx(x + 60)
    assert not page.locator(".keys").is_visible()  # there are none on a phone
    context.close()


def test_the_map_leaves_a_phone_most_of_its_window(browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 740})
    page.goto(saved(tg.draw(TWELVE["two-layer-net"](), depth=9), tmp_path))
    place = page.locator("canvas.map").bounding_box()
    assert place is not None
    assert max(place["width"], place["height"]) <= 92
    page.close()


def test_a_name_does_not_turn_its_sentence_around(browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page(locale="en-US")
    picture = tg.draw(tg.Tensor(2.0, "عدد") * tg.Tensor(3.0, "a\u202eb\n"))
    page.goto(saved(picture, tmp_path))
    page.keyboard.press("End")
    items = page.locator('[role="treeitem"] > span').all_text_contents()
    assert items[:2] == ["\u2068عدد\u2069 = 2, ∂ 3", "a b  = 3, ∂ 2"]
    assert "∂L/∂\u2068عدد\u2069 = 1 × 3 = 3" in page.locator(".strip").text_content()  # type: ignore[operator]  # not None
    page.close()


def test_firefox_draws_the_page(tmp_path: Path) -> None:
    if FIREFOX is None:
        pytest.skip("no firefox on the PATH: the page was not drawn in a second browser")
    address, path = saved(tg.draw(apple()), tmp_path), tmp_path / "seen.png"
    words = [FIREFOX, "--headless", "--no-remote", "--profile", str(tmp_path / "profile")]
    (tmp_path / "profile").mkdir()
    subprocess.run(
        [*words, "--window-size=1000,700", "--screenshot", str(path), f"{address}#s=5"],
        capture_output=True,
        timeout=120,
        check=True,
    )
    assert {BACKWARD, (0xB3, 0x47, 0)} <= colors(path)  # the thick lines, and their numbers
