"""One step of a run made again on the side, to look into it.

The network that is trained, its gradients, the optimizer and all random numbers stay as they are:
the step is made on copies, eagerly, also when the run itself is machine code.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tarograd.data import Batches, Split
from tarograd.functions import one_hot
from tarograd.graph import Array, context
from tarograd.nn import Layer, Network, SquaredError
from tarograd.optim import Optimizer
from tarograd.tensor import Tensor

if TYPE_CHECKING:
    from tarograd.drawing.trace import Trace


def batch_loss(network: Network, criterion: Layer, x: Tensor, labels: Array) -> Tensor:
    """The recorded loss of one batch; for SquaredError the labels become rows of 0 and 1."""
    scores = network(x)
    targets = labels
    if isinstance(criterion, SquaredError):
        targets = one_hot(labels, scores.shape[1]).astype(scores.dtype)
    loss: Tensor = criterion(scores, targets)
    return loss


Parts = tuple[Network, Layer, Optimizer, Batches, Split]


@dataclass(frozen=True)
class State:
    """The parameters, the optimizer's state and the mini-batch before a step.

    Attributes:
        step: how many steps had been made.
        rows: the images of the mini-batch that follows.
    """

    step: int
    rows: Array
    values: tuple[Array, ...]
    optimizer: dict[str, Array]

    @property
    def nbytes(self) -> int:
        """The memory that it keeps from being freed."""
        return sum(a.nbytes for a in (*self.values, *self.optimizer.values()))


def state_of(network: Network, optimizer: Optimizer, batches: Batches, step: int) -> State:
    """The run as it is now; arrays are never written into, so they need no copy."""
    rows = batches.indices(step).copy()  # a part of the order of a whole epoch
    values = tuple(p.value for p in network.parameters())
    return State(step, rows, values, optimizer.state_arrays())


@dataclass(frozen=True)
class Seen:
    """A step that was made again.

    Attributes:
        loss: as it was recorded.
        trace: the same as a drawing, with all derivatives.
        updates: ‖Δw‖ of each parameter by its path; empty if the loss was not finite.
        paths: the path of each parameter, by its value in the trace.
    """

    loss: Tensor
    trace: Trace
    updates: dict[str, float]
    paths: dict[int, str]


class Replay:
    """Makes single steps of a run again.

    Args:
        network: what is trained.
        criterion: its loss layer.
        optimizer: bound to its parameters.
        batches: the mini-batches of the run.
        split: the training images.
    """

    def __init__(
        self,
        network: Network,
        criterion: Layer,
        optimizer: Optimizer,
        batches: Batches,
        split: Split,
    ) -> None:
        self.network, self.criterion = copy.deepcopy((network, criterion))
        self.parameters = self.network.named_parameters()
        self.optimizer = optimizer.bind(list(self.parameters.values()))
        self.seed, self.split = batches.seed, split

    def see(self, state: State) -> Seen:
        """Make the step that follows on `state` again.

        Raises:
            Exception: whatever a layer of the user's own raises.
        """
        from tarograd.drawing.record import record

        for parameter, value in zip(self.parameters.values(), state.values, strict=True):
            parameter.value = value
        self.optimizer.load_state_arrays(state.optimizer)
        images, labels = self.split[state.rows]
        moment = context(recording=True, training=True, seed=self.seed, step=state.step)
        with np.errstate(all="ignore"), _same_random_numbers(), moment:
            x = Tensor(self.network.read(images), "x")
            loss = batch_loss(self.network, self.criterion, x, labels)
            upstream = np.ones((), loss.dtype)
            trace = record(loss, type(self.network).__name__, 1, upstream, replays=False)
            paths, updates = {}, {}
            places = {id(v.array): v.id for v in trace.values if v.kind == "parameter"}
            for path, parameter in self.parameters.items():
                if id(parameter.value) in places:
                    paths[places[id(parameter.value)]] = path
            if np.isfinite(loss.value):
                updates = self._updates(trace, paths)
        return Seen(loss, trace, updates, paths)

    def _updates(self, trace: Trace, paths: dict[int, str]) -> dict[str, float]:
        """How far the optimizer moves each parameter."""
        slopes = {path: trace.values[value].gradient for value, path in paths.items()}
        before = {path: p.value for path, p in self.parameters.items()}
        gradients: list[Any] = []
        for path, p in self.parameters.items():
            slope = slopes.get(path)
            gradients.append(np.zeros(p.shape, p.dtype) if slope is None else slope)
        self.optimizer.step(gradients)
        return {path: length(p.value - before[path]) for path, p in self.parameters.items()}


def length(array: Array) -> float:
    """The Euclidean norm, in float64."""
    return float(np.linalg.norm(array.astype(np.float64)))


@contextmanager
def _same_random_numbers() -> Iterator[None]:
    """A layer of the user's own may draw from the global generators: they are set back."""
    before, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002  # to restore it
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(legacy)  # noqa: NPY002  # see above
