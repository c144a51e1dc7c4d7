"""Trace: run a function once on real values, and keep the graph that it recorded.

While it runs, its Tensors refuse to show their values: a number that leaves the graph, is worked
on outside and comes back would be baked into the compiled code as the constant of this one run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from tarograd.compiler.program import Check, Program, Value
from tarograd.graph import CONSTANT, Array, Node, Operand, Primitive, topological_order
from tarograd.inputs import tracing
from tarograd.ops import random, shape
from tarograd.tensor import Parameter, Tensor

# Joins all outputs, so that they have one topological order. An input is what it was computed by.
_JOIN = Primitive(name="outputs", symbol="", forward=lambda *_: 0.0)
_INPUT = Primitive(name="input", symbol="", forward=lambda: 0.0)
DRAWS = (random.uniform, random.normal, random.bernoulli)


class Untraceable(TypeError):  # noqa: N818  # reads as what the function is
    """A function cannot be compiled; the message says what it does, and how to do without."""


class Refusing:
    """What a Tensor does not do while it is traced."""

    __slots__ = ()

    def _refuse(self, what: str) -> NoReturn:
        name = getattr(self, "name", None)
        name = f" of {name!r}" if name else ""
        node = getattr(self, "node", None)
        made = f", made by {node.primitive.name}," if node and node.inputs else ""
        raise Untraceable(
            f"{what}{name}: a Tensor of shape {self.shape}{made} is asked for its value while the "
            "function is traced; the compiled code would keep that value as a constant for ever. "
            "Compute with the Tensor itself (np.where instead of `if`), return it as a result, or "
            "run the function uncompiled (fit(compiled=False), --eager)"
        )

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

    @property
    def value(self) -> Any:
        """Refused."""
        self._refuse(".value")

    @value.setter
    def value(self, value: Any) -> None:
        self._refuse("setting .value")

    @property
    def grad(self) -> Any:
        """Refused."""
        self._refuse(".grad")

    @grad.setter
    def grad(self, grad: Any) -> None:
        self._refuse("setting .grad")

    def backward(self, upstream: Any = None) -> None:
        """Refused."""
        self._refuse("backward(); tg.grad(loss, parameters) is traced")

    def item(self) -> float:
        """Refused."""
        self._refuse("item()")

    def __bool__(self) -> bool:
        self._refuse("bool(), such as in an `if`,")

    def __float__(self) -> float:
        self._refuse("float()")

    def __int__(self) -> int:
        self._refuse("int()")

    def __str__(self) -> str:
        return f"Traced(shape={self.shape}, dtype={self.dtype})"

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return str(self)

    def __array__(self, *args: Any, **kwargs: Any) -> Array:
        self._refuse("np.asarray()")

    def holds(self, value: Any) -> bool:
        """Whether this very array is its value still."""
        return self._value is value  # type: ignore[attr-defined]  # of Tensor

    def check(self, test: Check) -> None:
        """Run on the whole input that this value is taken from, now and at every call."""
        source: Any = self
        while source.node and source.node.primitive in (shape.index, shape.reshape):
            source = source.node.inputs[0]
        if not isinstance(source, Operand) or source.node is None:
            self._refuse("a check of the values")
        if source.node.primitive is _INPUT:
            test(source._value)  # type: ignore[attr-defined]  # of Tensor
            source.node.attributes["checks"].append(test)
        elif source.node is not CONSTANT:
            self._refuse("a check of the values")


class Traced(Refusing, Tensor):
    """A Tensor on which a function is traced."""

    __slots__ = ()

    def record(self, primitive: Primitive, inputs: tuple[Any, ...], attributes: Any) -> Tensor:
        """Record, unless the shape of the result would depend on values."""
        for x in inputs[1:] if primitive is shape.index else ():
            if isinstance(x, Traced) and x.dtype.kind == "b":
                x._refuse("an index by a mask: the number of elements is a value too; it")
        return super().record(primitive, inputs, attributes)


class TracedParameter(Refusing, Parameter):
    """A Parameter for the length of a trace."""

    __slots__ = ()


def traced_input(name: str, value: ArrayLike) -> Tensor:
    """An argument of the traced function; unlike other Tensors it may hold whole numbers."""
    node = Node(_INPUT, (), {"checks": []})
    tensor = Traced._computed(np.asarray(value).view(), node)  # locked, but not copied
    tensor.name = name
    return tensor


@contextmanager
def _refusing(parameters: Sequence[Tensor]) -> Iterator[None]:
    """Let the Parameters be traced ones for a while; they stay the same objects."""
    classes = [type(p) for p in parameters]
    try:
        for p in parameters:
            p.__class__ = TracedParameter if isinstance(p, Parameter) else Traced
        with tracing(Traced):
            yield
    finally:
        for p, kind in zip(parameters, classes, strict=True):
            p.__class__ = kind


def trace(
    function: Callable[..., Any],
    arguments: Mapping[str, ArrayLike],
    parameters: Mapping[str, Tensor] | None = None,
    name: str = "f",
) -> Program:
    """Record what a function computes of its arguments.

    Args:
        function: called with a Tensor for each argument, in order. It returns a Tensor, or a dict
            of Tensors by name.
        arguments: an example of each argument; shape and dtype are what matters.
        parameters: the Tensors that the function uses besides, by name: inputs too.
        name: of the program.

    Raises:
        Untraceable: if a value would be baked in, or a Tensor is used that is none of these.

    Example:
        >>> print(trace(lambda apple: apple * 2 + 1, {"apple": 100.0}))
        v0 = input apple() float64
        v1 = multiply(v0, 2) () float64
        v2 = add(v1, 1) () float64
        return v2
    """
    parameters = parameters or {}
    inputs = {key: traced_input(key, value) for key, value in arguments.items()}
    with _refusing(list(parameters.values())):
        results = function(*inputs.values())
        named = results if isinstance(results, dict) else {"result": results}
        for key, result in named.items():
            if not isinstance(result, Tensor):
                raise Untraceable(
                    f"{name} returns {type(result).__name__} as {key!r}: a compiled function "
                    "returns Tensors that were computed from its arguments or parameters"
                )
        leaves: dict[str, Tensor] = {**inputs, **parameters}
        return _program(name, leaves, named)


def _program(name: str, leaves: Mapping[str, Tensor], results: Mapping[str, Tensor]) -> Program:
    """The recorded graph without its values."""
    values: dict[int, Value] = {}
    for key, leaf in leaves.items():
        values[id(leaf)] = Value(leaf.shape, leaf.dtype, name=key)
    joined = Tensor._computed(0.0, Node(_JOIN, tuple(results.values()), {}))
    for x in topological_order(joined)[:-1]:
        if id(x) not in values:
            values[id(x)] = _value(x, values)
    nodes = {k: t.node for k, t in leaves.items() if t.node is not None}
    checks = {k: list(node.attributes["checks"]) for k, node in nodes.items()}
    inputs = {key: values[id(leaf)] for key, leaf in leaves.items()}
    outputs = {key: values[id(t)] for key, t in results.items()}
    return Program(name, inputs, outputs, {k: found for k, found in checks.items() if found})


def _value(x: Any, values: Mapping[int, Value]) -> Value:
    node = x.node
    if node is None:
        raise Untraceable(
            f"the function uses the Tensor {x.name or 'without a name'} of shape {x.shape}, which "
            "is neither an argument nor one of its parameters: make it an argument"
        )
    if node.primitive in DRAWS and not isinstance(node.inputs[0], Operand):
        raise Untraceable(
            f"{node.primitive.name} with the fixed step {node.inputs[0]}: every call would draw "
            "the same numbers; give the step as an argument: tg.context(seed=…, step=argument)"
        )
    if not node.inputs:
        return Value(x.shape, x.dtype, array=x._value)
    inputs = []
    for given in node.inputs:
        if isinstance(given, Operand):
            inputs.append(values[id(given)])
        elif isinstance(given, np.ndarray):
            inputs.append(Value(given.shape, given.dtype, array=given))
        else:
            inputs.append(given)
    name = x.name if isinstance(x, Tensor) else None
    return Value(
        x.shape, x.dtype, node.primitive, tuple(inputs), node.attributes, name, None, node.group
    )
