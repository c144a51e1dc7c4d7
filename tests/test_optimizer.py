"""An optimizer as users hold it: recipe, bound to parameters, stepping, saved and resumed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from tarograd import Parameter, Tensor, checkpoint, grad
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
)

Array = NDArray[Any]

each_kind = pytest.mark.parametrize("kind", OPTIMIZERS.values(), ids=OPTIMIZERS)


def parameters(dtype: str = "float64") -> list[Parameter]:
    """A small layer's; each call gives the same values."""
    w = np.random.default_rng(0).normal(size=(3, 2)).astype(dtype)
    return [Parameter(w, "affine1.w"), Parameter(np.zeros(2, dtype), "affine1.b")]


def loss(w: Tensor, b: Tensor) -> Tensor:
    """Neither quadratic nor zero anywhere near the start."""
    x = np.arange(12.0).reshape(4, 3) / 6
    distance = np.tanh(x @ w + b) - 0.5
    squares: Any = distance * distance
    return cast(Tensor, squares.sum())


def gradients(w: Tensor, b: Tensor) -> list[Tensor]:
    found: list[Tensor] = grad(loss(w, b), [w, b])
    return found


# --- recipes --------------------------------------------------------------------------------


def test_the_text_of_an_optimizer_is_the_call_that_makes_it() -> None:
    assert repr(SGD(lr=0.1)) == "SGD(lr=0.1)"
    assert repr(Adam()) == "Adam(lr=0.001)"
    assert repr(AdamW(weight_decay=0)) == "AdamW(lr=0.001, weight_decay=0.0)"
    assert repr(Momentum(momentum=0.5, lr=1, weight_decay=1e-4)) == (
        "Momentum(lr=1.0, weight_decay=0.0001, momentum=0.5)"
    )
    assert repr(SGD(parameters(), lr=cosine(0.1, 5))) == (
        "SGD(lr=cosine(lr=0.1, steps=5, final=0.0))"
    )


def test_the_command_line_knows_every_optimizer_by_its_name_in_small_letters() -> None:
    names = {"sgd": SGD, "momentum": Momentum, "nesterov": Nesterov, "adagrad": AdaGrad}
    assert names | {"rmsprop": RMSProp, "adam": Adam, "adamw": AdamW} == OPTIMIZERS


@each_kind
def test_a_recipe_is_bound_as_often_as_one_likes_each_time_afresh(kind: type[Optimizer]) -> None:
    recipe = kind(lr=0.25, weight_decay=0.5)
    runs = []
    for _ in range(2):
        w, b = parameters()
        bound = recipe.bind([w, b])
        for _ in range(3):
            bound.step(gradients(w, b))
        assert (repr(bound), bound.step_count, type(bound)) == (repr(recipe), 3, kind)
        runs.append([w.value, b.value, *bound.state_arrays().values()])
    assert recipe.step_count == 0
    for first, second in zip(*runs, strict=True):
        np.testing.assert_array_equal(first, second, strict=True)


def test_float64_in_settings_and_gradients_leaves_float32_parameters_and_state_alone() -> None:
    half: Any = np.float64(0.5)
    [w, b] = parameters("float32")
    optimizer = Momentum([w, b], lr=half, weight_decay=half)
    assert type(optimizer.lr) is type(optimizer.weight_decay) is float
    optimizer.step([np.ones((3, 2)), np.ones(2)])
    state = optimizer.state_arrays()
    dtypes = {w.dtype, b.dtype, state["v/affine1.w"].dtype, state["v/affine1.b"].dtype}
    assert dtypes == {np.dtype("float32")}


