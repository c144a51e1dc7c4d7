"""NumPy's functions, spelled with the primitives.

Each works on arrays and on Tensors, with NumPy's own signature; an argument that NumPy has and
that is missing here is refused by Python itself. `UFUNCS` and `FUNCTIONS` at the end say which
function answers for which of NumPy's when one of those is given a Tensor.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tarograd.numpy_along import (
    argsort,
    cumprod,
    cumsum,
    diff,
    gradient,
    median,
    percentile,
    ptp,
    quantile,
    sort,
    trapezoid,
)
from tarograd.numpy_elementwise import (
    allclose,
    array_equal,
    ceil,
    clip,
    doubles,
    fmod,
    heaviside,
    ignoring_nan,
    isclose,
    logaddexp,
    nan_to_num,
    of_bools,
    round,
    select,
    trunc,
    where,
)
from tarograd.numpy_linalg import det, inv, matrix_power, multi_dot, slogdet, solve
from tarograd.numpy_products import (
    convolve,
    correlate,
    cross,
    dot,
    einsum,
    inner,
    kron,
    matmul,
    outer,
    tensordot,
    vdot,
)
from tarograd.numpy_reductions import (
    argmax,
    argmin,
    average,
    max,
    mean,
    min,
    nanmean,
    nansum,
    norm,
    prod,
    std,
    sum,
    trace,
    var,
)
from tarograd.numpy_shapes import (
    append,
    array_split,
    at_least,
    axes_of,
    block,
    broadcast_to,
    column_stack,
    concatenate,
    diag,
    diagonal,
    dstack,
    expand_dims,
    flip,
    hstack,
    meshgrid,
    moveaxis,
    pad,
    ravel,
    repeat,
    reshape,
    roll,
    rollaxis,
    rot90,
    split,
    squeeze,
    stack,
    swapaxes,
    take,
    take_along_axis,
    tile,
    transpose,
    tril,
    triu,
    vstack,
)
from tarograd.ops import arithmetic, elementwise, reduction


def _like(fill: Callable[..., Any]) -> Callable[..., Any]:
    """NumPy's own function, of an array of the Tensor's shape and dtype: a constant."""
    return lambda x, *args, **kwargs: fill(np.empty(x.shape, x.dtype), *args, **kwargs)


# What answers for a ufunc; those of two inputs first.
UFUNCS: dict[Any, Callable[..., Any]] = {
    np.add: arithmetic.add,
    np.subtract: arithmetic.subtract,
    np.multiply: arithmetic.multiply,
    np.divide: arithmetic.divide,
    np.power: arithmetic.power,
    np.float_power: lambda a, b: arithmetic.power(doubles(a), doubles(b)),
    np.maximum: elementwise.maximum,
    np.minimum: elementwise.minimum,
    np.logaddexp: logaddexp,
    np.matmul: matmul,
    np.greater: elementwise.greater,
    np.greater_equal: elementwise.greater_equal,
    np.less: elementwise.less,
    np.less_equal: elementwise.less_equal,
    np.equal: elementwise.equal,
    np.not_equal: elementwise.not_equal,
    np.remainder: arithmetic.remainder,
    np.floor_divide: arithmetic.floor_divide,
    np.divmod: lambda a, b: (arithmetic.floor_divide(a, b), arithmetic.remainder(a, b)),
    np.fmod: fmod,
    np.fmax: ignoring_nan(elementwise.maximum),
    np.fmin: ignoring_nan(elementwise.minimum),
    np.hypot: elementwise.hypot,
    np.arctan2: elementwise.arctan2,
    np.heaviside: heaviside,
    np.logaddexp2: lambda a, b: logaddexp(a * math.log(2), b * math.log(2)) / math.log(2),
    np.negative: arithmetic.negative,
    np.positive: lambda x: x,
    np.square: lambda x: x * x,
    np.reciprocal: lambda x: 1 / x,
    np.exp: elementwise.exp,
    np.exp2: lambda x: elementwise.exp(x * math.log(2)),
    np.expm1: elementwise.expm1,
    np.log: elementwise.log,
    np.log1p: elementwise.log1p,
    np.log2: lambda x: elementwise.log(x) / math.log(2),
    np.log10: lambda x: elementwise.log(x) / math.log(10),
    np.sqrt: elementwise.sqrt,
    np.sin: elementwise.sin,
    np.cos: elementwise.cos,
    np.tan: lambda x: elementwise.sin(x) / elementwise.cos(x),
    np.arcsin: elementwise.arcsin,
    np.arccos: elementwise.arccos,
    np.arctan: elementwise.arctan,
    np.arcsinh: elementwise.arcsinh,
    np.arccosh: elementwise.arccosh,
    np.arctanh: elementwise.arctanh,
    np.tanh: elementwise.tanh,
    np.cosh: lambda x: (elementwise.exp(x) + elementwise.exp(-x)) / 2,
    np.sinh: lambda x: (elementwise.expm1(x) - elementwise.expm1(-x)) / 2,
    np.absolute: elementwise.absolute,
    np.fabs: elementwise.absolute,
    np.sign: elementwise.sign,
    np.floor: elementwise.floor,
    np.ceil: ceil,
    np.trunc: trunc,
    np.rint: elementwise.rint,
    np.deg2rad: lambda x: x * (math.pi / 180),
    np.radians: lambda x: x * (math.pi / 180),
    np.rad2deg: lambda x: x * (180 / math.pi),
    np.degrees: lambda x: x * (180 / math.pi),
    np.conjugate: lambda x: x,
    np.logical_and: elementwise.logical_and,
    np.logical_or: elementwise.logical_or,
    np.logical_not: elementwise.logical_not,
    np.logical_xor: lambda a, b: (a != 0) != (b != 0),
    np.bitwise_and: of_bools("np.bitwise_and", elementwise.logical_and),
    np.bitwise_or: of_bools("np.bitwise_or", elementwise.logical_or),
    np.bitwise_xor: of_bools("np.bitwise_xor", elementwise.not_equal),
    np.invert: of_bools("np.invert", elementwise.logical_not),
    np.isnan: lambda x: elementwise.not_equal(x, x),
    np.isinf: lambda x: elementwise.absolute(x) == np.inf,
    np.isfinite: lambda x: elementwise.absolute(x) < np.inf,
}

# What answers for the method `reduce` of a ufunc, whose axis is the first one if none is named.
REDUCTIONS: dict[Any, Callable[..., Any]] = {
    np.add: sum,
    np.multiply: prod,
    np.maximum: max,
    np.minimum: min,
    np.logaddexp: lambda x, axis, keepdims=False: reduction.logsumexp(
        x, axis=axes_of("logaddexp.reduce", x, axis), keepdims=keepdims
    ),
}

# The same for the method `accumulate`.
ACCUMULATIONS: dict[Any, Callable[..., Any]] = {np.add: cumsum, np.multiply: cumprod}

# What answers for NumPy's other functions.
FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.sum: sum,
    np.mean: mean,
    np.max: max,
    np.min: min,
    np.prod: prod,
    np.amax: max,
    np.amin: min,
    np.average: average,
    np.nansum: nansum,
    np.nanmean: nanmean,
    np.median: median,
    np.quantile: quantile,
    np.percentile: percentile,
    np.ptp: ptp,
    np.count_nonzero: lambda x, axis=None, *, keepdims=False: sum(x != 0, axis, keepdims=keepdims),
    np.cumsum: cumsum,
    np.cumprod: cumprod,
    np.diff: diff,
    np.gradient: gradient,
    np.trapezoid: trapezoid,
    np.sort: sort,
    np.argsort: argsort,
    np.trace: trace,
    np.var: var,
    np.std: std,
    np.any: lambda x, axis=None, *, keepdims=False: sum(x != 0, axis, keepdims=keepdims) > 0,
    np.all: lambda x, axis=None, *, keepdims=False: sum(x == 0, axis, keepdims=keepdims) == 0,
    np.linalg.norm: norm,
    np.linalg.solve: solve,
    np.linalg.inv: inv,
    np.linalg.det: det,
    np.linalg.slogdet: slogdet,
    np.linalg.matrix_power: matrix_power,
    np.linalg.multi_dot: multi_dot,
    np.argmax: argmax,
    np.argmin: argmin,
    np.reshape: reshape,
    np.ravel: ravel,
    np.transpose: transpose,
    np.swapaxes: swapaxes,
    np.moveaxis: moveaxis,
    np.expand_dims: expand_dims,
    np.squeeze: squeeze,
    np.broadcast_to: broadcast_to,
    np.concatenate: concatenate,
    np.stack: stack,
    np.vstack: vstack,
    np.hstack: hstack,
    np.dstack: dstack,
    np.column_stack: column_stack,
    np.append: append,
    np.block: block,
    np.meshgrid: meshgrid,
    np.atleast_1d: at_least(1),
    np.atleast_2d: at_least(2),
    np.atleast_3d: at_least(3),
    np.repeat: repeat,
    np.tile: tile,
    np.take: take,
    np.take_along_axis: take_along_axis,
    np.diag: diag,
    np.diagonal: diagonal,
    np.tril: tril,
    np.triu: triu,
    np.pad: pad,
    np.flip: flip,
    np.flipud: lambda x: flip(x, 0),
    np.fliplr: lambda x: flip(x, 1),
    np.roll: roll,
    np.rollaxis: rollaxis,
    np.rot90: rot90,
    np.split: split,
    np.array_split: array_split,
    np.hsplit: lambda x, parts: split(x, parts, 1 if x.ndim > 1 else 0),
    np.vsplit: lambda x, parts: split(x, parts, 0),
    np.dsplit: lambda x, parts: split(x, parts, 2),
    np.where: where,
    np.select: select,
    np.clip: clip,
    np.round: round,
    np.around: round,
    np.nan_to_num: nan_to_num,
    np.isclose: isclose,
    np.allclose: allclose,
    np.array_equal: array_equal,
    np.real: lambda x: x,
    np.copy: lambda x: x,
    np.dot: dot,
    np.inner: inner,
    np.outer: outer,
    np.tensordot: tensordot,
    np.einsum: einsum,
    np.vdot: vdot,
    np.kron: kron,
    np.cross: cross,
    np.convolve: convolve,
    np.correlate: correlate,
    np.zeros_like: _like(np.zeros_like),
    np.ones_like: _like(np.ones_like),
    np.full_like: _like(np.full_like),
    np.shape: lambda x: x.shape,
    np.ndim: lambda x: x.ndim,
    np.size: lambda x: math.prod(x.shape),
}


def _name(function: Any) -> str:
    """How users write the function: `np.linalg.norm`."""
    module = getattr(function, "__module__", None) or "numpy"
    return f"{module}.{function.__name__}".replace("numpy", "np", 1)


def no_rule(function: Any, method: str = "", arguments: Iterable[str] = ()) -> TypeError:
    """The error for a function of NumPy's, or a use of one, that can't be differentiated here."""
    name = _name(function) + method
    used = name + "".join(f"({argument}=…)" for argument in arguments)
    known = [_name(f) for f in (*UFUNCS, *FUNCTIONS)]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
    return TypeError(
        f"{used} has no rule for Tensors, so it can't be recorded; the nearest that has one "
        f"is {near}. For a value outside of the graph take the Tensor's .value"
    )
