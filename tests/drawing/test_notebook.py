"""A notebook: an image without scripts, the page with them, text everywhere else."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from graphs import TWELVE, apple
from playwright.sync_api import Browser
from test_html import browser

import tarograd as tg

__all__ = ["browser"]  # the fixture

HOST = "<!DOCTYPE html><meta charset=utf-8><body>{}</body>"


@pytest.fixture(params=[True, False], ids=["trusted", "untrusted"])
def trusted(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_the_forms() -> None:
    picture = tg.draw(apple())
    bundle = picture._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "image/svg+xml", "text/html"}
    assert bundle["text/plain"] == str(picture)
    image = re.search(r"data:image/svg\+xml;base64,([\w+/=]+)", bundle["text/html"])
    assert image is not None
    assert base64.b64decode(image[1]).decode() == picture.svg() == bundle["image/svg+xml"]


def test_in_a_browser(browser: Browser, tmp_path: Path, trusted: bool) -> None:
    html = tg.draw(TWELVE["branch"]())._repr_mimebundle_()["text/html"]
    if not trusted:  # as a notebook's sanitizer does
        html = re.sub(r"<script>.*?</script>", "", html)
    path = tmp_path / "cell.html"
    path.write_text(HOST.format(html), encoding="utf-8")
    page = browser.new_page(locale="en-US")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(path.as_uri())
    if trusted:
        frame = page.frame_locator("iframe")
        frame.get_by_role("button", name="To the end").click()
        assert "5 / 5" not in frame.locator(".strip").inner_text()
        assert "∂L/∂x" in frame.locator(".strip").inner_text()
        assert page.locator("img").count() == 0
    else:
        assert page.evaluate("document.querySelector('img').naturalWidth") > 300
        assert page.locator("iframe").count() == 0
    assert errors == []
    page.close()


def test_a_large_graph_is_an_image_alone() -> None:
    x = tg.Tensor(0.5, "x")
    for _ in range(301):
        x = x * 1.0
    assert "<script" not in tg.draw(x)._repr_mimebundle_()["text/html"]
