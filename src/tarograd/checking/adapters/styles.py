"""The ways in which people write a backward pass, and how each is called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tarograd.checking.adapters.arguments import needed, parameters_of

CACHES = ("cache", "caches", "ctx", "context", "saved", "tape", "memory", "residuals")


@dataclass(frozen=True)
class Style:
    """How a subject's two passes are called. The subject itself is passed, as it is a copy.

    Attributes:
        name: of the subject in the report.
        forward: from the subject and the inputs to what forward returns.
        backward: from the subject, the inputs, what forward returned and the upstream gradients
            to what backward returns.
        signature: the forward pass, whose parameters name the inputs.
        takes_upstream: False if backward has no argument for the upstream gradient.
        has_cache: whether the last thing that forward returns is for backward, not an output.
    """

    name: str
    forward: Callable[[Any, Sequence[Any]], Any]
    backward: Callable[[Any, Sequence[Any], Any, tuple[Any, ...]], Any]
    signature: Callable[..., Any]
    takes_upstream: bool = True
    has_cache: bool = False

    def outputs(self, returned: Any) -> tuple[Any, ...]:
        """What forward computed, without what it kept for backward."""
        if not isinstance(returned, tuple | list):
            return (returned,)
        return tuple(returned[:-1] if self.has_cache else returned)


class Chain:
    """Layers one after the other; further inputs, such as labels, go to the last one."""

    def __init__(self, layers: Sequence[Any]) -> None:
        self.layers = list(layers)

    def forward(self, x: Any, *further: Any) -> Any:
        """The output of the last layer."""
        for layer in self.layers[:-1]:
            x = _call_of(layer)(x)
        return _call_of(self.layers[-1])(x, *further)

    def backward(self, dout: Any) -> Any:
        """The gradient of the first layer's input."""
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout


def style_of(subject: Any, grad: Any = None) -> Style | None:
    """How `subject` is called; None if it is no NumPy-style object.

    Args:
        subject: an object with `forward` (or that can be called) and `backward`; one with `loss`
            and `gradient`, as the textbook's networks; one whose `loss` returns the loss and a
            dict of gradients; a pair of functions; with `grad`, a method of an object.
        grad: the method of the same object that gives the gradients.
    """
    if isinstance(subject, tuple):
        return _of_pair(*subject)
    owner = getattr(subject, "__self__", None)
    if grad is not None:
        same = owner is not None and getattr(grad, "__self__", None) is owner
        return _of_network(owner, subject.__name__, grad.__name__) if same else None
    if callable(getattr(subject, "backward", None)) and callable(_call_of(subject)):
        return _of_layer(subject)
    if callable(getattr(subject, "loss", None)):
        gradient = callable(getattr(subject, "gradient", None))
        return _of_network(subject, "loss", "gradient" if gradient else None)
    return None


def _call_of(layer: Any) -> Any:
    """The forward pass of a layer: `forward`, or the layer itself is called."""
    forward = getattr(layer, "forward", None)
    return forward if callable(forward) else layer


def _of_layer(layer: Any) -> Style:
    arguments = parameters_of(layer.backward)
    named = [p.name for p in arguments]
    cached = next((n for n in named if n in CACHES), None)
    positions = needed(layer.backward)

    def backward(layer: Any, _: Any, returned: Any, upstream: tuple[Any, ...]) -> Any:
        if cached:
            return _with_cache(layer.backward, named.index(cached), returned[-1], upstream)
        if not arguments and hasattr(layer.backward, "__code__"):
            return layer.backward()
        if not isinstance(returned, tuple | list):
            return layer.backward(upstream[0])
        several = positions == len(upstream)
        return layer.backward(*upstream) if several else layer.backward(upstream)

    return Style(
        type(layer).__name__,
        lambda layer, inputs: _call_of(layer)(*inputs),
        backward,
        _call_of(layer),
        takes_upstream=bool(arguments) or not hasattr(layer.backward, "__code__"),
        has_cache=cached is not None,
    )


def _with_cache(
    backward: Callable[..., Any], position: int, cache: Any, upstream: tuple[Any, ...]
) -> Any:
    """`backward(dout, cache)` or `backward(cache, dout)`."""
    return backward(cache, *upstream) if position == 0 else backward(*upstream, cache)


def _of_pair(forward: Callable[..., Any], backward: Callable[..., Any]) -> Style:
    """`y, cache = forward(x, w)` and `dx, dw = backward(dy, cache)`."""
    named = [p.name for p in parameters_of(backward)]
    first = bool(named) and named[0] in CACHES
    several = needed(backward) == len(named)

    def back(_: Any, inputs: Sequence[Any], returned: Any, upstream: tuple[Any, ...]) -> Any:
        if not isinstance(returned, tuple | list):  # no cache: backward takes the inputs again
            return backward(upstream[0], *inputs)
        given = upstream if several else upstream[: max(needed(backward) - 1, 1)]
        return _with_cache(backward, 0 if first else 1, returned[-1], given)

    return Style(
        f"{_said(forward)}, {_said(backward)}",
        lambda _, inputs: forward(*inputs),
        back,
        forward,
        has_cache=True,
    )


def _of_network(network: Any, loss: str, gradient: str | None) -> Style:
    """`net.loss(x, t)` and `net.gradient(x, t)`; or `loss, grads = net.loss(x, t)`."""

    def forward(network: Any, inputs: Sequence[Any]) -> Any:
        return getattr(network, loss)(*inputs)

    def backward(network: Any, inputs: Sequence[Any], returned: Any, _: Any) -> Any:
        return getattr(network, gradient)(*inputs) if gradient else returned[-1]

    return Style(
        type(network).__name__,
        forward,
        backward,
        getattr(network, loss),
        takes_upstream=False,
        has_cache=gradient is None,
    )


def _said(call: Any) -> str:
    return str(getattr(call, "__name__", None) or type(call).__name__)
