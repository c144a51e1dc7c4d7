"""Report: what became of a program, kernel by kernel."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from tarograd.compiler.fusion import Kernel
from tarograd.compiler.plan import Plan
from tarograd.compiler.program import Value
from tarograd.ops import matmul, reduction

REDUCTIONS = (reduction.sum, reduction.max, reduction.min, reduction.prod)

HEAD = "kernel     shape           operations       bytes"
MEASURED = "        µs  share  of peak"


class Timing(NamedTuple):
    """How long the kernels take.

    Attributes:
        seconds: for each of them.
        peak: floating-point operations per second that one core of the machine can do.
    """

    seconds: Sequence[float]
    peak: float


def operations(kernel: Kernel) -> int:
    """The floating-point operations that the mathematics needs; padding does not count."""
    return sum(map(_of_value, kernel.values))


def _of_value(v: Value) -> int:
    if v.is_op(matmul.matmul):
        return 2 * prod(v.shape) * v.operands[0].shape[-1]
    if v.primitive in REDUCTIONS:
        return prod(v.operands[0].shape)
    return prod(v.shape) if v.dtype.kind == "f" else 0


def report(plan: Plan, timing: Timing | None = None) -> str:
    """One line per kernel: what it computes, its operations, the bytes that it reads and writes.

    What costs little and depends on inputs only is computed wherever it is read, and not listed.
    In brackets stand the layers that the values belong to; a step's `backward` and `update` are
    layers here too. Behind the arrow are the arrays that the kernel leaves for others.

    Args:
        plan: what is told about.
        timing: how long each kernel took; then their shares of the time are told, and those of
            the machine's peak.

    Example:
        >>> import numpy as np
        >>> from tarograd.compiler.lower import lower
        >>> from tarograd.compiler.trace import trace
        >>> shop = trace(lambda apple, count: np.exp((apple - count).sum() * 2),
        ...              {"apple": np.zeros(3), "count": np.ones(3)})
        >>> print(report(Plan(lower(shop), widest=16)))
        kernel     shape           operations       bytes  computes
        reduce     ()                       5          56  sum multiply exp → result
        arrays: 64 bytes of scratch memory, 64 if none shared its place; 128 of state
    """
    lines = [f"{HEAD}{MEASURED if timing else ''}  computes"]
    whole = sum(timing.seconds) if timing else 0.0
    for i, kernel in enumerate(plan.kernels):
        shape = "×".join(map(str, kernel.shape)) or "()"
        numbers = f"{operations(kernel):>10,}  {_moved(plan, kernel):>10,}"
        if timing:
            seconds = timing.seconds[i]
            speed = operations(kernel) / seconds / timing.peak
            numbers += f"  {seconds * 1e6:>8.2f}  {seconds / whole:>5.1%}  {speed:>7.1%}"
        lines.append(f"{kernel.kind:<10} {shape:<15} {numbers}  {_computed(plan, kernel)}")
    if timing and plan.kernels:
        total = sum(map(operations, plan.kernels))
        lines.append(
            f"in all: {total:,} operations in {whole * 1e6:.1f} µs on one thread: "
            f"{total / whole / 1e9:.1f} GFLOP/s, {total / whole / timing.peak:.1%} of the "
            f"machine's peak of {timing.peak / 1e9:.1f}"
        )
    scratch, state = plan.sizes["scratch"], plan.sizes["state"]
    lines.append(
        f"arrays: {scratch:,} bytes of scratch memory, {plan.unshared:,} if none shared its place; "
        f"{state:,} of state"
    )
    return "\n".join(lines)


def _computed(plan: Plan, kernel: Kernel) -> str:
    """What a kernel computes, in which layers, and what it leaves."""
    names = {id(v): name for name, v in plan.program.outputs.items()}
    what = " ".join(v.primitive.name for v in kernel.values if v.primitive)
    layers = dict.fromkeys(_layer(v) for v in kernel.values if v.group is not None)
    where = f" [{', '.join(layers)}]" if layers else ""
    stored = [v for v in kernel.values if id(v) in plan.stored]
    results = ", ".join(filter(None, (v.name or names.get(id(v)) for v in stored)))
    return f"{what}{where}{f' → {results}' if results else ''}"


def _layer(v: Value) -> str:
    path = v.group.path().split(".") if v.group is not None else [""]
    return ".".join(path[1:] or path)


def _moved(plan: Plan, kernel: Kernel) -> int:
    """Bytes; of an array that lies outside only as many elements as the kernel has."""
    elements = prod(kernel.shape)
    read = plan.reads[kernel].values()
    stored = [v for v in kernel.values if id(v) in plan.stored]
    outside = sum(
        min(elements, prod(v.shape)) * v.dtype.itemsize for v in read if _outside(plan, v)
    )
    inside = [v for v in read if not _outside(plan, v)]
    return outside + sum(prod(v.shape) * v.dtype.itemsize for v in [*inside, *stored])


def _outside(plan: Plan, v: Value) -> bool:
    return id(v) in plan.external
