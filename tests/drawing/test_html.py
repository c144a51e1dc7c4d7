"""The page, in a real browser: each interaction by mouse and by keyboard, offline, and in words.

The browser is the system's Chromium; none is downloaded, and without one these tests are skipped.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import TWELVE, apple, branch
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from test_trace import slope

import tarograd as tg
from tarograd.drawing.labels import Labels
from tarograd.drawing.numbers import short
from tarograd.drawing.place import place

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
NASTY = "</script><img src=x onerror=window.broken=1>"

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium on the PATH: the page was not tried in a browser")
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--no-first-run"]
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield started
        started.close()


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens the page of a picture; afterwards no error and no request may have happened."""
    context = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 800})
    problems: list[str] = []
    requests: list[str] = []

    def open_page(picture: tg.Picture, address: str = "") -> Page:
        path = tmp_path / "page.html"
        picture.save(path)
        page = context.new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri() + address)
        return page

    yield open_page
    context.close()
    assert problems == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []


def strip(page: Page) -> str:
    return page.locator(".strip").inner_text().replace("\n", " ")


def shown(page: Page, kind: str) -> list[str]:
    """The texts of a kind that can be seen: `.v` above the edges, `.g` below."""
    found: list[str] = page.evaluate(
        """(kind) => [...document.querySelectorAll(`.graph text${kind}`)]
        .filter((t) => getComputedStyle(t).visibility === "visible")
        .map((t) => t.firstChild.textContent)""",
        kind,
    )
    return sorted(found)


def test_stepping_forward_and_backward_by_keyboard(show: Open) -> None:
    page = show(tg.draw(apple()))
    assert shown(page, ".g") == []  # a learner begins before the backward pass
    assert shown(page, ".v") == ["1.1", "100", "2", "200", "220"]
    page.keyboard.press("ArrowRight")
    assert shown(page, ".g") == ["1"]
    page.keyboard.press("ArrowRight")
    assert shown(page, ".g") == ["1", "1.1", "200"]
    assert "∂L/∂tax = 1 × 200 = 200" in strip(page)
    page.keyboard.press("ArrowRight")
    assert shown(page, ".g") == ["1", "1.1", "110", "2.2", "200"]
    assert "∂L/∂apple = 1.1 × 2 = 2.2" in strip(page)
    assert "∂L/∂count = 1.1 × 100 = 110" in strip(page)
    page.keyboard.press("Home")
    assert shown(page, ".v") == ["1.1", "100", "2"]
    page.keyboard.press("ArrowRight")
    assert "apple × count = 100 × 2 = 200" in strip(page)
    page.keyboard.press("End")
    assert shown(page, ".g") == ["1", "1.1", "110", "2.2", "200"]
    page.keyboard.press(" ")
    page.wait_for_timeout(2500)  # it plays from the beginning, a step in 0.9 s
    assert 1 <= page.evaluate("state.step") <= 5
    assert page.evaluate("state.playing") != 0
    page.keyboard.press(" ")
    assert page.evaluate("state.playing") == 0


def test_stepping_by_mouse(show: Open) -> None:
    page = show(tg.draw(apple()))
    page.get_by_role("button", name="To the beginning").click()
    assert shown(page, ".v") == ["1.1", "100", "2"]
    for _ in range(5):
        page.get_by_role("button", name="One step", exact=True).click()
    assert "∂L/∂apple = 1.1 × 2 = 2.2" in strip(page)
    page.get_by_role("button", name="One step back").click()
    assert "2.2" not in shown(page, ".g")


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_box_opens_in_place(show: Open, by: str) -> None:
    page = show(tg.draw(TWELVE["two-layer-net"]()))
    group = page.locator('.box[data-kind="group"]', has_text="affine1").last
    before = group.bounding_box()
    if by == "mouse":
        group.click()
    else:
        at_item(page, "group2")
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
    after = page.locator(".box.open", has_text="affine1").bounding_box()
    assert before is not None
    assert after is not None
    assert (after["x"], after["y"]) == pytest.approx((before["x"], before["y"]), abs=2)
    symbols = page.locator(".box.node text").all_text_contents()
    assert {"@", "Repeat", "+"} <= set(symbols)
    page.evaluate("toggle(2)")
    assert page.locator(".box.node").count() == 0


