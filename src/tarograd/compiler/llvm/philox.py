"""Random numbers as machine code: from the same words as `tarograd.ops.random` draws."""

from __future__ import annotations

import math
import zlib
from math import prod
from typing import Any

import numpy as np

from tarograd.compiler.fusion import Kernel
from tarograd.compiler.llvm import functions
from tarograd.compiler.llvm import text as ir
from tarograd.compiler.llvm.elements import Elements, Place
from tarograd.compiler.llvm.operations import converted
from tarograd.compiler.llvm.words import FLOATS, I64, call, constant, index, loop
from tarograd.compiler.program import Value
from tarograd.compiler.trace import Untraceable
from tarograd.ops import random

I128 = ir.integer(128)
DOUBLE = FLOATS[np.dtype(np.float64)]
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
    """Random elements: four from each block of words."""
    b, v = e.b, kernel.values[0]
    a, count = v.attributes, prod(v.shape)
    step = e.at(v.operands[0], [])
    if v.operands[0].dtype.kind == "f":
        step = b.fptosi(step, I64)
    elif v.operands[0].dtype != np.int64:
        raise Untraceable(f"a random step of {v.operands[0].dtype}")
    stream = zlib.crc32(a["stream"].encode())
    if v.is_op(random.normal):
        with e.share.over(b, 1), loop(b, count) as i:
            radius, angle = (
                _word(b, place, step, a["seed"], stream) for place in (i, b.add(i, index(count)))
            )
            e.store(v, _places(b, v, i), _normal(b, v, radius, angle))
        return

    def block(number: Any, size: int) -> None:
        words = _words(b, number, step, a["seed"], stream)
        for j, word in enumerate(words[:size]):
            flat = b.add(b.mul(number, index(4)), index(j))
            e.store(v, _places(b, v, flat), _drawn(b, v, word))

    if count >= 4:
        with e.share.over(b, count // 4) as number:
            block(number, 4)
    if count % 4:
        with e.share.over(b, 1):
            block(index(count // 4), count % 4)


def _places(b: Any, v: Value, flat: Any) -> list[Place]:
    """The index of the element with this number."""
    places = []
    for n in reversed(v.shape):
        places.append(Place(b.urem(flat, index(n))))
        flat = b.udiv(flat, index(n))
    return places[::-1]


def _word(b: Any, place: Any, step: Any, seed: int, stream: int) -> Any:
    """One of the words."""
    words = _words(b, b.lshr(place, index(2)), step, seed, stream)
    lane, found = b.and_(place, index(3)), words[0]
    for j in range(1, 4):
        found = b.select(b.icmp_unsigned("==", lane, index(j)), words[j], found)
    return found


def _unit(b: Any, word: Any, digits: int = 53) -> Any:
    """A number in [0, 1) from the upper digits of a word."""
    number = b.uitofp(b.lshr(word, index(64 - digits)), DOUBLE)
    return b.fmul(number, constant(2.0**-digits, DOUBLE))


def _drawn(b: Any, v: Value, word: Any) -> Any:
    """The element that a word stands for; of a float no more digits than its dtype has."""
    if v.is_op(random.bernoulli):
        bound = index(math.ceil(v.attributes["p"] * 2**53))
        return b.icmp_unsigned("<", b.lshr(word, index(11)), bound)
    drawn = _unit(b, word, min(np.finfo(v.dtype).nmant + 1, 53))
    return converted(b, drawn, np.dtype(np.float64), v.dtype)


def _normal(b: Any, v: Value, radius: Any, angle: Any) -> Any:
    """√(-2 log(1 - r)) cos(2πa), in float64 (Box and Muller 1958)."""
    rest = b.fsub(constant(1.0, DOUBLE), _unit(b, radius))
    length = call(b, "sqrt", b.fmul(constant(-2.0, DOUBLE), functions.log(b, rest)))
    turn = b.fmul(constant(2 * math.pi, DOUBLE), _unit(b, angle))
    z = b.fmul(length, call(b, "cos", turn))
    return converted(b, z, np.dtype(np.float64), v.dtype)
