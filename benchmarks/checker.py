"""The checker's time and sharpness: `python -m benchmarks.checker [--runs 20]`.

How long a small layer that is right takes, how long a wrong one takes to be named, a network of a
million parameters in quick mode; and how often quick mode sees a factor of 1 + 1e-6, and one
element of a million that is wrong by 1 %.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tarograd import nn
from tarograd.checking import check_gradients

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "zoo"))

from zoo_mistakes import MISTAKES  # the zoo is part of the tests
from zoo_ops import OPS  # likewise

ELEMENTS = 1_000_000
BUDGET = 60.0  # seconds; the verdict takes a few, and the search for the element may be cut short


class Wide:
    """A NumPy network of a million parameters: 784 - 1000 - 200 - 10, tanh and ReLU."""

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        lengths = (784, 1000, 200, 10)
        pairs = list(pairwise(lengths))
        self.W = [random.normal(size=pair) / np.sqrt(pair[0]) for pair in pairs]
        self.b = [np.zeros(n) for _, n in pairs]

    def forward(self, x: Any) -> Any:
        """The scores."""
        self.x = x
        self.h1 = np.tanh(x @ self.W[0] + self.b[0])
        self.h2 = np.maximum(self.h1 @ self.W[1] + self.b[1], 0)
        return self.h2 @ self.W[2] + self.b[2]

    def backward(self, dout: Any) -> Any:
        """The gradient of the input; those of the parameters stay in dW and db."""
        d2 = (dout @ self.W[2].T) * (self.h2 > 0)
        d1 = (d2 @ self.W[1].T) * (1 - self.h1**2)
        self.dW = [self.x.T @ d1, self.h1.T @ d2, self.h2.T @ dout]
        self.db = [d1.sum(axis=0), d2.sum(axis=0), dout.sum(axis=0)]
        return d1 @ self.W[0].T


def timed(subject: Any, inputs: Sequence[Any], **options: Any) -> float:
    """The seconds that a check takes."""
    started = time.perf_counter()
    check_gradients(subject, *inputs, **options)
    return time.perf_counter() - started


def times() -> Iterator[str]:
    """Rows: what was checked and how long it took."""
    right = [timed(*op.make(0)) for op in OPS]
    yield _row(f"{len(OPS)} small layers that are right", right)
    wrong = [timed(*mistake.op.make(0)) for mistake in MISTAKES]
    yield _row(f"{len(MISTAKES)} small layers that are wrong, named", wrong)
    x = np.random.default_rng(0).normal(size=(10, 784))
    numpy = [timed(Wide(), [x], mode="quick") for _ in range(3)]
    yield _row("a NumPy network of a million parameters, quick", numpy)
    layers = [nn.Affine(784, 1000), nn.ReLU(), nn.Affine(1000, 200), nn.ReLU(), nn.Affine(200, 10)]
    net, t = nn.Sequential(*layers), np.arange(10)
    own = [timed(net, [x, t], mode="quick") for _ in range(3)]
    yield _row("our network of a million parameters and its loss, quick", own)


def sharpness(runs: int) -> Iterator[str]:
    """Rows: how often quick mode sees what is hardly there."""

    def factor(g: Any, _: int) -> Any:
        return g * (1 + 1e-6)

    def element(g: Any, i: int) -> Any:
        g = g.copy()
        g[i] *= 1.01
        return g

    for words, spoil in (("a factor 1 + 1e-6", factor), ("one element wrong by 1 %", element)):
        found = 0
        for seed in range(runs):
            random = np.random.default_rng(seed)
            x, i = random.normal(size=ELEMENTS), int(random.integers(ELEMENTS))
            summed = seed % 2 == 0

            def cubes(x: Any, summed: bool = summed) -> Any:
                return np.sum(x * x * x) if summed else x * x * x

            def slope(x: Any, spoil: Any = spoil, i: int = i) -> Any:
                return spoil(3 * x * x, i)

            options: dict[str, Any] = {"mode": "quick", "seed": seed, "budget": BUDGET}
            found += check_gradients(cubes, x, grad=slope, **options).verdict == "wrong"
        yield f"{words} in a leaf of {ELEMENTS:,}, quick: seen {found} of {runs} times"


def _row(words: str, seconds: list[float]) -> str:
    median, most = float(np.median(seconds)), max(seconds)
    return f"{words}: median {median * 1e3:.0f} ms, at most {most * 1e3:.0f} ms"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="of each row of sharpness")
    for line in times():
        print(line, flush=True)
    for line in sharpness(parser.parse_args().runs):
        print(line, flush=True)
