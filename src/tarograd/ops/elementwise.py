"""Functions of one element, comparisons, and the choices between two elements.

Where a function has a kink or a tie, the rule says which of the possible slopes it takes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tarograd.graph import Array, Primitive

# y = e^x: its own derivative.
exp = Primitive(name="exp", symbol="exp", forward=np.exp, vjp=(lambda g, y, x: g * y,))

# y = log x
log = Primitive(name="log", symbol="log", forward=np.log, vjp=(lambda g, y, x: g / x,))

# y = e^x - 1 and y = log(1 + x), exact near 0 too, where the difference or sum would be rounded.
expm1 = Primitive(
    name="expm1", symbol="exp-1", forward=np.expm1, vjp=(lambda g, y, x: g * np.exp(x),)
)
log1p = Primitive(
    name="log1p", symbol="log(1+x)", forward=np.log1p, vjp=(lambda g, y, x: g / (1 + x),)
)

# y = √x: infinite slope at 0.
sqrt = Primitive(name="sqrt", symbol="√", forward=np.sqrt, vjp=(lambda g, y, x: g / (2 * y),))

# y = sin x
sin = Primitive(name="sin", symbol="sin", forward=np.sin, vjp=(lambda g, y, x: g * np.cos(x),))

# y = cos x
cos = Primitive(name="cos", symbol="cos", forward=np.cos, vjp=(lambda g, y, x: -g * np.sin(x),))

# y = tanh x: 1 - y², from the output alone, so that nothing overflows.
tanh = Primitive(
    name="tanh", symbol="tanh", forward=np.tanh, vjp=(lambda g, y, x: g * (1 - y * y),)
)

# y = arctan x, and the angle of the point (x, y): the slope is taken as 0 at the origin.
arctan = Primitive(
    name="arctan", symbol="arctan", forward=np.arctan, vjp=(lambda g, y, x: g / (1 + x * x),)
)


def _per_radius(part: Any, y: Any, x: Any) -> Any:
    """The part over the squared radius, which alone might overflow or vanish."""
    radius = hypot(y, x)
    radius = np.where(radius == 0, 1, radius)
    return part / radius / radius


arctan2 = Primitive(
    name="arctan2",
    symbol="arctan2",
    forward=np.arctan2,
    vjp=(
        lambda g, angle, y, x: g * _per_radius(x, y, x),
        lambda g, angle, y, x: -g * _per_radius(y, y, x),
    ),
    elementwise=True,
)

# y = arcsin x and y = arccos x: (1 - x)(1 + x) is 1 - x² without its loss of digits near ±1.
arcsin = Primitive(
    name="arcsin",
    symbol="arcsin",
    forward=np.arcsin,
    vjp=(lambda g, y, x: g / np.sqrt((1 - x) * (1 + x)),),
)
arccos = Primitive(
    name="arccos",
    symbol="arccos",
    forward=np.arccos,
    vjp=(lambda g, y, x: -g / np.sqrt((1 - x) * (1 + x)),),
)

# y = arsinh x, arcosh x and artanh x
arcsinh = Primitive(
    name="arcsinh",
    symbol="arsinh",
    forward=np.arcsinh,
    vjp=(lambda g, y, x: g / hypot(x, 1),),
)
arccosh = Primitive(
    name="arccosh",
    symbol="arcosh",
    forward=np.arccosh,
    vjp=(lambda g, y, x: g / (np.sqrt(x - 1) * np.sqrt(x + 1)),),
)
arctanh = Primitive(
    name="arctanh",
    symbol="artanh",
    forward=np.arctanh,
    vjp=(lambda g, y, x: g / ((1 - x) * (1 + x)),),
)

# y = √(a² + b²), which does not overflow: each gets its share a / y; at 0 the slope is taken as 0.
hypot: Primitive = Primitive(
    name="hypot",
    symbol="hypot",
    forward=np.hypot,
    vjp=(
        lambda g, y, a, b: g * (a / np.where(y == 0, 1, y)),
        lambda g, y, a, b: g * (b / np.where(y == 0, 1, y)),
    ),
    elementwise=True,
)

# y = sign x, and x rounded down or to the nearest (to an even one in the middle): constant between
# their jumps.
sign = Primitive(name="sign", symbol="sign", forward=np.sign)
floor = Primitive(name="floor", symbol="⌊x⌋", forward=np.floor)
rint = Primitive(name="rint", symbol="round", forward=np.rint)

# y = |x|: slope 0 is taken at 0.
absolute = Primitive(
    name="abs", symbol="|x|", forward=np.absolute, vjp=(lambda g, y, x: g * np.sign(x),)
)


def _larger(g: Any, a: Any, b: Any) -> Any:
    return np.where(a > b, g, np.where(a == b, g / 2, 0))


# y = max(a, b): the gradient goes to the larger; equal ones share it.
maximum = Primitive(
    name="maximum",
    symbol="max",
    forward=np.maximum,
    vjp=(
        lambda g, y, a, b: _larger(g, a, b),
        lambda g, y, a, b: _larger(g, b, a),
    ),
    elementwise=True,
)

# y = min(a, b): the gradient goes to the smaller; equal ones share it.
minimum = Primitive(
    name="minimum",
    symbol="min",
    forward=np.minimum,
    vjp=(
        lambda g, y, a, b: _larger(g, b, a),
        lambda g, y, a, b: _larger(g, a, b),
    ),
    elementwise=True,
)

# y = a where the condition holds, else b: the gradient takes the same way back.
where = Primitive(
    name="where",
    symbol="where",
    forward=np.where,
    vjp=(
        None,
        lambda g, y, condition, a, b: np.where(condition, g, 0),
        lambda g, y, condition, a, b: np.where(condition, 0, g),
    ),
    elementwise=True,
)


def _clip(x: Array, *, low: float, high: float) -> Any:
    return np.clip(x, low, high)


# y = x, but at least `low` and at most `high`: outside of them nothing flows back.
clip = Primitive(
    name="clip",
    symbol="clip",
    forward=_clip,
    vjp=(lambda g, y, x, low, high: np.where((low <= x) * (x <= high), g, 0),),
)


def _cast(x: Array, *, dtype: DTypeLike) -> Any:
    return x.astype(dtype)


# y = x in another dtype: the gradient comes back in the dtype of x.
cast = Primitive(
    name="cast",
    symbol="cast",
    forward=_cast,
    vjp=(lambda g, y, x, dtype: g.astype(x.dtype),),
)

# y = x, and nothing flows back.
stop_gradient = Primitive(name="stop_gradient", symbol="stop", forward=np.positive)

# Comparisons give True and False: data, nothing to differentiate.
greater = Primitive(name="greater", symbol=">", forward=np.greater, elementwise=True)
greater_equal = Primitive(
    name="greater_equal", symbol="≥", forward=np.greater_equal, elementwise=True
)
less = Primitive(name="less", symbol="<", forward=np.less, elementwise=True)
less_equal = Primitive(name="less_equal", symbol="≤", forward=np.less_equal, elementwise=True)
equal = Primitive(name="equal", symbol="=", forward=np.equal, elementwise=True)
not_equal = Primitive(name="not_equal", symbol="≠", forward=np.not_equal, elementwise=True)
logical_and = Primitive(name="logical_and", symbol="and", forward=np.logical_and, elementwise=True)
logical_or = Primitive(name="logical_or", symbol="or", forward=np.logical_or, elementwise=True)
logical_not = Primitive(name="logical_not", symbol="not", forward=np.logical_not)


def _relu(x: Array) -> Any:
    return np.where(x <= 0, 0, x)


# y = x where x is positive, else 0. At 0 nothing flows back, as in the textbook.
relu = Primitive(
    name="relu",
    symbol="relu",
    forward=lambda x: np.maximum(x, 0),
    vjp=(lambda g, y, x: np.where(x <= 0, 0, g),),
    definition=_relu,
)


def _sigmoid(x: Array) -> Any:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, small) / (1 + small)


# y = 1 / (1 + e^-x), computed so that e never overflows: the derivative is y (1 - y).
sigmoid = Primitive(
    name="sigmoid",
    symbol="σ",
    forward=_sigmoid,
    vjp=(lambda g, y, x: g * y * (1 - y),),
    definition=lambda x: 1 / (1 + np.exp(-x)),
)
