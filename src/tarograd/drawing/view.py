"""What is seen of a trace when some groups are open and the others closed, without boxes.

Media that are made of lines of text have no room for nested boxes; they draw this.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from tarograd.drawing.trace import ROOT, Trace
from tarograd.graph import Array


@dataclass(eq=False, slots=True)
class Part:
    """A node or a closed group.

    Attributes:
        inputs: the values that enter, in the order of the ports, each with the share of the
            derivative that goes back along this edge.
        outputs: the values that leave, each with the derivative that comes back.
    """

    kind: str
    ref: int
    inputs: list[tuple[int, Array | None]] = field(default_factory=list)
    outputs: list[tuple[int, Array | None]] = field(default_factory=list)


def view(trace: Trace, opened: set[int]) -> list[Part]:
    """The nodes and closed groups that are seen, in an order in which they can be computed."""
    seen: dict[int, int] = {}  # the outermost closed group around a group, or the root

    def closed(group: int) -> int:
        if group not in seen:
            around = ROOT if group == ROOT else closed(trace.groups[group].parent)
            seen[group] = around or (ROOT if group in opened else group)
        return seen[group]

    parts: dict[tuple[str, int], Part] = {}
    for node in trace.nodes:
        group = closed(node.group)
        key = ("group", group) if group else ("node", node.id)
        if key in parts:
            continue
        part = parts[key] = Part(*key)
        if group:
            part.inputs = list(trace.groups[group].enters.items())
            part.outputs = list(trace.groups[group].leaves.items())
        else:
            part.inputs = [(u.value, u.gradient) for u in map(trace.uses.__getitem__, node.uses)]
            part.outputs = [(node.output, trace.values[node.output].gradient)]
    return _sorted(list(parts.values()))


def _sorted(parts: list[Part]) -> list[Part]:
    """Each part after those that it needs, otherwise in the given order."""
    maker = {value: i for i, part in enumerate(parts) for value, _ in part.outputs}
    needs = [{maker[v] for v, _ in part.inputs if v in maker} for part in parts]
    after: list[list[int]] = [[] for _ in parts]
    for i, need in enumerate(needs):
        for j in need:
            after[j].append(i)
    waiting = [len(need) for need in needs]
    ready = [i for i, n in enumerate(waiting) if not n]
    heapify(ready)
    order = []
    while ready:
        i = heappop(ready)
        order.append(parts[i])
        for j in after[i]:
            waiting[j] -= 1
            if not waiting[j]:
                heappush(ready, j)
    return order
