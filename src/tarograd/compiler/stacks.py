"""Stacks: products of a stack of matrices with one and the same matrix are one product.

Two boxes of three orders each, at the same prices, are six orders; and the gradient of the prices
is one sum over all six, not a sum for each box and then another one:

    >>> import numpy as np
    >>> from tarograd.compiler.trace import trace
    >>> shop = lambda boxes, prices: boxes @ prices
    >>> print(unstacked(trace(shop, {"boxes": np.ones((2, 3, 4)), "prices": np.ones((4, 5))})))
    v0 = input boxes(2, 3, 4) float64
    v1 = reshape(v0) {'shape': (6, 4)}(6, 4) float64
    v2 = input prices(4, 5) float64
    v3 = matmul(v1, v2) (6, 5) float64
    v4 = reshape(v3) {'shape': (2, 3, 5)}(2, 3, 5) float64
    return v4
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

from tarograd.compiler.outward import shaped, turned
from tarograd.compiler.program import Program, Value, fed, rebuilt
from tarograd.ops import matmul, reduction, shape


def unstacked(program: Program) -> Program:
    """Multiply matrices below each other with one matrix, instead of each with its copy."""

    def change(value: Value, inputs: tuple[Any, ...]) -> Value:
        v = fed(value, inputs)
        if v.is_op(matmul.matmul) and len(v.shape) > 2:
            return _product(v)
        return _sum(v) if v.is_op(reduction.sum) else v

    stacks = any(v.is_op(matmul.matmul) and len(v.shape) > 2 for v in program.order())
    return rebuilt(program, change) if stacks else program


def _product(v: Value) -> Value:
    """A stack times the same matrix each time."""
    a, matrix = v.operands[0], _repeated(v.operands[1])
    if matrix is None:
        return v
    *dims, rows, terms = a.shape
    below = shaped(a, (prod(dims) * rows, terms))
    product = replace(v, inputs=(below, matrix), shape=(below.shape[0], v.shape[-1]))
    return shaped(product, v.shape)


def _repeated(v: Value) -> Value | None:
    """The matrix that a stack consists of; None if its matrices are not all the same."""
    if v.is_op(shape.transpose):
        rank, axes = len(v.shape), v.attributes["axes"]
        matrix = _repeated(v.operands[0]) if rank > 2 else None
        whole = axes == (*range(rank - 2), rank - 1, rank - 2)
        return turned(matrix, (1, 0)) if matrix is not None and whole else None
    if not v.is_op(shape.repeat):
        return None
    x = v.operands[0]
    if x.shape[-2:] != v.shape[-2:] or prod(x.shape[:-2]) != 1:
        return None
    return shaped(x, v.shape[-2:])


def _sum(v: Value) -> Value:
    """The sum of a stack of products: the left factors side by side times the right ones below."""
    x = v.operands[0]
    stacked = tuple(range(len(x.shape) - 2))
    if not x.is_op(matmul.matmul) or not stacked or v.attributes["axis"] != stacked:
        return v
    a, b = x.operands
    if v.attributes["keepdims"] or a.shape[-1] == 0:
        return v
    *dims, rows, terms = a.shape
    beside = turned(a, (len(dims), *stacked, len(dims) + 1))
    total = prod(dims) * terms
    inputs = shaped(beside, (rows, total)), shaped(b, (total, b.shape[-1]))
    return replace(x, inputs=inputs, shape=v.shape, name=v.name, group=v.group)
