"""The update rules: held against PyTorch's figures, closed forms and the textbook's own loops."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from numeric import assert_gradient, numeric_gradient
from tarograd import Tensor, grad, graph
from tarograd.optim import (
    OPTIMIZERS,
    SGD,
    AdaGrad,
    Adam,
    AdamW,
    Momentum,
    Nesterov,
    Optimizer,
    RMSProp,
    cosine,
    step_decay,
    warm_up,
)

Array = NDArray[Any]

HERE = Path(__file__).parent
FIGURES = json.loads((HERE / "data_optim_torch.json").read_text(encoding="utf-8"))
GENERATOR = HERE / "oracles" / "optim_torch.py"

# The same settings as in the generator, in our words.
OURS: dict[str, Optimizer] = {
    "SGD": SGD(lr=0.05),
    "SGD, decay": SGD(lr=0.05, weight_decay=0.3),
    "Momentum": Momentum(lr=0.02),
    "Momentum, decay": Momentum(lr=0.02, momentum=0.7, weight_decay=0.3),
    "Nesterov": Nesterov(lr=0.02),
    "Nesterov, decay": Nesterov(lr=0.02, momentum=0.7, weight_decay=0.3),
    "AdaGrad": AdaGrad(lr=0.1),
    "AdaGrad, decay": AdaGrad(lr=0.1, eps=0.5, weight_decay=0.3),
    "RMSProp": RMSProp(lr=0.01),
    "RMSProp, decay": RMSProp(lr=0.01, decay=0.8, eps=0.5, weight_decay=0.3),
    "Adam": Adam(lr=0.05),
    "Adam, decay": Adam(lr=0.05, beta1=0.8, beta2=0.95, eps=0.5, weight_decay=0.3),
    "AdamW": AdamW(lr=0.05),
    "AdamW, no decay": AdamW(lr=0.05, weight_decay=0),
    "AdamW, decay": AdamW(lr=0.05, beta1=0.8, beta2=0.95, eps=0.5, weight_decay=0.3),
    "Momentum, cosine": Momentum(lr=cosine(0.05, steps=100, final=0.001)),
    "Adam, warm-up and steps": Adam(lr=warm_up(step_decay(0.1, every=20, factor=0.5), steps=5)),
}

# Every rule, each with settings that leave no term of it out.
RULES = [
    SGD(weight_decay=0.3),
    Momentum(weight_decay=0.3),
    Nesterov(weight_decay=0.3),
    AdaGrad(weight_decay=0.3, eps=0.1),
    RMSProp(weight_decay=0.3, decay=0.8, eps=0.1),
    Adam(weight_decay=0.3, beta1=0.8, beta2=0.95, eps=0.1),
    AdamW(weight_decay=0.3, beta1=0.8, beta2=0.95, eps=0.1),
]
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)


def a_step(rule: Optimizer, dtype: str = "float64") -> tuple[Array, Array, dict[str, Array]]:
    """A parameter, a gradient and the state of a run that is under way, all away from 0."""
    w, g = (np.array(x, dtype) for x in ([[0.5, -2.0], [3.0, 0.25]], [[-1.5, 0.75], [0.5, 2.0]]))
    state = {name: (k + 2) * g * g for k, name in enumerate(rule.state_names)}
    return w, g, state


def run(rule: Optimizer, w: Array, gradient: Any, steps: int) -> Array:
    """The parameter after some steps from a fresh state."""
    state = rule.initial_state(w)
    for step in range(steps):
        w, state = rule.update(w, gradient(w), state, rule.learning_rate(step), step + 1)
    return w


# --- the same as PyTorch --------------------------------------------------------------------


@pytest.mark.parametrize("name", OURS)
def test_the_weights_are_those_of_pytorch(name: str) -> None:
    a, b, start = (np.array(FIGURES[key]) for key in ("A", "b", "start"))
    for steps, expected in FIGURES[f"weights: {name}"].items():
        w = run(OURS[name], start, lambda w: a @ w - b + np.sin(3 * w), int(steps))
        np.testing.assert_allclose(w, expected, rtol=0, atol=1e-12)


def test_every_optimizer_is_held_against_pytorch_with_and_without_weight_decay() -> None:
    assert {f"weights: {name}" for name in OURS} == {n for n in FIGURES if n.startswith("weights")}
    assert all(list(FIGURES[f"weights: {name}"]) == ["1", "2", "10", "100"] for name in OURS)
    for kind in OPTIMIZERS.values():
        ours = [rule for rule in OURS.values() if type(rule) is kind]
        assert {rule.weight_decay > 0 for rule in ours} == {False, True}


def test_the_stored_figures_are_what_pytorch_gives_today() -> None:
    if importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed; its stored figures were used")
    command = [sys.executable, "-W", "error", str(GENERATOR)]
    fresh = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert list(fresh) == list(FIGURES)
    for name, stored in FIGURES.items():
        pairs = [(fresh[name], stored)]
        if isinstance(stored, dict):
            assert list(fresh[name]) == list(stored)
            pairs = [(fresh[name][steps], stored[steps]) for steps in stored]
        for here, there in pairs:
            np.testing.assert_allclose(here, there, rtol=0, atol=1e-12)


# --- closed forms ---------------------------------------------------------------------------


@given(
    curvature=st.floats(-2, 2), lr=st.floats(0, 1), start=st.floats(1, 9), steps=st.integers(0, 20)
)
def test_sgd_on_a_parabola_is_a_geometric_series(
    curvature: float, lr: float, start: float, steps: int
) -> None:
    w = run(SGD(lr=lr), np.array([start]), lambda w: curvature * w, steps)
    ratio = 1 - lr * curvature
    rounding = 1e-13 * start * max(1, abs(ratio)) ** steps
    np.testing.assert_allclose(w, [ratio**steps * start], rtol=0, atol=rounding)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_under_a_constant_gradient_momentum_adds_up_a_geometric_series(steps: int) -> None:
    g, mu, lr = np.array([2.0, -0.5]), 0.75, 0.1
    velocities = [g * (1 - mu**k) / (1 - mu) for k in range(1, steps + 1)]
    w = run(Momentum(lr=lr, momentum=mu), np.zeros(2), lambda w: g, steps)
    np.testing.assert_allclose(w, -lr * np.sum(velocities, axis=0), rtol=1e-13)
    ahead = np.sum([g + mu * v for v in velocities], axis=0)
    w = run(Nesterov(lr=lr, momentum=mu), np.zeros(2), lambda w: g, steps)
    np.testing.assert_allclose(w, -lr * ahead, rtol=1e-13)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_under_a_constant_gradient_the_scaled_steps_forget_its_size(steps: int) -> None:
    g, start = np.array([1e-6, -3.0, 1e6]), np.zeros(3)
    k = np.arange(1, steps + 1)
    lengths = {
        AdaGrad(lr=0.1, eps=0): np.sum(0.1 / np.sqrt(k)),
        RMSProp(lr=0.1, decay=0.9, eps=0): np.sum(0.1 / np.sqrt(1 - 0.9**k)),
        Adam(lr=0.1, eps=0): 0.1 * steps,
        AdamW(lr=0.1, eps=0, weight_decay=0): 0.1 * steps,
    }
    for rule, length in lengths.items():
        w = run(rule, start, lambda w: g, steps)
        np.testing.assert_allclose(w, -np.sign(g) * length, rtol=1e-12)


@given(
    g=hnp.arrays(float, 5, elements=st.floats(1e-100, 1e100) | st.floats(-1e100, -1e-100)),
    lr=st.floats(1e-6, 10),
)
def test_the_first_step_of_adam_is_lr_against_the_sign(g: Array, lr: float) -> None:
    np.testing.assert_allclose(
        run(Adam(lr=lr, eps=0), np.zeros(5), lambda w: g, 1), -lr * np.sign(g), rtol=1e-12
    )


def test_without_a_gradient_adamw_decays_alone_and_adam_takes_the_decay_for_a_gradient() -> None:
    start = np.array([4.0, -0.01])
    w = run(AdamW(lr=0.1, weight_decay=0.5), start, np.zeros_like, 10)
    np.testing.assert_allclose(w, start * (1 - 0.1 * 0.5) ** 10, rtol=1e-13)
    w = run(Adam(lr=0.1, weight_decay=0.5, eps=0), start, np.zeros_like, 1)
    np.testing.assert_allclose(w, start - 0.1 * np.sign(start), rtol=1e-13)


@pytest.mark.parametrize(
    "rule", [r for r in RULES if not isinstance(r, AdamW)], ids=lambda rule: type(rule).__name__
)
def test_weight_decay_is_the_gradient_of_half_the_squares(rule: Optimizer) -> None:
    w, g, state = a_step(rule)
    plain = dataclasses.replace(rule, weight_decay=0)
    decayed = rule.update(w, g, state, 0.1, 3)
    penalty = numeric_gradient(lambda w: 0.3 / 2 * np.sum(w * w), w)
    expected = plain.update(w, g + penalty, state, 0.1, 3)
    np.testing.assert_allclose(decayed[0], expected[0], rtol=0, atol=1e-10)
    for name in rule.state_names:
        np.testing.assert_allclose(decayed[1][name], expected[1][name], rtol=0, atol=1e-9)


def test_momentum_nesterov_and_adagrad_walk_as_the_textbook_writes_them() -> None:
    def gradient(w: Array) -> Any:  # of the textbook's f(x, y) = x²/20 + y²
        return w * np.array([0.1, 2.0])

    start, lr, mu = np.array([-7.0, 2.0]), 0.1, 0.9
    w, ahead, shrinking = start.copy(), start.copy(), start.copy()
    v, u, h = np.zeros((3, 2))
    for _ in range(30):
        v = mu * v - lr * gradient(w)
        w += v
        g = gradient(ahead)
        ahead += mu * mu * u - (1 + mu) * lr * g
        u = mu * u - lr * g
        g = gradient(shrinking)
        h += g * g
        shrinking -= 1.5 * g / (np.sqrt(h) + 1e-7)
    walks = {Momentum(lr=lr): w, Nesterov(lr=lr): ahead, AdaGrad(lr=1.5, eps=1e-7): shrinking}
    for rule, end in walks.items():
        np.testing.assert_allclose(run(rule, start, gradient, 30), end, rtol=1e-12)


# --- on arrays and on Tensors ---------------------------------------------------------------


@each_rule
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_on_tensors_a_rule_is_recorded_and_gives_the_same_bits(rule: Optimizer, dtype: str) -> None:
    w, g, state = a_step(rule, dtype)
    expected_w, expected_state = rule.update(w, g, state, 0.1, 3)
    tensors = {name: Tensor(state[name]) for name in state}
    step = np.array(3.0)
    new_w, new_state = rule.update(Tensor(w), Tensor(g), tensors, Tensor(0.1), Tensor(step))
    for recorded, expected in [
        (new_w, expected_w),
        *((new_state[name], expected_state[name]) for name in rule.state_names),
    ]:
        assert isinstance(recorded, Tensor)
        assert recorded.dtype == dtype
        np.testing.assert_array_equal(recorded.value, expected, strict=True)
        graph.verify(recorded)
    assert list(new_state) == list(rule.state_names)


@each_rule
def test_an_update_is_differentiable_by_everything_that_goes_into_it(rule: Optimizer) -> None:
    w, g, state = a_step(rule)
    lr, step, upstream = np.array(0.1), np.array(3.0), np.array([[1.0, -2.0], [0.5, 3.0]])
    arrays = {"w": w, "g": g, "lr": lr, "step": step, **state}

    def update(given: dict[str, Any]) -> Any:
        kept = {name: given[name] for name in rule.state_names}
        return rule.update(given["w"], given["g"], kept, given["lr"], given["step"])[0]

    leaves = {name: Tensor(array) for name, array in arrays.items()}
    slopes = grad(update(leaves), list(leaves.values()), upstream)
    for name, slope in zip(arrays, slopes, strict=True):

        def moved(x: Array, name: str = name) -> Any:
            return update({**arrays, name: x})

        assert_gradient(slope.value, numeric_gradient(moved, arrays[name], upstream))
        matters = name != "step" or isinstance(rule, Adam)
        assert bool(np.any(slope.value)) == matters


@each_rule
def test_float32_stays_float32_whatever_the_numbers_beside_it(rule: Optimizer) -> None:
    w, g, state = a_step(rule, "float32")
    exact_w, _ = rule.update(*a_step(rule), 0.1, 3)
    for lr in (0.1, np.float64(0.1), np.float32(0.1), np.array(0.1)):
        for step in (3, np.int64(3), np.array(3), np.array(3.0)):
            new_w, new_state = rule.update(w, g, state, lr, step)
            assert {new_w.dtype, *(s.dtype for s in new_state.values())} == {np.dtype("float32")}
            np.testing.assert_allclose(new_w, exact_w, rtol=3e-7)


@each_rule
@given(shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3), data=st.data())
def test_nothing_is_written_into_the_inputs_nor_shared_with_them(
    rule: Optimizer, shape: tuple[int, ...], data: st.DataObject
) -> None:
    numbers = hnp.arrays("float32", shape, elements=st.floats(0.125, 8, width=32))
    w, g = data.draw(numbers), data.draw(numbers)
    state = {name: data.draw(numbers) for name in rule.state_names}
    before = [x.copy() for x in (w, g, *state.values())]
    for x in (w, g, *state.values()):
        x.flags.writeable = False
    new_w, new_state = rule.update(w, g, state, 0.1, 1)
    for old, now in zip(before, (w, g, *state.values()), strict=True):
        np.testing.assert_array_equal(old, now, strict=True)
    for result in (new_w, *new_state.values()):
        assert (result.shape, result.dtype) == (shape, np.dtype("float32"))
        assert not any(np.shares_memory(result, x) for x in (w, g, *state.values()))
