"""Operations: what an elementwise primitive is in LLVM code, on scalars and vectors alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tarograd.compiler.llvm import functions
from tarograd.compiler.llvm import text as ir
from tarograd.compiler.llvm.words import I1, call, constant, fma, lanes, shaped, splat, type_of
from tarograd.compiler.program import Value
from tarograd.compiler.trace import Untraceable
from tarograd.graph import Primitive
from tarograd.ops import arithmetic, elementwise

Emit = Callable[[Any, Value, list[Any]], Any]
WHOLE = range(1, 9)  # powers that are products; of more factors too much would be rounded
COMPARISONS = {
    elementwise.greater: ">",
    elementwise.greater_equal: ">=",
    elementwise.less: "<",
    elementwise.less_equal: "<=",
    elementwise.equal: "==",
    elementwise.not_equal: "!=",
}


def _common(v: Value) -> np.dtype[Any]:
    """The dtype in which the operation is done."""
    given: list[Any] = [x.dtype if isinstance(x, Value) else x for x in v.inputs]
    if v.primitive in COMPARISONS:
        return np.result_type(*given)
    return v.dtype


def unified(b: Any, v: Value, arguments: list[Any]) -> list[Any]:
    """The arguments in one dtype and with the same number of lanes."""
    dtype = _common(v)
    width = max([lanes(x) for x in arguments if not isinstance(x, int | float)], default=1)
    unified = []
    for i, (x, given) in enumerate(zip(arguments, v.inputs, strict=True)):
        kind = np.dtype(bool) if v.is_op(elementwise.where) and i == 0 else dtype
        if not isinstance(given, Value):
            x = constant(_number(given, kind), type_of(kind))
        elif not (v.is_op(elementwise.cast) or v.is_op(elementwise.logical_not)):
            x = converted(b, x, given.dtype, kind)
        unified.append(splat(b, x, width))
    return unified


def _number(given: float, dtype: np.dtype[Any]) -> float:
    """A Python number as the operation sees it."""
    if dtype.kind == "b":
        return int(bool(given))
    if dtype.kind == "f":
        return given
    info = np.iinfo(dtype)
    if not info.min <= given <= info.max or given != int(given):
        raise Untraceable(f"the number {given} beside {dtype}")
    return int(given)


def converted(b: Any, x: Any, old: np.dtype[Any], new: np.dtype[Any]) -> Any:
    """An element in another dtype."""
    kind, signed, wider = shaped(type_of(new), x), old.kind == "i", new.itemsize > old.itemsize
    if old == new or (old.kind in "iu" and new.kind in "iu" and new.itemsize == old.itemsize):
        return x
    if new.kind == "b":
        unequal = b.fcmp_unordered if old.kind == "f" else b.icmp_unsigned
        return unequal("!=", x, constant(0, x.type))
    if old.kind == "b" and new.kind == "f":
        return b.select(x, constant(1.0, kind), constant(0.0, kind))
    if old.kind == "f" and new.kind != "f":
        raise Untraceable(f"a cast from {old} to {new}")
    if old.kind == "f":
        change = b.fpext if wider else b.fptrunc
    elif new.kind == "f":
        change = b.sitofp if signed else b.uitofp
    elif wider or old.kind == "b":
        change = b.sext if signed else b.zext
    else:
        change = b.trunc
    return change(x, kind)


def _arithmetic(of_floats: str, of_integers: str) -> Emit:
    def emit(b: Any, v: Value, x: list[Any]) -> Any:
        if v.dtype.kind == "f":
            return getattr(b, of_floats)(*x)
        if v.dtype == bool and of_integers in ("add", "mul"):
            return (b.or_ if of_integers == "add" else b.and_)(*x)
        if not of_integers or v.dtype == bool:
            raise Untraceable(f"{v.primitive.name if v.primitive else ''} of {v.dtype}")
        return getattr(b, of_integers)(*x)

    return emit


def _is_power_of_two(divisor: float) -> bool:
    """Whether to multiply by the reciprocal gives the same bits; not beyond all exponents."""
    return 2.0**-99 < abs(divisor) < 2.0**99 and abs(math.frexp(divisor)[0]) == 0.5


def _divide(b: Any, v: Value, x: list[Any]) -> Any:
    """A / b; a small whole number divided by a constant, such as a pixel by 255, without dividing.

    The quotient by the reciprocal, and one correction by its remainder: that is the rounded one
    (P. Markstein, "Computation of elementary functions on the IBM RISC System/6000", 1990).
    """
    a, divisor = v.inputs
    if v.dtype.kind == "f" and not isinstance(divisor, Value) and _is_power_of_two(divisor):
        return b.fmul(x[0], constant(1 / divisor, x[0].type))
    small = isinstance(a, Value) and a.is_op(elementwise.cast)
    small = small and a.operands[0].dtype in (np.uint8, np.int8, np.bool_)
    if not small or isinstance(divisor, Value) or not divisor or v.dtype != np.float32:
        return b.fdiv(*x)
    inverse = constant(np.float32(1) / np.float32(divisor), x[0].type)
    quotient = b.fmul(x[0], inverse)
    remainder = fma(b, b.fneg(quotient), x[1], x[0])
    return fma(b, remainder, inverse, quotient)


def _compare(sign: str) -> Emit:
    def emit(b: Any, v: Value, x: list[Any]) -> Any:
        dtype = _common(v)
        if dtype.kind == "f":
            return (b.fcmp_unordered if sign == "!=" else b.fcmp_ordered)(sign, *x)
        return (b.icmp_signed if dtype.kind == "i" else b.icmp_unsigned)(sign, *x)

    return emit


def _extreme(sign: str) -> Emit:
    """The larger or smaller; NaN wins, as in NumPy."""

    def emit(b: Any, v: Value, x: list[Any]) -> Any:
        first, second = x
        if v.dtype.kind != "f":
            signed = b.icmp_signed if v.dtype.kind == "i" else b.icmp_unsigned
            return b.select(signed(sign, first, second), first, second)
        if isinstance(second, ir.Constant) and not math.isnan(second.constant):
            return b.select(b.fcmp_unordered(sign, first, second), first, second)
        plain = b.select(b.fcmp_ordered(sign, first, second), first, second)
        return b.select(b.fcmp_unordered("uno", first, first), first, plain)

    return emit


def _float(function: Callable[[Any, Any], Any]) -> Emit:
    def emit(b: Any, v: Value, x: list[Any]) -> Any:
        if v.dtype not in (np.float32, np.float64):
            raise Untraceable(f"{v.primitive.name if v.primitive else ''} of {v.dtype}")
        return function(b, x[0])

    return emit


def _not(b: Any, v: Value, x: list[Any]) -> Any:
    truth = converted(b, x[0], v.operands[0].dtype, np.dtype(bool))
    return b.xor(truth, constant(1, shaped(I1, truth)))


def _power(b: Any, v: Value, x: list[Any]) -> Any:
    """A whole power by multiplying, a root and a reciprocal as NumPy does them; else by a call."""
    base, exponent, floats = x[0], v.inputs[1], v.dtype.kind == "f"
    if not isinstance(exponent, int | float) or exponent not in WHOLE:
        if not floats:
            raise Untraceable(f"power of {v.dtype}")
        if exponent == 0.5:
            return call(b, "sqrt", base)
        return b.fdiv(constant(1.0, base.type), base) if exponent == -1 else call(b, "pow", *x)
    multiply, y = b.fmul if floats else b.mul, None
    for digit in f"{int(exponent):b}":  # from the left: squared, and times x for a 1
        y = y and multiply(y, y)
        y = (multiply(y, base) if y else base) if digit == "1" else y
    return y


def _rounded(name: str) -> Emit:
    """Whole numbers are so already."""
    return lambda b, v, x: call(b, name, x[0]) if v.dtype.kind == "f" else x[0]


def _divided(result: int) -> Emit:
    """A // b or a % b, each as NumPy computes it: rounded down, so that the rest has b's sign."""

    def emit(b: Any, v: Value, x: list[Any]) -> Any:
        if v.dtype.kind == "b":
            raise Untraceable(f"{v.primitive.name if v.primitive else ''} of bools")
        return (_of_floats if v.dtype.kind == "f" else _of_integers)(b, v, *x)[result]

    return emit


