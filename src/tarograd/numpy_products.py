"""NumPy's products, spelled with the primitives; see numpy_functions.py."""

from __future__ import annotations

import math
import string
from typing import Any

import numpy as np

from tarograd.numpy_reductions import sum
from tarograd.numpy_shapes import (
    arrays_of,
    axes_of,
    diagonal,
    expand_dims,
    flip,
    moveaxis,
    pad,
    ravel,
    reshape,
    squeeze,
    stack,
    transpose,
)
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
    stacks = stacks_of(f"matmul: {a.shape} @ {b.shape}", left, right)
    left, right = (
        x if x.shape[:-2] == stacks else shapes.repeat(x, shape=stacks + x.shape[-2:])
        for x in (left, right)
    )
    y = products.matmul(left, right)
    y = squeeze(y, -1) if b.ndim == 1 else y
    return squeeze(y, -1 if b.ndim == 1 else -2) if a.ndim == 1 else y


def stacks_of(what: str, a: Any, b: Any) -> tuple[int, ...]:
    """How two stacks of matrices are broadcast; a ValueError that begins with `what` if not."""
    try:
        return np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError as error:
        raise ValueError(f"{what}: the stacks do not fit") from error


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


def vdot(a: Any, b: Any) -> Any:
    """Sum of the products of all elements."""
    a, b = arrays_of(a, b)
    return dot(ravel(a), ravel(b))


def kron(a: Any, b: Any) -> Any:
    """Every element of `a` replaced by itself times `b`."""
    a, b = arrays_of(a, b)
    rank = max(a.ndim, b.ndim)
    a, b = (reshape(x, (*[1] * (rank - x.ndim), *x.shape)) for x in (a, b))
    pairs = expand_dims(a, range(1, 2 * rank, 2)) * expand_dims(b, range(0, 2 * rank, 2))
    return reshape(pairs, [n * m for n, m in zip(a.shape, b.shape, strict=True)])


def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    """The vector that is perpendicular to two of three elements along an axis."""
    first, second, third = (axisa, axisb, axisc) if axis is None else (axis,) * 3
    a, b = arrays_of(a, b)
    a, b = moveaxis(a, first, -1), moveaxis(b, second, -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ValueError(f"cross: vectors of {a.shape[-1]} and {b.shape[-1]} elements: 3 and 3 fit")
    x, y = ([v[..., i] for i in range(3)] for v in (a, b))
    return stack([x[i - 2] * y[i - 1] - x[i - 1] * y[i - 2] for i in range(3)], third)


def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """The sum of products of `a` and `v`, which is moved along it.

    `mode` says where: "valid" where it is within `a`, "same" at as many places as the longer one
    has, "full" wherever they meet.
    """
    a, v = arrays_of(a, v)
    if a.ndim != 1 or v.ndim != 1 or not a.size or not v.size:
        raise ValueError(f"correlate: shapes {a.shape} and {v.shape}: two vectors are needed")
    if len(a) < len(v):
        return flip(correlate(v, a, mode))
    margins = {"valid": (0, 0), "same": (len(v) // 2, (len(v) - 1) // 2), "full": (len(v) - 1,) * 2}
    if mode not in margins:
        raise ValueError(f"correlate: mode={mode!r}: there are 'valid', 'same' and 'full'")
    a = pad(a, margins[mode])
    places = np.arange(len(a) - len(v) + 1)[:, None] + np.arange(len(v))
    return matmul(a[places], v)


def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """The sum of products of `a` and the reversed `v`, as in `correlate`."""
    a, v = arrays_of(a, v)
    a, v = (a, v) if math.prod(a.shape) >= math.prod(v.shape) else (v, a)
    return correlate(a, flip(v), mode)
