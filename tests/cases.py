"""The one table: a row for every primitive, driven through every check.

Each row says what the primitive computes in other words, on which inputs to try it, and how to
draw them away from kinks, ties and the edges of the domain. `CASES` has one case for each row and
example, for `pytest.mark.parametrize("case", CASES, ids=str)`. The values and gradients at the
kinks, the ties and the edges are known exactly; they stand in special_values.py.
"""

from __future__ import annotations

from functools import reduce
from math import log, pi
from typing import Any

import numpy as np

from rows import (
    Case,
    Row,
    Shape,
    above_one,
    anywhere,
    apart,
    at,
    box_muller,
    collected,
    count,
    cross_entropy,
    generator,
    log_sum,
    off_zero,
    padded,
    places,
    positive,
    quotient,
    regular,
    whole,
    within,
)
from tarograd.ops import arithmetic, elementwise, linear, matmul, random, reduction, shape
from tarograd.ops.shape import ARRAY

DOUBLE = np.dtype(float)
ALL = slice(None)
MASK = np.array([[True, False, False], [False, False, True]])

UNARY = [at(()), at((3,)), at((2, 3)), at((2, 1, 4)), at((0, 3)), at((1,))]
BINARY = [at(*x.inputs, *x.inputs) for x in UNARY]
BINARY += [at((2, 3), (3,)), at((), (3,)), at((2, 1, 4), (3, 1)), at((1,), (0, 3))]
BINARY += [at((2, 3), 2.0), at(2.0, (2, 3)), at(np.array([[3.0], [4.0]]), (3,))]
CHOICES = [at(MASK, (2, 3), (2, 3)), at(MASK, (3,), (2, 1)), at(MASK, (2, 3), 0.5), at(MASK, 2, ())]
AXES: list[tuple[Shape, Shape]] = [((), ()), ((3,), (0,)), ((2, 3), (1,)), ((2, 3), (0, 1))]
AXES += [((2, 1, 4), (0, 2)), ((2, 1, 4), (1,)), ((2, 3), ()), ((0, 3), (1,)), ((1,), (0,))]
REDUCED = [at(s, axis=axis, keepdims=keep) for s, axis in AXES for keep in (False, True)]
REDUCED_TO_NOTHING = [at((0, 3), axis=(0,), keepdims=keep) for keep in (False, True)]
ALONG = [at((3,), axis=0), at((2, 3), axis=0), at((2, 1, 4), axis=2), at((0, 3), axis=1)]
DRAWS = [at((), shape=s, seed=7, stream="x") for s in ((), (3,), (2, 3), (0, 3))]
TYPED_DRAWS = [at((), **x.attributes, dtype=DOUBLE) for x in DRAWS]
TRUE_OR_FALSE = [at((), **x.attributes, p=0.4) for x in DRAWS]