def test_a_new_optimizer_is_a_rule_and_the_names_of_its_state() -> None:
    @dataclass(kw_only=True, eq=False, repr=False)
    class SignMomentum(Optimizer):
        state_names = ("m",)
        share: float = 0.5

        def rule(
            self, w: Any, g: Any, state: Mapping[str, Any], lr: Any, step: Any
        ) -> tuple[Any, dict[str, Any]]:
            m = self.share * state["m"] + (1 - self.share) * g
            return w - lr * np.sign(m), {"m": m}

    w = Tensor([1.0, 2.0])
    optimizer = SignMomentum([w], lr=0.25, share=0.75)
    optimizer.step([np.array([4.0, -4.0])])
    np.testing.assert_array_equal(w.value, [0.75, 2.25])
    np.testing.assert_array_equal(optimizer.state_arrays()["m/0"], [1.0, -1.0])
    assert repr(optimizer) == "SignMomentum(lr=0.25, share=0.75)"


# --- steps ----------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("way", ["arrays", "tensors", "grad"])
def test_a_step_is_the_pure_update_of_each_parameter(kind: type[Optimizer], way: str) -> None:
    pair = parameters()
    optimizer = kind(pair, lr=cosine(0.1, steps=4), weight_decay=0.1)
    expected = [p.value for p in pair]
    states = [optimizer.initial_state(w) for w in expected]
    for count in range(4):
        slopes = gradients(*pair)
        if way == "grad":
            for p in pair:
                p.zero_grad()
            loss(*pair).backward()
            optimizer.step()
        else:
            optimizer.step(slopes if way == "tensors" else [g.value for g in slopes])
        lr = cosine(0.1, steps=4)(count)
        for i, g in enumerate(slopes):
            expected[i], states[i] = optimizer.update(
                expected[i], g.value, states[i], lr, count + 1
            )
            np.testing.assert_array_equal(pair[i].value, expected[i], strict=True)
    assert optimizer.step_count == 4
    assert [optimizer.learning_rate(i) for i in (0, 4)] == [0.1, 0.0]


@each_kind
def test_every_optimizer_goes_down(kind: type[Optimizer]) -> None:
    pair = parameters("float32")
    optimizer = kind(pair, lr=0.05)
    start = float(loss(*pair).value)
    for _ in range(30):
        optimizer.step(gradients(*pair))
    assert float(loss(*pair).value) < start / 2
    assert {p.dtype for p in pair} == {np.dtype("float32")}


def test_a_parameter_without_axes_and_one_without_elements_are_updated_too() -> None:
    scalar, empty = Parameter(2.0, "scalar"), Parameter(np.zeros((0, 3)), "empty")
    optimizer = Adam([scalar, empty], lr=0.5, eps=0)
    optimizer.step([np.array(4.0), np.zeros((0, 3))])
    assert (scalar.value.item(), scalar.shape, empty.shape) == (1.5, (), (0, 3))
    assert {a.shape for a in optimizer.state_arrays().values()} == {(), (0, 3)}


def test_the_gradients_given_and_the_values_before_stay_as_they_are() -> None:
    [w, b] = parameters()
    before, given = w.value, [np.ones((3, 2)), np.ones(2)]
    Momentum([w, b], lr=0.5).step(given)
    assert w.value is not before
    np.testing.assert_array_equal(w.value, before - 0.5)
    assert all(np.all(g == 1) and g.flags.writeable for g in given)
    given[0][:] = 7  # nor can they be reached through the parameter
    np.testing.assert_array_equal(w.value, before - 0.5)


