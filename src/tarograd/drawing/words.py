"""The graph in words and in the language of Graphviz, from its trace."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from tarograd.drawing.labels import name_text, side
from tarograd.drawing.trace import Trace
from tarograd.graph import Array

TOLD = 40  # values of which a description tells


def called(trace: Trace, value: int) -> str:
    """What a value is called: its name, or that of its operation and a number."""
    v = trace.values[value]
    if v.name:
        return name_text(v.name)
    return numbers(v.array) if v.node is None else f"{trace.nodes[v.node].op}{v.node + 1}"


def numbers(array: Array | None) -> str:
    """An array in one short line; `not computed` for None."""
    return "not computed" if array is None else " ".join(side(array).lines)


def sentences(trace: Trace) -> Iterator[str]:
    """Each value with its derivative, in the order of computation; without nameless constants."""
    for v in trace.values:
        if v.kind == "constant" and not v.name:
            continue
        what = numbers(v.array)
        if v.node is not None:
            node = trace.nodes[v.node]
            inputs = ", ".join(called(trace, trace.uses[u].value) for u in node.uses)
            what = f"{node.op}({inputs}) = {what}"
        yield f"{called(trace, v.id)} = {what}, derivative {numbers(v.gradient)}"


def describe(trace: Trace) -> str:
    """The picture in words, for a screen reader; of a large one the beginning."""
    told = list(islice(sentences(trace), TOLD))
    rest = [f"and more, {len(trace.nodes)} operations in all"] if len(told) == TOLD else []
    return "; ".join([*told, *rest])


def dot(trace: Trace) -> str:
    """The graph in the DOT language."""
    return "\n".join(["digraph {", "  rankdir=LR", *_dot_lines(trace), "}"]) + "\n"


def _dot_lines(trace: Trace) -> Iterator[str]:
    for v in trace.values:
        if v.node is None:
            yield f"  v{v.id} [shape=plaintext, label={_quoted(v.name or '')}]"
    for node in trace.nodes:
        yield f"  n{node.id} [shape=circle, label={_quoted(node.symbol)}]"
    for use in trace.uses:
        v = trace.values[use.value]
        start = f"v{v.id}" if v.node is None else f"n{v.node}"
        label = f"{numbers(v.array)} / {numbers(use.gradient)}"
        yield f"  {start} -> n{use.node} [label={_quoted(label)}]"
    last = trace.values[trace.output]
    start = f"v{last.id}" if last.node is None else f"n{last.node}"
    yield "  end [shape=point]"
    label = f"{numbers(last.array)} / {numbers(last.gradient)}"
    yield f"  {start} -> end [label={_quoted(label)}]"


def _quoted(text: str) -> str:
    escaped = name_text(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
