"""Affine: the layer Y = X W + B, also called linear, dense or fully connected."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from tarograd.functions import affine
from tarograd.nn.initializers import He, Normal
from tarograd.nn.layer import Layer
from tarograd.tensor import Parameter, Tensor


def _parameter(value: Any) -> Parameter:
    return value if isinstance(value, Parameter) else Parameter(value)


class Affine(Layer):
    """Y = X W + B.

    `Affine(784, 50)` draws its weights; `Affine(w, b)`, as the textbook writes it, is given them.

    Args:
        w: the number of inputs a; or the weights, shape (a, m).
        b: the number of outputs m; or the bias, shape (m,).
        init: how the weights are drawn; the bias starts at 0.
        seed: which weights are drawn; if left out, the network around it decides, by its place.
        dtype: the dtype of drawn weights.

    Attributes:
        w: the weights, shape (a, m).
        b: the bias, shape (m,).

    Raises:
        ValueError: if sizes are not positive, or the shapes of w and b do not fit.

    An input of more than two axes, such as N×C×H×W images, is flattened to N rows; its gradient
    comes back in the input's shape.

    Example:
        >>> layer = Affine(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0.5, 0.5]))
        >>> layer.forward(np.array([[1.0, 1.0]]))
        array([[4.5, 6.5]])
        >>> layer.backward(np.array([[1.0, 0.0]]))
        array([[1., 3.]])
        >>> layer.w.grad
        array([[1., 0.],
               [1., 0.]])
    """

    def __init__(
        self,
        w: int | ArrayLike | Parameter,
        b: int | ArrayLike | Parameter,
        *,
        init: Normal = He(),  # noqa: B008  # frozen, so it can be shared
        seed: int | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self.init = init
        self._seed = seed
        # The weights as they were drawn. A Tensor, since its array stays the same in a deep copy.
        self._drawn: Tensor | None = None
        if isinstance(w, int | np.integer) and isinstance(b, int | np.integer):
            if min(w, b) < 1:
                raise ValueError(f"Affine({w}, {b}): both sizes have to be at least 1")
            self.w = Parameter(np.zeros((w, b), dtype))
            self.b = Parameter(np.zeros(b, dtype))
            self._drawn = Tensor(self.w.value)
            self.initialize(0 if seed is None else seed, "affine")
            if seed is not None:
                self._drawn = None
            return
        self.w = _parameter(w)
        self.b = _parameter(b)
        if self.w.ndim != 2 or self.b.shape != self.w.shape[1:]:
            raise ValueError(
                f"Affine: w {self.w.shape} and b {self.b.shape}: (a, m) and (m,) are needed, "
                "or two whole numbers"
            )

    def initialize(self, seed: int, path: str = "") -> None:
        """Draw the weights anew, unless they, or their seed, were given or set."""
        if self._drawn is not None and self.w.value is self._drawn.value:
            self.w.value = self.init(self.w.shape, seed, f"{path}.w", self.w.dtype)
            self._drawn = Tensor(self.w.value)

    def call(self, x: Any) -> Any:
        """Shape (n, a), (n, ...) with a elements in a row, or (a,); gives (n, m) or (m,)."""
        if x.ndim > 2:
            x = x.reshape((x.shape[0], int(np.prod(x.shape[1:]))))
        return affine(x, self.w, self.b)

    def __repr__(self) -> str:
        inputs, outputs = self.w.shape
        init = "" if self.init == He() else f", init={self.init!r}"
        seed = "" if self._seed is None else f", seed={self._seed}"
        typed = "" if self.w.dtype == np.float32 else f", dtype=np.{self.w.dtype}"
        return f"Affine({inputs}, {outputs}{init}{seed}{typed})"
