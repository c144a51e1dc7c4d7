"""How many steps and threads a call has, with a clock that is made up."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tarograd as tg
from tarograd.compiler.llvm import native, team
from tarograd.training import machine
from tarograd.training.pace import CALL_SECONDS, Pace


def calls(pace: Pace, seconds: Callable[[int, int], float], n: int) -> Iterator[tuple[int, float]]:
    """The threads and the duration of each call, where a step takes `seconds(threads, call)`."""
    for call in range(n):
        threads, steps = pace.threads, pace.steps
        duration = steps * seconds(threads, call)
        pace.note(steps, duration)
        yield threads, duration


@given(step=st.floats(1e-7, 0.2), gain=st.floats(0.3, 3), cores=st.integers(1, 40))
def test_python_looks_up_five_times_a_second(step: float, gain: float, cores: int) -> None:
    pace = Pace(None, cores)
    for _, duration in calls(pace, lambda n, _: step / gain ** np.log2(n), 300):
        assert duration <= max(CALL_SECONDS * 1.01, step / gain ** np.log2(8), step)
    assert CALL_SECONDS < 0.2


@pytest.mark.parametrize(("gain", "best"), [(1.8, 2), (0.7, 1)])
def test_the_faster_number_of_threads_is_found_and_kept(gain: float, best: int) -> None:
    pace = Pace(None, cores=2)
    made = [n for n, _ in calls(pace, lambda n, _: 1e-3 if n == 1 else 1e-3 / gain, 400)]
    assert set(made[:4]) == {1, 2}
    assert made[4:].count(best) >= 380


def test_it_changes_with_what_else_the_computer_does() -> None:
    pace = Pace(None, cores=2)

    def seconds(threads: int, call: int) -> float:
        busy = 200 <= call < 600
        return 1e-3 if threads == 1 else 2e-3 if busy else 6e-4

    made = [n for n, _ in calls(pace, seconds, 1000)]
    assert made[100:200].count(2) >= 96
    assert made[210:600].count(1) >= 370
    assert made[700:].count(2) >= 290


def test_a_number_that_was_given_is_kept() -> None:
    assert {n for n, _ in calls(Pace(3, cores=2), lambda n, _: 1e-3, 100)} == {3}
    assert {n for n, _ in calls(Pace(None, cores=1), lambda n, _: 1e-3, 100)} == {1}


def test_the_short_call_at_the_end_of_an_epoch_says_nothing() -> None:
    pace = Pace(1, 1)
    list(calls(pace, lambda *_: 1e-3, 20))
    before = pace.steps
    pace.note(1, 1.0)
    assert pace.steps == before == 80


def test_the_run_has_the_same_bits_with_any_number_of_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, used, results = tg.data.load("digits"), set(), []

    def noted(work: Callable[[], None], threads: int) -> None:
        used.add(threads)
        team.together(work, threads)

    monkeypatch.setattr(native, "together", noted)
    monkeypatch.setattr(machine, "cores", lambda: 2)
    for threads in (1, 3, 4, None):
        net = tg.nn.Sequential(
            tg.nn.Affine(64, 300), tg.nn.ReLU(), tg.nn.Dropout(0.2), tg.nn.Affine(300, 10)
        )
        adam = tg.optim.Adam(lr=0.01)
        history = tg.fit(net, data, optimizer=adam, epochs=3, progress=False, threads=threads)
        results.append([history.losses.tobytes(), *(p.value.tobytes() for p in net.parameters())])
    assert results[1:] == results[:1] * 3
    assert used == {2, 3, 4}


@pytest.mark.parametrize("threads", [0, -1, 257, 1.5, True, "2"])
def test_a_number_that_makes_no_sense_is_refused(threads: object) -> None:
    data = tg.data.load("digits")
    with pytest.raises(ValueError, match=r"threads=.*a whole number from 1 to 256 is needed"):
        tg.fit(tg.nn.TwoLayerNet(64, 5, 10), data, threads=threads)  # type: ignore[arg-type]  # refused
