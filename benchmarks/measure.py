"""The three comparisons: a training step, a whole run, and the import."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from statistics import fmean

import numpy as np

import tarograd as tg
from benchmarks.contenders import Contender, Tarograd, present
from benchmarks.problem import (
    BATCH,
    CLASSES,
    HIDDEN,
    LEARNING_RATE,
    PIXELS,
    Size,
    initial_parameters,
    rows,
)
from benchmarks.table import Row
from benchmarks.textbook import Array
from benchmarks.timing import Timing, interleaved


def steps(size: Size, data: tg.data.Dataset) -> list[Row]:
    """Training steps - forward, backward, update - on batches that lie ready."""
    tasks: dict[str, Callable[[], object]] = {}
    notes = {}
    for kind, dtype in present():
        contender = kind(initial_parameters(dtype))
        x, t = rows(data.train[: size.chunk * BATCH], dtype)
        xs = contender.place(x.reshape(size.chunk, BATCH, PIXELS))
        ts = contender.place(t.reshape(size.chunk, BATCH))
        tasks[contender.name] = partial(contender.train, xs, ts)
        losses = contender.train(xs, ts)  # the first chunk warms up, and shows who computes what
        notes[contender.name] = f"loss {fmean(losses):.6f}" if losses else ""
    return compared(interleaved(tasks, size.rounds), notes, parts=size.chunk)


def runs(size: Size, data: tg.data.Dataset) -> list[Row]:
    """Whole runs from the first weights, with the accuracies on all images after each epoch."""
    whole: dict[str, Callable[[], float]] = {}
    arrays = {dtype: (rows(data.train, dtype), rows(data.test, dtype)) for _, dtype in present()}
    for kind, dtype in present():
        if kind is Tarograd:
            whole[f"tg.fit {dtype}"] = partial(fit, dtype, size, data)
        elif not issubclass(kind, Tarograd):
            whole[kind(initial_parameters(dtype)).name] = a_run(kind, dtype, size, *arrays[dtype])
    notes: dict[str, str] = {}

    def noted(name: str) -> None:
        notes[name] = f"test accuracy {whole[name]():.4f}"

    timings = interleaved({name: partial(noted, name) for name in whole}, size.runs)
    return compared(timings, notes)


def a_run(
    kind: type[Contender],
    dtype: str,
    size: Size,
    train: tuple[Array, Array],
    test: tuple[Array, Array],
) -> Callable[[], float]:
    """A contender's whole run, with batches drawn with replacement, as in the text."""
    first, count = kind(initial_parameters(dtype)), len(train[1])
    (x, t), placed_test = ([first.place(a) for a in pair] for pair in (train, test))

    def run() -> float:
        contender, rng = kind(initial_parameters(dtype)), np.random.default_rng(0)
        for step in range(0, size.steps, size.chunk):
            if step % (count // BATCH) == 0:
                contender.accuracy(x, t)
                contender.accuracy(*placed_test)
            chosen = rng.integers(0, count, (size.chunk, BATCH))
            contender.train(x[chosen], t[chosen])
        contender.accuracy(x, t)
        return contender.accuracy(*placed_test)

    return run


def fit(dtype: str, size: Size, data: tg.data.Dataset) -> float:
    """The same with `tg.fit`, which reads the images as bytes and divides them itself."""
    net = tg.nn.TwoLayerNet(PIXELS, HIDDEN, CLASSES).astype(dtype)
    history = tg.fit(
        net,
        data,
        optimizer=tg.optim.SGD(lr=LEARNING_RATE),
        batch_size=BATCH,
        steps=size.steps,
        sampling="replacement",
        progress=False,
    )
    return history.epochs[-1].test_accuracy


def compared(timings: dict[str, Timing], notes: dict[str, str], parts: int = 1) -> list[Row]:
    """A row for each timing, beside the textbook's in both dtypes."""
    baselines = tuple(timings[f"textbook (NumPy) {dtype}"] for dtype in ("float32", "float64"))
    return [
        Row(name, timing, parts, (baselines[0], baselines[1]), notes.get(name, ""))
        for name, timing in timings.items()
    ]


IMPORT = """
import sys, time
began = time.perf_counter()
import numpy
between, before = time.perf_counter(), set(sys.modules)
import tarograd
print(between - began, time.perf_counter() - between, *sorted(set(sys.modules) - before))
"""


def imports(size: Size) -> list[Row]:
    """`import numpy` and then `import tarograd`, in fresh interpreters."""
    numpy, ours, both = Timing(), Timing(), Timing()
    modules: list[str] = []
    for _ in range(size.imports):
        told = subprocess.run(
            [sys.executable, "-c", IMPORT], check=True, capture_output=True, text=True
        ).stdout.split()
        first, second, modules = float(told[0]), float(told[1]), told[2:]
        numpy.wall.append(first)
        ours.wall.append(second)
        both.wall.append(first + second)
    packages = sorted({name.partition(".")[0] for name in modules} - sys.stdlib_module_names)
    others = sum(name.partition(".")[0] in sys.stdlib_module_names for name in modules)
    note = f"imports {', '.join(packages)} and {others} modules of Python's own"
    return [
        Row("import numpy", numpy),
        Row("import tarograd", both),
        Row("tarograd's share of it", ours, note=note),
    ]
