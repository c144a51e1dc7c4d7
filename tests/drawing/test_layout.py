"""The layout: left to right, nothing on top of anything else, the same every time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import TWELVE, apple, branching_chain, flat
from hypothesis import given
from hypothesis import strategies as st

import tarograd as tg
from tarograd.drawing.arrange import Arrangement
from tarograd.drawing.labels import Labels
from tarograd.drawing.place import BETWEEN, Scene, place
from tarograd.drawing.rows import ROW
from tarograd.drawing.trace import ROOT, Trace


@st.composite
def random_graphs(draw: st.DrawFn) -> tg.Tensor:
    """Graphs of random operations; every value may be used many times."""
    values: list[Any] = [
        tg.Tensor(draw(st.floats(-2, 2)), f"x{i}") for i in range(draw(st.integers(1, 4)))
    ]
    for _ in range(draw(st.integers(1, 25))):
        a, b = draw(st.sampled_from(values)), draw(st.sampled_from(values))
        kind = draw(st.sampled_from(["+", "×", "σ", "tanh", "one"]))
        if kind in "+×":
            values.append(a + b if kind == "+" else a * b)
        elif kind == "one":
            values.append(1 - a)
        else:
            values.append(tg.sigmoid(a) if kind == "σ" else np.tanh(b))
    last: tg.Tensor = values[-1]
    return last


def assert_tidy(trace: Trace, levels: Arrangement, scene: Scene) -> None:
    """What holds for every picture."""
    boxes = {(b.kind, b.ref): b for b in scene.boxes}
    for b in scene.boxes:
        assert b.x >= 0
        assert b.y - b.height / 2 >= 0
        assert b.x + b.width <= scene.width
        assert b.y + b.height / 2 <= scene.height
        if b.group != ROOT:
            around = boxes["group", b.group]
            assert around.x <= b.x
            assert b.x + b.width <= around.x + around.width
            assert abs(b.y - around.y) <= (around.height - b.height) / 2
    for i, a in enumerate(scene.boxes):
        for b in scene.boxes[i + 1 :]:
            if a.group == b.group:
                beside = a.x + a.width <= b.x + 0.01 or b.x + b.width <= a.x + 0.01
                apart = abs(a.y - b.y) >= (a.height + b.height) / 2 + BETWEEN - 0.01
                assert beside or apart
    for level in (levels[b.ref] for b in scene.boxes if b.open):
        for link in level.links:
            assert level.items[link.end].rank == level.items[link.start].rank + 1
    for line in scene.lines:
        assert len(line.points) > 2 or line.points[0][0] <= line.points[-1][0] + 0.01
        if line.label and line.label.width <= 200:
            assert line.points[-1][0] - line.points[0][0] >= line.label.width - 0.01


def scene_of(trace: Trace, levels: Arrangement, opened: set[int]) -> Scene:
    return place(levels, Labels(trace), opened)


@pytest.mark.parametrize("depth", [0, 1, 9])
@pytest.mark.parametrize("name", TWELVE)
def test_the_twelve_are_tidy(name: str, depth: int) -> None:
    picture = tg.draw(TWELVE[name](), depth=depth)
    assert_tidy(picture.trace, picture.levels, picture.scene)


@given(random_graphs(), st.integers(0, 3))
def test_random_graphs_are_tidy(output: tg.Tensor, depth: int) -> None:
    picture = tg.draw(output, depth=depth)
    assert_tidy(picture.trace, picture.levels, picture.scene)


def test_every_use_is_one_way_from_its_source_to_its_port() -> None:
    x = tg.Tensor(0.5, "x")
    picture = tg.draw(x * x)
    level = picture.levels[ROOT]
    ends = [(link.end, link.port) for link in level.links if level.items[link.end].kind == "node"]
    assert [port for _, port in sorted(ends)] == [0, 1]
    assert sum(item.kind == "share" for item in level.items) == 2
    assert sum(line.branch for line in picture.scene.lines) == 1


def test_the_same_graph_gives_the_same_picture() -> None:
    assert tg.draw(apple()).svg() == tg.draw(apple()).svg()


@pytest.mark.parametrize("name", ["two-layer-net", "softmax-with-loss"])
def test_any_set_of_open_boxes_is_tidy(name: str) -> None:
    picture = tg.draw(TWELVE[name](), depth=1)
    trace, levels = picture.trace, picture.levels
    for group in (g.id for g in trace.groups[1:]):
        opened = trace.open_groups() ^ {group}
        scene = scene_of(trace, levels, opened)
        assert_tidy(trace, levels, scene)
        assert {b.ref for b in scene.boxes if b.open} <= opened


def test_a_long_chain_is_wrapped_like_text() -> None:
    x: Any = tg.Tensor(0.5, "x")
    for _ in range(60):
        x = np.sin(x)
    scene = tg.draw(x).scene
    assert scene.width <= ROW + 300
    rows = sorted({round(b.y) for b in scene.boxes if b.kind == "node"})
    assert 3 <= len(rows) <= 10
    assert [len(line.points) for line in scene.lines if len(line.points) > 2] == [6] * (
        len(rows) - 1
    )


def test_rows_are_broken_where_few_lines_cross() -> None:
    layers = [layer for _ in range(8) for layer in (tg.nn.Affine(16, 16), tg.nn.ReLU())]
    picture = tg.draw(tg.nn.Sequential(*layers), np.ones((8, 16)))
    over = [line for line in picture.scene.lines if len(line.points) > 2]
    rows = {line.points[2][1] for line in over}
    assert len(over) == len(rows) >= 2  # one line leads to each: weights stand beside their layer


def test_ten_thousand_primitives_in_one_level() -> None:
    trace = flat(tg.draw(branching_chain(10_000)).trace)
    levels = Arrangement(trace)
    assert len(levels[ROOT].columns) == 15002
    assert len(place(levels, Labels(trace), {ROOT}).boxes) == 10001
