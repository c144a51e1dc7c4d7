"""`tg.compile`: a function of arrays and Parameters as machine code, traced once per signature."""

from __future__ import annotations

import copy
import inspect
import threading
import warnings
from collections.abc import Callable, Mapping
from types import MethodType
from typing import Any

import numpy as np

from tarograd.compiler.surroundings import Surroundings
from tarograd.compiler.trace import Unknown, Untraceable
from tarograd.compiler.version import Version
from tarograd.graph import current_context
from tarograd.inputs import recorder
from tarograd.tensor import Tensor

_TRACING = threading.RLock()  # the Parameters are traced ones meanwhile
TRACES = 4  # of one function, until all Tensors that it uses are known
STATIC = (str, bytes, bool, type(None))


class Compiled:
    """A compiled function; `tg.compile` makes it.

    Calling it with arrays gives arrays. Each new combination of shapes and dtypes is traced on
    its first call, and traced again when something around the function has changed.

    Attributes:
        function: what was compiled.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._surroundings = Surroundings(function)
        self.function = self.__wrapped__ = function
        self._signature = inspect.signature(function)
        kinds = {p.kind for p in self._signature.parameters.values()}
        plain = kinds <= {inspect.Parameter.POSITIONAL_OR_KEYWORD}
        self._names = tuple(self._signature.parameters) if plain else None
        self._known: dict[Any, Version] = {}
        self._last: Version | None = None
        self.__doc__ = function.__doc__
        name = getattr(function, "__name__", "f")
        self.__name__ = name if name.isidentifier() and not name.startswith("_") else "f"

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Compute.

        Args:
            *arguments: arrays and numbers; texts, True, False and None are as in eager code, and
                others of them are traced anew.
            **named: the same, by the names of the function's arguments.

        Raises:
            Untraceable: at the first call, if the function does what cannot be compiled.
            TypeError: for a Tensor, since nothing could be differentiated through the result.
            ArithmeticError: if the machine code computes something else than eager code.
        """
        if recorder() is not None:  # inside of another compiled function: a part of it
            return self.function(*arguments, **named)
        bound = self._bound(arguments, named)
        arrays = {k: _array(k, x) for k, x in bound.items() if not isinstance(x, STATIC)}
        signature = (
            current_context(),
            tuple(
                (k, x if k not in arrays else (arrays[k].shape, arrays[k].dtype, type(x) is float))
                for k, x in bound.items()
            ),
        )
        if self._known and self._surroundings.changed() is not None:
            self._known.clear()
            self._surroundings = Surroundings(self.function)
        version = self._known.get(signature)
        if version is None:
            version = self._known[signature] = self._traced(bound, arrays)
        self._last = version
        return version(arrays)

    def __get__(self, instance: Any, owner: Any = None) -> Compiled:
        """As a method: compiled for each object by itself."""
        if instance is None:
            return self
        key = f"_compiled_{self.__name__}"
        if key not in vars(instance):
            vars(instance)[key] = Compiled(MethodType(self.function, instance))
        bound: Compiled = vars(instance)[key]
        return bound

    def __deepcopy__(self, memo: dict[int, Any]) -> Compiled:
        return Compiled(copy.deepcopy(self.function, memo))

    def __repr__(self) -> str:
        return f"compile({self.__name__})"

    def source(self) -> str:
        """The last called signature as readable NumPy.

        Raises:
            ValueError: before the first call.
        """
        return self._called("source").source()

    def report(self) -> str:
        """What the machine code of the last called signature consists of, kernel by kernel.

        Raises:
            ValueError: before the first call.
        """
        return self._called("report").report()

    @property
    def graph(self) -> Tensor:
        """The last call as a graph of Tensors, which `tg.draw` draws.

        Raises:
            ValueError: before the first call.
        """
        return self._called("graph").graph()

    def _called(self, what: str) -> Version:
        if self._last is None:
            raise ValueError(f"{self.__name__}.{what}: call it first; a call tells the shapes")
        return self._last

    def _bound(self, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by name, those of `*args` by their number."""
        if not named and self._names is not None and len(arguments) == len(self._names):
            return dict(zip(self._names, arguments, strict=True))  # which takes a tenth of the time
        bound = self._signature.bind(*arguments, **named)
        bound.apply_defaults()
        found: dict[str, Any] = {}
        for name, value in bound.arguments.items():
            kind = self._signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_POSITIONAL:
                found |= {f"argument{i}": x for i, x in enumerate(value)}
            elif kind is inspect.Parameter.VAR_KEYWORD:
                found |= value
            else:
                found[name] = value
        return found

    def _call(self, values: Mapping[str, Any]) -> Any:
        """The function, of what `_bound` gave."""
        rest, positional = dict(values), list[Any]()
        named: dict[str, Any] = {}
        for name, parameter in self._signature.parameters.items():
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                keys = [k for k in rest if k.startswith("argument")]
                positional += [rest.pop(k) for k in keys]
            elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
                named |= rest
            elif parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                named[name] = rest.pop(name)
            else:
                positional.append(rest.pop(name))
        return self.function(*positional, **named)

    def _traced(self, bound: Mapping[str, Any], arrays: Mapping[str, Any]) -> Version:
        """Trace and compile, again if the function turns out to use more Tensors than were seen."""

        def function(*tensors: Tensor) -> Any:
            return self._call({**bound, **dict(zip(arrays, tensors, strict=True))})

        given = {k: x if isinstance(x := bound[k], float) else a for k, a in arrays.items()}
        with _TRACING:
            for attempt in range(TRACES):
                before = self._surroundings.dice()
                try:
                    version = Version(function, given, self._surroundings.leaves, self.__name__)
                    break
                except Unknown as error:
                    if attempt == TRACES - 1:
                        raise
                    self._surroundings.add(error.leaf)
        if self._surroundings.dice() != before:
            raise Untraceable(
                f"{self.__name__} draws random numbers with NumPy or Python: the compiled code "
                "would use those of this one call for ever. Draw them outside and give them as an "
                "argument, or use tg.dropout or tg.nn.Dropout"
            )
        if version.why is not None:
            message = f"{self.__name__} runs as NumPy, not as machine code: {version.why}"
            warnings.warn(message, stacklevel=4)
        return version


def _array(name: str, x: Any) -> Any:
    if isinstance(x, Tensor):
        raise TypeError(
            f"{name} is a Tensor: a compiled function takes arrays and gives arrays, through which "
            f"nothing can be differentiated; give {name}.value, and use tg.grad inside"
        )
    array = np.asarray(x)
    if array.dtype.kind not in "fiub":
        given = f"{array.dtype} {type(x).__name__}" if array.dtype != object else type(x).__name__
        raise TypeError(f"{name}: {given}: an array of floats, whole numbers or bools is needed")
    return array


def compile(function: Callable[..., Any]) -> Compiled:
    """Compile a function of arrays and Parameters to machine code.

    Args:
        function: gets a Tensor for each argument and returns a Tensor, or a tuple, list or dict
            of them. The Parameters and Layers that it uses from around itself are found, and
            their current values are read at each call. `tg.grad` may be used inside, and
            `optimizer.step(gradients)`, which updates the parameters at each call. Other arrays
            from around it are constants: one that is changed in place is not noticed.

    Returns:
        the same function, of arrays; its `source()` is readable NumPy, its `report()` tells what
        the machine code does, its `graph` can be drawn. Where there is no machine code for it,
        that NumPy runs, and a warning says why.

    Raises:
        Untraceable: at a call, if the function asks a Tensor for its value: the compiled code
            would keep it as a constant.
        TypeError: for something that is no function, method or layer.

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
    return Compiled(function)
