"""A computation at several moments, as a training run repeats it: one layout, many labels.

The layout says where everything stands; of each moment only what is written and drawn beside the
lines is kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tarograd.drawing.arrange import Arrangement
from tarograd.drawing.html import (
    document,
    json_text,
    label_json,
    level_json,
    side_json,
    told,
    words_of,
)
from tarograd.drawing.labels import Label, Labels, Side, name_text
from tarograd.drawing.numbers import plain
from tarograd.drawing.place import labels_of
from tarograd.drawing.trace import ROOT, Trace

SCRIPTS = (
    "place.js",
    "scene.js",
    "calculus.js",
    "charts.js",
    "recording.js",
    "panels.js",
    "run.js",
)
STYLES = ("page.css", "run.css")
ROOM = 124.0  # of a label: numbers such as Σ ‖1.234e-05‖ come later if not at first
EACH = 84.0  # of each number where there are up to three: -1.234e-05


class Film:
    """Turns the traces of one computation into frames.

    Attributes:
        pictures: the layouts, as JSON data; one, unless the computation changes its form.
    """

    def __init__(self) -> None:
        self.pictures: list[dict[str, Any]] = []
        self._levels: list[tuple[Any, Arrangement, int]] = []

    def frame(self, trace: Trace) -> dict[str, Any]:
        """What a moment shows.

        Args:
            trace: of the computation at this moment.

        Returns:
            `picture`, the place of its layout among the pictures; `sides`, what is written, each
            text and image once; `labels`, for each label of the layout the places of its two
            sides; `parameters`, the same for each parameter by its value; and `norms`, those of
            the derivative by each value.
        """
        form, table, labels = _form(trace), Labels(trace), list[Label]()
        at, levels = next(((n, it) for f, it, n in self._levels if f == form), (None, None))
        levels = levels or Arrangement(trace)
        opened = {ROOT} | {group.parent for group in trace.groups[1:]}
        if at is None:
            rows = [
                level_json(g.id, levels[g.id], table, labels) if g.id in opened else None
                for g in trace.groups
            ]
            picture = _picture(trace, rows, labels, opened)
            if picture not in self.pictures:
                self.pictures.append(picture)
            at = self.pictures.index(picture)
            self._levels.append((form, levels, at))
        else:
            for group in sorted(opened):
                for item in levels[group].items:
                    labels += filter(None, labels_of(group, levels[group], item, table))
        return {"picture": at} | _frame(trace, table, labels)


def _form(trace: Trace) -> Any:
    """What two traces have in common that can be drawn with one layout."""
    nodes = [(n.op, n.group, n.uses, n.output) for n in trace.nodes]
    values = [(v.kind, v.name, v.home, v.array.ndim, v.gradient is None) for v in trace.values]
    groups = [(g.name, g.kind, g.parent) for g in trace.groups]
    return nodes, values, groups


def _picture(
    trace: Trace, rows: list[dict[str, Any] | None], labels: list[Label], opened: set[int]
) -> dict[str, Any]:
    """The layout in which each group that holds others is open."""
    return {
        "trace": {
            "values": [{"kind": v.kind, "name": name_text(v.name) or None} for v in trace.values],
            "nodes": [{"symbol": n.symbol} for n in trace.nodes],
            "groups": [{"name": g.name, "kind": g.kind, "symbol": g.symbol} for g in trace.groups],
        },
        "levels": rows,
        "labels": [
            label_json(label) | {"width": _room(label), "above": None, "below": None}
            for label in labels
        ],
        "open": sorted(opened),
    }


def _room(label: Label) -> float:
    """The width that a label has at every moment: its numbers change."""
    sides = [side for side in (label.above, label.below) if side]
    few = max((len(s.lines[0].split()) for s in sides if not s.pictured), default=0)
    return max(ROOM, EACH * few, *(s.width for s in sides if s.pictured))


def _frame(trace: Trace, table: Labels, labels: list[Label]) -> dict[str, Any]:
    places: dict[int, int] = {}
    sides: list[dict[str, Any] | None] = []

    def place(side: Side | None) -> int | None:
        if side is None:
            return None
        if id(side) not in places:  # the labels keep their sides alive, so ids are unique
            places[id(side)] = len(sides)
            sides.append(side_json(side))
        return places[id(side)]

    return {
        "labels": [[place(label.above), place(label.below)] for label in labels],
        "parameters": {
            v.id: [place(table.side(v.array, False)), place(table.side(v.gradient, True))]
            for v in trace.values
            if v.kind == "parameter"
        },
        "norms": [_norm(v.gradient) for v in trace.values],
        "sides": sides,
    }


def _norm(gradient: Any) -> float | str | None:
    if gradient is None:
        return None
    return plain(float(np.linalg.norm(np.asarray(gradient, np.float64))))


def run_page(title: str, data: str, live: bool = False) -> str:
    """The page of a training run: one file that works offline, or the one of a server.

    Args:
        title: of the window.
        data: the JSON of the run, without the words.
        live: whether the page asks its server for news.
    """
    words = json_text(dict(words_of()))
    text = f'{{"words":{words},"live":{"true" if live else "false"},"run":{data}}}'
    still = told({name: said["run"]["still"] for name, said in words_of()})
    return document(title, SCRIPTS, STYLES, text, connects=live, still=still)
