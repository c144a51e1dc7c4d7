"""Coordinates: from columns and order to boxes and lines, for any set of open groups.

`viewer/place.js` computes the same in the browser when a box is opened there; a test holds the two
equal. An open group is placed first and then is one large item of the group around it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt

from tarograd.drawing.arrange import Arrangement, Item, Level, Link
from tarograd.drawing.labels import Label, Labels
from tarograd.drawing.rows import ROW, SLACK, starts
from tarograd.drawing.trace import ROOT, no_collection

PASSES = 6  # of alignment, from left to right and back
BETWEEN = 8.0  # between two items of a column
PAD, TITLE = 14.0, 24.0  # within an open box
MARGIN = 12.0  # around the picture
PORT = 14.0  # between two lines that enter a shape
BARE = 9.0  # the room up and down of a line without a label
NARROW, STEEP, WIDE = 20.0, 0.3, 80.0  # between columns: at least, per height climbed, at most
TRACK = 14.0  # between two lines that lead to the next row


@dataclass(eq=False, slots=True)
class Box:
    """A shape: a node, a group or a leaf. y is its center, x its left side."""

    kind: str
    ref: int
    group: int
    x: float
    y: float
    width: float
    height: float
    open: bool = False


@dataclass(eq=False, slots=True)
class Line:
    """A line that carries a value through the points, from left to right.

    Attributes:
        kind: the kind of the item that it comes from, or `link` for the way between two columns.
        label: what stands above and below it, at the right end of a share, else at the left.
        flows: whether a derivative comes back along it.
        head: whether it ends at a shape, so that it gets the arrow of the forward pass.
        tail: whether it begins at a shape, so that it gets the arrow of the backward pass.
        branch: whether the value branches at its end.
    """

    kind: str
    value: int
    group: int
    points: tuple[tuple[float, float], ...]
    flows: bool
    label: Label | None = None
    head: bool = False
    tail: bool = False
    branch: bool = False


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture with all its coordinates."""

    width: float
    height: float
    boxes: list[Box]
    lines: list[Line]


@dataclass(eq=False, slots=True)
class Size:
    """The room of an item: its shape, and relative to its center where lines enter and leave."""

    width: float
    height: float
    up: float
    down: float
    ports: list[float]
    outputs: list[float]
    labels: list[Label | None]
    room: float = field(init=False)  # the width with that of the labels

    def __post_init__(self) -> None:
        self.room = self.width + max((x.width for x in self.labels if x), default=0.0)


BEND = Size(0.0, 0.0, BARE, BARE, [0.0], [0.0], [None])


@dataclass(eq=False, slots=True)
class Plan:
    """A group with the coordinates of its items, from its own upper left corner."""

    level: Level
    sizes: list[Size]
    x: list[float]
    y: list[float]
    left: list[float] = field(default_factory=list)  # of each column
    right: list[float] = field(default_factory=list)
    row: list[int] = field(default_factory=list)  # of each column
    floor: list[float] = field(default_factory=list)  # of each row
    width: float = 0.0
    height: float = 0.0


def place(levels: Arrangement, labels: Labels, opened: set[int]) -> Scene:
    """The picture of an arranged trace in which the groups `opened` are open."""
    plans: dict[int, Plan] = {}
    boxes: list[Box] = []
    lines: list[Line] = []
    with no_collection():
        whole = _plan(ROOT, levels, labels, opened, plans)
        waiting = [(ROOT, 0.0, 0.0)]
        while waiting:
            group, x, y = waiting.pop()
            inner = _boxes(group, plans[group], x, y, boxes, opened)
            _lines(group, plans[group], x, y, lines, opened)
            waiting += reversed(inner)
    return Scene(whole.width, whole.height, boxes, lines)


