"""Rewrite: the same function in fewer nodes, bit for bit.

A rule looks at one value whose inputs are rewritten already and gives a simpler one, or None.
Nothing is reassociated: every rule keeps every bit of the result, except that a NaN stays a NaN.

Of the trace of two apples and their derivatives the products by 1 go, and the derivative by the
tax is what the apples cost, which has been computed already:

    >>> import tarograd as tg
    >>> from tarograd.compiler.trace import trace
    >>> def shop(apple, count, tax):
    ...     payment = apple * count * tax
    ...     return [payment, *tg.grad(payment, [apple, count, tax])]
    >>> program = trace(shop, {"apple": 100.0, "count": 2.0, "tax": 1.1}, name="shop")
    >>> print(rewrite(program))
    v0 = input apple() float64
    v1 = input count() float64
    v2 = multiply(v0, v1) () float64
    v3 = input tax() float64
    v4 = multiply(v2, v3) () float64
    v5 = multiply(v3, v1) () float64
    v6 = multiply(v3, v0) () float64
    return v4, v5, v6, v2
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from tarograd.compiler.program import Program, Value, fed, rebuilt, uniform
from tarograd.compiler.trace import DRAWS
from tarograd.ops import arithmetic, elementwise, shape

Rule = Callable[[Value], Value | None]

FOLDED = 2**20  # elements of a constant that is worth computing in advance


def fold(v: Value) -> Value | None:
    """2 * 3 → 6: what depends on constants only is one."""
    if v.primitive in DRAWS or not all(x.array is not None for x in v.operands):
        return None
    given = [x.array if isinstance(x, Value) else x for x in v.inputs]
    assert v.primitive is not None
    size = int(np.prod(v.shape))
    if size > FOLDED and not v.is_op(shape.repeat):
        return None
    with np.errstate(all="ignore"):
        array = np.asarray(v.primitive.forward(*given, **v.attributes))
    array.flags.writeable = False
    return Value(v.shape, v.dtype, name=v.name, array=array, group=v.group)


def _uniform(x: Any) -> int | float | None:
    """The number that all elements of a constant are."""
    if not isinstance(x, Value):
        return x if isinstance(x, int | float) else None
    if x.array is None or not x.array.size or x.dtype.kind == "b":
        return None
    number: int | float | None = uniform(x.array)
    return number


def number(v: Value) -> Value | None:
    """X * [2, 2, 2] → x * 2: a constant of equal numbers beside an array of the same dtype."""
    if not v.primitive or not v.primitive.elementwise or v.is_op(elementwise.where):
        return None
    kept = [x for x in v.operands if x.array is None and x.shape == v.shape]
    inputs = tuple(
        _uniform(x)
        if isinstance(x, Value) and kept and _uniform(x) is not None and x.dtype == kept[0].dtype
        else x
        for x in v.inputs
    )
    return replace(v, inputs=inputs) if inputs != v.inputs else None


def unit(v: Value) -> Value | None:
    """X * 1 → x, x / 1 → x, x ** 1 → x."""
    if v.primitive not in (arithmetic.multiply, arithmetic.divide, arithmetic.power):
        return None
    a, b = v.inputs
    if isinstance(a, Value) and _uniform(b) == 1:
        return a if (a.shape, a.dtype) == (v.shape, v.dtype) else None
    if v.is_op(arithmetic.multiply) and isinstance(b, Value) and _uniform(a) == 1:
        return b if (b.shape, b.dtype) == (v.shape, v.dtype) else None
    return None


def square(v: Value) -> Value | None:
    """X ** 2 → x * x, which is how NumPy computes it."""
    if v.is_op(arithmetic.power) and v.dtype.kind == "f":
        x, exponent = v.inputs
        if isinstance(x, Value) and _uniform(exponent) == 2 and x.shape == v.shape:
            return replace(v, primitive=arithmetic.multiply, inputs=(x, x))
    return None


def truth(v: Value) -> Value | None:
    """A cast of True and False, compared with 0 → whether it is False."""
    x, zero = v.inputs if v.is_op(elementwise.equal) else (None, None)
    if isinstance(x, Value) and x.is_op(elementwise.cast) and _uniform(zero) == 0:
        (condition,) = x.operands
        if condition.dtype == bool and condition.shape == v.shape:
            return replace(v, primitive=elementwise.logical_not, inputs=(condition,))
    return None


def twice_negative(v: Value) -> Value | None:
    """-(-x) → x."""
    (x,) = v.inputs if v.is_op(arithmetic.negative) else (None,)
    return x.inputs[0] if isinstance(x, Value) and x.is_op(arithmetic.negative) else None


def unchanged(v: Value) -> Value | None:
    """What moves or casts nothing: reshape, repeat, sum_to to the same shape, the same dtype."""
    movers = (shape.reshape, shape.repeat, shape.sum_to, elementwise.cast)
    if v.is_op(elementwise.stop_gradient):
        return v.operands[0]
    if v.is_op(shape.transpose):
        same = tuple(v.attributes["axes"]) == tuple(range(len(v.shape)))
        return v.operands[0] if same else None
    if v.primitive not in movers:
        return None
    x = v.operands[0]
    return x if (x.shape, x.dtype) == (v.shape, v.dtype) else None


def merge(v: Value) -> Value | None:
    """Two reshapes, repeats or transposes in a row → one."""
    if v.primitive not in (shape.reshape, shape.repeat, shape.transpose):
        return None
    x = v.operands[0]
    if x.primitive is not v.primitive:
        return None
    if v.is_op(shape.transpose):
        first = x.attributes["axes"]
        axes = tuple(first[i] for i in v.attributes["axes"])
        return replace(v, inputs=x.inputs, attributes={"axes": axes})
    return replace(v, inputs=x.inputs)


RULES: tuple[Rule, ...] = (
    fold,
    unchanged,
    merge,
    twice_negative,
    truth,
    number,
    unit,
    square,
)


def _key(v: Value) -> tuple[Any, ...]:
    inputs = tuple(id(x) if isinstance(x, Value) else (type(x).__name__, repr(x)) for x in v.inputs)
    attributes = tuple((k, repr(a)) for k, a in sorted(v.attributes.items()))
    return (v.primitive, inputs, attributes, v.shape, v.dtype)


def rewrite(program: Program) -> Program:
    """Apply the rules until none fits, compute equal values once, leave out what nobody uses.

    Example:
        >>> from tarograd.compiler.trace import trace
        >>> twice = lambda apple: -(-(apple * (2 - 1))) + apple.reshape(1).reshape(())
        >>> print(rewrite(trace(twice, {"apple": 100.0})))
        v0 = input apple() float64
        v1 = add(v0, v0) () float64
        return v1
    """
    shared: dict[tuple[Any, ...], Value] = {}
    constants: dict[tuple[Any, ...], Value] = {}
    names: dict[int, str] = {}

    def simplified(value: Value, inputs: tuple[Any, ...]) -> Value:
        v = fed(value, tuple([_shared_constant(x, constants) for x in inputs]))
        while v.primitive is not None:
            new = next((n for rule in RULES if (n := rule(v)) is not None), None)
            if new is None:
                break
            v = new
        v = v if v.primitive is None else shared.setdefault(_key(v), v)
        if value.name is not None and v.primitive is not None:
            names.setdefault(id(v), value.name)
        return v

    def renamed(value: Value, inputs: tuple[Any, ...]) -> Value:
        v, name = fed(value, inputs), names.get(id(value), value.name)
        return v if v.name == name else replace(v, name=name)

    return rebuilt(rebuilt(program, simplified), renamed)


def _shared_constant(x: Any, constants: dict[tuple[Any, ...], Value]) -> Any:
    """Equal small constants are one object."""
    if not isinstance(x, Value) or x.array is None or x.array.size > 16:
        return x
    return constants.setdefault((x.shape, x.dtype, x.array.tobytes()), x)
