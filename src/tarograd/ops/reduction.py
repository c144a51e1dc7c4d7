"""Nodes that make one number out of many: sum, mean, max, min, prod, logsumexp, softmax.

`axis` is a tuple of axes counted from the front. Every rule first brings y and g back to the
shape of x, with Repeat.
"""

from __future__ import annotations

from math import prod as product
from typing import Any

import numpy as np

from tarograd.graph import Array, Primitive
from tarograd.ops.shape import concatenate, repeat, reshape

Axes = tuple[int, ...]


def spread(g: Any, shape: tuple[int, ...], axis: Axes) -> Any:
    """Repeat a reduced array along the reduced axes: back to `shape`."""
    kept = tuple(1 if i in axis else n for i, n in enumerate(shape))
    return repeat(reshape(g, shape=kept), shape=shape)


def _count(shape: tuple[int, ...], axis: Axes) -> int:
    return product(shape[i] for i in axis)


def _sum(x: Any, *, axis: Axes, keepdims: bool) -> Any:
    return x.sum(axis=axis, keepdims=keepdims)


# y = x₁ + x₂ + …: every summand gets the gradient. The book's Sum node.
sum = Primitive(
    name="sum",
    symbol="Sum",
    forward=_sum,
    vjp=(lambda g, y, x, axis, keepdims: spread(g, x.shape, axis),),
)


def _mean(x: Any, *, axis: Axes, keepdims: bool) -> Any:
    return x.mean(axis=axis, keepdims=keepdims)


# The sum, divided by the number n of summands; so is the gradient.
mean = Primitive(
    name="mean",
    symbol="mean",
    forward=_mean,
    vjp=(lambda g, y, x, axis, keepdims: spread(g / (_count(x.shape, axis) or 1), x.shape, axis),),
)


def _extreme_rule(g: Any, y: Any, x: Any, axis: Axes, keepdims: bool) -> Any:
    hits = x == spread(y, x.shape, axis)
    ties = hits.astype(x.dtype).sum(axis=axis, keepdims=keepdims)
    return np.where(hits, spread(g / np.maximum(ties, 1), x.shape, axis), 0)


def _max(x: Any, *, axis: Axes, keepdims: bool) -> Any:
    return x.max(axis=axis, keepdims=keepdims)


def _min(x: Any, *, axis: Axes, keepdims: bool) -> Any:
    return x.min(axis=axis, keepdims=keepdims)


# The largest element gets the gradient; equal ones share it.
max = Primitive(name="max", symbol="max", forward=_max, vjp=(_extreme_rule,))

# The smallest element gets the gradient; equal ones share it.
min = Primitive(name="min", symbol="min", forward=_min, vjp=(_extreme_rule,))


def _argmax(x: Any, *, axis: int | None) -> Any:
    return x.argmax(axis=axis)


# Where the largest element stands: data, nothing to differentiate.
argmax = Primitive(name="argmax", symbol="argmax", forward=_argmax)


def _argsort(x: Any, *, axis: int) -> Any:
    return np.argsort(x, axis, kind="stable")


# Where the elements stand in ascending order, equal ones as they come: data again.
argsort = Primitive(name="argsort", symbol="argsort", forward=_argsort)


def _prod(x: Any, *, axis: Axes, keepdims: bool) -> Any:
    return x.prod(axis=axis, keepdims=keepdims)


def _products_before(x: Any) -> Any:
    """Along the last axis, the product of all elements before each one."""

    def shifted(p: Any, by: int) -> Any:
        ones = np.ones((*x.shape[:-1], by), x.dtype)
        return concatenate(ones, p[..., : x.shape[-1] - by], axis=x.ndim - 1)

    p, by = shifted(x, 1), 1
    while by < x.shape[-1]:
        p, by = p * shifted(p, by), 2 * by
    return p


def _prod_rule(g: Any, y: Any, x: Any, axis: Axes, keepdims: bool) -> Any:
    # The product of all the *other* elements: y / x would be 0/0 where an element is 0.
    kept = tuple(i for i in range(x.ndim) if i not in axis)
    moved = x.transpose((*kept, *axis))
    rows = moved.reshape((*(x.shape[i] for i in kept), _count(x.shape, axis)))
    if 0 in rows.shape:
        return np.zeros(x.shape, x.dtype)
    others = _products_before(rows) * _products_before(rows[..., ::-1])[..., ::-1]
    back = tuple(int(i) for i in np.argsort((*kept, *axis)))
    return spread(g, x.shape, axis) * others.reshape(moved.shape).transpose(back)


