"""Which arrays of an object are parameters, and where backward leaves the gradient of each leaf.

Four sources, the surest first: what the user said, names such as `dW` beside `W`, numbers and lists
beside which backward wrote something of their shape, and the order or keys of what it returned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tarograd.checking.adapters import discovery
from tarograd.checking.adapters.arguments import Arguments
from tarograd.checking.subject import Array

INPUT_GRADIENTS = ("dx", "dX", "grad_input", "dinputs", "dinput", "grad_x", "dout_x", "gx")


@dataclass(frozen=True)
class Traces:
    """What a first forward and backward pass left behind.

    Attributes:
        layer: the copy of the object that they were made with.
        returned: by backward; nothing if it failed.
        failed: whether backward raised an error.
        used: the float arrays that backward found in their places, though it may replace them.
        kept: those of them that are still there.
        written: the shape of what backward wrote, by its place.
    """

    layer: Any
    returned: Any
    failed: bool
    used: Sequence[discovery.Path]
    kept: Mapping[discovery.Path, Array]
    written: Mapping[discovery.Path, tuple[int, ...]]


class Matching:
    """The leaves of an object and the places of their gradients.

    Args:
        name: of the object, for messages.
        arguments: of its forward pass.
        held: its float arrays.
        loose: its floats and lists of floats.
        dtype: of the values.

    Attributes:
        values: of the arguments and of the parameters.
        places: of the parameters and the gradients that stand in the object.
        returned: what to take out of that which backward returned, for the other leaves.
        leaves: all that has a gradient.
        notes: what is not checked.
    """

    def __init__(
        self,
        name: str,
        arguments: Arguments,
        held: Mapping[discovery.Path, Array],
        loose: Mapping[discovery.Path, Any],
        dtype: DTypeLike,
    ) -> None:
        self.name, self.arguments, self.dtype = name, arguments, np.dtype(dtype)
        self.values: dict[str, Array] = dict(arguments.values)
        self.inputs = tuple(self.values)
        self.places: dict[str, discovery.Place] = {}
        self.returned: dict[str, Any] = {}
        self.leaves: tuple[str, ...] = ()
        self.notes: list[str] = []
        self._held, self._loose = held, loose

    def find(self, traces: Traces, params: Mapping[str, str]) -> None:
        """Decide what is a leaf, from what the first passes left behind.

        Args:
            traces: what they left.
            params: `{"W": "dW"}` where the names of the gradients are unusual.
        """
        if traces.failed:
            self.returned = dict.fromkeys(self.arguments.floats)
        found = list(discovery.by_hand(params))
        found = found or list(discovery.places(traces.used, traces.layer))
        found += [] if params else self._beside_loose(traces)
        for place in found:
            self._add(replace(place, name=self._beside_inputs(place.name)), traces)
        returned = traces.returned
        rest = self._without_place(found, traces)
        whole = np.array(returned) if self._is_whole(returned) else returned
        self._match_returned(whole, traces.layer, rest)
        self.leaves = tuple(dict.fromkeys([*self.returned, *self.places]))
        if not self.leaves:
            raise ValueError(self._nothing_found(traces))
        self._note_the_rest(traces)

    def _add(self, place: discovery.Place, traces: Traces) -> None:
        """A parameter whose gradient stands in the object."""
        array = discovery.get(traces.layer, place.parameter)
        if not discovery.is_array(array) and place.parameter not in self._loose:
            raise ValueError(f"params: {self.name} has no float array {place.name!r}")
        if discovery.get(traces.layer, place.gradient) is None and not traces.failed:
            gradient = discovery.spelled(place.gradient)
            raise ValueError(f"params: {self.name} has no {gradient!r} after backward")
        self.places[place.name] = place
        self.values[place.name] = np.array(self._held.get(place.parameter, array), self.dtype)

    def _without_place(
        self, found: Sequence[discovery.Place], traces: Traces
    ) -> list[discovery.Path]:
        """What may be a parameter whose gradient backward returns."""
        returned = traces.returned
        known = {path for place in found for path in (place.parameter, place.gradient)}
        rest = [p for p in traces.used if p not in known]
        lists = [p for p, x in self._loose.items() if isinstance(x, list) and p not in known]
        by_place = not rest and isinstance(returned, list | tuple)
        if isinstance(returned, Mapping) or (
            by_place and len(returned) == len(self.arguments.floats) + len(lists)
        ):
            rest += lists
        return rest

    def _beside_loose(self, traces: Traces) -> list[discovery.Place]:
        """Floats and lists of floats beside which backward writes a gradient of their shape."""
        return [
            place
            for place in discovery.places(self._loose, traces.layer)
            if traces.written.get(place.gradient) == discovery.shape(self._loose[place.parameter])
        ]

    def _beside_inputs(self, name: str) -> str:
        """The name of a parameter, which an argument of forward may have as well."""
        return f"self.{name}" if name in self.inputs else name

    def _match_returned(self, returned: Any, layer: Any, rest: list[discovery.Path]) -> None:
        """Which leaf each thing that backward returned belongs to."""
        floats = self.arguments.floats
        spare = [self._beside_inputs(discovery.name_of(p)) for p in rest]
        if isinstance(returned, Mapping):
            for name in (*floats, *self.places, *spare):
                for key in (name, *discovery.spellings(name)):
                    if key in returned:
                        self._claim(name, key, rest)
                        break
        elif isinstance(returned, tuple | list):
            names = list(self.inputs) if len(returned) == len(self.inputs) else floats
            for i, name in enumerate([*names, *spare][: len(returned)]):
                if returned[i] is not None and name not in self.places:
                    self._claim(name, i, rest)
        elif floats:
            named = (*INPUT_GRADIENTS, f"d{floats[0]}")
            held = [f for f in named if isinstance(getattr(layer, f, None), np.ndarray)]
            if returned is not None or held:
                self.returned[floats[0]] = None if returned is not None else ("field", held[0])

    def _is_whole(self, returned: Any) -> bool:
        """Whether a list is the gradient of the one input, in its shape, and no list of several."""
        floats = self.arguments.floats
        if not isinstance(returned, list | tuple) or len(floats) != 1 or not returned:
            return False
        whole = discovery.shape(returned) == self.values[floats[0]].shape
        return whole and discovery.shape(returned[0]) != self.values[floats[0]].shape

    def _claim(self, name: str, key: Any, rest: list[discovery.Path]) -> None:
        """What backward returned at `key` is the gradient of `name`."""
        if name not in self.inputs and name not in self.places:
            path = next(p for p in rest if self._beside_inputs(discovery.name_of(p)) == name)
            self.values[name] = np.array(self._held.get(path, self._loose.get(path)), self.dtype)
            self.places[name] = discovery.Place(name, path, ())
        if name in self.inputs and self.values[name].dtype.kind != "f":
            return
        self.returned[name] = key

    def _nothing_found(self, traces: Traces) -> str:
        kept = traces.kept
        if not self.arguments.floats and not kept:
            return (
                f"{self.name}: nothing to differentiate: none of the inputs is an array of floats; "
                "whole numbers are data, write 100.0 for 100 or x.astype(float)"
            )
        beside = ", ".join(map(discovery.name_of, kept)) or "anything"
        line = self._line_to_copy(list(kept), traces) or 'params={"W": "dW"}'
        kind = type(traces.returned).__name__
        return (
            f"{self.name}: no gradient was found: backward returned {kind}, and none stands beside "
            f"{beside}. Say where they are: check_gradients(layer, x, {line})"
        )

    def _line_to_copy(self, parameters: Sequence[discovery.Path], traces: Traces) -> str:
        """Where the gradients may be: what backward wrote in the shape of each parameter."""
        pairs: dict[str, str] = {}
        for path in parameters:
            for place, shape in traces.written.items():
                spelled = discovery.spelled(place)
                if shape == self._held[path].shape and spelled not in pairs.values():
                    pairs[discovery.spelled(path)] = spelled
                    break
        text = ", ".join(f'"{p}": "{g}"' for p, g in pairs.items())
        return f"params={{{text}}}" if pairs else ""

    def _note_the_rest(self, traces: Traces) -> None:
        """List what is not checked: float arrays for which no gradient was found."""
        for name in self.arguments.floats:
            if name not in self.leaves:
                self.notes.append(f"{name}: backward gives no gradient for it; not checked")
        places = self.places.values()
        known = {p.parameter for p in places} | {p.gradient for p in places}
        lost = [
            path
            for path, array in traces.kept.items()  # a running mean is not as it was
            if path not in known and array.size > 1 and np.array_equal(array, self._held[path])
        ]
        if lost:
            names = ", ".join(discovery.name_of(path) for path in lost[:6])
            line = self._line_to_copy(lost, traces)
            self.notes.append(
                f"no gradient found for {names}; not checked"
                + (f"; perhaps {line}" if line else "")
            )
