"""NumPy's functions, spelled with the primitives.

Each works on arrays and on Tensors, with NumPy's own signature; an argument that NumPy has and
that is missing here is refused by Python itself. `UFUNCS` and `FUNCTIONS` at the end say which
function answers for which of NumPy's when one of those is given a Tensor.
"""

from __future__ import annotations

import difflib
import math
import string
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tarograd.numpy_elementwise import clip, floats, logaddexp, of_bools, where
from tarograd.numpy_reductions import (
    argmax,
    argmin,
    average,
    max,
    mean,
    min,
    norm,
    prod,
    std,
    sum,
    trace,
    var,
)
from tarograd.numpy_shapes import (
    arrays_of,
    axes_of,
    broadcast_to,
    column_stack,
    concatenate,
    cumsum,
    diag,
    diagonal,
    diff,
    dstack,
    expand_dims,
    flip,
    hstack,
    moveaxis,
    pad,
    ravel,
    repeat,
    reshape,
    roll,
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
from tarograd.ops import matmul as products
from tarograd.ops import shape as shapes


def matmul(a: Any, b: Any) -> Any:
    """Matrix product of vectors, matrices and stacks of matrices."""
    a, b = arrays_of(a, b)
    if not a.ndim or not b.ndim or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError(
            f"matmul: {a.shape} @ {b.shape}: the columns of the left one"
            " must be as many as the rows of the right one"
        )
    left = expand_dims(a, 0) if a.ndim == 1 else a
    right = expand_dims(b, 1) if b.ndim == 1 else b
    try:
        stacks = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    except ValueError as error:
        raise ValueError(f"matmul: {a.shape} @ {b.shape}: the stacks do not fit") from error
    left, right = (
        x if x.shape[:-2] == stacks else shapes.repeat(x, shape=stacks + x.shape[-2:])
        for x in (left, right)
    )
    y = products.matmul(left, right)
    y = squeeze(y, -1) if b.ndim == 1 else y
    return squeeze(y, -1 if b.ndim == 1 else -2) if a.ndim == 1 else y


def dot(a: Any, b: Any) -> Any:
    """Product over the last axis of `a` and the last but one of `b`."""
    a, b = arrays_of(a, b)
    if not a.ndim or not b.ndim:
        return a * b
    return matmul(a, b) if b.ndim <= 2 else tensordot(a, b, ([-1], [-2]))


def inner(a: Any, b: Any) -> Any:
    """Product over the last axes of both."""
    a, b = arrays_of(a, b)
    return tensordot(a, b, ([-1], [-1])) if a.ndim and b.ndim else a * b


def outer(a: Any, b: Any) -> Any:
    """Every element of `a` times every element of `b`."""
    a, b = arrays_of(a, b)
    return expand_dims(ravel(a), 1) * expand_dims(ravel(b), 0)


def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """Sum of products over the axes `axes[0]` of `a` and `axes[1]` of `b`."""
    a, b = arrays_of(a, b)
    if isinstance(axes, int):
        axes = (range(a.ndim - axes, a.ndim), range(axes))
    left, right = (axes_of("tensordot", x, i) for x, i in zip((a, b), axes, strict=True))
    if [a.shape[i] for i in left] != [b.shape[j] for j in right]:
        raise ValueError(
            f"tensordot: the axes {left} of {a.shape} and {right} of {b.shape} differ in length"
        )
    letters = [chr(ord("a") + i) for i in range(a.ndim + b.ndim)]
    first, second = letters[: a.ndim], letters[a.ndim :]
    for i, j in zip(left, right, strict=True):
        second[j] = letters[i]
    rest = [c for c in first if c not in second] + [c for c in second if c not in first]
    return einsum(f"{''.join(first)},{''.join(second)}->{''.join(rest)}", a, b)


def einsum(subscripts: str, *operands: Any) -> Any:
    """Einstein summation, from the left to the right.

    Letters in both of two operands and not needed any more are contracted by a matrix product,
    letters in both that are needed number its stack, and others are summed. Of a letter that
    stands twice in an operand, the diagonal is taken.
    """
    given = arrays_of(*operands)
    names, result, lengths = _parsed(subscripts, given)
    x, have = _unrepeated(given[0], names[0])
    for i, y in enumerate(given[1:], 1):
        y, second = _unrepeated(y, names[i])
        later = "".join([result, *names[i + 1 :]])
        kept = "".join(c for c in dict.fromkeys(have + second) if c in later)
        x, have = _contracted(x, have, y, second, kept, lengths), kept
    return _arranged(x, have, result)


def _unrepeated(x: Any, names: str) -> tuple[Any, str]:
    """The diagonal of the axes of one name; it becomes the last axis."""
    for c in dict.fromkeys(names):
        while names.count(c) > 1:
            i, j = names.index(c), names.rindex(c)
            x, names = diagonal(x, 0, i, j), names[:i] + names[i + 1 : j] + names[j + 1 :] + c
    return x, names


def _contracted(
    a: Any, first: str, b: Any, second: str, result: str, lengths: dict[str, int]
) -> Any:
    """The axes `result` of the products of two operands, summed over the others."""
    stacked = [c for c in first if c in second and c in result]
    contracted = [c for c in first if c in second and c not in result]
    rows = [c for c in first if c not in second and c in result]
    columns = [c for c in second if c not in first and c in result]
    a = _arranged(a, first, "".join(stacked + rows + contracted))
    b = _arranged(b, second, "".join(stacked + contracted + columns))

    def block(*parts: list[str]) -> tuple[int, ...]:
        sizes = [math.prod(lengths[c] for c in part) for part in parts]
        return (*(lengths[c] for c in stacked), *sizes)

    y = matmul(reshape(a, block(rows, contracted)), reshape(b, block(contracted, columns)))
    order = stacked + rows + columns
    return _arranged(reshape(y, [lengths[c] for c in order]), "".join(order), result)


def _parsed(subscripts: str, operands: list[Any]) -> tuple[list[str], str, dict[str, int]]:
    """The letters of each operand, those of the result, and the length of each letter's axis."""
    if not isinstance(subscripts, str):
        raise TypeError("einsum: write the subscripts as a string, such as 'ij,jk->ik'")
    terms, arrow, result = subscripts.replace(" ", "").partition("->")
    names = terms.split(",")
    if len(names) != len(operands):
        raise ValueError(f"einsum: {subscripts!r} for {len(operands)} operands")
    # The axes of "..." get letters of their own, counted from the last axis.
    wide = [x.ndim - len(n.replace("...", "")) for n, x in zip(names, operands, strict=True)]
    wide = [w if "..." in n else 0 for n, w in zip(names, wide, strict=True)]
    free = "".join(c for c in string.ascii_letters if c not in subscripts)[: sorted([0, *wide])[-1]]
    names = [n.replace("...", free[len(free) - w :]) for n, w in zip(names, wide, strict=True)]
    result = result.replace("...", free)
    if not arrow:
        result = free + "".join(sorted(c for c in set(terms) - {*",."} if terms.count(c) == 1))
    if len(set(result)) < len(result):
        raise ValueError(f"einsum: {subscripts!r}: the result has a letter twice")
    lengths: dict[str, int] = {}
    for n, x in zip(names, operands, strict=True):
        if len(n) != x.ndim:
            raise ValueError(f"einsum: {subscripts!r}: {n!r} names {len(n)} axes of {x.shape}")
        for c, length in zip(n, x.shape, strict=True):
            if lengths.setdefault(c, length) != length:
                listed = " and ".join(str(x.shape) for x in operands)
                raise ValueError(f"einsum: {subscripts!r}: {c!r} has two lengths in {listed}")
    return names, result, lengths


def _arranged(x: Any, names: str, wanted: str) -> Any:
    """The axes `names` of `x` in the order `wanted`, summed over the others."""
    missing = [c for c in wanted if c not in names]
    if missing:
        raise ValueError(f"einsum: the result's axis {missing[0]!r} is in no operand")
    gone = tuple(i for i, c in enumerate(names) if c not in wanted)
    rest = [c for c in names if c in wanted]
    x = sum(x, gone) if gone else x
    return x if rest == list(wanted) else transpose(x, [rest.index(c) for c in wanted])


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
    np.float_power: lambda a, b: arithmetic.power(floats(a), floats(b)),
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
    np.tanh: elementwise.tanh,
    np.cosh: lambda x: (elementwise.exp(x) + elementwise.exp(-x)) / 2,
    np.sinh: lambda x: elementwise.tanh(x) * (elementwise.exp(x) + elementwise.exp(-x)) / 2,
    np.absolute: elementwise.absolute,
    np.fabs: elementwise.absolute,
    np.sign: elementwise.sign,
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
    np.cumsum: cumsum,
    np.diff: diff,
    np.trace: trace,
    np.var: var,
    np.std: std,
    np.any: lambda x, axis=None, *, keepdims=False: sum(x != 0, axis, keepdims=keepdims) > 0,
    np.all: lambda x, axis=None, *, keepdims=False: sum(x == 0, axis, keepdims=keepdims) == 0,
    np.linalg.norm: norm,
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
    np.split: split,
    np.where: where,
    np.clip: clip,
    np.dot: dot,
    np.inner: inner,
    np.outer: outer,
    np.tensordot: tensordot,
    np.einsum: einsum,
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
    used = _name(function) + method + "".join(f"({argument}=…)" for argument in arguments)
    known = [_name(f) for f in (*UFUNCS, *FUNCTIONS)]
    near = difflib.get_close_matches(used, known, n=1, cutoff=0.0)[0]
    return TypeError(
        f"{used} has no rule for Tensors, so it can't be recorded; the nearest that has one "
        f"is {near}. For a value outside of the graph take the Tensor's .value"
    )
