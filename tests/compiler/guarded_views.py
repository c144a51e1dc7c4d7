"""Runs kernels of views of odd lengths in memory between pages that must not be touched."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from guarded import guarded

import tarograd as tg
from tarograd.compiler.llvm.native import Native, narrowed
from tarograd.compiler.lower import lower
from tarograd.compiler.trace import trace


def views(x: Any, w: Any, c: Any, ids: Any) -> Any:
    """Vectors that are not full at the first and at the last element of the arrays."""
    n, m = x.shape[1:]
    stacked = np.stack([x[:, i : i + n - 2, 1:] for i in range(3)], axis=1)
    flat = stacked.transpose(0, 2, 3, 1).reshape(-1, 3)
    product = (x @ w)[:, :, ::-1] @ np.swapaxes(w, -1, -2)[::-1]
    beside = np.pad(x.reshape(-1, m), ((0, 0), (2, 1))) + c[-m - 3 :] - c[m + 2 :: -1]
    epilogue = x.reshape(-1, m) @ w[:, 1:] + c[1 : w.shape[1]] * c[w.shape[1] - 1 : 0 : -1]
    sums = flat.sum(axis=0).sum() + x.transpose(2, 0, 1)[::-1, :, ::2].max(axis=0).sum()
    total = sums + (product * product).sum() + (beside**2).sum() + epilogue.sum()
    total = total + (w[ids] * w[ids, ::-1]).sum() + c[::-3].sum()
    best = np.argmax(x[:, ::-1], axis=1).sum() + np.argmax(x, axis=2)[-1, -1]
    return [total, best, flat.reshape(-1), *tg.grad(total, [x, w, c])]


def run(bits: int, at_the_end: bool) -> list[bytes]:
    """What comes out."""
    rng = np.random.default_rng(0)
    given: dict[str, Any] = {
        "ids": rng.integers(-13, 13, 7),
        "x": rng.normal(size=(3, 7, 13)).astype(np.float32),
        "w": rng.normal(size=(13, 19)).astype(np.float32),
        "c": rng.normal(size=33).astype(np.float32),
    }
    given["ids"][:2] = 0, 12
    program = lower(trace(lambda ids, x, w, c: views(x, w, c, ids), given))
    outside = {name: guarded(array, at_the_end) for name, array in given.items()}
    found = []
    for external in ({}, outside):
        machine = Native(program, external, narrowed(bits))
        state = machine.state[: machine.plan.sizes["state"]]
        machine.state = guarded(state, at_the_end)
        poison = np.full(machine.plan.sizes["scratch"], 0xFF, np.uint8)
        machine.scratch = guarded(poison, at_the_end)
        found.append([y.tobytes() for y in machine(*given.values())])
    assert found[0] == found[1]
    return found[0]


if __name__ == "__main__":
    BITS = int(sys.argv[1])
    assert run(BITS, at_the_end=True) == run(BITS, at_the_end=False)
    print("whole")
