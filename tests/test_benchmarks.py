from __future__ import annotations

import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def _benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def quick(*arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments, "--quick"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.stderr == ""
    return result.stdout


def test_one_table_has_the_textbook_tarograd_and_the_import() -> None:
    printed = quick()
    lines = [re.split(r"\s{2,}", line) for line in printed.splitlines()]
    names = [cells[0] for cells in lines]
    for name in ("textbook (NumPy) float32", "textbook (NumPy) float64"):
        assert names.count(name) == 2  # a step and a run
    for name in ("tarograd float32", "tarograd float64", "tg.fit float32", "tg.fit float64"):
        assert names.count(name) == 1
    for name in ("import numpy", "import tarograd", "tarograd's share of it"):
        assert names.count(name) == 1
    beside_itself = [cells for cells in lines if cells[0] == "textbook (NumPy) float32"]
    assert [cells[3] for cells in beside_itself] == ["1.00", "1.00"]

    losses = [float(text) for text in re.findall(r"loss (\d+\.\d+)", printed)]
    assert len(losses) >= 4
    np.testing.assert_allclose(losses, losses[0], rtol=1e-5)
    accuracies = [float(text) for text in re.findall(r"test accuracy (\d+\.\d+)", printed)]
    assert len(accuracies) >= 4
    assert min(accuracies) > 0.5  # of ten classes that can be told apart


def by_itself(name: str) -> dict[str, list[str]]:
    """The cells of each row of a benchmark that is a program of its own, by the row's name."""
    result = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--quick"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    lines = [re.split(r"\s{2,}", line.strip()) for line in result.stdout.splitlines()]
    return {cells[0]: cells[1:] for cells in lines}


def test_the_time_until_the_first_step_is_divided_among_its_parts() -> None:
    rows = by_itself("compile_time")
    assert len(rows["W1 cold"]) == len(rows["W1 warm"]) == 8


def test_two_threads_are_timed_beside_one() -> None:
    rows = by_itself("threads")
    for name in ("W1 tarograd", "W1 tarograd, all pixels", "W1 tarograd, busy"):
        assert len(rows[name]) == 3


def test_drawings_are_timed() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.drawing", "--quick"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert re.search(r"layout of 200 primitives in one level +\d\.\d\d s", result.stdout)
    assert "tg.draw of 2,000 primitives" in result.stdout
    timed = [line for line in result.stdout.splitlines() if "frames/s" in line]
    assert len(timed) == 12 or "was not timed" in result.stdout


@pytest.mark.usefixtures("_benchmarks")
@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-5), ("float64", 5e-6)])
def test_the_textbook_and_tarograd_learn_the_same(dtype: str, rtol: float) -> None:
    from benchmarks import contenders, problem

    x, t = problem.rows(problem.synthetic(2000).train, dtype)
    xs, ts = x.reshape(20, 100, 784), t.reshape(20, 100)
    params = problem.initial_parameters(dtype)
    book = contenders.Textbook(params)
    ours, text_loop = contenders.Tarograd(params), contenders.TarogradGradient(params)
    losses = book.train(xs, ts)

    # The text's 1e-7 inside the logarithm moves a loss of 2.3 by 4e-7 of itself.
    np.testing.assert_allclose(ours.train(ours.place(xs), ts), losses, rtol=rtol)
    text_loop.train(xs, ts)
    for name, array in book.network.params.items():
        assert array.dtype == dtype
        np.testing.assert_allclose(ours.net.params[name], array, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(text_loop.net.params[name], array, rtol=1e-4, atol=1e-6)
    assert not np.array_equal(book.network.params["w1"], params["w1"])
    assert ours.accuracy(x, t) == book.accuracy(x, t)


@pytest.mark.usefixtures("_benchmarks")
def test_synthetic_images_are_like_those_of_mnist() -> None:
    from benchmarks import problem

    data = problem.synthetic(2000)
    assert data.train.images.shape == (2000, 28, 28)
    assert data.train.images.dtype == np.uint8
    assert 0.7 < np.mean(data.train.images == 0) < 0.85
    assert set(data.train.labels.tolist()) == set(range(10))


@pytest.mark.usefixtures("_benchmarks")
def test_a_ratio_is_taken_within_each_round_so_that_slow_rounds_cancel() -> None:
    from benchmarks.timing import Timing

    ours, theirs = Timing([3.0, 30.0, 1.5]), Timing([2.0, 20.0, 1.0])
    assert ours.ratio(theirs) == 1.5


@pytest.mark.usefixtures("_benchmarks")
def test_tasks_take_turns() -> None:
    from benchmarks.timing import interleaved

    order: list[str] = []
    timings = interleaved({name: partial(order.append, name) for name in "ab"}, rounds=3)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert len(timings["a"].wall) == len(timings["a"].cpu) == 3


def test_the_race_has_the_same_losses_for_everyone() -> None:
    printed = quick("race", "W3")
    losses = [float(text) for text in re.findall(r"loss (\d+\.\d+)", printed)]
    assert len(losses) >= 3
    np.testing.assert_allclose(losses, losses[0], rtol=1e-5)
    assert re.search(r"^W3: 64-32-10, batch 32, relu, sgd; peak \d+ GFLOP/s$", printed, re.M)


@pytest.mark.usefixtures("_benchmarks")
def test_only_the_arithmetic_that_the_mathematics_needs_counts() -> None:
    from benchmarks.works import WORKS

    first, rest = 100 * 784 * 50, 100 * 50 * 10
    assert WORKS[0].operations == 2 * (2 * first + 3 * rest)


def test_a_whole_run_learns_in_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "benchmarks.whole", "run", "tarograd", "60", "--quick"]
    told = subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=120
    )
    assert float(told.stdout.removeprefix("test accuracy ")) > 0.8