PARTS: list[tuple[Shape, tuple[Any, ...], tuple[Any, ...]]] = [
    ((), (), ()),
    ((3,), (1,), ()),
    ((3,), (ARRAY,), (np.array([0, 0, -1, 0]),)),
    ((2, 3), (ALL, slice(None, None, -2)), ()),
    ((2, 3), (ARRAY,), (MASK,)),
    ((2, 3), (ARRAY, ARRAY), (np.array([1, 1, 0]), np.array([2, 2, 0]))),
    ((2, 1, 4), (..., None, 0), ()),
    ((2, 1, 4), (ALL, 0, ARRAY), (np.array([[3, 3], [0, 1]]),)),
    ((0, 3), (ALL, 1), ()),
    ((1,), (ARRAY,), (np.array([], int),)),
]
INDEXED = [at(s, *arrays, key=key) for s, key, arrays in PARTS]
SCATTERED = [
    at(places(s, key, *arrays).shape, *arrays, key=key, shape=s, dtype=DOUBLE)
    for s, key, arrays in PARTS
]
REPEATED: list[tuple[Shape, Shape]] = [((), (2,)), ((3,), (2, 3)), ((2, 1, 4), (2, 3, 4))]
REPEATED += [((1,), (0,)), ((1, 1), (2, 3)), ((2, 3), (2, 3)), ((0, 1), (2, 0, 3))]
RESHAPED: list[tuple[Shape, Shape]] = [((), (1, 1)), ((2, 3), (3, 2)), ((2, 1, 4), (8,))]
RESHAPED += [((0, 3), (5, 0)), ((1,), ())]
TURNED: list[tuple[Shape, Shape]] = [((), ()), ((2, 3), (1, 0)), ((2, 1, 4), (2, 0, 1))]
TURNED += [((0, 3), (1, 0)), ((2, 3), (0, 1))]
JOINED = [at((2, 3), (2, 1), axis=1), at((3,), (0,), (2,), axis=0), at((2, 1, 4), axis=1)]
JOINED += [at((2, 3), (0, 3), axis=0), at((2, 3), np.ones((2, 2)), axis=1)]
STACKED = [at((), (), axis=0), at((2, 3), (2, 3), axis=2), at((3,), (3,), (3,), axis=0)]
STACKED += [at((0, 3), (0, 3), axis=1), at((3,), np.ones(3), axis=1)]
PADDED = [
    at((3,), widths=((2, 0),), value=0.0),
    at((2, 3), widths=((1, 2), (0, 3)), value=-2.0),
    at((0, 3), widths=((1, 0), (0, 0)), value=0.0),
]
PRODUCTS = [at((2, 3), (3, 4)), at((2, 2, 3), (2, 3, 1)), at((0, 3), (3, 2)), at((2, 0), (0, 2))]
SQUARES = [at((1, 1)), at((3, 3)), at((2, 2, 2)), at((0, 2, 2))]
SYSTEMS = [
    at((3, 3), (3, 2)),
    at((2, 2, 2), (2, 2, 1)),
    at((1, 1), (1, 0)),
    at((0, 2, 2), (0, 2, 1)),
]
AFFINE = [at((2, 3), (3, 4), (4,)), at((0, 3), (3, 2), (2,)), at((1, 1), (1, 1), (1,))]
SCORED = [
    at((2, 3), (2, 3), labels=False),
    at((2, 3), MASK, labels=False),
    at((2, 3), np.eye(3)[:2] == 1, labels=True),
    at((1, 1), (1, 1), labels=False),
    at((4, 2), np.ones((4, 2)), labels=False),
]
COMPARED = [
    at((3,), (3,)),
    at((2, 1, 4), (2, 1, 4)),
    at((1, 1), (1, 1)),
    at((2, 3), np.ones((2, 3))),
]

