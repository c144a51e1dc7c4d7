"""The images of the next mini-batch come into the cache while this one is worked on.

They lie scattered in an array that is larger than the caches. Waiting for each of them when it is
needed took as long as a fifth of a step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

from tarograd.compiler.layout import ALIGNMENT
from tarograd.compiler.llvm.words import I8, I64, index, loop, prefetch
from tarograd.compiler.plan import Plan

Part = tuple[int, int]
FARTHEST = 8192  # bytes of one image that are fetched; the processor finds the rest by itself
SMALL = 2**18  # bytes of an array that stays in the second cache anyway


def gathered(plan: Plan) -> Iterator[tuple[str, int]]:
    """The blocks of which the step reads the rows of the mini-batch, and the bytes of a row."""
    batch = plan.program.inputs.get("batch")
    for v in plan.order:
        if len(v.operands) == 2 and v.operands[1] is batch and id(batch) not in plan.external:
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
    part: Part,
) -> None:
    """Fetch a part of the rows of the mini-batch after this one.

    Args:
        b: the builder.
        images: the addresses of the arrays, and the bytes of a row of each.
        size: of a mini-batch.
        batches: the address of the indices of all mini-batches, which are int64.
        step: the number of this mini-batch among them.
        steps: how many there are; after the last one it is fetched again.
        part: which part of the rows, and of how many.
    """
    first, last = (size * n // part[1] for n in (part[0], part[0] + 1))
    if first == last or not images:
        return
    further = b.zext(b.icmp_unsigned("<", b.add(step, index(1)), steps), I64)
    start = b.mul(b.add(step, further), index(size))
    with loop(b, last - first, 1) as r:
        place = b.gep(batches, [b.add(start, b.add(r, index(first)))], source_etype=I64)
        row = b.load(place, typ=I64)
        for array, nbytes in images:
            image = b.gep(array, [b.mul(row, index(nbytes))], source_etype=I8)
            for offset in range(0, min(nbytes, FARTHEST), ALIGNMENT):
                prefetch(b, b.gep(image, [index(offset)], source_etype=I8), cache=2)
