"""From a recorded computation to its trace: derivatives per use, and composites opened by replay.

Nothing is changed: the graph is read, backpropagation runs on the side, and an operation made of
others is computed again from its saved inputs.
"""

from __future__ import annotations

from collections import Counter
from functools import reduce
from typing import Any

import numpy as np

from tarograd.backward import backpropagate
from tarograd.drawing.trace import ROOT, Group, Node, Trace, Use, Value, no_collection
from tarograd.graph import Array, Operand, Primitive, context, topological_order
from tarograd.graph import Group as Call
from tarograd.graph import Node as Computation
from tarograd.tensor import Parameter, Tensor

REPLAYED = 2000  # in a graph of more nodes the composites stay closed
FULL = 120  # nodes side by side in one group; more are folded into parts
PARTS = 40  # into how many


def record(
    output: Tensor, title: str, depth: int, upstream: Array | None, replays: bool = True
) -> Trace:
    """The trace of the computation behind `output`.

    Args:
        output: what was computed.
        title: the name of the whole.
        depth: the groups up to this level are drawn open.
        upstream: the gradient that arrives at the output; None leaves backward uncomputed.
        replays: whether operations made of others are opened.
    """
    recorder = _Recorder(Trace(title, depth, groups=[Group(ROOT, title, "root", "", ROOT, 0)]))
    trace = recorder.trace
    with np.errstate(all="ignore"), no_collection():
        order = topological_order(output)
        recorder.replays = replays and sum(x.node is not None for x in order) <= REPLAYED
        trace.output = recorder.graph(output, order, upstream, {}, ROOT)
        recorder.settle()
        fold(trace)
        for group in trace.outward(trace.values[trace.output].home):
            _add(trace.groups[group].leaves, trace.output, upstream)
        for group, count in Counter(node.group for node in trace.nodes).items():
            for around in trace.outward(group):
                trace.groups[around].size += count
        aggregate(trace, recorder.closed)
    return trace


def _derivatives(
    order: list[Operand], upstream: Array | None, wanted: list[Operand]
) -> tuple[dict[int, Array], dict[int, tuple[Array | None, ...]]]:
    """The derivative by each value, and the shares that each node passes on."""
    if upstream is None or not wanted:
        return {}, {}
    totals: dict[int, Array] = {}
    shares: dict[int, tuple[Array | None, ...]] = {}
    for x, g, passed in backpropagate(order, upstream, wanted, lambda x: x.value):
        totals[id(x)] = np.asarray(g)
        shares[id(x)] = passed
    return totals, shares


