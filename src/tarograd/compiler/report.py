"""Report: what became of a program, kernel by kernel."""

from __future__ import annotations

from math import prod

from tarograd.compiler.plan import Kernel, Plan
from tarograd.compiler.program import Value


def operations(kernel: Kernel) -> int:
    """The floating-point operations that the mathematics needs; padding does not count."""
    first = kernel.values[0]
    count = 0
    if kernel.kind == "matmul":
        count = 2 * prod(first.shape) * first.operands[0].shape[1]
    elif kernel.kind == "reduce":
        count = prod(first.operands[0].shape)
    else:
        count = prod(first.shape)
    return count + prod(kernel.shape) * (len(kernel.values) - 1)


def report(plan: Plan) -> str:
    """One line per kernel: what it computes, its operations, the bytes that it reads and writes.

    What costs little and depends on inputs only is computed wherever it is read, and not listed.

    Example:
        >>> import numpy as np
        >>> from tarograd.compiler.lower import lower
        >>> from tarograd.compiler.trace import trace
        >>> shop = trace(lambda apple, count: np.exp((apple - count).sum() * 2),
        ...              {"apple": np.zeros(3), "count": np.ones(3)})
        >>> print(report(Plan(lower(shop), widest=16)))
        kernel     shape           operations       bytes  computes
        reduce     ()                       3          56  sum
        loop       ()                       2          16  multiply exp → result
        arrays: 128 bytes of scratch memory, 128 if none shared its place; 128 of state
    """
    lines = ["kernel     shape           operations       bytes  computes"]
    names = {id(v): name for name, v in plan.program.outputs.items()}
    for kernel in plan.kernels:
        stored = [v for v in kernel.values if id(v) in plan.stored]
        what = " ".join(v.primitive.name for v in kernel.values if v.primitive)
        results = ", ".join(names.get(id(v)) or v.name or "" for v in stored).strip(", ")
        arrow = f" → {results}" if results else ""
        shape = "×".join(map(str, kernel.shape)) or "()"
        numbers = f"{operations(kernel):>10,}  {_moved(plan, kernel):>10,}"
        lines.append(f"{kernel.kind:<10} {shape:<15} {numbers}  {what}{arrow}")
    scratch, state = plan.sizes["scratch"], plan.sizes["state"]
    lines.append(
        f"arrays: {scratch:,} bytes of scratch memory, {plan.unshared:,} if none shared its place; "
        f"{state:,} of state"
    )
    return "\n".join(lines)


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
