"""NumPy's functions, spelled with the primitives.

Each works on arrays and on Tensors, with NumPy's own signature; an argument that NumPy has and
that is missing here is refused by Python itself. `UFUNCS` and `FUNCTIONS` at the end say which
function answers for which of NumPy's when one of those is given a Tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from tarograd.ops import arithmetic, elementwise, reduction
from tarograd.ops import matmul as products
from tarograd.ops import shape as shapes

Axis = int | Sequence[int] | None


def _axes(name: str, x: Any, axis: Axis) -> tuple[int, ...]:
    """`axis` as a tuple of axes counted from the front."""
    if axis is None:
        return tuple(range(x.ndim))
    try:
        return tuple(normalize_axis_tuple(axis, x.ndim))
    except ValueError as error:
        raise np.exceptions.AxisError(f"{name}: axis={axis} for the shape {x.shape}") from error


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Sum over `axis`, by default over all elements."""
    return reduction.sum(x, axis=_axes("sum", x, axis), keepdims=keepdims)


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Mean over `axis`."""
    return reduction.mean(x, axis=_axes("mean", x, axis), keepdims=keepdims)


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Largest element along `axis`; equal ones share the gradient."""
    return reduction.max(x, axis=_axes("max", x, axis), keepdims=keepdims)


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Smallest element along `axis`; equal ones share the gradient."""
    return reduction.min(x, axis=_axes("min", x, axis), keepdims=keepdims)


def prod(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Product along `axis`, with the right gradient at zeros too."""
    return reduction.prod(x, axis=_axes("prod", x, axis), keepdims=keepdims)


def argmax(x: Any, axis: int | None = None) -> Any:
    """Where the largest element stands; not differentiable."""
    return reduction.argmax(x, axis=axis)


