"""Optimizer: a recipe of settings, and the same bound to the parameters that it updates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from numbers import Real
from typing import Any, ClassVar, TypeVar

import numpy as np

from tarograd.graph import Array, group
from tarograd.inputs import frozen, recorder
from tarograd.optim.schedules import Schedule, checked_number
from tarograd.tensor import Tensor

State = Mapping[str, Any]
Update = tuple[Any, dict[str, Any]]
_Self = TypeVar("_Self", bound="Optimizer")

# The settings that are numbers from 0 to below a bound.
_BOUNDS = dict.fromkeys(("lr", "weight_decay", "eps"), math.inf)
_BOUNDS |= dict.fromkeys(("momentum", "decay", "beta1", "beta2"), 1.0)


@dataclass(kw_only=True, eq=False, repr=False)
class Optimizer:
    """What the optimizers have in common. A new one needs `rule`, and `state_names` if it has any.

    Without parameters it is a recipe, to be bound later; with parameters it updates them.

    Args:
        parameters: the Parameters, or other leaf Tensors, to update.
        lr: the learning rate, a number from 0 on or a Schedule.
        weight_decay: pulls every element towards 0: weight_decay × w is added to the gradient
            (by AdamW to the step itself).

    Attributes:
        step_count: how many steps have been taken since it was bound.
        states: what the rule remembers of each parameter, arrays by the names in `state_names`.

    Raises:
        ValueError: for a setting outside of its range, or a parameter that is given twice.
        TypeError: for parameters that can't be updated.

    Example:
        >>> from tarograd.optim import SGD
        >>> w = Tensor([1.0, 2.0])
        >>> optimizer = SGD([w], lr=0.5)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> print(w, optimizer)
        Tensor([0. 0.]) SGD(lr=0.5)
    """

    state_names: ClassVar[tuple[str, ...]] = ()

    parameters: Sequence[Tensor] = field(default=(), kw_only=False)
    lr: float | Schedule = 0.01
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        """Checks the settings and starts from a fresh state."""
        owner = type(self).__name__
        self.parameters = _leaves(owner, self.parameters)
        for name in (f.name for f in fields(self) if f.name in _BOUNDS):
            value = getattr(self, name)
            if name != "lr" or not isinstance(value, Schedule):
                setattr(self, name, checked_number(owner, name, value, _BOUNDS[name]))
        self.step_count = 0
        self.states = [_locked_state(self.initial_state(p.value)) for p in self.parameters]

    def rule(self, w: Any, g: Any, state: State, lr: Any, step: Any) -> Update:
        """The formula itself, without weight decay; arguments and results are `update`'s."""
        raise NotImplementedError(f"{type(self).__name__} has no rule")

    def update(self, w: Any, g: Any, state: State, lr: Any, step: Any) -> Update:
        """The new value of one parameter, as a pure function of arrays or of Tensors.

        Args:
            w: the parameter's value.
            g: the gradient, of its shape and dtype.
            state: what the last step gave, or `initial_state(w)`.
            lr: the learning rate of this step.
            step: its number, counted from 1. Both may also be an array or a Tensor without
                axes, whose dtype does not change that of the result; float64 for `step`, because
                1 − beta2^t, in float32, is at first wrong by 5e-5 of itself.

        Returns:
            The new value and the new state; nothing is written into the old ones.
        """
        if self.weight_decay:
            g = g + self.weight_decay * w
        return self.rule(w, g, state, fitting(lr, w), step)

    def initial_state(self, w: Any) -> dict[str, Any]:
        """The state before the first step: zeros of the parameter's shape and dtype."""
        return {name: np.zeros_like(w) for name in self.state_names}

    def learning_rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        return self.lr(step) if isinstance(self.lr, Schedule) else self.lr

    def bind(self: _Self, parameters: Sequence[Tensor]) -> _Self:
        """An optimizer with these settings for these parameters, with a fresh state.

        Example:
            >>> from tarograd.optim import Adam
            >>> Adam(lr=0.002).bind([Tensor([1.0, 2.0])])
            Adam(lr=0.002)
        """
        return replace(self, parameters=parameters)

    def step(self, gradients: Sequence[Any] | None = None) -> None:
        """Update every parameter once.

        Args:
            gradients: for each parameter, in their order, an array or a Tensor of its shape, as
                `tg.grad` gives them; if left out, each parameter's `.grad`.

        Raises:
            ValueError: when no parameters are bound, one has no gradient, or the number or a
                shape of the gradients differs; no parameter has changed then.
            TypeError: for gradients that are not in a list.
        """
        given = self._gradients(gradients)
        if (trace := recorder()) is not None:
            with group("update", ""):
                trace.update(self, given)
            return
        lr, step = self.learning_rate(self.step_count), self.step_count + 1
        arrays = [
            np.asarray(g.value if isinstance(g, Tensor) else g, dtype=p.dtype)
            for p, g in zip(self.parameters, given, strict=True)
        ]
        parts = zip(self.parameters, arrays, self.states, strict=True)
        self.take([self.update(p.value, g, state, lr, step) for p, g, state in parts])

    def take(self, updates: Sequence[Update]) -> None:
        """Finish a step: give each parameter its new value and its new state."""
        for p, (w, _) in zip(self.parameters, updates, strict=True):
            p.value = _locked(w)
        self.states = [_locked_state(state) for _, state in updates]
        self.step_count += 1

    def state_arrays(self) -> dict[str, Array]:
        """The number of steps and the state of every parameter, read-only, for a checkpoint.

        The names are those of the parameters, or their places when not all have one of their own.

        Example:
            >>> from tarograd.optim import Adam
            >>> list(Adam([Tensor(1.0, "w"), Tensor(2.0, "b")]).state_arrays())
            ['step_count', 'm/w', 'v/w', 'm/b', 'v/b']
        """
        arrays = {"step_count": np.array(self.step_count, np.int64)}
        for label, state in zip(self._labels(), self.states, strict=True):
            arrays |= {f"{name}/{label}": state[name] for name in state}
        return arrays

    def load_state_arrays(self, arrays: Mapping[str, Array]) -> None:
        """Continue from what `state_arrays` gave, to the same bits.

        Raises:
            ValueError: naming the first array that is missing, is not known here, or has another
                shape or dtype, with both; nothing has changed then.
        """
        expected = self.state_arrays()
        for name in [*expected, *(name for name in arrays if name not in expected)]:
            here, there = (
                f"{a[name].dtype} {a[name].shape}" if name in a else "none"
                for a in (expected, arrays)
            )
            if here != there:
                raise ValueError(
                    f"{name}: given {there}, but {self} has {here} here: "
                    "the state is that of another optimizer or of other parameters"
                )
        self.step_count = int(arrays["step_count"])
        self.states = [
            {name: frozen(np.asarray(arrays[f"{name}/{label}"])) for name in state}
            for label, state in zip(self._labels(), self.states, strict=True)
        ]

    def __repr__(self) -> str:
        settings = {f.name: f.default for f in fields(self) if f.name != "parameters"}
        shown = [n for n in settings if n == "lr" or getattr(self, n) != settings[n]]
        return f"{type(self).__name__}({', '.join(f'{n}={getattr(self, n)!r}' for n in shown)})"

    def _labels(self) -> list[str]:
        """The parameters' names, or their places if the names do not tell them apart."""
        names = [p.name for p in self.parameters if p.name]
        places = [str(i) for i in range(len(self.parameters))]
        return names if len(set(names)) == len(places) else places

    def _gradients(self, gradients: Sequence[Any] | None) -> list[Any]:
        """The gradients: one for each parameter, of its shape."""
        if not self.parameters:
            raise ValueError(
                f"{self} has no parameters to update: make it with them, "
                f"{type(self).__name__}(net.parameters(), ...), or call .bind(net.parameters())"
            )
        if isinstance(gradients, Tensor | np.ndarray | Mapping):
            raise TypeError(
                f"step was given one {type(gradients).__name__}: it takes a list of gradients, "
                "one for each parameter in their order"
            )
        given = [p.grad for p in self.parameters] if gradients is None else list(gradients)
        if len(given) != len(self.parameters):
            raise ValueError(
                f"{len(given)} gradients for {len(self.parameters)} parameters: step takes one "
                f"for each, in the order {', '.join(self._labels())}"
            )
        for i, (p, g) in enumerate(zip(self.parameters, given, strict=True)):
            if g is None:
                raise ValueError(
                    f"parameter {self._labels()[i]} has no gradient: call backward() on a loss "
                    "that depends on it before step(), or give step a list of gradients"
                )
            if np.shape(g) != p.shape:
                raise ValueError(
                    f"parameter {self._labels()[i]} has the shape {p.shape}, its gradient "
                    f"{np.shape(g)}: the gradients come in the order of the parameters"
                )
        return given


