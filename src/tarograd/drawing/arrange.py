"""Who stands where, without coordinates: for each group of a trace its items in columns.

The columns follow the computation from left to right, each item as late as its consumers allow.
Edges longer than one column pass through bends, one chain for all uses of a value; a value that is
used more than once gets a label for each share. Linear in the number of items and bends.

Ranks and order do not depend on which groups are open, so a drawing stays stable while it unfolds.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from dataclasses import dataclass, field

from tarograd.drawing.trace import Target, Trace, no_collection

SWEEPS = 8  # at most, of crossing reduction
THOROUGH = 2000  # items; a larger level gets fewer sweeps


@dataclass(eq=False, slots=True)
class Item:
    """Something that stands in a column.

    Attributes:
        kind: `node`, `group`, `leaf`, `inlet`, `outlet`, `share` (the label of one use of a
            value that branches) or `bend`.
        ref: the id of the node, the group or, for the others, the value.
        ports: where values enter, by the value they carry; a node has one for each input.
        target: what a share goes to.
    """

    kind: str
    ref: int
    ports: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    target: Target | None = None
    rank: int = 0


@dataclass(eq=False, slots=True)
class Link:
    """A line from one column to the next: from an output of an item to a port of another."""

    value: int
    start: int
    output: int
    end: int
    port: int
    flows: bool


@dataclass(eq=False, slots=True)
class Level:
    """One group, arranged: its items by column, top to bottom, and the links between them.

    Attributes:
        branching: the values that go to more than one place here.
        passing: the values that only leave from here; their label stands outside.
        flowing: the values whose derivative was computed.
    """

    items: list[Item]
    links: list[Link]
    columns: list[list[int]]
    branching: set[int]
    passing: set[int]
    flowing: set[int]


class Arrangement:
    """The levels of a trace by the id of their group, each arranged when it is first looked at."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        with no_collection():
            self._targets = trace.targets()
        self._leaves: dict[int, list[int]] = {}
        for value in trace.values:
            if value.node is None:
                self._leaves.setdefault(value.home, []).append(value.id)
        self._levels: dict[int, Level] = {}

    def __getitem__(self, group: int) -> Level:
        if group not in self._levels:
            leaves = self._leaves.get(group, [])
            with no_collection():
                builder = _Builder(self.trace, group, self._targets[group], leaves)
                self._levels[group] = builder.level()
        return self._levels[group]