def test_shift_opens_all_boxes_of_a_kind(show: Open) -> None:
    page = show(tg.draw(TWELVE["two-layer-net"]()))
    box = page.locator('.box[data-kind="group"]', has_text="affine1").last
    box.click(modifiers=["Shift"])
    assert page.locator(".box.node", has_text="Repeat").count() == 2


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_changed_leaf_is_followed_forward_and_backward(show: Open, by: str) -> None:
    page = show(tg.draw(branch()))
    page.keyboard.press("End")
    if by == "mouse":
        page.locator(".box.leaf", has_text="x").click()
        page.get_by_label("Change to").fill("-1.3")
    else:
        page.locator('[role="treeitem"]').first.focus()
        page.keyboard.press("Enter")
        page.keyboard.press("e")
        page.keyboard.press("Control+a")
        page.keyboard.type("-1.3")
    x = tg.Tensor(-1.3, "x")
    again = tg.draw(x * x + np.exp(x) * x)
    texts = [
        line
        for drawn in again.scene.lines
        if drawn.label and drawn.label.below
        for line in drawn.label.below.lines
    ]
    assert shown(page, ".g") == sorted(texts)
    assert f"x = -1.3, ∂ {short(float(slope(again.trace, 0)))}" in page.locator(
        '[role="tree"]'
    ).inner_text().replace("\n", " ")


@pytest.mark.parametrize("by", ["mouse", "keyboard", "buttons"])
def test_looking_into_an_edge(show: Open, by: str) -> None:
    page = show(tg.draw(TWELVE["two-layer-net"]()))
    details = page.get_by_role("region", name="Details")
    if by == "mouse":
        page.locator(".label text", has_text="4×3").first.click()
    else:
        at_item(page, "group2")
        page.keyboard.press("ArrowRight")
        at_item(page, "node0")
        page.keyboard.press("Enter")
        assert "x @ w1" in details.inner_text()
        if by == "keyboard":
            page.keyboard.press("v")
        else:
            details.get_by_role("button", name="w1 = ").press("Enter")
    shape = "3×3" if by == "keyboard" else "4×3"  # the result x @ w1, or w1
    assert f"{shape} float64" in details.inner_text()
    assert details.locator("image").count() == 2
    page.get_by_role("button", name="Copy the Python expression").press("Enter")
    expression = details.locator("code").inner_text()
    at = re.fullmatch(r"picture\.trace\.values\[(\d+)\]\.array", expression)
    assert at is not None
    page.keyboard.press("Escape")
    assert "Click an operation" in details.inner_text()


def test_what_has_not_come_back_is_not_seen(show: Open) -> None:
    page = show(tg.draw(TWELVE["two-layer-net"]()))
    seen = """() => [...document.querySelectorAll(".graph image, .graph .h")]
        .map((e) => [e.classList.contains("g"), getComputedStyle(e).visibility])"""
    page.keyboard.press("Home")
    for _ in range(4):  # the boxes, forward
        page.keyboard.press("ArrowRight")
    before = page.evaluate(seen)
    assert {tuple(one) for one in before} == {(False, "visible"), (True, "hidden")}
    page.keyboard.press("End")
    assert {tuple(one) for one in page.evaluate(seen)} == {(False, "visible"), (True, "visible")}


