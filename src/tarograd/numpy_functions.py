"""NumPy's functions on Tensors: which function answers for which of NumPy's.

The answers are spelled with the primitives, in the files `numpy_*.py`. Each works on arrays and on
Tensors, with NumPy's own signature; an argument that NumPy has and that is missing there is refused
by Python itself.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tarograd import (
    numpy_along,
    numpy_elementwise,
    numpy_linalg,
    numpy_products,
    numpy_reductions,
    numpy_shapes,
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
    np.float_power: lambda a, b: arithmetic.power(
        numpy_elementwise.doubles(a), numpy_elementwise.doubles(b)
    ),
    np.maximum: elementwise.maximum,
    np.minimum: elementwise.minimum,
    np.logaddexp: numpy_elementwise.logaddexp,
    np.matmul: numpy_products.matmul,
    np.greater: elementwise.greater,
    np.greater_equal: elementwise.greater_equal,
    np.less: elementwise.less,
    np.less_equal: elementwise.less_equal,
    np.equal: elementwise.equal,
    np.not_equal: elementwise.not_equal,
    np.remainder: arithmetic.remainder,
    np.floor_divide: arithmetic.floor_divide,
    np.divmod: lambda a, b: (arithmetic.floor_divide(a, b), arithmetic.remainder(a, b)),
    np.fmod: numpy_elementwise.fmod,
    np.fmax: numpy_elementwise.ignoring_nan(elementwise.maximum),
    np.fmin: numpy_elementwise.ignoring_nan(elementwise.minimum),
    np.hypot: elementwise.hypot,
    np.arctan2: elementwise.arctan2,
    np.heaviside: numpy_elementwise.heaviside,
    np.logaddexp2: lambda a, b: (
        numpy_elementwise.logaddexp(a * math.log(2), b * math.log(2)) / math.log(2)
    ),
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
    np.ceil: numpy_elementwise.ceil,
    np.trunc: numpy_elementwise.trunc,
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
    np.bitwise_and: numpy_elementwise.of_bools("np.bitwise_and", elementwise.logical_and),
    np.bitwise_or: numpy_elementwise.of_bools("np.bitwise_or", elementwise.logical_or),
    np.bitwise_xor: numpy_elementwise.of_bools("np.bitwise_xor", elementwise.not_equal),
    np.invert: numpy_elementwise.of_bools("np.invert", elementwise.logical_not),
    np.isnan: lambda x: elementwise.not_equal(x, x),
    np.isinf: lambda x: elementwise.absolute(x) == np.inf,
    np.isfinite: lambda x: elementwise.absolute(x) < np.inf,
}

# What answers for the method `reduce` of a ufunc, whose axis is the first one if none is named.
REDUCTIONS: dict[Any, Callable[..., Any]] = {
    np.add: numpy_reductions.sum,
    np.multiply: numpy_reductions.prod,
    np.maximum: numpy_reductions.max,
    np.minimum: numpy_reductions.min,
    np.logaddexp: lambda x, axis, keepdims=False: reduction.logsumexp(
        x, axis=numpy_shapes.axes_of("logaddexp.reduce", x, axis), keepdims=keepdims
    ),
}

# The same for the method `accumulate`.
ACCUMULATIONS: dict[Any, Callable[..., Any]] = {
    np.add: numpy_along.cumsum,
    np.multiply: numpy_along.cumprod,
}

# What answers for NumPy's other functions.
FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.sum: numpy_reductions.sum,
    np.mean: numpy_reductions.mean,
    np.max: numpy_reductions.max,
    np.min: numpy_reductions.min,
    np.prod: numpy_reductions.prod,
    np.amax: numpy_reductions.max,
    np.amin: numpy_reductions.min,
    np.average: numpy_reductions.average,
    np.nansum: numpy_reductions.nansum,
    np.nanmean: numpy_reductions.nanmean,
    np.median: numpy_along.median,
    np.quantile: numpy_along.quantile,
    np.percentile: numpy_along.percentile,
    np.ptp: numpy_along.ptp,
    np.count_nonzero: lambda x, axis=None, *, keepdims=False: numpy_reductions.sum(
        x != 0, axis, keepdims=keepdims
    ),
    np.cumsum: numpy_along.cumsum,
    np.cumprod: numpy_along.cumprod,
    np.diff: numpy_along.diff,
    np.gradient: numpy_along.gradient,
    np.trapezoid: numpy_along.trapezoid,
    np.sort: numpy_along.sort,
    np.argsort: numpy_along.argsort,
    np.trace: numpy_reductions.trace,
    np.var: numpy_reductions.var,
    np.std: numpy_reductions.std,
    np.any: lambda x, axis=None, *, keepdims=False: (
        numpy_reductions.sum(x != 0, axis, keepdims=keepdims) > 0
    ),
    np.all: lambda x, axis=None, *, keepdims=False: (
        numpy_reductions.sum(x == 0, axis, keepdims=keepdims) == 0
    ),
    np.linalg.norm: numpy_reductions.norm,
    np.linalg.solve: numpy_linalg.solve,
    np.linalg.inv: numpy_linalg.inv,
    np.linalg.det: numpy_linalg.det,
    np.linalg.slogdet: numpy_linalg.slogdet,
    np.linalg.matrix_power: numpy_linalg.matrix_power,
    np.linalg.multi_dot: numpy_linalg.multi_dot,
    np.argmax: numpy_reductions.argmax,
    np.argmin: numpy_reductions.argmin,
    np.reshape: numpy_shapes.reshape,
    np.ravel: numpy_shapes.ravel,
    np.transpose: numpy_shapes.transpose,
    np.swapaxes: numpy_shapes.swapaxes,
    np.moveaxis: numpy_shapes.moveaxis,
    np.expand_dims: numpy_shapes.expand_dims,
    np.squeeze: numpy_shapes.squeeze,
    np.broadcast_to: numpy_shapes.broadcast_to,
    np.concatenate: numpy_shapes.concatenate,
    np.stack: numpy_shapes.stack,
    np.vstack: numpy_shapes.vstack,
    np.hstack: numpy_shapes.hstack,
    np.dstack: numpy_shapes.dstack,
    np.column_stack: numpy_shapes.column_stack,
    np.append: numpy_shapes.append,
    np.block: numpy_shapes.block,
    np.meshgrid: numpy_shapes.meshgrid,
    np.atleast_1d: numpy_shapes.at_least(1),
    np.atleast_2d: numpy_shapes.at_least(2),
    np.atleast_3d: numpy_shapes.at_least(3),
    np.repeat: numpy_shapes.repeat,
    np.tile: numpy_shapes.tile,
    np.take: numpy_shapes.take,
    np.take_along_axis: numpy_shapes.take_along_axis,
    np.diag: numpy_shapes.diag,
    np.diagonal: numpy_shapes.diagonal,
    np.tril: numpy_shapes.tril,
    np.triu: numpy_shapes.triu,
    np.pad: numpy_shapes.pad,
    np.flip: numpy_shapes.flip,
    np.flipud: lambda x: numpy_shapes.flip(x, 0),
    np.fliplr: lambda x: numpy_shapes.flip(x, 1),
    np.roll: numpy_shapes.roll,
    np.rollaxis: numpy_shapes.rollaxis,
    np.rot90: numpy_shapes.rot90,
    np.split: numpy_shapes.split,
    np.array_split: numpy_shapes.array_split,
    np.hsplit: lambda x, parts: numpy_shapes.split(x, parts, 1 if x.ndim > 1 else 0),
    np.vsplit: lambda x, parts: numpy_shapes.split(x, parts, 0),
    np.dsplit: lambda x, parts: numpy_shapes.split(x, parts, 2),
    np.where: numpy_elementwise.where,
    np.select: numpy_elementwise.select,
    np.clip: numpy_elementwise.clip,
    np.round: numpy_elementwise.round,
    np.around: numpy_elementwise.round,
    np.nan_to_num: numpy_elementwise.nan_to_num,
    np.isclose: numpy_elementwise.isclose,
    np.allclose: numpy_elementwise.allclose,
    np.array_equal: numpy_elementwise.array_equal,
    np.real: lambda x: x,
    np.copy: lambda x: x,
    np.dot: numpy_products.dot,
    np.inner: numpy_products.inner,
    np.outer: numpy_products.outer,
    np.tensordot: numpy_products.tensordot,
    np.einsum: numpy_products.einsum,
    np.vdot: numpy_products.vdot,
    np.kron: numpy_products.kron,
    np.cross: numpy_products.cross,
    np.convolve: numpy_products.convolve,
    np.correlate: numpy_products.correlate,
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
