"""What stands above and below an edge and in a shape, and how much room it takes.

Lengths are in pixels at the size of the text that `SIZE` names. No font is asked: a letter counts
0.6 of the size, a Chinese or Japanese character the whole, so every machine gets the same picture.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any

from tarograd.drawing.numbers import number, shape_text, short, summary
from tarograd.drawing.trace import Target, Trace
from tarograd.graph import Array

SIZE = 13
LINE = 15  # from one line of text to the next
THUMB = 30  # the height of an image or histogram
NEAR = 8  # from the edge's axis to what is written beside it
LONGEST = 24  # characters of a name


@dataclass(frozen=True)
class Side:
    """What is written on one side of an edge: lines of text, and perhaps a picture.

    Attributes:
        full: the true values, or what is known of a large array; for a tooltip.
    """

    lines: tuple[str, ...]
    full: str
    image: str | None = None
    histogram: tuple[int, ...] = ()
    finite: bool = True

    @cached_property
    def width(self) -> float:
        """The room it takes along the edge."""
        return max(THUMB * (self.pictured + 0.0), *(text_width(line) for line in self.lines))

    @property
    def pictured(self) -> bool:
        """Whether there is an image or a histogram."""
        return bool(self.image or self.histogram)

    @cached_property
    def height(self) -> float:
        """The room it takes away from the edge."""
        return NEAR + LINE * len(self.lines) + (THUMB + 4) * self.pictured


@dataclass(frozen=True)
class Label:
    """The value above an edge and the derivative below; None below: it was not computed."""

    above: Side | None
    below: Side | None

    @cached_property
    def width(self) -> float:
        """The room along the edge, with a margin."""
        return max((s.width for s in (self.above, self.below) if s), default=0.0) + 22

    @property
    def up(self) -> float:
        """The room above the axis of the edge."""
        return self.above.height if self.above else 10.0

    @property
    def down(self) -> float:
        """The room below the axis of the edge."""
        return self.below.height if self.below else 10.0


def text_width(text: str, size: float = SIZE) -> float:
    """The room that a text takes."""
    if text.isascii():
        return size * (0.6 * len(text))
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return size * (0.6 * (len(text) - wide) + wide)


def name_text(name: str | None) -> str:
    """A name as it is drawn: without control characters, and not endless."""
    text = "".join(c if c.isprintable() else " " for c in name or "")
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def side(
    array: Array,
    gradient: bool = False,
    total: bool = False,
    summarize: Callable[[Array], dict[str, Any]] = summary,
) -> Side:
    """What is written of a value or, without its shape, of a gradient.

    `total` marks the sum of the shares of a branch.
    """
    sum_sign = "Σ " if total else ""
    if not array.ndim:
        single = float(array)
        return Side((sum_sign + short(single),), repr(single), finite=isfinite(single))
    about = summarize(array)
    shape, data, count = about["shape"], about.get("data"), 1
    for n in shape:
        count *= n
    if data is not None and count <= 3 and len(shape) <= 1 and count:
        numbers = [short(number(x)) for x in data]
        text = " ".join(numbers)
        full = ", ".join(repr(number(x)) for x in data)
        finite = about["finite"] == count
        return Side((f"{sum_sign}[{text}]",), full, finite=finite)
    missing = count - about["finite"]
    size = f"{missing} not finite" if missing else f"‖{short(number(about['norm']))}‖"
    full = f"shape {tuple(shape)}, {about['dtype']}"
    if about["min"] is not None:
        ends = short(number(about["min"])), short(number(about["max"]))
        full += f", from {ends[0]} to {ends[1]}, Euclidean norm {number(about['norm'])!r}"
    if data is not None:
        full += ": " + " ".join(short(number(x)) for x in data)
    lines = (() if gradient else (shape_text(shape),)) + ((size,) if count else ())
    lines = (sum_sign + (lines or ("∅",))[0], *lines[1:])
    histogram = tuple(about.get("histogram", ()))
    return Side(lines, full, about.get("image"), histogram if any(histogram) else (), not missing)


class Labels:
    """The labels and sizes of a trace, each made when it is first needed."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._sides: dict[tuple[int, bool, bool], Side] = {}
        self._known: dict[Any, dict[str, Any]] = {}
        self._weights = trace.weights()

    def side(self, array: Array | None, gradient: bool, total: bool = False) -> Side | None:
        """What is written of an array of the trace; None for one that was not computed."""
        if array is None:
            return None
        key = (id(array), gradient, total)
        if key not in self._sides:
            self._sides[key] = side(array, gradient, total, self._summary)
        return self._sides[key]

    def _summary(self, array: Array) -> dict[str, Any]:
        """The same for each view of the same numbers, such as those that Flatten gives."""
        if not array.flags.c_contiguous:
            return summary(array, id(array) in self._weights)
        at = array.__array_interface__["data"][0], array.size, array.dtype
        known = self._known.get(at)
        self._known[at] = summary(array, id(array) in self._weights, known)
        return self._known[at]

    def value(self, value: int, group: int | None, branches: bool) -> Label:
        """Of a value where it leaves its source: itself, and its derivative.

        That is the whole derivative, or where it leaves a group that through what is outside.
        """
        v = self.trace.values[value]
        gradient = v.gradient if group is None else self.trace.groups[group].leaves[value]
        return Label(self.side(v.array, False), self.side(gradient, True, branches))

    def share(self, group: int, value: int, target: Target) -> Label:
        """Of one use of a value that branches: its share of the derivative."""
        return Label(None, self.side(self.trace.share(group, value, target), True))

    def node(self, node: int) -> tuple[float, float]:
        """Width and height of an operation: a circle, or a pill for a long name."""
        n = self.trace.nodes[node]
        return self._shape(n.symbol, len(n.uses))

    def closed(self, group: int, ports: int) -> tuple[float, float]:
        """Width and height of a closed group."""
        g = self.trace.groups[group]
        if g.kind == "operation":
            return self._shape(g.symbol, ports)
        title, below = name_text(g.name), name_text(box_kind(g.kind, g.size))
        width = max(text_width(title), text_width(below, 11)) + 24
        return max(width, 64.0), max(48.0, 14.0 * ports + 12)

    @staticmethod
    def _shape(symbol: str, ports: int) -> tuple[float, float]:
        width = text_width(symbol) + 14
        height = max(38.0, 14.0 * ports + 8)
        return (max(width, height), height) if width <= 56 else (width + 6, height)

    def leaf(self, value: int) -> tuple[float, float]:
        """Width and height of the name of a leaf; a nameless constant is a point."""
        v = self.trace.values[value]
        if not v.name and v.kind == "constant":
            return 8.0, 8.0
        return text_width(name_text(v.name) or "·") + 18, 26.0


def box_kind(kind: str, size: int) -> str:
    """What stands small in a closed box."""
    return f"{size} nodes" if kind == "part" else kind