def test_one_sample_of_a_batch_is_looked_at(show: Open) -> None:
    rng = np.random.default_rng(0)
    x = tg.Tensor(rng.normal(size=(12, 64)), "x")
    page = show(tg.draw((x @ tg.Tensor(rng.normal(size=(64, 5)), "w")).sum()))
    page.locator(".box.leaf", has_text="x").click()
    details = page.get_by_role("region", name="Details")
    whole = details.locator("image").evaluate_all("all => all.map((i) => i.getAttribute('href'))")
    page.keyboard.press("s")
    page.keyboard.press("End")
    assert "[7] / 12" in details.inner_text()
    places = details.locator("image").evaluate_all("all => all.map((i) => i.getAttribute('y'))")
    assert places == [str(-88 * 7)] * 2  # of the value, and beside it of the derivative
    assert whole != details.locator("image").evaluate_all("a => a.map((i) => i.href.baseVal)")
    page.keyboard.press("Home")
    assert "Slice" in details.inner_text()
    assert "[" not in details.locator("output").inner_text()
    page.locator(".box.leaf", has_text="w").click()
    page.keyboard.press("s")
    page.keyboard.press("ArrowRight")
    assert "[:, 0] / 5" in details.inner_text()  # a column of the weights is an image


def test_a_share_comes_back_along_its_whole_way(show: Open) -> None:
    x = tg.Tensor(3.0, "x")
    page = show(tg.draw(np.exp(x) + np.sin(x)))
    page.keyboard.press("Home")
    for _ in range(6):  # exp, sin, +, the start, + and sin back
        page.keyboard.press("ArrowRight")
    assert "∂L/∂x = 1 × -0.99 = -0.99" in strip(page)
    dotted = page.locator('.edge[data-value="0"].unreturned').count()
    solid = page.locator('.edge[data-value="0"]:not(.unreturned)').count()
    assert (dotted, solid) == (4, 3)  # x and the way over exp; before, at and behind the share


def at_item(page: Page, key: str) -> None:
    """Move to an item of the outline with the arrow keys."""
    page.locator('[role="treeitem"][tabindex="0"]').focus()
    page.keyboard.press("Home")
    for _ in range(60):
        if page.evaluate("document.activeElement.dataset.key") == key:
            return
        page.keyboard.press("ArrowDown")
    raise AssertionError(f"{key} is not in the outline")


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_all_paths_and_their_sum(show: Open, by: str) -> None:
    page = show(tg.draw(branch()))
    page.locator(".box.leaf", has_text="x").click()
    if by == "mouse":
        page.get_by_role("button", name="All paths to the end").click()
    else:
        page.keyboard.press("c")
    paths = page.locator("#paths").inner_text()
    assert "Paths: 4" in paths
    products = [float(p) for p in re.findall(r"= (\S+)$", paths, re.M)]
    assert sum(products[:4]) == pytest.approx(products[4], rel=1e-3)
    assert products[4] == pytest.approx(1 + 1.5 * np.exp(0.5), rel=1e-3)
    assert page.locator(".edge.chain").count() > 4


def test_search_fit_and_zoom_by_keyboard(show: Open) -> None:
    page = show(tg.draw(apple()))
    page.keyboard.press("/")
    page.keyboard.type("tax")
    assert page.locator(".hit-by-search").all_text_contents() == ["tax"]
    page.keyboard.press("Escape")
    before = page.evaluate("view.k")
    page.keyboard.press("+")
    assert page.evaluate("view.k") > before
    at = page.evaluate("[view.x, view.y]")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    assert page.evaluate("[view.x, view.y]") == [at[0] - 80, at[1] - 80]
    page.keyboard.press("f")
    assert page.evaluate("view.k") == pytest.approx(before)


def test_the_address_keeps_what_is_seen(show: Open) -> None:
    page = show(tg.draw(TWELVE["two-layer-net"]()), "#s=3&o=0,1,2")
    assert strip(page).startswith("3 /")
    assert page.locator(".box.open").count() == 2


def chain(nodes: int) -> tg.Tensor:
    y: Any = tg.Tensor(0.5, "x")
    for _ in range(nodes):
        y = np.sin(y)
    result: tg.Tensor = y
    return result


