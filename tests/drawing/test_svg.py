"""SVG: every number of the trace stands in it, and nothing that a user named can break it."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from graphs import TWELVE, apple

import tarograd as tg
from tarograd.drawing.labels import Side

SVG = "{http://www.w3.org/2000/svg}"
NASTY = "</script><img src=x onerror=alert(1)>&\"'\x00\x07"


def texts(svg: str) -> list[str]:
    found = []
    for element in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        words = [element.text or "", *(part.tail or "" for part in element)]
        found.append("".join(words).strip())
    return found


@pytest.mark.parametrize("depth", [1, 9])
@pytest.mark.parametrize("name", TWELVE)
def test_every_value_and_every_derivative_stands_on_its_edge(name: str, depth: int) -> None:
    picture = tg.draw(TWELVE[name](), depth=depth)
    written = Counter(texts(picture.svg()))
    expected: Counter[str] = Counter()
    for line in picture.scene.lines:
        for side in (line.label.above, line.label.below) if line.label else ():
            expected.update(side.lines if isinstance(side, Side) else ())
    assert not expected - written
    shown = {line.value for line in picture.scene.lines if line.label}
    for value in picture.trace.values:
        if value.id in shown and value.array.ndim == 0 and value.array.dtype.kind == "f":
            assert any(_near(text, float(value.array)) for text in written)
            if value.gradient is not None:
                assert any(_near(text, float(value.gradient)) for text in written)


def _near(text: str, x: float) -> bool:
    try:
        return float(text.removeprefix("Σ ")) == pytest.approx(x, rel=6e-4)
    except ValueError:
        return False


def test_the_apple_as_in_the_textbook() -> None:
    svg = tg.draw(apple()).svg()
    root = ElementTree.fromstring(svg)
    numbers = {e for e in texts(svg) if re.fullmatch(r"[\d.]+", e)}
    assert numbers == {"100", "2", "1.1", "200", "220", "2.2", "110", "1"}
    assert "2.2000000000000002" not in "".join(texts(svg))
    assert any(t.text == "110.00000000000001" for t in root.iter(f"{SVG}title"))  # on hover
    assert len(list(root.iter(f"{SVG}circle"))) == 2
    assert root.get("role") == "img"
    assert "apple = 100, derivative 2.2" in (root.findtext(f"{SVG}desc") or "")
    assert len(svg.encode()) <= 5 * 1024


def test_not_computed_is_dotted_and_has_no_number() -> None:
    svg = tg.draw(apple(), backward=False).svg()
    assert 'class="n"' in svg
    assert 'class="b"' not in svg
    assert {e for e in texts(svg) if re.fullmatch(r"[\d.]+", e)} == {
        "100", "2", "1.1", "200", "220"
    }  # fmt: skip


def test_names_are_only_text() -> None:
    layer = tg.nn.Affine(2, 2)
    layer.name = NASTY
    with np.errstate(all="ignore"):
        svg = tg.draw(layer, tg.Tensor([[1.0, 2.0]], NASTY)).svg()
    tags = {element.tag for element in ElementTree.fromstring(svg).iter()}
    assert f"{SVG}script" not in tags
    assert f"{SVG}img" not in tags
    assert "onerror=alert" not in re.sub(r">[^<]*<", "><", svg)
    chinese = tg.draw(tg.Tensor(1.0, "苹果价格") * 2).svg()
    assert "苹果价格" in texts(chinese)


@pytest.mark.parametrize(
    "array",
    [
        np.array(np.nan), np.array(np.inf), np.array([-np.inf, 1e308]), np.zeros((0, 3)),
        np.zeros(()), np.full((3, 4), np.nan), np.array([[1e308] * 9] * 9), np.ones((2, 0, 2)),
        np.ones(10**5), np.ones((2, 3, 64, 64)), np.full(5, 5e-324),
    ],
    ids=lambda a: f"{a.shape}{a.ravel()[:1]}",
)  # fmt: skip
def test_special_values_are_drawn(array: Any) -> None:
    with np.errstate(all="ignore"):
        y = tg.Tensor(array, "x") * 2.0
    svg = tg.draw(y).svg()
    ElementTree.fromstring(svg)
    if array.ndim == 0 and not np.isfinite(array):
        assert {"NaN", "∞"} & set(texts(svg))
    if array.size == 0:
        assert any("0" in text for text in texts(svg))


def test_a_picture_needs_nothing_from_elsewhere() -> None:
    svg = tg.draw(TWELVE["two-layer-net"]()).svg()
    links = re.findall(r'(?:href|src)="([^"]{0,20})', svg) + re.findall(r"url\(([^)]*)\)", svg)
    assert {link[:10] for link in links} <= {"data:image", "#f"}
