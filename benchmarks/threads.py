"""Two threads beside one: `python -m benchmarks.threads`, alone and beside a busy process.

A chunk of steps by one thread and one by two alternate, and each pair gives one ratio, so that
what else the machine does meets both. Beside a busy process there are three that want two cores.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import numpy as np

from benchmarks.problem import FULL, QUICK
from benchmarks.steppers import Tarograd, TarogradSkipping
from benchmarks.table import machine, seconds
from benchmarks.works import WORKS, Work

ROUNDS = 30
CHUNK_SECONDS = 0.08  # as in `tg.fit`
NAMES = ("W1", "W2", "W4")


class AllPixels(Tarograd):
    """Machine code that several threads can share."""

    shared = True


class Skipping(TarogradSkipping):
    """The same, which leaves out zeros."""

    shared = True


@contextmanager
def company(busy: bool) -> Iterator[None]:
    """Another process that never rests, or nobody."""
    if not busy:
        yield
        return
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        time.sleep(0.5)
        yield
        process.kill()


def measured(stepper: Tarograd, rounds: int) -> tuple[list[float], list[float]]:
    """The seconds of a step by one thread, and by two, in each round."""
    rng, work = np.random.default_rng(3), stepper.work
    steps = 1
    times: tuple[list[float], list[float]] = [], []
    for n in range(-2, rounds):
        fed = {
            "batch": rng.integers(0, len(stepper.images), (steps, work.batch)),
            "step": np.arange(steps),
            "lr": np.full(steps, 1e-4),
        }
        for threads in (1, 2) if n % 2 else (2, 1):
            began = time.perf_counter()
            stepper.native.run(fed, steps, threads)
            took = (time.perf_counter() - began) / steps
            if n >= 0:
                times[threads - 1].append(took)
        if n < 0:
            steps = max(1, int(CHUNK_SECONDS / took))
    return times


def line(work: Work, kind: type[Tarograd], busy: bool, quick: bool) -> str:
    """A row of the table."""
    images, labels, scale = work.training_set(QUICK if quick else FULL)
    stepper = kind(work, images, labels, scale, np.zeros((1, work.batch), np.int64))
    with company(busy):
        one, two = measured(stepper, 2 if quick else ROUNDS)
    ratio = median(a / b for a, b in zip(one, two, strict=True))
    cells = [
        f"{work.name} {kind.name}{', busy' if busy else ''}",
        *(f"{seconds(median(t))} ({seconds(min(t))})" for t in (one, two)),
        f"{ratio:.2f} ({min(one) / min(two):.2f})",
    ]
    return f"{cells[0]:<32}" + "".join(f"{cell:>24}" for cell in cells[1:])


def main() -> None:
    """Measure, and print the table: the medians, and the minima in brackets."""
    quick = "--quick" in sys.argv
    print(f"{machine()}; {os.cpu_count()} cores, load before {os.getloadavg()[0]:.1f}")
    print(f"{'':<32}{'one thread':>24}{'two threads':>24}{'times as fast':>24}")
    for busy in (False, True):
        for work in WORKS:
            if work.name in NAMES[: 1 if quick else None]:
                for kind in (Skipping, AllPixels):
                    print(line(work, kind, busy, quick), flush=True)


if __name__ == "__main__":
    main()
