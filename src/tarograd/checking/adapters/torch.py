"""`torch.autograd.Function.apply`, a `torch.nn.Module`, or a function of torch tensors."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tarograd.checking.adapters.arguments import Arguments
from tarograd.checking.randomness import Randomness, objects, reachable
from tarograd.checking.subject import Array, Values, upstream_names


class TorchSubject:
    """Something that computes with torch tensors, in float64 on the CPU.

    Args:
        subject: the module, or the function (`MyFunction.apply`).
        inputs: arrays or tensors; whole numbers are data, Python numbers are settings.
        dtype: of the floats.
        order: 2 for the gradient's own gradient.
        seed: of the upstream gradient in which the second order is taken.
    """

    takes_upstream = True

    def __init__(
        self,
        subject: Any,
        inputs: Sequence[Any],
        dtype: DTypeLike = np.float64,
        order: int = 1,
        seed: int = 0,
    ) -> None:
        import torch

        self.torch = torch
        is_module = isinstance(subject, torch.nn.Module)
        wide = torch.from_numpy(np.empty(0, dtype)).dtype
        self.module = copy.deepcopy(subject).to("cpu", wide) if is_module else None
        self.compute: Callable[..., Any] = subject if self.module is None else self.module
        owner = getattr(subject, "__self__", None)
        self.name = owner.__name__ if isinstance(owner, type) else _name(subject)
        function = getattr(subject, "forward", subject)
        if isinstance(owner, type):  # `MyFunction.apply` itself tells no names
            function = _forward_of(owner, torch)
        arrays = [self._array(x) for x in inputs]
        self.arguments = Arguments(function, arrays, dtype, numbers=False)  # as autograd has it
        self.values: dict[str, Array] = dict(self.arguments.values)
        self.parameters = dict(self.module.named_parameters()) if self.module is not None else {}
        self.values |= {n: np.array(p.detach().numpy()) for n, p in self.parameters.items()}
        trained = [n for n, p in self.parameters.items() if p.requires_grad]
        self.inputs = tuple(self.arguments.values)
        self.leaves = (*self.arguments.floats, *trained)
        self.notes: list[str] = []
        self._randomness = Randomness(reachable(subject))
        self._buffers = [(b, b.clone()) for b in self._outside(subject)]
        self._seed = torch.random.get_rng_state()
        self.upstream: tuple[str, ...] = ()
        if not self.leaves:
            raise TypeError(
                f"{self.name}: nothing to differentiate: no parameter, and no float among the "
                "inputs; whole numbers are data"
            )
        if order == 2:
            self._second_order(seed)

    def _array(self, x: Any) -> Any:
        if not isinstance(x, self.torch.Tensor):
            return x
        x = x.detach().cpu()
        return (x.double() if x.is_floating_point() else x).numpy()

    def _outside(self, subject: Any) -> Iterator[Any]:
        """The buffers, such as running means, of modules that a function uses by name."""
        for x in objects(subject):
            if isinstance(x, self.torch.nn.Module):
                yield from x.buffers(recurse=False)

    def _second_order(self, seed: int) -> None:
        """Make the upstream gradient one of the inputs."""
        try:
            outputs = self.fresh().forward(self.values)
        finally:
            self.release()
        random = np.random.default_rng(seed)
        self.upstream = upstream_names(len(outputs))
        self.values |= {
            n: random.normal(size=y.shape).astype(y.dtype)
            for n, y in zip(self.upstream, outputs, strict=True)
        }
        self.inputs, self.leaves = (*self.inputs, *self.upstream), (*self.leaves, *self.upstream)
        run = self.fresh()
        try:
            again = run.backward(tuple(np.ones_like(g) for g in run.forward(self.values)))
        finally:
            self.release()
        if all(g is None for g in again.values()):
            raise TypeError(
                f"order=2: the gradient of {self.name} cannot be differentiated again: its "
                "backward is cut off from the graph, by once_differentiable, detach() or NumPy"
            )

    def fresh(self, values: Values | None = None, draw: int = 0) -> TorchRun:
        """One use; buffers such as running means start anew."""
        self.release()
        return TorchRun(self, Randomness(self._randomness.generators, draw), draw)

    def frozen(self, values: Values, draw: int) -> Callable[[Values], tuple[Array, ...]] | None:
        """The branches inside are not known."""
        return None

    def release(self) -> None:
        """Put the generators and the buffers back to where they stood."""
        self._randomness.rewind()
        self.torch.random.set_rng_state(self._seed)
        for buffer, saved in self._buffers:
            buffer.data.copy_(saved)


class TorchRun:
    """One use of a torch subject."""

    def __init__(self, subject: TorchSubject, randomness: Randomness, draw: int) -> None:
        self.subject, self.randomness, self.draw = subject, randomness, draw
        self.module = copy.deepcopy(subject.module)

    def forward(self, values: Values) -> tuple[Array, ...]:
        """The outputs; the tensors share the memory of `values`, so that mutation shows."""
        subject, torch = self.subject, self.subject.torch
        self.randomness.rewind()
        torch.random.set_rng_state(subject._seed)
        if self.draw:
            torch.rand(997 * self.draw)
        self.leaves: dict[str, Any] = {}
        given = {n: torch.from_numpy(np.asarray(values[n])) for n in subject.inputs}
        for name in subject.leaves:
            if name in given:
                leaf = given[name].requires_grad_()
                self.leaves[name] = leaf
                given[name] = leaf.view_as(leaf)  # a leaf itself may not be written into
        with torch.enable_grad(), _one_thread(torch):
            self.outputs = self._outputs(subject.arguments.filled(given), values)
            if subject.upstream:
                self.outputs = self._first_order([given[n] for n in subject.upstream])
        return tuple(t.detach().cpu().numpy().copy() for t in self.outputs)

    def _outputs(self, given: list[Any], values: Values) -> list[Any]:
        torch, compute = self.subject.torch, self.module or self.subject.compute
        for name, parameter in self.module.named_parameters() if self.module is not None else ():
            parameter.data = torch.from_numpy(np.array(values[name]))
            if parameter.requires_grad:
                self.leaves[name] = parameter
        try:
            y = compute(*given)
        except RuntimeError as error:
            if "dtype" in str(error) and self.module is None:
                raise TypeError(
                    f"{self.subject.name}: {error}. The check runs in float64: pass the module "
                    "itself, or call .double() on what the function uses"
                ) from error
            raise
        parts = y.values() if isinstance(y, Mapping) else y if isinstance(y, tuple | list) else [y]
        return [t for t in parts if isinstance(t, torch.Tensor) and t.is_floating_point()]

    def _first_order(self, upstream: list[Any]) -> list[Any]:
        """The gradients, as a function that can be differentiated again."""
        wanted = [x for n, x in self.leaves.items() if n not in self.subject.upstream]
        found = self._gradients(self.outputs, wanted, upstream, create_graph=True)
        return [g for g in found if g is not None]

    def _gradients(
        self, outputs: list[Any], leaves: list[Any], upstream: list[Any], **options: Any
    ) -> Sequence[Any]:
        pairs = [(y, c) for y, c in zip(outputs, upstream, strict=True) if y.requires_grad]
        if not pairs:
            return [None] * len(leaves)
        ys, cs = zip(*pairs, strict=True)
        found: Sequence[Any] = self.subject.torch.autograd.grad(
            ys, leaves, cs, allow_unused=True, **options
        )
        return found

    def backward(self, upstream: tuple[Array, ...]) -> dict[str, Any]:
        """What autograd gives with the subject's own backward passes."""
        c = [self.subject.torch.from_numpy(np.asarray(u)) for u in upstream]
        with _one_thread(self.subject.torch):
            found = self._gradients(self.outputs, list(self.leaves.values()), c)
        named = zip(self.leaves, found, strict=True)
        return {n: None if g is None else g.detach().cpu().numpy() for n, g in named}

    def parameters(self) -> dict[str, Array]:
        """What the parameters hold now."""
        if self.module is None:
            return {}
        return {n: p.detach().numpy() for n, p in self.module.named_parameters()}

    def advance_generators(self) -> None:
        """Let the next draws be others."""
        self.randomness.advance()
        self.subject.torch.rand(997)


@contextmanager
def _one_thread(torch: Any) -> Iterator[None]:
    """Small operations are many times faster so, where other processes are busy as well."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _forward_of(owner: Any, torch: Any) -> Callable[..., Any]:
    """The forward pass of a `torch.autograd.Function` without `ctx`, which torch gives itself."""
    own_context = owner.setup_context is not torch.autograd.Function.setup_context
    forward: Callable[..., Any] = owner.forward
    return forward if own_context else partial(forward, None)


def _name(subject: Any) -> str:
    return str(getattr(subject, "__name__", None) or type(subject).__name__)
