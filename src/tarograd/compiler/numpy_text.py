"""How each primitive is written in NumPy: the table behind `Program.source`."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tarograd.compiler.program import Value
from tarograd.graph import Primitive
from tarograd.ops import arithmetic, elementwise, linear, matmul, random, reduction, shape
from tarograd.ops.shape import ARRAY, fill_key

# How tightly Python's operators bind: what binds less tightly stands in brackets.
COMPARE, ADD, MULTIPLY, UNARY, POWER, ATOM = range(1, 7)

Text = tuple[int, str]  # an expression and how tightly its outermost operator binds
Writer = Callable[[Value, list[Text]], Text]


def within(text: Text, binding: int) -> str:
    """The expression as an operand, in brackets where it needs them."""
    return text[1] if text[0] >= binding else f"({text[1]})"


def _infix(operator: str, binding: int) -> Writer:
    # a < b < c would be two comparisons at once, and a**b**c is a**(b**c).
    left, right = binding + (binding in (COMPARE, POWER)), binding + (binding != POWER)
    return lambda v, x: (binding, f"{within(x[0], left)} {operator} {within(x[1], right)}")


def _call(function: str) -> Writer:
    return lambda v, x: (ATOM, f"{function}({', '.join(text for _, text in x)})")


def _axis(v: Value) -> str:
    axis = v.attributes["axis"]
    return f"axis={axis[0] if isinstance(axis, tuple) and len(axis) == 1 else axis}"


def _method(name: str) -> Writer:
    def write(v: Value, x: list[Text]) -> Text:
        kept = ", keepdims=True" if v.attributes.get("keepdims") else ""
        return ATOM, f"{within(x[0], ATOM)}.{name}({_axis(v)}{kept})"

    return write


def _along(name: str) -> Writer:
    def write(v: Value, x: list[Text]) -> Text:
        kept = f", keepdims={v.attributes['keepdims']}" if "keepdims" in v.attributes else ""
        return ATOM, f"{name}({x[0][1]}, {_axis(v)}{kept})"

    return write


def dtype_text(dtype: Any) -> str:
    """A dtype as it is written: np.float32."""
    return "bool" if np.dtype(dtype) == bool else f"np.{np.dtype(dtype)}"


def _transpose(v: Value, x: list[Text]) -> Text:
    axes = tuple(v.attributes["axes"])
    turned = within(x[0], ATOM)
    return ATOM, f"{turned}.T" if axes == (1, 0) else f"{turned}.transpose({axes})"


def _part(part: Any) -> str:
    if isinstance(part, slice):
        ends = ["" if end is None else str(end) for end in (part.start, part.stop)]
        return ":".join(ends if part.step is None else [*ends, str(part.step)])
    return "..." if part is Ellipsis else str(part)


def _key(v: Value, arrays: list[Text]) -> str:
    key = v.attributes["key"]
    given: tuple[Any, ...] = tuple(arrays)
    texts = fill_key(tuple(p if p is ARRAY else _part(p) for p in key), given)
    return ", ".join(t[1] if isinstance(t, tuple) else t for t in texts) or "()"


def _index(v: Value, x: list[Text]) -> Text:
    return ATOM, f"{within(x[0], ATOM)}[{_key(v, x[1:])}]"


def _scatter(v: Value, x: list[Text]) -> Text:
    dtype = dtype_text(v.attributes["dtype"])
    key = _key(v, x[1:])
    if ":" in key or "..." in key:
        key = f"np.s_[{key}]"
    elif key != "()":
        key = f"({key})" if len(v.attributes["key"]) > 1 else f"({key},)"
    return ATOM, f"scatter({x[0][1]}, {key}, {v.attributes['shape']}, {dtype})"


def _affine(v: Value, x: list[Text]) -> Text:
    product = f"{within(x[0], MULTIPLY)} @ {within(x[1], UNARY)}"
    return ADD, f"{product} + {within(x[2], MULTIPLY)}"


def _dropout(v: Value, x: list[Text]) -> Text:
    scale = 1 / v.attributes["keep"]
    return MULTIPLY, f"{within(x[0], MULTIPLY)} * {within(x[1], UNARY)} * {scale!r}"


def _draw(name: str) -> Writer:
    def write(v: Value, x: list[Text]) -> Text:
        a = v.attributes
        stream = zlib.crc32(a["stream"].encode())
        words = f"{{}}, seed={a['seed']}, step={x[0][1]}, stream={stream}"
        size = int(np.prod(a["shape"]))
        last = a["p"] if name == "bernoulli" else dtype_text(a["dtype"])
        words = words.format(2 * size if name == "normal" else size)
        return ATOM, f"{name}(words({words}), {a['shape']}, {last})"

    return write


def _joined(name: str) -> Writer:
    def write(v: Value, x: list[Text]) -> Text:
        parts = ", ".join(text for _, text in x) + ("," if len(x) == 1 else "")
        return ATOM, f"np.{name}(({parts}), {_axis(v)})"

    return write


def _sum_to(v: Value, x: list[Text]) -> Text:
    """A sum along the axes that are new in the operand, or were stretched; the helper does both."""
    given, dims = v.operands[0].shape, v.shape
    new = len(given) - len(dims)
    axes = [i for i, n in enumerate(given) if i >= new and dims[i - new] != n] or [*range(new)]
    kept = new == 0
    if new and axes != [*range(new)]:
        return ATOM, f"sum_to({x[0][1]}, {dims})"
    axis = axes[0] if len(axes) == 1 else tuple(axes)
    return ATOM, f"{within(x[0], ATOM)}.sum(axis={axis}{', keepdims=True' if kept else ''})"


def number_text(x: Any) -> Text:
    """A Python number as it is written: np.inf."""
    literal = repr(x) if np.isfinite(x) else f"np.{x!r}".replace("np.-", "-np.")
    return (UNARY if literal.startswith("-") else ATOM), literal


def _attribute(format_: str, *names: str) -> Writer:
    def write(v: Value, x: list[Text]) -> Text:
        given = (v.attributes[name] for name in names)
        texts = (number_text(a)[1] if isinstance(a, float) else a for a in given)
        first = within(x[0], ATOM) if format_.startswith("{}") else x[0][1]
        return ATOM, format_.format(first, *texts)

    return write


WRITERS: dict[Primitive, Writer] = {
    arithmetic.add: _infix("+", ADD),
    arithmetic.subtract: _infix("-", ADD),
    arithmetic.multiply: _infix("*", MULTIPLY),
    arithmetic.divide: _infix("/", MULTIPLY),
    arithmetic.power: _infix("**", POWER),
    arithmetic.floor_divide: _infix("//", MULTIPLY),
    arithmetic.remainder: _infix("%", MULTIPLY),
    arithmetic.negative: lambda v, x: (UNARY, f"-{within(x[0], UNARY)}"),
    elementwise.absolute: _call("np.abs"),
    elementwise.clip: _attribute("np.clip({}, {}, {})", "low", "high"),
    elementwise.cast: lambda v, x: (ATOM, f"{within(x[0], ATOM)}.astype({dtype_text(v.dtype)})"),
    elementwise.stop_gradient: lambda v, x: x[0],
    elementwise.greater: _infix(">", COMPARE),
    elementwise.greater_equal: _infix(">=", COMPARE),
    elementwise.less: _infix("<", COMPARE),
    elementwise.less_equal: _infix("<=", COMPARE),
    elementwise.equal: _infix("==", COMPARE),
    elementwise.not_equal: _infix("!=", COMPARE),
    elementwise.relu: lambda v, x: (ATOM, f"np.maximum({x[0][1]}, 0)"),
    elementwise.sigmoid: _call("sigmoid"),
    matmul.matmul: _infix("@", MULTIPLY),
    matmul.affine: _affine,
    random.uniform: _draw("uniform"),
    random.normal: _draw("normal"),
    random.bernoulli: _draw("bernoulli"),
    random.dropout: _dropout,
    reduction.argmax: _method("argmax"),
    reduction.argsort: lambda v, x: (ATOM, f"np.argsort({x[0][1]}, {_axis(v)}, kind='stable')"),
    linear.solve: _call("np.linalg.solve"),
    linear.log_det: lambda v, x: (ATOM, f"np.linalg.slogdet({x[0][1]})[1]"),
    linear.sign_det: lambda v, x: (ATOM, f"np.linalg.slogdet({x[0][1]})[0]"),
    reduction.logsumexp: _along("logsumexp"),
    reduction.softmax: _along("softmax"),
    reduction.log_softmax: _along("log_softmax"),
    reduction.softmax_with_loss: _call("softmax_with_loss"),
    reduction.squared_error: _call("squared_error"),
    shape.repeat: _attribute("np.broadcast_to({}, {})", "shape"),
    shape.sum_to: _sum_to,
    shape.reshape: _attribute("{}.reshape({})", "shape"),
    shape.transpose: _transpose,
    shape.index: _index,
    shape.scatter: _scatter,
    shape.concatenate: _joined("concatenate"),
    shape.stack: _joined("stack"),
    shape.pad: _attribute("np.pad({}, {}, constant_values={})", "widths", "value"),
}
for _p in (reduction.sum, reduction.mean, reduction.max, reduction.min, reduction.prod):
    WRITERS[_p] = _method(_p.name)
for _p in (
    elementwise.exp,
    elementwise.log,
    elementwise.sqrt,
    elementwise.sin,
    elementwise.cos,
    elementwise.expm1,
    elementwise.log1p,
    elementwise.tanh,
    elementwise.sign,
    elementwise.maximum,
    elementwise.minimum,
    elementwise.arcsin,
    elementwise.arccos,
    elementwise.arctan,
    elementwise.arctan2,
    elementwise.arcsinh,
    elementwise.arccosh,
    elementwise.arctanh,
    elementwise.hypot,
    elementwise.floor,
    elementwise.rint,
    elementwise.where,
    elementwise.logical_not,
    elementwise.logical_and,
    elementwise.logical_or,
):
    WRITERS[_p] = _call(f"np.{_p.name}")

# The functions that a source defines at its head if it calls them, in this order.
HELPERS = {
    "words": '''
def words(count, seed, step, stream):
    """Random words that depend on nothing but (seed, step, stream)."""
    key, counter = np.array([seed, stream], np.uint64), np.array([0, int(step), 0, 0], np.uint64)
    return np.random.Philox(key=key, counter=counter).random_raw(count)
''',
    "unit": '''
def unit(words):
    """Numbers in [0, 1) from the upper 53 bits of random words."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
