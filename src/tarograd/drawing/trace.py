"""The trace: all that a drawing shows, as data. Every renderer reads this and nothing else.

A value stands on the edges that leave its node; each `Use` of it is one edge with a derivative of
its own, so that `a * a` is two edges. Groups nest: layers, and operations that are made of others.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tarograd.drawing.numbers import slices, summary
from tarograd.graph import Array

FORMAT = "tarograd-trace"
VERSION = 1
ROOT = 0  # the id of the group that holds all others
SEEN = 300  # nodes and boxes at most in one picture; the rest stays folded

Target = tuple[str, int, int]  # ("node", id, port), ("group", id, 0) or ("out", 0, 0)


@dataclass(eq=False, slots=True)
class Value:
    """A value: a leaf, or what a node computed.

    Attributes:
        kind: `input`, `parameter`, `constant` or `computed`.
        home: the group in which it is drawn.
        gradient: the derivative of the output by it, summed over its uses; None if not computed.
    """

    id: int
    kind: str
    name: str | None
    array: Array
    home: int
    node: int | None = None
    gradient: Array | None = None


@dataclass(eq=False, slots=True)
class Use:
    """One edge: a value that goes into a port of a node; and the share that flows back."""

    value: int
    node: int
    port: int
    gradient: Array | None


@dataclass(eq=False, slots=True)
class Node:
    """One operation: its name, what stands in its circle, the uses that go in, the value out."""

    id: int
    op: str
    symbol: str
    group: int
    uses: list[int] = field(default_factory=list)
    output: int = -1


@dataclass(eq=False, slots=True)
class Group:
    """A box that opens: a layer's call, or an operation made of others.

    Attributes:
        kind: the class of the layer, or `operation`, or `part` of a long computation.
        symbol: what stands in the circle of a closed operation; empty for a layer.
        level: how deep it is nested; it is drawn open if this is at most the picture's depth.
        enters: the derivative by each value from outside, through this group alone.
        leaves: the derivative by each value from inside, through what is outside.
    """

    id: int
    name: str
    kind: str
    symbol: str
    parent: int
    level: int
    size: int = 0
    enters: dict[int, Array | None] = field(default_factory=dict)
    leaves: dict[int, Array | None] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Trace:
    """A computation and its derivatives, ready to be drawn.

    Attributes:
        output: the value from which backward starts.
        depth: the groups up to this level are drawn open,
        most: as long as no more nodes and boxes than these are seen.
    """

    title: str
    depth: int
    values: list[Value] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    output: int = -1
    most: int = SEEN

    def open_groups(self) -> set[int]:
        """The groups that are drawn open at first: level by level, while there is room."""
        holds = [0] * len(self.groups)
        for node in self.nodes:
            holds[node.group] += 1
        for group in self.groups[1:]:
            holds[group.parent] += 1
        opened, seen = {ROOT}, holds[ROOT]
        for group in sorted(self.groups[1:], key=lambda g: (g.level, g.id)):
            fits = seen + holds[group.id] <= self.most
            if group.level <= self.depth and group.parent in opened and fits:
                opened.add(group.id)
                seen += holds[group.id]
        return opened

    def outward(self, group: int) -> Iterator[int]:
        """The group and those around it, the root last."""
        while group != ROOT:
            yield group
            group = self.groups[group].parent
        yield ROOT

    def common(self, a: int, b: int) -> int:
        """The innermost group that contains both."""
        around = set(self.outward(a))
        return next(g for g in self.outward(b) if g in around)

    def targets(self) -> list[dict[int, list[Target]]]:
        """For each group, where each value goes that is seen in it, in order of computation."""
        found: list[dict[int, dict[Target, None]]] = [{} for _ in self.groups]

        def add(group: int, value: int, target: Target) -> None:
            found[group].setdefault(value, {})[target] = None

        for use in self.uses:
            inside, home = self.nodes[use.node].group, self.values[use.value].home
            if inside == home:
                found[home].setdefault(use.value, {})["node", use.node, use.port] = None
                continue
            meet = self.common(inside, home)
            for group in self.outward(home):
                if group == meet:
                    break
                add(group, use.value, ("out", 0, 0))
            target: Target = ("node", use.node, use.port)
            for group in self.outward(inside):
                add(group, use.value, target)
                if group == meet:
                    break
                target = ("group", group, 0)
        for group in self.outward(self.values[self.output].home):
            add(group, self.output, ("out", 0, 0))
        return [{v: list(t) for v, t in level.items()} for level in found]

    def share(self, group: int, value: int, target: Target) -> Array | None:
        """The derivative on the edge that carries `value` to `target` within `group`."""
        kind, at, port = target
        if kind == "node":
            return self.uses[self.nodes[at].uses[port]].gradient
        return (
            self.groups[at].enters[value] if kind == "group" else self.groups[group].leaves[value]
        )

    def json(self) -> dict[str, Any]:
        """The trace as JSON data; `viewer/trace.schema.json` describes it."""
        arrays = _Arrays(self.weights())
        values = [
            {
                "kind": v.kind,
                "name": v.name,
                "array": arrays.place(v.array),
                "gradient": arrays.place(v.gradient),
                "node": v.node,
                "home": v.home,
            }
            for v in self.values
        ]
        uses = [
            {"value": u.value, "node": u.node, "port": u.port, "gradient": arrays.place(u.gradient)}
            for u in self.uses
        ]
        nodes = [
            {"op": n.op, "symbol": n.symbol, "group": n.group, "uses": n.uses, "output": n.output}
            for n in self.nodes
        ]
        groups = [
            {
                "name": g.name,
                "kind": g.kind,
                "symbol": g.symbol,
                "parent": None if g.id == ROOT else g.parent,
                "level": g.level,
                "size": g.size,
                "enters": [{"value": v, "gradient": arrays.place(a)} for v, a in g.enters.items()],
                "leaves": [{"value": v, "gradient": arrays.place(a)} for v, a in g.leaves.items()],
            }
            for g in self.groups
        ]
        return {
            "format": FORMAT,
            "version": VERSION,
            "title": self.title,
            "depth": self.depth,
            "output": self.output,
            "values": values,
            "uses": uses,
            "nodes": nodes,
            "groups": groups,
            "events": self.events(),
            "arrays": arrays.summaries,
        }

    def weights(self) -> set[int]:
        """The ids of the arrays that are a parameter, or a derivative by one."""
        own = {v.id: v for v in self.values if v.kind == "parameter"}
        shares = {id(u.gradient) for u in self.uses if u.value in own} if own else set()
        return {id(a) for v in own.values() for a in (v.array, v.gradient)} | shares

    def events(self) -> list[dict[str, Any]]:
        """What happens, in order: each node forward; then backward, and where shares add up.

        A value that is used once gets its derivative with the step of that node; one that is
        used more often with an event `accumulate`, as soon as the last share has arrived.
        """
        steps: list[dict[str, Any]] = [{"event": "forward", "node": n.id} for n in self.nodes]
        if self.values[self.output].gradient is None:
            return steps
        steps.append({"event": "start", "value": self.output})
        waiting = [0] * len(self.values)
        for use in self.uses:
            waiting[use.value] += use.gradient is not None
        branches = {v for v, n in enumerate(waiting) if n > 1}
        for node in reversed(self.nodes):
            if self.values[node.output].gradient is None:
                continue
            steps.append({"event": "backward", "node": node.id})
            for use in (self.uses[u] for u in node.uses):
                waiting[use.value] -= use.gradient is not None
                if use.value in branches and not waiting[use.value]:
                    branches.remove(use.value)
                    steps.append({"event": "accumulate", "value": use.value})
        return steps


@contextmanager
def no_collection() -> Iterator[None]:
    """A third of the time would go into looking for garbage among what is only added."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Arrays:
    """The table of arrays: each is summarized once, however many edges it stands on."""

    def __init__(self, weights: set[int]) -> None:
        self.summaries: list[dict[str, Any]] = []
        self._weights = weights
        self._places: dict[int, int] = {}

    def place(self, array: Array | None) -> int | None:
        """The number of the array in the table; None stays None: it was not computed."""
        if array is None:
            return None
        if id(array) not in self._places:  # the trace keeps its arrays alive, so ids are unique
            self._places[id(array)] = len(self.summaries)
            found = summary(array, id(array) in self._weights)
            if pictures := slices(array):
                found["slices"] = pictures
            self.summaries.append(found)
        return self._places[id(array)]
