"""Derivatives of derivatives of whole networks: Hessian-vector products."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from textbook import Array, numbers, one_hot, softmax

import tarograd as tg
from tarograd import nn

LABELS = np.array([0, 2, 1, 2, 0, 1])
X = numbers(6, 4)


def two_layer() -> nn.Network:
    net = nn.TwoLayerNet(4, 5, 3, 1.0).astype(np.float64)
    net.params["b1"] = numbers(5, seed=8)
    # The measurement moves the parameters by 0.01 at most, so no neuron crosses its kink.
    assert np.min(np.abs(X @ net.w1.value + net.b1.value)) > 0.02
    return net


def smooth(activation: type[nn.Layer]) -> Callable[[], nn.Network]:
    def build() -> nn.Network:
        return nn.Sequential(nn.Affine(4, 5), activation(), nn.Affine(5, 3)).astype(np.float64)

    return build


def dropped() -> nn.Network:
    layers = nn.Affine(4, 5), nn.Tanh(), nn.Dropout(0.4), nn.Affine(5, 3)
    return nn.Sequential(*layers).astype(np.float64)


def regression() -> nn.Network:
    layers = nn.Affine(4, 3), nn.Sigmoid(), nn.Affine(3, 1)
    return nn.Sequential(*layers, criterion=nn.SquaredError()).astype(np.float64)


NETWORKS = {
    "two-layer network": two_layer,
    "sigmoid": smooth(nn.Sigmoid),
    "tanh": smooth(nn.Tanh),
    "dropout": dropped,
    "squared error": regression,
}


def hessian_times(net: nn.Network, t: Array, vectors: list[Array]) -> list[Array]:
    """The derivative of the gradient along the vectors, by differentiating the graph twice."""
    slopes = tg.grad(net.objective(X, t), net.parameters())
    along = sum((g * v).sum() for g, v in zip(slopes, vectors, strict=True))
    return [product.value for product in tg.grad(along, net.parameters())]


def measured(net: nn.Network, t: Array, vectors: list[Array]) -> list[Array]:
    """The same, from the first derivative at four neighbors along the vectors."""
    start = [p.value for p in net.parameters()]

    def gradient(shift: float) -> list[Array]:
        for parameter, value, v in zip(net.parameters(), start, vectors, strict=True):
            parameter.value = value + shift * v
        return list(net.gradient(X, t).values())

    h = 1e-3
    points = [gradient(shift) for shift in (-2 * h, -h, h, 2 * h)]
    for parameter, value in zip(net.parameters(), start, strict=True):
        parameter.value = value
    return [(a - 8 * b + 8 * c - d) / (12 * h) for a, b, c, d in zip(*points, strict=True)]


@pytest.mark.parametrize("name", NETWORKS)
def test_hessian_vector_products(name: str) -> None:
    net = NETWORKS[name]()
    t = numbers(6, 1, seed=4) if name == "squared error" else LABELS
    vectors = [numbers(*p.shape, seed=i) for i, p in enumerate(net.parameters(), 20)]
    with tg.context(seed=1, step=2):
        products, expected = hessian_times(net, t, vectors), measured(net, t, vectors)
    error = np.concatenate([(p - e).ravel() for p, e in zip(products, expected, strict=True)])
    size = np.concatenate([e.ravel() for e in expected])
    assert np.linalg.norm(size) > 0.01
    assert np.linalg.norm(error) <= 1e-9 * np.linalg.norm(size)


def test_the_hessian_of_softmax_regression_in_closed_form() -> None:
    affine = nn.Affine(numbers(4, 3), numbers(3))
    net = nn.Sequential(affine)
    vw, vb = numbers(4, 3, seed=5), numbers(3, seed=6)
    # Each row of scores has the Hessian diag(y) - y yᵀ; the scores move by x vw + vb.
    y = softmax(X @ affine.w.value + affine.b.value)
    moved = X @ vw + vb
    dscores = y * (moved - np.sum(y * moved, axis=1, keepdims=True)) / len(X)
    products = hessian_times(net, one_hot(LABELS, 3), [vw, vb])
    np.testing.assert_allclose(products[0], X.T @ dscores, rtol=0, atol=1e-14)
    np.testing.assert_allclose(products[1], dscores.sum(axis=0), rtol=0, atol=1e-14)


def test_the_hessian_is_symmetric() -> None:
    net = smooth(nn.Tanh)()
    a, b = ([numbers(*p.shape, seed=s) for p in net.parameters()] for s in (1, 2))
    left = sum(np.sum(x * hx) for x, hx in zip(a, hessian_times(net, LABELS, b), strict=True))
    right = sum(np.sum(x * hx) for x, hx in zip(b, hessian_times(net, LABELS, a), strict=True))
    assert left == pytest.approx(right, rel=1e-12)