ROWS = [
    Row(arithmetic.add, lambda a, b: a - -b, BINARY, anywhere),
    Row(arithmetic.subtract, lambda a, b: a + -b, BINARY, anywhere),
    Row(arithmetic.multiply, lambda a, b: a / (1 / b), BINARY, off_zero),
    Row(arithmetic.divide, lambda a, b: a * b**-1.0, BINARY, off_zero),
    Row(arithmetic.negative, lambda x: 0 - x, UNARY, anywhere),
    Row(arithmetic.power, lambda a, b: np.exp(b * np.log(a)), BINARY, positive),
    Row(arithmetic.floor_divide, lambda a, b: np.floor(a / b), BINARY[:-1], quotient),
    Row(arithmetic.remainder, lambda a, b: a - b * np.floor(a / b), BINARY[:-1], quotient),
    Row(elementwise.exp, lambda x: np.expm1(x) + 1, UNARY, anywhere),
    Row(elementwise.log, lambda x: np.log2(x) * log(2), UNARY, positive),
    Row(elementwise.expm1, lambda x: np.exp(x) - 1, UNARY, anywhere),
    Row(elementwise.log1p, lambda x: np.log(1 + x), UNARY, positive),
    Row(elementwise.sqrt, lambda x: x**0.5, UNARY, positive),
    Row(elementwise.sin, lambda x: np.cos(x - pi / 2), UNARY, anywhere),
    Row(elementwise.cos, lambda x: np.sin(x + pi / 2), UNARY, anywhere),
    Row(elementwise.tanh, lambda x: 1 - 2 / (np.exp(2 * x) + 1), UNARY, anywhere),
    Row(
        elementwise.arctan, lambda x: np.log((1 + 1j * x) / (1 - 1j * x)).imag / 2, UNARY, anywhere
    ),
    Row(elementwise.arctan2, lambda y, x: np.angle(x + 1j * y), BINARY, off_zero),
    Row(elementwise.arcsin, lambda x: np.log(1j * x + np.sqrt(1 - x * x)).imag, UNARY, within),
    Row(elementwise.arccos, lambda x: np.log(x + 1j * np.sqrt(1 - x * x)).imag, UNARY, within),
    Row(elementwise.arcsinh, lambda x: np.log(x + np.sqrt(x * x + 1)), UNARY, anywhere),
    Row(elementwise.arccosh, lambda x: np.log(x + np.sqrt(x * x - 1)), UNARY, above_one),
    Row(elementwise.arctanh, lambda x: np.log((1 + x) / (1 - x)) / 2, UNARY, within),
    Row(elementwise.hypot, lambda a, b: np.sqrt(a * a + b * b), BINARY, off_zero),
    Row(elementwise.sign, lambda x: x / abs(x), UNARY, apart),
    Row(elementwise.floor, lambda x: x // 1, UNARY, apart),
    Row(elementwise.rint, lambda x: np.floor(x + 0.5), UNARY, apart),
    Row(elementwise.absolute, lambda x: np.hypot(x, 0), UNARY, apart),
    Row(elementwise.maximum, lambda a, b: (a + b + abs(a - b)) / 2, BINARY, apart),
    Row(elementwise.minimum, lambda a, b: (a + b - abs(a - b)) / 2, BINARY, apart),
    Row(elementwise.where, lambda c, a, b: c * a + (1 - c) * b, CHOICES, anywhere),
    Row(
        elementwise.clip,
        lambda x, low, high: np.maximum(np.minimum(x, high), low),
        [at(*x.inputs, low=-0.6, high=0.7) for x in UNARY],
        apart,
    ),
    Row(
        elementwise.cast,
        lambda x, dtype: 1 * x,
        [at(*x.inputs, dtype=DOUBLE) for x in UNARY],
        anywhere,
    ),
    Row(elementwise.stop_gradient, lambda x: 1 * x, UNARY, anywhere),
    Row(elementwise.greater, lambda a, b: a - b > 0, BINARY, apart),
    Row(elementwise.greater_equal, lambda a, b: a - b >= 0, BINARY, apart),
    Row(elementwise.less, lambda a, b: a - b < 0, BINARY, apart),
    Row(elementwise.less_equal, lambda a, b: a - b <= 0, BINARY, apart),
    Row(elementwise.equal, lambda a, b: a - b == 0, BINARY, apart),
    Row(elementwise.not_equal, lambda a, b: a - b != 0, BINARY, apart),
    Row(elementwise.logical_and, lambda a, b: a * b != 0, BINARY, apart),
    Row(elementwise.logical_or, lambda a, b: abs(a) + abs(b) > 0, BINARY, apart),
    Row(elementwise.logical_not, lambda x: x == 0, UNARY, apart),
    Row(elementwise.relu, lambda x: (x + abs(x)) / 2, UNARY, apart),
    Row(elementwise.sigmoid, lambda x: (1 + np.tanh(x / 2)) / 2, UNARY, anywhere),
    Row(matmul.matmul, lambda x, w: np.einsum("...ij,...jk->...ik", x, w), PRODUCTS, anywhere),
    Row(linear.solve, lambda a, b: np.linalg.inv(a) @ b, SYSTEMS, regular),
    Row(linear.log_det, lambda x: np.log(abs(np.linalg.det(x))), SQUARES, regular),
    Row(linear.sign_det, lambda x: np.sign(np.linalg.det(x)), SQUARES, regular),
    Row(matmul.affine, lambda x, w, b: np.einsum("ij,jk->ik", x, w) + b, AFFINE, anywhere),
    Row(
        random.uniform,
        lambda step, shape, seed, stream, dtype: generator(step, seed, stream).random(shape),
        TYPED_DRAWS,
        whole,
    ),
    Row(
        random.normal,
        lambda step, shape, seed, stream, dtype: box_muller(step, shape, seed, stream),
        TYPED_DRAWS,
        whole,
    ),
    Row(
        random.bernoulli,
        lambda step, shape, seed, stream, p: generator(step, seed, stream).random(shape) < p,
        TRUE_OR_FALSE,
        whole,
    ),
    Row(
        random.dropout,
        lambda x, mask, keep: np.where(mask, x / keep, 0),
        [at((2, 3), MASK, keep=0.7), at((), np.array(True), keep=0.5)],
        anywhere,
    ),
    Row(reduction.sum, np.add.reduce, REDUCED + REDUCED_TO_NOTHING, anywhere),
    Row(
        reduction.mean,
        lambda x, axis, keepdims: np.add.reduce(x / count(x.shape, axis), axis, keepdims=keepdims),
        REDUCED,
        anywhere,
    ),
    Row(reduction.max, np.maximum.reduce, REDUCED, apart),
    Row(reduction.min, np.minimum.reduce, REDUCED, apart),
    Row(
        reduction.argmax,
        lambda x, axis: np.take(np.argsort(x, axis), -1, axis),
        [at((3,), axis=None), at((2, 3), axis=None), at((2, 3), axis=0), at((2, 1, 4), axis=-1)],
        apart,
    ),
    Row(
        reduction.argsort,
        lambda x, axis: np.argsort(np.argsort(np.argsort(x, axis), axis), axis),
        ALONG,
        apart,
    ),
    Row(reduction.prod, np.multiply.reduce, REDUCED + REDUCED_TO_NOTHING, anywhere),
    Row(reduction.logsumexp, log_sum, REDUCED, anywhere),
    Row(
        reduction.softmax,
        lambda x, axis: np.exp(x) / np.sum(np.exp(x), axis, keepdims=True),
        ALONG,
        anywhere,
    ),
    Row(reduction.log_softmax, lambda x, axis: x - log_sum(x, (axis,), True), ALONG, anywhere),
    Row(reduction.softmax_with_loss, cross_entropy, SCORED, anywhere),
    Row(
        reduction.squared_error,
        lambda y, t: np.linalg.norm(y - t) ** 2 / len(y) / 2,
        COMPARED,
        anywhere,
    ),
    Row(
        shape.repeat,
        lambda x, shape: x + np.zeros(shape),
        [at(small, shape=large) for small, large in REPEATED],
        anywhere,
    ),
    Row(
        shape.sum_to,
        lambda x, shape: collected(x, places(shape, ()) + np.zeros(x.shape, int), shape),
        [at(large, shape=small) for small, large in REPEATED],
        anywhere,
    ),
    Row(
        shape.reshape,
        lambda x, shape: np.array(list(x.flat)).reshape(shape),
        [at(before, shape=after) for before, after in RESHAPED],
        anywhere,
    ),
    Row(
        shape.transpose,
        lambda x, axes: np.moveaxis(x, axes, range(x.ndim)),
        [at(s, axes=axes) for s, axes in TURNED],
        anywhere,
    ),
    Row(
        shape.index,
        lambda x, *arrays, key: np.take(x, places(x.shape, key, *arrays)),
        INDEXED,
        anywhere,
    ),
    Row(
        shape.scatter,
        lambda x, *arrays, key, shape, dtype: collected(x, places(shape, key, *arrays), shape),
        SCATTERED,
        anywhere,
    ),
    Row(
        shape.concatenate,
        lambda *xs, axis: reduce(lambda a, b: np.append(a, b, axis=axis), xs),
        JOINED,
        anywhere,
    ),
    Row(shape.stack, lambda *xs, axis: np.moveaxis(np.array(xs), 0, axis), STACKED, anywhere),
    Row(shape.pad, padded, PADDED, anywhere),
]

CASES = [Case(row, example) for row in ROWS for example in row.examples]
