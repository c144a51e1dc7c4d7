"""What the checker checks: the interface between the engine and everything it can be pointed at.

The engine knows arrays, names and these two protocols, and nothing else: no library whose
backward passes it judges, ours included, because an oracle that shares code with its subject
repeats the subject's mistakes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Values = Mapping[str, Array]


class Run(Protocol):
    """One use of a subject, from its own first state. The user's object is never touched."""

    def forward(self, values: Values) -> tuple[Array, ...]:
        """The outputs at `values`; every random generator is rewound first."""
        ...

    def backward(self, upstream: tuple[Array, ...]) -> dict[str, Any]:
        """What the subject claims the gradient of each leaf to be, as it gives it."""
        ...

    def parameters(self) -> dict[str, Array]:
        """What the parameters hold now; a forward or backward may have changed it."""
        ...

    def advance_generators(self) -> None:
        """Let every random generator move on, so that its next draws are others."""
        ...


class Subject(Protocol):
    """Something with a forward and a backward pass, at a point.

    Attributes:
        name: what it is called in the report.
        values: every array it is computed from, by name: inputs, data and parameters, the float
            ones in the dtype in which the check is made.
        inputs: which of them are arguments.
        leaves: which of them get a gradient from backward.
        notes: what the user should know, such as arrays for which no gradient was found.
        takes_upstream: False if backward has no argument for the upstream gradient.
    """

    name: str
    values: dict[str, Array]
    inputs: tuple[str, ...]
    leaves: tuple[str, ...]
    notes: list[str]
    takes_upstream: bool

    def fresh(self, values: Values | None = None, draw: int = 0) -> Run:
        """A new use from the first state, with `values` that may have other shapes.

        Args:
            values: by default the subject's own.
            draw: another number gives other random numbers, for dropout and the like.
        """
        ...

    def frozen(self, values: Values, draw: int) -> Callable[[Values], tuple[Array, ...]] | None:
        """Forward on the branches that it takes at `values`, where the graph is known."""
        ...

    def release(self) -> None:
        """Put back whatever the check used outside of its copies."""
        ...


def flat(arrays: tuple[Array, ...]) -> Array:
    """All elements of several arrays in one float vector."""
    parts = [np.asarray(a).reshape(-1) for a in arrays]
    whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return whole.astype(np.float64, copy=False)


def split(vector: Array, like: tuple[Array, ...]) -> tuple[Array, ...]:
    """The inverse of `flat`: a vector in the shapes and dtypes of `like`."""
    ends = np.cumsum([a.size for a in like])[:-1]
    parts = zip(np.split(vector, ends), like, strict=True)
    return tuple(part.reshape(a.shape).astype(a.dtype) for part, a in parts)


def upstream_names(outputs: int) -> tuple[str, ...]:
    """What the upstream gradients are called where they are inputs themselves."""
    return ("upstream",) if outputs == 1 else tuple(f"upstream {i}" for i in range(outputs))


def rms(x: Array) -> float:
    """The root of the mean square, 1 for an array of zeros or without elements."""
    size = float(np.sqrt(np.mean(np.square(x)))) if x.size else 0.0
    return size if np.isfinite(size) and size > 0 else 1.0
