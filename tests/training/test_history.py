"""History: its best row, its table, its figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import script
from tarograd.checkpoint import CheckpointError
from tarograd.training import Epoch, History


def history(name: str, shares: list[float], held_out: list[float] | None = None) -> History:
    """A run with these accuracies, four steps in an epoch."""
    rows = [
        Epoch(i, 4 * i, None if not i else 2.0 / i, share, share, held_out[i] if held_out else None)
        for i, share in enumerate(shares)
    ]
    steps = 4 * (len(shares) - 1)
    return History(name, rows, np.exp(-np.arange(steps) / 10) if steps > 0 else np.zeros(0))


def test_the_best_is_the_first_of_the_highest_by_validation_if_there_is_one() -> None:
    assert history("a", [0.1, 0.7, 0.9, 0.9, 0.8]).best.epoch == 2
    assert history("a", [0.1, 0.7, 0.9, 0.9, 0.8], [0.1, 0.5, 0.3, 0.5, 0.4]).best.epoch == 1
    with pytest.raises(ValueError, match="the history of a is empty: no epoch has been measured"):
        _ = History("a").best


def test_a_row_prints_in_one_line() -> None:
    row = Epoch(2, 30, 0.12345, 0.98765, 0.9, 0.95)
    text = "epoch 2  step 30  loss 0.1235  train 0.9877  test 0.9000  validation 0.9500"
    assert str(row) == text
    assert str(Epoch(0, 0, None, 0.1, 0.2)) == "epoch 0  step 0  train 0.1000  test 0.2000"


def test_the_rows_are_plain_dictionaries() -> None:
    assert history("a", [0.5]).rows() == [
        {
            "epoch": 0,
            "step": 0,
            "loss": None,
            "train_accuracy": 0.5,
            "test_accuracy": 0.5,
            "validation_accuracy": None,
        }
    ]


def test_the_figure_of_one_run_holds_its_numbers() -> None:
    run = history("a", [0.1, 0.7, 0.9], [0.2, 0.6, 0.8])
    figure = run.plot()
    accuracy, loss = figure.axes
    curves = {line.get_label(): line.get_xydata() for line in accuracy.lines}
    assert list(curves) == ["train", "test", "validation"]
    np.testing.assert_array_equal(curves["test"], [[0, 0.1], [1, 0.7], [2, 0.9]])
    np.testing.assert_array_equal(curves["validation"], [[0, 0.2], [1, 0.6], [2, 0.8]])
    (steps,) = loss.lines
    np.testing.assert_array_equal(steps.get_xdata(), np.arange(1, 9))
    np.testing.assert_allclose(np.asarray(steps.get_ydata()), run.losses, rtol=1e-12)
    assert "best epoch 2\ntest 0.9000" in [text.get_text() for text in accuracy.texts]


def test_several_runs_come_on_one_figure(tmp_path: Path) -> None:
    first, second = history("first", [0.1, 0.9]), history("second", [0.2, 0.8, 0.7], [0.1, 0.2, 0])
    figure = first.plot(second, history("third", []), path=tmp_path / "all.png")
    accuracy, loss = figure.axes
    assert [line.get_label() for line in accuracy.lines] == [
        "first: train",
        "first: test, best 0.9000",
        "second: train",
        "second: test, best 0.8000",
        "second: validation",
        "third: train",
        "third: test",
    ]
    colors = [line.get_color() for line in (*accuracy.lines, *loss.lines)]
    assert colors == ["C0"] * 2 + ["C1"] * 3 + ["C2"] * 2 + ["C0", "C1", "C2"]
    with Image.open(tmp_path / "all.png") as picture:
        assert picture.size == (1200, 480)


def test_the_mean_of_a_long_run_moves_with_it() -> None:
    rng = np.random.default_rng(0)
    run = History("long", [Epoch(0, 0, None, 0.1, 0.1)], rng.random(1234))
    each, mean = run.plot().axes[1].lines
    assert mean.get_label() == "mean of 12 steps"
    x, y = np.asarray(mean.get_xdata()), np.asarray(mean.get_ydata())
    np.testing.assert_array_equal(x, np.arange(12, 1235))
    expected = [run.losses[i - 12 : i].mean() for i in range(12, 1235)]
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    np.testing.assert_array_equal(each.get_ydata(), run.losses)


def test_of_a_million_steps_the_extremes_are_drawn(tmp_path: Path) -> None:
    losses = np.random.default_rng(0).random(1_000_000)
    losses[123_456], losses[654_321] = 7.0, -3.0
    run = History("million", [Epoch(0, 0, None, 0.1, 0.1)], losses)
    each = run.plot(path=tmp_path / "curve.png").axes[1].lines[0]
    x, y = np.asarray(each.get_xdata()), np.asarray(each.get_ydata())
    assert len(x) == len(y) <= 4000
    assert [y.max(), y.min()] == [7.0, -3.0]
    assert abs(x[y.argmax()] - 123_457) <= 500  # a piece is that long
    assert (np.diff(x) >= 0).all()


def test_the_same_run_gives_the_same_picture_in_another_process(tmp_path: Path) -> None:
    code = """
import sys
import numpy as np
from tarograd.training import Epoch, History
rows = [Epoch(0, 0, None, 0.1, 0.2), Epoch(1, 3, 0.5, 0.6, 0.7)]
for path in sys.argv[1:]:
    History("a", rows, np.array([1.0, 0.5, 0.2])).plot(path=path)
"""
    for name in ("a", "b"):
        paths = [tmp_path / f"{name}.{kind}" for kind in ("svg", "pdf", "PNG")]
        assert script(code, *paths, folder=tmp_path) == (0, "", "")
    for kind, magic in (("svg", b"<?xml"), ("pdf", b"%PDF"), ("PNG", b"\x89PNG")):
        pictures = {(tmp_path / f"{name}.{kind}").read_bytes() for name in ("a", "b")}
        assert len(pictures) == 1
        assert pictures.pop().startswith(magic)


def test_an_unknown_kind_of_picture_and_a_missing_folder(tmp_path: Path) -> None:
    run = history("a", [0.1, 0.2])
    with pytest.raises(ValueError, match="Format 'xyz' is not supported"):
        run.plot(path=tmp_path / "curve.xyz")
    with pytest.raises(CheckpointError, match="there is no folder"):
        run.plot(path=tmp_path / "no" / "curve.png")
    assert list(tmp_path.iterdir()) == []
