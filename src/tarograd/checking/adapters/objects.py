"""Anything with a forward and a backward pass on NumPy arrays, in whichever style."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tarograd.checking.adapters import discovery
from tarograd.checking.adapters.arguments import Arguments, as_outputs
from tarograd.checking.adapters.matching import Matching, Traces
from tarograd.checking.adapters.styles import Style
from tarograd.checking.randomness import Randomness, reachable, same_state
from tarograd.checking.subject import Array, Values

RESETS = ("zero_grad", "zero_grads", "zerograd", "clear_grads", "cleargrads", "reset_grad")


class ObjectSubject:
    """An object of the user's, checked on copies of it.

    Args:
        layer: the object. It is copied for each use, with our own arrays in place of its arrays.
        style: how it is called.
        inputs: the arguments of its forward pass.
        params: `{"W": "dW"}` where the names of the gradients are unusual.
        dtype: of all floats in the copies.
    """

    def __init__(
        self,
        layer: Any,
        style: Style,
        inputs: Sequence[Any],
        params: Mapping[str, str] | None = None,
        dtype: DTypeLike = np.float64,
    ) -> None:
        self.layer, self.style, self.dtype = layer, style, np.dtype(dtype)
        self.name, self.takes_upstream = style.name, style.takes_upstream
        self.arguments = Arguments(style.signature, inputs, dtype)
        self.values: dict[str, Array] = dict(self.arguments.values)
        self.inputs = tuple(self.values)
        self._generators = reachable(layer)
        self._randomness = Randomness(self._generators)
        self._held = discovery.arrays(layer)
        self._loose = discovery.loose(layer)
        self.draws = True
        matching = Matching(self.name, self.arguments, self._held, self._loose, dtype)
        self._places = matching.places
        try:
            matching.find(self._first_pass(), params or {})
        except BaseException:  # also when the user stops it here
            self.release()
            raise
        self.values, self.leaves, self.notes = matching.values, matching.leaves, matching.notes
        self._returned = matching.returned

    def _first_pass(self) -> Traces:
        """What a forward and backward leave; with all lengths equal where backward fails."""
        traces: Traces | None = None
        for values, arrays in ((self.values, self._held), self._squared()):
            run = ObjectRun(self, values, 0, arrays)
            before = run.randomness.states()
            try:
                outputs = run.forward({n: np.array(x) for n, x in values.items()})
            except Exception:
                if traces is None:
                    raise
                break
            traces = run.traces(outputs)
            if not traces.failed:
                self.draws = not same_state(before, run.randomness.states())
                break
        assert traces is not None
        return traces

    def _squared(self) -> tuple[dict[str, Array], dict[discovery.Path, Array]]:
        """The inputs and all arrays of the object with one length for every axis but the batch."""
        rows = next((x.shape[0] for x in self.values.values() if x.ndim), 0)
        sizes = [n for x in self._held.values() for n in x.shape]
        sizes += [n for x in self.values.values() for n in x.shape[1:]]
        size = max(sizes, key=sizes.count, default=rows)

        def square(x: Array, kept: int) -> Array:
            shape = tuple(n if i < kept or n == 1 else size for i, n in enumerate(x.shape))
            return np.resize(x, shape)

        values = {n: square(x, int(x.shape[:1] == (rows,))) for n, x in self.values.items()}
        return values, {p: square(x, 0) for p, x in self._held.items()}

    def fresh(self, values: Values | None = None, draw: int = 0) -> ObjectRun:
        """A copy of the object in its first state."""
        return ObjectRun(self, self.values if values is None else values, draw)

    def frozen(self, values: Values, draw: int) -> Callable[[Values], tuple[Array, ...]] | None:
        """The branches inside are not known."""
        return None

    def release(self) -> None:
        """Put the generators outside of the object back to where they stood."""
        self._randomness.rewind()


class ObjectRun:
    """One copy of the object, with its generators and parameters replaced by ours."""

    def __init__(
        self,
        subject: ObjectSubject,
        values: Values,
        draw: int,
        held: Mapping[discovery.Path, Array] | None = None,
    ) -> None:
        self.subject = subject
        if subject.draws:
            subject.release()
        memo: dict[int, Any] = {id(g): copy.deepcopy(g) for g in subject._generators}
        clones = list(memo.values())
        by_path = {p.parameter: n for n, p in subject._places.items()}
        self.arrays: dict[discovery.Path, Array] = {}
        for path, array in subject._held.items():
            new = values.get(by_path.get(path, ""), held[path] if held else array)
            self.arrays[path] = memo[id(array)] = np.array(new, subject.dtype)
        self.layer = duplicate(subject.layer, memo)
        self.randomness = Randomness([*clones, *subject._generators], draw if subject.draws else 0)

    def forward(self, values: Values) -> tuple[Array, ...]:
        """The outputs; the parameters are put in place, the generators rewound."""
        for name, place in self.subject._places.items():
            if name in values:
                here = discovery.get(self.layer, place.parameter)
                ours = self.arrays.get(place.parameter)
                if ours is not None and here is ours and ours.shape == values[name].shape:
                    ours[...] = values[name]
                else:
                    kind = self.subject._loose.get(place.parameter)
                    discovery.put(self.layer, place.parameter, discovery.like(kind, values[name]))
        if self.subject.draws:
            self.randomness.rewind()
        self.given = self.subject.arguments.filled(values)
        self.returned = self._called()
        if self.returned is None:
            raise TypeError(f"{self.subject.name}: forward returns None: return what it computes")
        return as_outputs(self.subject.style.outputs(self.returned), self.subject.name)

    def _called(self) -> Any:
        """What forward returns; it may not get along with an array in place of a list."""
        try:
            return self.subject.style.forward(self.layer, self.given)
        except AttributeError as error:
            if "numpy.ndarray" not in str(error) or not self.subject.arguments.listed:
                raise
            names = ", ".join(self.subject.arguments.listed)
            raise TypeError(
                f"{self.subject.name}: forward takes {names} as a list, and is checked with an "
                f"array in its place: {error}"
            ) from error

    def traces(self, outputs: tuple[Array, ...]) -> Traces:
        """What backward returns, and what it writes into the object."""

        def in_place() -> dict[discovery.Path, Array]:
            return {p: a for p, a in self.arrays.items() if discovery.get(self.layer, p) is a}

        held = {p: np.array(a) for p, a in discovery.arrays(self.layer).items()}
        loose = copy.deepcopy(discovery.loose(self.layer))
        used = list(in_place())
        try:
            returned = self.call_backward(tuple(np.ones_like(y) for y in outputs))
        except Exception:
            return Traces(self.layer, (), True, used, in_place(), {})
        written = {
            path: array.shape
            for path, array in discovery.arrays(self.layer).items()
            if path not in held or not np.array_equal(array, held[path], equal_nan=True)
        }
        written |= {
            path: shape
            for path, x in discovery.loose(self.layer).items()
            if loose.get(path) != x and (shape := discovery.shape(x)) is not None
        }
        return Traces(self.layer, returned, False, used, in_place(), written)

    def call_backward(self, upstream: tuple[Array, ...]) -> Any:
        """What backward returns; gradients that are meant to add up start from zero."""
        for reset in RESETS:
            if callable(getattr(self.layer, reset, None)):
                getattr(self.layer, reset)()
                break
        for place in self.subject._places.values():
            if place.gradient and place.gradient[-1] == ("attr", "grad"):  # adds up by convention
                old = discovery.get(self.layer, place.gradient)
                if isinstance(old, np.ndarray):
                    discovery.put(self.layer, place.gradient, np.zeros_like(old))
        returned = self.subject.style.backward(self.layer, self.given, self.returned, upstream)
        if isinstance(returned, tuple | list) and any(isinstance(g, Mapping) for g in returned):
            return named(returned, self.subject.arguments.floats)
        return returned

    def backward(self, upstream: tuple[Array, ...]) -> dict[str, Any]:
        """The gradients of all leaves, as the object gives them."""
        returned = self.call_backward(upstream)
        found: dict[str, Any] = {}
        for name in self.subject.leaves:
            key = self.subject._returned.get(name, ...)
            if key is ...:
                found[name] = discovery.get(self.layer, self.subject._places[name].gradient)
            elif isinstance(key, tuple):
                found[name] = getattr(self.layer, key[1], None)
            else:
                found[name] = returned if key is None else returned[key]
        return found

    def parameters(self) -> dict[str, Array]:
        """What the parameters hold now."""
        places = self.subject._places.items()
        return {n: np.array(discovery.get(self.layer, p.parameter)) for n, p in places}

    def advance_generators(self) -> None:
        """Let the next draws be others."""
        self.randomness.advance()


def named(returned: Sequence[Any], floats: Sequence[str]) -> dict[str, Any]:
    """What backward returned as `dx, {"W": dW}`, all by name."""
    plain = [g for g in returned if not isinstance(g, Mapping)]
    by_name: dict[str, Any] = dict(zip(floats, plain, strict=False))
    for gradients in returned:
        by_name |= gradients if isinstance(gradients, Mapping) else {}
    return by_name


def duplicate(layer: Any, memo: dict[int, Any]) -> Any:
    """A deep copy; what cannot be copied, such as a lock or an open file, is shared.

    Args:
        layer: what is copied.
        memo: copies to be used for some of its parts, by the id of the part.
    """
    try:
        return copy.deepcopy(layer, dict(memo))
    except Exception:  # whatever a part's own way of being copied may raise
        shared = {id(x): x for x in discovery.parts(layer) if not _copies(x)}
        return copy.deepcopy(layer, memo | shared)


def _copies(x: Any) -> bool:
    try:
        copy.copy(x)
    except Exception:
        return False
    return True