def _plan(
    group: int,
    levels: Arrangement,
    labels: Labels,
    opened: set[int],
    plans: dict[int, Plan],
) -> Plan:
    """Coordinates within a group, after those of the open groups inside."""
    level = levels[group]
    sizes = []
    for item in level.items:
        inner = None
        if item.kind == "group" and item.ref in opened:
            inner = _plan(item.ref, levels, labels, opened, plans)
        sizes.append(size_of(group, level, item, inner, labels))
    plan = plans[group] = Plan(level, sizes, [0.0] * len(sizes), _align(level, sizes))
    _spread(plan, 0.0 if group == ROOT else TITLE, MARGIN if group == ROOT else PAD)
    return plan


def labels_of(group: int, level: Level, item: Item, labels: Labels) -> list[Label | None]:
    """What is written beside each line that leaves an item."""
    if item.kind == "share" and item.target:
        return [labels.share(group, item.ref, item.target)]
    shown: list[Label | None] = [None] * len(item.outputs)
    if item.kind in ("node", "leaf", "group"):
        for i, value in enumerate(item.outputs):
            if group == ROOT or value not in level.passing:
                source = item.ref if item.kind == "group" else None
                shown[i] = labels.value(value, source, value in level.branching)
    return shown


def size_of(group: int, level: Level, item: Item, inner: Plan | None, labels: Labels) -> Size:
    """The room that an item takes."""
    if item.kind == "bend":
        return BEND
    shown = labels_of(group, level, item, labels)
    if inner is not None:
        half = inner.height / 2
        at = {(i.kind, i.ref): y - half for i, y in zip(inner.level.items, inner.y, strict=True)}
        ports = [at.get(("inlet", v), 0.0) for v in item.ports]
        outputs = [at["outlet", v] for v in item.outputs]
        return Size(inner.width, inner.height, half, half, ports, outputs, shown)
    return _simple(group, item, shown, labels)


def _simple(group: int, item: Item, shown: list[Label | None], labels: Labels) -> Size:
    """The room of anything but an open group; several outputs stand one below the other."""
    width = height = 0.0
    if item.kind == "node":
        width, height = labels.node(item.ref)
    elif item.kind == "leaf":
        width, height = labels.leaf(item.ref)
    elif item.kind == "group":
        width, height = labels.closed(item.ref, len(item.ports))
    middle = (len(item.ports) - 1) / 2
    ports = [(i - middle) * PORT for i in range(len(item.ports))]
    up = down = max(height / 2, BARE)
    if item.kind == "outlet" and group != ROOT:
        label = labels.value(item.ref, group, False)  # stands outside, where this line ends
        up, down = label.up, label.down
    elif len(shown) == 1 and shown[0]:
        up, down = max(up, shown[0].up), max(down, shown[0].down)
    if len(shown) < 2:
        return Size(width, height, up, down, ports, [0.0] * len(shown), shown)
    rooms = [(label.up, label.down) if label else (BARE, BARE) for label in shown]
    total = sum(a + b + BETWEEN for a, b in rooms) - BETWEEN
    outputs, y = [], -total / 2
    for a, b in rooms:
        outputs.append(y + a)
        y += a + b + BETWEEN
    height = max(height, total - 30)
    return Size(width, height, max(up, total / 2), max(down, total / 2), ports, outputs, shown)


def _align(level: Level, sizes: list[Size]) -> list[float]:
    """The heights: each item at the mean of its neighbors, in the order of its column."""
    y = [0.0] * len(sizes)
    left: list[list[tuple[int, float, float]]] = [[] for _ in sizes]
    right: list[list[tuple[int, float, float]]] = [[] for _ in sizes]
    for link in level.links:
        offset = sizes[link.start].outputs[link.output] - sizes[link.end].ports[link.port]
        bends = (level.items[link.start].kind, level.items[link.end].kind).count("bend")
        left[link.end].append((link.start, offset, 1.0 + 3 * bends))
        right[link.start].append((link.end, -offset, 1.0 + 3 * bends))
    for column in level.columns:
        _stack(column, sizes, y, left)
    for sweep in range(1, PASSES):
        for column in level.columns if sweep % 2 == 0 else reversed(level.columns):
            _stack(column, sizes, y, left if sweep % 2 == 0 else right)
    return y


