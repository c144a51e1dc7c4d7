"""Typical mistakes in backward passes, and by which name they should be called."""

from __future__ import annotations

from typing import Any

import numpy as np
import zoo_ops as o
from zoo_op import Mistake, wrong
from zoo_ops import keep

S = Any


def grads(backward: Any, **changes: Any) -> Any:
    """A backward that does the right thing, and then something to a gradient: `W=lambda s, g:`."""

    def changed(s: S, c: Any) -> Any:
        c = np.array(c)
        dx = backward(s, c)
        for name, change in changes.items():
            if name == "x":
                dx = change(s, dx, c)
            else:
                keep(s, **{f"d{name}": change(s, getattr(s, f"d{name}"), c)})
        return dx

    return changed


def on(op: Any, **changes: Any) -> Any:
    return {"backward": grads(op.backward, **changes)}


def first(s: S, c: Any) -> Any:
    a, b = c, c.copy()
    b[1:] = 0
    return a, b


def in_place(s: S, x: Any) -> Any:
    x[x <= 0] = 0
    keep(s, y=x, x=x)
    return x


def into_upstream(s: S, c: Any) -> Any:
    c[s.x <= 0] = 0
    return c


def stale(s: S, x: Any) -> Any:
    if not hasattr(s, "x"):
        keep(s, x=x)
    return x @ s.W + s.b


def running(s: S, x: Any) -> Any:
    s.b += 0.1
    return o.linear(s, x)


def updated(s: S, c: Any) -> Any:
    o.d_linear(s, c)
    s.W -= 0.1 * s.dW
    return c @ s.W.T


def accumulating(s: S, c: Any) -> Any:
    keep(s, dW=getattr(s, "dW", 0) + s.x.T @ c, db=c.sum(axis=0))
    return c @ s.W.T


def overwriting_pool(s: S, c: Any) -> Any:
    dx = np.zeros_like(s.x)
    rows = np.arange(len(dx))
    for k, best in enumerate(s.best):
        dx[rows, best] = c[:, k]
    return dx


def overwriting_mean(s: S, c: Any) -> Any:
    dx = np.zeros_like(s.x)
    for k in range(c.shape[-1]):
        dx[..., k * o.STEP : k * o.STEP + o.K] = c[..., k : k + 1] / o.K
    return dx


def overwriting_embedding(s: S, c: Any) -> None:
    keep(s, dW=np.zeros_like(s.W))
    s.dW[s.index] = c


def overwriting_embedding_add(s: S, c: Any) -> None:
    keep(s, dW=np.zeros_like(s.W))
    s.dW[s.index] += c


def last_sample(s: S, c: Any) -> Any:
    for x, g in zip(s.x, c, strict=True):
        keep(s, dW=np.outer(x, g))
    keep(s, db=c.sum(axis=0))
    return c @ s.W.T


def conv_unflipped(s: S, c: Any) -> Any:
    kernel = s.W
    s.W = kernel[:, :, ::-1, ::-1]
    dx = o.d_conv(s, c)
    s.W = kernel
    o.d_conv(s, c)
    return dx


def conv_shifted(s: S, c: Any) -> Any:
    return np.roll(o.d_conv(s, c), 1, axis=3)


def rnn_stops(s: S, c: Any) -> Any:
    dx = o.d_rnn(s, c)
    dx[:, 0] = 0
    return dx


def all_ties(s: S, c: Any) -> Any:
    return c[:, None] * (s.x == s.x.max(axis=1, keepdims=True))


def close_ties(s: S, c: Any) -> Any:
    return c[:, None] * (s.x >= s.x.max(axis=1, keepdims=True) - 1e-2)


def pool_everything(s: S, c: Any) -> Any:
    dx = np.zeros_like(s.x)
    for k in range(c.shape[-1]):
        dx[..., k * o.STEP : k * o.STEP + o.K] += c[..., k : k + 1]
    return dx


def redrawn(s: S, c: Any) -> Any:
    return c * (s.rng.random(c.shape) < 0.6) / 0.6


def naive(s: S, x: Any) -> Any:
    e = np.exp(x)
    keep(s, y=e / e.sum(axis=-1, keepdims=True))
    return s.y


def explicit_sigmoid(s: S, c: Any) -> Any:
    e = np.exp(-s.x)
    return c * e / (1 + e) ** 2


def unmasked(s: S, c: Any) -> Any:
    keep(s, dW=s.x.T @ c)
    return c @ s.W.T