# y = x₁ · x₂ · …: each gets the gradient times the product of the others.
prod = Primitive(name="prod", symbol="Π", forward=_prod, vjp=(_prod_rule,))


def _logsumexp(x: Any, *, axis: Axes, keepdims: bool) -> Any:
    top = x.max(axis=axis, keepdims=True)
    top = np.where(np.isinf(top), 0, top)
    with np.errstate(divide="ignore", over="ignore"):  # log 0 is -inf, and beside inf all is inf
        y = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
    return y if keepdims else y.squeeze(axis)


def _logsumexp_rule(g: Any, y: Any, x: Any, axis: Axes, keepdims: bool) -> Any:
    y = np.where(y == -np.inf, 0, y)  # all terms are 0, and so is each share
    return spread(g, x.shape, axis) * np.exp(x - spread(y, x.shape, axis))


# y = log Σ exp x, its largest term taken out of the sum; the gradient's shares are the softmax.
logsumexp = Primitive(
    name="logsumexp",
    symbol="logΣexp",
    forward=_logsumexp,
    vjp=(_logsumexp_rule,),
    definition=lambda x, axis, keepdims: np.log(sum(np.exp(x), axis=axis, keepdims=keepdims)),
)


def _softmax(x: Any, *, axis: int) -> Any:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def _softmax_definition(x: Any, axis: int) -> Any:
    e = np.exp(x)
    return e / sum(e, axis=(axis,), keepdims=True)


# y = exp x / Σ exp x: every output falls with the others' share of the gradient.
softmax = Primitive(
    name="softmax",
    symbol="softmax",
    forward=_softmax,
    vjp=(lambda g, y, x, axis: y * (g - (g * y).sum(axis=axis, keepdims=True)),),
    definition=_softmax_definition,
)


def _log_softmax(x: Any, *, axis: int) -> Any:
    x = x - x.max(axis=axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=axis, keepdims=True))


# y = x - log Σ exp x
log_softmax = Primitive(
    name="log_softmax",
    symbol="log softmax",
    forward=_log_softmax,
    vjp=(lambda g, y, x, axis: g - np.exp(y) * g.sum(axis=axis, keepdims=True),),
    definition=lambda x, axis: x - np.log(sum(np.exp(x), axis=(axis,), keepdims=True)),
)


def _softmax_with_loss(x: Array, t: Array, *, labels: bool) -> Any:
    # Where the target is 0 the logarithm may be -inf.
    return -(t * np.where(t == 0, 0, _log_softmax(x, axis=1))).sum() / len(x)


def _softmax_with_loss_rule(g: Any, loss: Any, x: Any, t: Any, labels: bool) -> Any:
    y = softmax(x, axis=1)
    # The rows of labels add up to 1. Those of other targets need not.
    return g * (((y if labels else y * t.sum(axis=1, keepdims=True)) - t) / len(x))


# The mean over the batch of -Σ t log softmax x. The beautiful result: (y - t) / n.
softmax_with_loss = Primitive(
    name="softmax_with_loss",
    symbol="softmax loss",
    forward=_softmax_with_loss,
    vjp=(
        _softmax_with_loss_rule,
        lambda g, loss, x, t, labels: g * (log_softmax(x, axis=1) / -len(x)),
    ),
    definition=lambda x, t, labels: -(t * np.log(_softmax_definition(x, axis=1))).sum() / len(x),
    promotes=True,
)

# Half of the squared distance, the mean over the batch: (y - t) / n again.
squared_error = Primitive(
    name="squared_error",
    symbol="squared error",
    forward=lambda y, t: ((y - t) ** 2).sum() / (2 * len(y)),
    vjp=(
        lambda g, loss, y, t: g * ((y - t) / len(y)),
        lambda g, loss, y, t: g * ((t - y) / len(y)),
    ),
    definition=lambda y, t: ((y - t) * (y - t)).sum() / (2 * len(y)),
    promotes=True,
)
