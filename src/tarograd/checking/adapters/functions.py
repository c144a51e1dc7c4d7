"""A plain function of NumPy arrays beside a function that claims to be its gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tarograd.checking.adapters.arguments import Arguments, as_outputs, needed, parameters_of
from tarograd.checking.randomness import Fields, Randomness, objects, reachable, same_state
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
        dtype: of the floats.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        grad: Callable[..., Any],
        inputs: Sequence[Any],
        dtype: DTypeLike = np.float64,
    ) -> None:
        self.f, self.grad = f, grad
        self.name = getattr(f, "__name__", type(f).__name__)
        self.arguments = Arguments(f, inputs, dtype)
        self.values = self.arguments.values
        self.inputs = tuple(self.values)
        self.leaves = tuple(self.arguments.floats)
        self.notes: list[str] = []
        self._randomness = Randomness(reachable(f, grad))
        self._fields = Fields(objects(f, grad))
        names = [p.name for p in parameters_of(grad)]
        self.upstream_first = bool(names) and names[0] in UPSTREAM and len(names) > len(inputs)
        further = needed(grad) > len(inputs) or any(n in UPSTREAM for n in names[len(inputs) :])
        self.takes_upstream = self.upstream_first or further
        if not self.leaves:
            raise TypeError(f"{self.name}: none of the inputs is a float array to differentiate by")
        self.draws = True
        try:
            self._look()
        finally:
            self.release()

    def _look(self) -> None:
        """Leave out the inputs for which no gradient is given; see whether it draws numbers."""
        run, before = self.fresh(), self._randomness.states()
        try:
            outputs = run.forward({n: np.array(x) for n, x in self.values.items()})
            found = run.backward(tuple(np.ones_like(y) for y in outputs))
        except Exception:  # the check will meet it again, and tell
            return
        self.draws = not same_state(before, self._randomness.states())
        given = tuple(n for n in self.leaves if found[n] is not None)
        if given:
            absent = [n for n in self.leaves if n not in given]
            self.notes += [f"{n}: grad gives no gradient for it; not checked" for n in absent]
            self.leaves = given

    def fresh(self, values: Values | None = None, draw: int = 0) -> FunctionRun:
        """One use, from the first state of what the function uses."""
        self._fields.put_back()
        if self.draws:
            self._randomness.rewind()
        held = Randomness(self._randomness.generators, draw if self.draws else 0)
        return FunctionRun(self, held)

    def frozen(self, values: Values, draw: int) -> Callable[[Values], tuple[Array, ...]] | None:
        """The branches inside are not known."""
        return None

    def release(self) -> None:
        """Put the generators back to where they stood, and the objects that are used."""
        self._randomness.rewind()
        self._fields.put_back()


class FunctionRun:
    """One use of the function and its gradient."""

    def __init__(self, subject: FunctionSubject, randomness: Randomness) -> None:
        self.subject, self.randomness = subject, randomness

    def forward(self, values: Values) -> tuple[Array, ...]:
        """The outputs at `values`."""
        if self.subject.draws:
            self.randomness.rewind()
        self.values, self.given = values, self.subject.arguments.filled(values)
        y = self.subject.f(*self.given)
        several = isinstance(y, tuple | list)
        self.outputs = as_outputs(y if several else (y,), self.subject.name)
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
            found = {n: returned.get(n, returned.get(f"d{n}")) for n in subject.leaves}
        else:
            floats = subject.arguments.floats
            parts = returned if isinstance(returned, tuple | list) else (returned,)
            if (
                len(floats) == 1
                and len(parts) > 1
                and np.ndim(parts[0]) < self.values[floats[0]].ndim
            ):
                parts = (np.asarray(returned),)  # the rows of the one gradient that there is
            names = subject.inputs if len(parts) == len(subject.inputs) else floats
            found = dict(zip(names, parts, strict=False))
        if not subject.takes_upstream:
            found = {n: self._projected(n, a, upstream[0]) for n, a in found.items()}
        return {n: found.get(n) for n in subject.leaves}

    def _projected(self, name: str, claimed: Any, c: Array) -> Any:
        """A claimed gradient, derivative or Jacobian under the upstream gradient."""
        if claimed is None:
            return None
        x, y, a = self.values[name], self.outputs[0], np.asarray(claimed)
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
