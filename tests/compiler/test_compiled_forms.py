"""`tg.compile` of what users write: methods, names, numbers and arguments of all kinds."""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tarograd as tg
from tarograd.compiler import Untraceable


class Deep:
    """A network of one's own that is no Layer."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        shapes = (2, 3), (3,), (3, 3), (3,), (3, 1)
        self.w1, self.b1, self.w2, self.b2, self.w3 = (
            tg.Parameter(rng.normal(size=shape)) for shape in shapes
        )

    def forward(self, x: Any) -> Any:
        return np.tanh(np.tanh(x @ self.w1 + self.b1) @ self.w2 + self.b2) @ self.w3


def test_all_parameters_are_found_wherever_they_are() -> None:
    deep, x = Deep(), np.ones((4, 2))
    np.testing.assert_allclose(
        tg.compile(lambda x: deep.forward(x))(x), deep.forward(tg.Tensor(x)).value
    )
    hidden = iter([[tg.Parameter(float(i)) for i in range(1, 9)]] * 9)  # where nobody looks
    assert tg.compile(lambda x: sum(p * x for p in next(hidden)))(1.0) == 36


STEP = """
@tg.compile
def step(x, t):
    loss = net.criterion(net(x), t)
    optimizer.step(tg.grad(loss, net.parameters()))
    return loss