def turned_round(s: S, c: Any) -> Any:
    dz = c * (s.z <= 0)
    keep(s, dW=s.x.T @ dz)
    return dz @ s.W.T


def with_momentum(s: S, c: Any) -> Any:
    keep(s, dW=0.9 * getattr(s, "dW", 0) + s.x.T @ c, db=c.sum(axis=0))
    return c @ s.W.T


def einsum_attention(s: S, c: Any) -> Any:
    dp = c @ s.v.T
    dz = s.p * dp * (1 - s.p) / 2
    return dz @ s.k, dz.T @ s.q, s.p.T @ c


def strides_ignored(s: S, c: Any) -> Any:
    dx = np.zeros_like(s.x)
    for k in range(c.shape[-1]):
        dx[..., k : k + o.K] += c[..., k : k + 1] / o.K
    return dx


def second_mask_twice(s: S, c: Any) -> Any:
    o.d_two_hidden(s, c)
    return (c * (s.z > 0) @ s.V.T * (s.z > 0)) @ s.W.T


def eval_mode(s: S, c: Any) -> Any:
    o.d_batch_norm(s, c)
    return c * s.gamma / np.sqrt(1 + 1e-5)


def unprotected(s: S, c: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.where(s.x > 0, c, 0) * (0.5 / np.sqrt(np.maximum(s.x, 0)))


def drawn_afresh(s: S, x: Any) -> Any:
    keep(s, mask=np.random.default_rng().random(x.shape) < 0.6)
    return x * s.mask


def quick(f: Any) -> Any:
    return {"backward": f}


HALF = {"x": lambda s, g, c: g / 2}
MISTAKES: list[Mistake] = [
    wrong(1, o.CROSS_ENTROPY, "scale-batch", **on(o.CROSS_ENTROPY, x=lambda s, g, c: g * len(g))),
    wrong(
        1,
        o.HALF_SQUARES,
        "scale-batch",
        **on(o.HALF_SQUARES, x=lambda s, g, c: (g[0] * len(g[0]), g[1])),
    ),
    wrong(
        2,
        o.CROSS_ENTROPY,
        "scale-batch",
        "twice",
        **on(o.CROSS_ENTROPY, x=lambda s, g, c: g / len(g)),
    ),
    wrong(3, o.LINEAR, "scale-batch", **on(o.LINEAR, b=lambda s, g, c: g / len(c))),
    wrong(3, o.BATCH_NORM, "scale-batch", **on(o.BATCH_NORM, gamma=lambda s, g, c: g / len(c))),
    wrong(4, o.MSE, "scale", **on(o.MSE, x=lambda s, g, c: (g[0] / 2, g[1] / 2))),
    wrong(4, o.SQUARE, "scale", **on(o.SQUARE, **HALF)),
    wrong(5, o.PROD, "sign", **on(o.PROD, x=lambda s, g, c: -g)),
    wrong(5, o.SUBTRACT, "sign", **on(o.SUBTRACT, x=lambda s, g, c: (g[0], c))),
    wrong(5, o.LINEAR, "sign", **on(o.LINEAR, W=lambda s, g, c: -g)),
    wrong(6, o.DROPOUT, "scale", **quick(lambda s, c: c * (s.mask > 0))),
    wrong(7, o.ATTENTION, "scale", **on(o.ATTENTION, x=lambda s, g, c: (g[0] * 2, g[1], g[2]))),
    wrong(8, o.MEAN, "scale wrong-axis scale-batch", **on(o.MEAN, x=lambda s, g, c: g * 5 / 4)),
    wrong(9, o.VAR, "scale", **on(o.VAR, x=lambda s, g, c: g * 5 / 4)),
    wrong(10, o.LOG2, "scale", **quick(lambda s, c: c / s.x)),
    wrong(10, o.DEGREES, "scale", **quick(lambda s, c: c * np.cos(np.radians(s.x)))),
    wrong(
        11,
        o.CROSS_ENTROPY,
        "scale scale-batch",
        "valid",
        **on(o.CROSS_ENTROPY, x=lambda s, g, c: g * 5 / 4),
    ),
    wrong(12, o.SQUARE, "scale missing-term", "one path", **quick(lambda s, c: c * s.x)),
    wrong(13, o.SQUARE_LINEAR, "transposed", **on(o.LINEAR, x=lambda s, g, c: c @ s.W)),
    wrong(13, o.LINEAR, "transposed", "raises", **on(o.LINEAR, x=lambda s, g, c: c @ s.W)),
    wrong(
        13, o.SQUARE_MATMUL, "transposed", **on(o.SQUARE_MATMUL, x=lambda s, g, c: (c @ s.b, g[1]))
    ),
    wrong(14, o.SQUARE_LINEAR, "transposed", **on(o.LINEAR, W=lambda s, g, c: g.T)),
    wrong(14, o.LINEAR, "transposed", "shape", **on(o.LINEAR, W=lambda s, g, c: g.T)),
    wrong(15, o.CONV, "flipped", **quick(conv_unflipped)),
    wrong(16, o.CONV, "shifted", **quick(conv_shifted)),
    wrong(16, o.PAD, "shifted", **quick(lambda s, c: c[:, 1:-2])),
    wrong(17, o.MEAN_POOL, "shifted layout formula", **quick(strides_ignored)),
    wrong(18, o.CUMSUM, "flipped", **quick(lambda s, c: np.cumsum(c, axis=1))),
    wrong(18, o.FLIP, "flipped", **quick(lambda s, c: c)),
    wrong(19, o.CUMSUM, "shifted", **on(o.CUMSUM, x=lambda s, g, c: np.roll(g, 1, axis=1))),
    wrong(20, o.MOVE, "layout", **quick(lambda s, c: c.reshape(s.x.shape))),
    wrong(20, o.TRANSPOSE, "layout", **quick(lambda s, c: c.reshape(s.x.shape))),
    wrong(
        20,
        o.SORT,
        "layout",
        "order",
        **quick(lambda s, c: np.take_along_axis(c, np.argsort(s.x, axis=1), axis=1)),
    ),
    wrong(21, o.SQUARE_SUM, "wrong-axis", **quick(lambda s, c: np.repeat(c[None], 4, axis=0))),
    wrong(21, o.SOFTMAX, "wrong-axis", **quick(lambda s, c: s.y * (c - (c * s.y).sum(axis=0)))),
    wrong(
        21,
        o.SQUARE_LINEAR,
        "wrong-axis",
        **on(o.LINEAR, b=lambda s, g, c: c[:4].sum(axis=1)),
        inputs=((4, 4),),
    ),
    wrong(
        22,
        o.TRANSPOSE,
        "transposed layout shape",
        "square",
        **quick(lambda s, c: c),
        inputs=((4, 4),),
    ),
    wrong(23, o.LINEAR, "shape", **on(o.LINEAR, b=lambda s, g, c: c)),
    wrong(24, o.ADD_ROW, "shape", **on(o.ADD_ROW, x=lambda s, g, c: (g[0], c))),
    wrong(25, o.LINEAR, "shape", "keepdims", **on(o.LINEAR, b=lambda s, g, c: g[None])),
    wrong(25, o.NORM, "shape", **on(o.NORM, x=lambda s, g, c: g[..., None])),
    wrong(
        26,
        o.BATCH_NORM,
        "wrong-axis shape",
        **on(o.BATCH_NORM, gamma=lambda s, g, c: (c * s.h).sum(axis=1)),
    ),
    wrong(
        26,
        o.LAYER_NORM,
        "wrong-axis",
        "square",
        **on(o.LAYER_NORM, gamma=lambda s, g, c: (c * s.h).sum(axis=1)),
        inputs=((5, 5),),
    ),
    wrong(28, o.LINEAR, "shape", "scalar", **on(o.LINEAR, b=lambda s, g, c: g.sum())),
    wrong(29, o.SOFTMAX, "missing-term", **quick(lambda s, c: c * s.y * (1 - s.y))),
    wrong(
        30,
        o.CROSS_ENTROPY,
        "wrong-tensor",
        **quick(lambda s, c: c * (s.p - s.t[:, None]) / len(s.t)),
    ),
    wrong(
        31,
        o.BATCH_NORM,
        "missing-term",
        **quick(lambda s, c: o.d_batch_norm(s, c) + (c * s.gamma).mean(axis=0) / s.deviation),
    ),
    wrong(31, o.MEDIAN, "missing-term", **quick(lambda s, c: c)),
    wrong(
        32,
        o.BATCH_NORM,
        "missing-term",
        "constant",
        **on(o.BATCH_NORM, x=lambda s, g, c: c * s.gamma / s.deviation),
    ),
    wrong(
        32,
        o.LAYER_NORM,
        "missing-term",
        "constant",
        **on(o.LAYER_NORM, x=lambda s, g, c: c * s.gamma / s.deviation),
    ),
    wrong(
        32,
        o.BATCH_NORM,
        "formula",
        "power",
        **on(
            o.BATCH_NORM,
            x=lambda s, g, c: g + 0.3 * s.h * (c * s.gamma * s.h).mean(axis=0) * s.deviation,
        ),
    ),
    wrong(33, o.NORMALIZE, "missing-term", **quick(lambda s, c: c / s.size)),
    wrong(
        33,
        o.NORMALIZE,
        "sign",
        "added",
        **quick(lambda s, c: (c + s.y * (c * s.y).sum(axis=-1, keepdims=True)) / s.size),
    ),
    wrong(34, o.DECAYED, "missing-term", **on(o.DECAYED, W=lambda s, g, c: g - c * 0.3 * s.W)),
    wrong(
        34, o.DECAYED, "extra-term", "twice", **on(o.DECAYED, W=lambda s, g, c: g + c * 0.3 * s.W)
    ),
    wrong(34, o.LINEAR, "extra-term", "always", **on(o.LINEAR, W=lambda s, g, c: g + 0.1 * s.W)),
    wrong(35, o.LINEAR, "overwrites", **quick(last_sample)),
    wrong(36, o.RNN, "slice missing-term", **quick(rnn_stops)),
    wrong(37, o.MAX_POOL, "overwrites", **quick(overwriting_pool)),
    wrong(37, o.MEAN_POOL, "overwrites", **quick(overwriting_mean)),
    wrong(38, o.EMBEDDING, "overwrites", **quick(overwriting_embedding)),
    wrong(38, o.EMBEDDING, "overwrites", "add", **quick(overwriting_embedding_add)),
    wrong(39, o.RESIDUAL, "missing-term", **on(o.RESIDUAL, x=lambda s, g, c: g - c)),
    wrong(39, o.RESIDUAL, "missing-term", "branch", **on(o.RESIDUAL, x=lambda s, g, c: c)),
    wrong(40, o.RESIDUAL, "extra-term", "branch", **on(o.RESIDUAL, x=lambda s, g, c: 2 * g - c)),
    wrong(40, o.RESIDUAL, "extra-term", **on(o.RESIDUAL, x=lambda s, g, c: g + c)),
    wrong(41, o.LINEAR, "zero", **on(o.LINEAR, b=lambda s, g, c: 0 * g)),
    wrong(41, o.TANH, "zero", **quick(lambda s, c: 0 * c)),
    wrong(42, o.ATTENTION, "missing-term unclassified", "coupling", **quick(einsum_attention)),
    wrong(43, o.RELU, "mask", **quick(lambda s, c: c)),
    wrong(43, o.HIDDEN, "mask", **quick(unmasked)),
    wrong(43, o.MAX_POOL, "mask", **quick(pool_everything)),
    wrong(43, o.DROPOUT, "mask", **quick(lambda s, c: c)),
    wrong(44, o.HIDDEN, "mask", "inverted", **quick(turned_round)),
    wrong(44, o.RELU, "mask", "inverted", **quick(lambda s, c: c * (s.x <= 0))),
    wrong(45, o.LEAKY, "mask", **quick(lambda s, c: c * np.where(s.x > 0, 1, 0.2))),
    wrong(45, o.ELU, "mask formula", **quick(lambda s, c: c * np.where(s.x > 0, 1, 1.0))),
    wrong(46, o.CLIP, "mask", **quick(lambda s, c: c * (s.x <= 1))),
    wrong(46, o.RELU6, "mask", **quick(lambda s, c: 3 * c * (s.x > 0))),
    wrong(47, o.TWO_HIDDEN, "mask formula", **quick(second_mask_twice)),
    wrong(50, o.MAX, "ties", **quick(all_ties)),
    wrong(51, o.MAX, "ties", "close", **quick(close_ties)),
    wrong(52, o.LINEAR, "scale-dependent", **on(o.LINEAR, x=lambda s, g, c: np.clip(g, -50, 50))),
    wrong(
        53,
        o.SIN,
        "scale-dependent formula",
        **quick(lambda s, c: c * (1 - s.x**2 / 2 + s.x**4 / 24)),
    ),
    wrong(54, o.ODD, "mask missing-term", **quick(lambda s, c: c * (s.x > 0))),
    wrong(55, o.SIGMOID, "wrong-tensor", **quick(lambda s, c: c * s.x * (1 - s.x))),
    wrong(55, o.TANH, "wrong-tensor", **quick(lambda s, c: c * (1 - s.x**2))),
    wrong(56, o.TANH, "wrong-tensor", "again", **quick(lambda s, c: c * (1 - np.tanh(s.y) ** 2))),
    wrong(
        56,
        o.SIGMOID,
        "wrong-tensor",
        "again",
        **quick(lambda s, c: c * o.sigmoid(s.y) * (1 - o.sigmoid(s.y))),
    ),
    wrong(57, o.CUBE, "formula", **quick(lambda s, c: c * 3 * s.x)),
    wrong(57, o.GELU, "formula", **quick(lambda s, c: c * o.sigmoid(1.7 * s.x))),
    wrong(57, o.SWISH, "formula", **quick(lambda s, c: c * (s.y + o.sigmoid(s.x)))),
    wrong(57, o.SOFTSIGN, "formula missing-term", **quick(lambda s, c: c / (1 + np.abs(s.x)))),
    wrong(57, o.CUBES, "formula", **quick(lambda s, c: c * 3 * np.abs(s.x))),
    wrong(57, o.MULTIPLY, "wrong-tensor", **quick(lambda s, c: (c * s.a, c * s.a))),
    wrong(57, o.DIVIDE, "wrong-tensor formula", **quick(lambda s, c: (c / s.b, -c * s.a / s.b))),
    wrong(57, o.MULTIPLY, "wrong-tensor", "exchanged", **quick(lambda s, c: (c * s.a, c * s.b))),
    wrong(58, o.LINEAR, "mutates-parameter", **quick(updated)),
    wrong(
        59,
        o.NORMALIZE_EPS,
        "scale-dependent formula",
        **quick(
            lambda s, c: (
                (c - s.h * (c * s.h).sum(axis=-1, keepdims=True)) / np.sqrt(s.size**2 + 0.1)
            )
        ),
    ),
    wrong(60, o.RELU, "mutates-input", forward=in_place, backward=lambda s, c: c * (s.y > 0)),
    wrong(61, o.RELU, "mutates-upstream", **quick(into_upstream)),
    wrong(62, o.LINEAR, "mutates-parameter", "forward", forward=running),
    wrong(63, o.LINEAR, "stale-cache", forward=stale),
    wrong(64, o.LINEAR, "accumulates", **quick(accumulating)),
    wrong(64, o.LINEAR, "accumulates", "momentum", **quick(with_momentum)),
    wrong(66, o.DROPOUT, "random-in-backward", **quick(redrawn)),
    wrong(67, o.DROPOUT, "nondeterministic", verdict="cannot tell", forward=drawn_afresh),
    wrong(68, o.BATCH_NORM, "missing-term formula", **quick(eval_mode)),
    wrong(69, o.LINEAR, "slice", **on(o.LINEAR, W=lambda s, g, c: s.x[:1].T @ c[:1])),
    wrong(
        69,
        o.TANH,
        "slice",
        **quick(lambda s, c: c * (1 - s.y**2) * (np.arange(len(c)) == 0)[:, None]),
    ),
    wrong(
        70,
        o.SQUARE,
        "slice",
        **on(o.SQUARE, x=lambda s, g, c: g * (np.arange(len(g)) < len(g) - 1)[:, None]),
    ),
    wrong(71, o.LINEAR, "downcast", **on(o.LINEAR, W=lambda s, g, c: g.astype(np.float32))),
    wrong(
        71, o.TANH, "downcast", **on(o.TANH, x=lambda s, g, c: g.astype(np.float16).astype(float))
    ),
    wrong(72, o.SIN, "downcast", **on(o.SIN, x=lambda s, g, c: np.floor(3 * g).astype(int))),
    wrong(73, o.SOFTMAX, "nonfinite-forward", forward=naive),
    wrong(74, o.SIGMOID, "nonfinite-backward", **quick(explicit_sigmoid)),
    wrong(75, o.ROOT_OR_ZERO, "nonfinite-backward", **quick(unprotected)),
    wrong(77, o.SOFTPLUS, "upstream-ignored", **quick(lambda s, c: o.sigmoid(s.x))),
    wrong(77, o.CROSS_ENTROPY, "upstream-ignored", **on(o.CROSS_ENTROPY, x=lambda s, g, c: g / c)),
    wrong(77, o.LOG_SOFTMAX, "upstream-ignored", "part", **quick(lambda s, c: c - np.exp(s.y))),
    wrong(78, o.SUM, "upstream-ignored", **quick(lambda s, c: np.full(s.x.shape, c.mean()))),
    wrong(
        80,
        o.LINEAR,
        "slice",
        "element",
        **on(o.LINEAR, W=lambda s, g, c: g * (1 + 0.02 * (np.arange(12) == 7).reshape(4, 3))),
    ),
]
