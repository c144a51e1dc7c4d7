"""Lower: the composites written out, so that what is left are loops, sums and products.

Two apples and their tax are products already, and come out as they come in. A ReLU is a maximum:

    >>> import tarograd as tg
    >>> print(lower(trace(tg.relu, {"apple": 100.0})))
    v0 = input apple() float64
    v1 = maximum(v0, 0) () float64
    return v1
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tarograd.compiler import formulas
from tarograd.compiler.numpy_text import WRITERS
from tarograd.compiler.outward import outward
from tarograd.compiler.placing import placing
from tarograd.compiler.program import Program, Value, fed, rebuilt
from tarograd.compiler.rewrite import rewrite
from tarograd.compiler.stacks import unstacked
from tarograd.compiler.trace import Untraceable, trace
from tarograd.compiler.transposed import transposed
from tarograd.graph import Primitive
from tarograd.ops import arithmetic, elementwise, linear, matmul, random, reduction, shape
from tarograd.ops import reduction as r


def _logsumexp(x: Any, *, axis: Any, keepdims: bool) -> Any:
    top = x.max(axis=axis, keepdims=True)
    top = np.where(np.abs(top) == np.inf, 0, top)
    y = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
    kept = tuple(n for i, n in enumerate(x.shape) if i not in axis)
    return y if keepdims else y.reshape(kept)


def _mean(x: Any, *, axis: Any, keepdims: bool) -> Any:
    count = int(np.prod([x.shape[i] for i in axis]))
    return r.sum(x, axis=axis, keepdims=keepdims) / count


def _sum_to(x: Any, *, shape: tuple[int, ...]) -> Any:
    new = x.ndim - len(shape)
    stretched = (i + new for i, n in enumerate(shape) if n == 1 and x.shape[i + new] != 1)
    return r.sum(x, axis=(*range(new), *stretched), keepdims=False).reshape(shape)


def _clip(x: Any, *, low: float, high: float) -> Any:
    return np.minimum(np.maximum(x, low), high)


def _softmax_with_loss(x: Any, t: Any, *, labels: bool) -> Any:
    log_y = reduction.log_softmax.forward(x, axis=1)
    losses = -(t * np.where(t == 0, 0, log_y)).sum(axis=1)  # of each row, while it is at hand
    return losses.sum() / len(x)


# Each in other primitives, with the operations of its closed form. One that is not here and that
# the emitter does not know either cannot become machine code.
LOWERED: dict[Primitive, Callable[..., Any]] = {
    matmul.affine: lambda x, w, b: x @ w + b,
    elementwise.relu: lambda x: np.maximum(x, 0),
    elementwise.arcsin: formulas.arcsin,
    elementwise.arccos: formulas.arccos,
    elementwise.arctan: formulas.arctan,
    elementwise.arctan2: formulas.arctan2,
    elementwise.arcsinh: formulas.arcsinh,
    elementwise.arccosh: formulas.arccosh,
    elementwise.arctanh: formulas.arctanh,
    elementwise.hypot: formulas.hypot,
    linear.solve: formulas.solve,
    linear.sign_det: formulas.sign_det,
    linear.log_det: formulas.log_det,
    reduction.argsort: formulas.argsort,
    elementwise.clip: _clip,
    random.dropout: random.dropout.forward,
    reduction.mean: _mean,
    reduction.softmax: reduction.softmax.forward,
    reduction.logsumexp: _logsumexp,
    reduction.log_softmax: reduction.log_softmax.forward,
    reduction.softmax_with_loss: _softmax_with_loss,
    reduction.squared_error: lambda y, t: ((y - t) * (y - t)).sum() / (2 * len(y)),
    shape.sum_to: _sum_to,
}


def lower(program: Program) -> Program:
    """Write the composites out, and rewrite the result."""
    known: dict[tuple[Any, ...], Program] = {}

    def change(value: Value, inputs: tuple[Any, ...]) -> Value:
        if value.primitive in LOWERED or value.primitive not in WRITERS:
            return _written_out(value, inputs, known, change)
        if value.primitive in (shape.index, shape.scatter):
            return _without_masks(fed(value, inputs))
        return fed(value, inputs)

    program = rewrite(rebuilt(program, change))
    place = placing(program)
    program = rebuilt(program, lambda value, inputs: place(value, _sink(value, inputs)))
    return transposed(outward(unstacked(rewrite(program))))


def _without_masks(v: Value) -> Value:
    """An index by a mask, which is a constant, as one by the places where it is True."""
    if not any(x.dtype == bool for x in v.operands[1:]):
        return v
    parts: list[Any] = []
    arrays: list[Value] = []
    rest = iter(v.operands[1:])
    for part in v.attributes["key"]:
        given = [next(rest)] if part is shape.ARRAY else []
        for x in given:
            found = [x.array] if x.dtype != bool else np.nonzero(np.asarray(x.array))
            arrays += (
                [x]
                if x.dtype != bool
                else [Value(a.shape, a.dtype, array=a) for a in found if a is not None]
            )
            parts += [shape.ARRAY] * len(found)
        parts += [] if given else [part]
    attributes = {**v.attributes, "key": tuple(parts)}
    return replace(v, inputs=(v.operands[0], *arrays), attributes=attributes)


def _sink(value: Value, inputs: tuple[Any, ...]) -> Value:
    """Images are given their other shape where they lie, not after they have been gathered."""
    v = fed(value, inputs)
    if not v.is_op(shape.reshape) or v.operands[0].primitive is None:
        return v
    return _reshaped(v.operands[0], v.shape) or v


def _reshaped(x: Value, dims: tuple[int, ...]) -> Value | None:
    """An input, perhaps gathered, cast and scaled, in another shape; None for anything else."""
    if x.primitive is None and x.array is None:
        return Value(dims, x.dtype, shape.reshape, (x,), {"shape": dims})
    if x.is_op(shape.index) and x.operands[0].primitive is None and len(x.operands) == 2:
        images, rows = x.operands
        if x.attributes["key"] != (shape.ARRAY,) or rows.shape != dims[:1]:
            return None
        whole = (images.shape[0], *dims[1:])
        images = Value(whole, images.dtype, shape.reshape, (images,), {"shape": whole})
        return replace(x, inputs=(images, rows), shape=dims)
    if len(x.operands) != 1 or x.primitive not in (elementwise.cast, arithmetic.divide):
        return None
    inner = _reshaped(x.operands[0], dims)
    mapped = tuple(inner if isinstance(i, Value) else i for i in x.inputs)
    return None if inner is None else replace(x, inputs=mapped, shape=dims)


def _written_out(
    value: Value,
    inputs: tuple[Any, ...],
    known: dict[tuple[Any, ...], Program],
    change: Callable[[Value, tuple[Any, ...]], Value],
) -> Value:
    """The value as its definition computes it, traced on zeros of the right shapes, once.

    What the definition consists of is written out in turn.
    """
    given = {f"x{i}": x for i, x in enumerate(inputs) if isinstance(x, Value)}
    told = [(x.shape, x.dtype) if isinstance(x, Value) else repr(x) for x in inputs]
    attributes = [(k, repr(a)) for k, a in sorted(value.attributes.items())]
    key = (value.primitive, *told, *attributes)
    if key not in known:
        known[key] = rebuilt(_definition(value, inputs, given), change)
    inner = known[key]
    new = {id(inner.inputs[k]): x for k, x in given.items()}
    for v in inner.order():
        if v.primitive is None:
            new.setdefault(id(v), v)
        else:
            mapped = tuple(new[id(x)] if isinstance(x, Value) else x for x in v.inputs)
            new[id(v)] = replace(v, inputs=mapped, group=value.group, name=None)
    result = new[id(inner.outputs["result"])]
    return replace(result, name=value.name) if result.primitive else result


def _definition(value: Value, inputs: tuple[Any, ...], given: Mapping[str, Value]) -> Program:
    assert value.primitive is not None
    # One of the user's own is written out as its forward computes it.
    definition = LOWERED.get(value.primitive, value.primitive.forward)

    def function(*tensors: Any) -> Any:
        rest = iter(tensors)
        mixed = (next(rest) if isinstance(x, Value) else x for x in inputs)
        return definition(*mixed, **value.attributes)

    zeros = {k: np.zeros(x.shape, x.dtype) for k, x in given.items()}
    try:
        with np.errstate(all="ignore"):
            return trace(function, zeros)
    except (TypeError, ValueError, AttributeError) as error:
        raise Untraceable(f"there is no kernel for {value.primitive.name!r}: {error}") from error
