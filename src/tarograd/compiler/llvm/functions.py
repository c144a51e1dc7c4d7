"""exp, expm1, log, log1p, tanh, sigmoid, sin and cos as vectorized polynomials in both floats.

The range is reduced as in W. Cody, W. Waite, "Software manual for the elementary functions", 1980;
the series are Taylor's, long enough for the last bit. Each works on scalars and vectors alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tarograd.compiler.llvm.text import DOUBLE, integer
from tarograd.compiler.llvm.words import (
    I32,
    I64,
    arriving,
    call,
    constant,
    element,
    fma,
    lanes,
    shaped,
)

LN2 = {
    32: (0.693359375, -2.12194440054690583e-4),
    64: (6.93147180369123816490e-01, 1.90821492927058770002e-10),
}
LOG2E = 1.4426950408889634
HALF_PI = (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33)  # in parts
LARGEST_ANGLE = 1e5  # beyond it, more parts would be needed


def _bits(x: Any) -> int:
    return int(element(x).width)


def _integer(x: Any) -> Any:
    return shaped(I32 if _bits(x) == 32 else I64, x)


def _mantissa(x: Any) -> int:
    return 23 if _bits(x) == 32 else 52


def _polynomial(b: Any, x: Any, coefficients: Sequence[float]) -> Any:
    """c₀ + c₁x + c₂x² + …, from the highest power down."""
    y = constant(coefficients[-1], x.type)
    for c in reversed(coefficients[:-1]):
        y = fma(b, y, x, constant(c, x.type))
    return y


def _power_of_two(b: Any, n: Any, like: Any) -> Any:
    """2^n for whole n in the range of the exponent."""
    bias = 127 if _bits(like) == 32 else 1023
    kind = _integer(like)
    biased = b.add(n, constant(bias, kind))
    return b.bitcast(b.shl(biased, constant(_mantissa(like), kind)), like.type)


def _halved(b: Any, n: Any) -> tuple[Any, Any]:
    """N as a sum of two, so that a power of two beyond the exponents is reached in two steps."""
    half = b.ashr(n, constant(1, n.type))
    return half, b.sub(n, half)


def _reduced(b: Any, x: Any) -> tuple[Any, Any, Any]:
    """R with x = n log 2 + r, |r| ≤ log 2 / 2; what r lost by rounding; the integer n."""
    n = call(b, "rint", b.fmul(x, constant(LOG2E, x.type)))
    high, low = LN2[_bits(x)]
    first, low = fma(b, n, constant(-high, x.type), x), constant(-low, x.type)
    r = fma(b, n, low, first)
    lost = fma(b, n, low, b.fsub(first, r))
    whole = b.fptosi(n, _integer(x))
    return r, lost, b.emit(whole.type, f"freeze {whole.typed}")  # any number, if x is NaN


def _clamped(b: Any, x: Any, low: float, high: float) -> Any:
    """X between two bounds; NaN stays NaN."""
    x = b.select(b.fcmp_ordered("<", x, constant(low, x.type)), constant(low, x.type), x)
    return b.select(b.fcmp_ordered(">", x, constant(high, x.type)), constant(high, x.type), x)


def exp(b: Any, x: Any) -> Any:
    """e^x: 2^n e^r. The scaling is done in two steps, so that 2^n itself cannot overflow."""
    single = _bits(x) == 32
    x = _clamped(b, x, *((-104.0, 89.0) if single else (-746.0, 710.0)))
    r, _, n = _reduced(b, x)
    p = _polynomial(b, r, [1 / math.factorial(k) for k in range(8 if single else 14)])
    half, rest = _halved(b, n)
    return b.fmul(b.fmul(p, _power_of_two(b, half, x)), _power_of_two(b, rest, x))


def _small_expm1(b: Any, x: Any) -> tuple[Any, Any]:
    """E^r - 1, exact near 0, and n, for x = n log 2 + r."""
    r, lost, n = _reduced(b, x)
    series = [1 / math.factorial(k + 2) for k in range(7 if _bits(x) == 32 else 13)]
    return b.fadd(r, fma(b, b.fmul(r, r), _polynomial(b, r, series), lost)), n


def expm1(b: Any, x: Any) -> Any:
    """2^n (e^r - 1) + (2^n - 1), where nothing is lost for n = 0; the scaling is in two steps."""
    x = _clamped(b, x, *((-104.0, 89.0) if _bits(x) == 32 else (-746.0, 710.0)))
    small, n = _small_expm1(b, x)
    half, rest = _halved(b, n)
    scale, one = _power_of_two(b, half, x), _power_of_two(b, b.neg(rest), x)
    return b.fmul(fma(b, small, scale, b.fsub(scale, one)), _power_of_two(b, rest, x))


def _quotient(b: Any, numerator: Any, d: Any, lost: Any) -> Any:
    """The numerator over d + lost, where the addition that made d has lost something: rounded once.

    Its remainder, times the reciprocal that is there anyway, corrects it.
    """
    inverse = b.fdiv(constant(1.0, d.type), d)
    q = b.fmul(numerator, inverse)
    minus = b.fneg(q)
    return fma(b, fma(b, minus, lost, fma(b, minus, d, numerator)), inverse, q)


def tanh(b: Any, x: Any) -> Any:
    """T / (t + 2) with t = e^(2|x|) - 1, which stays exact near 0; 1 - 2 / (t + 2) beyond 0.55."""
    single = _bits(x) == 32
    size, most = call(b, "fabs", x), constant(10.0 if single else 20.0, x.type)
    size = b.select(b.fcmp_ordered(">", size, most), most, size)
    small, n = _small_expm1(b, b.fadd(size, size))
    scale = _power_of_two(b, n, x)
    t = fma(b, small, scale, b.fsub(scale, constant(1.0, x.type)))
    two, large = constant(2.0, x.type), b.fcmp_ordered(">", size, constant(0.55, x.type))
    d = b.fadd(t, two)
    share = _quotient(b, b.select(large, two, t), d, b.fsub(t, b.fsub(d, two)))
    y = b.select(large, b.fsub(constant(1.0, x.type), share), share)
    return call(b, "copysign", y, x)


def sigmoid(b: Any, x: Any) -> Any:
    """1 / (1 + e) above 0 and e / (1 + e) below, with e = e^-|x| = 2^n p."""
    single, one, zero = _bits(x) == 32, constant(1.0, x.type), constant(0.0, x.type)
    size = _clamped(b, call(b, "fabs", x), 0.0, 104.0 if single else 746.0)
    small, n = _small_expm1(b, b.fneg(size))
    p = b.fadd(one, small)
    first, second = (_power_of_two(b, part, x) for part in _halved(b, n))
    e = b.fmul(b.fmul(p, first), second)
    d = b.fadd(one, e)
    below = b.fcmp_ordered("<", x, zero)
    q = _quotient(b, b.select(below, p, one), d, b.fsub(e, b.fsub(d, one)))
    return b.select(below, b.fmul(b.fmul(q, first), second), q)


def log(b: Any, x: Any) -> Any:
    """The logarithm: k log 2 and the series in f / (2 + f), with x = 2^k (1 + f), |f| < ½."""
    single, kind, shift = _bits(x) == 32, _integer(x), _mantissa(x)
    zero, tiny = constant(0.0, x.type), 2.0**-126 if single else 2.0**-1022
    subnormal = b.fcmp_ordered("<", x, constant(tiny, x.type))
    scaled = b.select(subnormal, b.fmul(x, constant(2.0**shift * 4, x.type)), x)
    bits = b.bitcast(scaled, kind)
    root = 0x3F3504F3 if single else 0x3FE6A09E667F3BCD  # √½
    offset = b.sub(bits, constant(root, kind))
    k = b.ashr(offset, constant(shift, kind))
    one_f = b.bitcast(b.sub(bits, b.shl(k, constant(shift, kind))), x.type)
    k = b.sub(k, b.select(subnormal, constant(shift + 2, kind), constant(0, kind)))
    f, n = b.fsub(one_f, constant(1.0, x.type)), b.sitofp(k, x.type)
    s = b.fdiv(f, b.fadd(f, constant(2.0, x.type)))
    z = b.fmul(s, s)
    terms = [2 / (2 * k + 3) for k in range(5 if single else 11)]
    rest = b.fmul(z, _polynomial(b, z, terms))
    half = b.fmul(constant(0.5, x.type), b.fmul(f, f))
    high, low = LN2[_bits(x)]
    inner = fma(b, s, b.fadd(half, rest), b.fmul(n, constant(low, x.type)))
    y = fma(b, n, constant(high, x.type), b.fsub(f, b.fsub(half, inner)))
    infinite = constant(math.inf, x.type)
    y = b.select(b.fcmp_ordered("==", x, infinite), infinite, y)
    y = b.select(b.fcmp_ordered("==", x, zero), constant(-math.inf, x.type), y)
    bad = b.fcmp_unordered("<", x, zero)
    return b.select(bad, constant(math.nan, x.type), y)


def log1p(b: Any, x: Any) -> Any:
    """Log u + (x - (u - 1)) / u with u = 1 + x: to first order what the sum has lost."""
    one = constant(1.0, x.type)
    u = b.fadd(x, one)
    share = b.fdiv(b.fsub(x, b.fsub(u, one)), u)
    known = b.fcmp_ordered("ord", share, share)  # not where u is 0 or infinite
    return b.fadd(log(b, u), b.select(known, share, constant(0.0, x.type)))


def sin(b: Any, x: Any) -> Any:
    """The sine."""
    return _circular(b, x, 0)


def cos(b: Any, x: Any) -> Any:
    """The sine a quarter of a turn later."""
    return _circular(b, x, 1)


def _circular(b: Any, x: Any, quarters: int) -> Any:
    """The sine after some quarters of a turn; of a huge angle by a call for each element."""
    huge = b.fcmp_ordered(">", call(b, "fabs", x), constant(LARGEST_ANGLE, x.type))
    n = lanes(x)
    some = b.icmp_unsigned("!=", b.bitcast(huge, integer(n)), constant(0, integer(n)))
    singly, together, done = (b.append_basic_block(name) for name in ("singly", "together", "done"))
    b.cbranch(some, singly, together)
    b.position_at_end(singly)
    called = call(b, "cos" if quarters else "sin", x), b.block
    b.branch(done)
    b.position_at_end(together)
    computed = _turned(b, x, quarters), b.block
    b.branch(done)
    b.position_at_end(done)
    return arriving(b, [called, computed])


def _turned(b: Any, x: Any, quarters: int) -> Any:
    """The sine of a float32 in float64, which makes it simple to be right.

    What is left of the angle after whole quarters, n π/2, is at most π/4.
    """
    wide = b.fpext(x, shaped(DOUBLE, x)) if _bits(x) == 32 else x
    n = call(b, "rint", b.fmul(wide, constant(2 / math.pi, wide.type)))
    r = wide
    for part in HALF_PI:
        r = fma(b, n, constant(-part, wide.type), r)
    safe = b.select(b.fcmp_ordered("ord", n, n), n, constant(0.0, n.type))
    number = b.add(b.fptosi(safe, shaped(I64, x)), constant(quarters, shaped(I64, x)))
    z, terms = b.fmul(r, r), 6 if _bits(x) == 32 else 9
    series = [[(-1) ** k / math.factorial(2 * k + odd) for k in range(terms)] for odd in (1, 0)]
    sine, cosine = b.fmul(r, _polynomial(b, z, series[0])), _polynomial(b, z, series[1])
    one, two = (b.and_(number, constant(bit, number.type)) for bit in (1, 2))
    zero = constant(0, number.type)
    y = b.select(b.icmp_unsigned("!=", one, zero), cosine, sine)
    y = b.select(b.icmp_unsigned("!=", two, zero), b.fneg(y), y)
    return b.fptrunc(y, x.type) if _bits(x) == 32 else y


def sign(b: Any, x: Any) -> Any:
    """1 above 0, -1 below; 0 and NaN stay as they are."""
    zero = constant(0.0, x.type)
    below = b.select(b.fcmp_ordered("<", x, zero), constant(-1.0, x.type), x)
    return b.select(b.fcmp_ordered(">", x, zero), constant(1.0, x.type), below)
