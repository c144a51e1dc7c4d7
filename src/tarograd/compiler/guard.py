"""Guard: while a function is traced, its Tensors do not show their values.

A number that leaves the graph, is worked on outside and comes back would be baked into the
compiled code as the constant of this one run. So whatever shows a value is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any, NoReturn

import numpy as np

from tarograd.compiler.program import Check
from tarograd.graph import CONSTANT, Array, Operand, Primitive
from tarograd.inputs import recorder, tracing
from tarograd.ops import elementwise, reduction, shape
from tarograd.ops.shape import ARRAY
from tarograd.tensor import Parameter, Tensor

# What an input of the traced function was computed by.
INPUT = Primitive(name="input", symbol="", forward=lambda: 0.0)
# What gives elements of its inputs, and no others.
PASSED_ON = (
    shape.index,
    shape.reshape,
    shape.transpose,
    shape.repeat,
    shape.concatenate,
    shape.stack,
)
# What to do instead.
ITSELF = "Compute with the Tensor itself (np.where instead of `if`, np.stack instead of y[i] = …)"
AROUND = "Take the number from around the function, for example by functools.partial"
JOINED = (
    "Join Tensors by np.stack instead of np.array or y[i] = …, make an array that a Tensor indexes "
    "a Tensor or an argument"
)


class Untraceable(TypeError):  # noqa: N818  # reads as what the function is
    """A function cannot be compiled; the message says what it does, and how to do without."""


def _refused(method: str, what: str, instead: str = ITSELF) -> Callable[..., Any]:
    """A method that raises where a function is traced; in another thread it works as ever."""

    def refuse(self: Any, *args: Any, **kwargs: Any) -> Any:
        if recorder() is None:
            return getattr(super(Refusing, self), method)(*args, **kwargs)
        return self._refuse(what, instead)

    refuse.__name__, refuse.__doc__ = method, "Refused."
    return refuse


def _refused_property(name: str) -> property:
    """The same for `.value` and `.grad`, to read and to set."""
    kept: property = getattr(Tensor, name)

    def read(self: Any) -> Any:
        return kept.__get__(self) if recorder() is None else self._refuse(f".{name}")

    def write(self: Any, value: Any) -> None:
        if recorder() is not None:
            self._refuse(f"setting .{name} (optimizer.step(gradients) is compiled)")
        kept.__set__(self, value)

    return property(read, write, doc="Refused.")


class Refusing:
    """What a Tensor does not do while it is traced."""

    __slots__ = ()

    def _refuse(self, what: str, instead: str = ITSELF) -> NoReturn:
        name = getattr(self, "name", None)
        name = f" of {name!r}" if name else ""
        node = getattr(self, "node", None)
        made = f", made by {node.primitive.name}," if node and node.inputs else ""
        error = Untraceable(
            f"{what}{name}: a Tensor of shape {self.shape}{made} is asked for its value while the "
            "function is traced; the compiled code would keep that value as a constant for ever. "
            f"{instead}, return it as a result, or "
            "run the function uncompiled (fit(compiled=False), --eager)"
        )
        if (trace := recorder()) is not None:
            trace.refused.append(error)
        raise error

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes, which are the same in every call."""
        shape: tuple[int, ...] = self._value.shape  # type: ignore[attr-defined]  # of Tensor
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the value."""
        dtype: np.dtype[Any] = self._value.dtype  # type: ignore[attr-defined]  # of Tensor
        return dtype

    value = _refused_property("value")
    grad = _refused_property("grad")
    backward = _refused("backward", "backward(); tg.grad(loss, parameters) is traced")
    item = _refused("item", "item()")
    __bool__ = _refused("__bool__", "bool(), such as in an `if`,")
    __float__ = _refused("__float__", "float()")
    __int__ = _refused("__int__", "int()")
    __index__ = _refused("__index__", "a whole number, as in range(), a shape or an axis,", AROUND)
    __array__ = _refused("__array__", "np.asarray()", JOINED)

    def __str__(self) -> str:
        return f"Traced(shape={self.shape}, dtype={self.dtype})"

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return str(self)

    def holds(self, value: Any) -> bool:
        """Whether this very array is its value still; a traced update has changed it."""
        trace = recorder()
        kept: bool = self._value is value  # type: ignore[attr-defined]  # of Tensor
        return kept and (trace is None or id(self) not in trace.updated)

    def check(self, test: Check) -> None:
        """Run on the whole inputs that this value is taken from, now and at every call."""
        for source in sources(self):
            node = source.node if isinstance(source, Operand) else CONSTANT
            if node not in (CONSTANT, None) and node.primitive is not INPUT:
                self._refuse("a check of computed indices or labels", "Give them as an argument")
            test(source._value if isinstance(source, Tensor) else source)
            if node is not None and node.primitive is INPUT:
                node.attributes["checks"].append(test)


def sources(x: Any) -> Iterator[Any]:
    """The Tensors and arrays of which the elements are those of `x`.

    A place along an axis that becomes a narrower number with a sign is one still, from the end.
    """
    node = getattr(x, "node", None)
    signed = node is not None and node.primitive is elementwise.cast and x.dtype.kind == "i"
    if node is None or (node.primitive not in PASSED_ON and not signed):
        yield x
        return
    for given in node.inputs[:1] if node.primitive is shape.index else node.inputs:
        yield from sources(given)


class Traced(Refusing, Tensor):
    """A Tensor on which a function is traced."""

    __slots__ = ()


class TracedParameter(Refusing, Parameter):
    """A Parameter for the length of a trace."""

    __slots__ = ()


# So Python's own errors call them, such as that of `x % 2`.
Traced.__name__, TracedParameter.__name__ = Tensor.__name__, Parameter.__name__


def check_key(primitive: Primitive, inputs: tuple[Any, ...], attributes: Any) -> None:
    """An index array may reach no further than its axis, at any call."""
    dims = inputs[0].shape if primitive is shape.index else attributes["shape"]
    for x, length in zip(inputs[1:], _lengths(attributes["key"], dims, inputs[1:]), strict=True):
        if not isinstance(x, Refusing):
            continue
        if x.dtype.kind == "b":
            x._refuse("an index by a mask: the number of elements is a value too; it")
        if not all(_is_place(source, length) for source in sources(x)):
            x.check(lambda a, n=length: _inside(a, n))  # type: ignore[misc]  # n is bound here


def _is_place(x: Any, length: int) -> bool:
    """Whether it tells places along an axis that is no longer than this."""
    node = getattr(x, "node", None)
    if node is None or node.primitive not in (reduction.argmax, reduction.argsort):
        return False
    dims, axis = node.inputs[0].shape, node.attributes["axis"]
    return bool((prod(dims) if axis is None else dims[axis]) <= length)


def _inside(places: Array, length: int) -> None:
    if places.size and not (-length <= places.min() and places.max() < length):
        wrong = places.min() if places.min() < -length else places.max()
        raise IndexError(f"the index {wrong} is out of bounds for an axis of length {length}")


def _lengths(key: tuple[Any, ...], dims: tuple[int, ...], arrays: Sequence[Any]) -> Iterator[int]:
    """The length of the axis that each array of a key goes along."""
    masks = iter(arrays)
    axis = 0
    taken = [p for p in key if p is not None and p is not Ellipsis]
    for part in key:
        if part is ARRAY:
            x = next(masks)
            yield dims[axis] if axis < len(dims) else 0
            axis += x.ndim if x.dtype.kind == "b" else 1
        elif part is Ellipsis:
            wide = sum(x.ndim - 1 for x in arrays if x.dtype.kind == "b")
            axis += len(dims) - len(taken) - wide
        elif part is not None:
            axis += 1


@contextmanager
def refusing(trace: Any, parameters: Sequence[Tensor]) -> Iterator[None]:
    """Let `trace` record, and the Parameters be traced ones; they stay the same objects."""
    classes = [type(p) for p in parameters]
    try:
        for p in parameters:
            p.__class__ = TracedParameter if isinstance(p, Parameter) else Traced
        with tracing(trace):
            yield
    finally:
        for p, kind in zip(parameters, classes, strict=True):
            p.__class__ = kind
