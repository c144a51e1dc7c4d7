"""Places: where a function finds what it does not compute, watched and put back.

Each place is looked at in two ways: `look` gives all that is there, by keys, to be compared or put
back after a trace; `reads` are quick, for every call, and leave out what the function itself sets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextvars import ContextVar
from functools import partial
from math import ceil, log
from operator import attrgetter, is_, itemgetter
from typing import Any

import numpy as np

PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)
MISSING = object()
LONGEST = 1000  # items of a list or dict that is looked through; of a larger array some are
Read = tuple[Callable[[], Any], tuple[str, ...]]  # what is there, and what to call each part


class Entries:
    """Entries of a dict, of the attributes of an object or of the names of a module.

    Args:
        name: of the dict.
        owner: the dict.
        keys: which of its entries count; None for all of them.
        whole: whether other entries may come and go (None), their number is watched (False), or
            their names and order are (True).
        exempt: entries that never count.
    """

    def __init__(
        self,
        name: str,
        owner: Any,
        keys: Collection[Any] | None = None,
        whole: bool | None = None,
        exempt: Collection[str] = (),
    ) -> None:
        self.name, self.owner, self.whole, self.exempt = name, owner, whole, exempt
        self.keys = set(owner) if keys is None else set(keys)

    def look(self) -> dict[Any, Any]:
        """What is there, by keys."""
        keys = self.keys if self.whole is None else [*self.owner]
        return {k: self.owner[k] for k in keys if k in self.owner and k not in self.exempt}

    def put(self, old: Mapping[Any, Any]) -> None:
        """Put back what has been there."""
        for key in [k for k in self.look() if k not in old]:
            del self.owner[key]
        self.owner.update(old)

    def reads(self, ignored: Collection[Any]) -> Iterator[Read]:
        """Quick looks at it, without the keys that are ignored."""
        if self.whole:
            yield partial(tuple, self.owner), ()
        elif self.whole is False:
            yield self.owner.__len__, ()
        # In the order of the dict: that of a set would be another one in each process.
        keys = [k for k in self.owner if self.whole or k in self.keys]
        if keys := [k for k in keys if k not in (*ignored, *self.exempt)]:
            yield partial(itemgetter(*keys), self.owner), tuple(map(str, keys))
        absent = self.keys.difference(self.owner)
        if absent and self.whole is None:  # such as a global that would hide `max`
            yield partial(self.owner.keys().isdisjoint, absent), ()


class Members(Entries):
    """Attributes of a class, without those of the classes above it; others may come and go."""

    def __init__(self, kind: type) -> None:
        super().__init__(kind.__name__, vars(kind), (), whole=False)
        self._kind = kind

    def put(self, old: Mapping[Any, Any]) -> None:
        """Put back what has been there and is another thing now."""
        now = self.look()
        for key in [k for k in now if k not in old]:
            delattr(self._kind, key)
        for key in [k for k in old if k not in now or now[k] is not old[k]]:
            setattr(self._kind, key, old[key])


class Content:
    """What is read as a whole: the elements of a list, the bytes of an array.

    Args:
        name: of what it is in.
        read: gives it as something plain.
        write: puts such a thing back.
    """

    def __init__(self, name: str, read: Callable[[], Any], write: Callable[[Any], Any]) -> None:
        self.name, self._read, self._write = name, read, write

    def look(self) -> dict[Any, Any]:
        """All of it, as one."""
        return {self.name: self._read()}

    def put(self, old: Mapping[Any, Any]) -> None:
        """Put it back."""
        if not same(old[self.name], self._read()):
            self._write(old[self.name])

    def reads(self, ignored: Collection[Any]) -> Iterator[Read]:
        """A quick look at it."""
        if self.name not in ignored:
            yield self._read, ()


class Each:
    """One attribute of many things, which seldom changes: the class of an object."""

    def __init__(self, attribute: str) -> None:
        self.name, self._read = attribute, attrgetter(attribute)
        self.names: list[str] = []
        self.owners: list[Any] = []

    def look(self) -> dict[Any, Any]:
        """That of each, by its number."""
        return dict(enumerate(map(self._read, self.owners)))

    def put(self, old: Mapping[Any, Any]) -> None:
        """Put back what has been there and is another thing now."""
        for i, now in self.look().items():
            if now is not old[i]:
                setattr(self.owners[i], self.name, old[i])

    def reads(self, ignored: Collection[Any]) -> Iterator[Read]:
        """A quick look at all of them."""
        if self.owners:
            yield lambda: tuple(map(self._read, self.owners)), tuple(self.names)

    def label(self, key: int) -> str:
        """What to call one of them."""
        return f"{self.names[key]}.{self.name}"


def content_of(name: str, value: Any) -> Content | None:
    """What is in a list, a set, an array or a context variable; None if it is none of these."""
    if isinstance(value, list | set | deque):
        return Content(name, partial(tuple, value), partial(_refill, value))
    if isinstance(value, np.ndarray):
        share = 1 - log(LONGEST) / log(value.size) if value.size > LONGEST else 0
        key: Any = (*(slice(None, None, ceil(n**share)) for n in value.shape), ...)
        some = value[key]
        return Content(name, some.tobytes, partial(_rewrite, some))
    if isinstance(value, ContextVar):
        return Content(name, partial(value.get, MISSING), partial(_set, value))
    return None


def _refill(owner: Any, elements: Any) -> None:
    owner.clear()
    (owner.update if isinstance(owner, set) else owner.extend)(elements)


def _set(variable: ContextVar[Any], value: Any) -> None:
    if value is not MISSING:  # nothing takes a value away again
        variable.set(value)


def _rewrite(array: Any, content: bytes) -> None:
    array[...] = np.frombuffer(content, array.dtype).reshape(array.shape)


class Attributes:
    """Attributes that lie in no dict: those of `__slots__`, what a cell holds."""

    def __init__(self, name: str, owner: Any, keys: Collection[str]) -> None:
        self.name, self.owner, self.keys = name, owner, sorted(keys)

    def look(self) -> dict[Any, Any]:
        """What is there, by keys."""
        found = {k: _got(self.owner, k) for k in self.keys}
        return {k: x for k, x in found.items() if x is not MISSING}

    def put(self, old: Mapping[Any, Any]) -> None:
        """Put back what has been there and is another thing now."""
        for key, now in self.look().items():
            if key not in old:
                delattr(self.owner, key)
            elif old[key] is not now:
                setattr(self.owner, key, old[key])

    def reads(self, ignored: Collection[Any]) -> Iterator[Read]:
        """A quick look at it."""
        there = self.look()
        if keys := [k for k in there if k not in ignored]:
            yield partial(attrgetter(*keys), self.owner), tuple(self.label(k) for k in keys)
        for key in (k for k in self.keys if k not in there and k not in ignored):
            yield partial(_got, self.owner, key), (self.label(key),)

    def label(self, key: str) -> str:
        """What to call one of them: a variable by its name."""
        return self.name if key == "cell_contents" else key


Place = Entries | Content | Each | Attributes


def _got(owner: Any, key: str) -> Any:
    try:
        return getattr(owner, key)
    except (AttributeError, LookupError):  # as a descriptor of one's own may raise
        return MISSING


def same(a: Any, b: Any) -> bool:
    """Whether two things are one, or plain ones of one value."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if type(a) is tuple:
        return len(a) == len(b) and (all(map(is_, a, b)) or all(map(same, a, b)))
    # 0 is not -0: 1 / x tells them apart.
    return isinstance(a, PLAIN) and bool(a == b) and (bool(a) or repr(a) == repr(b))