def var(x: Any, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> Any:
    """Variance: the mean squared distance from the mean, over n - `ddof`."""
    axes = _axes("var", x, axis)
    distance = x - mean(x, axes, keepdims=True)
    n = math.prod(x.shape[i] for i in axes)
    return sum(distance * distance, axes, keepdims) / (n - ddof)


def std(x: Any, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> Any:
    """Standard deviation: the root of the variance."""
    return elementwise.sqrt(var(x, axis, ddof, keepdims))


def norm(x: Any, ord: float | str | None = None, axis: Axis = None, keepdims: bool = False) -> Any:
    """Euclidean length along `axis` (by default of all elements), or with `ord` 1 or inf.

    At the zero vector the gradient is taken as 0.
    """
    if ord not in (None, 1, 2, np.inf, "fro") or (ord == 2 and axis is None and x.ndim > 1):
        raise TypeError(f"norm: ord={ord!r} for the shape {x.shape} has no rule; None, 1, inf have")
    axes = _axes("norm", x, axis)
    if ord in (1, np.inf) and len(axes) > 1:
        raise TypeError(f"norm: ord={ord!r} of the matrices in {x.shape} has no rule; None has")
    if ord == 1:
        return sum(elementwise.absolute(x), axes, keepdims)
    if ord == np.inf:
        return max(elementwise.absolute(x), axes, keepdims)
    squares = sum(x * x, axes, keepdims)
    positive = squares > 0
    return where(positive, elementwise.sqrt(where(positive, squares, 1)), 0)


def reshape(x: Any, shape: int | Sequence[int], order: str = "C") -> Any:
    """The same elements in another shape; one length may be -1."""
    if order != "C":
        raise TypeError(f"reshape: order={order!r}: only the row-major order 'C' has a rule")
    wanted = (int(shape),) if isinstance(shape, int | np.integer) else tuple(map(int, shape))
    size, known = math.prod(x.shape), math.prod(n for n in wanted if n != -1)
    if wanted.count(-1) == 1 and known:
        wanted = tuple(size // known if n == -1 else n for n in wanted)
    if any(n < 0 for n in wanted) or math.prod(wanted) != size:
        raise ValueError(f"reshape: the {size} elements of {x.shape} do not fill {shape}")
    return shapes.reshape(x, shape=wanted)


def transpose(x: Any, axes: Sequence[int] | None = None) -> Any:
    """The axes in another order, by default reversed."""
    order = range(x.ndim)[::-1] if axes is None else _axes("transpose", x, axes)
    if len(order) != x.ndim:
        raise ValueError(f"transpose: {axes} does not name each axis of {x.shape} once")
    return shapes.transpose(x, axes=tuple(order))


def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Two axes exchanged."""
    order = list(range(x.ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return transpose(x, order)


def moveaxis(x: Any, source: int, destination: int) -> Any:
    """One axis at another place."""
    order = [i for i in range(x.ndim) if i != _axes("moveaxis", x, source)[0]]
    order.insert(*_axes("moveaxis", x, destination), *_axes("moveaxis", x, source))
    return transpose(x, order)


def expand_dims(x: Any, axis: int | Sequence[int]) -> Any:
    """New axes of length 1 at the places `axis` of the result."""
    new = (axis,) if isinstance(axis, int) else tuple(axis)
    places = normalize_axis_tuple(new, x.ndim + len(new))
    lengths = iter(x.shape)
    return reshape(x, [1 if i in places else next(lengths) for i in range(x.ndim + len(new))])


def squeeze(x: Any, axis: Axis = None) -> Any:
    """Without the axes of length 1."""
    if axis is not None:
        wrong = [i for i in _axes("squeeze", x, axis) if x.shape[i] != 1]
        if wrong:
            raise ValueError(f"squeeze: axis {wrong[0]} of {x.shape} is not of length 1")
    gone = _axes("squeeze", x, axis)
    return reshape(x, [n for i, n in enumerate(x.shape) if n != 1 or i not in gone])


def ravel(x: Any) -> Any:
    """All elements in a row."""
    return reshape(x, math.prod(x.shape))


def broadcast_to(x: Any, shape: Sequence[int]) -> Any:
    """Repeat along new axes and along axes of length 1."""
    wanted = tuple(shape)
    try:
        fits = np.broadcast_shapes(x.shape, wanted) == wanted
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"broadcast_to: {x.shape} can't be repeated into {wanted}")
    return shapes.repeat(x, shape=wanted)


def concatenate(arrays: Sequence[Any], axis: int | None = 0) -> Any:
    """The arrays one after the other along an axis; `axis=None` flattens them first."""
    if axis is None:
        return concatenate([ravel(x) for x in arrays])
    return shapes.concatenate(*arrays, axis=_axes("concatenate", arrays[0], axis)[0])


def stack(arrays: Sequence[Any], axis: int = 0) -> Any:
    """The arrays side by side along a new axis."""
    return shapes.stack(*arrays, axis=normalize_axis_index(axis, arrays[0].ndim + 1))


def vstack(arrays: Sequence[Any]) -> Any:
    """The arrays below one another; a vector is a row."""
    return concatenate([expand_dims(x, 0) if x.ndim == 1 else x for x in arrays])


def hstack(arrays: Sequence[Any]) -> Any:
    """The arrays beside one another."""
    return concatenate(arrays, axis=0 if arrays[0].ndim == 1 else 1)


def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: float = 0) -> Any:
    """`x` within a margin; `pad_width` as in NumPy: one width, (before, after), or one per axis."""
    if mode != "constant":
        raise TypeError(f"pad: mode={mode!r} has no rule; 'constant' has")
    widths = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2))
    pairs = tuple((int(before), int(after)) for before, after in widths)
    return shapes.pad(x, widths=pairs, value=constant_values)


def where(condition: Any, x: Any, y: Any) -> Any:
    """`x` where the condition holds, else `y`."""
    return elementwise.where(condition != 0 if condition.dtype != bool else condition, x, y)


def clip(x: Any, min: Any = None, max: Any = None) -> Any:
    """`x`, but at least `min` and at most `max`."""
    low, high = -np.inf if min is None else min, np.inf if max is None else max
    if isinstance(low, int | float) and isinstance(high, int | float):
        return elementwise.clip(x, low=low, high=high)
    return elementwise.minimum(elementwise.maximum(x, low), high)


def matmul(a: Any, b: Any) -> Any:
    """Matrix product of vectors, matrices and stacks of matrices."""
    if not a.ndim or not b.ndim or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError(
            f"matmul: {a.shape} @ {b.shape}: the columns of the left one"
            " must be as many as the rows of the right one"
        )
    left = expand_dims(a, 0) if a.ndim == 1 else a
    right = expand_dims(b, 1) if b.ndim == 1 else b
    if left.ndim + right.ndim > 4:
        try:
            stacks = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
        except ValueError as error:
            raise ValueError(f"matmul: {a.shape} @ {b.shape}: the stacks do not fit") from error
        left = shapes.repeat(left, shape=stacks + left.shape[-2:])
        right = shapes.repeat(right, shape=stacks + right.shape[-2:])
    y = products.matmul(left, right)
    y = squeeze(y, -1) if b.ndim == 1 else y
    return squeeze(y, -1 if b.ndim == 1 else -2) if a.ndim == 1 else y


def dot(a: Any, b: Any) -> Any:
    """Product over the last axis of `a` and the last but one of `b`."""
    if not np.ndim(a) or not np.ndim(b):
        return a * b
    return matmul(a, b) if b.ndim <= 2 else tensordot(a, b, ([-1], [-2]))


def inner(a: Any, b: Any) -> Any:
    """Product over the last axes of both."""
    return tensordot(a, b, ([-1], [-1]))


def outer(a: Any, b: Any) -> Any:
    """Every element of `a` times every element of `b`."""
    return expand_dims(ravel(a), 1) * expand_dims(ravel(b), 0)


def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """Sum of products over the axes `axes[0]` of `a` and `axes[1]` of `b`."""
    if isinstance(axes, int):
        axes = (range(a.ndim - axes, a.ndim), range(axes))
    left, right = (
        _axes("tensordot", x, tuple(i) if isinstance(i, Sequence) else i)
        for x, i in zip((a, b), axes, strict=True)
    )
    letters = [chr(ord("a") + i) for i in range(a.ndim + b.ndim)]
    second = letters[a.ndim :]
    for i, j in zip(left, right, strict=True):
        second[j] = letters[i]
    first = letters[: a.ndim]
    rest = [c for c in first if c not in second] + [c for c in second if c not in first]
    return einsum(f"{''.join(first)},{''.join(second)}->{''.join(rest)}", a, b)


def einsum(subscripts: str, *operands: Any) -> Any:
    """Einstein summation of one or two operands, without repeated letters within one.

    Letters in both operands and not in the result are contracted by a matrix product, letters
    in both and in the result number its stack, and a letter in one operand only is summed.
    """
    terms, _, result = subscripts.replace(" ", "").partition("->")
    names = terms.split(",")
    if "->" not in subscripts:
        result = "".join(sorted(c for c in set(terms) - {","} if terms.count(c) == 1))
    repeated = any(len(set(n)) < len(n) for n in [*names, result])
    if "." in subscripts or repeated or not 1 <= len(names) == len(operands) <= 2:
        raise TypeError(
            f"einsum: {subscripts!r} of {len(operands)} operands has no rule; one or two operands"
            " without '...' and without a letter twice in one of them have"
        )
    for n, x in zip(names, operands, strict=True):
        if len(n) != x.ndim:
            raise ValueError(f"einsum: {subscripts!r}: {n!r} names {len(n)} axes of {x.shape}")
    if len(names) == 1:
        return _arranged(operands[0], names[0], result)
    (first, second), (a, b) = names, operands
    stacked = [c for c in first if c in second and c in result]
    contracted = [c for c in first if c in second and c not in result]
    rows = [c for c in first if c not in second and c in result]
    columns = [c for c in second if c not in first and c in result]
    a = _arranged(a, first, "".join(stacked + rows + contracted))
    b = _arranged(b, second, "".join(stacked + contracted + columns))
    lengths = dict(zip(stacked + rows + contracted, a.shape, strict=True))
    lengths |= dict(zip(stacked + contracted + columns, b.shape, strict=True))

    def block(*parts: list[str]) -> tuple[int, ...]:
        sizes = [math.prod(lengths[c] for c in part) for part in parts]
        return (*(lengths[c] for c in stacked), *sizes)

    y = matmul(reshape(a, block(rows, contracted)), reshape(b, block(contracted, columns)))
    order = stacked + rows + columns
    return _arranged(reshape(y, [lengths[c] for c in order]), "".join(order), result)


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
    """NumPy's own function, of the Tensor's value: a constant of the same shape and dtype."""
    return lambda x, *args, **kwargs: fill(x.value, *args, **kwargs)


# What answers for a ufunc; those of two inputs first.
UFUNCS: dict[Any, Callable[..., Any]] = {
    np.add: arithmetic.add,
    np.subtract: arithmetic.subtract,
    np.multiply: arithmetic.multiply,
    np.divide: arithmetic.divide,
    np.power: arithmetic.power,
    np.float_power: arithmetic.power,
    np.maximum: elementwise.maximum,
    np.minimum: elementwise.minimum,
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
    np.log: elementwise.log,
    np.log2: lambda x: elementwise.log(x) / math.log(2),
    np.log10: lambda x: elementwise.log(x) / math.log(10),
    np.sqrt: elementwise.sqrt,
    np.sin: elementwise.sin,
    np.cos: elementwise.cos,
    np.tan: lambda x: elementwise.sin(x) / elementwise.cos(x),
    np.tanh: elementwise.tanh,
    np.absolute: elementwise.absolute,
    np.fabs: elementwise.absolute,
    np.sign: elementwise.sign,
    np.logical_not: elementwise.logical_not,
}

# What answers for NumPy's other functions.
FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.sum: sum,
    np.mean: mean,
    np.max: max,
    np.min: min,
    np.prod: prod,
    np.var: var,
    np.std: std,
    np.linalg.norm: norm,
    np.argmax: argmax,
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
    np.pad: pad,
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