def _of_floats(b: Any, v: Value, x: Any, y: Any) -> tuple[Any, Any]:
    zero, rest = constant(0.0, x.type), b.frem(x, y)
    below = b.xor(b.fcmp_ordered("<", y, zero), b.fcmp_ordered("<", rest, zero))
    off = b.and_(b.fcmp_ordered("!=", rest, zero), below)
    exact = b.fdiv(b.fsub(x, rest), y)
    quotient = call(b, "rint", b.select(off, b.fsub(exact, constant(1.0, x.type)), exact))
    divided = b.select(b.fcmp_ordered("==", y, zero), b.fdiv(x, y), quotient)
    return divided, b.select(off, b.fadd(rest, y), rest)


def _of_integers(b: Any, v: Value, x: Any, y: Any) -> tuple[Any, Any]:
    """Divided by 0 all is 0; the processor would stop there, and at the smallest one by -1."""
    zero, one, minus = (constant(n, x.type) for n in (0, 1, -1))
    nothing = b.icmp_unsigned("==", y, zero)
    if v.dtype.kind == "u":
        safe = b.select(nothing, one, y)
        return b.select(nothing, zero, b.udiv(x, safe)), b.select(nothing, zero, b.urem(x, safe))
    turned = b.icmp_signed("==", y, minus)
    safe = b.select(b.or_(nothing, turned), one, y)
    quotient, rest = b.sdiv(x, safe), b.srem(x, safe)
    below = b.xor(b.icmp_signed("<", safe, zero), b.icmp_signed("<", rest, zero))
    off = b.and_(b.icmp_signed("!=", rest, zero), below)
    quotient = b.select(turned, b.neg(x), b.select(off, b.sub(quotient, one), quotient))
    return b.select(nothing, zero, quotient), b.select(off, b.add(rest, y), rest)


