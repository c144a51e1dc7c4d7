"""Trace: run a function once on real values, and keep the graph that it recorded.

What it reads besides its arguments and changes, such as parameters, the state of an optimizer
and the number of a step, are inputs and outputs of the graph too: `Live` ones, which the compiled
code reads before each call and writes after it.

In comes a function, here of the price of an apple, how many Tarō buys, and the tax; out comes the
graph of what it computed, forward and backward, without the numbers:

    >>> import tarograd as tg
    >>> from tarograd.compiler.trace import trace
    >>> def shop(apple, count, tax):
    ...     payment = apple * count * tax
    ...     return [payment, *tg.grad(payment, [apple, count, tax])]
    >>> program = trace(shop, {"apple": 100.0, "count": 2.0, "tax": 1.1}, name="shop")
    >>> print(program)
    v0 = input apple() float64
    v1 = input count() float64
    v2 = multiply(v0, v1) () float64
    v3 = input tax() float64
    v4 = multiply(v2, v3) () float64
    v5 = constant () float64
    v6 = multiply(v5, v3) () float64
    v7 = multiply(v6, v1) () float64
    v8 = multiply(v6, v0) () float64
    v9 = multiply(v5, v2) () float64
    return v4, v7, v8, v9

v5 is the derivative of the payment with respect to itself, 1, from which backward begins.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tarograd.compiler.guard import INPUT, Traced, check_key, refusing
from tarograd.compiler.guard import Untraceable as Untraceable
from tarograd.compiler.naming import Naming, free_name
from tarograd.compiler.program import Program, Value
from tarograd.compiler.updates import Update, updated
from tarograd.graph import (
    CONSTANT,
    Array,
    Node,
    Operand,
    Primitive,
    current_group,
    topological_order,
)
from tarograd.inputs import NUMBERS
from tarograd.ops import elementwise, random, shape
from tarograd.structure import flattened
from tarograd.tensor import Parameter, Tensor

WEAK = (int, float, np.generic)  # numbers that adapt their dtype, as in `as_input`
DRAWS = (random.uniform, random.normal, random.bernoulli)


def traced_input(name: str, value: ArrayLike) -> Tensor:
    """An argument of the traced function; unlike other Tensors it may hold whole numbers."""
    node = Node(INPUT, (), {"checks": []})
    tensor = Traced._computed(np.asarray(value).view(), node)  # locked, but not copied
    tensor.name = name
    return tensor


class Unknown(Untraceable):
    """The function uses Tensors that are neither arguments nor parameters: `leaves`."""

    def __init__(self, leaves: Sequence[Tensor]) -> None:
        leaf = leaves[0]
        super().__init__(
            f"the function uses the Tensor {leaf.name or 'without a name'} of shape {leaf.shape}, "
            "which is neither an argument nor one of its parameters: make it an argument"
        )
        self.leaves = leaves


@dataclass
class Count:
    """Something that counts its calls, such as Dropout; `first` is the number before this run."""

    owner: weakref.ref[Any]
    attribute: str
    first: Tensor
    calls: int = 0


class Trace:
    """One run of a function, as a graph.

    Args:
        parameters: the Tensors that the function uses besides its arguments, by name.

    Attributes:
        live: how to read the inputs that are no arguments, by their names.
        updates: the steps of optimizers.
        counts: what counts its calls.
        updated: the new values of parameters, by the `id` of these.
        expected: the results of this run, by the names of the outputs.
        refused: what a Tensor was asked for and did not tell.
    """

    def __init__(self, parameters: Mapping[str, Tensor] | None = None) -> None:
        self.parameters = dict(parameters or {})
        self.names = {id(p): name for name, p in self.parameters.items()}
        self.live: dict[str, Callable[[], Any]] = {
            name: lambda p=p: p.value  # type: ignore[misc]  # p is bound here
            for name, p in self.parameters.items()
        }
        self.inputs: dict[str, Tensor] = {}
        self.outputs: dict[str, Tensor] = {}
        self.updates: list[Update] = []
        self.updated: dict[int, Tensor] = {}
        self.counts: dict[int, Count] = {}
        self.expected: dict[str, Array] = {}
        self.refused: list[Untraceable] = []
        self._weak: dict[int, Tensor] = {}
        self._made: dict[int, Tensor] = {}
        self._naming = Naming(self.names)

    def run(
        self,
        function: Callable[..., Any],
        arguments: Mapping[str, ArrayLike],
        name: str = "f",
        apart: Collection[str] | None = None,
    ) -> tuple[Program, Any]:
        """Trace the function of these arguments; `trace` says more.

        Args:
            function: what is traced.
            arguments: an example of each of its arguments, by name.
            name: of the program.
            apart: names that no result has; if given, none is the new value of an input, either.

        Returns:
            the program, and what the function returned, flattened, with the names of outputs.
        """
        given = {key: traced_input(key, value) for key, value in arguments.items()}
        self.inputs = {**given, **self.parameters}
        for key, value in arguments.items():
            if isinstance(value, WEAK):
                self._weak[id(given[key])] = given[key]
        with refusing(self, list(self.parameters.values())):
            try:
                results = function(*given.values())
            except Exception as error:
                if self.refused and not isinstance(error, Untraceable):  # NumPy's own says less
                    raise self.refused[-1] from error
                raise
            if self.refused:  # and caught by the function, which went another way than eager code
                raise self.refused[0]
            changed, self.outputs = self.outputs, {}
            taken = set(changed) if apart is None else {*changed, *self.inputs, *apart}
            returned = self._returned(name, results, taken)
            self.outputs |= changed
            if not self.outputs:
                raise _fruitless(name, f"an empty {type(results).__name__}")
            if any(count.owner() is None for count in self.counts.values()):
                raise Untraceable(
                    f"{name} makes a layer that draws random numbers anew in every call, so that "
                    "each draws the same: make it outside of the function"
                )
            self._naming.forward(topological_order(*self.outputs.values()))
            program = self._program(name, self.outputs)
        self.expected = {key: t._value for key, t in self.outputs.items()}
        return program, returned

    def _program(self, name: str, results: Mapping[str, Tensor]) -> Program:
        """The recorded graph without its values."""
        made = self._made.items()
        values = {key: Value(x.shape, x.dtype, array=x._value) for key, x in made}
        for key, leaf in self.inputs.items():
            values[id(leaf)] = Value(leaf.shape, leaf.dtype, name=key)
        order = topological_order(*results.values())
        if unknown := [x for x in order if id(x) not in values and x.node is None]:
            raise Unknown([x for x in unknown if isinstance(x, Tensor)])
        for x in order:
            if id(x) not in values:
                values[id(x)] = _value(x, values)
        nodes = {k: t.node for k, t in self.inputs.items() if t.node is not None}
        checks = {k: list(node.attributes["checks"]) for k, node in nodes.items()}
        inputs = {key: values[id(leaf)] for key, leaf in self.inputs.items()}
        outputs = {key: values[id(t)] for key, t in results.items()}
        return Program(name, inputs, outputs, {k: found for k, found in checks.items() if found})

    def shown(self, others: Sequence[Tensor] = ()) -> str:
        """The graph as a text, of other Tensors too: the same for two runs that do the same."""
        kept = {f"other{i}": x for i, x in enumerate(others)} | self.outputs
        return str(self._program("", kept))

    def forget(self) -> None:
        """Let go of the values of this run, but for what is read and written at each call."""
        for kept in (self.inputs, self.outputs, self.updated, self._weak, self._made):
            kept.clear()
        self.expected.clear()

    def _returned(self, name: str, results: Any, taken: set[str]) -> Any:
        """Make outputs of the results, and put their names in place of them."""

        def kept(key: str, x: Any) -> str | None:
            nothing = x is None and (self.updates or results is not None)
            return None if nothing else self._result(name, key, x, taken)

        return flattened(kept, results, "result")

    def _result(self, name: str, key: str, result: Any, taken: set[str]) -> str:
        if not isinstance(result, Tensor):
            raise _fruitless(name, f"{type(result).__name__} as {key!r}")
        while key in self.outputs or key in taken:
            key += "_"
        self.outputs[key] = self.updated.get(id(result), result)
        return key

    def _live(self, wanted: str, read: Callable[[], Any]) -> Tensor:
        """An input that is read anew before each call."""
        name = free_name(wanted, {*self.inputs, *self.outputs})
        self.live[name] = read
        self.inputs[name] = traced_input(name, read())
        return self.inputs[name]

    def update(self, optimizer: Any, gradients: Sequence[Any]) -> None:
        """A step of an optimizer, whose state and learning rate are inputs; see `Optimizer.step`.

        Raises:
            Untraceable: for a second step with the same parameter.
        """
        parameters, states = optimizer.parameters, optimizer.states
        if unknown := [p for p in parameters if id(p) not in self.names]:
            raise Unknown(unknown)
        for p in parameters:
            if id(p) in self.updated:
                raise _used(self.names[id(p)], "updated")
        lr = self._live("lr", lambda: np.float64(optimizer.learning_rate(optimizer.step_count)))
        count = self._live("count", lambda: np.float64(optimizer.step_count + 1))
        done = Update(optimizer, [self.names[id(p)] for p in parameters], [])
        new_values: dict[int, Tensor] = {}
        for i, (p, w) in enumerate(zip(parameters, done.values, strict=True)):
            old = {
                kind: self._live(f"{kind}_{w}", partial(_state, optimizer, i, kind))
                for kind in states[i]
            }
            done.states.append({kind: str(x.name) for kind, x in old.items()})
            new, state = updated(optimizer, p, gradients[i], old, lr, count)
            new_values[id(p)] = self.outputs[w] = new
            self.outputs |= {str(x.name): state[kind] for kind, x in old.items()}
        self.updated |= new_values
        self.updates.append(done)

    def count(self, owner: Any, attribute: str) -> Tensor:
        """The number of the call of `owner`, which goes on counting from call to call."""
        if id(owner) not in self.counts:
            seen = weakref.ref(owner)
            first = self._live("call", lambda: np.int64(getattr(seen(), attribute)))
            self.counts[id(owner)] = Count(seen, attribute, first)
        count = self.counts[id(owner)]
        count.calls += 1
        return count.first + (count.calls - 1) if count.calls > 1 else count.first

    def made(self, tensor: Tensor) -> None:
        """A Tensor that the function makes of an array is a constant; a Parameter is to stay."""
        if not isinstance(tensor, Parameter):
            self._made[id(tensor)] = tensor

    def backward(self, output: Tensor, walk: Iterator[Any]) -> Iterator[Any]:
        """The walk of `tg.grad`."""
        return self._naming.backward(output, walk)

    def admitted(
        self, primitive: Primitive, inputs: tuple[Any, ...], attributes: Any
    ) -> tuple[Any, ...]:
        """The inputs of an operation, if they may be, Python numbers in the dtype beside them."""
        if primitive in (shape.index, shape.scatter):
            check_key(primitive, inputs, attributes)
        for x in inputs:
            if id(x) in self.updated:
                raise _used(self.names[id(x)], primitive.name)
        if not self._weak or not (primitive.elementwise or primitive.promotes):
            return inputs
        dtypes = [x.dtype for x in inputs if hasattr(x, "dtype") and id(x) not in self._weak]
        floats = [dtype for dtype in dtypes if dtype.kind == "f"]
        kinds = "iuf" if floats else "iu"  # 0.5 beside whole numbers stays what it is
        beside = floats or [dtype for dtype in dtypes if dtype.kind in "iu"]
        weak = [x for x in inputs if id(x) in self._weak and x.dtype.kind in kinds]
        if not beside or not weak:
            return inputs
        dtype = np.result_type(*beside)
        cast = {id(x): x.astype(dtype) for x in weak if x.dtype != dtype}
        return tuple(cast.get(id(x), x) for x in inputs)

    def computed(self, y: Any, node: Node, how: tuple[Any, ...]) -> Tensor:
        """The result of an operation; what was not recorded is, but nothing flows back there."""
        primitive, inputs, values, attributes = how
        recorded = node is not CONSTANT
        if not recorded:
            node = Node(primitive, inputs, attributes, current_group(), values)
        result = Traced._computed(y, node)
        given = [x for x in inputs if id(x) not in self._weak and not isinstance(x, NUMBERS)]
        if all(map(_is_whole, given)) and (not given or _is_number(primitive, result)):
            self._weak[id(result)] = result
        if not recorded:
            node = Node(elementwise.stop_gradient, (result,), {}, current_group(), (result._value,))
            result = Traced._computed(y, node)
        return result


def _state(optimizer: Any, place: int, kind: str) -> Array:
    array: Array = optimizer.states[place][kind]
    return array


def _is_whole(x: Any) -> bool:
    """Whether it is one whole number, such as a count in the state of an optimizer."""
    return x.shape == () and x.dtype.kind in "iu"


def _is_number(primitive: Primitive, result: Tensor) -> bool:
    """Whether NumPy computes a number of such, which adapts its dtype as Python's numbers do."""
    computed = primitive.elementwise and primitive is not elementwise.cast
    return computed and result.shape == () and result.dtype.kind == "f"


def _fruitless(name: str, what: str) -> Untraceable:
    needed = (
        "Tensors that were computed from its arguments or parameters, alone or in tuples, lists"
    )
    return Untraceable(f"{name} returns {what}: a compiled function returns {needed} and dicts")


def _used(name: str, how: str) -> Untraceable:
    return Untraceable(
        f"{name} is used by {how!r} after optimizer.step has updated it: let a compiled function "
        "make one step, as its last computation with the parameters, and call it again"
    )


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
    return Trace(parameters).run(function, arguments, name)[0]


def _value(x: Any, values: Mapping[int, Value]) -> Value:
    node = x.node
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
