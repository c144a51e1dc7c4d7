"""The picture as an outline: one line for each step, boxes by indentation, every number.

It is what a terminal shows of a large graph, and what a screen reader reads of any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tarograd.drawing.labels import box_kind, name_text, side
from tarograd.drawing.numbers import summary
from tarograd.drawing.trace import ROOT, Trace
from tarograd.drawing.view import Part, view
from tarograd.drawing.words import called, numbers
from tarograd.graph import Array

BARS = "▁▂▃▄▅▆▇█"
LONGEST = 400  # lines; the rest is counted


def outline(trace: Trace) -> list[str]:
    """The lines; open boxes are indented, closed ones are a single line."""
    lines = [
        f"{name_text(v.name)} = {_both(v.array, v.gradient)}"
        for v in trace.values
        if v.name and v.node is None and v.home == ROOT
    ]
    around: list[int] = []
    parts = view(trace, trace.open_groups())
    uses = Counter(value for part in parts for value, _ in part.inputs)
    for part in parts:
        group = (
            trace.nodes[part.ref].group if part.kind == "node" else trace.groups[part.ref].parent
        )
        path = [g for g in trace.outward(group) if g != ROOT][::-1]
        for depth, at in enumerate(path):
            if around[: depth + 1] != path[: depth + 1]:
                box = trace.groups[at]
                kind = "" if box.kind == "operation" else f" {name_text(box.kind)}"
                lines.append(f"{'  ' * depth}▾ {name_text(box.name)}{kind}")
                lines += [
                    f"{'  ' * (depth + 1)}{name_text(v.name)} = {_both(v.array, v.gradient)}"
                    for v in trace.values
                    if v.home == at and v.node is None and v.name
                ]
                around = path[: depth + 1]
        around = path
        lines += [f"{'  ' * len(path)}{line}" for line in _step(trace, part, uses)]
    rest = len(lines) - LONGEST
    return lines if rest <= 0 else [*lines[:LONGEST], f"… {rest} more"]


def _step(trace: Trace, part: Part, uses: Counter[int]) -> Iterator[str]:
    """A node or a closed box: what goes in, what comes out, what flows back."""
    inputs = ", ".join(called(trace, value) for value, _ in part.inputs)
    if part.kind == "node":
        what = trace.nodes[part.ref].symbol
    else:
        group = trace.groups[part.ref]
        kind = "" if group.kind == "operation" else f" {box_kind(group.kind, group.size)}"
        what = f"▸ {name_text(group.name)}{name_text(kind)}"
    head = f"{what} ({inputs})"
    for value, gradient in part.outputs:
        yield f"{head} → {called(trace, value)} = {_both(trace.values[value].array, gradient)}"
        head = f"{what} …"
    for value, share in part.inputs:
        if uses[value] > 1 and trace.values[value].gradient is not None:
            yield f"    share of {called(trace, value)}: ∂ {numbers(share)}"


def _both(array: Array, gradient: Array | None) -> str:
    """A value with its derivative, each with a small histogram if it is large."""
    back = "∂ not computed" if gradient is None else f"∂ {_bars(gradient)}{numbers(gradient)}"
    return f"{_bars(array)}{' '.join(side(array).lines)}   {back}"


def _bars(array: Array) -> str:
    counts = summary(array).get("histogram") or []
    most = max(counts, default=0)
    return "".join(BARS[round(7 * n / most)] for n in counts) + " " if most else ""
