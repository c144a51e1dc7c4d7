"""What the primitives give where a formula needs thought: kinks, ties, edges and infinities.

Every number here follows from a definition or a limit and can be checked by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import e, log, pi
from typing import Any, NamedTuple

import numpy as np

from tarograd.graph import Primitive
from tarograd.ops import arithmetic, elementwise, linear, matmul, random, reduction, shape
from tarograd.ops.shape import ARRAY

inf, nan = np.inf, np.nan
TRUE_FALSE = np.array([True, False])


class Special(NamedTuple):
    """Inputs, the value there, and the gradients for an upstream gradient of `g`."""

    primitive: Primitive
    inputs: tuple[Any, ...]
    y: Any
    gradients: tuple[Any, ...]
    attributes: Mapping[str, Any]
    g: Any
    warns: bool
    rtol: float

    def __str__(self) -> str:
        return f"{self.primitive.name}{self.inputs}"


def known(
    primitive: Primitive,
    *inputs: Any,
    y: Any,
    to: tuple[Any, ...] = (),
    g: Any = 1.0,
    warns: bool = False,
    rtol: float = 1e-15,
    **attributes: Any,
) -> Special:
    """A special value.

    Lists among the inputs become Tensors, arrays and numbers are data. `to` are the gradients
    of the inputs, None for data; `warns` says that NumPy rightly warns of an infinity.
    """
    return Special(primitive, inputs, y, to, attributes, g, warns, rtol)


def compared(primitive: Primitive, y: str) -> Special:
    """Comparisons of (1, 2), (2, 2), (2, 1), nan, (inf, inf), (-inf, inf): T or F for each."""
    a, b = [1, 2, 2, nan, inf, -inf], [2, 2, 1, nan, inf, inf]
    return known(primitive, a, b, y=[letter == "T" for letter in y])


def reduced(primitive: Primitive, x: list[Any], y: Any, to: Any, rtol: float = 1e-15) -> Special:
    """Many numbers made into one."""
    axis = tuple(range(np.ndim(x)))
    return known(primitive, x, y=y, to=(to,), rtol=rtol, axis=axis, keepdims=False)


def along(primitive: Primitive, x: list[Any], y: Any, g: Any, to: Any) -> Special:
    return known(primitive, x, y=y, to=(to,), g=g, axis=len(np.shape(x)) - 1)


# The shares exp(x - y) are as exact as y, and numbers of 1e4 are 2e-12 apart.
SPACING = 2e-12
TIED = ([1, 3, 2, -inf], [3, 1, 2, -inf])
THIRD = 1 / 3

ARITHMETIC = [
    known(arithmetic.multiply, [0, -inf], [5, 2], y=[0, -inf], to=([5, 2], [0, -inf])),
    known(arithmetic.divide, 1, [2, -4], y=[0.5, -0.25], to=(None, [-0.25, -0.0625])),
    known(arithmetic.divide, [1, 0], [inf, 2], y=[0, 0], to=([0, 0.5], [0, 0])),
    known(arithmetic.divide, [1], [0], y=[inf], to=([inf], [-inf]), warns=True),
    known(arithmetic.power, [0, 0, 0], [0, 1, 2], y=[1, 0, 0], to=([0, 1, 0], [0, 0, 0])),
    known(arithmetic.power, [inf, -inf], [0, 0], y=[1, 1], to=([0, 0], [inf, 0])),
    known(arithmetic.power, [2, -2, -2], [0, 3, 0], y=[1, -8, 1], to=([0, 12, 0], [log(2), 0, 0])),
    known(arithmetic.power, [0, -3, inf], 2, y=[0, 9, inf], to=([0, -6, inf],)),
    known(arithmetic.power, [0, -3, inf], 0, y=[1, 1, 1], to=([0, 0, 0],)),
    known(arithmetic.power, [0, -3, 5], 1, y=[0, -3, 5], to=([1, 1, 1],)),
    known(arithmetic.power, 0, [0, 1], y=[1, 0], to=(None, [0, 0])),
    known(arithmetic.power, [0], 0.5, y=[0], to=([inf],), warns=True),
    known(arithmetic.remainder, [7, -7, 7, -7], [3, 3, -3, -3], y=[1, 2, -2, -1]),
    known(arithmetic.remainder, [7, -7, 6], 3, y=[1, 2, 0], to=([1, 1, 1],)),
    known(arithmetic.remainder, 7, [3, -3, inf], y=[1, -2, 7], to=(None, [-2, 3, 0])),
    known(arithmetic.remainder, 1.0, [0.1], y=[1 - 9 * 0.1], to=(None, [-9]), rtol=1e-14),
    known(arithmetic.floor_divide, [7, -7, 7, -7], [3, 3, -3, -3], y=[2, -3, -3, 2]),
    known(arithmetic.floor_divide, [1, -1, 0], [0.1, inf, 5], y=[9, -1, 0]),
    known(arithmetic.floor_divide, [1, -1], [0, 0], y=[inf, -inf], warns=True),
]

ELEMENTWISE = [
    known(elementwise.exp, [0, 1, -1e4, -inf, inf], y=[1, e, 0, 0, inf], to=([1, e, 0, 0, inf],)),
    known(elementwise.log, [1, e, inf], y=[0, 1, inf], to=([1, 1 / e, 0],)),
    known(elementwise.log, [0], y=[-inf], to=([inf],), warns=True),
    known(elementwise.expm1, [0, 1e-20, -inf, inf], y=[0, 1e-20, -1, inf], to=([1, 1, 0, inf],)),
    known(elementwise.log1p, [0, 1e-20, e - 1, inf], y=[0, 1e-20, 1, inf], to=([1, 1, 1 / e, 0],)),
    known(elementwise.log1p, [-1], y=[-inf], to=([inf],), warns=True),
    known(elementwise.sqrt, [4, 1e-300, inf], y=[2, 1e-150, inf], to=([0.25, 5e149, 0],)),
    known(elementwise.sqrt, [0], y=[0], to=([inf],), warns=True),
    known(elementwise.sin, [0, pi / 2], y=[0, 1], to=([1, np.cos(pi / 2)],)),
    known(elementwise.cos, [0, pi], y=[1, -1], to=([0, -np.sin(pi)],)),
    known(elementwise.tanh, [-800, 800, 0, nan], y=[-1, 1, 0, nan], to=([0, 0, 1, nan],)),
    known(elementwise.tanh, [-inf, inf], y=[-1, 1], to=([0, 0],)),
    known(elementwise.sign, [-inf, 0, 2, nan], y=[-1, 0, 1, nan]),
    known(elementwise.floor, [-inf, -0.5, 2, 2.9, nan], y=[-inf, -1, 2, 2, nan]),
    known(elementwise.rint, [-inf, -1.5, -0.5, 0.5, 2.5, 2.6], y=[-inf, -2, 0, 0, 2, 3]),
    known(
        elementwise.arctan, [-inf, 0, 1, inf], y=[-pi / 2, 0, pi / 4, pi / 2], to=([0, 1, 0.5, 0],)
    ),
    known(elementwise.arctan2, [0, 1, -1, 0], [0, 0, 0, -1], y=[0, pi / 2, -pi / 2, pi]),
    known(
        elementwise.arctan2, [0, 1e-200], [1e-200, 0], y=[0, pi / 2], to=([1e200, 0], [0, -1e200])
    ),
    known(elementwise.arctan2, [0, 1], [0, 0], y=[0, pi / 2], to=([0, 0], [0, -1])),
    known(elementwise.arctan2, [inf, inf, 1], [inf, -inf, inf], y=[pi / 4, 3 * pi / 4, 0]),
    known(elementwise.arcsin, [0, 0.6], y=[0, np.arctan(0.75)], to=([1, 1.25],), rtol=1e-14),
    known(elementwise.arcsin, [1, -1], y=[pi / 2, -pi / 2], to=([inf, inf],), warns=True),
    known(
        elementwise.arccos, [0, 0.6], y=[pi / 2, np.arctan(4 / 3)], to=([-1, -1.25],), rtol=1e-14
    ),
    known(elementwise.arccos, [1, -1], y=[0, pi], to=([-inf, -inf],), warns=True),
    known(
        elementwise.arcsinh,
        [0, 0.75, 1e300],
        y=[0, log(2), log(2) + 300 * log(10)],
        to=([1, 0.8, 1e-300],),
        rtol=1e-14,
    ),
    known(
        elementwise.arccosh,
        [1.25, 1e300],
        y=[log(2), log(2) + 300 * log(10)],
        to=([4 / 3, 1e-300],),
        rtol=1e-14,
    ),
    known(elementwise.arccosh, [1], y=[0], to=([inf],), warns=True),
    known(
        elementwise.arctanh, [0, 0.6, 1e-20], y=[0, log(2), 1e-20], to=([1, 1.5625, 1],), rtol=1e-14
    ),
    known(elementwise.arctanh, [1], y=[inf], to=([inf],), warns=True),
    known(
        elementwise.hypot,
        [3, 0, 3e200],
        [4, 0, 4e200],
        y=[5, 0, 5e200],
        to=([0.6, 0, 0.6], [0.8, 0, 0.8]),
    ),
    known(elementwise.hypot, [3, -inf], 0, y=[3, inf]),
    known(elementwise.absolute, [-3, 0, -inf], y=[3, 0, inf], to=([-1, 0, -1],)),
    known(elementwise.maximum, *TIED, y=[3, 3, 2, -inf], to=([0, 1, 0.5, 0.5], [1, 0, 0.5, 0.5])),
    known(elementwise.minimum, *TIED, y=[1, 1, 2, -inf], to=([1, 0, 0.5, 0.5], [0, 1, 0.5, 0.5])),
    known(elementwise.maximum, [-1, 0, 1], 0, y=[0, 0, 1], to=([0, 0.5, 1],)),
    known(elementwise.maximum, [nan, 1], [1, nan], y=[nan, nan]),
    known(elementwise.where, TRUE_FALSE, [1, nan], [inf, 2], y=[1, 2], to=(None, [1, 0], [0, 1])),
    known(
        elementwise.clip,
        [-inf, 0, 0.5, 1, 2],
        y=[0, 0, 0.5, 1, 1],
        to=([0, 1, 1, 1, 0],),
        low=0,
        high=1,
    ),
    known(elementwise.cast, [0.1], y=[np.float32(0.1)], to=([1],), dtype=np.dtype(np.float32)),
    known(elementwise.stop_gradient, [-inf, 2], y=[-inf, 2]),
    compared(elementwise.greater, "FFTFFF"),
    compared(elementwise.greater_equal, "FTTFTF"),
    compared(elementwise.less, "TFFFFT"),
    compared(elementwise.less_equal, "TTFFTT"),
    compared(elementwise.equal, "FTFFTF"),
    compared(elementwise.not_equal, "TFTTFT"),
    known(elementwise.logical_and, [0, 0, 2, 2], [0, 1, 0, 1], y=[False, False, False, True]),
    known(elementwise.logical_or, [0, 0, 2, 2], [0, 1, 0, 1], y=[False, True, True, True]),
    known(elementwise.logical_not, [0, 2], y=[True, False]),
    known(elementwise.relu, [-inf, -1, 0, 2, inf], y=[0, 0, 0, 2, inf], to=([0, 0, 0, 1, 1],)),
    known(elementwise.relu, [nan], y=[nan]),
    known(elementwise.sigmoid, [-1000, 1000, 0], y=[0, 1, 0.5], to=([0, 0, 0.25],)),
    known(elementwise.sigmoid, [-inf, inf, nan], y=[0, 1, nan], to=([0, 0, nan],)),
]

REDUCTIONS = [
    reduced(reduction.sum, [[1, 2], [3, 4]], 10, [[1, 1], [1, 1]]),
    reduced(reduction.sum, [inf, 1], inf, [1, 1]),
    reduced(reduction.mean, [[1, 2], [3, 4]], 2.5, [[0.25, 0.25], [0.25, 0.25]]),
    reduced(reduction.max, [1, 3, 3, -inf], 3, [0, 0.5, 0.5, 0]),
    reduced(reduction.max, [-inf, -inf], -inf, [0.5, 0.5]),
    reduced(reduction.max, [[2, 2], [1, 2]], 2, [[THIRD, THIRD], [0, THIRD]]),
    reduced(reduction.max, [1, nan], nan, None),
    reduced(reduction.min, [1, 3, 1, inf], 1, [0.5, 0, 0.5, 0]),
    reduced(reduction.min, [inf, inf], inf, [0.5, 0.5]),
    known(reduction.argmax, [1, 3, 3], y=1, axis=None),
    known(reduction.argsort, [2, nan, 1, -inf, 2, nan], y=[3, 2, 0, 4, 1, 5], axis=0),
    reduced(reduction.prod, [2, 3, 4], 24, [12, 8, 6]),
    reduced(reduction.prod, [2, 0, 4], 0, [0, 8, 0]),
    reduced(reduction.prod, [0, 3, 0], 0, [0, 0, 0]),
    reduced(reduction.prod, [[0, 3], [5, -1]], 0, [[-15, 0], [0, 0]]),
    reduced(reduction.prod, [0], 0, [1]),
    reduced(reduction.prod, [], 1, []),
    reduced(reduction.logsumexp, [-inf, -inf], -inf, [0, 0]),
    reduced(reduction.logsumexp, [-inf, 0], 0, [0, 1]),
    reduced(reduction.logsumexp, [1e4, 1e4], 1e4 + log(2), [0.5, 0.5], SPACING),
    reduced(reduction.logsumexp, [-1e4, -1e4], -1e4 + log(2), [0.5, 0.5], SPACING),
    reduced(reduction.logsumexp, [1e4, -1e4], 1e4, [1, 0]),
    reduced(reduction.logsumexp, [nan, 1000], nan, [nan, nan]),
    reduced(reduction.logsumexp, [inf, 1000], inf, None),
    along(reduction.softmax, [1e4, 1e4], [0.5, 0.5], [1, 0], [0.25, -0.25]),
    along(reduction.softmax, [1e4, -1e4], [1, 0], [1, 2], [0, 0]),
    along(reduction.softmax, [-inf, 0, 0], [0, 0.5, 0.5], [5, 1, 0], [0, 0.25, -0.25]),
    along(reduction.log_softmax, [1e4, -1e4], [0, -2e4], [0, 1], [-1, 1]),
    along(reduction.log_softmax, [-inf, 0], [-inf, 0], [1, 1], [1, -1]),
    along(reduction.log_softmax, [0, 0], [-log(2), -log(2)], [1, 0], [0.5, -0.5]),
    known(
        reduction.softmax_with_loss,
        [[1e4, 0], [0, 0]],
        np.array([[True, False], [True, False]]),
        labels=True,
        y=log(2) / 2,
        to=([[0, 0], [-0.25, 0.25]], None),
    ),
    known(
        reduction.softmax_with_loss,
        [[-1e4, 1e4]],
        [[1, 0]],
        labels=False,
        y=2e4,
        to=([[-1, 1]], [[2e4, 0]]),
    ),
    known(
        reduction.squared_error,
        [[1, 2], [3, 4]],
        [[0, 2], [3, 2]],
        y=1.25,
        to=([[0.5, 0], [0, 1]], [[-0.5, 0], [0, -1]]),
    ),
]

SHAPES = [
    known(shape.repeat, [[1, 2]], y=[[1, 2]] * 3, to=([[3, 3]],), shape=(3, 2)),
    known(shape.repeat, [[1], [2]], y=[[1] * 3, [2] * 3], to=([[3], [3]],), shape=(2, 3)),
    known(shape.repeat, [[1, 2]], y=np.ones((0, 2)), to=([[0, 0]],), shape=(0, 2)),
    known(shape.sum_to, [[1, 2], [3, 4]], y=[[4, 6]], to=([[1, 1], [1, 1]],), shape=(1, 2)),
    known(shape.sum_to, [[1, 2], [3, 4]], y=10, to=([[1, 1], [1, 1]],), shape=()),
    known(
        shape.index,
        [1, 2, 3],
        np.array([2, 0, 2, -1]),
        y=[3, 1, 3, 3],
        to=([10, 0, 10101],),
        g=[1, 10, 100, 10000],
        key=(ARRAY,),
    ),
    known(
        shape.scatter,
        [1, 2, 4],
        np.array([1, 0, 1]),
        y=[2, 5],
        to=([10, 1, 10],),
        g=[1, 10],
        key=(ARRAY,),
        shape=(2,),
        dtype=np.dtype(float),
    ),
    known(shape.concatenate, [1], [2, 3], y=[1, 2, 3], to=([5], [6, 7]), g=[5, 6, 7], axis=0),
    known(shape.stack, [1], [2], y=[[1, 2]], to=([5], [6]), g=[[5, 6]], axis=1),
    known(shape.pad, [1], y=[nan, 1, nan], to=([6],), g=[5, 6, 7], widths=((1, 1),), value=nan),
]

PRODUCTS = [
    known(
        matmul.matmul,
        [[1, 0], [0, 1]],
        [[1, 2], [3, 4]],
        y=[[1, 2], [3, 4]],
        to=([[3, 7], [3, 7]], [[1, 1], [1, 1]]),
    ),
    known(
        matmul.affine,
        [[1, 2]],
        [[3, 5], [4, 6]],
        [10, 20],
        y=[[21, 37]],
        to=([[8, 10]], [[1, 1], [2, 2]], [1, 1]),
    ),
    known(
        linear.solve,
        [[2, 0], [0, 4]],
        [[2], [4]],
        y=[[1], [1]],
        to=([[-0.5, -0.5], [-0.25, -0.25]], [[0.5], [0.25]]),
    ),
    known(linear.log_det, [[0, 2], [3, 0]], y=log(6), to=([[0, 0.5], [1 / 3, 0]],)),
    known(linear.sign_det, [[0, 2], [3, 0]], y=-1),
    known(random.dropout, [1, 3], TRUE_FALSE, y=[2, 0], to=([2, 0], None), keep=0.5),
]

SPECIAL_VALUES = ARITHMETIC + ELEMENTWISE + REDUCTIONS + SHAPES + PRODUCTS
