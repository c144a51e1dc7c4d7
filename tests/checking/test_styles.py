"""Backward passes as people write them: found, called and judged, each in its own style.

The layers are right by the textbooks' derivations; one factor in one gradient makes them wrong.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from tarograd.checking import check_gradients

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(5, 4))
OTHER = RANDOM.normal(size=(5, 4))
W, B, H = RANDOM.normal(size=(4, 3)), RANDOM.normal(size=3), RANDOM.normal(size=(5, 3))
T = np.array([0, 1, 2, 0, 1])
K = {"factor": 1.0}  # what the gradient of the last parameter, or of x, is multiplied by


def k() -> float:
    return K["factor"]


def softmax(x: Any) -> Any:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class Affine:
    def __init__(self, w: Any, b: Any) -> None:
        self.w, self.b = w, b

    def forward(self, x: Any) -> Any:
        self.original_x_shape = x.shape
        self.x = x.reshape(x.shape[0], -1)
        return np.dot(self.x, self.w) + self.b

    def backward(self, dout: Any) -> Any:
        self.dw = np.dot(self.x.T, dout)
        self.db = k() * np.sum(dout, axis=0)
        return np.dot(dout, self.w.T).reshape(*self.original_x_shape)


class Relu:
    def forward(self, x: Any) -> Any:
        self.mask = x <= 0
        return np.where(self.mask, 0, x)

    def backward(self, dout: Any) -> Any:
        return k() * np.where(self.mask, 0, dout)


class SoftmaxWithLoss:
    def forward(self, x: Any, t: Any) -> Any:
        self.y, self.t = softmax(x), t
        return -np.mean(np.log(self.y[np.arange(len(t)), t]))

    def backward(self, dout: Any = 1) -> Any:
        dx = self.y.copy()
        dx[np.arange(len(self.t)), self.t] -= 1
        return k() * dout * dx / len(self.t)


class TwoLayerNet:
    """The textbook's: a loss and a gradient, parameters that its layers share."""

    def __init__(self) -> None:
        self.params = {"w1": W.copy(), "b1": B.copy(), "w2": W[:3] + 1, "b2": B.copy()}
        self.layers: dict[str, Any] = {
            "affine1": Affine(self.params["w1"], self.params["b1"]),
            "relu1": Relu(),
            "affine2": Affine(self.params["w2"], self.params["b2"]),
        }
        self.last = SoftmaxWithLoss()

    def loss(self, x: Any, t: Any) -> Any:
        for layer in self.layers.values():
            x = layer.forward(x)
        return self.last.forward(x, t)

    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.last.backward()
        for name in reversed(self.layers):
            dout = self.layers[name].backward(dout)
        first, second = self.layers["affine1"], self.layers["affine2"]
        return {"w1": first.dw, "b1": first.db, "w2": second.dw, "b2": second.db}


class LossAndGrads:
    """A course's network: `loss` returns the loss and a dict of gradients."""

    def __init__(self) -> None:
        self.params = {"W1": W.copy(), "b1": B.copy()}

    def loss(self, x: Any, y: Any = None) -> Any:
        p = softmax(x @ self.params["W1"] + self.params["b1"])
        d = p.copy()
        d[np.arange(len(y)), y] -= 1
        d /= len(y)
        grads = {"W1": x.T @ d, "b1": k() * d.sum(axis=0)}
        return -np.mean(np.log(p[np.arange(len(y)), y])), grads


class Called:
    """No forward: the layer itself is called."""

    def __init__(self) -> None:
        self.W, self.grad_W = W.copy(), np.zeros_like(W)

    def __call__(self, x: Any) -> Any:
        self.x = x
        return x @ self.W

    def backward(self, grad: Any) -> Any:
        self.grad_W = k() * self.x.T @ grad
        return grad @ self.W.T


class Dropout:
    """Draws from NumPy's global generator, and has a flag."""

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        assert train_flg is True or train_flg is False
        self.mask = np.random.rand(*x.shape) > 0.4  # noqa: NPY002  # users' layers do
        return x * self.mask if train_flg else x * 0.6

    def backward(self, dout: Any) -> Any:
        return k() * dout * self.mask


