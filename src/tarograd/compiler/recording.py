"""Recording: a trace, after which everything around the function is as it was before.

A function that keeps what it computes, as layers do that write `self.out = y`, is traced a second
time with what the first has left: if that is the same graph, nothing depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from tarograd.compiler.guard import Traced
from tarograd.compiler.places import MISSING, same
from tarograd.compiler.program import Program
from tarograd.compiler.surroundings import Surroundings
from tarograd.compiler.trace import Trace, Unknown, Untraceable
from tarograd.graph import Array
from tarograd.ops import arithmetic
from tarograd.tensor import Parameter, Tensor

Change = tuple[Any, Any]  # what was there, and what is there now
Changes = dict[tuple[int, Any], Change]


class Recording(NamedTuple):
    """A trace that has run, its program, and what the function returned; see `Trace.run`."""

    trace: Trace
    program: Program
    returned: Any

    def agrees(self, truth: Recording) -> bool:
        """Whether this trace has computed the same as another one, but for rounding."""
        found, expected = self.trace.expected, truth.trace.expected
        if self.returned != truth.returned or found.keys() != expected.keys():
            return False
        return all(_close(found[k], expected[k]) for k in expected)

    def grows(self, names: Iterable[str]) -> bool:
        """Whether these whole numbers are multiplied, where Python's know no largest one."""
        whole = {id(self.program.inputs[name]) for name in names}
        for v in self.program.order() if whole else ():
            if v.operands and all(id(x) in whole for x in v.operands) and v.dtype.kind in "iu":
                if v.is_op(arithmetic.power) or (v.is_op(arithmetic.multiply) and v.operands[1:]):
                    return True
                whole.add(id(v))
        return False


def _close(a: Array, b: Array) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind != "f":
        return bool(np.array_equal(a, b))
    rounding = float(np.sqrt(np.finfo(a.dtype).eps))
    size = np.abs(b[np.isfinite(b)]).max(initial=0)
    return bool(np.allclose(a, b, rounding, rounding * size, equal_nan=True))


def record(around: Surroundings, run: Callable[[], Recording], name: str) -> Recording:
    """Trace, and put back what the function has left outside of the graph.

    Args:
        around: what the function can see.
        run: traces it, anew at each call.
        name: of the function, for errors.

    Raises:
        Untraceable: if compiled code would leave something else there than eager code does, or
            the function draws random numbers by itself.
    """
    start, dice = around.look(), around.dice()
    try:
        first = _undiced(around, run, name)
        changes = _changes(around, start)
        if changes:
            _check(around, changes, first, run, name)
    except BaseException as error:
        found = (new for _, new in _changes(around, start).values())
        made = any(_holds(new, Parameter) and not _holds(new) for new in found)
        if isinstance(error, Unknown) and made:  # at the first call: they are to stay
            _tidy(around, start)
        else:
            around.put(start)
            around.roll(dice)
        raise
    if changes:
        around.renew(_tidy(around, start))
    return first


def _tidy(around: Surroundings, start: Mapping[int, Mapping[Any, Any]]) -> list[tuple[int, Any]]:
    """Put back where Tensors of a trace have been left; gives these places, with their keys."""
    kept = [place for place, (_, new) in _changes(around, start).items() if _holds(new)]
    now = around.look()
    for place, key in kept:
        now[place].pop(key)
        if key in start[place]:
            now[place][key] = start[place][key]
    around.put(now)
    return kept


def _undiced(around: Surroundings, run: Callable[[], Recording], name: str) -> Recording:
    before = _hashable(around.dice())
    recording = run()
    if _hashable(around.dice()) != before:
        raise Untraceable(
            f"{name} draws random numbers with NumPy or Python while it computes: the compiled "
            "code would use those of this one call for ever. Draw them outside and give them as "
            "an argument, or use tg.dropout or tg.nn.Dropout"
        )
    return recording


def _hashable(state: Any) -> Any:
    """The state of a generator of random numbers, to be compared."""
    if isinstance(state, np.ndarray):
        return state.tobytes()
    if isinstance(state, dict):
        return tuple((k, _hashable(x)) for k, x in state.items())
    return tuple(map(_hashable, state)) if isinstance(state, list | tuple) else state


def _check(
    around: Surroundings,
    changes: Changes,
    first: Recording,
    run: Callable[[], Recording],
    name: str,
) -> None:
    """Raise if the function is not the same once more, after what it has changed."""
    for place, (old, new) in changes.items():
        kept = any(not isinstance(x, Parameter) for x in _tensors(old))  # by an earlier call
        if _holds(new) and not (old is MISSING or old is None or kept):
            raise _stateful(around, place, name)
    start = around.look()
    again = _undiced(around, run, name)
    later = _changes(around, start)
    for place, (old, new) in later.items():
        if not _alike(old, new):
            raise _stateful(around, place, name)
    left = [place for place, change in changes.items() if _holds(change[1])]
    texts = [
        recording.trace.shown([x for place in left for x in _tensors(made[place][1])])
        for recording, made in ((first, changes), (again, {**changes, **later}))
    ]
    if texts[0] != texts[1]:
        raise _stateful(around, next(iter(changes)), name)


def _changes(around: Surroundings, start: Mapping[int, Mapping[Any, Any]]) -> Changes:
    """What is another thing than at the start, by place and key."""
    found: Changes = {}
    for place, now in around.look().items():
        before = start[place]
        for key in dict.fromkeys([*before, *now]):
            old, new = before.get(key, MISSING), now.get(key, MISSING)
            if not same(old, new):
                found[place, key] = old, new
    return found


def _tensors(value: Any) -> Iterator[Tensor]:
    """The Tensors in a value."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple | dict):
        for x in value.values() if isinstance(value, dict) else value:
            yield from _tensors(x)


def _holds(value: Any, kind: type = Traced) -> bool:
    """Whether a Tensor of this kind is in it."""
    return any(isinstance(x, kind) for x in _tensors(value))


def _alike(a: Any, b: Any) -> bool:
    """Whether two runs have left the same, but for the Tensors that each has computed."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_alike(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_alike, a, b))
    return same(a, b) or (_holds(a) and _holds(b) and a.shape == b.shape)


def _stateful(around: Surroundings, place: tuple[int, Any], name: str) -> Untraceable:
    what = around.label(*place)
    return Untraceable(
        f"{name} changes {what!r} while it computes, outside of the graph: the compiled code would "
        f"not change it at each call. Return its new value and set {what!r} outside of the "
        "function, or give it as an argument; optimizer.step(gradients) updates parameters"
    )