net = tg.nn.TwoLayerNet(4, 3, 2)
optimizer = tg.optim.SGD(net.parameters(), lr=0.1)
"""


def test_a_network_may_be_made_after_the_function() -> None:
    cell: dict[str, Any] = {"tg": tg}
    exec(STEP, cell)
    losses = [cell["step"](np.ones((5, 4), np.float32), np.zeros(5, int)) for _ in range(3)]
    assert losses[2] < losses[0]


def test_a_result_that_is_called_like_an_input_is_another_value() -> None:
    w = tg.Parameter(np.ones(3), "w")
    x = np.array([1.0, 2.0, 3.0])
    assert tg.compile(lambda x: {"x": (x * x).sum()})(x) == {"x": 14}
    assert tg.compile(lambda result: (result * 2).sum())(x) == 12
    tiled = tg.compile(lambda x: {"w": np.tile(w, 10) * x})(2.0)
    np.testing.assert_array_equal(tiled["w"], np.full(30, 2.0))
    np.testing.assert_array_equal(w.value, np.ones(3))
    sgd = tg.optim.SGD([w], lr=0.5)

    @tg.compile
    def step(lr: Any) -> Any:
        sgd.step(tg.grad((w * lr).sum(), [w]))
        return {"w": w, "lr": lr * 2}

    found = step(x)
    np.testing.assert_array_equal(found["w"], 1 - x / 2)
    np.testing.assert_array_equal(found["lr"], 2 * x)
    np.testing.assert_array_equal(w.value, 1 - x / 2)


def test_an_argument_may_be_called_as_two_parameters() -> None:
    a, b = tg.Parameter(np.full(3, 2.0), "w"), tg.Parameter(np.full(3, 5.0), "w")
    np.testing.assert_array_equal(tg.compile(lambda w: w * a + b)(np.ones(3)), [7, 7, 7])


def test_a_quotient_of_a_number_may_be_reshaped() -> None:
    w = tg.Parameter(np.ones((4, 1)))
    f = tg.compile(lambda x: (1 / (1 + np.exp(-(x @ w)))).reshape(-1))
    np.testing.assert_allclose(f(np.ones((2, 4))), np.full(2, 1 / (1 + np.exp(-4))))


@pytest.mark.parametrize("empty", [list, tuple, dict])
def test_a_result_without_anything_is_refused(empty: type) -> None:
    with pytest.raises(Untraceable, match=f"returns an empty {empty.__name__}"):
        tg.compile(lambda x: empty())(1.0)


class Base:
    scale = 2.0

    def __init__(self) -> None:
        self.w = tg.Parameter(np.ones(3))

    @tg.compile
    def f(self, x: Any) -> Any:
        return x * self.w

    @classmethod
    @tg.compile
    def of_class(cls, x: Any) -> Any:
        return x * cls.scale

    @staticmethod
    @tg.compile
    def of_nothing(x: Any) -> Any:
        return x * 3


class Derived(Base):
    scale = 5.0

    @tg.compile
    def f(self, x: Any) -> Any:
        return super().f(x) * 2


class OwnLayer(tg.nn.Layer):
    def __init__(self) -> None:
        self.w = tg.Parameter(np.ones(3))

    @tg.compile
    def f(self, x: Any) -> Any:
        return x * self.w


def test_a_compiled_method_may_call_the_one_that_it_overrides() -> None:
    derived = Derived()
    for _ in range(2):
        np.testing.assert_array_equal(derived.f(np.ones(3)), [2, 2, 2])
        np.testing.assert_array_equal(super(Derived, derived).f(np.ones(3)), [1, 1, 1])


def _pickled(x: Any) -> Any:
    return pickle.loads(pickle.dumps(x))


@pytest.mark.parametrize("kind", [Base, OwnLayer])
@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))]
)
def test_a_copy_has_compiled_methods_of_its_own(kind: type, copied: Callable[[Any], Any]) -> None:
    one = kind()
    np.testing.assert_array_equal(one.f(np.ones(3)), [1, 1, 1])
    other = copied(one)
    other.w = tg.Parameter(np.full(3, 9.0))
    np.testing.assert_array_equal(other.f(np.ones(3)), [9, 9, 9])
    np.testing.assert_array_equal(one.f(np.ones(3)), [1, 1, 1])
    assert one.f is one.f
    method = _pickled(one.f)
    np.testing.assert_array_equal(method(np.ones(3)), [1, 1, 1])


@tg.compile
def double(x: Any) -> Any:
    return x * 2


def test_a_compiled_function_is_pickled_by_its_name_and_a_compiled_layer_whole() -> None:
    assert _pickled(double) is double
    layer = tg.compile(tg.nn.Affine(np.eye(3), np.ones(3)))
    np.testing.assert_array_equal(_pickled(layer)(np.ones((1, 3))), [[2, 2, 2]])


def test_methods_of_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [Base.of_class(1.0), Derived.of_class(1.0), Derived().of_class(1.0)] == [2, 5, 5]
    assert Base.of_nothing(1.0) == Derived().of_nothing(1.0) == 3
    monkeypatch.setattr(Base, "scale", 7.0)
    assert [Base.of_class(1.0), Derived.of_class(1.0)] == [7, 5]


def test_slots_without_a_place_for_compiled_methods_are_told() -> None:
    class Narrow:
        __slots__ = ("w",)

        @tg.compile
        def f(self, x: Any) -> Any:
            return x

    with pytest.raises(TypeError, match=r"Narrow\.f: .*__slots__ leave no place"):
        Narrow().f(1.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_do_not_decide_the_dtype(dtype: Any) -> None:
    w = tg.Parameter(np.ones(2, dtype))
    functions: list[Callable[[Any], Any]] = [
        lambda n: w / (1 - 0.9**n),
        lambda n: w * (n * 0.5),
        lambda n: w * (1 / n),
        lambda n: w * n,
    ]
    for f in functions:
        for n in (3, 3.0, np.float64(3), np.int64(3)):
            found = tg.compile(f)(n)
            np.testing.assert_allclose(found, f(n).value, rtol=1e-6)
            assert found.dtype == f(n).dtype
    for f in functions[:3:2]:  # a count in a state, of which NumPy computes numbers
        count = np.array(3, np.int32)
        assert tg.compile(f)(count).dtype == f(count).dtype == dtype
    both = tg.compile(lambda s: w * s)
    found = [both(s).dtype for s in (np.float64(0.1), np.array(0.1), 0.1, np.array(0.1))]
    assert found == [dtype, np.float64, dtype, np.float64]


@pytest.mark.parametrize("kind", "?bBhHiIlLfd")
def test_sums_of_narrow_whole_numbers_are_wide(kind: str) -> None:
    x = np.array([[1, 0, 1], [1, 1, 1]], kind) * np.array(100, kind)
    f = tg.compile(lambda x: [np.cumsum(x, axis) for axis in (None, 0, 1)])
    for axis, found in zip((None, 0, 1), f(x), strict=True):
        np.testing.assert_array_equal(found, np.cumsum(x, axis), strict=True)
    if kind in "fd":
        eager = np.cumsum(tg.Tensor(x), 0)
        np.testing.assert_array_equal(eager.value, np.cumsum(x, 0), strict=True)  # type: ignore[attr-defined]  # a Tensor


@pytest.mark.parametrize("kind", "bBhHiIlLfd")
@pytest.mark.parametrize("limits", [(1, 3), (None, 3), (1, None), (2, 1), (0.5, 2.25)])
def test_limits_of_whole_numbers_keep_them_whole(kind: str, limits: tuple[Any, Any]) -> None:
    x = np.array([0, 5, 2, 1], kind)
    found = tg.compile(lambda x: np.clip(x, *limits))(x)
    np.testing.assert_array_equal(found, np.clip(x, *limits), strict=True)


def test_limits_of_whole_numbers_have_all_their_digits() -> None:
    x, low = np.array([1, 2**54 + 1]), 2**53 + 1
    np.testing.assert_array_equal(tg.compile(lambda x: x.clip(low))(x), [low, 2**54 + 1])


@pytest.mark.parametrize("kind", "?bBhHiIqQfd")
def test_the_place_of_the_smallest_is_found_among_numbers_of_all_kinds(kind: str) -> None:
    limits = np.iinfo(kind) if kind in "bBhHiIqQ" else None
    low, high = (limits.min, limits.max) if limits else (False, True)
    x = np.array([[high, low, 1], [1, low, low], [high, high, high]], kind)
    f = tg.compile(lambda x: [np.argmin(x, axis) for axis in (None, 0, 1, -1)])
    for y in (x, x[::-1].copy()):
        for axis, found in zip((None, 0, 1, -1), f(y), strict=True):
            np.testing.assert_array_equal(found, np.argmin(y, axis))


@pytest.mark.parametrize("kind", "bBhHiI")
@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.linalg.norm(x),
        lambda x: np.linalg.norm(x, axis=1),
        lambda x: np.linalg.norm(x, 1, axis=0),
        lambda x: np.linalg.norm(x, np.inf, axis=0),
        lambda x: np.average(x, weights=x),
        lambda x: np.average(x, axis=1, weights=np.array([100, 50, 3], x.dtype)),
        lambda x: np.float_power(x, 3),
        lambda x: np.float_power(2, x),
        lambda x: np.float_power(x, np.array([2, 1, 2], x.dtype)),
    ],
)
def test_what_gives_floats_of_narrow_whole_numbers_computes_in_floats(
    function: Callable[[Any], Any], kind: str
) -> None:
    x = np.array([[100, 77, 3], [0, 127, 17]], kind)
    found, expected = tg.compile(function)(x), function(x)
    assert found.dtype == expected.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("exponent", range(1, 9))
def test_powers_of_whole_numbers_are_machine_code(exponent: int) -> None:
    for kind in ("i1", "u1", "i4", "i8"):
        x = np.array([0, 1, 3, 5, 100], kind)
        powers = tg.compile(lambda x, n: (x**exponent, n**exponent * 0.5))
        found, half = powers(x, 3)  # a warning that it runs as NumPy would be an error
        np.testing.assert_array_equal(found, x**exponent, strict=True)
        assert half == 3**exponent / 2


def test_arguments_of_all_kinds_keep_their_places() -> None:
    def several(*xs: Any, argument_scale: float = 2.0, argument0: float = 0.0) -> Any:
        return xs[0] * argument_scale - 3 * sum(xs[1:]) + argument0

    def either(x: Any, /, *rest: Any, **named: Any) -> Any:
        return x - 2 * sum(rest) + 5 * named.get("x", 0) + 7 * named.get("argument0", 0)

    fast = tg.compile(several)
    for given in ((1.0,), (1.0, 2.0), tuple(map(float, range(12)))):
        for named in ({}, {"argument_scale": 3.0}, {"argument0": 9.0}):
            assert fast(*given, **named) == several(*given, **named)
    quick = tg.compile(either)
    for rest, some in (
        ((), {"x": 3.0}),
        ((3.0,), {}),
        ((), {"argument0": 3.0}),
        ((4.0,), {"argument0": 3.0, "x": 2.0}),
    ):
        assert quick(1.0, *rest, **some) == either(1.0, *rest, **some)


def test_what_no_array_can_be_may_be_a_default() -> None:
    w, x = tg.Parameter(np.array([1.0, 2.0])), np.array([0.5, -0.25])
    settings = SimpleNamespace(scale=2.0)

    def named(
        x: Any, w: Any = w, act: Any = np.tanh, k: float = 2.0, *, parts: Any = ({"w": w},)
    ) -> Any:
        return act(x * w) * k + parts[0]["w"]

    def ordered(x: Any, act: Any = np.exp, k: float = 2.0, /) -> Any:
        return act(x) * k

    for compiled in (tg.compile(named), tg.compile(functools.partial(named, w=w, act=np.tanh))):
        for value in ([1.0, 2.0], [3.0, -4.0]):
            w.value = value
            np.testing.assert_allclose(compiled(x), np.tanh(x * value) * 2 + value, rtol=1e-12)
        np.testing.assert_allclose(compiled(x, k=3), np.tanh(x * value) * 3 + value, rtol=1e-12)
    np.testing.assert_allclose(tg.compile(ordered)(x), np.exp(x) * 2, rtol=1e-12)
    with pytest.raises(TypeError, match="w is a Tensor: a compiled function takes arrays"):
        compiled(x, w=w)
    with pytest.raises(TypeError, match=r"net: ReLU: .* or given by functools\.partial"):
        tg.compile(lambda net, x: net(x))(tg.nn.ReLU(), x)
    scaled = tg.compile(lambda x, settings=settings: x * settings.scale)
    for settings.scale in (2.0, 3.0):
        np.testing.assert_array_equal(scaled(x), x * settings.scale)


def test_errors_of_pythons_own_name_tensors_and_parameters() -> None:
    w = tg.Parameter(np.ones(2))
    with pytest.raises(TypeError, match="for <<: 'Parameter' and 'Tensor'"):
        tg.compile(lambda x: w << x)(np.ones(2))
    with pytest.raises(AttributeError, match="'Tensor' object has no attribute 'sort'"):
        tg.compile(lambda x: x.sort())(np.ones(2))
