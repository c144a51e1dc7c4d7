"""The textbook's picture in a terminal: light lines forward, heavy lines backward.

    apple ──100──▶(×)──200──▶(×)──220──▶
          ◀━2.2━━━ │  ◀━1.1━━ │  ◀━1━━━━
    count ──2──────┘          │
          ◀━110━━━            │
    tax ──1.1─────────────────┘
        ◀━200━━━

Each value has a lane of two rows. The lanes are found in the order of computation: an operation
stands on the lane of its first input, the others join it from below or above.
"""

from __future__ import annotations

from dataclasses import dataclass

from tarograd.drawing.canvas import Canvas, cells, to_ascii
from tarograd.drawing.labels import name_text, side
from tarograd.drawing.trace import Trace
from tarograd.drawing.view import Part, view
from tarograd.graph import Array

MOST = 40  # nodes; more become an outline


@dataclass(eq=False)
class Lane:
    """Two rows of text; `x` is where the line that runs on it has come to, `free` its label."""

    start: int
    x: int
    free: int
    flows: bool
    ended: bool = False  # it has joined another one


def terminal(
    trace: Trace, *, color: bool = False, ascii: bool = False, width: int = 1, columns: int = 200
) -> list[str] | None:
    """The picture as lines of text; None if it is too large, so that an outline is better.

    Args:
        trace: what is drawn.
        color: whether backward is colored, by ANSI sequences.
        ascii: whether only ASCII may be used.
        width: how many cells the terminal gives to characters of ambiguous width, such as ×.
        columns: the width of the terminal.
    """
    parts = view(trace, trace.open_groups())
    if len(parts) > MOST or any(len(part.outputs) != 1 for part in parts):
        return None
    lines = _Drawing(trace, width, ascii).draw(parts, color)
    plain = lines if not color else _Drawing(trace, width, ascii).draw(parts, False)
    if max((cells(line, width) for line in plain), default=0) > columns:
        return None
    return lines


