"""Other gradient checkers on the layers of the zoo, each wrapped as its documentation says.

Every one of them sees the same NumPy forward and backward, all float inputs and parameters as
variables, its own default tolerances, and random numbers held still (a fresh copy of the layer,
with its generator, for each forward). What a checker raises, whatever it is, counts as an alarm.
"""

from __future__ import annotations

import copy
import importlib
import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Arrays = list[Any]


@dataclass
class Plain:
    """A layer of the zoo as two functions of its float inputs and parameters.

    Attributes:
        leaves: the values of those inputs and parameters.
    """

    layer: Any
    inputs: Arrays
    params: tuple[str, ...]

    def __post_init__(self) -> None:
        floats = [i for i, x in enumerate(self.inputs) if np.asarray(x).dtype.kind == "f"]
        self.floats = floats
        given = [np.array(self.inputs[i]) for i in floats]
        self.leaves = given + [np.array(getattr(self.layer, p)) for p in self.params]

    def forward(self, *leaves: Any) -> tuple[Any, Any]:
        """The layer that ran, and its output."""
        layer = copy.deepcopy(self.layer)
        inputs = list(self.inputs)
        for i, x in zip(self.floats, leaves, strict=False):
            inputs[i] = x
        for name, value in zip(self.params, leaves[len(self.floats) :], strict=True):
            setattr(layer, name, value)
        return layer, layer.forward(*inputs)

    def gradients(self, layer: Any, c: Any) -> Arrays:
        """What backward claims for each leaf."""
        returned = layer.backward(c)
        several = isinstance(returned, tuple)
        found = [returned[k] if several else returned for k in range(len(self.floats))]
        return found + [getattr(layer, f"d{p}") for p in self.params]


def plain(layer: Any, inputs: Arrays, params: tuple[str, ...]) -> Plain:
    """The layer as functions, with those parameters that backward gives a gradient for."""
    trial = Plain(layer, [np.array(x) for x in inputs], ())
    ran, y = trial.forward(*trial.leaves)
    try:
        ran.backward(np.ones_like(np.asarray(y, float)))
        params = tuple(p for p in params if hasattr(ran, f"d{p}"))
    except Exception:  # the checkers will meet it too
        pass
    return Plain(layer, [np.array(x) for x in inputs], params)


def torch_checker(fast: bool) -> Callable[[Plain], None]:
    """torch.autograd.gradcheck around a torch.autograd.Function."""
    import torch

    def check(subject: Plain) -> None:
        class Wrapped(torch.autograd.Function):  # type: ignore[misc, unused-ignore]  # where torch is not
            @staticmethod
            def forward(ctx: Any, *leaves: Any) -> Any:
                ctx.layer, y = subject.forward(*(x.detach().numpy() for x in leaves))
                ctx.dtypes = [x.dtype for x in leaves]
                return torch.as_tensor(np.array(y))

            @staticmethod
            def backward(ctx: Any, *c: Any) -> Any:
                found = subject.gradients(ctx.layer, c[0].detach().numpy())
                return tuple(torch.as_tensor(np.array(g)) for g in found)

        leaves = [torch.tensor(x, requires_grad=True) for x in subject.leaves]
        torch.autograd.gradcheck(Wrapped.apply, leaves, fast_mode=fast)

    return check


def jax_checker() -> Callable[[Plain], None]:
    """jax.test_util.check_grads around a custom_vjp with pure_callback."""
    jax: Any = importlib.import_module("jax")
    check_grads = importlib.import_module("jax.test_util").check_grads
    jax.config.update("jax_enable_x64", True)

    def check(subject: Plain) -> None:
        like = np.asarray(subject.forward(*map(np.array, subject.leaves))[1])
        result = jax.ShapeDtypeStruct(like.shape, like.dtype)
        shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in subject.leaves]

        def host(*leaves: Any) -> Any:
            return np.asarray(subject.forward(*(np.array(x) for x in leaves))[1])

        def host_backward(*given: Any) -> Any:
            *leaves, c = (np.array(x) for x in given)
            layer, _ = subject.forward(*leaves)
            return [np.asarray(g) for g in subject.gradients(layer, c)]

        def called(*leaves: Any) -> Any:
            return jax.pure_callback(host, result, *leaves)

        wrapped = jax.custom_vjp(called)

        def forward(*leaves: Any) -> Any:
            return wrapped(*leaves), leaves

        def backward(leaves: Any, c: Any) -> Any:
            return tuple(jax.pure_callback(host_backward, shapes, *leaves, c))

        wrapped.defvjp(forward, backward)
        check_grads(wrapped, tuple(subject.leaves), order=1, modes=["rev"])

    return check


