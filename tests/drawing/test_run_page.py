"""A run that is watched in a real browser, and its report opened in one afterwards."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import TWELVE
from playwright.sync_api import Browser, Page
from test_html import NASTY, browser, wait
from test_trace import slope

import tarograd as tg
from commands import finish, start
from tarograd.drawing.film import Film, run_page
from tarograd.drawing.html import LANGUAGES, json_text
from tarograd.drawing.live import Server

assert browser  # the fixture

Open = Callable[[str], Page]
Watched = Callable[[], tuple[subprocess.Popen[str], str]]
TOTAL = 10**8  # more than any of these runs will make
DIGITS = tg.data.load("digits")


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """Starts a run without an end, and gives its page's address; afterwards it is gone."""
    processes = []

    def begin() -> tuple[subprocess.Popen[str], str]:
        words = ("train", "--steps", TOTAL, "--watch", "--quiet", "--hidden", 9)
        process = start(*words, folder=tmp_path)
        processes.append(process)
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.fullmatch(r"watch the run at (http://127\.0\.0\.1:\d+/[\w-]+/)\n", line)
        assert found, line
        return process, found[1]

    yield begin
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture
def look(browser: Browser) -> Iterator[Open]:
    """Opens a page; no error may happen on it, and no request to anywhere else."""
    context = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 800})
    problems: list[str] = []
    hosts: set[str] = set()

    def open_page(address: str) -> Page:
        page = context.new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: hosts.add(re.sub(r"(?<=\d)/.*", "", request.url)))
        page.goto(address)
        return page

    yield open_page
    context.close()
    assert [p for p in problems if "ERR_" not in p] == []  # of the events' end, when a run is gone
    assert all(h.startswith(("file:", "data:", "http://127.0.0.1:")) for h in hosts), hosts
    assert len({h for h in hosts if h.startswith("http")}) <= 1


def moments(page: Page) -> list[int]:
    found: list[int] = page.evaluate("moments.map((m) => m.vitals.step)")
    return found


def test_moments_arrive_and_ctrl_c_ends_the_run_and_the_server(
    tmp_path: Path, look: Open, watched: Watched
) -> None:
    process, url = watched()
    first, second = look(url), look(url)  # two browsers
    for page in (first, second):
        wait(page, "moments.length > 12")
        assert page.locator(".state").inner_text() == "● running"
        assert page.evaluate("shown.following")
    steps = moments(first)
    assert steps == sorted(set(steps))
    assert {0, 1, 2, 5, 10} <= set(steps)
    second.close()  # in the middle of the run
    before = max(steps)
    wait(first, f"moments.at(-1).vitals.step > {before}")
    process.send_signal(signal.SIGINT)
    wait(first, "run.state === 'stopped'")
    assert first.locator(".state").inner_text() == "stopped, and saved"
    outcome = finish(process)
    assert outcome.code == 130
    assert "saved. To go on" in outcome.err
    report = look((tmp_path / "runs" / "digits" / "report.html").as_uri())
    assert report.locator(".state").inner_text() == "stopped, and saved"


def test_a_watched_run_has_the_bits_of_any_other(tmp_path: Path, look: Open) -> None:
    folders = tmp_path / "a", tmp_path / "b"
    words = ("train", "--steps", 30_000, "--quiet", "--out", "run")
    for folder in folders:
        folder.mkdir()
    process = start(*words, "--watch", folder=folders[0])
    assert process.stderr is not None
    page = look(process.stderr.readline().split()[-1])
    wait(page, "run.state === 'finished'")
    assert finish(process).code == 0
    assert finish(start(*words, folder=folders[1])).code == 0
    for name in ("last.safetensors", "best.safetensors", "history.csv", "report.html"):
        a, b = ((folder / "run" / name).read_bytes() for folder in folders)
        assert a == b, name


def test_a_port_that_is_taken_is_said_before_anything_happens(tmp_path: Path) -> None:
    with Server() as server:
        port = int(server.url.split(":")[2].split("/")[0])
        with pytest.raises(OSError, match=f"port {port} of 127.0.0.1 cannot be used"):
            tg.fit(
                tg.nn.TwoLayerNet(64, 5, 10), DIGITS, steps=3, directory=tmp_path / "run",
                watch=port, progress=False,
            )  # fmt: skip
        assert not (tmp_path / "run").exists()
        outcome = finish(start("train", "--watch", port, folder=tmp_path))
        assert outcome.code == 2
        assert len(outcome.err.splitlines()) == 1


