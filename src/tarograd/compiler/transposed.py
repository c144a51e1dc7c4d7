"""Transposed: a product by a large matrix turned over is the transpose of another product.

The gradient of what a layer is given is g Wᵀ. Rows of the right factor are read as vectors, so a
copy of W is turned over first. But g Wᵀ = (W gᵀ)ᵀ: where g and the result have fewer elements than
W, less is turned over, and W is read once, row by row. The terms of each sum stay in their order,
so the bits are the same.

    >>> import numpy as np
    >>> from tarograd.compiler.trace import trace
    >>> shop = lambda orders, prices: (orders + 1) @ prices.T
    >>> given = {"orders": np.ones((32, 256)), "prices": np.ones((256, 256))}
    >>> print(transposed(trace(shop, given)))
    v0 = input prices(256, 256) float64
    v1 = input orders(32, 256) float64
    v2 = add(v1, 1) (32, 256) float64
    v3 = transpose(v2) {'axes': (1, 0)}(256, 32) float64
    v4 = matmul(v0, v3) (256, 32) float64
    v5 = transpose(v4) {'axes': (1, 0)}(32, 256) float64
    return v5
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

from tarograd.compiler.layout import LARGE, SHORT
from tarograd.compiler.outward import turned
from tarograd.compiler.program import Program, Value, fed, rebuilt
from tarograd.compiler.skipping import KEEPS_ZERO
from tarograd.ops import matmul, shape


def transposed(program: Program) -> Program:
    """Multiply the other way round, where less has to be turned over then."""

    def change(value: Value, inputs: tuple[Any, ...]) -> Value:
        v = fed(value, inputs)
        return _other_way_round(v) if v.is_op(matmul.matmul) and len(v.shape) == 2 else v

    return rebuilt(program, change)


def _other_way_round(v: Value) -> Value:
    """The product, or the transpose of another one."""
    a, b = v.operands
    if not b.is_op(shape.transpose) or b.operands[0].primitive is not None or _is_given(a):
        return v
    less = prod(a.shape) + prod(v.shape) < prod(b.shape)
    if not less or prod(b.shape) * b.dtype.itemsize <= LARGE or min(*a.shape, *v.shape) < SHORT:
        return v
    inputs = b.operands[0], turned(a, (1, 0))
    return turned(replace(v, inputs=inputs, shape=v.shape[::-1]), (1, 0))


def _is_given(v: Value) -> bool:
    """Whether it is an input, perhaps scaled: of such a left factor zeros may be left out."""
    while v.primitive in KEEPS_ZERO:
        v = v.operands[0]
    return v.primitive is None
