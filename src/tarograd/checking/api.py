"""`check_gradients`: the door through which everything is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tarograd.checking.adapters.functions import FunctionSubject
from tarograd.checking.adapters.graph import GraphSubject
from tarograd.checking.adapters.jax import JaxSubject
from tarograd.checking.adapters.objects import ObjectSubject
from tarograd.checking.adapters.torch import TorchSubject
from tarograd.checking.derivatives import MODES
from tarograd.checking.engine import Check
from tarograd.checking.report import GradientReport
from tarograd.checking.subject import Subject
from tarograd.graph import Primitive


def check_gradients(
    subject: Any,
    *inputs: Any,
    grad: Callable[..., Any] | None = None,
    params: Mapping[str, str] | None = None,
    mode: str = "default",
    seed: int = 0,
    strict: bool = False,
    budget: float | None = None,
) -> GradientReport:
    """Check a backward pass against numerical differentiation; if it is wrong, say why.

    The check is made on copies and in float64, whatever the dtype of the inputs. Dropout is no
    obstacle: every random generator that the subject can reach is held still and put back.

    Args:
        subject: an object with `forward` and `backward` on NumPy arrays; a layer, network or
            function of Tensors; with `grad`, a function of NumPy arrays; a torch module or
            `MyFunction.apply`; a JAX function with a `custom_vjp`.
        *inputs: the arguments of forward. Arrays of whole numbers are data and are not
            differentiated.
        grad: the gradient that is claimed for a plain function: `grad(*inputs)`, or
            `grad(*inputs, upstream)`.
        params: where the gradient of each parameter is, if the names are unusual:
            `{"W": "dW"}`.
        mode: `quick` (one direction for each leaf), `default`, `thorough`, or `contract` (what
            needs no numeric derivative).
        seed: of directions and upstream gradients.
        strict: mismatches below 5e-7, which may be meant as an approximation, count as wrong.
        budget: in seconds; after that the report says how far it came.

    Returns:
        a report; print it, or ask `bool(report)`.

    Raises:
        ValueError: for an unknown mode, or if no gradient is found.
        TypeError: if there is nothing to differentiate by.

    Example:
        >>> import numpy as np
        >>> report = check_gradients(np.sin, np.array([1.0, 2.0]), grad=lambda x: -np.cos(x))
        >>> report.verdict, report.causes[0].name
        ('wrong', 'sign')
    """
    if mode not in MODES:
        raise ValueError(f"mode={mode!r}: it is one of {', '.join(MODES)}")
    adapted = adapt(subject, inputs, grad, params, seed)
    seconds = float("inf") if budget is None else budget
    return Check(adapted, mode, seed, strict, seconds).run()


def adapt(
    subject: Any,
    inputs: tuple[Any, ...],
    grad: Callable[..., Any] | None,
    params: Mapping[str, str] | None,
    seed: int,
) -> Subject:
    """The adapter for what was given."""
    checked = callable(subject) or callable(getattr(subject, "forward", None))
    if not checked or isinstance(subject, type):
        raise TypeError(
            f"check_gradients({subject!r}): a layer, network or function is needed, or an object "
            "with forward and backward"
        )
    if grad is not None:
        return FunctionSubject(subject, grad, inputs)
    given = {type(x).__module__.partition(".")[0] for x in inputs}
    owner = getattr(subject, "__self__", subject)
    kinds = [*getattr(owner, "__mro__", ()), *type(owner).__mro__]
    made_by = {kind.__module__.partition(".")[0] for kind in kinds}
    if "torch" in made_by | given:
        return TorchSubject(subject, inputs)
    if made_by & {"jax", "jaxlib"} or given & {"jax", "jaxlib"}:
        return JaxSubject(subject, inputs)
    if hasattr(subject, "named_parameters") or isinstance(subject, Primitive):
        return GraphSubject(subject, inputs, seed)
    if callable(getattr(subject, "forward", None)) and callable(getattr(subject, "backward", None)):
        return ObjectSubject(subject, inputs, params)
    return GraphSubject(subject, inputs, seed)
