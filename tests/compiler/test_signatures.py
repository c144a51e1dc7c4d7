"""What a compiled function is given besides arrays, and what is no function of arrays."""

from __future__ import annotations

import functools
import math
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tarograd as tg
from tarograd.compiler.trace import Untraceable

X = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    ("function", "numbers"),
    [
        (lambda x, n: x * (n // 2) + n % 2 - (n << 1) * (n & 6), (3, 7, -4)),
        (lambda x, n: sum((x * i for i in range(n)), x), (3, 0, 2)),
        (lambda x, n: x[:, :n].sum() + np.arange(n).sum(), (1, 3, 2)),
        (lambda x, n: x.reshape(n, -1) / np.eye(n).sum(), (3, 2, 6)),
        (lambda x, n: x if n > 3 else -x, (3, 5)),
        (lambda x, n: x * 2 if isinstance(n, int) else x * 3, (3, 5)),
        (lambda x, n: x * math.comb(n, 2) + n.bit_length(), (3, 5)),
        (lambda x, n: {f"layer{n}": x}[f"layer{n}"] * n, (3, 5)),
        (lambda x, n: x * 2**n + x / n, (3, 70, -1)),
        (lambda x, n: x * (n * n * n * n), (3, 10**6)),
        (lambda x, n: x * {3: 5.0}.get(n, 1.0), (3, 4)),
        (lambda x, shape: x.reshape(shape), ((3, 2), (6,), (1, 6))),
        (lambda x, axes: x.sum(axis=tuple(axes)), ([0, 1], [1])),
        (tg.softmax, (0, 1)),
    ],
)
def test_whole_numbers_are_those_of_python(function: Callable[..., Any], numbers: Any) -> None:
    fast = tg.compile(function)
    for n in (*numbers, *numbers):
        expected = function(tg.Tensor(X), n).value
        np.testing.assert_allclose(fast(X, n), expected, rtol=1e-12, strict=True)


def test_a_number_that_is_only_computed_with_is_no_reason_to_trace_anew() -> None:
    def adam(m: Any, t: Any, lr: Any = 0.1) -> Any:
        return lr * m / (1 - 0.9**t) + t * 0.5

    fast = tg.compile(adam)
    for t in range(1, 40):  # the warning that it is compiled anew each time would be an error
        np.testing.assert_allclose(fast(X, t, 0.1 / t), adam(X, t, 0.1 / t), rtol=1e-12)


def test_a_number_whose_class_is_asked_for_is_the_number() -> None:
    f = tg.compile(lambda x, p: x * p if isinstance(p, float) else x)
    for p in (2.0, 3.0):
        np.testing.assert_array_equal(f(X, p), X * p)
    told = r"float\(\) of 'p': .*; or let p be a number from around the function"
    with pytest.raises(Untraceable, match=told):  # as of arrays
        tg.compile(lambda x, p: x * float(p))(X, 2.0)


def test_a_number_that_is_needed_as_such_and_always_another_one_is_told() -> None:
    f = tg.compile(lambda x, n: x.sum() + sum(range(n)))
    with pytest.warns(UserWarning, match=r"anew 20 times, now since n is another number, .* range"):
        assert [float(f(X, n)) for n in range(22)] == [15 + n * (n - 1) / 2 for n in range(22)]


@dataclass
class Line:
    w: Any
    b: Any
    scale: float = 2.0
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = self.w.shape[0]


@dataclass(frozen=True)
class Both:
    first: Line
    rest: tuple[Any, ...] = ()


def test_dataclasses_come_and_go() -> None:
    @tg.compile
    def step(both: Both, x: Any) -> Any:
        line = both.first
        loss = ((x @ line.w + line.b) ** 2).sum() * line.scale / line.size
        slopes = tg.grad(loss, {"w": line.w, "b": line.b})
        new = replace(line, w=line.w - slopes["w"], b=line.b - slopes["b"])
        return loss, Both(new, (both.rest[0] + 1,))

    both = Both(Line(np.ones((3, 1)), np.zeros(1)), (np.zeros(2),))
    loss, new = step(both, X)
    assert type(new) is Both
    assert type(new.first) is Line
    y = X.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(loss, 2 * (y**2).sum() / 3)
    np.testing.assert_allclose(new.first.w, 1 - 4 / 3 * X.T @ y)
    np.testing.assert_allclose(new.first.b, -4 / 3 * y.sum(axis=0))
    np.testing.assert_array_equal(new.rest[0], [1, 1])
    assert step(new, X)[1].rest[0].tolist() == [2, 2]


def test_dicts_and_namespaces_keep_their_kind() -> None:
    @tg.compile
    def f(given: Any) -> Any:
        if isinstance(given, SimpleNamespace):
            return SimpleNamespace(w=given.w + 1)
        return type(given)(w=given["w"] * 2) if type(given) is not defaultdict else given

    w = np.ones(2)
    assert f(SimpleNamespace(w=w)).w.tolist() == [2, 2]
    assert type(f(OrderedDict(w=w))) is OrderedDict
    assert type(f({"w": w})) is dict
    assert type(f(defaultdict(list, w=w))) is defaultdict


def test_gradients_by_a_dataclass_are_one() -> None:
    line = Line(tg.Tensor(np.ones(3)), tg.Tensor(2.0), tg.Tensor(3.0))  # type: ignore[arg-type]  # a Tensor
    slopes = tg.grad((line.w * line.b).sum() * line.scale, line)
    assert (slopes.w.value.tolist(), float(slopes.b), float(slopes.scale)) == ([6] * 3, 9, 6)


class Mode(Enum):
    UP = 1
    DOWN = 2


def test_modes_and_dtypes_are_those_of_eager_code() -> None:
    f = tg.compile(lambda x, mode, dtype: (x if mode is Mode.UP else -x).astype(dtype))
    for mode, sign in ((Mode.UP, 1), (Mode.DOWN, -1)):
        for dtype in (np.float32, np.dtype(np.float64)):
            expected = (sign * X).astype(dtype)
            np.testing.assert_array_equal(f(X, mode, dtype), expected, strict=True)


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (np.sum, (X,)),
        (np.tanh, (X,)),
        (np.where, (X > 2, X, 0.0)),
        (np.einsum, ("ij,ij->i", X, X)),
        (functools.partial(np.sum, axis=0), (X,)),
        (functools.partial(np.multiply, 2.0), (X,)),
        (functools.partial(np.linalg.norm, axis=1), (X,)),
    ],
)
def test_functions_of_numpy_themselves(function: Callable[..., Any], given: Any) -> None:
    np.testing.assert_allclose(tg.compile(function)(*given), function(*given), rtol=1e-12)


