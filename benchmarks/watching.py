"""What a recorder costs: `python -m benchmarks.watching` times the book's network, compiled.

Three kinds of run alternate, and each round gives one ratio: `nothing` has no recorder at work;
`recorded` has a directory, so it leaves a report; `watched` is looked at as well, five times a
second, by a process of its own. Told are the steps, while the run computes, and the report, after
the last of them. Nothing is measured on the test images in between, and no checkpoint or picture of
the curve is written, which would only make the share of the recorder smaller. What is counted is
the processor time of the whole process, all of its threads together; `inside` is the share of the
steps' time that was spent in the recorder itself, which a busy machine disturbs least.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import tarograd as tg
from benchmarks.problem import BATCH, CLASSES, HIDDEN, LEARNING_RATE, PIXELS
from tarograd.training.fit import Run
from tarograd.training.recorder import Recorder

STEPS, ROUNDS = (10_000, 40_000), 7  # of the textbook; and enough to be watched for a while
KINDS = ("nothing", "recorded", "watched")


READER = """
import sys, urllib.request
count = 0
with urllib.request.urlopen(sys.argv[1] + "events?after=0") as stream:
    for line in stream:
        count += line.startswith(b"data:")
print(count)
"""


class Timed(Recorder):
    """A recorder that notes how long the steps took, its own part of that, and then its end."""

    seconds = (0.0, 0.0, 0.0)
    inside = 0.0

    def __enter__(self) -> Recorder:
        """Begins to count when the browser is there."""
        super().__enter__()
        if self.server:
            command = [sys.executable, "-c", READER, self.server.url]
            self.browser = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            while not self.server.watched:
                time.sleep(0.01)
        self.began = time.process_time()
        return self

    def look(self, done: int) -> None:
        """The same, timed."""
        began = time.thread_time()
        super().look(done)
        self.inside += time.thread_time() - began

    def end(self, done: int, error: BaseException | None) -> None:
        """The steps are made; the last report is still to be written."""
        made = time.process_time()
        super().end(done, error)
        Timed.seconds = made - self.began, self.inside, time.process_time() - made


def timed(kind: str, data: tg.data.Dataset, steps: int) -> tuple[float, float, float]:
    """The seconds of the steps, of the recorder meanwhile, and of the report."""

    def build(
        parts: Any, steps: int, history: Any, losses: Any, about: Any, path: Any, server: Any
    ) -> Recorder:
        path = None if kind == "nothing" else Path(folder, "report.html")
        return Timed(parts, steps, history, losses, about, path, server)

    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(sys.modules["tarograd.training.fit"], "Recorder", build),
        mock.patch.object(Run, "_accuracy", return_value=0.5),
    ):
        net = tg.nn.TwoLayerNet(PIXELS, HIDDEN, CLASSES)
        tg.fit(
            net, data, optimizer=tg.optim.SGD(lr=LEARNING_RATE), batch_size=BATCH, steps=steps,
            progress=False, watch=kind == "watched",
        )  # fmt: skip
    return Timed.seconds


def compare(data: tg.data.Dataset, steps: int, rounds: int) -> None:
    """Measure runs of so many steps, and print one line for each kind."""
    times: dict[str, list[tuple[float, float, float]]] = {kind: [] for kind in KINDS}
    for i in range(rounds):
        for kind in KINDS[i % 3 :] + KINDS[: i % 3]:
            times[kind].append(timed(kind, data, steps))
    base = [made for made, *_ in times["nothing"]]
    print(f"{steps} compiled steps of {PIXELS}-{HIDDEN}-{CLASSES}, batch {BATCH}, {rounds} rounds")
    for kind, taken in times.items():
        made, inside, end = zip(*taken, strict=True)
        ratios = [m / b for m, b in zip(made, base, strict=True)]
        share = median(i / m for i, m in zip(inside, made, strict=True))
        print(
            f"  {kind:9} steps {median(made):.3f} s, at least {min(made):.3f} s; beside nothing "
            f"{median(ratios) - 1:+.2%}, of the minima {min(made) / min(base) - 1:+.2%}; inside "
            f"{share:.2%}; report {median(end):.3f} s, at least {min(end):.3f} s",
            flush=True,
        )


def main() -> None:
    """Measure short and long runs."""
    quick = "--quick" in sys.argv
    data = tg.data.load("mnist")
    tg.fit(tg.nn.TwoLayerNet(PIXELS, HIDDEN, CLASSES), data, steps=0, progress=False)  # imports
    for steps in (4000,) if quick else STEPS:
        compare(data, steps, 2 if quick else ROUNDS)


if __name__ == "__main__":
    main()
