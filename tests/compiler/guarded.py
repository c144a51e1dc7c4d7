"""Runs training steps in memory between pages that must not be touched; prints the last loss.

A kernel that reads or writes one byte beyond its arrays dies here by SIGSEGV.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any

import numpy as np

import tarograd as tg
from tarograd.compiler import Recipe, step_program
from tarograd.compiler.llvm.native import Native, narrowed
from tarograd.compiler.lower import lower

PAGE = mmap.PAGESIZE
KEPT: list[mmap.mmap] = []  # the mappings have to outlive their arrays


def guarded(array: Any, at_the_end: bool) -> Any:
    """A copy whose last, or whose first, byte is beside a page that nobody may touch."""
    pages = -(-max(array.nbytes, 1) // PAGE)
    mapping = mmap.mmap(-1, (pages + 2) * PAGE)
    KEPT.append(mapping)
    start = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    for page in (0, pages + 1):
        assert protect(ctypes.c_void_p(start + page * PAGE), ctypes.c_size_t(PAGE), 0) == 0
    offset = PAGE + (pages * PAGE - array.nbytes if at_the_end else 0)
    copy = np.frombuffer(mapping, array.dtype, array.size, offset).reshape(array.shape)
    copy[...] = array
    return copy


def train(bits: int, pixels: int, batch: int, sparse: bool, at_the_end: bool) -> float:
    rng = np.random.default_rng(0)
    dark = rng.random((400, pixels)) < 0.8
    images = np.where(dark, 0, rng.integers(1, 256, (400, pixels))).astype(np.uint8)
    labels = rng.integers(0, 10, 400)
    net = tg.nn.Sequential(
        tg.nn.Affine(pixels, 50), tg.nn.ReLU(), tg.nn.Affine(50, 17), tg.nn.Tanh(),
        tg.nn.Dropout(0.2), tg.nn.Affine(17, 10),
    )  # fmt: skip
    recipe = Recipe(net, net.criterion, tg.optim.Adam(net.parameters()), images, labels)
    program = lower(step_program(recipe, batch))
    external = {"images": guarded(images, at_the_end), "labels": guarded(labels, at_the_end)}
    machine = Native(program, external, narrowed(bits), sparse=["images"] if sparse else [])
    assert all(machine.external[k] is external[k] for k in external)
    constants = machine.state[: machine.plan.sizes["state"]]
    machine.state = guarded(constants, at_the_end)
    machine.scratch = guarded(np.full(machine.plan.sizes["scratch"], 0xFF, np.uint8), at_the_end)
    for name, p in recipe.parameters().items():
        machine.view(program.inputs[name])[...] = p.value
    steps = 4
    fed = {
        "batch": rng.integers(0, 400, (steps, batch)),
        "step": np.arange(steps),
        "lr": np.full(steps, 0.01),
    }
    fed["batch"][:, 0], fed["batch"][:, -1] = 0, 399
    fed = {name: guarded(rows, at_the_end) for name, rows in fed.items()}
    losses = machine.run(fed, steps)
    assert np.isfinite(losses).all()
    return float(losses[-1])


if __name__ == "__main__":
    BITS, PIXELS, BATCH = map(int, sys.argv[1:4])
    found = {train(BITS, PIXELS, BATCH, s, e) for s in (False, True) for e in (False, True)}
    assert len(found) == 1, found
    print(found.pop())
