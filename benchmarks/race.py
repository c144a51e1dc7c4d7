"""The race: four pieces of work, everyone in turn, and the peak of the machine in the same run."""

from __future__ import annotations

import sys
from statistics import fmean, median
from typing import Any

import numpy as np

from benchmarks.problem import QUICK, Size
from benchmarks.steppers import Jax, Stepper, Torch, TorchCompiled, present
from benchmarks.table import aligned, seconds
from benchmarks.timing import Timing, interleaved
from benchmarks.works import WORKS, Work

HEADINGS = ("", "median", "minimum", "÷ JAX", "÷ PyTorch", "GFLOP/s", "of peak", "cores", "")


def race(size: Size, names: tuple[str, ...]) -> str:
    """A table of the pieces of work with these names, or of all.

    The times are those of the processor, which was at work for the task: everyone has one core, and
    a machine that is busy with other things distorts them less than it does the clock's.
    """
    rows = [list(HEADINGS)]
    for work in WORKS:
        if not names or work.name in names:
            rows += _rows(work, size)
    return aligned(rows)


def _rows(work: Work, size: Size) -> list[list[str]]:
    from tarograd.compiler.llvm.peak import peak

    steps = min(work.chunk, 3) if size is QUICK else work.chunk
    images, labels, scale = work.training_set(size)
    batches = np.random.default_rng(3).integers(0, len(images), (steps, work.batch))
    steppers: dict[str, Stepper] = {}
    notes = {}
    for kind in present():
        if size is QUICK and kind is TorchCompiled:  # it compiles for half a minute
            continue
        try:
            stepper = kind(work, images, labels, scale, batches)
            losses = stepper.train()  # warms up, and shows that all compute the same
        except (RuntimeError, OSError) as error:  # such as torch.compile without a C++ compiler
            print(f"{work.name}: {kind.name} does not work here: {error}"[:200], file=sys.stderr)
            continue
        steppers[kind.name] = stepper
        notes[kind.name] = f"loss {fmean(losses):.6f}"
    peaks: list[float] = []
    tasks: dict[str, Any] = {name: stepper.train for name, stepper in steppers.items()}
    tasks["peak"] = lambda: peaks.append(peak(seconds=0.01))
    timings = interleaved(tasks, min(size.rounds, 40))
    best = max(peaks)
    batch = f"batch {work.batch}, {work.activation}, {work.optimizer}"
    title = f"{work.name}: {'-'.join(_short(work.sizes))}, {batch}; peak {best / 1e9:.0f} GFLOP/s"
    rows = [[title, *[""] * (len(HEADINGS) - 1)]]
    for name in steppers:
        rows.append(_row(name, work, timings, best, steps, notes[name]))
    return rows


def _short(sizes: tuple[int, ...]) -> list[str]:
    """Many layers of one size are written once."""
    if len(sizes) > 5:
        return [str(sizes[0]), f"{len(sizes) - 2} x {sizes[1]}", str(sizes[-1])]
    return [str(n) for n in sizes]


def _row(
    name: str, work: Work, timings: dict[str, Timing], peak: float, steps: int, note: str
) -> list[str]:
    timing = timings[name]
    rate = work.operations * steps / min(timing.cpu)
    ratios = []
    for kind in (Jax, Torch):
        peer = timings[kind.name].cpu if kind.name in timings else []
        pairs = zip(timing.cpu, peer, strict=False)
        ratios.append(f"{median(a / b for a, b in pairs):.2f}" if peer else "")
    return [
        f"  {name}",
        seconds(median(timing.cpu) / steps),
        seconds(min(timing.cpu) / steps),
        *ratios,
        f"{rate / 1e9:.1f}",
        f"{rate / peak:.0%}",
        f"{timing.cores:.2f}",
        note,
    ]