class _Recorder:
    """Walks a graph, and the replay of each composite in it, and adds what it meets to a trace."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.replays = True
        self.calls: dict[Call, int] = {}  # the group of each layer call
        self.anchors: dict[int, list[int]] = {}  # where the leaves are used, at their own level
        # The derivatives of a composite's closed form, which hold at and outside of its box.
        self.closed: dict[int, dict[int, Array | None]] = {}

    def graph(
        self,
        output: Operand,
        order: list[Operand],
        upstream: Array | None,
        known: dict[int, int],
        base: int,
    ) -> int:
        """Add one graph; `known` are the values that exist already. Gives the output's value."""
        wanted = [
            x
            for x in order
            if x.node is None
            and (id(x) not in known or self.trace.values[known[id(x)]].gradient is not None)
        ]
        totals, shares = _derivatives(order, upstream, wanted)
        lonely = _lonely(order)
        for x in order:
            if id(x) in known:
                continue
            node, total = x.node, totals.get(id(x))
            if node is None or not node.inputs:
                known[id(x)] = self._leaf(x, total)
            else:
                flowing = shares.get(id(x)) or (None,) * len(node.inputs)
                known[id(x)] = self._operation(x, node, total, flowing, known, base, lonely)
        return known[id(output)]

    def _leaf(self, x: Operand, total: Array | None) -> int:
        if x.node is not None:
            kind = "constant"
        else:
            kind = "parameter" if isinstance(x, Parameter) else "input"
        return self._value(kind, getattr(x, "name", None), x.value, total)

    def _value(self, kind: str, name: str | None, array: Any, gradient: Array | None) -> int:
        at = len(self.trace.values)
        self.trace.values.append(Value(at, kind, name, np.asarray(array), ROOT, gradient=gradient))
        return at

    def _operation(
        self,
        x: Operand,
        node: Computation,
        total: Array | None,
        shares: tuple[Array | None, ...],
        known: dict[int, int],
        base: int,
        lonely: set[Call],
    ) -> int:
        """Add one node, opened if it is a composite; gives the value that it computed."""
        # A definition makes no groups of its own; the one around `draw` is not its own either.
        group = base if base != ROOT else self._call(node.group, base)
        inputs = [known[id(i)] if id(i) in known else self._constant(i, known) for i in node.inputs]
        replay = self._replay(node, inputs) if self.replays else None
        alone = replay is not None and base == ROOT and node.group in lonely
        around = self.trace.groups[group].parent if alone else group
        for value in inputs:
            kind, name = self.trace.values[value].kind, self.trace.values[value].name
            if kind == "parameter" or (kind == "constant" and name is None):
                at = around if kind == "constant" else self.trace.groups[group].parent
                self.anchors.setdefault(value, []).append(at)
        if replay is None:
            y = self._value("computed", getattr(x, "name", None), x.value, total)
            self._node(node.primitive, group, inputs, shares, y)
            return y
        if alone:
            box = self.trace.groups[group]
            box.symbol, box.level = node.primitive.symbol, max(2, box.level)
        else:
            level = max(2, self.trace.groups[group].level + 1)
            group = self._group(
                node.primitive.name, "operation", node.primitive.symbol, group, level
            )
        self.closed[group] = {}
        for value, share in zip(inputs, shares, strict=True):
            _add(self.closed[group], value, share)
        result, inner = replay
        y = self.graph(result, topological_order(result), total, inner, group)
        self.trace.values[y].array = x.value
        self.trace.values[y].name = getattr(x, "name", None)
        return y

    def _replay(
        self, node: Computation, inputs: list[int]
    ) -> tuple[Operand, dict[int, int]] | None:
        """A composite computed again in its primitives, and which value each input is."""
        if node.primitive.definition is None:
            return None
        given = [_copy(i) for i in node.inputs]
        with context(recording=True):
            result = node.primitive.definition(*given, **node.attributes)
        arrays = [isinstance(i, Tensor | np.ndarray) for i in given]
        inner = {id(i): v for i, v, a in zip(given, inputs, arrays, strict=True) if a}
        if not isinstance(result, Operand) or result.node is None or id(result) in inner:
            return None
        return result, inner

    def _constant(self, x: Any, known: dict[int, int]) -> int:
        """The value of an input that is no Tensor; an array is one value, a number many."""
        value = self._value("constant", None, x, None)
        if isinstance(x, np.ndarray):
            known[id(x)] = value
        return value

    def _node(
        self,
        primitive: Primitive,
        group: int,
        inputs: list[int],
        shares: tuple[Array | None, ...],
        output: int,
    ) -> None:
        node = Node(len(self.trace.nodes), primitive.name, primitive.symbol, group, output=output)
        uses = self.trace.uses
        for port, (value, share) in enumerate(zip(inputs, shares, strict=True)):
            node.uses.append(len(uses))
            uses.append(Use(value, node.id, port, None if share is None else np.asarray(share)))
        self.trace.nodes.append(node)
        self.trace.values[output].node = node.id
        self.trace.values[output].home = group

    def _call(self, call: Call | None, base: int) -> int:
        """The group of a layer call, made when it is first met."""
        if call is None:
            return base
        if call not in self.calls:
            parent = self._call(call.parent, base)
            level = self.trace.groups[parent].level + 1
            self.calls[call] = self._group(call.name.lstrip("_"), call.kind, "", parent, level)
        return self.calls[call]

    def _group(self, name: str, kind: str, symbol: str, parent: int, level: int) -> int:
        at = len(self.trace.groups)
        self.trace.groups.append(Group(at, name, kind, symbol, parent, level))
        return at

    def settle(self) -> None:
        """Put each leaf where it is drawn: a parameter beside its layer, most constants inside."""
        for value, anchors in self.anchors.items():
            self.trace.values[value].home = reduce(self.trace.common, anchors)