@pytest.mark.parametrize("watch", ["yes", 1.5, None, -1, 2**16])
def test_what_is_no_port_is_refused(watch: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"watch=.*number of a port"):
        tg.fit(tg.nn.TwoLayerNet(64, 5, 10), DIGITS, steps=1, watch=watch, progress=False)


class Named(tg.nn.Network):
    """A network whose layers and parameters have names that would like to be markup."""

    def __init__(self) -> None:
        super().__init__()
        self.affine1, self.relu1 = tg.nn.Affine(64, 10), tg.nn.ReLU()
        self.affine1.name = self.relu1.name = NASTY
        self.affine1.w.name = NASTY

    def call(self, x: Any) -> Any:
        """Scores."""
        return self.relu1(self.affine1(x))

    def __repr__(self) -> str:
        return f"Named({NASTY!r})"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of a run that has a finding."""
    folder = tmp_path_factory.mktemp("report")
    net = tg.nn.TwoLayerNet(64, 10, 10)
    slow = tg.optim.SGD(lr=1e-6)
    tg.fit(net, DIGITS, optimizer=slow, steps=120, directory=folder, progress=False)
    return (folder / "report.html").as_uri()


def test_time_by_mouse_and_by_keyboard(report: str, look: Open) -> None:
    page = look(report)
    last = moments(page)[-1]
    counted = "history.replaceState = (...all) => (window.kept = [...(window.kept ?? []), all[2]])"
    page.evaluate(f"() => {{ {counted}; }}")
    step = page.locator(".time output")
    assert f"Step {last} of 120" in step.inner_text()
    page.keyboard.press("Home")
    assert "Step 0 of 120" in step.inner_text()
    page.keyboard.press("ArrowRight")
    assert "Step 1 of 120" in step.inner_text()
    page.get_by_role("button", name="Later").click()
    assert "Step 2 of 120" in step.inner_text()
    wait(page, "window.kept?.at(-1) === '#step=2'")
    for key in ("End", "Home", *["ArrowRight"] * 4):
        page.keyboard.press(key)
    wait(page, "window.kept.at(-1) === `#step=${now().vitals.step}`")
    assert len(page.evaluate("window.kept")) < 6  # browsers refuse more than 200 in 10 seconds
    page.get_by_role("button", name="Last moment").click()
    page.get_by_role("button", name="Earlier").click()
    assert f"Step {moments(page)[-2]} of" in step.inner_text()
    slider = page.get_by_role("slider", name="Moment of the run")
    slider.focus()
    page.keyboard.press("Home")
    assert "Step 0 of 120" in step.inner_text()
    box = slider.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    middle = page.evaluate("shown.at")
    assert 0.4 < middle / len(moments(page)) < 0.6
    assert f"Step {moments(page)[middle]} of" in (slider.get_attribute("aria-valuetext") or "")
    chart = page.locator(".chart").first.bounding_box()
    assert chart is not None
    page.mouse.click(chart["x"] + chart["width"] * 0.3, chart["y"] + 50)
    assert 20 < moments(page)[page.evaluate("shown.at")] < 50
    images = page.locator(".graph image").evaluate_all("all => all.map((i) => i.href.baseVal)")
    page.keyboard.press("End")
    assert images != page.locator(".graph image").evaluate_all("a => a.map((i) => i.href.baseVal)")


def test_a_finding_is_a_sentence_with_a_remedy_and_a_place(report: str, look: Open) -> None:
    page = look(report)
    item = page.locator(".findings li")
    assert item.count() == 1
    text = item.inner_text()
    assert text.startswith("The steps are too small: each changes the weights by")
    assert "What to try: a learning rate that is 100 times higher." in text
    item.get_by_role("button", name="Show step 2").click()
    assert "Step 2 of 120" in page.locator(".time output").inner_text()
    page.keyboard.press("Home")
    page.keyboard.press("n")
    assert "Step 2 of 120" in page.locator(".time output").inner_text()
    assert "The steps are too small" in page.locator('[role="status"]').inner_text()


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_speaks_three_languages(report: str, look: Open, language: str) -> None:
    page = look(report)
    page.get_by_label("Language").select_option(language)
    assert page.evaluate("document.documentElement.lang") == language
    text = page.locator("body").inner_text()
    assert "undefined" not in text
    assert "{" not in text
    titles = {"en": "Findings (1)", "zh-CN": "诊断 (1)", "ja": "診断 (1)"}
    assert titles[language] in text


def test_names_are_only_text(tmp_path: Path, look: Open) -> None:
    tg.fit(Named(), DIGITS, steps=12, directory=tmp_path, progress=False)
    page = look((tmp_path / "report.html").as_uri())
    assert NASTY in page.locator("h1").inner_text()
    assert "</script>" in page.locator(".graph").inner_html().replace("&lt;", "<").replace(
        "&gt;", ">"
    )
    assert page.evaluate("window.broken") is None


def test_the_post_mortem_names_the_first_node(tmp_path: Path, look: Open) -> None:
    with pytest.raises(ArithmeticError) as caught:
        tg.fit(
            tg.nn.TwoLayerNet(64, 10, 10), DIGITS, optimizer=tg.optim.SGD(lr=1e30),
            steps=9, directory=tmp_path, progress=False,
        )  # fmt: skip
    page = look((tmp_path / "report.html").as_uri())
    text = page.locator(".findings").inner_text()
    step, name = re.findall(r"^step (\d+).* came out of (\w+) ", str(caught.value))[0]
    assert f"Step {step}: {name} in twolayernet" in text
    assert "gave the first value that is no finite number" in text
    assert "Its inputs:" in text
    assert page.locator(".box.sick").count() == 1
    assert page.locator(".state").inner_text() == "failed"


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing_serious(report: str, browser: Browser, width: int, scheme: Any) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
    )
    screen: Any = {"width": width, "height": 800}
    context = browser.new_context(color_scheme=scheme, viewport=screen, locale="en-US")
    page = context.new_page()
    page.goto(report)
    page.evaluate("document.querySelectorAll('details').forEach((d) => d.open = true)")
    found = axe.Axe().run(page).response
    assert len(found["passes"]) > 10
    serious = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
    assert [(v["id"], [n["target"] for n in v["nodes"]]) for v in serious] == []
    context.close()


def test_nothing_of_it_is_wider_than_a_telephone(report: str, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme="dark")
    page = context.new_page()
    page.goto(report)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 17, 23)"
    context.close()


def numbers(text: str) -> list[float]:
    return [float(n.replace("∞", "inf")) for n in re.findall(r"-?[\d.]+(?:e-?\d+)?", text)]


def expected(array: Any) -> list[float]:
    """What is written of an array: its few numbers, or its norm."""
    small = array.ndim < 2 and array.size <= 3
    return [float(x) for x in array.ravel()] if small else [float(np.linalg.norm(array))]


@pytest.mark.parametrize("name", TWELVE)
def test_the_numbers_of_the_twelve_graphs_arrive_as_they_are(name: str, look: Open) -> None:
    """The page of a run, served live, that is sent one of the book's graphs for its network."""
    trace = tg.draw(TWELVE[name]()).trace
    film = Film()
    moment = film.frame(trace) | {
        "vitals": {"step": 0, "loss": 0.0, "weights": [], "units": [], "signal": []},
        "paths": {},
    }
    run = {
        "about": {"network": name, "data": "the book"}, "steps": 1, "done": 0, "event": 0,
        "state": "running", "message": "", "trouble": "", "curve": [], "epochs": [],
        "findings": [], "pictures": film.pictures, "moments": [],
    }  # fmt: skip
    with Server() as server:
        server.page = lambda event: run_page(name, json_text(run), live=True)
        page = look(server.url)
        server.send(json_text(run | {"state": "finished", "moments": [moment]}))
        page.wait_for_selector(".graph .label")
        shown: list[tuple[int, str, str]] = page.evaluate(
            """[...document.querySelectorAll(".graph .label")].map((label) => [
                Number(label.dataset.value), ...["text.v", "text.g"].map((kind) =>
                [...label.querySelectorAll(kind)].map((t) => t.textContent).at(-1) ?? "")])"""
        )
    gradients = {value for value, _, below in shown if below}
    assert {v.id for v in trace.values if v.kind in ("input", "parameter")} <= gradients
    for value, above, below in shown:
        if above:
            assert numbers(above) == pytest.approx(expected(trace.values[value].array), rel=1e-3)
        if below and trace.values[value].node is None and below not in _shares(shown, value):
            assert numbers(below) == pytest.approx(expected(slope(trace, value)), rel=1e-3)


def _shares(shown: list[tuple[int, str, str]], value: int) -> set[str]:
    """The derivatives on the branches of a value, beside their sum."""
    below = {text for other, above, text in shown if other == value and not above}
    return below if any("Σ" in text for other, _, text in shown if other == value) else set()


def test_watching_leaves_the_network_as_it_was() -> None:
    nets = tg.nn.TwoLayerNet(64, 5, 10), tg.nn.TwoLayerNet(64, 5, 10)
    tg.fit(nets[0], DIGITS, steps=30, progress=False)
    tg.fit(nets[1], DIGITS, steps=30, progress=False, watch=True)
    for a, b in zip(*(net.parameters() for net in nets), strict=True):
        assert a.value.tobytes() == b.value.tobytes()
