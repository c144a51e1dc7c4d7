"""Timing: how long each kernel of a step takes by itself, on one thread."""

from __future__ import annotations

import ctypes
import time
from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import binding

from tarograd.compiler.llvm import text as ir
from tarograd.compiler.llvm.kernels import emit_kernels
from tarograd.compiler.llvm.native import Native, aligned, assemble
from tarograd.compiler.llvm.peak import peak
from tarograd.compiler.llvm.steps import block_names
from tarograd.compiler.llvm.words import I64, index, repeat
from tarograd.compiler.report import Timing

PASSES = 5  # through all kernels; the fastest of them counts
SECONDS = 2e-4  # how long a kernel is repeated in a pass


@lru_cache
def measured_peak() -> float:
    """The machine's peak for float32, measured once in a process, in moments without others."""
    return max(peak(seconds=0.02) for _ in range(10))


def timed(native: Native) -> Timing:
    """Measure the kernels of a step that has been made, on copies of its arrays.

    They run in their order, each on what those before it have computed, and each several times.
    """
    engine, functions = _assembled(native)
    blocks = []
    for block in (native.state, native.scratch):
        blocks.append(aligned(block.nbytes))
        blocks[-1][: block.nbytes] = block
    pointers = [a.ctypes.data for a in (*blocks, *native.external.values())]
    best = np.full(len(functions), np.inf)
    for _ in range(PASSES):
        blocks[0][: native.state.nbytes] = native.state
        for i, run in enumerate(functions):
            times = 1 if np.isinf(best[i]) else max(1, int(SECONDS / max(best[i], 1e-8)))
            began = time.perf_counter()
            run(times, *pointers)
            best[i] = min(best[i], (time.perf_counter() - began) / times)
    del engine
    return Timing(best.tolist(), measured_peak())


def _assembled(native: Native) -> tuple[Any, list[Any]]:
    """For each kernel a function of how often it is to run, and of the blocks of memory."""
    names = block_names(native.plan)
    module = ir.Module(binding.get_process_triple())
    kinds = [I64, *[ir.POINTER] * len(names)]
    for i, call in enumerate(emit_kernels(module, native.plan, native.target)):
        timer = ir.Function(module, ir.VOID, kinds, f"time{i}")
        times, *blocks = timer.args
        b = ir.IRBuilder(timer.append_basic_block("entry"))
        where = dict(zip(names, blocks, strict=True))

        def body(
            _i: Any, _none: list[Any], b: Any = b, call: Any = call, where: Any = where
        ) -> Any:
            call.emit(b, where, index(0), index(call.units))
            return []

        repeat(b, times, [], body)
        b.ret()
    engine = assemble(module, native.target)
    kind = ctypes.CFUNCTYPE(None, ctypes.c_int64, *[ctypes.c_void_p] * len(names))
    addresses = (engine.get_function_address(f"time{i}") for i in range(len(native.plan.kernels)))
    return engine, [kind(address) for address in addresses]
