"""What happens to the inputs of an operation, and of the walk back, before they are used.

Arrays are frozen, dtypes and shapes are brought together; whatever that takes is itself recorded,
as Cast and Repeat nodes, so that it can be seen and the gradient takes the same way back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import prod
from typing import Any

import numpy as np

from tarograd.graph import Array, Operand, Primitive
from tarograd.ops import elementwise, shape

NUMBERS = (bool, int, float)
_recorder: ContextVar[Any] = ContextVar("tarograd recorder", default=None)


def recorder() -> Any:
    """What records the operations here in its own way, the compiler's trace; None if nothing."""
    return _recorder.get()


@contextmanager
def tracing(trace: Any) -> Iterator[None]:
    """Let `trace` record what is computed in the `with` block: it makes the Operands."""
    token = _recorder.set(trace)
    try:
        yield
    finally:
        _recorder.reset(token)


def frozen(array: Array) -> Array:
    """The array if nobody can write into it, else a read-only copy."""
    base: Any = array
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            array = array.copy()
            array.flags.writeable = False
            return array
        base = base.base
    return array


def as_input(name: str, x: Any) -> Any:
    """An input of a node: a Tensor, a Python number (which adapts its dtype) or a frozen array."""
    if isinstance(x, Operand):
        return x
    if isinstance(x, np.generic) and x.dtype.kind in "fiub":
        return x.item()  # np.float64 is a float too, but it would decide the dtype
    if isinstance(x, NUMBERS):
        return x
    array = np.asarray(x)
    if array.dtype.kind not in "fiub":
        what = f"dtype {x.dtype}" if isinstance(x, np.ndarray) else f"type {type(x).__name__}"
        raise TypeError(f"{name}: an input of {what}: numbers are needed")
    return frozen(array)


def _cast(x: Any, dtype: np.dtype[Any], kinds: str) -> Any:
    """A Tensor or array of another float dtype, or of one of the `kinds`, in `dtype`."""
    if isinstance(x, NUMBERS) or x.dtype == dtype or x.dtype.kind not in kinds:
        return x
    return elementwise.cast(x, dtype=dtype) if isinstance(x, Operand) else frozen(x.astype(dtype))


def aligned(primitive: Primitive, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs in one dtype and, for an elementwise primitive, the Tensors in one shape.

    The dtype is the widest float among them; whole numbers follow it and never decide it.
    """
    arrays = [x for x in inputs if not isinstance(x, NUMBERS)]
    if len({x.dtype for x in arrays}) > 1:
        floats = [x.dtype for x in arrays if x.dtype.kind == "f"]
        if floats:
            kinds = "fiu" if primitive.elementwise else "fiub"
            dtype = np.result_type(*floats)
            inputs = tuple(_cast(x, dtype, kinds) for x in inputs)
    shapes = {x.shape for x in arrays}
    if primitive.elementwise and len(shapes) > 1:
        try:
            full = np.broadcast_shapes(*shapes)
        except ValueError as error:
            listed = " and ".join(str(x.shape) for x in arrays)
            raise ValueError(
                f"{primitive.name}: the shapes {listed} do not fit: counted from the right, "
                "two lengths have to be equal, or one of them 1"
            ) from error
        inputs = tuple(
            shape.repeat(x, shape=full) if isinstance(x, Operand) and x.shape != full else x
            for x in inputs
        )
    return inputs


def upstream_gradient(output: Operand, upstream: Any) -> Any:
    """The gradient that arrives at the output, in its shape and dtype: a Tensor or an array."""
    if upstream is None:
        if (size := prod(output.shape)) != 1:
            raise ValueError(
                f"backward from {size} numbers, shape {output.shape}: a derivative "
                "starts from one; sum them, or give the upstream gradient of this shape"
            )
        return frozen(np.ones(output.shape, output.dtype))
    if not isinstance(upstream, Operand):
        upstream = frozen(np.asarray(upstream, dtype=output.dtype))
    if upstream.shape != output.shape:
        raise ValueError(
            f"an upstream gradient of shape {upstream.shape} for an output of shape "
            f"{output.shape}: the two have to be equal"
        )
    return upstream if upstream.dtype == output.dtype else upstream.astype(output.dtype)