def test_at_most_three_hundred_are_seen(show: Open) -> None:
    picture = tg.draw(chain(1000))
    page = show(picture)
    assert page.evaluate("seen()") == 40
    parts = [g.id for g in picture.trace.groups[1:] if g.parent == 0]
    for opened, group in enumerate(parts[:12], 1):
        page.evaluate("(group) => toggle(group)", group)
        assert page.evaluate("seen()") == min(40 + 25 * opened, 290)
        assert page.evaluate("(group) => state.opened.has(group)", group)
    assert "1 boxes were closed: at most 300" in strip(page)
    assert not page.evaluate("(group) => state.opened.has(group)", parts[0])  # the oldest
    page.evaluate("(group) => toggle(group, true)", parts[0])  # all of its kind
    assert 275 <= page.evaluate("seen()") <= 300
    picture.trace.depth = 9
    opened_first = picture.trace.open_groups()
    shown = sum(n.group in opened_first for n in picture.trace.nodes)
    assert shown + sum(g.parent in opened_first for g in picture.trace.groups[1:]) <= 300


def test_a_large_picture_has_a_map_and_is_drawn_where_one_looks(show: Open) -> None:
    picture = tg.draw(chain(240))
    picture.trace.depth = 9
    page = show(picture)
    map_ = page.locator(".map")
    assert map_.is_visible()
    there = page.locator('.box.node[data-ref="239"]')
    assert there.count() == 0  # out of sight, so not drawn yet
    around = map_.bounding_box()
    assert around is not None
    map_.click(position={"x": around["width"] / 2, "y": around["height"] - 3})
    there.wait_for()
    page.keyboard.press("f")
    assert not map_.is_visible()
    page.locator('[role="treeitem"]').last.focus()
    for _ in range(12):
        page.keyboard.press("+")
    assert page.evaluate("view.k") > 1
    page.keyboard.press("Home")
    page.keyboard.press("Enter")  # what is chosen in the outline comes into sight
    assert page.evaluate("view.y") > -400


@pytest.mark.parametrize("name", TWELVE)
def test_the_outline_has_every_number(show: Open, name: str) -> None:
    picture = tg.draw(TWELVE[name](), depth=9)
    page = show(picture)
    tree = page.get_by_role("tree", name="Outline")
    words = tree.inner_text().replace("\n", " ")
    for value in picture.trace.values:
        if value.array.ndim == 0:
            assert short(float(value.array)) in words
        if value.gradient is not None and value.gradient.ndim == 0:
            assert f"∂ {short(float(slope(picture.trace, value.id)))}" in words
    items = tree.get_by_role("treeitem")
    assert (
        items.count()
        == sum(v.node is None for v in picture.trace.values)
        + len(picture.trace.nodes)
        + len(picture.trace.groups)
        - 1
    )
    nodes = page.locator(".box.node").count()
    assert nodes == len(picture.trace.nodes)


@pytest.mark.parametrize("name", TWELVE)
def test_python_and_the_page_place_everything_alike(show: Open, name: str) -> None:
    picture = tg.draw(TWELVE[name]())
    page = show(picture)
    trace = picture.trace
    choices = [{0}, {g.id for g in trace.groups}, *({0, g.id} for g in trace.groups[1:])]
    for opened in choices:
        ours = place(picture.levels, Labels(trace), opened)
        theirs = page.evaluate("(open) => place(data, new Set(open))", sorted(opened))
        assert [theirs["width"], theirs["height"]] == pytest.approx([ours.width, ours.height])
        assert len(theirs["boxes"]) == len(ours.boxes)
        for a, b in zip(theirs["boxes"], ours.boxes, strict=True):
            assert (a["kind"], a["ref"], a["open"]) == (b.kind, b.ref, b.open)
            assert [a["x"], a["y"]] == pytest.approx([b.x, b.y], abs=1e-6)
        for c, d in zip(theirs["lines"], ours.lines, strict=True):
            assert (c["kind"], c["value"], c["flows"]) == (d.kind, d.value, d.flows)
            assert (c["head"], c["tail"], c["branch"]) == (d.head, d.tail, d.branch)
            assert np.ravel(c["points"]).tolist() == pytest.approx(np.ravel(d.points), abs=1e-6)


