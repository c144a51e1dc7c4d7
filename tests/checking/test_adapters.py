"""Functions of other libraries, checked and named; each is skipped where its library is absent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tarograd.checking import check_gradients

X = np.random.default_rng(0).normal(size=(5, 4))


def torch_subjects() -> Any:
    torch = pytest.importorskip("torch")
    nn, f = torch.nn, torch.nn.functional
    return [
        torch.relu, torch.sigmoid, torch.tanh, torch.exp, f.softplus, nn.GELU(), nn.SiLU(),
        lambda x: torch.softmax(x, -1), lambda x: torch.logsumexp(x, 0), lambda x: x.sum(0),
        lambda x: x.max(1).values, lambda x: x @ x.T, lambda x: torch.cumsum(x, 1),
        lambda x: torch.sort(x, 1).values, lambda x: x.norm(dim=1), lambda x: x.var(1),
        nn.Linear(4, 3), nn.LayerNorm(4), nn.BatchNorm1d(4), nn.Dropout(0.5),
    ]  # fmt: skip


def test_twenty_operations_of_torch_are_right() -> None:
    torch = pytest.importorskip("torch")
    subjects = torch_subjects()
    assert len(subjects) == 20
    for subject in subjects:
        report = check_gradients(subject, torch.tensor(X))
        assert report.verdict == "right", str(report)


TORCH_WRONG = {
    "formula": lambda x, g: 3 * x * g,
    "sign": lambda x, g: -3 * x * x * g,
    "scale": lambda x, g: x * x * g,
    "upstream-ignored": lambda x, g: 3 * x * x,
    "zero": lambda x, g: 0 * g,
}


@pytest.mark.parametrize("name", TORCH_WRONG)
def test_a_wrong_autograd_function_is_named(name: str) -> None:
    torch = pytest.importorskip("torch")

    class Cube(torch.autograd.Function):  # type: ignore[misc, name-defined]  # torch is imported here
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return TORCH_WRONG[name](ctx.saved_tensors[0], g)

    report = check_gradients(Cube.apply, torch.tensor(X))
    assert report.verdict == "wrong"
    assert report.causes[0].name == name


@pytest.mark.parametrize("name", TORCH_WRONG)
def test_a_wrong_custom_vjp_is_named(name: str) -> None:
    jax = pytest.importorskip("jax")

    @jax.custom_vjp  # type: ignore[untyped-decorator]  # jax is not typed here
    def cube(x: Any) -> Any:
        return x**3

    cube.defvjp(lambda x: (x**3, x), lambda x, g: (TORCH_WRONG[name](x, g),))
    report = check_gradients(cube, X)
    assert report.verdict == "wrong"
    assert report.causes[0].name == name


def test_functions_of_jax_are_right() -> None:
    jax = pytest.importorskip("jax")
    for subject in (jax.numpy.sin, jax.nn.relu, jax.nn.softmax, lambda x: jax.numpy.max(x, 1)):
        report = check_gradients(subject, jax.numpy.asarray(X))
        assert report.verdict == "right", str(report)
