"""`tg.compile`: a function of arrays and Parameters as machine code, traced once per signature."""

from __future__ import annotations

import copy
import inspect
import re
import threading
import warnings
from collections.abc import Callable, Container, Iterable, Mapping
from types import FunctionType, MethodType
from typing import Any

import numpy as np

from tarograd.compiler.reach import METHODS
from tarograd.compiler.recording import Recording, record
from tarograd.compiler.surroundings import Surroundings, check
from tarograd.compiler.trace import WEAK, Trace, Unknown
from tarograd.compiler.version import Version
from tarograd.graph import current_context
from tarograd.inputs import recorder
from tarograd.structure import is_structure, mapped
from tarograd.tensor import Tensor

_TRACING = threading.RLock()  # the Parameters are traced ones meanwhile
TRACES = 4  # of one function, until all Tensors that it uses are known
MANY = 20  # times of compiling anew after which it is told
STATIC = (str, bytes, bool, type(None), type)


class Compiled:
    """A compiled function; `tg.compile` makes it.

    Calling it with arrays gives arrays. Each new combination of shapes and dtypes is traced on
    its first call, and traced again when something around the function has changed.

    Attributes:
        function: what was compiled.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        check(function)
        self._surroundings: Surroundings  # is found at the first call
        self._changes = 0  # of what is around it
        self._classes: list[type] = []  # that it was given, as by @classmethod
        self.function = self.__wrapped__ = function
        self._signature = inspect.signature(function)
        parameters = self._signature.parameters
        self._own = {k for k, p in parameters.items() if not _may_be_given(p.default)}
        kinds = {p.kind for p in parameters.values()}
        plain = kinds <= {inspect.Parameter.POSITIONAL_OR_KEYWORD}
        self._plain = {name: name for name in parameters} if plain else None
        self._known: dict[Any, Version] = {}
        self._last: Version | None = None
        self.__doc__ = function.__doc__
        self.__module__ = getattr(function, "__module__", __name__)
        self.__qualname__ = getattr(function, "__qualname__", "f")
        name = getattr(function, "__name__", "f")
        self.__name__ = name if name.isidentifier() and not name.startswith("_") else "f"

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Compute.

        Args:
            *arguments: arrays and numbers, and tuples, lists and dicts of them; texts, True, False
                and None are as in eager code, and others of them are traced anew.
            **named: the same, by the names of the function's arguments.

        Raises:
            Untraceable: at the first call, if the function does what cannot be compiled.
            TypeError: for a Tensor, since nothing could be differentiated through the result.
            ArithmeticError: if the machine code computes something else than eager code.
        """
        if recorder() is not None:  # inside of another compiled function: a part of it
            return self.function(*arguments, **named)
        structure, bound = self._bound(arguments, named)
        arrays = {k: _array(k, x) for k, x in bound.items() if not isinstance(x, STATIC)}
        signature = (
            _context(),
            None if structure is self._plain else repr(structure),
            tuple(
                (
                    k,
                    x
                    if k not in arrays
                    else (arrays[k].shape, arrays[k].dtype, isinstance(x, WEAK)),
                )
                for k, x in bound.items()
            ),
        )
        if self._known and (name := self._surroundings.changed()) is not None:
            self._anew(name)
        version = self._known.get(signature)
        if version is None:
            version = self._known[signature] = self._traced(structure, bound, arrays)
        self._last = version
        return version(arrays)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """As a method: compiled for each object by itself."""
        if instance is None:
            return self
        if isinstance(instance, type):  # under @classmethod
            return MethodType(self, instance)
        if not hasattr(instance, "__dict__"):
            raise TypeError(
                f"{type(instance).__name__}.{self.__name__}: a compiled method is kept in its "
                "object, whose __slots__ leave no place for it: add '__dict__' to them, or compile "
                "a function that is given what it needs of the object"
            )
        methods = vars(instance).get(METHODS)
        if methods is None or methods.owner is not instance:  # such as that of a copy
            methods = vars(instance)[METHODS] = Methods()
            methods.owner = instance
        if self not in methods:
            methods[self] = Compiled(MethodType(self.function, instance))
        return methods[self]

    def __deepcopy__(self, memo: dict[int, Any]) -> Compiled:
        return Compiled(copy.deepcopy(self.function, memo))

    def __reduce__(self) -> Any:
        # The code is not pickled; a function is found by its name, as all functions are.
        if isinstance(self.function, MethodType):
            return getattr, (self.function.__self__, self.function.__name__)
        if isinstance(self.function, FunctionType):
            return self.__qualname__
        return compile, (self.function,)

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

    def _bound(self, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[Any, Any]:
        """The arguments with a name in place of each array and number, and these by the names."""
        plain = None if named or any(map(is_structure, arguments)) else self._plain
        if plain is not None and len(arguments) == len(plain):  # in a tenth of the time
            return plain, dict(zip(plain, arguments, strict=True))
        bound = self._signature.bind(*arguments, **named)
        own = self._own - bound.arguments.keys()
        bound.apply_defaults()
        found: dict[str, Any] = {}

        def kept(name: str, x: Any) -> str:
            name = name if name.isidentifier() else re.sub(r"\W", "_", name)
            found[key := _free(name, found)] = x
            return key

        structure: dict[str, Any] = {}
        for name, value in bound.arguments.items():
            if name in own:
                continue
            kind = self._signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_POSITIONAL:
                parts = enumerate(value)
                structure[name] = tuple([mapped(kept, x, f"argument{i}") for i, x in parts])
            elif kind is inspect.Parameter.VAR_KEYWORD:
                structure[name] = {key: mapped(kept, x, key) for key, x in value.items()}
            else:
                structure[name] = mapped(kept, value, name)
        return structure, found

    def _call(self, structure: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
        """The function, of what `_bound` gave."""
        given = {k: mapped(lambda _, name: values[name], x, "") for k, x in structure.items()}
        bound = inspect.BoundArguments(self._signature, given)
        bound.apply_defaults()
        return self.function(*bound.args, **bound.kwargs)

    def _traced(
        self, structure: Mapping[str, Any], bound: Mapping[str, Any], arrays: Mapping[str, Any]
    ) -> Version:
        """Trace and compile, again if the function turns out to use more Tensors than were seen."""
        given = {k: bound[k] if isinstance(bound[k], WEAK) else a for k, a in arrays.items()}

        def function(*tensors: Tensor) -> Any:
            values = {**bound, **dict(zip(arrays, tensors, strict=True))}
            return self._call(structure, values)

        def run() -> Recording:
            free: dict[str, Tensor] = {}
            for key, leaf in self._surroundings.leaves.items():
                free[_free(key, (*given, *free))] = leaf
            trace = Trace(free)
            return Recording(trace, *trace.run(function, given, self.__name__, apart=True))

        with _TRACING:
            self._look(x for x in bound.values() if isinstance(x, type))
            for attempt in range(TRACES):
                try:
                    version = Version(record(self._surroundings, run, self.__name__), given)
                    break
                except Unknown as error:
                    if attempt == TRACES - 1:
                        raise
                    known = self._surroundings
                    if known.changed() is not None:  # a Parameter was made at the first call
                        self._surroundings = Surroundings(self.function, *self._classes)
                    self._surroundings.add([*known.leaves.values(), *error.leaves])
        if version.why is not None:
            message = f"{self.__name__} runs as NumPy, not as machine code: {version.why}"
            warnings.warn(message, stacklevel=4)
        return version

    def _anew(self, name: str) -> None:
        """Forget what was compiled, since something of this name has changed."""
        self._known.clear()
        self._changes += 1
        if self._changes == MANY:
            message = (
                f"{self.__name__} was compiled anew {MANY} times, now since {name!r} has changed: "
                "give as an argument what changes from call to call, or keep it in a Tensor, whose "
                "value can be set"
            )
            warnings.warn(message, stacklevel=3)

    def _look(self, classes: Iterable[type]) -> None:
        """See what is around the function, if that is not known: some may be defined after it."""
        new = [c for c in classes if c not in self._classes]
        if new or not self._known:
            self._classes += new
            self._known.clear()
            self._surroundings = Surroundings(self.function, *self._classes)


class Methods(dict[Compiled, Compiled]):
    """The compiled methods of one object, `owner`; a copy of it has none yet."""

    owner: Any = None

    def __reduce__(self) -> Any:
        return Methods, ()


def _context() -> tuple[Any, ...]:
    """What counts of the context: a draw with its step is refused, so no other step does."""
    now = current_context()
    return now.recording, now.training, now.seed, now.step is None


def _free(name: str, taken: Container[str]) -> str:
    """The name, with a number if it is taken."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found


def _may_be_given(default: Any) -> bool:
    """Whether a default is what could be an argument; others are the function's own, watched."""
    parts: list[Any] = []
    mapped(lambda _, x: parts.append(x), default, "")
    return all(isinstance(x, (*STATIC, *WEAK, np.ndarray, list, tuple)) for x in parts)


def _array(name: str, x: Any) -> Any:
    if isinstance(x, Tensor):
        raise TypeError(
            f"{name} is a Tensor: a compiled function takes arrays and gives arrays, through which "
            f"nothing can be differentiated; give {name}.value, and use tg.grad inside"
        )
    array = np.asarray(x)
    if array.dtype.kind not in "fiub":
        given = f"{array.dtype} {type(x).__name__}" if array.dtype != object else type(x).__name__
        raise TypeError(
            f"{name}: {given}: an array of floats, whole numbers or bools is needed; other things, "
            "such as a network, are used from around the function, or given by functools.partial"
        )
    if not array.dtype.isnative:  # in the byte order of another machine
        array = array.astype(array.dtype.newbyteorder("="))
    return array


def compile(function: Callable[..., Any]) -> Compiled:
    """Compile a function of arrays and Parameters to machine code.

    Args:
        function: gets a Tensor for each array and number and returns a Tensor, or tuples, lists
            and dicts of them. The Parameters and Layers that it uses from around itself are
            found, and their current values are read at each call. `tg.grad` may be used inside,
            and `optimizer.step(gradients)`, which updates the parameters at each call. What else
            it sees, numbers and arrays, is watched: if it has changed, a call compiles anew.

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
