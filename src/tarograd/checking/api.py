"""`check_gradients`: the door through which everything is checked."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tarograd.checking.adapters.functions import FunctionSubject
from tarograd.checking.adapters.graph import GraphSubject
from tarograd.checking.adapters.jax import JaxSubject
from tarograd.checking.adapters.objects import ObjectSubject
from tarograd.checking.adapters.styles import Chain, style_of
from tarograd.checking.adapters.torch import TorchSubject
from tarograd.checking.bench import quiet
from tarograd.checking.derivatives import MODES
from tarograd.checking.engine import Check
from tarograd.checking.precision import compare
from tarograd.checking.report import GradientReport
from tarograd.checking.subject import Subject
from tarograd.graph import Primitive

TWICE = (
    "order=2: this backward pass is written by hand and has no backward pass of its own. If you "
    "wrote one, check it as a function: check_gradients(backward, x, c, grad=backward_of_backward)"
)


def check_gradients(
    subject: Any,
    *inputs: Any,
    grad: Callable[..., Any] | bool | None = None,
    params: Mapping[str, str] | None = None,
    mode: str = "default",
    order: int = 1,
    dtype: str = "float64",
    seed: int = 0,
    strict: bool = False,
    budget: float | None = None,
) -> GradientReport:
    """Check a backward pass against numerical differentiation; if it is wrong, say why.

    The check is made on copies and in float64, whatever the dtype of the inputs. Dropout is no
    obstacle: every random generator that the subject can reach is held still and put back.

    Args:
        subject: an object with `forward` and `backward` on NumPy arrays, a list of them, or one
            with `loss` and `gradient`; a pair of functions, of which the first returns
            `y, cache` and the second takes `dy, cache`; a layer, network or function of Tensors;
            with `grad`, a function of NumPy arrays; a torch module or `MyFunction.apply`; a JAX
            function with a `custom_vjp`.
        *inputs: the arguments of forward. Arrays of whole numbers are data and are not
            differentiated; flags, whole numbers, texts and dicts are handed on.
        grad: the gradient that is claimed for a plain function: `grad(*inputs)`, or
            `grad(*inputs, upstream)`; True for a function that returns `value, gradient`.
        params: where the gradient of each parameter is, if the names are unusual:
            `{"W": "dW"}`.
        mode: `quick` (two directions for each leaf), `default`, `thorough`, or `contract` (what
            needs no numeric derivative).
        order: 2 to check the gradient's own gradient after it, where there is one: the function
            is then that from the inputs and the upstream gradient to the gradients.
        dtype: `float64`; or `both`, to see as well how many digits float32 keeps.
        seed: of directions and upstream gradients.
        strict: mismatches below 5e-7, which may be meant as an approximation, count as wrong.
        budget: in seconds; after that the report says how far it came.

    Returns:
        a report; print it, or ask `bool(report)`.

    Raises:
        ValueError: for an unknown mode, order or dtype, or if no gradient is found.
        TypeError: if there is nothing to differentiate by, or not twice; for complex inputs.

    Example:
        >>> import numpy as np
        >>> report = check_gradients(np.sin, np.array([1.0, 2.0]), grad=lambda x: -np.cos(x))
        >>> report.verdict, report.causes[0].name
        ('wrong', 'sign')
    """
    if mode not in MODES:
        raise ValueError(f"mode={mode!r}: it is one of {', '.join(MODES)}")
    if order not in (1, 2) or dtype not in ("float64", "both"):
        raise ValueError(f"order={order!r}, dtype={dtype!r}: 1 or 2, and 'float64' or 'both'")
    deadline = time.monotonic() + (float("inf") if budget is None else budget)
    given = subject, inputs, grad, params
    with quiet():
        adapted = adapt(*given, seed=seed)
    report = Check(adapted, mode, seed, strict, deadline).run()
    if order == 2 and report:
        with quiet():
            adapted = adapt(*given, order=2, seed=seed)
        report = Check(adapted, mode, seed, strict, deadline).run()
        report.subject = f"the gradient of {report.subject}"
    if dtype == "both" and report:
        with quiet():
            single = adapt(*given, np.float32, order, seed)
        try:
            compare(report, adapted, single)
        finally:
            single.release()
            adapted.release()
    return report


def adapt(
    subject: Any,
    inputs: tuple[Any, ...],
    grad: Callable[..., Any] | bool | None = None,
    params: Mapping[str, str] | None = None,
    dtype: DTypeLike = np.float64,
    order: int = 1,
    seed: int = 0,
) -> Subject:
    """The adapter for what was given."""
    subject = Chain(subject) if isinstance(subject, list) else subject
    _refuse_what_has_no_passes(subject)
    library = _library(subject, inputs) if grad is None else ""
    own = hasattr(subject, "named_parameters") or isinstance(subject, Primitive)
    if library == "torch":
        return TorchSubject(subject, inputs, dtype, order, seed)
    if library == "jax":
        return JaxSubject(subject, inputs, dtype, order, seed)
    style = None if own or grad is True else style_of(subject, grad)
    if grad is None and style is None:
        return GraphSubject(subject, inputs, dtype, order, seed)
    if order == 2:
        raise TypeError(TWICE)
    if style is not None:
        layer = subject if grad is None else subject.__self__
        return ObjectSubject(layer, style, inputs, params, dtype)
    value, slope = (subject, grad) if callable(grad) else _both(subject)
    return FunctionSubject(value, slope, inputs, dtype)


def _refuse_what_has_no_passes(subject: Any) -> None:
    pair = isinstance(subject, tuple) and len(subject) == 2 and all(map(callable, subject))
    methods = ("forward", "loss")
    checked = pair or callable(subject) or any(callable(getattr(subject, m, None)) for m in methods)
    if not checked or isinstance(subject, type):
        raise TypeError(
            f"check_gradients({subject!r}): a layer, network or function is needed, an object with "
            "forward and backward, or a pair of such functions"
        )


def _library(subject: Any, inputs: tuple[Any, ...]) -> str:
    """The library with whose arrays a subject computes: torch, jax, or none of the two."""
    given = {type(x).__module__.partition(".")[0] for x in inputs}
    owner = getattr(subject, "__self__", subject)
    kinds = [*getattr(owner, "__mro__", ()), *type(owner).__mro__]
    made_by = {kind.__module__.partition(".")[0] for kind in kinds}
    if "torch" not in made_by | given:
        return "jax" if (made_by | given) & {"jax", "jaxlib"} else ""
    if "torch" not in made_by and callable(getattr(subject, "backward", None)):
        raise TypeError(
            f"check_gradients({type(subject).__name__}): its own backward on torch tensors would "
            "not be the one that autograd calls; check it on NumPy arrays, or write it as a "
            "torch.autograd.Function and give MyFunction.apply"
        )
    return "torch"


def _both(subject: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A function that returns value and gradient, as two."""

    @wraps(subject)
    def value(*inputs: Any) -> Any:
        return subject(*inputs)[0]

    return value, lambda *inputs: subject(*inputs)[1]
