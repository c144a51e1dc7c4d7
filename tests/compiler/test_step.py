from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tarograd as tg
from tarograd.compiler import Recipe, Untraceable, numpy_source, step_program
from tarograd.compiler.numpy_source import executable
from tarograd.data import Batches
from tarograd.graph import context
from tarograd.optim import OPTIMIZERS
from tarograd.tensor import constant

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (60, 4, 3), dtype=np.uint8)
LABELS = RNG.integers(0, 5, 60)
NETWORKS: dict[str, Callable[[], tg.nn.Network]] = {
    "two layers": lambda: tg.nn.TwoLayerNet(12, 7, 5),
    "deep": lambda: tg.nn.Sequential(
        tg.nn.Affine(12, 9), tg.nn.Sigmoid(), tg.nn.Dropout(0.3), tg.nn.Affine(9, 8),
        tg.nn.Tanh(), tg.nn.Affine(8, 5),
    ),
}  # fmt: skip


def eager_step(net: Any, optimizer: Any, batch: Any, step: int) -> float:
    with context(seed=7, step=step):
        x = IMAGES.reshape(60, 12)[batch]
        loss = net.criterion(net(constant(net.read(x))), LABELS[batch])
        net.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_twenty_steps_of_the_source_equal_eager_bit_for_bit(network: str, optimizer: str) -> None:
    net = NETWORKS[network]()
    eager = OPTIMIZERS[optimizer](net.parameters(), lr=tg.optim.cosine(0.1, 20), weight_decay=0.01)
    recipe = Recipe(net, net.criterion, eager, IMAGES.reshape(60, 12), LABELS, seed=7)
    program = step_program(recipe, 9)
    run = executable(program)
    state = {k: p.value for k, p in recipe.parameters().items()}
    state |= {k: np.zeros_like(state[w]) for k, (_, w) in recipe.states().items()}
    batches = Batches(60, 9, seed=7)
    for step in range(6):
        batch = batches.indices(step)
        given = {"images": IMAGES.reshape(60, 12), "labels": LABELS, "batch": batch, **state}
        given |= {"step": np.int64(step), "lr": np.float64(eager.learning_rate(step))}
        results = run(*(given[name] for name in program.inputs))
        state = dict(zip(state, results[1:], strict=True))
        assert results[0] == np.float32(eager_step(net, eager, batch, step))
        for name, p in recipe.parameters().items():
            np.testing.assert_array_equal(state[name], p.value)


def test_the_source_reads_like_the_textbook() -> None:
    net = tg.nn.TwoLayerNet(12, 7, 5)
    sgd = tg.optim.SGD(net.parameters())
    recipe = Recipe(net, net.criterion, sgd, IMAGES.reshape(60, 12), LABELS)
    lines = [line.strip() for line in numpy_source(step_program(recipe, 10))[0].splitlines()]
    for line in [
        "x = images[batch].astype(np.float32) / 255",
        "# affine1 (Affine)",
        "a1 = x @ w1 + b1",
        "z1 = np.maximum(a1, 0)",
        "dz1 = da2 @ w2.T",
        "da1 = np.where(a1 <= 0, 0, dz1)",
        "dw1 = x.T @ da1",
        "db1 = da1.sum(axis=0)",
    ]:
        assert lines.count(line) == 1
    assigned = [line.split(" = ")[0] for line in lines if " = " in line and "(x" not in line]
    body = "\n".join(lines)
    for name in assigned:
        assert body.count(name) >= 2, f"{name} is dead"


def test_a_network_that_reads_its_input_itself_is_refused() -> None:
    class Own(tg.nn.TwoLayerNet):
        def read(self, x: Any) -> Any:
            return np.asarray(x, np.float32) * 2

    net = Own(12, 7, 5)
    recipe = Recipe(net, net.criterion, tg.optim.SGD(net.parameters()), IMAGES, LABELS)
    with pytest.raises(Untraceable, match=r"np.asarray\(\)"):
        step_program(recipe, 10)
