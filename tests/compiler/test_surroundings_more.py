"""What a compiled function sees in places that are less often looked into; eager code is right."""

from __future__ import annotations

import functools
import os
import types
from collections import ChainMap, UserDict, UserList, defaultdict
from collections.abc import Callable
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pytest

import tarograd as tg
from tarograd.compiler import Untraceable
from tarograd.compiler.compiled import Compiled

ONE = np.ones(1)
SCALE = 2.0
VARIABLE: ContextVar[float] = ContextVar("scale", default=2.0)
Case = tuple[Callable[[Any], Any], Callable[[], object]]  # a function, and a change around it
CASES: list[Callable[[], Case]] = []


def case(make: Callable[[], Case]) -> Callable[[], Case]:
    CASES.append(make)
    return make


@case
def a_context_variable() -> Case:
    return (lambda x: x * VARIABLE.get()), lambda: VARIABLE.set(3.0)


@case
def an_object_in_a_context_variable() -> Case:
    variable: ContextVar[Any] = ContextVar("settings")
    variable.set(SimpleNamespace(scale=2.0))
    return (
        lambda x: x * variable.get().scale,
        lambda: setattr(variable.get(), "scale", 3.0),
    )


@case
def an_environment_variable() -> Case:
    return (
        lambda x: x * float(os.environ["SCALE_OF_A_TEST"]),
        lambda: os.environ.update(SCALE_OF_A_TEST="3"),
    )


@case
def a_global_by_a_text() -> Case:
    return (lambda x: x * globals()["SCALE"]), lambda: globals().update(SCALE=3.0)


@case
def a_global_that_hides_a_builtin() -> Case:
    names: dict[str, Any] = {}
    exec("def f(x): return x * max(2.0, 1.0)", names)
    return names["f"], lambda: names.update(max=lambda *_: 3.0)


@case
def a_dict_behind_a_proxy() -> Case:
    numbers = {"scale": 2.0}
    proxy = types.MappingProxyType(numbers)
    return (lambda x: x * proxy["scale"]), lambda: numbers.update(scale=3.0)


@case
def a_view_of_a_dict() -> Case:
    numbers = {"scale": 2.0}
    view = numbers.values()
    return (lambda x: x * sum(view)), lambda: numbers.update(scale=3.0)


@case
def a_dict_of_weak_references() -> Case:
    module = types.ModuleType("settings_of_a_test")
    numbers: WeakKeyDictionary[Any, float] = WeakKeyDictionary({module: 2.0})
    return (lambda x: x * numbers[module]), lambda: numbers.update({module: 3.0})


@case
def a_name_that_a_module_has_not_yet() -> Case:
    module = types.ModuleType("settings_of_a_test")
    return (lambda x: x * getattr(module, "scale", 2.0)), lambda: setattr(module, "scale", 3.0)


@case
def dicts_and_lists_of_ones_own() -> Case:
    first: Any = UserDict(scale=2.0)
    second, third = UserList([2.0]), ChainMap({}, {"scale": 2.0})

    def change() -> None:
        second[0] = first["scale"] = third["scale"] = 3.0

    return (lambda x: x * first["scale"] * second[0] * third["scale"]), change


@case
def an_entry_that_the_first_call_has_made() -> Case:
    numbers: defaultdict[str, float] = defaultdict(lambda: 2.0)
    return (lambda x: x * numbers["scale"]), lambda: numbers.update(scale=3.0)


@case
def a_setting_that_the_first_call_has_made() -> Case:
    made: dict[str, Any] = {}

    def f(x: Any) -> Any:
        if not made:
            made["settings"] = SimpleNamespace(scale=2.0)
        return x * made["settings"].scale

    return f, lambda: setattr(made["settings"], "scale", 3.0)


@case
def a_key_of_a_dict() -> Case:
    key = Kinds()
    table = {key: 1}
    return (lambda x: x * next(iter(table)).factor), lambda: setattr(key, "factor", 3.0)


