"""Learning-rate schedules: PyTorch's figures, the texts that make them again, the errors."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarograd import optim
from tarograd.optim import Schedule, constant, cosine, step_decay, warm_up

FIGURES = json.loads((Path(__file__).parent / "data_optim_torch.json").read_text(encoding="utf-8"))

rates = st.floats(0, 10)
counts = st.integers(1, 1000)
plain = st.one_of(
    st.builds(constant, rates),
    st.builds(step_decay, rates, counts, st.floats(0, 1)),
    st.builds(cosine, rates, counts, rates),
)
schedules = plain | st.builds(warm_up, plain | rates, counts)


@pytest.mark.parametrize(
    ("name", "schedule"),
    [
        ("steps", step_decay(0.4, every=7, factor=0.3)),
        ("cosine", cosine(0.4, steps=100, final=0.001)),
        ("warm-up", warm_up(0.4, steps=7)),
        ("warm-up and steps", warm_up(step_decay(0.4, every=20, factor=0.5), steps=5)),
    ],
)
def test_the_rates_are_those_of_pytorch(name: str, schedule: Schedule) -> None:
    figures = FIGURES[f"rates: {name}"]
    assert len(figures) == 100
    np.testing.assert_allclose([schedule(i) for i in range(100)], figures, rtol=1e-12, atol=0)


def test_a_constant_rate_stays() -> None:
    assert {constant(0.1)(step) for step in (0, 1, 10**9)} == {0.1}


@given(lr=rates, steps=counts, final=rates)
def test_the_cosine_goes_from_lr_through_the_middle_to_its_final_rate_and_stays(
    lr: float, steps: int, final: float
) -> None:
    schedule = cosine(lr, 2 * steps, final)
    np.testing.assert_allclose(schedule(0), lr, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(schedule(steps), (lr + final) / 2, rtol=1e-14, atol=1e-14)
    walk = np.diff([schedule(i) for i in range(2 * steps + 1)])
    assert np.all(walk * np.sign(final - lr) >= -1e-14)
    assert [schedule(2 * steps), schedule(2 * steps + 1), schedule(10**9)] == [final] * 3


@given(schedule=plain, steps=counts, later=st.integers(0, 2000))
def test_a_warm_up_rises_by_equal_steps_and_then_hands_over(
    schedule: Schedule, steps: int, later: int
) -> None:
    warm = warm_up(schedule, steps)
    rise = [warm(i) for i in range(steps + 1)]
    np.testing.assert_allclose(np.diff([0.0, *rise]), schedule(0) / (steps + 1), atol=1e-14)
    assert warm(steps + later) == schedule(later)


@given(schedule=schedules, step=st.integers(0, 3000))
def test_a_schedule_is_made_again_by_its_text(schedule: Schedule, step: int) -> None:
    again = eval(repr(schedule), {**vars(optim)})
    assert again == schedule
    assert hash(again) == hash(schedule)
    assert again(step) == schedule(step)
    assert type(schedule(step)) is float


def test_texts_give_every_setting_by_name() -> None:
    rate: Any = np.float32(0.5)  # NumPy's numbers become Python's own
    count: Any = np.int64(30)
    assert repr(constant(rate)) == "constant(lr=0.5)"
    assert repr(step_decay(rate, count, factor=1)) == "step_decay(lr=0.5, every=30, factor=1.0)"
    assert repr(cosine(rate, count)) == "cosine(lr=0.5, steps=30, final=0.0)"
    assert repr(warm_up(rate, count)) == "warm_up(constant(lr=0.5), steps=30)"
    assert cosine(0.5, 30) != cosine(0.5, 31)


def test_a_schedule_of_your_own_is_known_by_its_text_and_can_be_warmed_up() -> None:
    inverse = Schedule("inverse", lambda step: np.float64(1) / (1 + step))
    assert [inverse(0), inverse(1)] == [1.0, 0.5]
    assert type(inverse(0)) is float
    warm = warm_up(inverse, steps=1)
    assert repr(warm) == "warm_up(inverse, steps=1)"
    assert [warm(0), warm(1), warm(2)] == [0.5, 1.0, 0.5]


def test_a_schedule_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        constant(0.1).text = "faster"  # type: ignore[misc]  # what must not work


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: constant(-0.1), "constant: lr=-0.1: lr is a finite number from 0 on; a step goes"),
        (lambda: constant(float("nan")), "constant: lr=nan: lr is a finite number from 0 on"),
        (lambda: cosine(float("inf"), 3), "cosine: lr=inf: lr is a finite number from 0 on"),
        (lambda: cosine(0.1, 3, -1), "cosine: final=-1: final is a finite number from 0 on"),
        (lambda: cosine(0.1, 0), "cosine: steps=0: it counts steps, a whole number from 1 on"),
        (lambda: cosine(0.1, 1e3), "cosine: steps=1000.0: it counts steps, a whole number"),  # type: ignore[arg-type]  # what must not work
        (lambda: step_decay(0.1, True, 0.5), "step_decay: every=True: it counts steps, a whole"),
        (lambda: step_decay(0.1, -2, 0.5), "step_decay: every=-2: it counts steps, a whole number"),
        (lambda: step_decay(0.1, 5, 10), "to divide by 10 write factor=0.1"),
        (lambda: step_decay("0.1", 5, 1), "step_decay: lr='0.1': lr is a finite number from 0 on"),  # type: ignore[arg-type]  # what must not work
        (lambda: warm_up(0.1, 0), "warm_up: steps=0: it counts steps, a whole number from 1 on"),
        (lambda: warm_up(-1, 5), "constant: lr=-1: lr is a finite number from 0 on"),
        (lambda: warm_up(abs, 5), "write Schedule('its name', function)"),  # type: ignore[arg-type]  # what must not work
    ],
)
def test_wrong_settings_are_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
