"""The machine's peak: how fast one core multiplies and adds when nothing else has to be done."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding

from tarograd.compiler.llvm import text as ir
from tarograd.compiler.llvm.native import Target, assemble, host
from tarograd.compiler.llvm.words import I64, constant, fma, repeat, type_of

LOOP = "tarograd_peak"
TURNS = 8  # of all chains in one pass through the loop, so that the loop itself costs nothing


def chains(target: Target) -> int:
    """Sums that do not wait for each other: enough to hide how long an addition takes."""
    return min(24, target.registers - 4)


def multiply_add(target: Target, dtype: Any = np.float32) -> tuple[Callable[[int], float], Any]:
    """A function of how often; it multiplies and adds in registers alone.

    Returns:
        the function, whose result is 1 - 2^(-8 n) after n passes, and what owns its code.
    """
    kind = ir.VectorType(type_of(np.dtype(dtype)), target.bits // 8 // np.dtype(dtype).itemsize)
    module = ir.Module(binding.get_process_triple())
    function = ir.Function(module, ir.VOID, [I64, ir.POINTER], LOOP)
    b = ir.IRBuilder(function.append_basic_block("entry"))
    half = constant(0.5, kind)

    def body(i: Any, sums: list[Any]) -> list[Any]:
        for _ in range(TURNS):
            sums = [fma(b, x, half, half) for x in sums]
        return sums

    sums = repeat(b, function.args[0], [constant(0.0, kind)] * chains(target), body)
    total = sums[0]
    for x in sums[1:]:
        total = b.fadd(total, x)
    b.store(total, function.args[1], align=np.dtype(dtype).itemsize)
    b.ret()
    engine = assemble(module, target)
    run = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)(engine.get_function_address(LOOP))
    out = np.zeros(kind.count, dtype)

    def passes(n: int) -> float:
        run(n, out.ctypes.data)
        return float(out[0]) / chains(target)

    return passes, engine


def peak(seconds: float = 0.05) -> float:
    """Operations per second of one core in float32, a multiply-add being two; measured now.

    Args:
        seconds: how long to measure. The fastest of ten parts counts.
    """
    target = host()
    passes, _engine = multiply_add(target)
    work = 2 * target.bits // 32 * chains(target) * TURNS
    n, best = 1000, 0.0
    for _ in range(11):
        began = time.perf_counter()
        passes(n)
        took = time.perf_counter() - began
        best = max(best, n * work / took)
        n = max(1000, int(seconds / 10 * best / work))
    return best
