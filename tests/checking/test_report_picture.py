"""The picture of a report: what is drawn is what was found."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tarograd as tg
from tarograd.checking import GradientReport, check_gradients
from tarograd.checking.picture import grid
from tarograd.checking.report import LeafReport

X = np.random.default_rng(0).normal(size=(6, 5))


def cubes(wrong: Any) -> GradientReport:
    """x³ whose gradient is wrong by 50 % where `wrong`."""
    return check_gradients(
        lambda x: np.sum(x**3), X, grad=lambda x: 3 * x**2 * (1 + 0.5 * np.resize(wrong, x.shape))
    )


def one(shape: tuple[int, ...], *indices: tuple[int, ...]) -> Any:
    spots = np.zeros(shape)
    for index in indices:
        spots[index] = 1
    return spots


def test_the_cells_are_the_relative_gaps() -> None:
    cells, whole = grid(cubes(one(X.shape, (2, 3))).leaves["x"])
    assert whole == cells.shape == (6, 5)
    right = np.delete(cells.ravel(), 13)
    assert right.max() < 1e-9
    assert cells[2, 3] == pytest.approx(0.5 * X[2, 3] ** 2 / np.max(X**2), rel=1e-6)


def test_a_large_leaf_is_gathered_and_the_worst_is_kept() -> None:
    shape = (3, 100, 200)
    a, n = np.ones(shape), np.full(shape, np.nan)
    n[0], n[1, 7, 130] = 1.0, 4.0  # the rest was not looked at
    cells, whole = grid(LeafReport("w", shape, "wrong", analytic=a, numeric=n))
    assert whole == (300, 200)
    assert cells.shape == (64, 64)
    assert np.nanmax(cells) == 0.75
    row, column = np.argwhere(cells == 0.75)[0]
    assert 107 in np.array_split(np.arange(300), 64)[row]
    assert 130 in np.array_split(np.arange(200), 64)[column]
    assert np.isnan(cells[-1]).all()
    assert not np.isnan(cells[0]).any()


def test_a_wrong_gap_stays_and_a_right_one_falls() -> None:
    report = cubes(np.ones(X.shape))
    gaps = [gap for _, gap in report.leaves["x"].steps]
    assert max(gaps) / min(gaps) < 1.01
    right = check_gradients(np.tanh, X).leaves["x"].steps
    steps, falling = np.array(right).T
    assert np.allclose(steps[1:] * 4, steps[:-1])
    order = np.log(falling[0] / falling[1]) / np.log(4)  # Richardson: the error falls by h⁴
    assert 3 < order < 6


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_it_is_saved_whole_and_with_the_same_bytes(tmp_path: Path, kind: str) -> None:
    report = cubes(one(X.shape, (2, 3)))
    for name in ("first", "second"):
        report.save(tmp_path / f"{name}.{kind}")
    first, second = (tmp_path / f"{n}.{kind}" for n in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == [first.name, second.name]
    if kind == "svg":
        text = first.read_text(encoding="utf-8")
        for words in ("wrong: the gradients of", "which elements differ", "x: wrong"):
            assert words in text


def test_another_ending_or_folder_is_refused(tmp_path: Path) -> None:
    report = cubes(0)
    with pytest.raises(ValueError, match=r"\.svg or \.png"):
        report.save(tmp_path / "x.gif")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        report.save(tmp_path / "none" / "x.svg")


def test_a_notebook_shows_the_text_and_the_picture() -> None:
    report = cubes(one(X.shape, (2, 3)))
    bundle = report._repr_mimebundle_()
    assert bundle["text/plain"] == str(report)
    image = re.search(r"base64,([^\"]+)\"", bundle["text/html"])
    assert image
    assert b"<svg" in base64.b64decode(image[1])
    assert "<pre>WRONG: the gradients of &lt;lambda&gt;" in bundle["text/html"]


@pytest.mark.parametrize(
    "report",
    [
        check_gradients(np.tanh, X, mode="contract"),
        check_gradients(lambda x: x**2, 3.0),
        check_gradients(tg.nn.Affine(5, 2), X.reshape(6, 5)),
        GradientReport("nothing"),
    ],
)
def test_every_report_can_be_drawn(report: GradientReport, tmp_path: Path) -> None:
    report.save(tmp_path / "x.svg")
    assert len(report.picture().axes) >= 2
