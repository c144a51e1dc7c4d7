"""`tg.compile`: a function of arrays and Parameters, traced once per signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tarograd.compiler.numpy_source import executable, numpy_source
from tarograd.compiler.program import Program
from tarograd.compiler.rewrite import rewrite
from tarograd.compiler.trace import Untraceable, trace
from tarograd.graph import Array
from tarograd.nn import Layer
from tarograd.tensor import Tensor

Signature = tuple[tuple[tuple[int, ...], str], ...]


class Compiled:
    """A compiled function; `tg.compile` makes it.

    Calling it with arrays gives arrays. Each new combination of shapes and dtypes is traced on
    its first call.

    Attributes:
        function: what was compiled.
        program: the graph of the last call, after rewriting.
    """

    def __init__(self, function: Callable[..., Any], parameters: Mapping[str, Tensor]) -> None:
        self.function = function
        self.parameters = parameters
        self.program: Program | None = None
        self._known: dict[Signature, tuple[Program, Callable[..., Any]]] = {}
        self.__doc__ = function.__doc__
        name = getattr(function, "__name__", "f")
        self.__name__ = name if name.isidentifier() and not name.startswith("_") else "f"

    def __call__(self, *arguments: Any) -> Any:
        """Compute.

        Raises:
            Untraceable: at the first call, if the function does what cannot be compiled.
        """
        arrays = [np.asarray(a) for a in arguments]
        signature = tuple((a.shape, a.dtype.str) for a in arrays)
        if signature not in self._known:
            self._known[signature] = self._compile(arrays)
        self.program, run = self._known[signature]
        for name, array in zip(self.program.inputs, arrays, strict=False):
            for check in self.program.checks.get(name, []):
                check(array)
        results = run(*arrays, *(p.value for p in self.parameters.values()))
        named = dict(zip(self.program.outputs, results, strict=True))
        return named["result"] if list(named) == ["result"] else named

    def source(self) -> str:
        """The last called signature as readable NumPy.

        Raises:
            ValueError: before the first call.
        """
        if self.program is None:
            raise ValueError(f"{self.__name__}.source(): call it first; a call tells the shapes")
        return numpy_source(self.program)[0]

    def _compile(self, arrays: Sequence[Array]) -> tuple[Program, Callable[..., Any]]:
        names = list(inspect.signature(self.function).parameters)
        if len(names) < len(arrays) or "*" in str(inspect.signature(self.function)):
            names = [f"argument{i}" for i in range(len(arrays))]
        given = dict(zip(names, arrays, strict=False))
        parameters = {k: p for k, p in self.parameters.items() if k not in given}
        if len(parameters) < len(self.parameters):
            clash = next(k for k in self.parameters if k in given)
            raise Untraceable(f"an argument and a parameter are both called {clash!r}")
        program = rewrite(trace(self.function, given, parameters, self.__name__))
        return program, executable(program)


def compile(function: Callable[..., Any]) -> Compiled:
    """Compile a function of arrays and Parameters.

    Args:
        function: gets a Tensor for each argument and returns a Tensor, or a dict of Tensors.
            The Parameters and Layers that it uses from around itself are found, and their
            current values are read at each call. `tg.grad` may be used inside.

    Returns:
        the same function, of arrays; its `source()` is readable NumPy.

    Raises:
        Untraceable: at a call, if the function asks a Tensor for its value: the compiled code
            would keep it as a constant.

    Example:
        >>> import tarograd as tg
        >>> count = tg.Parameter(2.0, "count")
        >>> payment = compile(lambda apple: apple * count * 1.1)
        >>> round(float(payment(100.0)), 9)
        220.0
        >>> count.value = 3.0
        >>> round(float(payment(100.0)), 9)
        330.0
    """
    found: dict[str, Tensor] = {}
    for name, value in _surroundings(function).items():
        for path, parameter in _parameters(name, value):
            if not any(parameter is p for p in found.values()):
                found[path.replace(".", "_")] = parameter
    return Compiled(function, found)


def _surroundings(function: Callable[..., Any]) -> dict[str, Any]:
    """What a function can see besides its arguments."""
    inner = inspect.unwrap(function)
    owner = {} if not inspect.ismethod(inner) else {"self": inner.__self__}
    if isinstance(inner, Layer):
        return {"": inner}
    if not inspect.isfunction(inner) and not owner:
        raise TypeError(f"compile: {function!r} is no function, method or layer")
    seen = inspect.getclosurevars(inner)
    return {**seen.globals, **seen.nonlocals, **owner}


def _parameters(name: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Layer):
        yield from value.named_parameters().items()
    elif isinstance(value, Tensor) and value.node is None:
        yield value.name or name, value
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _parameters(f"{name}{i}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _parameters(f"{name}_{key}", item)
