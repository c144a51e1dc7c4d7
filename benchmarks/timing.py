"""Timing several tasks side by side, so that a slow moment of the machine meets them all."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median


@dataclass
class Timing:
    """The times of one task, one for each round.

    Attributes:
        wall: seconds.
        cpu: seconds of all threads together.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def cores(self) -> float:
        """How many cores were at work: 1 for a task that kept to one thread."""
        return sum(self.cpu) / sum(self.wall)

    def ratio(self, other: Timing) -> float:
        """How many times as long as `other` it took: the median over the rounds."""
        return median(a / b for a, b in zip(self.wall, other.wall, strict=True))


def keep_to_one_core() -> None:
    """Of those that this process may use the last one, for it and its threads, where that is known.

    Helpers of JAX would take another one besides, and hand over the work between the two.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def interleaved(tasks: dict[str, Callable[[], object]], rounds: int) -> dict[str, Timing]:
    """Run each task once a round, in an order that shifts by one place from round to round."""
    timings = {name: Timing() for name in tasks}
    names = list(tasks)
    for i in range(rounds):
        first = i % len(names)
        for name in names[first:] + names[:first]:
            wall, cpu = time.perf_counter(), time.process_time()
            tasks[name]()
            timings[name].wall.append(time.perf_counter() - wall)
            timings[name].cpu.append(time.process_time() - cpu)
    return timings
