"""The textbook's gradient check: backpropagation against numerical differentiation."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tarograd.backward import backpropagate
from tarograd.checking.numeric import numerical_gradient
from tarograd.graph import Array, context, topological_order
from tarograd.ops import random
from tarograd.tensor import Tensor

CORRECT, CHECK_AGAIN, CONCERNED = 1e-7, 1e-5, 1e-3  # the text's bounds for diff2


@dataclass(frozen=True)
class LeafReport:
    """How the two gradients of one parameter or input differ.

    Attributes:
        diff1: the mean absolute difference; it has the gradient's own unit.
        diff2: ‖a - n‖ / (‖a‖ + ‖n‖), Euclidean norms of the flattened arrays: 0 for equal ones,
            1 for opposite ones, and |k - 1| / (|k| + 1) where one is k times the other.
    """

    analytic: Array
    numeric: Array

    @property
    def diff1(self) -> float:
        """The mean absolute difference."""
        with np.errstate(all="ignore"):  # a gradient that is not finite gives NaN
            return float(np.abs(self.analytic - self.numeric).sum() / max(self.analytic.size, 1))

    @property
    def diff2(self) -> float:
        """The relative Euclidean difference."""
        both = np.stack([self.analytic.ravel(), self.numeric.ravel()])
        largest = np.max(np.abs(both), initial=0)
        if not largest:
            return 0.0
        with np.errstate(all="ignore"):  # a gradient that is not finite gives NaN
            a, n = both / largest  # so that no square is too large or too small for a float
            return float(np.linalg.norm(a - n) / (np.linalg.norm(a) + np.linalg.norm(n)))

    @property
    def verdict(self) -> str:
        """What the text says to this `diff2`."""
        if not self.diff2 <= CONCERNED:
            return "concerned"
        if self.diff2 > CHECK_AGAIN:
            return "please check again"
        return "correct" if self.diff2 < CORRECT else "close"


@dataclass(frozen=True)
class GradientReport:
    """What `check_gradients` found; true if every gradient is right.

    Attributes:
        subject: what was checked.
        leaves: for each parameter and input by its name, how the two gradients differ.
    """

    subject: str
    leaves: dict[str, LeafReport]

    @property
    def verdict(self) -> str:
        """`right` if every diff2 is below 1e-7, `wrong` if one is above 1e-5, else `close`."""
        worst = max((leaf.diff2 for leaf in self.leaves.values()), key=_nan_last, default=0.0)
        return "right" if worst < CORRECT else "wrong" if not worst <= CHECK_AGAIN else "close"

    def __bool__(self) -> bool:
        return self.verdict == "right"

    def __str__(self) -> str:
        width = max(len(name) for name in self.leaves)
        rows = [
            f"  {name:<{width}}  {leaf.diff1:.2e}  {leaf.diff2:.2e}  {leaf.verdict}"
            for name, leaf in self.leaves.items()
        ]
        title = f"{self.verdict.upper()}: the gradients of {self.subject}"
        return "\n".join([title, f"  {'':<{width}}  diff1     diff2     verdict", *rows])


def _nan_last(x: float) -> float:
    return float("inf") if np.isnan(x) else x


def check_gradients(subject: Any, *inputs: ArrayLike, seed: int = 0) -> GradientReport:
    """Compare backpropagation with numerical differentiation, for each parameter and input.

    Both are computed on a copy of the subject in float64, under the same random upstream
    gradient. Dropout is no obstacle: the mask is a function of (seed, step) and is replayed.

    Args:
        subject: a layer, a network, or a function of Tensors.
        *inputs: its inputs, such as `x`; for a network `x` and the targets `t`, to check it
            together with its loss. Whole numbers are data and are not differentiated, nor are
            targets; but a network's uint8 images are, as the numbers from 0 to 1 that they mean.
        seed: of the upstream gradient and the masks.

    Returns:
        a report; print it, or ask `bool(report)`.

    Raises:
        TypeError: if the subject can't be called, does not give a Tensor, or has neither a
            parameter nor a float input.

    Example:
        >>> import tarograd as tg
        >>> print(check_gradients(np.sin, np.array([1.0, 2.0])).verdict)
        right
    """
    if not callable(subject) or isinstance(subject, type):
        raise TypeError(f"check_gradients({subject!r}): a layer, network or function is needed")
    is_layer = hasattr(subject, "named_parameters")
    layer = subject.astype(np.float64) if is_layer else subject
    named: dict[str, Tensor] = layer.named_parameters() if is_layer else {}
    compute: Callable[..., Any] = layer
    given: list[Any] = [x.value if isinstance(x, Tensor) else np.asarray(x) for x in inputs]
    differentiated = len(given)
    if hasattr(layer, "objective"):
        given[:1] = [layer.read(x) for x in given[:1]]
        if len(given) > 1:
            compute, differentiated = layer.objective, 1
    names = _input_names(subject, len(given))
    for i, x in enumerate(given[:differentiated]):
        if x.dtype.kind == "f":
            given[i] = Tensor(x.astype(np.float64))
            named[f"input {i}" if names[i] in named else names[i]] = given[i]
    if not named:
        listed = ", ".join(f"{x.dtype} {x.shape}" for x in given) or "none"
        raise TypeError(
            f"check_gradients({_name(subject)}): nothing to differentiate: no parameter, and no "
            f"float among the inputs ({listed}); whole numbers are data, write x.astype(float)"
        )
    return GradientReport(_name(subject), _compare(compute, given, named, seed))


def _input_names(subject: Any, count: int) -> list[str]:
    """What the subject itself calls its inputs, or their numbers."""
    try:
        parameters = inspect.signature(getattr(subject, "call", subject)).parameters.values()
    except ValueError:  # of functions written in C
        parameters = {}.values()
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return [*names, *(f"input {i}" for i in range(len(names), count))][:count]


def _compare(
    compute: Callable[..., Any], given: list[Any], named: dict[str, Tensor], seed: int
) -> dict[str, LeafReport]:
    """Both gradients of each named leaf, under one random upstream gradient."""
    with context(recording=True, seed=seed, step=0):
        y = compute(*given)
        if not isinstance(y, Tensor):
            raise TypeError(f"check_gradients: a {type(y).__name__} came out, a Tensor is needed")
        size = random.uniform(0, shape=y.shape, seed=seed, stream="size", dtype=np.float64)
        plus = random.bernoulli(0, shape=y.shape, seed=seed, stream="sign", p=0.5)
        upstream = np.where(plus, 0.5 + size, -0.5 - size)
        walk = backpropagate(
            topological_order(y), upstream, list(named.values()), lambda x: x.value
        )
        analytic = {id(x): np.asarray(g) for x, g, _ in walk}

        def projected(_: Any) -> float:
            with context(recording=False):
                return float(np.sum(upstream * compute(*given).value))

        return {
            name: LeafReport(
                analytic.get(id(x), np.zeros(x.shape)), numerical_gradient(projected, x)
            )
            for name, x in named.items()
        }


def _name(subject: Any) -> str:
    return str(getattr(subject, "__name__", None) or repr(subject))
