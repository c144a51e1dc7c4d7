"""Places: where a function finds what it does not compute, watched and put back.

Each place is looked at in two ways: `look` gives all that is there, by keys, to be compared or put
back after a trace; `reads` are quick, for every call, and leave out what the function itself sets.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from operator import attrgetter, is_, itemgetter
from typing import Any

import numpy as np

PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)
MISSING = object()
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
        keys = [k for k in self.owner if k in self.keys and k not in (*ignored, *self.exempt)]
        if keys:
            yield partial(itemgetter(*keys), self.owner), tuple(map(str, keys))


class Items:
    """The elements of a list, deque or set."""

    def __init__(self, name: str, owner: Any) -> None:
        self.name, self.owner = name, owner

    def look(self) -> dict[Any, Any]:
        """All of them, as one."""
        return {self.name: tuple(self.owner)}

    def put(self, old: Mapping[Any, Any]) -> None:
        """Put them back."""
        add = self.owner.update if isinstance(self.owner, set) else self.owner.extend
        self.owner.clear()
        add(old[self.name])

    def reads(self, ignored: Collection[Any]) -> Iterator[Read]:
        """A quick look at them."""
        if self.name not in ignored:
            yield partial(tuple, self.owner), ()


class Attributes:
    """Attributes that lie in no dict that could be written: of a class, `__slots__`, a cell."""

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
                classes = self.owner.__mro__ if isinstance(self.owner, type) else ()
                setattr(next((c for c in classes if key in vars(c)), self.owner), key, old[key])

    def reads(self, ignored: Collection[Any]) -> Iterator[Read]:
        """A quick look at it."""
        if keys := [k for k in self.look() if k not in ignored]:
            yield partial(attrgetter(*keys), self.owner), tuple(self.label(k) for k in keys)

    def label(self, key: str) -> str:
        """What to call one of them: a variable by its name."""
        return self.name if key == "cell_contents" else key


Place = Entries | Items | Attributes


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
    return isinstance(a, PLAIN) and bool(a == b)
