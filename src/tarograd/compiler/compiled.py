"""`tg.compile`: a function of arrays and Parameters as machine code, traced once per signature."""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import FunctionType, MethodType
from typing import Any

from tarograd.compiler.arguments import STATIC, Arguments, as_array
from tarograd.compiler.naming import free_name
from tarograd.compiler.reach import METHODS
from tarograd.compiler.recording import Recording, record
from tarograd.compiler.surroundings import Surroundings, check
from tarograd.compiler.trace import WEAK, Trace, Unknown, Untraceable
from tarograd.compiler.version import Version
from tarograd.graph import current_context
from tarograd.inputs import recorder
from tarograd.tensor import Tensor

_TRACING = threading.RLock()  # the Parameters are traced ones meanwhile
TRACES = 4  # of one function, until all Tensors that it uses are known
MANY = 20  # times of compiling anew after which it is told
MOST = 200  # signatures that are kept


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
        self._arguments = Arguments(function)
        self._known: dict[Any, Version] = {}
        self._fixed: dict[Any, list[str]] = {}  # numbers that are constants, by signatures
        self._last: Version | None = None
        self.__doc__ = function.__doc__
        self.__module__ = getattr(function, "__module__", __name__)
        self.__qualname__ = getattr(function, "__qualname__", "f")
        name = getattr(function, "__name__", "f")
        self.__name__ = name if name.isidentifier() and not name.startswith("_") else "f"

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Compute.

        Args:
            *arguments: arrays and numbers, and tuples, lists, dicts and dataclasses of them; texts,
                True, False and None are as in eager code, and others of them are traced anew. So
                are whole numbers that the function needs as such, as in `range(n)`.
            **named: the same, by the names of the function's arguments.

        Raises:
            Untraceable: at the first call, if the function does what cannot be compiled.
            TypeError: for a Tensor, since nothing could be differentiated through the result.
            ArithmeticError: if the machine code computes something else than eager code.
        """
        if recorder() is not None:  # inside of another compiled function: a part of it
            return self.function(*arguments, **named)
        structure, bound = self._arguments.bound(arguments, named)
        arrays = {k: as_array(k, x) for k, x in bound.items() if not isinstance(x, STATIC)}
        given = [
            (k, (arrays[k].shape, arrays[k].dtype, isinstance(x, WEAK)) if k in arrays else x)
            for k, x in bound.items()
        ]
        signature = (_context(), structure, tuple(given))
        if self._known and (name := self._surroundings.changed()) is not None:
            self._anew(name)
        version = self._known.get(self._key(signature, bound))
        if version is None:
            version = self._added(signature, bound, arrays)
        self._last = version
        return version(arrays)

    def _key(self, signature: Any, bound: Mapping[str, Any]) -> Any:
        """The signature, with the numbers that are constants for it."""
        fixed = self._fixed.get(signature) if self._fixed else None
        return (signature, *[repr(bound[k]) for k in fixed]) if fixed else signature

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

    def _added(
        self, signature: Any, bound: Mapping[str, Any], arrays: Mapping[str, Any]
    ) -> Version:
        """Compile for arguments of another signature."""
        with _TRACING:
            self._look(x for x in bound.values() if isinstance(x, type))
            structure = signature[1]
            recording, fixed = self._traced(structure, bound, arrays, self._fixed.get(signature))
            version = Version(recording, {k: x for k, x in arrays.items() if k not in fixed})
            if fixed:
                self._fixed[signature] = fixed
            if len(self._known) == MOST:
                self._known.pop(next(iter(self._known)))
            self._known[self._key(signature, bound)] = version
        if version.why is not None:
            message = f"{self.__name__} runs as NumPy, not as machine code: {version.why}"
            warnings.warn(message, stacklevel=4)
        if fixed:
            self._count(
                f"{' and '.join(fixed)} is another number, which it needs as such, as in range(), "
                "a shape or an `if`: let it be the same from call to call, or compute with it only"
            )
        return version

    def _traced(
        self,
        structure: Any,
        bound: Mapping[str, Any],
        arrays: Mapping[str, Any],
        fixed: list[str] | None,
    ) -> tuple[Recording, list[str]]:
        """Trace, and tell which numbers are constants: those that the function needs as such.

        Eager code is given numbers, not Tensors. What it computes of them is the truth for what it
        computes of Tensors: it may ask for their class, or count with whole ones.
        """
        weak = [k for k in arrays if isinstance(bound[k], (*WEAK, list, tuple))]
        if fixed is not None or not weak:
            fixed = fixed or []
            return self._recorded(structure, bound, arrays, fixed), fixed
        truth, failed = None, None
        with suppress(Exception):  # such as that a number is returned, or differentiated by
            truth = self._recorded(structure, bound, arrays, weak)
        whole = [k for k in weak if arrays[k].dtype.kind in "iub"]
        found: list[tuple[Recording, list[str]]] = []
        for fixed in ([], whole) if whole else ([],):
            try:
                recording = self._recorded(structure, bound, arrays, fixed)
            except Exception as error:
                failed = error
                continue
            if truth is None or recording.agrees(truth):
                found.append((recording, fixed))
                if not recording.grows(k for k in whole if k not in fixed):
                    return found[-1]
        if found:
            return found[-1]
        if truth is None and failed is not None:
            raise failed
        assert truth is not None
        if isinstance(failed, Untraceable):
            names = " and ".join(k for k in weak if k not in whole)
            raise Untraceable(
                f"{failed}; or let {names} be a number from around the function, for example by "
                "functools.partial"
            ) from failed
        return truth, weak

    def _recorded(
        self,
        structure: Any,
        bound: Mapping[str, Any],
        arrays: Mapping[str, Any],
        fixed: list[str],
    ) -> Recording:
        """Trace, again if the function turns out to use more Tensors than were seen."""
        given = {k: bound[k] if isinstance(bound[k], WEAK) else a for k, a in arrays.items()}
        given = {k: x for k, x in given.items() if k not in fixed}

        def function(*tensors: Tensor) -> Any:
            values = {**bound, **dict(zip(given, tensors, strict=True))}
            return self._arguments.call(structure, values)

        def run() -> Recording:
            free: dict[str, Tensor] = {}
            for key, leaf in self._surroundings.leaves.items():
                free[free_name(key, (*arrays, *free))] = leaf
            trace = Trace(free)
            return Recording(trace, *trace.run(function, given, self.__name__, apart=arrays))

        for attempt in range(TRACES):
            try:
                return record(self._surroundings, run, self.__name__)
            except Unknown as error:
                if attempt == TRACES - 1:
                    raise
                known = self._surroundings
                if known.changed() is not None:  # a Parameter was made at the first call
                    self._surroundings = Surroundings(self.function, *self._classes)
                self._surroundings.add([*known.leaves.values(), *error.leaves])
        raise AssertionError  # pragma: no cover

    def _anew(self, name: str) -> None:
        """Forget what was compiled, since something of this name has changed."""
        self._known.clear()
        self._fixed.clear()
        self._count(
            f"{name!r} has changed: give as an argument what changes from call to call, or keep it "
            "in a Tensor, whose value can be set"
        )

    def _count(self, why: str) -> None:
        """Tell, after many times, that something changes often."""
        self._changes += 1
        if self._changes == MANY:
            message = f"{self.__name__} was compiled anew {MANY} times, now since {why}"
            warnings.warn(message, stacklevel=4)

    def _look(self, classes: Iterable[type]) -> None:
        """See what is around the function, if that is not known: some may be defined after it."""
        new = [c for c in classes if c not in self._classes]
        if new or not self._known:
            self._classes += new
            self._known.clear()
            self._fixed.clear()
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


def compile(function: Callable[..., Any]) -> Compiled:
    """Compile a function of arrays and Parameters to machine code.

    Args:
        function: gets a Tensor for each array and number and returns a Tensor, or tuples, lists,
            dicts and dataclasses of them. The Parameters and Layers that it uses from around
            itself are found, and their current values are read at each call. `tg.grad` may be
            used inside, and `optimizer.step(gradients)`, which updates the parameters at each
            call. What else it sees is watched: if it has changed, a call compiles anew.

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
