"""Learning-rate schedules: how long the steps of a run are."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any


@dataclass(frozen=True)
class Schedule:
    """A learning rate that changes from step to step.

    `constant`, `step_decay`, `cosine` and `warm_up` make one, and so does a function of your own
    with a text to call it by, which stands for it in `repr`, in comparisons and in a run's record.

    Args:
        text: the call that makes it.
        rate: `rate(step) -> learning rate`, where the first step is 0.

    Example:
        >>> slower = Schedule("slower", lambda step: 0.1 / (1 + step))
        >>> slower, slower(1)
        (slower, 0.05)
    """

    text: str
    rate: Callable[[int], float] = field(compare=False)

    def __call__(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        return float(self.rate(step))

    def __repr__(self) -> str:
        return self.text


def constant(lr: float) -> Schedule:
    """The same learning rate in every step.

    Raises:
        ValueError: for a number below 0.
    """
    lr = checked_number("constant", "lr", lr)
    return Schedule(f"constant(lr={lr})", lambda step: lr)


def step_decay(lr: float, every: int, factor: float) -> Schedule:
    """The learning rate lr, multiplied by `factor` after each `every` steps.

    Raises:
        ValueError: when lr is below 0, every below 1, or the factor not from 0 to 1.

    Example:
        >>> schedule = step_decay(0.1, every=2, factor=0.5)
        >>> [schedule(step) for step in range(5)]
        [0.1, 0.1, 0.05, 0.05, 0.025]
    """
    lr, every = checked_number("step_decay", "lr", lr), checked_count("step_decay", "every", every)
    factor = checked_number("step_decay", "factor", factor)
    if factor > 1:
        raise ValueError(
            f"step_decay: factor={factor}: the learning rate is multiplied by it, so it is at "
            f"most 1; to divide by {factor:g} write factor={1 / factor:g}"
        )
    text = f"step_decay(lr={lr}, every={every}, factor={factor})"
    return Schedule(text, lambda step: lr * factor ** (step // every))


def cosine(lr: float, steps: int, final: float = 0.0) -> Schedule:
    """From lr to `final` in `steps` steps along half a wave of the cosine; `final` from then on.

    Source: I. Loshchilov, F. Hutter, "SGDR: Stochastic gradient descent with warm restarts",
    2017, eq. 5, without restarts.

    Raises:
        ValueError: when lr or final is below 0, or steps below 1.

    Example:
        >>> schedule = cosine(0.2, steps=2)
        >>> [schedule(step) for step in range(4)]
        [0.2, 0.1, 0.0, 0.0]
    """
    lr, steps = checked_number("cosine", "lr", lr), checked_count("cosine", "steps", steps)
    final = checked_number("cosine", "final", final)

    def rate(step: int) -> float:
        return final + (lr - final) * (1 + math.cos(math.pi * min(step / steps, 1))) / 2

    return Schedule(f"cosine(lr={lr}, steps={steps}, final={final})", rate)


def warm_up(schedule: float | Schedule, steps: int) -> Schedule:
    """Before a schedule, `steps` steps in which the learning rate rises linearly to its first.

    Step i, counted from 0, takes (i + 1) / (steps + 1) of it; the schedule then begins with its
    own step 0. Source: P. Goyal et al., "Accurate, large minibatch SGD", 2017, section 2.2.

    Args:
        schedule: what comes after, a schedule or a learning rate that stays.
        steps: the length of the rise, which the schedule's own length does not include.

    Raises:
        ValueError: when steps is below 1, or the schedule is no learning rate.

    Example:
        >>> schedule = warm_up(cosine(0.4, steps=2), steps=3)
        >>> [schedule(step) for step in range(6)]
        [0.1, 0.2, 0.30000000000000004, 0.4, 0.2, 0.0]
    """
    steps = checked_count("warm_up", "steps", steps)
    after = schedule if isinstance(schedule, Schedule) else constant(schedule)

    def rate(step: int) -> float:
        return after(0) * ((step + 1) / (steps + 1)) if step < steps else after(step - steps)

    return Schedule(f"warm_up({after}, steps={steps})", rate)


def checked_number(owner: str, name: str, value: Any, below: float = math.inf) -> float:
    """A setting as a float of Python's: one of NumPy's would turn float32 arrays into float64.

    Raises:
        ValueError: when it is not a number from 0 to below the bound.
    """
    real = isinstance(value, Real) and not isinstance(value, bool)
    number = float(value) if real else math.nan
    if not 0 <= number < below:
        bound = "from 0 on" if below == math.inf else f"from 0 to below {below:g}"
        hint = ""
        if callable(value):
            hint = "; to make a function a schedule write Schedule('its name', function)"
        elif name == "lr" and number < 0:
            hint = "; a step goes against the gradient already"
        raise ValueError(f"{owner}: {name}={value!r}: {name} is a finite number {bound}{hint}")
    return number


def checked_count(owner: str, name: str, value: Any) -> int:
    """A number of steps.

    Raises:
        ValueError: when it is not a whole number from 1 on.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{owner}: {name}={value!r}: it counts steps, a whole number from 1 on")
    return int(value)
