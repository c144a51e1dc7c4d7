"""From the start of a process to its end: the first step, and a whole run with its accuracies.

`python -m benchmarks.whole first|run NAME STEPS` is the process that is timed.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from statistics import median

import numpy as np

import tarograd as tg
from benchmarks.problem import FULL, QUICK, Size, dataset, rows
from benchmarks.steppers import STEPPERS, Jax, Stepper, TarogradSkipping, Torch, TorchCompiled
from benchmarks.table import aligned, seconds
from benchmarks.timing import keep_to_one_core
from benchmarks.works import WORKS

WORK = WORKS[0]
COLD = ", nothing cached"


def first(kind: type[Stepper]) -> None:
    """Import, build, compile, and make one step on images that lie ready."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (1000, WORK.sizes[0]), dtype=np.uint8)
    images[rng.random(images.shape) < 0.8] = 0
    labels = rng.integers(0, 10, 1000)
    kind(WORK, images, labels, 255, rng.integers(0, 1000, (1, WORK.batch))).train()


def run(kind: type[Stepper], steps: int, size: Size) -> float:
    """A whole run; the accuracies on all images are taken before it and after each epoch.

    Returns:
        the last accuracy on the test images.
    """
    data = dataset(size)
    if kind is TarogradSkipping:
        net = tg.nn.TwoLayerNet(*WORK.sizes)
        sgd = tg.optim.SGD(lr=WORK.lr)
        history = tg.fit(
            net, data, optimizer=sgd, batch_size=WORK.batch, steps=steps, progress=False, threads=1
        )
        return history.epochs[-1].test_accuracy
    train, test = rows(data.train, "float32"), rows(data.test, "float32")
    epoch, rng = len(train[1]) // WORK.batch, np.random.default_rng(0)
    stepper = kind(WORK, train[0], train[1], 1, np.zeros((0, WORK.batch), np.int64))
    train, test = ((stepper.held(x), stepper.held(t)) for x, t in (train, test))
    stepper.accuracy(*train)
    stepper.accuracy(*test)
    for done in range(0, steps, epoch):
        order = rng.permutation(len(train[1]))[: min(epoch, steps - done) * WORK.batch]
        stepper.epoch(order.reshape(-1, WORK.batch))
        stepper.accuracy(*train)
        last = stepper.accuracy(*test)
    return last


def timed(what: str, name: str, steps: int, size: Size, cache: str) -> tuple[float, float, str]:
    """A child process: its seconds from start to end, those of user time, and what it printed."""
    flags = ["--quick"] if size is QUICK else []
    command = [sys.executable, "-m", "benchmarks.whole", what, name, str(steps), *flags]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    env = os.environ | {"XDG_CACHE_HOME": cache}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # as an installed package, each has its bytecode
    told = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime - before.ru_utime, told.stdout.strip()


def processes(size: Size) -> str:
    """A table: everyone in turn, each time in a fresh process."""
    lines = [["", "median", "minimum", "user", "÷ JAX", "÷ PyTorch", ""]]
    quick = size is QUICK
    peers: tuple[type[Stepper], ...] = (Jax, Torch)
    with tempfile.TemporaryDirectory() as warm:
        compiled = () if quick else (TorchCompiled,)
        names = [TarogradSkipping.name, *(k.name for k in (*peers, *compiled))]
        lines += _section("first step", "first", [names[0] + COLD, *names], 1, size, warm)
        lines += _section(
            f"whole run of {size.steps} steps", "run", names[:3], size.steps, size, warm
        )
    return aligned(lines)


def _section(
    title: str, what: str, names: list[str], steps: int, size: Size, warm: str
) -> list[list[str]]:
    walls: dict[str, list[float]] = {name: [] for name in names}
    users: dict[str, list[float]] = {name: [] for name in names}
    told: dict[str, str] = {}
    for _ in range(size.runs + 1):  # the first round fills the caches, and does not count
        for name in names:
            with tempfile.TemporaryDirectory() as empty:
                cache = empty if name.endswith(COLD) else warm
                child = timed(what, name.removesuffix(COLD), steps, size, cache)
            walls[name].append(child[0])
            users[name].append(child[1])
            told[name] = child[2]
    found = [[title, *[""] * 6]]
    for name in names:
        wall = walls[name][1:]
        ratios = [
            f"{median(a / b for a, b in zip(wall, walls[k.name][1:], strict=True)):.2f}"
            for k in (Jax, Torch)
        ]
        numbers = (median(wall), min(wall), min(users[name][1:]))
        found.append([f"  {name}", *map(seconds, numbers), *ratios, told[name]])
    return found


def main() -> None:
    """What the child does, on one core."""
    keep_to_one_core()
    what, name, steps = sys.argv[1:4]
    kind = next(k for k in STEPPERS if k.name == name)
    if what == "first":
        first(kind)
    else:
        size = QUICK if "--quick" in sys.argv else FULL
        print(f"test accuracy {run(kind, int(steps), size):.4f}")


if __name__ == "__main__":
    main()