''',
    "bernoulli": '''
def bernoulli(words, shape, p):
    """True with probability p."""
    return unit(words).reshape(shape) < p
''',
    "uniform": '''
def uniform(words, shape, dtype):
    """Numbers in [0, 1)."""
    digits = min(np.finfo(dtype).nmant + 1, 53)
    return ((words >> np.uint64(64 - digits)) * 2.0**-digits).astype(dtype).reshape(shape)
''',
    "normal": '''
def normal(words, shape, dtype):
    """Normally distributed numbers (Box and Muller 1958)."""
    radius, angle = unit(words).reshape(2, -1)
    z = np.sqrt(-2 * np.log1p(-radius)) * np.cos(2 * np.pi * angle)
    return z.reshape(shape).astype(dtype)
''',
    "sigmoid": '''
def sigmoid(x):
    """1 / (1 + exp(-x)) without overflow."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, small) / (1 + small)
''',
    "softmax": '''
def softmax(x, axis):
    """exp(x) / Σ exp(x) without overflow."""
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)
''',
    "logsumexp": '''
def logsumexp(x, axis, keepdims):
    """log Σ exp(x) without overflow."""
    top = x.max(axis=axis, keepdims=True)
    top = np.where(np.isinf(top), 0, top)
    with np.errstate(divide="ignore", over="ignore"):
        y = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
    return y if keepdims else y.squeeze(axis)
''',
    "log_softmax": '''
def log_softmax(x, axis):
    """log softmax(x), exact where that is 0."""
    x = x - x.max(axis=axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=axis, keepdims=True))
''',
    "softmax_with_loss": '''
def softmax_with_loss(x, t):
    """Cross entropy of softmax(x) and t, the mean over the batch."""
    return -(t * np.where(t == 0, 0, log_softmax(x, axis=1))).sum() / len(x)
''',
    "squared_error": '''
def squared_error(y, t):
    """Half of the squared distance, the mean over the batch."""
    return ((y - t) ** 2).sum() / (2 * len(y))
''',
    "sum_to": '''
def sum_to(x, shape):
    """Sum over the axes along which an array of this shape was repeated."""
    new = x.ndim - len(shape)
    stretched = (i + new for i, n in enumerate(shape) if n == 1 and x.shape[i + new] != 1)
    return x.sum(axis=(*range(new), *stretched)).reshape(shape)
''',
    "scatter": '''
def scatter(x, key, shape, dtype):
    """Zeros, with the elements of x added at the places of the key."""
    y = np.zeros(shape, dtype)
    np.add.at(y, key, x)
    return y
''',
}
