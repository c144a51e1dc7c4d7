"""The two-layer network as *Deep Learning from Scratch* builds it, on NumPy alone.

Written afresh from the text's description: layers that remember what their backward pass needs,
networks that hold them in order, and parameters that the training loop changes in place. Every
layer computes the gradient of its input, so the first Affine computes that of the images too,
which nobody reads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Affine:
    """Y = X W + B; the weights are those in the network's `params`, under these two names."""

    def __init__(self, params: dict[str, Array], w: str, b: str) -> None:
        self.params, self.w, self.b = params, w, b
        self.grads: dict[str, Array] = {}

    def forward(self, x: Array) -> Array:
        """Shape (n, a); gives (n, m)."""
        self.x = x
        return np.asarray(np.dot(x, self.params[self.w]) + self.params[self.b])

    def backward(self, dout: Array) -> Array:
        """The gradient of Y; gives that of X."""
        self.grads = {self.w: np.dot(self.x.T, dout), self.b: np.sum(dout, axis=0)}
        return np.asarray(np.dot(dout, self.params[self.w].T))


class ReLU:
    """x where it is positive, else 0."""

    def forward(self, x: Array) -> Array:
        """Any shape; gives the same."""
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout: Array) -> Array:
        """The gradient, 0 where x was not positive; as in the text, written into `dout`."""
        dout[self.mask] = 0
        return dout


class SoftmaxWithLoss:
    """Softmax and the cross entropy with the labels, the mean over the batch."""

    def forward(self, x: Array, t: Array) -> float:
        """Scores (n, classes) and labels (n,); gives the loss."""
        shifted = x - x.max(axis=1, keepdims=True)
        e = np.exp(shifted)
        self.y, self.t = e / e.sum(axis=1, keepdims=True), t
        # As in the text a small number keeps the logarithm of 0 away.
        self.loss = float(-np.sum(np.log(self.y[np.arange(len(t)), t] + 1e-7)) / len(t))
        return self.loss

    def backward(self) -> Array:
        """(y - t) / n."""
        dx = self.y.copy()
        dx[np.arange(len(self.t)), self.t] -= 1
        return np.asarray(dx / len(self.t))


class TwoLayerNet:
    """Affine, ReLU, Affine, Softmax-with-loss.

    Args:
        params: the arrays `w1`, `b1`, `w2` and `b2`, which training changes.
    """

    def __init__(self, params: dict[str, Array]) -> None:
        self.params = params
        self.affine1, self.relu1 = Affine(params, "w1", "b1"), ReLU()
        self.affine2, self.last_layer = Affine(params, "w2", "b2"), SoftmaxWithLoss()
        self.layers: list[Affine | ReLU] = [self.affine1, self.relu1, self.affine2]

    def predict(self, x: Array) -> Array:
        """The scores, shape (n, classes)."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def loss(self, x: Array, t: Array) -> float:
        """The loss for images and labels."""
        return self.last_layer.forward(self.predict(x), t)

    def accuracy(self, x: Array, t: Array) -> float:
        """The share of right answers."""
        return float(np.mean(np.argmax(self.predict(x), axis=1) == t))

    def gradient(self, x: Array, t: Array) -> dict[str, Array]:
        """The gradient of the loss by backpropagation, for each parameter by its name."""
        self.loss(x, t)
        dout = self.last_layer.backward()
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return self.affine1.grads | self.affine2.grads


def train_step(network: TwoLayerNet, x: Array, t: Array, lr: float) -> float:
    """One step of stochastic gradient descent; gives the loss before it.

    The text computes the loss once more after the update. That is left out, since nothing is
    learned by it: the comparison is with the text's code at its fastest.
    """
    grads = network.gradient(x, t)
    for key in network.params:
        network.params[key] -= lr * grads[key]
    return network.last_layer.loss
