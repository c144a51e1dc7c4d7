"""Correct operations, as their authors would write them in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from zoo_op import Op

S = Any  # the layer, in which a pass keeps what backward needs


def keep(s: S, **fields: Any) -> None:
    s.__dict__.update(fields)


def elementwise(name: str, f: Any, df: Any, positive: bool = False) -> Op:
    """y = f(x), with the derivative as a function of x and y."""

    def forward(s: S, x: Any) -> Any:
        y = f(x)
        keep(s, x=x, y=y)
        return y

    return Op(name, forward, lambda s, c: c * df(s.x, s.y), positive=positive)


def sigmoid(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def softplus(x: Any) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


RELU = elementwise("relu", lambda x: np.maximum(x, 0), lambda x, y: x > 0)
LEAKY = elementwise(
    "leaky", lambda x: np.where(x > 0, x, 0.1 * x), lambda x, y: np.where(x > 0, 1, 0.1)
)
SIGMOID = elementwise("sigmoid", sigmoid, lambda x, y: y * (1 - y))
TANH = elementwise("tanh", np.tanh, lambda x, y: 1 - y * y)
EXP = elementwise("exp", lambda x: np.exp(np.minimum(x, 50)), lambda x, y: np.where(x < 50, y, 0))
LOG = elementwise("log", np.log, lambda x, y: 1 / x, positive=True)
SQRT = elementwise("sqrt", np.sqrt, lambda x, y: 0.5 / y, positive=True)
SQUARE = elementwise("square", np.square, lambda x, y: 2 * x)
CUBE = elementwise("cube", lambda x: x**3, lambda x, y: 3 * x**2)
ABS = elementwise("abs", np.abs, lambda x, y: np.sign(x))
CLIP = elementwise("clip", lambda x: np.clip(x, -1, 1), lambda x, y: np.abs(x) <= 1)
SIN = elementwise("sin", np.sin, lambda x, y: np.cos(x))
RECIPROCAL = elementwise("reciprocal", lambda x: 1 / x, lambda x, y: -y * y, positive=True)
SOFTPLUS = elementwise("softplus", softplus, lambda x, y: sigmoid(x))
SWISH = elementwise("swish", lambda x: x * sigmoid(x), lambda x, y: y + sigmoid(x) * (1 - y))
ELU = elementwise(
    "elu",
    lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    lambda x, y: np.where(x > 0, 1, y + 1),
)
GELU = elementwise(
    "gelu",
    lambda x: 0.5 * x * (1 + np.tanh(0.8 * (x + 0.04 * x**3))),
    lambda x, y: (
        0.5 * (1 + np.tanh(0.8 * (x + 0.04 * x**3)))
        + 0.5 * x * (1 - np.tanh(0.8 * (x + 0.04 * x**3)) ** 2) * 0.8 * (1 + 0.12 * x**2)
    ),
)
HUBER = elementwise(
    "huber",
    lambda x: np.where(np.abs(x) < 1, 0.5 * x * x, np.abs(x) - 0.5),
    lambda x, y: np.clip(x, -1, 1),
)
HARDSWISH = elementwise(
    "hardswish",
    lambda x: x * np.clip(x + 3, 0, 6) / 6,
    lambda x, y: np.where(x < -3, 0, np.where(x > 3, 1, (2 * x + 3) / 6)),
)
SOFTSIGN = elementwise(
    "softsign", lambda x: x / (1 + np.abs(x)), lambda x, y: 1 / (1 + np.abs(x)) ** 2
)
ARCTAN = elementwise("arctan", np.arctan, lambda x, y: 1 / (1 + x * x))
RELU6 = elementwise("relu6", lambda x: np.clip(3 * x, 0, 6), lambda x, y: 3 * ((x > 0) & (x < 2)))
LOG2 = elementwise("log2", np.log2, lambda x, y: 1 / (x * np.log(2)), positive=True)
DEGREES = elementwise(
    "sin-degrees", lambda x: np.sin(np.radians(x)), lambda x, y: np.cos(np.radians(x)) * np.pi / 180
)


def linear(s: S, x: Any) -> Any:
    keep(s, x=x)
    return x @ s.W + s.b


def d_linear(s: S, c: Any) -> Any:
    keep(s, dW=s.x.T @ c, db=c.sum(axis=0))
    return c @ s.W.T


LINEAR = Op("linear", linear, d_linear, ((5, 4),), {"W": (4, 3), "b": (3,)})
SQUARE_LINEAR = Op("square-linear", linear, d_linear, ((5, 4),), {"W": (4, 4), "b": (4,)})


def softmax(x: Any, axis: int = -1) -> Any:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def f_softmax(s: S, x: Any) -> Any:
    keep(s, x=x, y=softmax(x))
    return s.y


def d_softmax(s: S, c: Any) -> Any:
    return s.y * (c - (c * s.y).sum(axis=-1, keepdims=True))


SOFTMAX = Op("softmax", f_softmax, d_softmax)


def log_softmax(s: S, x: Any) -> Any:
    z = x - x.max(axis=-1, keepdims=True)
    y = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    keep(s, y=y)
    return y


LOG_SOFTMAX = Op(
    "log-softmax", log_softmax, lambda s, c: c - np.exp(s.y) * c.sum(axis=-1, keepdims=True)
)
LABELS = np.array([0, 2, 1, 3, 2])


def cross_entropy(s: S, x: Any, t: Any) -> Any:
    z = x - x.max(axis=1, keepdims=True)
    keep(s, p=softmax(x), t=t)
    return np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(t)), t])


def d_cross_entropy(s: S, c: Any) -> Any:
    return c * (s.p - np.eye(s.p.shape[1])[s.t]) / len(s.t)


CROSS_ENTROPY = Op("cross-entropy", cross_entropy, d_cross_entropy, ((5, 4), LABELS))


def mse(s: S, y: Any, t: Any) -> Any:
    keep(s, d=y - t)
    return np.mean(s.d**2)


MSE = Op(
    "mse", mse, lambda s, c: (c * 2 * s.d / s.d.size, -c * 2 * s.d / s.d.size), ((5, 3), (5, 3))
)


def half_squares(s: S, y: Any, t: Any) -> Any:
    keep(s, d=y - t)
    return 0.5 * np.sum(s.d**2) / len(y)


HALF_SQUARES = Op(
    "half-squares",
    half_squares,
    lambda s, c: (c * s.d / len(s.d), -c * s.d / len(s.d)),
    ((5, 3), (5, 3)),
)


def batch_norm(s: S, x: Any) -> Any:
    mean, var = x.mean(axis=0), x.var(axis=0)
    deviation = np.sqrt(var + 1e-5)
    keep(s, deviation=deviation, h=(x - mean) / deviation)
    return s.gamma * s.h + s.beta


def d_batch_norm(s: S, c: Any) -> Any:
    keep(s, dgamma=(c * s.h).sum(axis=0), dbeta=c.sum(axis=0))
    g = c * s.gamma
    return (g - g.mean(axis=0) - s.h * (g * s.h).mean(axis=0)) / s.deviation


BATCH_NORM = Op("batch-norm", batch_norm, d_batch_norm, ((6, 4),), {"gamma": (4,), "beta": (4,)})


def layer_norm(s: S, x: Any) -> Any:
    deviation = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
    keep(s, deviation=deviation, h=(x - x.mean(axis=-1, keepdims=True)) / deviation)
    return s.gamma * s.h + s.beta


def d_layer_norm(s: S, c: Any) -> Any:
    keep(s, dgamma=(c * s.h).sum(axis=0), dbeta=c.sum(axis=0))
    g = c * s.gamma
    mean = g.mean(axis=-1, keepdims=True)
    return (g - mean - s.h * (g * s.h).mean(axis=-1, keepdims=True)) / s.deviation


LAYER_NORM = Op("layer-norm", layer_norm, d_layer_norm, ((4, 5),), {"gamma": (5,), "beta": (5,)})


def normalize(s: S, x: Any) -> Any:
    size = np.sqrt((x * x).sum(axis=-1, keepdims=True))
    keep(s, size=size, y=x / size)
    return s.y


def d_normalize(s: S, c: Any) -> Any:
    return (c - s.y * (c * s.y).sum(axis=-1, keepdims=True)) / s.size


NORMALIZE = Op("normalize", normalize, d_normalize)


def dropout(s: S, x: Any) -> Any:
    keep(s, mask=(s.rng.random(x.shape) < 0.6) / 0.6)
    return x * s.mask


DROPOUT = Op("dropout", dropout, lambda s, c: c * s.mask, fields={"rng": np.random.default_rng(7)})


def conv(s: S, x: Any) -> Any:
    """x (n, a, h, w), W (b, a, k, k): stride 1, no padding."""
    k, (h, w) = s.W.shape[-1], x.shape[2:]
    y = np.zeros((len(x), len(s.W), h - k + 1, w - k + 1))
    for i in range(k):
        for j in range(k):
            y += np.einsum(
                "nahw,ba->nbhw", x[:, :, i : i + y.shape[2], j : j + y.shape[3]], s.W[:, :, i, j]
            )
    keep(s, x=x)
    return y


def d_conv(s: S, c: Any) -> Any:
    dx, dw = np.zeros_like(s.x), np.zeros_like(s.W)
    h, w = c.shape[2:]
    for i in range(s.W.shape[-1]):
        for j in range(s.W.shape[-1]):
            dx[:, :, i : i + h, j : j + w] += np.einsum("nbhw,ba->nahw", c, s.W[:, :, i, j])
            dw[:, :, i, j] = np.einsum("nbhw,nahw->ba", c, s.x[:, :, i : i + h, j : j + w])
    keep(s, dW=dw)
    return dx


CONV = Op("conv", conv, d_conv, ((2, 2, 4, 5),), {"W": (3, 2, 3, 3)})
K, STEP = 3, 2


def max_pool(s: S, x: Any) -> Any:
    """Windows of 3 at a stride of 2, along the last axis."""
    starts = range(0, x.shape[-1] - K + 1, STEP)
    keep(s, x=x, best=[o + x[..., o : o + K].argmax(axis=-1) for o in starts])
    return np.stack([x[..., o : o + K].max(axis=-1) for o in starts], axis=-1)


def d_max_pool(s: S, c: Any) -> Any:
    dx = np.zeros_like(s.x)
    rows = np.arange(len(dx))
    for k, best in enumerate(s.best):
        dx[rows, best] += c[:, k]
    return dx


MAX_POOL = Op("max-pool", max_pool, d_max_pool, ((3, 9),))


def mean_pool(s: S, x: Any) -> Any:
    keep(s, x=x)
    return np.stack(
        [x[..., o : o + K].mean(axis=-1) for o in range(0, x.shape[-1] - K + 1, STEP)], axis=-1
    )


def d_mean_pool(s: S, c: Any) -> Any:
    dx = np.zeros_like(s.x)
    for k in range(c.shape[-1]):
        dx[..., k * STEP : k * STEP + K] += c[..., k : k + 1] / K
    return dx


MEAN_POOL = Op("mean-pool", mean_pool, d_mean_pool, ((3, 9),))


def embedding(s: S, index: Any) -> Any:
    keep(s, index=index)
    return s.W[index]


def d_embedding(s: S, c: Any) -> None:
    keep(s, dW=np.zeros_like(s.W))
    np.add.at(s.dW, s.index, c)


EMBEDDING = Op("embedding", embedding, d_embedding, (np.array([1, 4, 1, 0, 1, 4]),), {"W": (5, 3)})
CUMSUM = Op(
    "cumsum",
    lambda s, x: np.cumsum(x, axis=1),
    lambda s, c: np.cumsum(c[:, ::-1], axis=1)[:, ::-1],
    ((3, 5),),
)


def rnn(s: S, x: Any) -> Any:
    """h_t = tanh(x_t U + h_{t-1} V); x (n, t, a), the output (n, t, h)."""
    h = [np.zeros((len(x), len(s.V)))]
    for t in range(x.shape[1]):
        h.append(np.tanh(x[:, t] @ s.U + h[-1] @ s.V))
    keep(s, x=x, h=h)
    return np.stack(h[1:], axis=1)


def d_rnn(s: S, c: Any) -> Any:
    dx, du, dv = np.zeros_like(s.x), np.zeros_like(s.U), np.zeros_like(s.V)
    carried = np.zeros_like(s.h[0])
    for t in reversed(range(s.x.shape[1])):
        dz = (c[:, t] + carried) * (1 - s.h[t + 1] ** 2)
        du += s.x[:, t].T @ dz
        dv += s.h[t].T @ dz
        dx[:, t], carried = dz @ s.U.T, dz @ s.V.T
    keep(s, dU=du, dV=dv)
    return dx


RNN = Op("rnn", rnn, d_rnn, ((2, 4, 3),), {"U": (3, 4), "V": (4, 4)})


def attention(s: S, q: Any, k: Any, v: Any) -> Any:
    p = softmax(q @ k.T / np.sqrt(q.shape[1]))
    keep(s, q=q, k=k, v=v, p=p)
    return p @ v


def d_attention(s: S, c: Any) -> Any:
    dp = c @ s.v.T
    dz = s.p * (dp - (dp * s.p).sum(axis=1, keepdims=True)) / np.sqrt(s.q.shape[1])
    return dz @ s.k, dz.T @ s.q, s.p.T @ c


ATTENTION = Op("attention", attention, d_attention, ((3, 4), (5, 4), (5, 2)))


def binary(
    name: str, f: Any, df: Any, a: Any = (4, 3), b: Any = (4, 3), positive: bool = False
) -> Op:
    def forward(s: S, a: Any, b: Any) -> Any:
        keep(s, a=a, b=b)
        return f(a, b)

    return Op(name, forward, lambda s, c: df(s.a, s.b, c), (a, b), positive=positive)


MULTIPLY = binary("multiply", np.multiply, lambda a, b, c: (c * b, c * a))
DIVIDE = binary("divide", np.divide, lambda a, b, c: (c / b, -c * a / b**2), positive=True)
SUBTRACT = binary("subtract", np.subtract, lambda a, b, c: (c.copy(), -c))
MATMUL = binary("matmul", np.matmul, lambda a, b, c: (c @ b.T, a.T @ c), (4, 3), (3, 5))
SQUARE_MATMUL = binary(
    "square-matmul", np.matmul, lambda a, b, c: (c @ b.T, a.T @ c), (4, 4), (4, 4)
)
MAXIMUM = binary("maximum", np.maximum, lambda a, b, c: (c * (a >= b), c * (a < b)))
ADD_ROW = binary("add-row", np.add, lambda a, b, c: (c.copy(), c.sum(axis=0)), (4, 3), (3,))
OUTER = binary("outer", np.outer, lambda a, b, c: (c @ b, c.T @ a), (4,), (3,))


def reduction(name: str, f: Any, df: Any, shape: Any = (4, 5), positive: bool = False) -> Op:
    def forward(s: S, x: Any) -> Any:
        keep(s, x=x)
        return f(x)

    return Op(name, forward, lambda s, c: df(s.x, c), (shape,), positive=positive)


SUM = reduction("sum", lambda x: x.sum(axis=1), lambda x, c: np.broadcast_to(c[:, None], x.shape))
SQUARE_SUM = reduction(
    "sum-square",
    lambda x: x.sum(axis=1),
    lambda x, c: np.repeat(c[:, None], x.shape[1], axis=1),
    (4, 4),
)
MEAN = reduction(
    "mean",
    lambda x: x.mean(axis=1),
    lambda x, c: np.repeat(c[:, None], x.shape[1], axis=1) / x.shape[1],
)
MEAN_ALL = reduction("mean-all", np.mean, lambda x, c: np.full(x.shape, c / x.size))
VAR = reduction(
    "var",
    lambda x: x.var(axis=1),
    lambda x, c: 2 * c[:, None] * (x - x.mean(axis=1, keepdims=True)) / x.shape[1],
)
MAX = reduction(
    "max",
    lambda x: x.max(axis=1),
    lambda x, c: c[:, None] * (np.arange(x.shape[1]) == x.argmax(axis=1)[:, None]),
)
LOGSUMEXP = reduction(
    "logsumexp",
    lambda x: x.max(axis=1) + np.log(np.exp(x - x.max(axis=1, keepdims=True)).sum(axis=1)),
    lambda x, c: c[:, None] * softmax(x),
)
PROD = reduction(
    "prod",
    lambda x: x.prod(axis=1),
    lambda x, c: c[:, None] * x.prod(axis=1, keepdims=True) / x,
    positive=True,
)
NORM = reduction(
    "norm",
    lambda x: np.linalg.norm(x, axis=1),
    lambda x, c: c[:, None] * x / np.linalg.norm(x, axis=1, keepdims=True),
)
SQUARES = reduction("sum-of-squares", lambda x: np.sum(x**2), lambda x, c: 2 * c * x)
CUBES = reduction("sum-of-cubes", lambda x: np.sum(x**3), lambda x, c: 3 * c * x**2)
TRANSPOSE = reduction("transpose", lambda x: x.T, lambda x, c: c.T)
MOVE = reduction(
    "channels-last",
    lambda x: x.transpose(0, 2, 3, 1),
    lambda x, c: c.transpose(0, 3, 1, 2),
    (2, 3, 4, 5),
)
RESHAPE = reduction(
    "flatten", lambda x: x.reshape(len(x), -1), lambda x, c: c.reshape(x.shape), (3, 2, 4)
)
PAD = reduction("pad", lambda x: np.pad(x, ((0, 0), (2, 1))), lambda x, c: c[:, 2:-1])
FLIP = reduction("flip", lambda x: x[:, ::-1], lambda x, c: c[:, ::-1])
SORT = reduction(
    "sort",
    lambda x: np.sort(x, axis=1),
    lambda x, c: np.take_along_axis(c, np.argsort(np.argsort(x, axis=1), axis=1), axis=1),
)
DIFF = reduction(
    "diff",
    lambda x: np.diff(x, axis=1),
    lambda x, c: np.pad(c, ((0, 0), (1, 0))) - np.pad(c, ((0, 0), (0, 1))),
)
MEDIAN = reduction("center", lambda x: x - x.mean(axis=0), lambda x, c: c - c.mean(axis=0))
UPSAMPLE = reduction(
    "upsample", lambda x: np.repeat(x, 2, axis=1), lambda x, c: c.reshape(*x.shape, 2).sum(axis=2)
)


def residual(s: S, x: Any) -> Any:
    keep(s, x=x, h=np.tanh(x @ s.W))
    return x + s.h


def d_residual(s: S, c: Any) -> Any:
    dz = c * (1 - s.h**2)
    keep(s, dW=s.x.T @ dz)
    return c + dz @ s.W.T


RESIDUAL = Op("residual", residual, d_residual, ((5, 4),), {"W": (4, 4)})


def decayed(s: S, x: Any) -> Any:
    keep(s, x=x, y=x @ s.W)
    return 0.5 * np.sum(s.y**2) + 0.5 * 0.3 * np.sum(s.W**2)


def d_decayed(s: S, c: Any) -> Any:
    keep(s, dW=c * (s.x.T @ s.y + 0.3 * s.W))
    return c * s.y @ s.W.T


DECAYED = Op("decayed", decayed, d_decayed, ((5, 4),), {"W": (4, 3)})


def hidden(s: S, x: Any) -> Any:
    keep(s, x=x, z=x @ s.W)
    return np.maximum(s.z, 0)


def d_hidden(s: S, c: Any) -> Any:
    dz = c * (s.z > 0)
    keep(s, dW=s.x.T @ dz)
    return dz @ s.W.T


HIDDEN = Op("hidden", hidden, d_hidden, ((5, 4),), {"W": (4, 3)})


def two_hidden(s: S, x: Any) -> Any:
    keep(s, x=x, z=x @ s.W)
    keep(s, u=np.maximum(s.z, 0) @ s.V)
    return np.maximum(s.u, 0)


def d_two_hidden(s: S, c: Any) -> Any:
    du = c * (s.u > 0)
    dz = du @ s.V.T * (s.z > 0)
    keep(s, dV=np.maximum(s.z, 0).T @ du, dW=s.x.T @ dz)
    return dz @ s.W.T


TWO_HIDDEN = Op(
    "two-hidden",
    two_hidden,
    d_two_hidden,
    ((5, 4),),
    {"W": (4, 3), "V": (3, 3)},
)
ODD = elementwise(
    "odd", lambda x: np.maximum(x, 0) - np.maximum(-x, 0), lambda x, y: np.ones_like(x)
)


def normalize_eps(s: S, x: Any) -> Any:
    size = np.sqrt((x * x).sum(axis=-1, keepdims=True))
    keep(s, x=x, size=size, h=x / np.maximum(size, 1e-300))
    return x / (size + 0.1)


def d_normalize_eps(s: S, c: Any) -> Any:
    along = (c * s.h).sum(axis=-1, keepdims=True) * s.h
    return (c - along * s.size / (s.size + 0.1)) / (s.size + 0.1)


NORMALIZE_EPS = Op("normalize-eps", normalize_eps, d_normalize_eps)


def root_or_zero(s: S, x: Any) -> Any:
    keep(s, x=x)
    return np.where(x > 0, np.sqrt(np.maximum(x, 0)), 0)


ROOT_OR_ZERO = Op(
    "root-or-zero",
    root_or_zero,
    lambda s, c: np.where(s.x > 0, 0.5 * c / np.sqrt(np.where(s.x > 0, s.x, 1)), 0),
    (np.array([[0.5, -1.0, 2.0], [-0.25, 3.0, -2.0]]),),
)
OPS = [x for x in list(globals().values()) if isinstance(x, Op)]