@case
def the_class_of_an_object() -> Case:
    class First:
        def f(self, x: Any) -> Any:
            return x * 2

    class Second(First):
        def f(self, x: Any) -> Any:
            return x * 3

    thing = First()
    return (lambda x: thing.f(x)), lambda: setattr(thing, "__class__", Second)


@case
def what_a_function_is_made_of() -> Case:
    def helper(x: Any, scale: float = 2.0, *, more: float = 1.0) -> Any:
        return x * scale * more

    def change() -> None:
        helper.__defaults__, helper.__kwdefaults__ = (3.0,), {"more": 5.0}

    return (lambda x: helper(x)), change


@case
def the_code_of_a_function() -> Case:  # which IPython's autoreload replaces
    def helper(x: Any) -> Any:
        return x * 2

    def other(x: Any) -> Any:
        return x * 3

    return (lambda x: helper(x)), lambda: setattr(helper, "__code__", other.__code__)


@case
def a_keyword_of_a_partial() -> Case:
    f = functools.partial(lambda x, scale: x * scale, scale=2.0)
    return (lambda x: f(x)), lambda: f.keywords.update(scale=3.0)


@case
def a_function_by_the_type_of_its_argument() -> Case:
    numbers = {"scale": 2.0}

    @functools.singledispatch
    def f(kind: Any, x: Any) -> Any:
        return x

    @f.register
    def _(kind: int, x: Any) -> Any:
        return x * numbers["scale"]

    return (lambda x: f(1, x)), lambda: numbers.update(scale=3.0)


