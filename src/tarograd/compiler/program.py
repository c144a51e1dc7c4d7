"""Program: what the compiler's stages hand on, a graph of values without the values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from tarograd.graph import Array, Group, Primitive


@dataclass(frozen=True, eq=False)
class Value:
    """What stands on an edge: an input, a constant, or the output of a primitive.

    Attributes:
        shape, dtype: of the array that will stand here.
        primitive: how it is computed; None for an input or a constant.
        inputs: Values, and Python numbers, which adapt their dtype.
        attributes: those of the primitive.
        name: what it is called in the source, if it has a name of its own.
        array: the array of a constant.
        group: the layer that it belongs to.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    primitive: Primitive | None = None
    inputs: tuple[Any, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    array: Array | None = None
    group: Group | None = None

    @property
    def operands(self) -> list[Value]:
        """The inputs that are Values."""
        return [x for x in self.inputs if isinstance(x, Value)]

    def is_op(self, primitive: Primitive) -> bool:
        """Whether it is computed by this primitive."""
        return self.primitive is primitive

    def __repr__(self) -> str:
        what = "input" if self.primitive is None else self.primitive.name
        what = "constant" if self.array is not None else what
        return f"{what} {self.name or ''}{self.shape} {self.dtype}"


def shortest(number: Any) -> Any:
    """A number of NumPy as Python's with as few digits as stand for it beside its own dtype.

    Example:
        >>> shortest(np.float32(0.1)), float(np.float32(0.1))
        (0.1, 0.10000000149011612)
    """
    exact = number.item()
    short = float(str(number)) if isinstance(number, np.float32) else exact
    return short if number.dtype.type(short) == number else exact


def uniform(array: Array) -> Any:
    """The number that all elements of an array are; None if they differ.

    Example:
        >>> uniform(np.full(3, 0.1, np.float32)), uniform(np.array([0.0, -0.0]))
        (0.1, None)
    """
    first = array[(0,) * array.ndim]
    held = array if array.size == 1 or any(array.strides) else first
    same = (held == first).all() and not (first == 0 and np.signbit(held).any())
    return shortest(first) if same else None


Check = Callable[[Array], None]


@dataclass(frozen=True)
class Program:
    """A function of arrays, written as a graph.

    Attributes:
        name: what it is called in the source.
        inputs: the arguments in order, by name.
        outputs: the results in order, by name; one named like an input is its new value.
        checks: what each argument has to fulfill at every call, by its name.
    """

    name: str
    inputs: Mapping[str, Value]
    outputs: Mapping[str, Value]
    checks: Mapping[str, list[Check]] = field(default_factory=dict)

    def order(self) -> list[Value]:
        """All Values that the outputs depend on, each after its inputs."""
        return [*self._order]

    @cached_property
    def _order(self) -> list[Value]:
        return ordered(self.outputs.values())

    def __str__(self) -> str:
        """One line per computed value, numbered.

        Example:
            >>> from tarograd.compiler.trace import trace
            >>> print(trace(lambda apple, count: apple * count, {"apple": 100.0, "count": 2.0}))
            v0 = input apple() float64
            v1 = input count() float64
            v2 = multiply(v0, v1) () float64
            return v2
        """
        order = self.order()
        labels = {id(v): f"v{i}" for i, v in enumerate(order)}
        lines = []
        for v in order:
            if v.primitive is None:
                lines.append(f"{labels[id(v)]} = {v!r}")
                continue
            inputs = ", ".join(labels.get(id(x), str(x)) for x in v.inputs)
            lines.append(
                f"{labels[id(v)]} = {v.primitive.name}({inputs}) "
                f"{dict(v.attributes) or ''}{v.shape} {v.dtype}"
            )
        returned = ", ".join(labels[id(v)] for v in self.outputs.values())
        return "\n".join([*lines, f"return {returned}"])


def ordered(outputs: Iterable[Value]) -> list[Value]:
    """All Values behind the outputs in the order in which they were first needed."""
    order: list[Value] = []
    seen: set[int] = set()
    stack = [(v, False) for v in reversed(list(outputs))]
    while stack:
        value, inputs_done = stack.pop()
        if inputs_done:
            order.append(value)
        elif id(value) not in seen:
            seen.add(id(value))
            stack.append((value, True))
            stack.extend((x, False) for x in reversed(value.operands))
    return order


def fed(value: Value, inputs: tuple[Any, ...]) -> Value:
    """The value with other inputs; the same object if they are the same ones."""
    same = all(new is old for new, old in zip(inputs, value.inputs, strict=True))
    return value if same else replace(value, inputs=inputs)


def rebuilt(program: Program, change: Callable[[Value, tuple[Any, ...]], Value]) -> Program:
    """The program with every computed value replaced by `change(value, its new inputs)`."""
    new: dict[int, Value] = {}
    for value in program.order():
        if value.primitive is None:
            new[id(value)] = value
        else:
            inputs = tuple(new[id(x)] if isinstance(x, Value) else x for x in value.inputs)
            new[id(value)] = change(value, inputs)
    outputs = {name: new[id(v)] for name, v in program.outputs.items()}
    return Program(program.name, program.inputs, outputs, program.checks)
