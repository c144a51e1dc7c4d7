"""Backpropagation: the walk through the graph against the arrows.

The chain rule, once: a node passes its upstream gradient on to each input, times the local
derivative (its vjp); a value that was used more than once, a Branch, gets the sum of the shares.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np

from tarograd.graph import Node, Operand

SHARES = (Operand, np.ndarray, np.generic)


def backpropagate(
    order: Sequence[Operand],
    upstream: Any,
    wanted: Collection[Operand],
    read: Callable[[Operand], Any],
) -> Iterator[tuple[Operand, Any, tuple[Any, ...]]]:
    """Walk from the output to the `wanted` operands.

    Args:
        order: the graph's operands in topological order, the output last.
        upstream: the gradient that arrives there, of the output's shape.
        wanted: the operands whose gradients are asked for; nothing else is computed.
        read: what the rules are given for an operand: its array, so that they run at the speed
            of NumPy, or the operand itself, so that the backward pass is recorded in its turn.

    Yields:
        In backward order each operand, its whole gradient, and the shares that its node passed
        on, one for each input (None where nothing flows).
    """
    needed = {id(x) for x in wanted}
    for x in order:
        if x.node and x.node.primitive.vjp and not needed.isdisjoint(map(id, x.node.inputs)):
            needed.add(id(x))
    gradients = {id(order[-1]): upstream} if id(order[-1]) in needed else {}
    for x in reversed(order):
        if id(x) not in gradients:
            continue
        g = gradients.pop(id(x))
        if x.node is None:
            yield x, g, ()
            continue
        shares = _shares(x.node, g, x, needed, read)
        yield x, g, shares
        for i, share in zip(x.node.inputs, shares, strict=True):
            if share is not None:
                gradients[id(i)] = gradients[id(i)] + share if id(i) in gradients else share


def _shares(
    node: Node, g: Any, x: Operand, needed: set[int], read: Callable[[Operand], Any]
) -> tuple[Any, ...]:
    """What the node behind `x` passes on to each of its inputs that need it."""
    vjp, attributes = node.primitive.vjp, node.attributes
    wanted = [id(i) in needed for i in node.inputs]
    if vjp is None or True not in wanted:
        return (None,) * len(wanted)
    _refuse_changed(node)
    y, inputs = read(x), [read(i) if isinstance(i, Operand) else i for i in node.inputs]
    shares = vjp if isinstance(vjp, tuple) else vjp(g, y, *inputs, **attributes)
    if not isinstance(shares, tuple) or len(shares) != len(inputs):
        given = len(shares) if isinstance(shares, tuple) else f"one {type(shares).__name__}"
        raise TypeError(
            f"the backward rule of {node.primitive.name!r} gives {given} for {len(inputs)} inputs; "
            "a tuple with one gradient (or rule) for each is needed, None for data"
        )
    if isinstance(vjp, tuple):
        rules = zip(wanted, vjp, strict=True)
        shares = tuple([r(g, y, *inputs, **attributes) if w and r else None for w, r in rules])
    edges = zip(node.inputs, wanted, shares, strict=True)
    return tuple([_fitting(node, i, s) if w and s is not None else None for i, w, s in edges])


def _refuse_changed(node: Node) -> None:
    """A leaf whose value was set since the node was computed would give a wrong gradient."""
    for x, value in zip(node.inputs, node.values, strict=False):
        if isinstance(x, Operand) and not x.holds(value):
            raise ValueError(
                f"{x!r} was given another value after {node.primitive.name!r} had been computed "
                "from it: call backward before the update, or compute again"
            )


def _fitting(node: Node, x: Operand, share: Any) -> Any:
    """The share in the dtype of its input; a share of another shape is a wrong rule."""
    if not isinstance(share, SHARES):
        share = np.asarray(share)
    shape = x.shape
    if share.shape != shape:
        raise ValueError(
            f"the backward rule of {node.primitive.name!r} gives a gradient of shape {share.shape} "
            f"to an input of shape {shape}; the two have to be equal"
        )
    dtype = x.dtype
    return share if share.dtype == dtype else share.astype(dtype)
