"""A JAX function, with `custom_vjp` or without."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tarograd.checking.adapters.objects import input_names
from tarograd.checking.subject import Array, Values


class JaxSubject:
    """A function of JAX arrays, in float64.

    Args:
        subject: the function.
        inputs: its arguments; whole numbers are data.
    """

    takes_upstream = True

    def __init__(self, subject: Callable[..., Any], inputs: Sequence[Any]) -> None:
        self.compute = subject
        self.name = str(getattr(subject, "__name__", None) or type(subject).__name__)
        self.inputs = input_names(subject, len(inputs))
        given = [np.array(x) for x in inputs]
        self.values: dict[str, Array] = {
            n: x.astype(np.float64) if x.dtype.kind == "f" else x
            for n, x in zip(self.inputs, given, strict=True)
        }
        self.leaves = tuple(n for n in self.inputs if self.values[n].dtype.kind == "f")
        self.notes: list[str] = []

    def fresh(self, values: Values | None = None, draw: int = 0) -> JaxRun:
        """One use; a JAX function has no state."""
        return JaxRun(self)

    def frozen(self, values: Values, draw: int) -> Callable[[Values], tuple[Array, ...]] | None:
        """The branches inside are not known."""
        return None

    def release(self) -> None:
        """Nothing to put back."""


class JaxRun:
    """One use of a JAX function."""

    def __init__(self, subject: JaxSubject) -> None:
        self.subject = subject

    def forward(self, values: Values) -> tuple[Array, ...]:
        """The outputs."""
        self.values = {n: np.array(values[n]) for n in self.subject.inputs}
        with _double():
            y = self.subject.compute(*self._given(self.values))
        self.single = not isinstance(y, tuple | list)
        return (np.array(y),) if self.single else tuple(np.array(part) for part in y)

    def _given(self, values: Values) -> list[Any]:
        import jax.numpy as jnp

        return [jnp.asarray(values[n]) for n in self.subject.inputs]

    def backward(self, upstream: tuple[Array, ...]) -> dict[str, Any]:
        """What `jax.vjp` gives, which runs the custom rule."""
        import jax
        import jax.numpy as jnp

        leaves, given = self.subject.leaves, dict(self.values)
        with _double():

            def at(*floats: Any) -> Any:
                now = given | dict(zip(leaves, floats, strict=True))
                return self.subject.compute(*(jnp.asarray(now[n]) for n in self.subject.inputs))

            _, pull = jax.vjp(at, *(jnp.asarray(given[n]) for n in leaves))
            c = jnp.asarray(upstream[0]) if self.single else tuple(map(jnp.asarray, upstream))
            return {n: np.array(g) for n, g in zip(leaves, pull(c), strict=True)}

    def parameters(self) -> dict[str, Array]:
        """A function has none."""
        return {}

    def advance_generators(self) -> None:
        """JAX draws from explicit keys."""


def _double() -> Any:
    """A context in which JAX computes in float64."""
    import jax

    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    from jax import experimental  # before JAX 0.8

    return getattr(experimental, "enable_x64")()  # noqa: B009  # absent from newer versions
