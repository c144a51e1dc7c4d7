"""A matrix turned over in square blocks that fit into the registers."""

from __future__ import annotations

from typing import Any

from tarograd.compiler.layout import lanes_of
from tarograd.compiler.llvm import text as ir
from tarograd.compiler.llvm.elements import Elements, Place
from tarograd.compiler.llvm.words import I32, index, loop
from tarograd.compiler.plan import Kernel
from tarograd.ops import shape


def is_turn(e: Elements, kernel: Kernel) -> bool:
    """Whether a kernel does nothing but turn over an array with whole vectors both ways."""
    v = kernel.values[0]
    if len(kernel.values) > 1 or not v.is_op(shape.transpose) or len(v.shape) != 2:
        return False
    x = v.operands[0]
    lanes = {lanes_of(n, e.plan.widest) for n in v.shape}
    ours = id(x) in e.plan.buffers and e.plan.buffers[id(x)].lanes > 1 and v.dtype.kind == "f"
    return ours and len(lanes) == 1 and tuple(v.attributes["axes"]) == (1, 0)


def turn_kernel(e: Elements, kernel: Kernel) -> None:
    """Blocks of as many rows as a vector has lanes; rows beyond the end repeat the last one."""
    b, v = e.b, kernel.values[0]
    x, (rows, columns) = v.operands[0], v.shape
    wide = lanes_of(columns, e.plan.widest)

    def block(row: Any, column: Any, height: int) -> None:
        lines = []
        for r in range(wide):
            i = b.add(column, index(r))
            last = index(columns - 1)
            i = b.select(b.icmp_unsigned("<", i, last), i, last)
            lines.append(e.load(x, [Place(i), Place(row, wide)]))
        for r, line in enumerate(_turned(b, lines)[:height]):
            e.store(v, [Place(b.add(row, index(r))), Place(column, wide)], line)

    with e.share.loop(b, columns, wide) as column:
        if rows >= wide:
            with loop(b, rows // wide * wide, wide) as row:
                block(row, column, wide)
        if rows % wide:
            block(index(rows // wide * wide), column, rows % wide)


def _turned(b: Any, lines: list[Any]) -> list[Any]:
    """Swap the off-diagonal quarters of ever larger squares (Eklundh 1972)."""
    n, lines, distance = len(lines), list(lines), 1

    def mask(chosen: list[int]) -> Any:
        return ir.Constant(ir.VectorType(I32, n), [ir.Constant(I32, i) for i in chosen])

    while distance < n:
        d = distance
        upper = mask([i if not i & d else n + i - d for i in range(n)])
        lower = mask([i + d if not i & d else n + i for i in range(n)])
        for i in range(n):
            if not i & d:
                first, second = lines[i], lines[i + d]
                lines[i] = b.shuffle_vector(first, second, upper)
                lines[i + d] = b.shuffle_vector(first, second, lower)
        distance *= 2
    return lines