def fitting(number: Any, w: Any) -> Any:
    """A number or 0-d array or Tensor, in the dtype of w: float64 would widen float32."""
    dtype = getattr(number, "dtype", None)
    return number if dtype is None or dtype == w.dtype else number.astype(w.dtype)


def _locked(computed: Any) -> Array:
    """An array that was just computed, made read-only, so that nobody has to copy it."""
    array = np.asarray(computed)
    array.flags.writeable = False
    return array


def _locked_state(state: State) -> dict[str, Array]:
    return {name: _locked(state[name]) for name in state}


def _leaves(owner: str, parameters: Any) -> tuple[Tensor, ...]:
    """The parameters that an optimizer was given, if it can update them."""
    if isinstance(parameters, Real | Schedule):
        raise TypeError(
            f"{owner}({parameters}): the learning rate is given by name, {owner}(lr={parameters}); "
            f"first come the parameters, {owner}(net.parameters(), lr={parameters})"
        )
    if isinstance(parameters, Tensor | np.ndarray) or not isinstance(parameters, Iterable):
        raise TypeError(
            f"{owner}: a {type(parameters).__name__} where a list of parameters belongs: "
            f"{owner}(net.parameters(), ...) or {owner}([w, b], ...)"
        )
    leaves = tuple(parameters)
    for i, p in enumerate(leaves):
        if not isinstance(p, Tensor) or p.node is not None:
            what = "a computed Tensor" if isinstance(p, Tensor) else f"a {type(p).__name__}"
            raise TypeError(
                f"{owner}: parameter {i} is {what}: only a Parameter, or another Tensor that was "
                "not computed from others, can be given a new value"
            )
        if any(p is other for other in leaves[:i]):
            name = p.name or "without a name"
            raise ValueError(f"{owner}: parameter {i}, {name} of shape {p.shape}, is given twice")
    return leaves
