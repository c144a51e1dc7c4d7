"""Every number that is drawn, read back from each medium, is that of NumPy and of differences.

The numbers are computed from the trace's structure alone: forward by NumPy, each derivative by
moving the value, or one use of it, a little. Neither rules nor backpropagation take part.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import TWELVE
from hypothesis import given, settings
from playwright.sync_api import Browser, Page
from test_html import browser
from test_layout import random_graphs
from test_trace import OPERATIONS, slope

import tarograd as tg
from tarograd.drawing.film import Film, run_page
from tarograd.drawing.trace import ROOT, Trace
from tarograd.drawing.view import view

__all__ = ["browser"]  # the fixture

NUMBER = r"[-−]?(?:\d+\.?\d*(?:e-?\d+)?|∞|NaN)"
SHAPE = r"\d+(?:×\d+)+|\(\d+\)"
Uses = Callable[[int], bool]


class Truth:
    """The values of a trace, and the derivatives by them, without the rules of backpropagation."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.values = {v.id: v.array for v in trace.values if v.node is None}
        with np.errstate(all="ignore"):
            for node in trace.nodes:
                inputs = [self.values[trace.uses[use].value] for use in node.uses]
                self.values[node.output] = OPERATIONS[node.op](trace, node, *inputs)
        self.total = cache(lambda value: slope(trace, value))
        self.by_use = cache(lambda use: slope(trace, trace.uses[use].value, use))

    def through(self, value: int, counts: Uses) -> Any:
        """The derivative through those uses of a value that count; None if there is none."""
        uses = [
            i
            for i, use in enumerate(self.trace.uses)
            if use.value == value and use.gradient is not None and counts(use.node)
        ]
        found = [self.by_use(use) for use in uses]
        return sum(found[1:], found[0]) if found else None

    def outside(self, value: int, group: int) -> Any:
        """The derivative by a value through all that is outside of a group."""
        found = self.through(value, lambda node: not self.within(node, group))
        if value == self.trace.output and self.trace.values[value].gradient is not None:
            found = np.ones(self.values[value].shape) + (0 if found is None else found)
        return found

    def within(self, node: int, group: int) -> bool:
        return group in self.trace.outward(self.trace.nodes[node].group)

    def written(self, value: int, *derivatives: Any) -> Iterator[float]:
        """The numbers that stand for a value and for derivatives."""
        flows = self.trace.values[value].gradient is not None
        for array in (self.values[value], *(d for d in derivatives if flows and d is not None)):
            yield from numbers(array)


def numbers(array: Any) -> list[float]:
    """A few numbers themselves, of a larger array the norm."""
    a = np.asarray(array, float)
    if a.size and (a.ndim == 0 or (a.ndim == 1 and a.size <= 3)):
        return [float(x) for x in a.ravel()]
    return [float(np.linalg.norm(a))] if a.size else []


def on_edges(picture: tg.Picture, opened: set[int]) -> list[float]:
    """The numbers on all edges that are seen when some groups are open."""
    trace, truth, found = picture.trace, Truth(picture.trace), list[float]()
    for group in opened:
        if not opened.issuperset(trace.outward(group)):
            continue
        level = picture.levels[group]
        for item in level.items:
            if item.kind == "share" and item.target is not None:
                found += share(truth, group, item.ref, item.target)
            for value in item.outputs if item.kind in ("node", "leaf", "group") else ():
                if group != ROOT and value in level.passing:
                    continue  # it is written outside
                whole = item.kind != "group"
                slope = truth.total(value) if whole else truth.outside(value, item.ref)
                found += truth.written(value, slope)
    return found


def share(truth: Truth, group: int, value: int, target: Any) -> list[float]:
    """The numbers of the derivative that comes back from one place where a value goes."""
    kind, ref, port = target
    if kind == "node":
        use = truth.trace.nodes[ref].uses[port]
        flows = truth.trace.uses[use].gradient is not None
        return numbers(truth.by_use(use)) if flows else []
    if kind == "group":
        found = truth.through(value, lambda node: truth.within(node, ref))
    else:
        found = truth.outside(value, group)
    return [] if found is None else numbers(found)


def in_lines(picture: tg.Picture) -> list[float]:
    """The numbers in a drawing made of lines of text: without boxes, each value in one place."""
    trace, truth, found = picture.trace, Truth(picture.trace), list[float]()
    parts = view(trace, trace.open_groups())
    made = {value for part in parts for value, _ in part.outputs}
    into = [value for part in parts for value, _ in part.inputs]
    for value in set(into) - made:
        found += truth.written(value, truth.total(value))
    for part in parts:
        closed = part.kind == "group"
        for value, _ in part.outputs:
            slope = truth.outside(value, part.ref) if closed else truth.total(value)
            found += truth.written(value, slope)
        for port, (value, _) in enumerate(part.inputs):
            if into.count(value) > 1:
                kind = ("group", part.ref, 0) if closed else ("node", part.ref, port)
                found += share(truth, ROOT, value, kind)
    return found


def read(text: str) -> list[float] | None:
    """The numbers in a text that stands on an edge; None for a name."""
    text = re.sub(rf"^Σ |^(?:{SHAPE})$|^(?:{SHAPE}) ", "", text).strip("‖[]")
    if not re.fullmatch(rf"(?:{NUMBER} ?)*", text):
        return None
    return [float(x.replace("∞", "inf")) for x in text.split()]


def read_all(texts: list[str]) -> list[float]:
    found = [read(text) for text in texts]
    return [x for some in found for x in some or ()]


