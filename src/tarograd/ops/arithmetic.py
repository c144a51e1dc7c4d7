"""The nodes of arithmetic: + - × ÷, powers, and division with remainder.

The two inputs of a node have one shape here; unequal shapes got a Repeat node before.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from tarograd.graph import Primitive

# y = a + b: the gradient goes to both as it is.
add = Primitive(
    name="add",
    symbol="+",
    forward=np.add,
    vjp=(
        lambda g, y, a, b: g,
        lambda g, y, a, b: g,
    ),
    elementwise=True,
)

# y = a - b: to a as it is, to b with the other sign.
subtract = Primitive(
    name="subtract",
    symbol="−",
    forward=np.subtract,
    vjp=(
        lambda g, y, a, b: g,
        lambda g, y, a, b: -g,
    ),
    elementwise=True,
)

# y = a * b: the gradient goes to each, times the other.
multiply = Primitive(
    name="multiply",
    symbol="×",
    forward=np.multiply,
    vjp=(
        lambda g, y, a, b: g * b,
        lambda g, y, a, b: g * a,
    ),
    elementwise=True,
)

# y = a / b: for a = 1 this is the book's node 1/x, with -y² = -y/b.
divide = Primitive(
    name="divide",
    symbol="÷",
    forward=np.divide,
    vjp=(
        lambda g, y, a, b: g / b,
        lambda g, y, a, b: -g * y / b,
    ),
    elementwise=True,
)

# y = -x: the gradient changes its sign too.
negative = Primitive(
    name="negative",
    symbol="neg",
    forward=np.negative,
    vjp=(lambda g, y, x: -g,),
)


def _power_rule_a(g: Any, y: Any, a: Any, b: Any) -> Any:
    if isinstance(b, int | float):
        return g * (b * a ** (b - 1)) if b else g * 0
    return g * (b * a ** np.where((a == 0) & (b == 0), 0, b - 1))


def _power_rule_b(g: Any, y: Any, a: Any, b: Any) -> Any:
    if isinstance(a, int | float):
        return g * (y * (math.log(a) if a > 0 else 0.0))
    return g * (y * np.log(np.where(a > 0, a, 1)))


# y = a ** b: b·a^(b-1) for the base, which is 0 for b = 0 even at a = 0;
# y·log a for the exponent, taken as 0 where a ≤ 0 has no logarithm.
power = Primitive(
    name="power",
    symbol="^",
    forward=operator.pow,
    vjp=(_power_rule_a, _power_rule_b),
    elementwise=True,
)

# y = ⌊a / b⌋: constant between its jumps.
floor_divide = Primitive(
    name="floor_divide", symbol="//", forward=np.floor_divide, elementwise=True
)

# y = a - b ⌊a / b⌋: to a as it is; to b as many times as it was taken away.
remainder = Primitive(
    name="remainder",
    symbol="mod",
    forward=np.remainder,
    vjp=(
        lambda g, y, a, b: g,
        lambda g, y, a, b: -g * floor_divide(a, b),
    ),
    elementwise=True,
)
