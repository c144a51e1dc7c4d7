"""The mask of Dropout as machine code: the same words as `tarograd.ops.random` draws."""

from __future__ import annotations

import math
import zlib
from math import prod
from typing import Any

import numpy as np

from tarograd.compiler.llvm import text as ir
from tarograd.compiler.llvm.elements import Elements, Place
from tarograd.compiler.llvm.words import I64, index
from tarograd.compiler.plan import Kernel
from tarograd.compiler.trace import Untraceable

I128 = ir.IntType(128)
MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
ROUNDS = 10


def _words(b: Any, block: Any, step: Any, seed: int, stream: int) -> list[Any]:
    """The four words of a block: Philox4x64-10 of the counter (block + 1, step, 0, 0)."""
    counter = [b.add(block, index(1)), step, index(0), index(0)]
    for i in range(ROUNDS):
        keys = [index((k + i * w) % 2**64) for k, w in zip((seed, stream), WEYL, strict=True)]
        parts = []
        for word, factor in zip((counter[0], counter[2]), MULTIPLIERS, strict=True):
            full = b.mul(b.zext(word, I128), ir.Constant(I128, factor))
            high = b.trunc(b.lshr(full, ir.Constant(I128, 64)), I64)
            parts.append((high, b.trunc(full, I64)))
        (high0, low0), (high1, low1) = parts
        counter = [
            b.xor(b.xor(high1, counter[1]), keys[0]),
            low1,
            b.xor(b.xor(high0, counter[3]), keys[1]),
            low0,
        ]
    return counter


def draw_kernel(e: Elements, kernel: Kernel) -> None:
    """True with probability p: four elements from each block of words."""
    b, v = e.b, kernel.values[0]
    a, count, width = v.attributes, prod(v.shape), v.shape[-1] if v.shape else 1
    step = e.at(v.operands[0], [])
    if v.operands[0].dtype.kind == "f":
        step = b.fptosi(step, I64)
    elif v.operands[0].dtype != np.int64:
        raise Untraceable(f"a random step of {v.operands[0].dtype}")
    bound, stream = index(math.ceil(a["p"] * 2**53)), zlib.crc32(a["stream"].encode())

    def block(number: Any, size: int) -> None:
        words = _words(b, number, step, a["seed"], stream)
        for j, word in enumerate(words[:size]):
            hit = b.icmp_unsigned("<", b.lshr(word, index(11)), bound)
            flat = b.add(b.mul(number, index(4)), index(j))
            places = [Place(b.urem(flat, index(width)))] if v.shape else []
            rest = b.udiv(flat, index(width))
            for n in reversed(v.shape[:-1]):
                places.append(Place(b.urem(rest, index(n))))
                rest = b.udiv(rest, index(n))
            e.store(v, places[::-1], hit)

    if count >= 4:
        with e.share.over(b, count // 4) as number:
            block(number, 4)
    if count % 4:
        with e.share.over(b, 1):
            block(index(count // 4), count % 4)