def assert_same(found: list[float], expected: list[float]) -> None:
    assert len(found) == len(expected)
    np.testing.assert_allclose(sorted(found), sorted(expected), 6e-4, 1e-7)


def svg_texts(svg: str) -> list[str]:
    return [
        unescape(re.sub(r"<title>.*?</title>|<[^>]*>", "", text))
        for text in re.findall(r"<text[^>]*>(.*?)</text>", svg)
    ]


def terminal_numbers(picture: tg.Picture) -> list[float]:
    text, trace = picture.terminal(columns=10**4), picture.trace
    assert "→" not in text  # it is drawn, not an outline
    names = {v.name for v in trace.values if v.name} | {g.name for g in trace.groups}
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<![\w.]){re.escape(name)}(?![\w.])", " ", text)
    text = re.sub(rf"(?:{SHAPE})(?= ‖)", " ", text)
    return [float(x.replace("∞", "inf")) for x in re.findall(rf"(?<![\d.]){NUMBER}", text)]


def page_texts(page: Any) -> list[str]:
    texts: list[str] = page.locator(".graph .label text").evaluate_all(
        """(all) => all.filter((t) => getComputedStyle(t).visibility === "visible")
        .map((t) => t.firstChild.textContent)"""
    )
    return texts


def from_terminal(picture: tg.Picture, _: Page, __: Path) -> None:
    assert_same(terminal_numbers(picture), in_lines(picture))


def from_svg(picture: tg.Picture, _: Page, __: Path) -> None:
    texts = svg_texts(picture.svg())
    assert_same(read_all(texts), on_edges(picture, picture.trace.open_groups()))
    names = {v.name for v in picture.trace.values} | {n.symbol for n in picture.trace.nodes}
    assert {t for t in texts if read(t) is None and "▾" not in t} <= names | all_names(picture)


def all_names(picture: tg.Picture) -> set[str]:
    groups = picture.trace.groups
    said = {f"{g.name} {kind}" for g in groups for kind in (g.symbol, g.kind, "")}
    return said | {g.name for g in groups} | {g.kind for g in groups}


def from_html(picture: tg.Picture, page: Page, folder: Path) -> None:
    picture.save(folder / "picture.html")
    page.goto((folder / "picture.html").as_uri())
    page.keyboard.press("End")
    found = read_all(page_texts(page))
    assert_same(found, on_edges(picture, picture.trace.open_groups()))


def from_notebook(picture: tg.Picture, page: Page, folder: Path) -> None:
    """The image of a notebook that is not trusted, and the page of one that is."""
    html = picture._repr_mimebundle_()["text/html"]
    expected = on_edges(picture, picture.trace.open_groups())
    image = re.search(r'src="data:image/svg\+xml;base64,([^"]*)"', html)
    assert image is not None
    assert_same(read_all(svg_texts(base64.b64decode(image[1]).decode())), expected)
    (folder / "cell.html").write_text(f"<!DOCTYPE html><body>{html}", encoding="utf-8")
    page.goto((folder / "cell.html").as_uri())
    frame = page.frame_locator("iframe")
    frame.get_by_role("button", name="To the end").click()
    assert_same(read_all(page_texts(frame)), expected)


def from_live(picture: tg.Picture, page: Page, folder: Path) -> None:
    """The page of a run that computed this once."""
    film, trace = Film(), picture.trace
    vitals = {"step": 0, "loss": 0.0, "weights": [], "units": [], "signal": []}
    moment = {"vitals": vitals, "origin": None, "paths": {}} | film.frame(trace)
    run = {
        "moments": [moment], "pictures": film.pictures, "findings": [], "curve": [], "epochs": [],
        "about": {"network": "graph", "data": "none"}, "state": "finished", "steps": 1, "done": 1,
    }  # fmt: skip
    (folder / "run.html").write_text(run_page("run", json.dumps(run)), encoding="utf-8")
    page.goto((folder / "run.html").as_uri())
    opened = {ROOT} | {g.parent for g in trace.groups[1:]}
    assert_same(read_all(page_texts(page)), on_edges(picture, opened))


MEDIA = [from_terminal, from_svg, from_html, from_notebook, from_live]


@pytest.mark.parametrize("medium", MEDIA, ids=lambda m: m.__name__.removeprefix("from_"))
@pytest.mark.parametrize("name", TWELVE)
def test_every_number_of_every_medium(
    name: str, medium: Any, browser: Browser, tmp_path: Path
) -> None:
    page = browser.new_page(locale="en-US", viewport={"width": 2400, "height": 1200})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    medium(tg.draw(TWELVE[name](), depth=1 if medium is from_terminal else 9), page, tmp_path)
    assert errors == []
    page.close()


OPERATIONS.update(
    sigmoid=lambda trace, node, x: 1 / (1 + np.exp(-x)),
    tanh=lambda trace, node, x: np.tanh(x),
    subtract=lambda trace, node, a, b: a - b,
)


@given(random_graphs())
@settings(max_examples=40)
def test_every_number_of_random_graphs(output: tg.Tensor) -> None:
    picture = tg.draw(output, depth=9)
    expected = on_edges(picture, picture.trace.open_groups())
    found = read_all(svg_texts(picture.svg()))
    assert len(found) == len(expected)
    np.testing.assert_allclose(sorted(found), sorted(expected), 1e-3, 1e-6)
    if "→" not in picture.terminal(columns=10**4):
        found, expected = terminal_numbers(picture), in_lines(picture)
        assert len(found) == len(expected)
        np.testing.assert_allclose(sorted(found), sorted(expected), 1e-3, 1e-6)