class Decorated:
    """A decorator with state."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        functools.update_wrapper(self, function)
        self.function, self.scale = function, 2.0

    def __call__(self, x: Any) -> Any:
        return self.function(x) * self.scale


@case
def a_decorator_that_is_an_object() -> Case:
    decorated = Decorated(lambda x: x + 1)
    return (lambda x: decorated(x)), lambda: setattr(decorated, "scale", 3.0)


class Special:
    """What runs without being named."""

    def __init__(self) -> None:
        self.scale = 2.0

    def __getattribute__(self, name: str) -> Any:
        return object.__getattribute__(self, "scale" if name == "other" else name)

    def __lt__(self, other: Any) -> bool:
        return self.scale > 2

    def __abs__(self) -> float:
        return self.scale

    def __int__(self) -> int:
        return int(self.scale)

    def __floordiv__(self, other: Any) -> float:
        return self.scale


@case
def an_attribute_behind_an_operator() -> Case:
    s: Any = Special()
    return (
        lambda x: x * abs(s) * int(s) * (s // 1) * (5 if s < 1 else 7) * s.other,
        lambda: setattr(s, "scale", 3.0),
    )


class Kinds:
    """What is found by a name that is put together."""

    factor, other = 2.0, 2.0

    def by_relu(self, x: Any) -> Any:
        return x * self.factor

    @property
    def shown(self) -> float:
        return 2.0

    @classmethod
    def made(cls, x: Any) -> Any:
        return x * 2


@case
def a_method_by_a_text(kind: str = "relu") -> Case:
    things = Kinds()
    kinds = type("OfTest", (Kinds,), {"factor": 2.0})
    things = kinds()
    return (lambda x: getattr(things, f"by_{kind}")(x)), lambda: setattr(kinds, "factor", 3.0)


@case
def a_property_and_a_method_of_a_class() -> Case:
    kind = type("OfTest", (Kinds,), dict(vars(Kinds)))
    things: Any = kind()

    def change() -> None:
        kind.shown = property(lambda self: 3.0)  # type: ignore[attr-defined]  # it is made here
        kind.made = classmethod(lambda cls, x: x * 5)  # type: ignore[attr-defined]  # as above

    return (lambda x: things.made(x) * things.shown), change


@case
def an_attribute_that_a_class_gets_later() -> Case:
    kind = type("OfTest", (Kinds,), {})
    things = kind()
    return (lambda x: x * things.other), lambda: setattr(kind, "other", 3.0)


@case
def a_function_of_a_module_by_a_text(name: str = "relu") -> Case:
    module = types.ModuleType("activations_of_a_test")
    exec("scale = 2.0\ndef by_relu(x): return x * scale", vars(module))
    return (lambda x: getattr(module, f"by_{name}")(x)), lambda: setattr(module, "scale", 3.0)


@case
def zero_with_another_sign() -> Case:
    thing = SimpleNamespace(zero=0.0)
    return (lambda x: x * np.copysign(1.0, thing.zero)), lambda: setattr(thing, "zero", -0.0)


@case
def a_slot_that_was_empty() -> Case:
    class Slotted:
        __slots__ = ("scale",)

    slotted = Slotted()
    return (
        lambda x: x * (slotted.scale if hasattr(slotted, "scale") else 2.0),
        lambda: setattr(slotted, "scale", 3.0),
    )


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_a_change_around_the_function_is_noticed(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALE_OF_A_TEST", "2")
    monkeypatch.setitem(globals(), "SCALE", 2.0)
    function, change = make()
    fast = tg.compile(function)
    before = fast(ONE)
    np.testing.assert_array_equal(before, function(tg.Tensor(ONE)).value)
    change()
    after = function(tg.Tensor(ONE)).value
    assert after != before
    np.testing.assert_array_equal(fast(ONE), after)


@pytest.mark.parametrize("shape", [(), (3,), (300, 300), (2000, 3)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_may_be_changed_in_place(shape: tuple[int, ...], order: Any) -> None:
    weights = np.full(shape, 2.0, order=order)
    fast = tg.compile(lambda x: (x * weights).sum())
    assert fast(1.0) == weights.sum()
    weights *= 2
    assert fast(1.0) == weights.sum()


def test_a_context_variable_without_a_value_has_none_after_an_error() -> None:
    variable: ContextVar[float] = ContextVar("scale", default=2.0)

    def f(x: Any) -> Any:
        variable.set(3.0)
        raise KeyError("own")

    with pytest.raises(KeyError, match="own"):
        tg.compile(f)(ONE)
    assert variable.get() in (2.0, 3.0)


def test_functions_in_an_array_are_followed() -> None:
    thing = SimpleNamespace(scale=2.0)
    functions = np.array([lambda x: x * thing.scale], dtype=object)
    fast = tg.compile(lambda x: functions[0](x))
    assert fast(1.0) == 2
    thing.scale = 3.0
    assert fast(1.0) == 3


class Count:
    calls = 0

    def __init__(self) -> None:
        self.seen = np.zeros(2)


def test_what_is_counted_in_a_class_or_an_array_is_refused_and_put_back() -> None:
    count = Count()

    def in_class(x: Any) -> Any:
        Count.calls += 1
        return x * Count.calls

    def in_array(x: Any) -> Any:
        count.seen += 1
        return x

    for f, name in ((in_class, "calls"), (in_array, "seen")):
        with pytest.raises(Untraceable, match=f"changes '{name}' while it computes"):
            tg.compile(f)(ONE)
    assert Count.calls == 0
    np.testing.assert_array_equal(count.seen, [0, 0])


class Norm:
    def __init__(self) -> None:
        self.mean = tg.Tensor(np.zeros(2))
        self.training = True

    def __call__(self, x: Any) -> Any:
        mean = x.mean(axis=0) if self.training else self.mean
        return x - mean, mean + 0


def test_a_running_mean_in_a_tensor_is_no_reason_to_trace_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    traced, kept = list[Any](), Compiled._traced

    def noted(self: Any, *given: Any) -> Any:
        traced.append(given)
        return kept(self, *given)

    monkeypatch.setattr(Compiled, "_traced", noted)
    norm, x = Norm(), np.array([[1.0, 2.0], [3.0, 6.0]])
    f = tg.compile(lambda x: norm(x))
    for _ in range(3):
        y, mean = f(x)
        np.testing.assert_array_equal(y, [[-1, -2], [1, 2]])
        norm.mean.value = 0.5 * norm.mean.value + 0.5 * mean
    assert len(traced) == 1
    norm.training = False
    np.testing.assert_array_equal(f(x)[0], x - [1.75, 3.5])
    norm.mean.value = np.ones(2)
    np.testing.assert_array_equal(f(x)[0], x - 1)
    assert len(traced) == 2