def autograd_checker() -> Callable[[Plain], None]:
    """HIPS autograd's check_grads around a primitive with defvjp."""
    extend: Any = importlib.import_module("autograd.extend")
    check_grads = importlib.import_module("autograd.test_util").check_grads

    def check(subject: Plain) -> None:
        def called(*leaves: Any) -> Any:
            return subject.forward(*leaves)[1]

        wrapped = extend.primitive(called)

        def vjp(k: int) -> Any:
            def maker(_: Any, *leaves: Any) -> Any:
                layer, _ = subject.forward(*leaves)
                return lambda c: subject.gradients(layer, c)[k]

            return maker

        count = len(subject.leaves)
        extend.defvjp(wrapped, *map(vjp, range(count)))
        check_grads(wrapped, tuple(range(count)), modes=["rev"], order=1)(*subject.leaves)

    return check


def scipy_checker() -> Callable[[Plain], None]:
    """scipy.optimize.check_grad on a random projection; it returns a number and sets no limit."""
    from scipy.optimize import check_grad

    def check(subject: Plain) -> None:
        leaves = subject.leaves
        ends = np.cumsum([x.size for x in leaves])[:-1]
        y = np.asarray(subject.forward(*map(np.array, leaves))[1])
        c = np.random.default_rng(0).standard_normal(y.shape)

        def split(flat: Any) -> Arrays:
            parts = zip(np.split(flat, ends), leaves, strict=True)
            return [p.reshape(x.shape).astype(x.dtype) for p, x in parts]

        def f(flat: Any) -> float:
            return float(np.sum(c * np.asarray(subject.forward(*split(flat))[1])))

        def gradient(flat: Any) -> Any:
            layer, _ = subject.forward(*split(flat))
            found = subject.gradients(layer, np.asarray(c, y.dtype))
            given = zip(found, leaves, strict=True)
            if any(np.shape(g) != x.shape for g, x in given):
                raise ValueError("a gradient does not have the shape of its leaf")
            return np.concatenate([np.ravel(g) for g in found])

        point = np.concatenate([x.ravel() for x in leaves]).astype(float)
        error = check_grad(f, gradient, point)
        size = np.linalg.norm(gradient(point))
        if not error <= 1e-5 * max(1.0, float(size)):
            raise AssertionError(f"the error is {error}")

    return check


MAKERS: dict[str, tuple[str, Callable[[], Callable[[Plain], None]]]] = {
    "torch gradcheck": ("torch", lambda: torch_checker(False)),
    "torch gradcheck, fast": ("torch", lambda: torch_checker(True)),
    "jax check_grads": ("jax", jax_checker),
    "autograd check_grads": ("autograd", autograd_checker),
    "scipy check_grad": ("scipy", scipy_checker),
}


def alarm(check: Callable[[Plain], None], layer: Any, inputs: Arrays, params: Any) -> str:
    """What the checker says of a layer: "" if nothing, else the kind of error it raises."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            check(plain(layer, inputs, tuple(params)))
        except Exception as error:
            return type(error).__name__
    return ""


def installed() -> dict[str, Callable[[Plain], None] | None]:
    """The checkers by name; None for those that are not installed."""
    return {
        name: make() if importlib.util.find_spec(package) else None
        for name, (package, make) in MAKERS.items()
    }
