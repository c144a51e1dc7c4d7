"""Version: a compiled function for arguments of one signature."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from tarograd.compiler.compare import difference, evaluated, unequal
from tarograd.compiler.lower import lower
from tarograd.compiler.numpy_source import executable, numpy_source
from tarograd.compiler.program import Program, Value
from tarograd.compiler.recording import Recording
from tarograd.compiler.rewrite import rewrite
from tarograd.compiler.trace import Untraceable
from tarograd.graph import CONSTANT, Array, Node
from tarograd.ops import shape
from tarograd.structure import built
from tarograd.tensor import Tensor

LARGE = 2**16  # bytes


class Version:
    """A function as machine code, or as readable NumPy where that is not possible.

    Args:
        recording: the function, traced.
        arguments: those that it was traced with, by name.

    Attributes:
        program: its graph, rewritten.
        why: why it runs as NumPy; None for machine code.

    Raises:
        ArithmeticError: if the machine code computes something else than eager code did.
    """

    def __init__(self, recording: Recording, arguments: Mapping[str, Any]) -> None:
        self._trace, program, self._returned = recording
        program = rewrite(program)
        used = {id(v) for v in program.order()}
        kept = {k: v for k, v in program.inputs.items() if k in arguments or id(v) in used}
        self.program = replace(program, inputs=kept)
        self._live = {k: read for k, read in self._trace.live.items() if k in kept}
        places = {name: i for i, name in enumerate(kept)}
        checks = program.checks.items()
        self._checks = [(places[k], check) for k, some in checks if k in kept for check in some]
        self._lock = threading.Lock()
        self.why: str | None = None
        self._native: Any = None
        self._held: dict[str, Array] = {}  # what lies in the memory of the machine code
        given = [np.asarray(arguments[k]) if k in arguments else self._live[k]() for k in kept]
        self._run = self._compiled(given)
        self._given: list[Array] = given
        self._trace.forget()

    def _compiled(self, given: Sequence[Array]) -> Callable[..., Sequence[Array]]:
        """The function of all inputs, held against what eager code has just computed."""
        try:
            from tarograd.compiler.llvm.native import Native

            lowered = lower(self.program)
            inputs = dict(zip(lowered.inputs, given, strict=True))
            external = {
                k: inputs[k] if inputs[k].nbytes >= LARGE else np.array(inputs[k], order="C")
                for k in where_they_are(lowered)
                if k not in self._live
            }
            self._native = Native(lowered, external)
            self._locate()
        except Untraceable as error:
            self.why = str(error)
        except (ImportError, OSError, RuntimeError) as error:
            self.why = f"LLVM cannot be used here: {error}"
        if self.why is not None:
            return executable(self.program)
        found = self._machine(*given)
        inputs = dict(zip(self.program.inputs, given, strict=True))
        expected = [self._trace.expected[k] for k in self.program.outputs]
        outputs = list(self.program.outputs.values())
        wrong = unequal(self.program, inputs, outputs, found, expected)
        if wrong is not None:
            node = difference(lowered, inputs, lambda p: Native(p)(*given))
            raise ArithmeticError(
                f"the machine code of {self.program.name} gives another "
                f"{list(self.program.outputs)[wrong]!r} than eager code; the first node that "
                f"differs is {node or 'none by itself'}; please report this"
            )
        return self._machine

    def _locate(self) -> None:
        """Find where the inputs and results of the machine code lie.

        A result that is an input as it is may have been overwritten there: it is told by its name.
        """
        native, inputs = self._native, self._native.program.inputs
        self._fed = native.fed
        # A small one is copied there, which takes less time than to tell where it lies.
        small = {k: a for k, a in native.external.items() if a.nbytes < LARGE}
        placed = {k: v for k, v in inputs.items() if k not in native.external}
        self._views = {k: native.view(v) for k, v in placed.items()} | small
        names = {id(v): name for name, v in inputs.items()}
        self._results = {
            name: (None if id(v) in names else native.place(name), names.get(id(v)))
            for name, v in native.program.outputs.items()
        }

    def _machine(self, *given: Array) -> Sequence[Array]:
        """Run the machine code. What lies in its memory already is not copied there again."""
        held, self._held = self._held, {}
        fed: dict[str, Array] = {}
        inputs = dict(zip(self.program.inputs, given, strict=True))
        for name, x in inputs.items():
            if name in self._fed:
                fed[name] = np.asarray(x)
            elif name not in self._views:
                self._native.external[name] = np.ascontiguousarray(x)
            elif name not in held or held[name] is not x:
                self._views[name][...] = x
        self._native.run(fed)
        results: dict[str, Array] = {
            name: np.array(inputs[same] if same else view)
            for name, (view, same) in self._results.items()
        }
        known = inputs | results
        self._held = {name: known[name] for name in self._live}
        return list(results.values())

    def __call__(self, arguments: Mapping[str, Any]) -> Any:
        """Compute, and write what the function updates."""
        with self._lock:
            given = [
                self._live[k]() if k in self._live else arguments[k] for k in self.program.inputs
            ]
            for place, check in self._checks:
                check(given[place])
            self._given = given
            results = dict(zip(self.program.outputs, self._run(*given), strict=True))
            for done in self._trace.updates:
                states = [{k: results[s] for k, s in names.items()} for names in done.states]
                values = [results[w] for w in done.values]
                done.optimizer.take(list(zip(values, states, strict=True)))
            for count in self._trace.counts.values():
                owner = count.owner()
                setattr(owner, count.attribute, getattr(owner, count.attribute) + count.calls)
        return built(lambda name: None if name is None else results[name], self._returned)

    def source(self) -> str:
        """The function as readable NumPy."""
        return numpy_source(self.program)[0]

    def report(self) -> str:
        """What the machine code consists of."""
        from tarograd.compiler.report import report

        if self._native is None:
            return f"{self.program.name} runs as NumPy: {self.why}"
        from tarograd.compiler.llvm.timing import timed

        with self._lock:
            return report(self._native.plan, timed(self._native))

    def graph(self) -> Tensor:
        """The graph of the last call, from its inputs to its first result."""
        program = self.program
        inputs = dict(zip(program.inputs, self._given, strict=True))
        order, values = program.order(), evaluated(program, inputs)
        tensors: dict[int, Tensor] = {}
        for v, value in zip(order, values, strict=True):
            given = tuple(tensors.get(id(x), x) for x in v.inputs)
            arrays = tuple(x.value if isinstance(x, Tensor) else x for x in given)
            node: Node | None = None
            if v.primitive is not None:
                node = Node(v.primitive, given, v.attributes, v.group, arrays)
            elif v.array is not None or value.dtype.kind != "f":
                node = CONSTANT
            tensors[id(v)] = Tensor._computed(np.array(value), node)  # type: ignore[arg-type]  # leaf
            tensors[id(v)].name = v.name
        return tensors[id(next(iter(program.outputs.values())))]


def where_they_are(program: Program) -> list[str]:
    """The inputs that are best read where they are.

    That are those of which only some rows are read, or which are read in another shape, and large
    ones, which take longer to copy into rows of whole vectors than to read.

    Example:
        >>> from tarograd.compiler.trace import trace
        >>> given = {"x": np.ones((9, 3)), "rows": np.arange(2)}
        >>> picked = trace(lambda x, rows: x[rows] * 2, given)
        >>> where_they_are(picked)
        ['x']
    """
    users: dict[int, list[Value]] = {}
    for v in program.order():
        for x in v.operands:
            users.setdefault(id(x), []).append(v)
    kept = {id(v) for v in program.outputs.values()}
    found = []
    for name, v in program.inputs.items():
        parts = [
            u.primitive in (shape.reshape, shape.index) and u.operands[0] is v and id(u) not in kept
            for u in users.get(id(v), [])
        ]
        large = prod(v.shape) * v.dtype.itemsize >= LARGE
        if parts and (large or all(parts)) and id(v) not in kept and v.shape:
            found.append(name)
    return found