# --- state ----------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_run_that_is_saved_and_resumed_gives_the_same_bits(
    kind: type[Optimizer], dtype: str, tmp_path: Path
) -> None:
    def train(pair: list[Parameter], optimizer: Optimizer, steps: int) -> None:
        for _ in range(steps):
            optimizer.step(gradients(*pair))

    recipe = kind(lr=cosine(0.1, steps=12), weight_decay=0.01)
    whole = parameters(dtype)
    straight = recipe.bind(whole)
    train(whole, straight, 10)

    first = parameters(dtype)
    stopped = recipe.bind(first)
    train(first, stopped, 7)
    weights = {str(p.name): p.value for p in first}
    checkpoint.save(tmp_path / "a", {**weights, **stopped.state_arrays()}, {})

    arrays, _ = checkpoint.load(tmp_path / "a")
    second = [Parameter(arrays.pop(str(p.name)), p.name) for p in first]
    resumed = recipe.bind(second)
    resumed.load_state_arrays(arrays)
    assert resumed.step_count == 7
    train(second, resumed, 3)
    for p, q in zip(whole, second, strict=True):
        np.testing.assert_array_equal(p.value, q.value, strict=True)
    expected, found = straight.state_arrays(), resumed.state_arrays()
    assert list(expected) == list(found)
    for name, array in expected.items():
        np.testing.assert_array_equal(array, found[name], strict=True)


def test_state_arrays_carry_the_names_of_the_parameters_or_their_places() -> None:
    assert list(Adam(parameters()).state_arrays()) == [
        "step_count", "m/affine1.w", "v/affine1.w", "m/affine1.b", "v/affine1.b",
    ]  # fmt: skip
    twins = [Parameter(1.0, "w"), Parameter(2.0, "w")]
    assert list(Momentum(twins).state_arrays()) == ["step_count", "v/0", "v/1"]
    half = [Parameter(1.0, "1"), Parameter(2.0)]
    assert list(Momentum(half).state_arrays()) == ["step_count", "v/0", "v/1"]
    assert list(SGD(parameters()).state_arrays()) == ["step_count"]


def test_the_state_can_be_spoiled_neither_from_within_nor_from_without() -> None:
    optimizer = Momentum(parameters())
    with pytest.raises(ValueError, match="read-only"):
        optimizer.state_arrays()["v/affine1.w"][0, 0] = 1
    arrays = {name: array.copy() for name, array in optimizer.state_arrays().items()}
    optimizer.load_state_arrays(arrays)
    arrays["v/affine1.w"][:] = 1
    assert not np.any(optimizer.state_arrays()["v/affine1.w"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"v/affine1.w": np.zeros((3, 4))}, "v/affine1.w: given float64 (3, 4), but Momentum("),
        (
            {"v/affine1.w": np.zeros((3, 4))},
            "has float64 (3, 2) here: the state is that of another",
        ),
        ({"v/affine1.b": np.zeros(2, "f")}, "v/affine1.b: given float32 (2,), but Momentum("),
        ({"v/affine1.b": None}, "v/affine1.b: given none, but Momentum(lr=0.01) has float64 (2,)"),
        ({"step_count": None}, "step_count: given none, but Momentum(lr=0.01) has int64 ()"),
        ({"step_count": np.array(1.0)}, "step_count: given float64 (), but"),
        (
            {"m/affine1.b": np.zeros(2)},
            "m/affine1.b: given float64 (2,), but Momentum(lr=0.01) has",
        ),
    ],
)
def test_the_state_of_something_else_is_refused(change: dict[str, Any], message: str) -> None:
    pair = parameters()
    optimizer = Momentum(pair)
    optimizer.step(gradients(*pair))
    before = optimizer.state_arrays()
    spoiled = {name: array + 1 for name, array in before.items()} | change
    with pytest.raises(ValueError, match=re.escape(message)):
        optimizer.load_state_arrays({n: a for n, a in spoiled.items() if a is not None})
    for name, array in optimizer.state_arrays().items():
        np.testing.assert_array_equal(array, before[name], strict=True)


