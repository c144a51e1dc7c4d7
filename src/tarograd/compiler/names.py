"""Names: what the code of a function names, and whose code it is."""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import CodeType, FunctionType

# By these any attribute may be read, and by the others any global or environment variable.
COMPUTED = ("getattr", "vars", "__dict__", "attrgetter")
BY_TEXT = ("globals", "eval", "exec")
# Methods that run without being named are those with such names, but for what only shows, compares
# or copies an object, or makes one.
QUIET: tuple[str, ...] = (
    "__repr__",
    "__str__",
    "__eq__",
    "__ne__",
    "__hash__",
    "__del__",
    "__dir__",
)
QUIET += ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__copy__", "__deepcopy__")
QUIET += ("__init_subclass__", "__set_name__", "__setattr__", "__class__", "__replace__")
QUIET += ("__sizeof__", "__delattr__", "__getnewargs__")
MAKING = ("__init__", "__new__", "__post_init__")


def is_known(module: str | None) -> bool:
    """Whether a module is Python's, NumPy's or ours: its numbers do not change."""
    top = str(module).partition(".")[0]
    return top in ("tarograd", "numpy") or top in sys.stdlib_module_names


def is_ours(kind: type) -> bool:
    """Whether a class is tarograd's; the module of some classes of C is no text."""
    return str(kind.__module__).partition(".")[0] == "tarograd"


@lru_cache(maxsize=1000)
def is_library(module: str | None) -> bool:
    """Whether a module was installed: its code is not followed."""
    if module == "__main__" or is_known(module):
        return module != "__main__"
    found = sys.modules.get(str(module).partition(".")[0])
    places = [getattr(found, "__file__", None), *getattr(found, "__path__", ())]
    parts = {part for place in places if place for part in Path(place).parts}
    return not parts.isdisjoint(("site-packages", "dist-packages"))


def runs_unnamed(name: str, made: bool) -> bool:
    """Whether a method of this name runs without being named, of a class that may be `made`."""
    if not (name.startswith("__") and name.endswith("__")):
        return False
    return name not in QUIET and (made or name not in MAKING)


@lru_cache(maxsize=1000)
def inherited(classes: tuple[type, ...]) -> frozenset[str]:
    """The names in the code that a class has from those of tarograd above it."""
    ours = (vars(c) for c in classes if is_ours(c))
    members = (getattr(x, "fget", x) for attributes in ours for x in attributes.values())
    codes = (x.__code__ for x in members if isinstance(x, FunctionType))
    return frozenset(name for code in codes for name in names_of(code))


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code of a function, and of the functions that are defined in it."""
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _codes(inner)


@lru_cache(maxsize=1000)
def names_of(code: CodeType) -> frozenset[str]:
    """The names of attributes and of what is global, and texts that may be such in `getattr`."""
    texts = (x for each in _codes(code) for x in each.co_consts if isinstance(x, str))
    named = (x for each in _codes(code) for x in each.co_names)
    return frozenset([*named, *(x for x in texts if x.isidentifier())])


@lru_cache(maxsize=1000)
def global_names(code: CodeType) -> tuple[str, ...]:
    """The names of what is global alone: in `optimizer.step` it is not `step`."""
    instructions = (i for each in _codes(code) for i in dis.get_instructions(each))
    named = [i.argval for i in instructions if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")]
    by_text = sorted(names_of(code)) if not set(named).isdisjoint(BY_TEXT) else ()
    return tuple(dict.fromkeys([*named, *by_text]))


@lru_cache(maxsize=1000)
def imported(code: CodeType) -> tuple[str, ...]:
    """The modules that are imported inside of a function."""
    instructions = (i for each in _codes(code) for i in dis.get_instructions(each))
    return tuple(i.argval for i in instructions if i.opname == "IMPORT_NAME")
