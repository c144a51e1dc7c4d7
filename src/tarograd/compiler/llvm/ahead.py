"""The images of the next mini-batch come into the cache while this one is worked on.

They lie scattered in an array that is larger than the caches. Waiting for each of them when it is
needed took as long as a fifth of a step. They are asked for one by one, since a processor drops
some of what it is asked for at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np

from tarograd.compiler.layout import ALIGNMENT
from tarograd.compiler.llvm.words import I8, I64, between, index, prefetch
from tarograd.compiler.plan import Plan
from tarograd.compiler.program import Value

FARTHEST = 8192  # bytes of one image that are fetched; the processor finds the rest by itself
SMALL = 2**18  # bytes of an array that stays in the second cache anyway


def gathered(plan: Plan, batch: Value | None) -> Iterator[tuple[str, int]]:
    """The blocks of which the step reads the rows of the mini-batch, and the bytes of a row.

    Args:
        plan: where the arrays are.
        batch: the numbers of the rows, if there is a row of them for each step.
    """
    if batch is None or batch.dtype != np.int64 or not prod(batch.shape):
        return
    for v in plan.order:
        if len(v.operands) == 2 and v.operands[1] is batch:
            rows = v.operands[0]
            block = plan.buffers[id(rows)].block if id(rows) in plan.buffers else "state"
            nbytes = prod(rows.shape) * rows.dtype.itemsize
            if block in plan.external.values() and nbytes > SMALL:
                yield block, nbytes // rows.shape[0]


def fetch(
    b: Any,
    images: Sequence[tuple[Any, int]],
    size: int,
    batches: Any,
    step: Any,
    steps: Any,
    rows: Sequence[Any],
) -> None:
    """Fetch some of the rows of the mini-batch after this one.

    Args:
        b: the builder.
        images: the addresses of the arrays, and the bytes of a row of each.
        size: of a mini-batch.
        batches: the address of the indices of all mini-batches, which are int64.
        step: the number of this mini-batch among them.
        steps: how many there are; after the last one it is fetched again.
        rows: the number of the first one, and the one before which to stop.
    """
    further = b.zext(b.icmp_unsigned("<", b.add(step, index(1)), steps), I64)
    start = b.mul(b.add(step, further), index(size))
    with between(b, *rows) as r:
        row = b.load(b.gep(batches, [b.add(start, r)], source_etype=I64), typ=I64)
        for array, nbytes in images:
            image = b.gep(array, [b.mul(row, index(nbytes))], source_etype=I8)
            for offset in range(0, min(nbytes, FARTHEST), ALIGNMENT):
                prefetch(b, b.gep(image, [index(offset)], source_etype=I8), cache=2)
