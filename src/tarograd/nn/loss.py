"""The last layers: what makes one number of a network's output and the targets."""

from __future__ import annotations

from typing import Any

from tarograd.functions import softmax_with_loss, squared_error
from tarograd.nn.layer import Layer


class SoftmaxWithLoss(Layer):
    """Softmax and cross entropy in one, the mean over the batch; backward is (y - t) / n.

    Example:
        >>> import numpy as np
        >>> layer = SoftmaxWithLoss()
        >>> loss = layer.forward(np.zeros((1, 2)), np.array([0]))
        >>> layer.backward()
        array([[-0.5,  0.5]])
    """

    def call(self, x: Any, t: Any) -> Any:
        """Scores (n, classes) and labels (n,) or one-hot rows (n, classes); gives the loss."""
        return softmax_with_loss(x, t)


class SquaredError(Layer):
    """Half of the squared distance to the targets, the mean over the batch; (y - t) / n."""

    def call(self, y: Any, t: Any) -> Any:
        """Predictions and targets of one shape (n, ...); gives the loss."""
        return squared_error(y, t)