class OwnGenerator:
    def __init__(self) -> None:
        self.rng = np.random.default_rng(3)

    def forward(self, x: Any) -> Any:
        self.m = (self.rng.random(x.shape) > 0.3) / 0.7
        return x * self.m

    def backward(self, g: Any) -> Any:
        return k() * g * self.m


class BatchNorm:
    def __init__(self) -> None:
        self.gamma, self.beta = RANDOM.normal(size=4), np.zeros(4)
        self.running_mean: Any = None

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        if self.running_mean is None:
            self.running_mean = np.zeros(x.shape[1])
        self.xc = x - x.mean(axis=0)
        self.std = np.sqrt(np.mean(self.xc**2, axis=0) + 1e-6)
        self.running_mean = 0.9 * self.running_mean + 0.1 * x.mean(axis=0)
        self.xn = self.xc / self.std
        return self.gamma * self.xn + self.beta

    def backward(self, dout: Any) -> Any:
        self.dgamma, self.dbeta = np.sum(self.xn * dout, axis=0), k() * dout.sum(axis=0)
        g = self.gamma * dout
        return (g - g.mean(axis=0) - self.xn * (g * self.xn).mean(axis=0)) / self.std


class MulLayer:
    def forward(self, x: Any, y: Any) -> Any:
        self.x, self.y = x, y
        return x * y

    def backward(self, dout: Any) -> Any:
        return dout * self.y, k() * dout * self.x


class RNN:
    """Lists of parameters and gradients, two inputs, a tuple as cache."""

    def __init__(self) -> None:
        self.params = [W.copy(), RANDOM.normal(size=(3, 3)), B.copy()]
        self.grads = [np.zeros_like(p) for p in self.params]

    def forward(self, x: Any, h_prev: Any) -> Any:
        wx, wh, b = self.params
        h = np.tanh(h_prev @ wh + x @ wx + b)
        self.cache = (x, h_prev, h)
        return h

    def backward(self, dh: Any) -> Any:
        x, h_prev, h = self.cache
        dt = dh * (1 - h**2)
        for grad, value in zip(self.grads, (x.T @ dt, h_prev.T @ dt, k() * dt.sum(0)), strict=True):
            grad[...] = value
        return dt @ self.params[0].T, dt @ self.params[1].T


class Embedding:
    def __init__(self) -> None:
        self.params, self.grads = [W.copy()], [np.zeros_like(W)]

    def forward(self, idx: Any) -> Any:
        self.idx = idx
        return self.params[0][idx]

    def backward(self, dout: Any) -> None:
        self.grads[0][...] = 0
        np.add.at(self.grads[0], self.idx, k() * dout)


class Returned:
    """What backward returns: the gradients in the order of the fields."""

    def __init__(self) -> None:
        self.W, self.b = W.copy(), B.copy()

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, d: Any) -> Any:
        return d @ self.W.T, self.x.T @ d, k() * d.sum(axis=0)


class ReturnedByName(Returned):
    def backward(self, d: Any) -> Any:
        return {"dx": d @ self.W.T, "dW": self.x.T @ d, "db": k() * d.sum(axis=0)}


class Cached:
    """forward returns what backward needs; the object holds nothing but its parameter."""

    def __init__(self) -> None:
        self.W = W.copy()

    def forward(self, x: Any) -> Any:
        return x @ self.W, (x,)

    def backward(self, d: Any, cache: Any) -> Any:
        self.dW = k() * cache[0].T @ d
        return d @ self.W.T


class SquaredError:
    """The loss keeps its difference; backward takes no upstream gradient."""

    def __call__(self, y: Any, t: Any) -> Any:
        self.diff = y - t
        return np.mean(self.diff**2)

    def backward(self) -> Any:
        return k() * 2 * self.diff / self.diff.size


class Network:
    """Layers in a list in an object."""

    def __init__(self) -> None:
        self.layers: Any = [Affine(W.copy(), B.copy()), Relu()]

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dout: Any) -> Any:
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout


class Guarded(Returned):
    """Holds a lock, which cannot be copied, beside parameters in a dict."""

    def __init__(self) -> None:
        self.lock, self.params = threading.Lock(), {"W": W.copy()}

    def forward(self, x: Any) -> Any:
        with self.lock:
            self.x = x
        return x @ self.params["W"]

    def backward(self, d: Any) -> Any:
        self.grads = {"W": k() * self.x.T @ d}
        return d @ self.params["W"].T


def affine_forward(x: Any, w: Any, b: Any) -> Any:
    return x.reshape(len(x), -1) @ w + b, (x, w, b)


def affine_backward(dout: Any, cache: Any) -> Any:
    x, w, _ = cache
    return (dout @ w.T).reshape(x.shape), x.reshape(len(x), -1).T @ dout, k() * dout.sum(axis=0)


def norm_forward(x: Any, gamma: Any, beta: Any, bn_param: Any) -> Any:
    std = np.sqrt(x.var(axis=0) + 1e-5)
    xn = (x - x.mean(axis=0)) / std
    bn_param["running_mean"] = 0.9 * bn_param.get("running_mean", 0) + 0.1 * x.mean(axis=0)
    return gamma * xn + beta, (xn, gamma, std)


def norm_backward(dout: Any, cache: Any) -> Any:
    xn, gamma, std = cache
    g = dout * gamma
    dx = (g - g.mean(axis=0) - xn * (g * xn).mean(axis=0)) / std
    return dx, (dout * xn).sum(axis=0), k() * dout.sum(axis=0)


def step_forward(x: Any, h: Any, w: Any) -> Any:
    """Two outputs, and a cache."""
    new = np.tanh(x @ w + h)
    return new, new.sum(axis=1), (x, w, new)


def step_backward(dnew: Any, dsum: Any, cache: Any) -> Any:
    x, w, new = cache
    dt = (dnew + dsum[:, None]) * (1 - new**2)
    return dt @ w.T, dt, k() * x.T @ dt


def softmax_loss(x: Any, y: Any) -> Any:
    p = softmax(x)
    loss = -np.mean(np.log(p[np.arange(len(y)), y]))
    p[np.arange(len(y)), y] -= 1
    return loss, k() * p / len(y)


def power(x: Any, n: int) -> Any:
    assert isinstance(n, int)
    return x**n


def book() -> Any:
    net = TwoLayerNet()
    return check_gradients(net.loss, X, T, grad=net.gradient)


