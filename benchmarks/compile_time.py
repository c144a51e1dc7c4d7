"""How long until the first step: `python -m benchmarks.compile_time`, in fresh interpreters.

Each process imports, traces a training step, writes its machine code and makes one step; once
with an empty cache folder, where LLVM translates the code, and once with what that has left there.
What is counted is the processor time of the process, which other processes lengthen less than what
a clock shows.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from statistics import median

from benchmarks.table import machine, seconds
from benchmarks.works import WORKS

ROUNDS = 9
PARTS = ("import", "trace", "lower", "plan", "write", "translate", "first step", "from trace on")
CHILD = """
import sys, time
times = [0.0, time.process_time()]
def tick(): times.append(time.process_time())
import numpy as np
import tarograd as tg
from tarograd.compiler import Recipe, step_program
from tarograd.compiler.lower import lower
from tarograd.compiler.llvm import native
from benchmarks.works import WORKS
work = next(w for w in WORKS if w.name == sys.argv[1])
layers = []
hidden = tg.nn.ReLU if work.activation == "relu" else tg.nn.Tanh
for n, m in zip(work.sizes, work.sizes[1:]):
    layers += [tg.nn.Affine(n, m), hidden()]
net = tg.nn.Sequential(*layers[:-1])
kind = tg.optim.SGD if work.optimizer == "sgd" else tg.optim.Adam
images = np.zeros((2 * work.batch, work.sizes[0]), np.uint8)
labels = np.zeros(len(images), np.int64)
recipe = Recipe(net, net.criterion, kind(net.parameters(), lr=work.lr), images, labels)
tick()
program = step_program(recipe, work.batch); tick()
program = lower(program); tick()
target, plan, assemble = native.host(), native.Plan, native.assemble
def planned(*given):
    found = plan(*given); tick(); return found
def assembled(*given):
    tick(); found = assemble(*given); tick(); return found
native.Plan, native.assemble = planned, assembled
machine = native.Native(program, {"images": images, "labels": labels})
for name, p in recipe.parameters().items():
    machine.view(program.inputs[name])[...] = p.value
fed = {"batch": np.zeros((1, work.batch), np.int64), "step": np.zeros(1, np.int64)}
assert np.isfinite(machine.run(fed | {"lr": np.full(1, work.lr)})).all(); tick()
first, *rest = [b - a for a, b in zip(times, times[1:])]
print(first + rest[0], *rest[1:], sum(rest[1:]))
"""


def measured(name: str, cache: str) -> list[float]:
    """The seconds of the parts in a process of its own."""
    told = subprocess.run(
        [sys.executable, "-c", CHILD, name],
        env=os.environ | {"XDG_CACHE_HOME": cache, "OPENBLAS_NUM_THREADS": "1"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return [float(text) for text in told.stdout.split()]


def main() -> None:
    """Measure, and print a table of the minima and one of the medians."""
    rounds = 1 if "--quick" in sys.argv else ROUNDS
    works = [w for w in WORKS if w.name in (("W1",) if rounds == 1 else ("W1", "W4"))]
    found: dict[str, list[list[float]]] = {}
    for _ in range(rounds):
        for work in works:
            with tempfile.TemporaryDirectory() as cache:
                for kind in ("cold", "warm"):
                    found.setdefault(f"{work.name} {kind}", []).append(measured(work.name, cache))
    print(f"{machine()}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {rounds} rounds")
    for work in works:
        print(f"{work.name}: {'-'.join(map(str, work.sizes))}, batch {work.batch}")
    for title, chosen in (("minimum", min), ("median", median)):
        print("\n" + "".join(f"{text:>14}" for text in (title, *PARTS)))
        for name, lines in found.items():
            cells = [seconds(chosen(column)) for column in zip(*lines, strict=True)]
            print("".join(f"{text:>14}" for text in (name, *cells)))


if __name__ == "__main__":
    main()
