"""A plain function of NumPy arrays beside a function that claims to be its gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tarograd.checking.adapters.objects import doubled, input_names, parameters_of
from tarograd.checking.randomness import Randomness, reachable
from tarograd.checking.subject import Array, Values

UPSTREAM = ("c", "g", "v", "dy", "dout", "upstream", "grad_output", "gy", "cotangent", "grad_y")


class FunctionSubject:
    """`f(*inputs)` and `grad(*inputs)`, or `grad(*inputs, upstream)`.

    Args:
        f: the function.
        grad: for a function with one number as its result its gradient; for an elementwise one
            its derivative; otherwise with the upstream gradient as first or last argument. For
            several float inputs a tuple.
        inputs: the arguments.
        native: compute in the inputs' own dtypes, not in float64.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        grad: Callable[..., Any],
        inputs: Sequence[Any],
        native: bool = False,
    ) -> None:
        self.f, self.grad = f, grad
        self.name = getattr(f, "__name__", type(f).__name__)
        self.inputs = input_names(f, len(inputs))
        given = [np.array(x) for x in inputs] if native else doubled(inputs)
        self.values: dict[str, Array] = dict(zip(self.inputs, given, strict=True))
        self.leaves = tuple(n for n in self.inputs if self.values[n].dtype.kind == "f")
        self.notes: list[str] = []
        self._randomness = Randomness(reachable(f, grad))
        arguments = parameters_of(grad)
        self.takes_upstream = len(arguments) > len(inputs)
        self.upstream_first = bool(arguments) and arguments[0].name in UPSTREAM
        if not self.leaves:
            raise TypeError(f"{self.name}: none of the inputs is a float array to differentiate by")

    def fresh(self, values: Values | None = None, draw: int = 0) -> FunctionRun:
        """One use; a function has no state but its generators."""
        self.release()
        return FunctionRun(self, Randomness(self._randomness.generators, draw))

    def frozen(self, values: Values, draw: int) -> Callable[[Values], tuple[Array, ...]] | None:
        """The branches inside are not known."""
        return None

    def release(self) -> None:
        """Put the generators back to where they stood."""
        self._randomness.rewind()


class FunctionRun:
    """One use of the function and its gradient."""

    def __init__(self, subject: FunctionSubject, randomness: Randomness) -> None:
        self.subject, self.randomness = subject, randomness

    def forward(self, values: Values) -> tuple[Array, ...]:
        """The outputs at `values`."""
        self.randomness.rewind()
        self.given = [values[n] for n in self.subject.inputs]
        y = self.subject.f(*self.given)
        self.outputs = (
            tuple(map(np.asarray, y)) if isinstance(y, tuple | list) else (np.asarray(y),)
        )
        return self.outputs

    def backward(self, upstream: tuple[Array, ...]) -> dict[str, Any]:
        """The claimed gradients, by the name of the input."""
        subject, c = self.subject, upstream[0] if len(upstream) == 1 else upstream
        if not subject.takes_upstream:
            returned = subject.grad(*self.given)
        elif subject.upstream_first:
            returned = subject.grad(c, *self.given)
        else:
            returned = subject.grad(*self.given, c)
        if isinstance(returned, Mapping):
            return {n: returned.get(n, returned.get(f"d{n}")) for n in subject.leaves}
        if not isinstance(returned, tuple | list):
            returned = (returned,)
        names = subject.inputs if len(returned) == len(subject.inputs) else subject.leaves
        found = dict(zip(names, returned, strict=False))
        if not subject.takes_upstream:
            found = {n: self._projected(n, a, upstream[0]) for n, a in found.items()}
        return {n: found.get(n) for n in subject.leaves}

    def _projected(self, name: str, claimed: Any, c: Array) -> Any:
        """A claimed gradient, derivative or Jacobian under the upstream gradient."""
        x, y, a = self.subject.values[name], self.outputs[0], np.asarray(claimed)
        if y.size == 1:
            return a * c.reshape(-1)[0]
        if a.shape == y.shape + x.shape:
            return np.tensordot(c, a, axes=c.ndim)
        return a * c if a.shape == y.shape else a

    def parameters(self) -> dict[str, Array]:
        """A function has none."""
        return {}

    def advance_generators(self) -> None:
        """Let the next draws be others."""
        self.randomness.advance()