EMITTERS: dict[Primitive, Emit] = {
    arithmetic.add: _arithmetic("fadd", "add"),
    arithmetic.subtract: _arithmetic("fsub", "sub"),
    arithmetic.multiply: _arithmetic("fmul", "mul"),
    arithmetic.divide: _divide,
    arithmetic.negative: _arithmetic("fneg", "neg"),
    arithmetic.power: _power,
    arithmetic.floor_divide: _divided(0),
    arithmetic.remainder: _divided(1),
    elementwise.floor: _rounded("floor"),
    elementwise.rint: _rounded("rint"),
    elementwise.exp: _float(functions.exp),
    elementwise.expm1: _float(functions.expm1),
    elementwise.log: _float(functions.log),
    elementwise.log1p: _float(functions.log1p),
    elementwise.tanh: _float(functions.tanh),
    elementwise.sigmoid: _float(functions.sigmoid),
    elementwise.sin: _float(functions.sin),
    elementwise.cos: _float(functions.cos),
    elementwise.sqrt: _float(lambda b, x: call(b, "sqrt", x)),
    elementwise.absolute: _float(lambda b, x: call(b, "fabs", x)),
    elementwise.sign: _float(functions.sign),
    elementwise.maximum: _extreme(">"),
    elementwise.minimum: _extreme("<"),
    elementwise.where: lambda b, v, x: b.select(*x),
    elementwise.cast: lambda b, v, x: converted(b, x[0], v.operands[0].dtype, v.dtype),
    elementwise.logical_not: _not,
    elementwise.logical_and: lambda b, v, x: b.and_(*x),
    elementwise.logical_or: lambda b, v, x: b.or_(*x),
    **{primitive: _compare(sign) for primitive, sign in COMPARISONS.items()},
}
# What takes many instructions, and so much time; a function, where it would stand in the code
# many times.
HEAVY = (
    elementwise.exp,
    elementwise.expm1,
    elementwise.log,
    elementwise.log1p,
    elementwise.tanh,
    elementwise.sigmoid,
    elementwise.sin,
    elementwise.cos,
    arithmetic.power,
    arithmetic.floor_divide,
    arithmetic.remainder,
)