# --- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (SGD, 0.1, "SGD(0.1): the learning rate is given by name, SGD(lr=0.1); first come the"),
        (SGD, cosine(0.1, 5), "given by name, SGD(lr=cosine(lr=0.1, steps=5, final=0.0)); first"),
        (Adam, np.ones(3), "Adam: a ndarray where a list of parameters belongs: Adam(net."),
        (Adam, Tensor(1.0), "Adam: a Tensor where a list of parameters belongs: Adam(net."),
        (Adam, parameters, "Adam: a function where a list of parameters belongs: Adam(net"),
        (SGD, {"w": Tensor(1.0)}, "SGD: parameter 0 is a str: only a Parameter, or another"),
        (SGD, [Tensor(1.0) * 2], "SGD: parameter 0 is a computed Tensor: only a Parameter"),
        (SGD, parameters()[:1] * 2, "SGD: parameter 1, affine1.w of shape (3, 2), is given twice"),
        (SGD, [Tensor(1.0)] * 3, "SGD: parameter 1, without a name of shape (), is given twice"),
    ],
)
def test_what_is_no_list_of_parameters_is_refused(
    kind: type[Optimizer], given: Any, message: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        kind(given)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (SGD, {"lr": -0.1}, "SGD: lr=-0.1: lr is a finite number from 0 on; a step goes against"),
        (SGD, {"lr": "fast"}, "SGD: lr='fast': lr is a finite number from 0 on"),
        (SGD, {"lr": abs}, "lr is a finite number from 0 on; to make a function a schedule write"),
        (SGD, {"weight_decay": -1}, "SGD: weight_decay=-1: weight_decay is a finite number from"),
        (Momentum, {"momentum": 1}, "momentum=1: momentum is a finite number from 0 to below 1"),
        (Nesterov, {"momentum": -0.1}, "Nesterov: momentum=-0.1: momentum is a finite number"),
        (RMSProp, {"decay": 1.5}, "RMSProp: decay=1.5: decay is a finite number from 0 to below"),
        (Adam, {"beta1": 1.0}, "Adam: beta1=1.0: beta1 is a finite number from 0 to below 1"),
        (AdamW, {"beta2": 1e9}, "beta2=1000000000.0: beta2 is a finite number from 0 to below 1"),
        (
            AdamW,
            {"weight_decay": True},
            "AdamW: weight_decay=True: weight_decay is a finite number",
        ),
        (AdaGrad, {"eps": np.nan}, "AdaGrad: eps=nan: eps is a finite number from 0 on"),
    ],
)
def test_settings_out_of_their_range_are_refused(
    kind: type[Optimizer], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        kind(**settings)


def test_a_recipe_cannot_step() -> None:
    for recipe in (SGD(lr=0.1), SGD([], lr=0.1)):
        with pytest.raises(ValueError, match=r"SGD\(lr=0.1\) has no parameters .* call .bind\("):
            recipe.step([])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "parameter affine1.b has no gradient: call backward() on a loss that depends on it"),
        ([np.ones((3, 2)), None], "parameter affine1.b has no gradient"),
        ([np.ones((3, 2))], "1 gradients for 2 parameters: step takes one for each, in the order"),
        ([np.ones(2)] * 3, "3 gradients for 2 parameters: step takes one for each, in the order"),
        ([np.ones((3, 2)), np.ones((2, 1))], "affine1.b has the shape (2,), its gradient (2, 1):"),
        ([np.ones((3, 2)), 1.0], "parameter affine1.b has the shape (2,), its gradient ():"),
        ([np.ones(2), np.ones((3, 2))], "affine1.w has the shape (3, 2), its gradient (2,): the"),
        (np.ones((2, 3)), "step was given one ndarray: it takes a list of gradients, one for each"),
        (Tensor([1.0, 2.0]), "step was given one Tensor: it takes a list of gradients"),
        ({"affine1.w": 1, "affine1.b": 2}, "step was given one dict: it takes a list of gradients"),
    ],
)
def test_wrong_gradients_are_refused_and_nothing_has_moved(given: Any, message: str) -> None:
    pair = parameters()
    before = [p.value for p in pair]
    pair[0].grad = np.ones((3, 2))
    optimizer = Momentum(pair, lr=0.1)
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        optimizer.step(given)
    assert all(p.value is value for p, value in zip(pair, before, strict=True))
    assert optimizer.step_count == 0
    assert not any(np.any(array) for array in optimizer.state_arrays().values())
