"""Anything with a forward and a backward pass on NumPy arrays, in whichever style."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tarograd.checking.adapters import discovery
from tarograd.checking.adapters.arguments import Arguments, as_outputs
from tarograd.checking.adapters.styles import Style
from tarograd.checking.randomness import Randomness, reachable, same_state
from tarograd.checking.subject import Array, Values

RESETS = ("zero_grad", "zero_grads", "zerograd", "clear_grads", "cleargrads", "reset_grad")
INPUT_GRADIENTS = ("dx", "dX", "grad_input", "dinputs", "dinput", "grad_x", "dout_x", "gx")


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
        self.notes: list[str] = []
        self._generators = reachable(layer)
        self._randomness = Randomness(self._generators)
        self._held = discovery.arrays(layer)
        self._loose = discovery.loose(layer)
        self.draws = True
        self._places: dict[str, discovery.Place] = {}
        self._returned: dict[str, Any] = {}
        self._used: list[discovery.Path] = []  # what backward finds, though it may replace it
        self._written: dict[discovery.Path, tuple[int, ...]] = {}  # by the first backward
        try:
            self._discover(params or {})
        except BaseException:  # also when the user stops it here
            self.release()
            raise

    def _first_pass(self) -> tuple[ObjectRun, Any]:
        """A forward and backward to look at; with all lengths equal where backward fails."""
        error: Exception | None = None
        for values, arrays in ((self.values, self._held), self._squared()):
            run = ObjectRun(self, values, 0, arrays)
            before = run.randomness.states()
            try:
                outputs = run.forward({n: np.array(x) for n, x in values.items()})
            except Exception:
                if error is None:
                    raise
                break
            held = {p: np.array(a) for p, a in discovery.arrays(run.layer).items()}
            loose = copy.deepcopy(discovery.loose(run.layer))
            self._used = [p for p, a in run.arrays.items() if discovery.get(run.layer, p) is a]
            try:
                returned = run.call_backward(tuple(np.ones_like(y) for y in outputs))
            except Exception as raised:
                error = error or raised
                continue
            after = run.randomness.states()
            self.draws = not same_state(before, after)
            self._written = {
                path: array.shape
                for path, array in discovery.arrays(run.layer).items()
                if path not in held or not np.array_equal(array, held[path], equal_nan=True)
            }
            self._written |= {
                path: shape
                for path, x in discovery.loose(run.layer).items()
                if loose.get(path) != x and (shape := discovery.shape(x)) is not None
            }
            return run, returned
        return run, error

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

    def _discover(self, params: Mapping[str, str]) -> None:
        run, returned = self._first_pass()
        failed = isinstance(returned, Exception)
        if failed:
            returned = ()
            self._returned = dict.fromkeys(self.arguments.floats)
        kept = {p: a for p, a in run.arrays.items() if discovery.get(run.layer, p) is a}
        found = list(discovery.by_hand(params)) or list(discovery.places(self._used, run.layer))
        found += [] if params else self._beside_loose(run.layer)
        found = [replace(p, name=self._beside_inputs(p.name)) for p in found]
        for place in found:
            array = discovery.get(run.layer, place.parameter)
            if not discovery.is_array(array) and place.parameter not in self._loose:
                raise ValueError(f"params: {self.name} has no float array {place.name!r}")
            if discovery.get(run.layer, place.gradient) is None and not failed:
                gradient = discovery.spelled(place.gradient)
                raise ValueError(f"params: {self.name} has no {gradient!r} after backward")
            self._places[place.name] = place
            self.values[place.name] = np.array(self._held.get(place.parameter, array), self.dtype)
        known = {path for place in found for path in (place.parameter, place.gradient)}
        rest = [p for p in self._used if p not in known]
        lists = [p for p, x in self._loose.items() if isinstance(x, list) and p not in known]
        by_place = not rest and isinstance(returned, list | tuple)
        if isinstance(returned, Mapping) or (
            by_place and len(returned) == len(self.arguments.floats) + len(lists)
        ):
            rest += lists
        whole = self._is_whole(returned)
        self._match_returned(np.array(returned) if whole else returned, run.layer, rest)
        self.leaves = tuple(dict.fromkeys([*self._returned, *self._places]))
        if not self.leaves:
            raise ValueError(self._nothing_found(returned, kept))
        self._note_the_rest(kept)

    def _beside_loose(self, layer: Any) -> list[discovery.Place]:
        """Floats and lists of floats beside which backward writes a gradient of their shape."""
        return [
            place
            for place in discovery.places(self._loose, layer)
            if self._written.get(place.gradient) == discovery.shape(self._loose[place.parameter])
        ]

    def _beside_inputs(self, name: str) -> str:
        """The name of a parameter, which an argument of forward may have as well."""
        return f"self.{name}" if name in self.inputs else name

    def _nothing_found(self, returned: Any, kept: Mapping[discovery.Path, Array]) -> str:
        if not self.arguments.floats and not kept:
            return (
                f"{self.name}: nothing to differentiate: none of the inputs is an array of floats; "
                "whole numbers are data, write 100.0 for 100 or x.astype(float)"
            )
        beside = ", ".join(map(discovery.name_of, kept)) or "anything"
        line = self._line_to_copy(list(kept)) or 'params={"W": "dW"}'
        return (
            f"{self.name}: no gradient was found: backward returned {type(returned).__name__}, and "
            f"none stands beside {beside}. Say where they are: check_gradients(layer, x, {line})"
        )

    def _line_to_copy(self, parameters: Sequence[discovery.Path]) -> str:
        """Where the gradients may be: what backward wrote in the shape of each parameter."""
        pairs: dict[str, str] = {}
        for path in parameters:
            for place, shape in self._written.items():
                spelled = discovery.spelled(place)
                if shape == self._held[path].shape and spelled not in pairs.values():
                    pairs[discovery.spelled(path)] = spelled
                    break
        text = ", ".join(f'"{p}": "{g}"' for p, g in pairs.items())
        return f"params={{{text}}}" if pairs else ""

    def _note_the_rest(self, kept: Mapping[discovery.Path, Array]) -> None:
        """List what is not checked: float arrays for which no gradient was found."""
        for name in self.arguments.floats:
            if name not in self.leaves:
                self.notes.append(f"{name}: backward gives no gradient for it; not checked")
        places = self._places.values()
        known = {p.parameter for p in places} | {p.gradient for p in places}
        lost = [
            path
            for path, array in kept.items()  # a running mean is not as it was
            if path not in known and array.size > 1 and np.array_equal(array, self._held[path])
        ]
        if lost:
            names = ", ".join(discovery.name_of(path) for path in lost[:6])
            line = self._line_to_copy(lost)
            self.notes.append(
                f"no gradient found for {names}; not checked"
                + (f"; perhaps {line}" if line else "")
            )

    def _match_returned(self, returned: Any, layer: Any, rest: list[discovery.Path]) -> None:
        """Which leaf each thing that backward returned belongs to."""
        floats = self.arguments.floats
        spare = [self._beside_inputs(discovery.name_of(p)) for p in rest]
        if isinstance(returned, Mapping):
            for name in (*floats, *self._places, *spare):
                for key in (name, *discovery.spellings(name)):
                    if key in returned:
                        self._claim(name, key, rest)
                        break
        elif isinstance(returned, tuple | list):
            names = list(self.inputs) if len(returned) == len(self.inputs) else floats
            for i, name in enumerate([*names, *spare][: len(returned)]):
                if returned[i] is not None and name not in self._places:
                    self._claim(name, i, rest)
        elif floats:
            named = (*INPUT_GRADIENTS, f"d{floats[0]}")
            held = [f for f in named if isinstance(getattr(layer, f, None), np.ndarray)]
            if returned is not None or held:
                self._returned[floats[0]] = None if returned is not None else ("field", held[0])

    def _is_whole(self, returned: Any) -> bool:
        """Whether a list is the gradient of the one input, in its shape, and no list of several."""
        floats = self.arguments.floats
        if not isinstance(returned, list | tuple) or len(floats) != 1 or not returned:
            return False
        whole = discovery.shape(returned) == self.values[floats[0]].shape
        return whole and discovery.shape(returned[0]) != self.values[floats[0]].shape

    def _claim(self, name: str, key: Any, rest: list[discovery.Path]) -> None:
        if name not in self.inputs and name not in self._places:
            path = next(p for p in rest if self._beside_inputs(discovery.name_of(p)) == name)
            self.values[name] = np.array(self._held.get(path, self._loose.get(path)), self.dtype)
            self._places[name] = discovery.Place(name, path, ())
        if name in self.inputs and self.values[name].dtype.kind != "f":
            return
        self._returned[name] = key

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