def _stack(
    column: list[int], sizes: list[Size], y: list[float], near: list[list[tuple[int, float, float]]]
) -> None:
    """Bring the items of a column as near to the mean of their neighbors as the order allows.

    Least squares under the distances: neighbors that would overlap become one block at their mean.
    """
    if len(column) == 1:
        return _center(column[0], y, near[column[0]])
    blocks: list[list[float]] = []  # weighted sum, weight, number of items
    offsets: list[float] = []
    offset = before = 0.0
    for at in column:
        if offsets:
            offset += before + sizes[at].up + BETWEEN
        before = sizes[at].down
        offsets.append(offset)
        weight = total = 0.0
        for i, distance, w in near[at]:
            total += (y[i] + distance) * w
            weight += w
        if not weight:
            weight, total = 0.01, 0.01 * y[at]
        blocks.append([total - offset * weight, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] >= blocks[-1][0] * blocks[-2][1]:
            total, weight, count = blocks.pop()
            blocks[-1] = [blocks[-1][0] + total, blocks[-1][1] + weight, blocks[-1][2] + count]
    place = 0
    for total, weight, count in blocks:
        for _ in range(int(count)):
            y[column[place]] = total / weight + offsets[place]
            place += 1


def _center(at: int, y: list[float], near: list[tuple[int, float, float]]) -> None:
    """Bring an item that is alone in its column to the mean of its neighbors."""
    if near:
        total = weight = 0.0
        for i, distance, w in near:
            total += (y[i] + distance) * w
            weight += w
        y[at] = total / weight


def _spread(plan: Plan, title: float, margin: float) -> None:
    """The columns side by side, in as many rows as it takes; then the size of the whole."""
    level, sizes = plan.level, plan.sizes
    climb = [0.0] * len(level.columns)
    across = [0] * len(level.columns)
    for link in level.links:
        rank = level.items[link.start].rank
        rise = plan.y[link.end] + sizes[link.end].ports[link.port]
        rise -= plan.y[link.start] + sizes[link.start].outputs[link.output]
        climb[rank] = max(climb[rank], abs(rise))
        across[rank] += 1
    widths = [max((sizes[i].room for i in column), default=0.0) for column in level.columns]
    gaps = [
        min(max(NARROW, STEEP * c), WIDE) if n else 0.0 for c, n in zip(climb, across, strict=True)
    ]
    breaks = sum(widths) + sum(gaps) > SLACK * ROW
    indent = margin + (TRACK * (max(across, default=0) + 1) if breaks else 0.0)
    begins = starts(widths, gaps, across, indent) if breaks else set()
    x = indent
    for rank, (width, gap) in enumerate(zip(widths, gaps, strict=True)):
        new = rank in begins
        plan.row.append((plan.row[-1] if plan.row else 0) + new)
        x = indent if new else x
        plan.left.append(x)
        plan.right.append(x + width)
        x += width + gap
    plan.width = max(plan.right, default=0.0) + margin
    if breaks:
        plan.width += TRACK * (max(across) + 1)
    top = title + margin
    rows: list[list[int]] = [[] for _ in range(plan.row[-1] + 1 if plan.row else 0)]
    for rank, row in enumerate(plan.row):
        rows[row].append(rank)
    for ranks in rows:
        inside = [i for rank in ranks for i in level.columns[rank]]
        shift = top - min((plan.y[i] - sizes[i].up for i in inside), default=0.0)
        for rank in ranks:
            for i in level.columns[rank]:
                plan.y[i] += shift
                late = level.items[i].kind in ("leaf", "share")
                plan.x[i] = plan.right[rank] - sizes[i].room if late else plan.left[rank]
        plan.floor.append(max((plan.y[i] + sizes[i].down for i in inside), default=top))
        top = plan.floor[-1] + TRACK * (across[ranks[-1]] + 2)
    plan.height = (plan.floor[-1] if plan.floor else top) + margin


def _boxes(
    group: int, plan: Plan, x: float, y: float, boxes: list[Box], opened: set[int]
) -> list[tuple[int, float, float]]:
    """Add the shapes of a group; gives the open groups inside and their corners."""
    inner = []
    for at, (item, size) in enumerate(zip(plan.level.items, plan.sizes, strict=True)):
        if item.kind not in ("node", "leaf", "group"):
            continue
        is_open = item.kind == "group" and item.ref in opened
        left, middle = x + plan.x[at], y + plan.y[at]
        boxes.append(
            Box(item.kind, item.ref, group, left, middle, size.width, size.height, is_open)
        )
        if is_open:
            inner.append((item.ref, left, middle - size.height / 2))
    return inner


def _lines(group: int, plan: Plan, x: float, y: float, lines: list[Line], opened: set[int]) -> None:
    """Add the lines of a group: those beside its items, and those from column to column."""
    level = plan.level
    forks = [0] * len(level.items)
    for link in level.links:
        forks[link.start] += 1
    for at, (item, size) in enumerate(zip(level.items, plan.sizes, strict=True)):
        right = plan.right[item.rank]
        if item.kind == "outlet":
            right = plan.width if group != ROOT else plan.left[item.rank] + MARGIN
        start = plan.x[at] + size.width
        if item.kind in ("bend", "outlet", "share"):
            start = plan.left[item.rank]
        elif item.kind == "inlet":
            start = 0.0
        for i, value in enumerate(item.outputs or item.ports):
            height = y + plan.y[at] + (size.outputs[i] if item.outputs else 0.0)
            flows = value in level.flowing
            if item.kind == "share" and item.target:
                flows = size.labels[0] is not None and size.labels[0].below is not None
            branch = value in level.branching and item.kind not in ("share", "outlet")
            branch = branch and forks[at] != 1
            label = size.labels[i] if item.outputs else None
            points = ((x + start, height), (x + right, height))
            final = item.kind == "outlet" and group == ROOT
            tail = item.kind in ("node", "leaf") or (
                item.kind == "group" and item.ref not in opened
            )
            lines.append(Line(item.kind, value, group, points, flows, label, final, tail, branch))
    crossing = [0] * len(level.columns)
    for link in level.links:
        rank, end = level.items[link.start].rank, level.items[link.end]
        height = plan.y[link.start] + plan.sizes[link.start].outputs[link.output]
        stop = y + plan.y[link.end] + plan.sizes[link.end].ports[link.port]
        way: tuple[tuple[float, float], ...] = ()
        if plan.row[rank] != plan.row[rank + 1]:
            crossing[rank] += 1
            around = _around(plan, rank, crossing[rank], height, stop - y)
            way = tuple((x + a, y + b) for a, b in around)
        head = end.kind == "node" or (end.kind == "group" and end.ref not in opened)
        whole = ((x + plan.right[rank], y + height), *way, (x + _entry(plan, link), stop))
        lines.append(Line("link", link.value, group, whole, link.flows, None, head))


def _entry(plan: Plan, link: Link) -> float:
    """Where a link meets its end: a circle is rounder than its box."""
    item, size = plan.level.items[link.end], plan.sizes[link.end]
    if item.kind not in ("node", "group") or size.width != size.height:
        return plan.left[item.rank]
    radius, off = size.width / 2, size.ports[link.port]
    return plan.x[link.end] + radius - sqrt(max(radius * radius - off * off, 0.0))


def _around(plan: Plan, rank: int, track: int, y0: float, y1: float) -> list[tuple[float, float]]:
    """The points of a line that leads to the next row: down behind the end and back below it."""
    row = plan.row[rank]
    right = plan.right[rank] + TRACK * track
    below = plan.floor[row] + TRACK * track
    left = plan.left[rank + 1] - TRACK * track
    return [(right, y0), (right, below), (left, below), (left, y1)]