def yields(x: Any) -> Any:
    yield x


async def waits(x: Any) -> Any:
    return x


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (yields, "waits or yields between its computations: compile a function that returns"),
        (waits, "waits or yields"),
        (classmethod(yields), "put @classmethod above @tg.compile"),
        (property(yields), "put @property above @tg.compile"),
        (tg.nn.Affine, "is no function, method or layer"),
        (max, r"max does not tell which arguments it takes: compile lambda x: max\(x\)"),
    ],
)
def test_what_is_no_function_of_arrays_is_told(function: Any, told: str) -> None:
    with pytest.raises(TypeError, match=told):
        tg.compile(function)


def test_other_arguments_than_a_function_takes_are_told_with_those() -> None:
    def f(x: Any, rate: float = 0.5) -> Any:
        return x * rate

    for given in ((), (X, 1.0, 2.0)):
        with pytest.raises(
            TypeError, match=r"f\(x: .*, rate: .* = 0.5\) -> .*: (missing|too many)"
        ):
            tg.compile(f)(*given)


def test_places_that_numpy_computes_and_lists_of_labels() -> None:
    ordered, middle = tg.compile(lambda x: (np.sort(x, axis=1), np.median(x, axis=1)))(X[::-1])
    np.testing.assert_array_equal(ordered, X[::-1])
    np.testing.assert_array_equal(middle, [4, 1])
    last = tg.compile(lambda x: (x[np.int64(1)] * 2, x + 1))(X)[0]
    np.testing.assert_array_equal(last, 2 * X[1])
    np.testing.assert_array_equal(tg.one_hot([2, 0], 3), np.eye(3)[[2, 0]])
