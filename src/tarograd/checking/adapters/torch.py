"""`torch.autograd.Function.apply`, a `torch.nn.Module`, or a function of torch tensors."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tarograd.checking.adapters.objects import input_names
from tarograd.checking.randomness import Randomness, reachable
from tarograd.checking.subject import Array, Values


class TorchSubject:
    """Something that computes with torch tensors, in float64 on the CPU.

    Args:
        subject: the module, or the function (`MyFunction.apply`).
        inputs: arrays or tensors; whole numbers are data.
    """

    takes_upstream = True

    def __init__(self, subject: Any, inputs: Sequence[Any]) -> None:
        import torch

        self.torch = torch
        is_module = isinstance(subject, torch.nn.Module)
        self.module = copy.deepcopy(subject).double().cpu() if is_module else None
        self.compute: Callable[..., Any] = subject if self.module is None else self.module
        owner = getattr(subject, "__self__", None)
        self.name = owner.__name__ if isinstance(owner, type) else _name(subject)
        function = getattr(subject, "forward", subject)
        self.inputs = input_names(function, len(inputs))
        if isinstance(owner, type):
            self.inputs = tuple(f"x{i}" for i in range(len(inputs)))
        self.values: dict[str, Array] = {}
        for name, x in zip(self.inputs, inputs, strict=True):
            array = np.array(x.detach().cpu().numpy() if isinstance(x, torch.Tensor) else x)
            self.values[name] = array.astype(np.float64) if array.dtype.kind == "f" else array
        floats = [n for n in self.inputs if self.values[n].dtype.kind == "f"]
        self.parameters = dict(self.module.named_parameters()) if self.module is not None else {}
        self.values |= {n: np.array(p.detach().numpy()) for n, p in self.parameters.items()}
        trained = [n for n, p in self.parameters.items() if p.requires_grad]
        self.leaves = (*floats, *trained)
        self.notes: list[str] = []
        self._randomness = Randomness(reachable(subject))
        self._seed = torch.random.get_rng_state()

    def fresh(self, values: Values | None = None, draw: int = 0) -> TorchRun:
        """One use; buffers such as running means start anew."""
        self.release()
        return TorchRun(self, Randomness(self._randomness.generators, draw), draw)

    def frozen(self, values: Values, draw: int) -> Callable[[Values], tuple[Array, ...]] | None:
        """The branches inside are not known."""
        return None

    def release(self) -> None:
        """Put the generators back to where they stood."""
        self._randomness.rewind()
        self.torch.random.set_rng_state(self._seed)


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
        given = [torch.from_numpy(np.asarray(values[n])) for n in subject.inputs]
        self.leaves: dict[str, Any] = {}
        for i, name in enumerate(subject.inputs):
            if name in subject.leaves:
                leaf = given[i].requires_grad_()
                self.leaves[name] = leaf
                given[i] = leaf.view_as(leaf)  # a leaf itself may not be written into
        with torch.enable_grad():
            if self.module is None:
                y = subject.compute(*given)
            else:
                for name, parameter in self.module.named_parameters():
                    parameter.data = torch.from_numpy(np.array(values[name]))
                    if parameter.requires_grad:
                        self.leaves[name] = parameter
                y = self.module(*given)
        self.outputs = list(y) if isinstance(y, tuple | list) else [y]
        return tuple(t.detach().cpu().numpy().copy() for t in self.outputs)

    def backward(self, upstream: tuple[Array, ...]) -> dict[str, Any]:
        """What autograd gives with the subject's own backward passes."""
        torch = self.subject.torch
        pairs = [
            (y, torch.from_numpy(np.asarray(c)))
            for y, c in zip(self.outputs, upstream, strict=True)
            if y.requires_grad
        ]
        if not pairs:
            return dict.fromkeys(self.leaves)
        found = torch.autograd.grad(
            [y for y, _ in pairs],
            list(self.leaves.values()),
            [c for _, c in pairs],
            allow_unused=True,
        )
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


def _name(subject: Any) -> str:
    return str(getattr(subject, "__name__", None) or type(subject).__name__)
