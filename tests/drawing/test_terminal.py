"""The terminal: the textbook's picture in lines of text, and an outline where that is too much."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pytest
from graphs import TWELVE, apple
from hypothesis import given
from test_layout import random_graphs

import tarograd as tg
from tarograd.drawing.canvas import cells
from tarograd.drawing.numbers import short
from tarograd.drawing.view import view

APPLE = """\
apple ──100──▶(×)──200──▶(×)──220──▶
      ◀━2.2━━  │ ◀━1.1━━  │ ◀━1━━━━
count ──2──────┘          │
      ◀━110━━━━           │
tax ──1.1─────────────────┘
    ◀━200━━━━━━━━━━━━━━━━━"""


def test_the_apple_of_the_textbook() -> None:
    assert str(tg.draw(apple())) == APPLE


def test_a_branch_shows_its_shares_and_their_sum() -> None:
    x = tg.Tensor(3.0, "x")
    text = str(tg.draw(x * x))
    assert text.count("◀━3━") == 2
    assert "Σ 6" in text
    assert "┬" in text


def test_not_computed_is_dotted_and_never_zero() -> None:
    text = tg.draw(apple(), backward=False).terminal()
    assert "┄" in text
    assert "━" not in text
    assert set(re.findall(r"[\d.]+", text)) == {"100", "2", "200", "1.1", "220"}


def expected(picture: tg.Picture) -> list[str]:
    """The numbers of a picture of scalars: each value, and each derivative on its edge."""
    trace = picture.trace
    parts = view(trace, trace.open_groups())
    uses = [value for part in parts for value, _ in part.inputs]
    seen = set(uses) | {value for part in parts for value, _ in part.outputs}
    numbers = [short(float(trace.values[v].array)) for v in seen]
    numbers += [short(float(g)) for v in seen if (g := trace.values[v].gradient) is not None]
    for part in parts:
        numbers += [
            short(float(share))
            for value, share in part.inputs
            if share is not None and uses.count(value) > 1
        ]
    return sorted(numbers)


def numbers_in(text: str) -> list[str]:
    text = re.sub(r"x\d", "", text)
    return sorted(re.findall(r"(?:(?<=[─━ ])-)?(?:\d+\.?\d*(?:e-?\d+)?|∞|NaN)", text))


@pytest.mark.parametrize(
    "name", ["apple", "apple-and-orange", "add", "multiply", "reciprocal", "sigmoid", "branch"]
)
def test_every_number_stands_in_the_drawing(name: str) -> None:
    picture = tg.draw(TWELVE[name]())
    assert numbers_in(str(picture)) == expected(picture)


@given(random_graphs())
def test_every_number_of_random_graphs_stands_in_the_drawing(output: tg.Tensor) -> None:
    picture = tg.draw(output)
    text = picture.terminal(columns=10**4)
    if "→" not in text:
        assert numbers_in(text) == expected(picture)


@pytest.mark.parametrize("name", TWELVE)
def test_ascii_is_ascii(name: str) -> None:
    for depth in (1, 9):
        text = tg.draw(TWELVE[name](), depth=depth).terminal(ascii=True)
        assert text.isascii()
        assert "?" not in text


def test_wide_characters_keep_the_lines_together() -> None:
    for width in (1, 2):
        y = tg.Tensor(100, "苹果") * tg.Tensor(2, "個数")
        lines = tg.draw(y).terminal(width=width).splitlines()
        node = cells(lines[0][: lines[0].index("×")], width)
        corner = cells(lines[2][: lines[2].index("┘")], width)
        assert node == corner
    assert cells("─", 2) == 2
    assert unicodedata.east_asian_width("─") == "A"


def test_color_marks_what_flows_back_and_nothing_else() -> None:
    text = tg.draw(apple()).terminal(color=True)
    assert re.sub(r"\x1b\[[\d;]*m", "", text) == APPLE
    colored = re.findall(r"\x1b\[38;5;208m(.*?)\x1b\[0m", text)
    assert {"2.2", "110", "1.1", "200", "1"} == set(re.findall(r"[\d.]+", " ".join(colored)))
    assert not re.search(r"\x1b", tg.draw(apple()).terminal())


def test_beyond_forty_operations_it_is_an_outline() -> None:
    x = tg.Tensor(0.5, "x")
    y = x
    for _ in range(41):
        y = y * 1.01
    text = str(tg.draw(y))
    assert text.startswith("x = 0.5   ∂ 1.504\n× (x, 1.01) → multiply1 = 0.505   ∂ 1.489")
    assert len(text.splitlines()) == 42
    narrow = tg.draw(apple()).terminal(columns=20)
    assert narrow.splitlines()[0] == "apple = 100   ∂ 2.2"
    assert narrow.splitlines()[-1] == "× (multiply1, tax) → multiply2 = 220   ∂ 1"


def test_the_outline_shows_boxes_by_indentation() -> None:
    lines = tg.draw(TWELVE["two-layer-net"](), depth=2).terminal(columns=80).splitlines()
    assert "▾ twolayernet TwoLayerNet" in lines
    assert "  ▾ affine1 Affine" in lines
    closed = tg.draw(TWELVE["two-layer-net"](), depth=0).terminal(columns=10).splitlines()
    assert any(line.startswith("▸ twolayernet TwoLayerNet (x) → add8 = ") for line in closed)


def test_names_cannot_move_the_cursor() -> None:
    text = str(tg.draw(tg.Tensor(1.0, "a\x1b[2J\nb" + "x" * 99) * 2))
    assert "\x1b" not in text
    assert len(text.splitlines()) == 4
    assert max(map(len, text.splitlines())) < 80


def test_special_values() -> None:
    with np.errstate(all="ignore"):
        text = str(tg.draw(tg.Tensor([np.nan, np.inf, -np.inf], "x") * 1e308))
    assert "[NaN ∞ -∞]" in text
    assert "0×3" in str(tg.draw(tg.Tensor(np.zeros((0, 3)), "x") * 2))