STYLES: dict[str, tuple[Any, set[str]]] = {
    "book-affine": (lambda: check_gradients(Affine(W, B), X), {"x", "w", "b"}),
    "book-affine-of-images": (
        lambda: check_gradients(Affine(W, B), X.reshape(5, 1, 2, 2)),
        {"x", "w", "b"},
    ),
    "book-relu": (lambda: check_gradients(Relu(), X), {"x"}),
    "book-loss": (lambda: check_gradients(SoftmaxWithLoss(), X, T), {"x"}),
    "book-network": (lambda: check_gradients(TwoLayerNet(), X, T), {"w1", "b1", "w2", "b2"}),
    "book-network-methods": (book, {"w1", "b1", "w2", "b2"}),
    "book-multiply": (lambda: check_gradients(MulLayer(), 100.0, 2.0), {"x", "y"}),
    "loss-and-grads": (lambda: check_gradients(LossAndGrads(), X, T), {"W1", "b1"}),
    "called": (lambda: check_gradients(Called(), X), {"x", "W"}),
    "dropout-global": (lambda: check_gradients(Dropout(), X), {"x"}),
    "dropout-flag": (lambda: check_gradients(Dropout(), X, True), {"x"}),
    "dropout-generator": (lambda: check_gradients(OwnGenerator(), X), {"x"}),
    "batch-norm": (lambda: check_gradients(BatchNorm(), X), {"x", "gamma", "beta"}),
    "two-inputs": (lambda: check_gradients(MulLayer(), X, OTHER), {"x", "y"}),
    "rnn-cell": (
        lambda: check_gradients(RNN(), X, H),
        {"x", "h_prev", "params[0]", "params[1]", "params[2]"},
    ),
    "embedding": (lambda: check_gradients(Embedding(), np.array([1, 2, 2, 3])), {"params[0]"}),
    "returned": (lambda: check_gradients(Returned(), X), {"x", "W", "b"}),
    "returned-by-name": (lambda: check_gradients(ReturnedByName(), X), {"x", "W", "b"}),
    "cached": (lambda: check_gradients(Cached(), X), {"x", "W"}),
    "no-upstream": (lambda: check_gradients(SquaredError(), X, OTHER), {"y"}),
    "network": (
        lambda: check_gradients(Network(), X),
        {"x", "layers[0].w", "layers[0].b"},
    ),
    "list": (
        lambda: check_gradients([Affine(W, B), Relu(), SoftmaxWithLoss()], X, T),
        {"x", "layers[0].w", "layers[0].b"},
    ),
    "with-a-lock": (lambda: check_gradients(Guarded(), X), {"x", "W"}),
    "pair": (
        lambda: check_gradients((affine_forward, affine_backward), X, W, B),
        {"x", "w", "b"},
    ),
    "pair-with-a-dict": (
        lambda: check_gradients((norm_forward, norm_backward), X, B[[0, 1, 2, 0]], X[0], {}),
        {"x", "gamma", "beta"},
    ),
    "pair-with-two-outputs": (
        lambda: check_gradients((step_forward, step_backward), X, H, W),
        {"x", "h", "w"},
    ),
    "value-and-gradient": (lambda: check_gradients(softmax_loss, X, T, grad=True), {"x"}),
    "setting": (
        lambda: check_gradients(power, X, 3, grad=lambda x, n: k() * n * x ** (n - 1)),
        {"x"},
    ),
    "one-gradient-of-two": (
        lambda: check_gradients(
            *(lambda y, t: np.mean((y - t) ** 2), X, OTHER),
            grad=lambda y, t: k() * 2 * (y - t) / y.size,
        ),
        {"y"},
    ),
}


@pytest.mark.parametrize("style", STYLES)
def test_a_style_is_called_and_right(style: str) -> None:
    check, leaves = STYLES[style]
    report = check()
    assert report.verdict == "right", str(report)
    assert set(report.leaves) == leaves


@pytest.mark.parametrize("style", STYLES)
def test_a_factor_in_any_style_is_seen(style: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(K, "factor", 1.5)
    check, _ = STYLES[style]
    assert check().verdict == "wrong"


def test_what_gets_no_gradient_is_listed() -> None:
    report = check_gradients(SquaredError(), X, OTHER)
    assert report.notes == ["t: backward gives no gradient for it; not checked"]
    assert check_gradients(RNN(), X, H).notes == []


def test_an_object_with_a_lock_is_left_as_it_is() -> None:
    layer = Guarded()
    held, before = layer.params["W"], layer.params["W"].tobytes()
    check_gradients(layer, X)
    assert layer.params["W"] is held
    assert held.tobytes() == before
    assert set(vars(layer)) == {"lock", "params"}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: check_gradients(MulLayer(), 100, 2), "write 100.0 for 100"),
        (lambda: check_gradients(softmax_loss, X, T), "grad=True if it returns its value and"),
        (lambda: check_gradients(np.sin, X + 1j, grad=np.cos), "re, im"),
        (lambda: check_gradients((affine_forward,), X), "a pair of such functions"),
        (lambda: check_gradients(Affine(W, B), X, order=2), "grad=backward_of_backward"),
        (lambda: check_gradients(Affine(W, B), X, order=3), "order=3"),
        (lambda: check_gradients(Affine(W, B), X, dtype="float16"), "'float64' or 'both'"),
    ],
)
def test_what_cannot_be_checked_says_what_to_write(call: Any, said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=said.replace("(", r"\(")):
        call()
