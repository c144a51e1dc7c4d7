"""A JAX function, with `custom_vjp` or without."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tarograd.checking.adapters.arguments import is_setting, parameters_of
from tarograd.checking.subject import Array, Values, upstream_names

# So many forwards of one use run as they are written: compiled ones repeat the random numbers and
# the Python variables of their first call, and a broken contract could not be seen.
AS_WRITTEN = 4


class JaxSubject:
    """A function of JAX arrays, and of dicts and lists of them, in float64.

    Args:
        subject: the function.
        inputs: its arguments; whole numbers are data.
        dtype: of the floats.
        order: 2 for the gradient's own gradient.
        seed: of the upstream gradient in which the second order is taken.
    """

    takes_upstream = True

    def __init__(
        self,
        subject: Callable[..., Any],
        inputs: Sequence[Any],
        dtype: DTypeLike = np.float64,
        order: int = 1,
        seed: int = 0,
    ) -> None:
        import jax

        self.compute, self.double = subject, np.dtype(dtype) == np.float64
        self.name = str(getattr(subject, "__name__", None) or type(subject).__name__)
        names = [p.name for p in parameters_of(subject)]
        names += [f"x{i}" for i in range(len(names), len(inputs))]
        found, self.tree = jax.tree_util.tree_flatten_with_path(tuple(inputs))
        self.slots: list[tuple[str, Any]] = []  # the name of an array, or a setting
        self.values: dict[str, Array] = {}
        for path, x in found:
            steps = [str(getattr(key, "key", getattr(key, "idx", key))) for key in path[1:]]
            name = ".".join([names[path[0].idx], *steps])
            if is_setting(x) or _is_key(x):
                self.slots.append(("", x))
                continue
            array = np.array(x)
            if array.dtype.kind == "c":
                raise TypeError(f"{name} is complex: check a function of its two parts, f(re, im)")
            self.values[name] = array.astype(dtype) if _is_float(array) else array
            self.slots.append((name, None))
        self.inputs = tuple(self.values)
        self.leaves = tuple(n for n in self.inputs if self.values[n].dtype.kind == "f")
        self.notes: list[str] = []
        self.upstream: tuple[str, ...] = ()
        self.forward, self.backward = _compiled(self.function), _compiled(self.pulled)
        if not self.leaves:
            raise TypeError(f"{self.name}: no float among the inputs; whole numbers are data")
        if order == 2:
            outputs, random = self.fresh().forward(self.values), np.random.default_rng(seed)
            self.upstream = upstream_names(len(outputs))
            for n, y in zip(self.upstream, outputs, strict=True):
                self.values[n] = random.normal(size=y.shape).astype(y.dtype)
            self.inputs = (*self.inputs, *self.upstream)
            self.leaves = (*self.leaves, *self.upstream)

    def fresh(self, values: Values | None = None, draw: int = 0) -> JaxRun:
        """One use; a JAX function has no state."""
        return JaxRun(self)

    def frozen(self, values: Values, draw: int) -> Callable[[Values], tuple[Array, ...]] | None:
        """The branches inside are not known."""
        return None

    def release(self) -> None:
        """Nothing to put back."""

    def outputs(self, values: Mapping[str, Any]) -> list[Any]:
        """The float outputs at `values`, of which some may be traced."""
        import jax

        given = [values[n] if n else x for n, x in self.slots]
        y = self.compute(*jax.tree_util.tree_unflatten(self.tree, given))
        leaves: list[Any] = jax.tree_util.tree_leaves(y)
        return [part for part in leaves if _is_float(part)]

    def gradients(self, values: Mapping[str, Any]) -> list[Any]:
        """The gradients of the first order, under the upstream gradient among the values."""
        first = [n for n in self.leaves if n not in self.upstream]
        return _pulled(self.outputs, first, values, [values[n] for n in self.upstream])

    def function(self, values: Mapping[str, Any]) -> list[Any]:
        """What is checked: the outputs, or in the second order the gradients."""
        return self.gradients(values) if self.upstream else self.outputs(values)

    def pulled(self, values: Mapping[str, Any], upstream: list[Any]) -> list[Any]:
        """The gradients of what is checked."""
        return _pulled(self.function, self.leaves, values, upstream)


class JaxRun:
    """One use of a JAX function."""

    def __init__(self, subject: JaxSubject) -> None:
        self.subject, self.uses = subject, 0

    def forward(self, values: Values) -> tuple[Array, ...]:
        """The outputs."""
        import jax.numpy as jnp

        self.uses += 1
        subject = self.subject
        function = subject.forward if self.uses > AS_WRITTEN else subject.function
        with _precision(subject.double):
            self.values: dict[str, Any] = {
                n: jnp.asarray(np.array(values[n])) for n in subject.inputs
            }
            return tuple(np.array(y) for y in function(self.values))

    def backward(self, upstream: tuple[Array, ...]) -> dict[str, Any]:
        """The gradients of the leaves."""
        import jax.numpy as jnp

        subject = self.subject
        function = subject.backward if self.uses > AS_WRITTEN else subject.pulled
        with _precision(subject.double):
            found = function(self.values, [jnp.asarray(c) for c in upstream])
            return {n: np.array(g) for n, g in zip(subject.leaves, found, strict=True)}

    def parameters(self) -> dict[str, Array]:
        """A function has none."""
        return {}

    def advance_generators(self) -> None:
        """JAX draws from explicit keys."""


def _pulled(
    function: Callable[[Mapping[str, Any]], list[Any]],
    names: Sequence[str],
    values: Mapping[str, Any],
    upstream: list[Any],
) -> list[Any]:
    """The gradients of some of the values: what `jax.vjp` gives, which runs the custom rule."""
    import jax

    def at(*floats: Any) -> list[Any]:
        return function({**values, **dict(zip(names, floats, strict=True))})

    _, pull = jax.vjp(at, *(values[n] for n in names))
    return list(pull(upstream))


def _compiled(function: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """The function as one piece for each shape; as written if it asks for a value meanwhile."""
    import jax

    fast = jax.jit(function)

    def run(*arguments: Any) -> list[Any]:
        try:
            return list(fast(*arguments))
        except (jax.errors.JAXTypeError, jax.errors.JAXIndexError):
            return function(*arguments)

    return run


def _is_float(x: Any) -> bool:
    """Whether an array holds floats, JAX's short ones included."""
    import jax

    return bool(jax.numpy.issubdtype(x.dtype, jax.numpy.floating))


def _is_key(x: Any) -> bool:
    """Whether it is a typed random key."""
    import jax

    dtype = getattr(x, "dtype", None)
    return dtype is not None and bool(jax.numpy.issubdtype(dtype, jax.dtypes.prng_key))


def _precision(double: bool) -> Any:
    """A context in which JAX computes in float64, or not."""
    import jax

    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(double)
    from jax import experimental  # before JAX 0.8

    return getattr(experimental, "enable_x64")(double)  # noqa: B009  # absent from newer versions
