"""The plan: what is kept in memory, and when a weight gets its new value."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest

import tarograd as tg
from tarograd.compiler import Recipe, plan, step_program
from tarograd.compiler.llvm.alike import described
from tarograd.compiler.llvm.native import Native
from tarograd.compiler.lower import lower
from tarograd.compiler.plan import Plan
from tarograd.compiler.rewrite import rewrite
from tarograd.compiler.trace import trace
from tarograd.optim import OPTIMIZERS


def deep(layers: int, size: int, optimizer: str, n: int = 40) -> tuple[Recipe, Any]:
    """A network of tanh layers, and the program of a step on all of its images."""
    rng = np.random.default_rng(0)
    parts: list[tg.nn.Layer] = []
    for _ in range(layers):
        parts += [tg.nn.Affine(size, size), tg.nn.Tanh()]
    net = tg.nn.Sequential(*parts, tg.nn.Affine(size, 3))
    images, labels = rng.random((n, size), np.float32), rng.integers(0, 3, n)
    bound = OPTIMIZERS[optimizer](net.parameters(), lr=0.01)
    recipe = Recipe(net, net.criterion, bound, images, labels)
    return recipe, lower(step_program(recipe, n))


def test_a_deep_network_keeps_one_array_of_each_layer() -> None:
    layers, size, n = 12, 256, 128
    _, program = deep(layers, size, "adam", n)
    step = Plan(program, widest=16, external=("images", "labels"))
    large = [v for v in step.stored.values() if prod(v.shape) == n * size]
    tanhs = [v for v in large if v.primitive is not None and v.primitive.name == "tanh"]
    assert len(tanhs) == layers
    # Beside them the images, two gradients and a turned matrix; rows are padded by a vector.
    held = (layers + 3) * n * (size + 16) + size * (size + 16)
    assert step.sizes["scratch"] <= 4 * held + 2**16


def test_a_weight_is_updated_before_the_layers_in_front_of_it_are_differentiated() -> None:
    _, program = deep(6, 256, "sgd", 128)
    step = Plan(program, widest=16, external=("images", "labels"))
    time = {id(v): i for i, kernel in enumerate(step.kernels) for v in kernel.values}
    times = [time[id(program.outputs[f"affine{i}_w"])] for i in range(1, 8)]
    assert all(late > early for late, early in zip(times, times[2:], strict=False))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_steps_are_the_same_whichever_array_counts_as_large(
    optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for large in (1, 2**40):
        monkeypatch.setattr(plan, "LARGE", large)
        recipe, program = deep(3, 20, optimizer)
        native = Native(program, {"images": recipe.images, "labels": recipe.labels})
        native.scratch[:] = 0xFF
        for name, p in recipe.parameters().items():
            native.view(program.inputs[name])[...] = p.value
        fed = {
            "batch": np.tile(np.arange(40), (5, 1)),
            "step": np.arange(5),
            "lr": np.full(5, 0.01),
        }
        losses = native.run(fed, 5)
        found.append([losses, *(native.result(name) for name in program.outputs)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    eager = []
    for _ in range(5):
        loss = recipe.criterion(recipe.network(recipe.images), recipe.labels)
        loss.backward()
        recipe.optimizer.step()
        recipe.network.zero_grad()
        eager.append(float(loss))
    np.testing.assert_allclose(found[0][0], eager, rtol=1e-5)


def unrolled(steps: int) -> tuple[Any, dict[str, Any]]:
    """A recurrent network and its gradients, one step after the other."""
    rng = np.random.default_rng(0)
    shapes = {"x": (4, steps, 3), "u": (3, 8), "w": (8, 8), "h": (4, 8)}
    given = {name: rng.normal(size=shape) for name, shape in shapes.items()}

    def network(x: Any, u: Any, w: Any, h: Any) -> Any:
        for i in range(steps):
            h = np.tanh(x[:, i] @ u + h @ w)
        return [h, *tg.grad(h.sum(), [x, u, w])]

    return network, given


def test_the_steps_of_a_recurrent_network_are_the_same_machine_code() -> None:
    counts = []
    for steps in (6, 12):
        network, given = unrolled(steps)
        program = lower(rewrite(trace(network, given)))
        native = Native(program)
        counts.append(len({repr(described(native.plan, k)[0]) for k in native.plan.kernels}))
        expected = network(*map(tg.Tensor, given.values()))
        for found, y in zip(native(*given.values()), expected, strict=True):
            np.testing.assert_allclose(found, y.value, rtol=1e-12, atol=1e-12)
    assert counts[0] == counts[1]