class _Drawing:
    def __init__(self, trace: Trace, width: int, ascii: bool) -> None:
        self.trace, self.width, self.ascii = trace, 1 if ascii else width, ascii
        self.lanes: list[Lane] = []
        self.of: dict[int, Lane] = {}  # the lane on which a value runs
        self.texts: list[tuple[Lane, int, int, str, bool]] = []
        self.flat: list[tuple[Lane, int, int, bool]] = []
        self.joints: list[tuple[int, Lane, Lane, str]] = []  # x, from, to, what stands at `from`
        self.left: dict[int, int] = {}

    def draw(self, parts: list[Part], color: bool) -> list[str]:
        """The picture of these parts."""
        for part in parts:
            for value, _ in part.inputs:
                self.left[value] = self.left.get(value, 0) + 1
        uses = dict(self.left)
        for part in parts:
            self.part(part, uses)
        if not parts:
            self.leaf(self.trace.output, None, False)
        self.finish(self.of[self.trace.output])
        return self.paint(color)

    def text(self, text: str) -> str:
        """A text as the terminal can show it."""
        return to_ascii(text) if self.ascii else text

    def even(self, x: int) -> int:
        """The next place for a character of ambiguous width."""
        return -(-x // self.width) * self.width

    def cells(self, text: str) -> int:
        """The room of a text, up to a place where a line may begin."""
        return self.even(cells(text, self.width))

    def numbers(self, array: Array | None, total: bool = False, gradient: bool = False) -> str:
        """What is written of an array, in one line."""
        return "" if array is None else self.text(" ".join(side(array, gradient, total).lines))

    def part(self, part: Part, uses: dict[int, int]) -> None:
        """Draw a node or a closed group: its inputs join, its output runs on."""
        joined: list[Lane] = []
        for value, share in part.inputs:
            if value not in self.of:
                self.leaf(value, joined[-1] if joined else None, uses[value] > 1)
            lane = self.of[value]
            self.left[value] -= 1
            if uses[value] > 1:
                lane = self.branch(lane, share, self.left[value] > 0)
            joined.append(lane)
        symbol = self.symbol(part)
        if not joined:
            joined.append(self.lane(None, True))
        main = self.main(part, joined)
        low = min(self.lanes.index(lane) for lane in joined)
        high = max(self.lanes.index(lane) for lane in joined)
        x = max(lane.free for lane in self.lanes[low : high + 1])
        size = self.cells(symbol)
        middle = self.even(x + self.width + (size - self.width) // 2)
        for lane in joined:
            end = x if lane is main else middle
            self.flat.append((lane, lane.x, end, lane.flows))
            lane.ended = lane is not main
            if lane is not main:
                self.joints.append((middle, lane, main, "end"))
        self.texts.append((main, 0, x, "▶" + symbol, False))
        for lane in self.lanes[low : high + 1]:
            lane.free = max(lane.free, middle + 2 * self.width)
        output, gradient = part.outputs[0]
        main.x = x + self.width + size
        self.of[output] = main
        self.label(main, output, gradient, uses.get(output, 0) > 1)

    def main(self, part: Part, joined: list[Lane]) -> Lane:
        """The lane on which an operation stands: that of what was computed last before it."""

        def rank(i: int) -> tuple[bool, bool, int]:
            value = self.trace.values[part.inputs[i][0]]
            return (value.node is not None, value.gradient is not None, -i)

        return joined[max(range(len(joined)), key=rank)] if part.inputs else joined[0]

    def symbol(self, part: Part) -> str:
        """`(×)` for an operation, `[affine1]` for a closed layer."""
        space = " " * (self.width - 1)  # keeps the symbol on the grid of wide characters
        if part.kind == "node":
            return f"({space}{self.text(self.trace.nodes[part.ref].symbol)}{space})"
        group = self.trace.groups[part.ref]
        closed = group.kind == "operation"
        name = self.text(name_text(group.symbol if closed else group.name))
        return f"({space}{name}{space})" if closed else f"[{space}{name}{space}]"

    def lane(self, below: Lane | None, leaf: bool) -> Lane:
        """A new lane below another one, right of all that crosses its place."""
        place = self.lanes.index(below) + 1 if below else len(self.lanes)
        while leaf and place < len(self.lanes) and self.lanes[place].ended:
            place += 1  # below what has ended, as the textbook writes one leaf under the other
        start = 0
        for x, a, b, _ in self.joints:
            i, j = sorted((self.lanes.index(a), self.lanes.index(b)))
            if i < place <= j:
                start = max(start, x + 2 * self.width)
        lane = Lane(start, start, start, True)
        self.lanes.insert(place, lane)
        return lane

    def leaf(self, value: int, below: Lane | None, branches: bool) -> None:
        """Begin the lane of a leaf with its name and its value."""
        v = self.trace.values[value]
        lane = self.of[value] = self.lane(below, True)
        name = self.text(name_text(v.name) + " " if v.name else "")
        self.texts.append((lane, 0, lane.x, name, False))
        lane.x += self.cells(name)
        self.label(lane, value, v.gradient, branches)

    def label(self, lane: Lane, value: int, gradient: Array | None, branches: bool) -> None:
        """Write a value above and its derivative below, and reserve the room."""
        above = self.numbers(self.trace.values[value].array)
        below = self.numbers(gradient, branches, True)
        lane.flows = gradient is not None
        self.texts.append((lane, 0, lane.x + 2 * self.width, above, False))
        if lane.flows:
            self.texts.append((lane, 1, lane.x, "◀━" + below, True))
        room = max(self.cells(above), self.cells(below) if lane.flows else 0)
        lane.free = lane.x + room + 4 * self.width

    def branch(self, lane: Lane, share: Array | None, goes_on: bool) -> Lane:
        """Where a value branches: a lane of its own for this use, with its share below."""
        joint = lane.free
        new = lane
        if goes_on:
            new = self.lane(lane, False)
            joint = max(joint, new.start)
            self.flat.append((lane, lane.x, joint, lane.flows))
            self.joints.append((joint, new, lane, "start"))
            lane.x, lane.free = joint, joint + 2 * self.width
            new.start = new.x = joint + self.width
        new.flows = share is not None
        below = self.numbers(share, False, True)
        if share is not None:
            self.texts.append((new, 1, joint + self.width, "◀━" + below, True))
        new.free = joint + self.cells(below) + 5 * self.width
        return new

    def finish(self, lane: Lane) -> None:
        """The end of the output's line."""
        self.flat.append((lane, lane.x, lane.free, lane.flows))
        self.texts.append((lane, 0, lane.free, "▶", False))

    def paint(self, color: bool) -> list[str]:
        """All that was collected, on a canvas."""
        canvas = Canvas(self.width)
        row = {id(lane): 2 * i for i, lane in enumerate(self.lanes)}
        for lane, below, x, text, backward in self.texts:
            canvas.put(row[id(lane)] + below, x, text, backward)
        for lane, x0, x1, flows in self.flat:
            canvas.across(row[id(lane)], x0, x1, "─")
            canvas.across(row[id(lane)] + 1, x0, x1, "━" if flows else "┄", flows)
        for x, lane, main, _ in self.joints:
            canvas.down(row[id(lane)], row[id(main)], x)
        for x, lane, main, what in self.joints:
            here, there = row[id(lane)], row[id(main)]
            if what == "end":
                passes = canvas.at(here, x) in ("│", "┤")
                canvas.put(here, x, "┤" if passes else "┘" if here > there else "┐")
            else:
                canvas.put(here, x, "└")
                canvas.put(there, x, "┬")
        return canvas.lines(color, self.ascii)
