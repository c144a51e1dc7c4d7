"""What a recorder costs: `python -m benchmarks.watching` times the book's network, compiled.

The steps alone are timed: nothing is measured on the test images in between, and no checkpoint or
picture of the curve is written, which would only make the share of the recorder smaller. All three
kinds of run alternate, and each round gives one ratio. A process of its own reads the events. What
is counted is the processor time of the whole process, all of its threads together.
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
from tarograd.training.recorder import Recorder

STEPS, ROUNDS = 40_000, 7
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
    """A recorder that notes how long the steps took, its own work included, and then its end."""

    seconds = (0.0, 0.0)

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

    def end(self, done: int, error: BaseException | None) -> None:
        """The steps are made; the last report is still to be written."""
        made = time.process_time()
        super().end(done, error)
        Timed.seconds = made - self.began, time.process_time() - made


def timed(kind: str, data: tg.data.Dataset, steps: int) -> tuple[float, float]:
    """The seconds of the steps, and of the report; a run that is `recorded` is not watched."""

    def build(
        parts: Any, steps: int, history: Any, losses: Any, about: Any, path: Any, server: Any
    ) -> Recorder:
        path = None if kind == "nothing" else Path(folder, "report.html")
        return Timed(parts, steps, history, losses, about, path, server)

    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(sys.modules["tarograd.training.fit"], "Recorder", build),
        mock.patch.object(tg.nn.Network, "accuracy", return_value=0.5),
    ):
        net = tg.nn.TwoLayerNet(PIXELS, HIDDEN, CLASSES)
        tg.fit(
            net, data, optimizer=tg.optim.SGD(lr=LEARNING_RATE), batch_size=BATCH, steps=steps,
            progress=False, watch=kind == "watched",
        )  # fmt: skip
    return Timed.seconds


def main() -> None:
    """Measure, and print one line for each kind."""
    rounds, steps = (2, 4000) if "--quick" in sys.argv else (ROUNDS, STEPS)
    data = tg.data.load("mnist")
    times: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    tg.fit(tg.nn.TwoLayerNet(PIXELS, HIDDEN, CLASSES), data, steps=0, progress=False)  # imports
    for i in range(rounds):
        for kind in KINDS[i % 3 :] + KINDS[: i % 3]:
            times[kind].append(timed(kind, data, steps))
    base = [made for made, _ in times["nothing"]]
    print(f"{steps} compiled steps of {PIXELS}-{HIDDEN}-{CLASSES}, batch {BATCH}, {rounds} rounds")
    for kind, taken in times.items():
        made = [m for m, _ in taken]
        ratios = [m / b for m, b in zip(made, base, strict=True)]
        print(
            f"  {kind:9} steps {median(made):.3f} s, at least {min(made):.3f} s; beside nothing "
            f"{median(ratios) - 1:+.2%}, of the minima {min(made) / min(base) - 1:+.2%}; "
            f"report {median(end for _, end in taken):.3f} s"
        )


if __name__ == "__main__":
    main()