def _copy(x: Any) -> Any:
    """A leaf with the value of an input, for the replay; what is no float is data."""
    if not isinstance(x, Operand):
        return x
    return Tensor(x.value) if x.dtype.kind == "f" else x.value


def _lonely(order: list[Operand]) -> set[Call]:
    """The layer calls that consist of a single node: if it is a composite, they are one box."""
    counts = Counter(x.node.group for x in order if x.node and x.node.group)
    parents = {call.parent for call in counts}
    return {call for call, n in counts.items() if n == 1 and call not in parents}


def _add(shares: dict[int, Array | None], value: int, share: Array | None) -> None:
    """Add a share to the sum for a value; where nothing was computed it stays None."""
    before = shares.get(value)
    if share is None or before is None:
        shares[value] = before if share is None else np.asarray(share)
    else:
        shares[value] = np.asarray(before + share)


def aggregate(trace: Trace, closed: dict[int, dict[int, Array | None]]) -> None:
    """Sum the shares that pass through each box.

    Inside of an operation that is made of others the shares of its definition count, at its
    border and outside those of its closed form, which is exact where the definition overflows.
    """
    for use in trace.uses:
        _flow(trace, closed, use.value, trace.nodes[use.node].group, use.gradient)
    for group, inputs in closed.items():
        trace.groups[group].enters.update(inputs)
        for value, share in inputs.items():
            _flow(trace, closed, value, trace.groups[group].parent, share)


def _flow(
    trace: Trace,
    closed: dict[int, dict[int, Array | None]],
    value: int,
    group: int,
    share: Array | None,
) -> None:
    """Add a share to the boxes between a use of a value, in `group`, and the value's home."""
    home = trace.values[value].home
    if group == home:
        return
    meet = trace.common(group, home)
    for around in trace.outward(group):
        if around == meet:
            break
        if around in closed:
            return
        _add(trace.groups[around].enters, value, share)
    for around in trace.outward(home):
        if around == meet:
            break
        _add(trace.groups[around].leaves, value, share)


def fold(trace: Trace) -> None:
    """Divide each group of more than `FULL` items into parts, in the order of computation."""
    waiting = [group.id for group in trace.groups]
    inner: dict[int, list[Node | Group]] = {}
    for node in trace.nodes:
        inner.setdefault(node.group, []).append(node)
    for group in trace.groups[1:]:
        inner.setdefault(group.parent, []).append(group)
    first = {group.id: len(trace.nodes) for group in trace.groups}
    for node in trace.nodes:
        for around in trace.outward(node.group):
            first[around] = min(first[around], node.id)
    while waiting:
        at = waiting.pop()
        items = inner.get(at, [])
        if len(items) <= FULL:
            continue
        items.sort(key=lambda i: first[i.id] if isinstance(i, Group) else i.id)
        length = -(-len(items) // PARTS)
        for start in range(0, len(items), length):
            part = _part(trace, at, items[start : start + length], start)
            inner[part] = items[start : start + length]
            waiting.append(part)
    _move_leaves(trace)


def _part(trace: Trace, parent: int, items: list[Node | Group], start: int) -> int:
    at, level = len(trace.groups), trace.groups[parent].level + 1
    name = f"{start + 1}–{start + len(items)}"
    trace.groups.append(Group(at, name, "part", "", parent, max(level, trace.depth + 1)))
    for item in items:
        if isinstance(item, Node):
            item.group = at
            trace.values[item.output].home = at
        else:
            item.parent = at
    return at


def _move_leaves(trace: Trace) -> None:
    """A leaf that is used within one part only moves into it."""
    places: dict[int, int] = {}
    for use in trace.uses:
        if trace.values[use.value].node is None:
            group = trace.nodes[use.node].group
            at = places.get(use.value, group)
            places[use.value] = at if at == group else trace.common(at, group)
    for value, group in places.items():
        for around in trace.outward(group):
            leaf = trace.values[value]
            if trace.groups[around].kind == "part":
                if trace.groups[around].parent == leaf.home or leaf.home in trace.outward(around):
                    leaf.home = around
                break
