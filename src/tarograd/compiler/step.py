"""The training step as a program: gather a mini-batch, forward, backward, update."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tarograd.compiler.program import Program
from tarograd.compiler.recording import Recording, record
from tarograd.compiler.rewrite import rewrite
from tarograd.compiler.surroundings import Surroundings
from tarograd.compiler.trace import Trace, Untraceable
from tarograd.compiler.updates import updated
from tarograd.derivatives import grad
from tarograd.graph import Array, context, group
from tarograd.nn import Layer, Network
from tarograd.optim import Optimizer
from tarograd.tensor import Tensor


@dataclass(frozen=True)
class Recipe:
    """What a training step is made of.

    Attributes:
        network, criterion: the model and its loss.
        optimizer: bound to the network's parameters.
        images, labels: the whole training set.
        seed: of Dropout.
    """

    network: Network
    criterion: Layer
    optimizer: Optimizer
    images: Array
    labels: Array
    seed: int = 0

    def parameters(self) -> dict[str, Tensor]:
        """The parameters by the names that they have in the program."""
        named = self.network.named_parameters()
        if list(map(id, self.optimizer.parameters)) != list(map(id, named.values())):
            raise Untraceable("the optimizer is not bound to the parameters of the network")
        return {path.replace(".", "_"): p for path, p in named.items()}

    def states(self) -> dict[str, tuple[str, str]]:
        """The name of each state array in the program → its own, and its parameter's name."""
        kinds = self.optimizer.state_names
        return {f"{kind}_{w}": (kind, w) for w in self.parameters() for kind in kinds}


def step_program(recipe: Recipe, batch_size: int) -> Program:
    """Trace one step of training on `batch_size` images, and rewrite it.

    Its inputs are the training set, the indices of the batch, the number of the step if it is
    used, the learning rate, the parameters and the optimizer's state. Its outputs are the loss
    and, under their own names, the new parameters and the new state.

    Raises:
        Untraceable: if a layer needs the values of Tensors in Python, or reads its input itself.

    Example:
        >>> import tarograd as tg
        >>> net = tg.nn.TwoLayerNet(4, 3, 2)
        >>> recipe = Recipe(net, net.criterion, tg.optim.SGD(net.parameters()),
        ...                 np.zeros((5, 4), np.uint8), np.zeros(5, int))
        >>> program = step_program(recipe, batch_size=2)
        >>> list(program.inputs)
        ['images', 'labels', 'batch', 'lr', 'w1', 'b1', 'w2', 'b2']
        >>> list(program.outputs)
        ['loss', 'w1', 'b1', 'w2', 'b2']
    """
    parameters, states = recipe.parameters(), recipe.states()
    fresh = {w: recipe.optimizer.initial_state(p.value) for w, p in parameters.items()}
    data = {
        "images": recipe.images,
        "labels": recipe.labels,
        "batch": np.zeros(batch_size, np.int64),
        "step": np.int64(0),
        "lr": np.float64(recipe.optimizer.learning_rate(0)),
    }
    state = {name: fresh[w][kind] for name, (kind, w) in states.items()}
    if clash := sorted({*data, "loss"} & {*parameters, *state}):
        raise Untraceable(f"the parameter name {clash[0]!r} is one of the step's own")

    def step(images: Any, labels: Any, batch: Any, number: Any, lr: Any, *old: Any) -> Any:
        with context(seed=recipe.seed, step=number, training=True):
            loss = _loss(recipe, images[batch], labels[batch])
        slopes = grad(loss, list(parameters.values()))
        given = dict(zip(states, old, strict=True))
        new: dict[str, Tensor] = {}
        after: dict[str, Tensor] = {}
        with group("update", ""):
            count = number.astype(np.float64) + 1.0
            count.name = "count"
            for (w, p), g in zip(parameters.items(), slopes, strict=True):
                before = {kind: given[name] for name, (kind, of) in states.items() if of == w}
                new[w], moved = updated(recipe.optimizer, p, g, before, lr, count)
                after |= {f"{kind}_{w}": x for kind, x in moved.items()}
        return {"loss": loss, **new, **after}

    return _traced(recipe, step, data, state)


def scores_program(recipe: Recipe, rows: int) -> Program:
    """Trace the scores of some of the images, as `network.predict` gives them, and the best.

    Its inputs are the images, the indices of those that are asked for, and the parameters. Its
    outputs are `best`, the column of the highest score of each, and `scores`.

    Args:
        recipe: of the training step. The same program serves other images of the same shape.
        rows: how many are asked for at a time.

    Raises:
        Untraceable: as `step_program`.

    Example:
        >>> import tarograd as tg
        >>> net = tg.nn.TwoLayerNet(4, 3, 2)
        >>> recipe = Recipe(net, net.criterion, tg.optim.SGD(net.parameters()),
        ...                 np.zeros((5, 4), np.uint8), np.zeros(5, int))
        >>> program = scores_program(recipe, rows=3)
        >>> list(program.inputs)
        ['images', 'batch', 'w1', 'b1', 'w2', 'b2']
        >>> {name: v.shape for name, v in program.outputs.items()}
        {'best': (3,), 'scores': (3, 2)}
    """

    def best(images: Any, batch: Any, *_: Any) -> Any:
        with context(training=False):
            scores = recipe.network(_read(recipe, images[batch]))
            return {"best": scores.argmax(axis=1), "scores": scores}

    data = {"images": recipe.images, "batch": np.zeros(rows, np.int64)}
    return _traced(recipe, best, data, {})


def _traced(
    recipe: Recipe,
    function: Callable[..., Any],
    data: Mapping[str, Any],
    state: Mapping[str, Any],
) -> Program:
    """The function of the data, the parameters and the state; nothing beside them may change."""
    parameters = recipe.parameters()
    around = Surroundings(recipe.network, recipe.criterion, recipe.optimizer)

    def run() -> Recording:
        trace = Trace(parameters)
        return Recording(trace, *trace.run(function, {**data, **state}, function.__name__))

    program = record(around, run, "the network").program
    program = rewrite(program)
    used = {id(v) for v in program.order()}
    # A number that nothing uses, such as that of the step without Dropout, is no argument.
    kept = {k: v for k, v in program.inputs.items() if v.shape or id(v) in used}
    return replace(program, inputs={k: kept[k] for k in [*data, *parameters, *state] if k in kept})


def _loss(recipe: Recipe, x: Any, t: Any) -> Tensor:
    """The loss as `fit` computes it."""
    t.name = "t"
    loss: Tensor = recipe.criterion(recipe.network(_read(recipe, x)), t)
    return loss


def _read(recipe: Recipe, x: Any) -> Any:
    x = recipe.network.read(x)
    x.name = "x"
    return x
