"""The checker's scoreboard: `python -m benchmarks.zoo [--seeds 5]`.

Every mistake of the zoo with several seeds: is it found, is its first name right? Every correct
operation under every condition: is it called right? And how long does it take?
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from tarograd.checking import check_gradients

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "zoo"))

from regimes import REGIMES, under  # the zoo is part of the tests
from zoo_mistakes import MISTAKES  # likewise
from zoo_ops import OPS  # likewise


def mistakes(seeds: int) -> None:
    """Print how many mistakes are found and named, and what was called wrongly."""
    found = named = other = 0
    seconds = []
    for seed in range(seeds):
        for mistake in MISTAKES:
            layer, inputs = mistake.op.make(seed)
            started = time.perf_counter()
            report = check_gradients(layer, *inputs, seed=seed)
            seconds.append(time.perf_counter() - started)
            name = report.causes[0].name if report.causes else ""
            right = name in mistake.expected
            found += report.verdict == "wrong"
            named += right
            other += not right and name not in ("", "unclassified")
            if not right:
                print(f"  seed {seed} {mistake.label}: {report.verdict} {name}")
    runs = seeds * len(MISTAKES)
    print(f"{runs} runs of {len(MISTAKES)} mistakes: found {found / runs:.1%}, first name right")
    print(f"{named / runs:.1%}, wrong name {other / runs:.1%}; {_times(seconds)}")


def correct(seeds: int) -> None:
    """Print false alarms and abstentions on correct operations."""
    verdicts = {"right": 0, "wrong": 0, "cannot tell": 0}
    seconds = []
    for seed in range(seeds):
        for op in OPS:
            for regime in REGIMES:
                given = under(regime, op, seed)
                if given is None:
                    continue
                started = time.perf_counter()
                report = check_gradients(given[0], *given[1], seed=seed)
                seconds.append(time.perf_counter() - started)
                verdicts[report.verdict] += 1
                if not report:
                    name = [c.name for c in report.causes]
                    print(f"  seed {seed} {op.name}, {regime}: {report.verdict} {name}")
    print(f"{sum(verdicts.values())} runs of {len(OPS)} correct operations: {verdicts};")
    print(_times(seconds))


def _times(seconds: list[float]) -> str:
    median, most = float(np.median(seconds)), max(seconds)
    return f"median {median * 1e3:.0f} ms, at most {most * 1e3:.0f} ms"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--correct-seeds", type=int, default=2)
    chosen = parser.parse_args()
    mistakes(chosen.seeds)
    correct(chosen.correct_seeds)