class _Builder:
    """Arranges one group."""

    def __init__(
        self, trace: Trace, group: int, targets: dict[int, list[Target]], leaves: list[int]
    ) -> None:
        self.trace, self.group, self.targets = trace, group, targets
        self.items: list[Item] = []
        self.at: dict[tuple[str, int], int] = {}
        self.edges: list[tuple[int, int, int, int, int, Target]] = []
        for value in leaves:  # also those that nothing uses
            self.item("leaf", value)
        for value, into in targets.items():
            for target in into:
                self.edge(value, target)
        self.links: list[Link] = []

    def item(self, kind: str, ref: int) -> int:
        """The place of an item, which is made when it is first met."""
        if (kind, ref) not in self.at:
            self.at[kind, ref] = len(self.items)
            made = Item(kind, ref)
            if kind == "node":
                node = self.trace.nodes[ref]
                made.ports = [self.trace.uses[u].value for u in node.uses]
                made.outputs = [node.output]
            elif kind == "group":
                made.ports = list(self.trace.groups[ref].enters)
                made.outputs = list(self.trace.groups[ref].leaves)
            elif kind == "outlet":
                made.ports = [ref]
            else:
                made.outputs = [ref]
            self.items.append(made)
        return self.at[kind, ref]

    def source(self, value: int) -> int:
        """The item that a value comes from."""
        v = self.trace.values[value]
        below = self.group
        for around in self.trace.outward(v.home):
            if around == self.group:
                if below != self.group:
                    return self.item("group", below)
                return self.item("leaf", value) if v.node is None else self.item("node", v.node)
            below = around
        return self.item("inlet", value)

    def edge(self, value: int, target: Target) -> None:
        """Add the edge of a value to one target."""
        start = self.source(value)
        kind, ref, port = target
        end = self.item("outlet", value) if kind == "out" else self.item(kind, ref)
        if kind == "group":
            port = self.items[end].ports.index(value)
        output = self.items[start].outputs.index(value)
        self.edges.append((value, start, output, end, port, target))

    def level(self) -> Level:
        """The group with ranks, bends and an order with few crossings."""
        self.rank()
        self.route()
        last = max((item.rank for item in self.items), default=0)
        columns: list[list[int]] = [[] for _ in range(last + 1)]
        for at in self.depth_first():
            columns[self.items[at].rank].append(at)
        columns = _untangle(self.items, self.links, columns)
        branching = {v for v, into in self.targets.items() if len(into) > 1}
        passing = {v for v, into in self.targets.items() if into == [("out", 0, 0)]}
        flowing = {
            v for v, into in self.targets.items() if any(self.flows(v, target) for target in into)
        }
        return Level(self.items, self.links, columns, branching, passing, flowing)

    def flows(self, value: int, target: Target) -> bool:
        """Whether the derivative on the edge to a target was computed."""
        return self.trace.share(self.group, value, target) is not None

    def rank(self) -> None:
        """Longest path from the left; then each item as late as its first consumer."""
        count = len(self.items)
        after: list[list[tuple[int, int]]] = [[] for _ in range(count)]
        before = [0] * count
        for value, start, _, end, _, _ in self.edges:
            after[start].append((end, 1 + (len(self.targets[value]) > 1)))
            before[end] += 1
        ready, order = deque(i for i in range(count) if not before[i]), []
        while ready:
            at = ready.popleft()
            order.append(at)
            for end, length in after[at]:
                self.items[end].rank = max(self.items[end].rank, self.items[at].rank + length)
                before[end] -= 1
                if not before[end]:
                    ready.append(end)
        last = max((self.items[i].rank for i in order), default=0)
        for at in reversed(order):
            item = self.items[at]
            if item.kind == "outlet":
                item.rank = last
            elif item.kind != "inlet" and after[at]:
                item.rank = min(self.items[end].rank - length for end, length in after[at])

    def route(self) -> None:
        """Links from column to column: bends for long edges, labels for the shares of a branch."""
        chains: dict[tuple[int, int], int] = {}
        for value, start, output, end, port, target in self.edges:
            branches = len(self.targets[value]) > 1
            flows = self.flows(value, target)
            last = self.items[end].rank - 1 - branches
            at, out = start, output
            for rank in range(self.items[start].rank + 1, last + 1):
                key = (value, rank)
                if key not in chains:
                    chains[key] = self.pass_by(Item("bend", value, [value], [value], None, rank))
                    self.links.append(Link(value, at, out, chains[key], 0, branches or flows))
                at, out = chains[key], 0
            if branches:
                share = self.pass_by(Item("share", value, [value], [value], target, last + 1))
                self.links.append(Link(value, at, out, share, 0, flows))
                at, out = share, 0
            self.links.append(Link(value, at, out, end, port, flows))

    def pass_by(self, item: Item) -> int:
        """Add a bend or a share."""
        self.items.append(item)
        return len(self.items) - 1

    def depth_first(self) -> list[int]:
        """The items in the order in which a walk back from the ends meets them, ports in order."""
        into: list[list[Link]] = [[] for _ in self.items]
        last = [True] * len(self.items)
        for link in self.links:
            into[link.end].append(link)
            last[link.start] = False
        for links in into:
            links.sort(key=lambda link: -link.port)
        order, seen = [], [False] * len(self.items)
        for end in (i for i in range(len(self.items)) if last[i]):
            stack = [end]
            while stack:
                at = stack.pop()
                if not seen[at]:
                    seen[at] = True
                    order.append(at)
                    stack.extend(link.start for link in into[at])
        return order


def _untangle(items: list[Item], links: list[Link], columns: list[list[int]]) -> list[list[int]]:
    """Sweep from left to right and back, each item to the mean of its neighbors, keep the best."""
    right: list[list[tuple[int, float]]] = [[] for _ in items]
    left: list[list[tuple[int, float]]] = [[] for _ in items]
    for link in links:
        start, end = items[link.start], items[link.end]
        port = (link.port + 0.5) / len(end.ports)
        output = (link.output + 0.5) / len(start.outputs)
        left[link.end].append((link.start, output + port / 4))
        right[link.start].append((link.end, port + output / 4))
    best, fewest = columns, _crossings(columns, right)
    columns = [list(column) for column in columns]
    for sweep in range(SWEEPS if len(items) < THOROUGH else 2):
        if not fewest:
            break
        if sweep % 2 == 0:
            _sweep(columns, left)
        else:
            _sweep(columns[::-1], right)
        crossings = _crossings(columns, right)
        if crossings < fewest:
            best, fewest = [list(column) for column in columns], crossings
    return best


def _sweep(columns: list[list[int]], near: list[list[tuple[int, float]]]) -> None:
    """Sort each column by the mean place of each item's neighbors in the one before."""
    place = {at: float(y) for column in columns for y, at in enumerate(column)}
    for column in columns:
        for at in column:
            if near[at]:
                place[at] = sum(place[i] + port for i, port in near[at]) / len(near[at])
        column.sort(key=place.__getitem__)
        for y, at in enumerate(column):
            place[at] = y


def _crossings(columns: list[list[int]], right: list[list[tuple[int, float]]]) -> int:
    """How many pairs of links cross."""
    place: dict[int, int] = {}
    for column in columns:
        place.update((at, y) for y, at in enumerate(column))
    total = 0
    for column in columns:
        seen: list[float] = []
        for at in column:
            ends = sorted(place[i] + port for i, port in right[at])
            for end in ends:
                total += len(seen) - bisect_right(seen, end)
            for end in ends:
                insort(seen, end)
    return total