def test_numbers_are_shortened_alike(show: Open) -> None:
    page = show(tg.draw(apple()))
    rng = np.random.default_rng(0)
    numbers = [0.0, 1e308, -1e-320, 1e6, 999999.0, 0.00099999, 123456.7, 2.2000000000000002]
    numbers += [float(x) for x in rng.normal(size=200) * 10.0 ** rng.integers(-12, 12, 200)]
    theirs = page.evaluate("(xs) => xs.map(short)", numbers)
    assert theirs == [short(x) for x in numbers]


def test_three_languages(show: Open) -> None:
    page = show(tg.draw(apple()))
    page.get_by_label("Language").select_option("zh-CN")
    assert page.get_by_role("button", name="前进一步").count() == 1
    page.get_by_label("语言").select_option("ja")
    assert page.get_by_role("button", name="一歩戻る").count() == 1
    assert page.evaluate("document.documentElement.lang") == "ja"


def test_names_are_only_text(show: Open) -> None:
    with np.errstate(all="ignore"):
        picture = tg.draw(tg.Tensor(np.nan, NASTY) * tg.Tensor(1e308, "税率") * np.inf)
    assert picture.html().count("<script") == 2
    page = show(picture)
    assert page.evaluate("window.broken") is None
    assert page.locator("img").count() == 0
    assert "NaN" in page.locator(".graph").text_content()  # type: ignore[operator]  # not None


def test_the_policy_refuses_foreign_scripts_and_requests(show: Open) -> None:
    html = tg.draw(apple()).html()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy[1]
    assert not re.search(r'(?:src|href)="(?!data:)', html)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", html)
    assert len(html.encode()) <= 120 * 1024


def test_a_png_has_two_pixels_for_each_unit(tmp_path: Path) -> None:
    if CHROMIUM is None and shutil.which("rsvg-convert") is None:
        pytest.skip("neither chromium nor rsvg-convert on the PATH: no PNG was made")
    picture, path = tg.draw(apple()), tmp_path / "apple.png"
    picture.save(path)
    with Image.open(path) as image:
        size = re.search(r'width="(\d+)" height="(\d+)"', picture.svg())
        assert size is not None
        assert image.size == (2 * int(size[1]), 2 * int(size[2]))
        colors = {color for _, color in image.convert("RGB").getcolors(10**6) or []}
    assert {(255, 255, 255), (0xD5, 0x5E, 0)} <= colors


def test_without_a_converter_a_png_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(OSError, match="needs rsvg-convert or Chromium, and there is neither"):
        tg.draw(apple()).png()


def wait(page: Page, condition: str, seconds: float = 60.0) -> None:
    """Until something holds on the page, whose policy lets no test evaluate in its own time."""
    ends = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < ends, f"{condition} did not come true in {seconds} s"
        page.wait_for_timeout(50)


def test_dark_and_narrow_screens(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "apple.html"
    tg.draw(apple()).save(path)
    size: Any = {"width": 390, "height": 780}
    context = browser.new_context(color_scheme="dark", viewport=size, locale="de-DE")
    page = context.new_page()
    page.goto(path.as_uri())
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 17, 23)"
    box = page.locator(".graph").bounding_box()
    assert box is not None
    assert box["width"] == 390
    page.locator(".box.leaf", has_text="apple").click()  # the panel below grows
    wait(page, "Math.abs(view.y + view.k * scene.height / 2 - stage.clientHeight / 2) < 30")
    less = page.locator(".graph").bounding_box()
    assert less is not None
    assert less["height"] < box["height"]
    for leaf in page.locator(".box").all():
        place = leaf.bounding_box()
        assert place is not None
        assert place["y"] + place["height"] <= less["y"] + less["height"]
    assert page.get_by_role("treeitem").count() == 5  # out of sight, but told
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    context.close()
