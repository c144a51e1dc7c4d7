"""The verbs of networks: activations, softmax, losses, dropout.

They work on Tensors (and are recorded) as well as on plain arrays. What NumPy has, such as
`np.exp` or `np.sum`, is written with NumPy's own functions or the methods of a Tensor.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tarograd.graph import Operand
from tarograd.numpy_shapes import axes_of
from tarograd.ops import elementwise, random, reduction
from tarograd.ops import matmul as products


def relu(x: Any) -> Any:
    """X where it is positive, else 0. At 0 the derivative is 0.

    Args:
        x: Tensor or array of any shape.

    Example:
        >>> relu(np.array([-1.0, 0.0, 2.0]))
        array([0., 0., 2.])
    """
    return elementwise.relu(x)


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), for x of any size without overflow. The derivative is y (1 - y).

    Args:
        x: Tensor or array of any shape.

    Example:
        >>> sigmoid(np.array([0.0, -1000.0]))
        array([0.5, 0. ])
    """
    return elementwise.sigmoid(x)


def tanh(x: Any) -> Any:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x)). The derivative is 1 - y².

    Args:
        x: Tensor or array of any shape.
    """
    return elementwise.tanh(x)


def softmax(x: Any, axis: int = -1) -> Any:
    """exp(x) / Σ exp(x) along `axis`: positive numbers with the sum 1.

    Args:
        x: Tensor or array of any shape but ().
        axis: the axis of the classes.

    Example:
        >>> softmax(np.array([1e4, 1e4]))
        array([0.5, 0.5])
    """
    (classes,) = axes_of("softmax", x, axis)
    return reduction.softmax(x, axis=classes)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """X - log Σ exp(x) along `axis`: the logarithm of `softmax`, exact where that is 0.

    Args:
        x: Tensor or array of any shape but ().
        axis: the axis of the classes.
    """
    (classes,) = axes_of("log_softmax", x, axis)
    return reduction.log_softmax(x, axis=classes)


def logsumexp(x: Any, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Any:
    """Log Σ exp(x) over `axis`, by default over all elements, without overflow.

    Args:
        x: Tensor or array of any shape.
        axis: one axis or several.
        keepdims: whether the axis stays, with length 1.

    Example:
        >>> round(float(logsumexp(np.array([1000.0, 1000.0]))), 4)
        1000.6931
    """
    return reduction.logsumexp(x, axis=axes_of("logsumexp", x, axis), keepdims=keepdims)


def affine(x: Any, w: Any, b: Any) -> Any:
    """X @ w + b, for a batch of rows or for one row.

    Args:
        x: shape (n, a) or (a,).
        w: shape (a, m).
        b: shape (m,).

    Returns:
        shape (n, m) or (m,).

    Raises:
        ValueError: if the shapes do not fit together.

    Example:
        >>> affine(np.array([[1.0, 2.0]]), np.array([[1.0], [10.0]]), np.array([0.5]))
        array([[21.5]])
    """
    fits = x.ndim in (1, 2) and w.ndim == 2 and x.shape[-1] == w.shape[0]
    if not fits or b.shape != w.shape[1:]:
        raise ValueError(
            f"affine: x {x.shape}, w {w.shape}, b {b.shape}: "
            "x has to be (n, a) or (a,), w (a, m) and b (m,)"
        )
    if x.ndim == 1:
        return products.affine(x.reshape((1, -1)), w, b).reshape(b.shape)
    return products.affine(x, w, b)


def one_hot(labels: Any, classes: int) -> Any:
    """Rows with True at the place of the label, else False.

    Args:
        labels: whole numbers from 0 to `classes` - 1, shape (n,).
        classes: the length of a row.

    Returns:
        shape (n, classes).

    Raises:
        ValueError: if a label is out of range.

    Example:
        >>> one_hot(np.array([1, 0]), 3).astype(int)
        array([[0, 1, 0],
               [1, 0, 0]])
    """

    def in_range(values: Any) -> None:
        if values.size and not 0 <= values.min() <= values.max() < classes:
            raise ValueError(
                f"labels from {values.min()} to {values.max()} for {classes} classes: "
                f"they have to lie from 0 to {classes - 1}"
            )

    if isinstance(labels, Operand):
        labels.check(in_range)
    else:
        labels = np.asarray(labels)
        in_range(labels)
    return labels.reshape((-1, 1)) == np.arange(classes)


def _targets(x: Any, t: Any) -> Any:
    """Targets with the shape of the scores `x`, whether they were given as labels or one-hot."""
    t = t if isinstance(t, Operand) else np.asarray(t)
    if x.ndim != 2:
        raise ValueError(f"the scores have the shape {x.shape}; (batch size, classes) is needed")
    if t.shape == x.shape:
        return t
    if t.ndim == 1 and len(t) == len(x):
        if t.dtype.kind in "iu":
            return one_hot(t, x.shape[1])
        raise TypeError(f"labels have to be whole numbers; these are {t.dtype}, shape {t.shape}")
    raise ValueError(
        f"targets of shape {t.shape} for scores of shape {x.shape}: give labels of shape "
        f"({len(x)},) or one-hot rows of shape {x.shape}"
    )


def softmax_with_loss(x: Any, t: Any) -> Any:
    """Cross entropy of softmax(x) and the targets, the mean over the batch.

    Its gradient with respect to x is (softmax(x) - t) / n. Stable for scores of any size.

    Args:
        x: scores, shape (n, classes).
        t: labels, whole numbers of shape (n,), or one-hot rows of shape (n, classes).

    Raises:
        ValueError: if the shapes do not fit, or a label is out of range.
        TypeError: if the labels are not whole numbers.

    Example:
        >>> x = np.array([[1e4, 0.0], [0.0, 0.0]])
        >>> round(float(softmax_with_loss(x, np.array([0, 1]))), 4)
        0.3466
    """
    return reduction.softmax_with_loss(x, _targets(x, t), labels=np.ndim(t) == 1)


def squared_error(y: Any, t: Any) -> Any:
    """½ Σ (y - t)², the mean over the batch (the first axis).

    Its gradient with respect to y is (y - t) / n.

    Args:
        y: predictions, shape (n, ...).
        t: targets of the same shape. Shapes that would only fit by broadcasting, such as
            (n, 1) and (n,), are refused.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> float(squared_error(np.array([[1.0], [2.0]]), np.array([[0.0], [0.0]])))
        1.25
    """
    t = t if isinstance(t, Operand) else np.asarray(t)
    if y.shape != t.shape or not y.ndim:
        raise ValueError(
            f"squared_error: predictions {y.shape} and targets {t.shape}: "
            "the same shape (n, ...) is needed; reshape one of them"
        )
    return reduction.squared_error(y, t)


def dropout(x: Any, rate: float, seed: int = 0, step: Any = 0, stream: str = "dropout") -> Any:
    """Set elements of x to 0 with the probability `rate` and divide the others by 1 - rate.

    The mask is a function of (seed, step, stream), so a pass can be replayed and checked
    (Srivastava et al. 2014, with the scaling moved to training).

    Args:
        x: Tensor or array of any shape.
        rate: the probability with which an element is dropped, 0 <= rate < 1.
        seed: whole number.
        step: whole number, another one for each pass.
        stream: a name, another one for each use within one pass.

    Raises:
        ValueError: for another rate.

    Example:
        >>> y = dropout(np.ones(8), 0.5)
        >>> sorted(set(y.tolist()))
        [0.0, 2.0]
    """
    if not 0 <= rate < 1:
        raise ValueError(f"dropout: rate={rate}: it is the share to drop, 0 <= rate < 1")
    keep = 1 - rate
    how = {"shape": x.shape, "seed": seed, "stream": stream, "p": keep}
    if isinstance(x, Operand):
        mask = x.record(random.bernoulli, (step,), how)  # a node of its own: drawn and replayed
    else:
        mask = random.bernoulli(step, **how)
    return random.dropout(x, mask, keep=keep)


def stop_gradient(x: Any) -> Any:
    """x, but as a constant: nothing flows back through it.

    Args:
        x: Tensor or array of any shape.
    """
    return elementwise.stop_gradient(x)
