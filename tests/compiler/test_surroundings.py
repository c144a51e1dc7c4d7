"""What a compiled function sees around itself: watched, never taken for a constant, never lost."""

from __future__ import annotations

import functools
import operator
import random
import sys
import types
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

import tarograd as tg
from tarograd.compiler import Compiled, Untraceable
from tarograd.compiler.guard import Traced
from tarograd.compiler.names import is_library
from tarograd.compiler.surroundings import Surroundings

ONE = np.ones(1)


class Scaled:
    """An object of one's own, whose methods read its attributes."""

    shared = 2.0
    table: ClassVar[dict[str, float]] = {"scale": 2.0}

    def __init__(self) -> None:
        self.scale = 2.0
        self.kept: Any = [2.0]

    def forward(self, x: Any) -> Any:
        return self.deeper(x)

    def deeper(self, x: Any) -> Any:
        return x * self.scale

    def of_class(self, x: Any) -> Any:
        return x * self.shared

    def of_table(self, x: Any) -> Any:
        return x * self.table["scale"]

    def by_text(self, x: Any) -> Any:
        return x * getattr(self, "scale", 1.0)

    def times_kept(self, x: Any) -> Any:
        return functools.reduce(lambda y, k: y * k, self.kept, x)

    @property
    def twice(self) -> float:
        return 2 * self.scale

    def __call__(self, x: Any) -> Any:
        return x * self.scale

    def __getitem__(self, x: Any) -> Any:
        return x * self.scale


class Slotted:
    __slots__ = ("scale",)

    def __init__(self) -> None:
        self.scale = 2.0


class Own(tg.nn.Layer):
    """A layer whose attributes are called as some of tarograd's own."""

    def __init__(self) -> None:
        self.lr = self._calls = self.states = 2.0

    def call(self, x: Any) -> Any:
        return x * self.lr * self._calls * self.states


def _changed(f: Callable[[Any], Any], change: Callable[[], object]) -> tuple[Any, Any]:
    """What the compiled function gives after a change, and what eager code gives."""
    fast = tg.compile(f)
    np.testing.assert_array_equal(fast(ONE), f(tg.Tensor(ONE)).value)
    change()
    return fast(ONE), f(tg.Tensor(ONE)).value


@pytest.mark.parametrize(
    "use",
    [
        lambda o: o.forward,
        lambda o: lambda x: o.forward(x),
        lambda o: lambda x: o(x),
        lambda o: lambda x: o[x],
        lambda o: lambda x: o.by_text(x),
        lambda o: lambda x: x * o.twice,
        lambda o: lambda x: x * {"inner": [o]}["inner"][0].scale,
        lambda o: functools.partial(Scaled.forward, o),
    ],
)
def test_an_attribute_that_a_method_reads_may_change(use: Any) -> None:
    scaled = Scaled()
    found, expected = _changed(use(scaled), lambda: setattr(scaled, "scale", 3.0))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("on", [Scaled, Scaled()])
def test_an_attribute_of_a_class_may_change(on: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    scaled = Scaled() if on is Scaled else on
    for f in (scaled.of_class, lambda x: scaled.of_class(x), lambda x: x * Scaled.shared):
        found, expected = _changed(f, lambda: monkeypatch.setattr(on, "shared", 3.0))
        np.testing.assert_array_equal(found, expected)
        monkeypatch.undo()
    found, expected = _changed(
        scaled.of_table, lambda: monkeypatch.setitem(Scaled.table, "scale", 3.0)
    )
    np.testing.assert_array_equal(found, expected)


class Again(Scaled):
    """What it calls of the class above stands in code that it overrides itself."""

    def of_class(self, x: Any) -> Any:
        return super().of_class(x) + 1

    @property
    def twice(self) -> float:
        return super().twice + 1


class AndAgain(Again):
    def of_class(self, x: Any) -> Any:
        return super().of_class(x) * 10


def test_what_super_reads_may_change_and_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    thing = AndAgain()
    method = tg.compile(thing.of_class)
    assert method(ONE) == 30
    monkeypatch.setattr(Scaled, "shared", 4.0)
    assert method(ONE) == 50
    monkeypatch.setattr(Scaled, "of_class", lambda self, x: x * self.scale)
    assert method(ONE) == 30
    thing.scale = 5.0
    assert method(ONE) == 60
    monkeypatch.setattr(Again, "of_class", lambda self, x: x)
    assert method(ONE) == 10
    of_property = tg.compile(lambda x: x * thing.twice)
    assert of_property(ONE) == 11
    thing.scale = 3.0
    assert of_property(ONE) == 7


def test_a_method_may_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    scaled = Scaled()
    new = lambda self, x: x * 7  # noqa: E731  # a method
    found, _ = _changed(
        lambda x: scaled.forward(x), lambda: monkeypatch.setattr(Scaled, "deeper", new)
    )
    assert found == 7


@pytest.mark.parametrize("name", ["lr", "_calls", "states"])
def test_an_attribute_of_ones_own_layer_may_be_called_as_one_of_ours(name: str) -> None:
    layer = Own()
    found, expected = _changed(lambda x: layer(x), lambda: setattr(layer, name, 3.0))
    np.testing.assert_array_equal(found, expected)


def test_slots_modules_and_attributes_of_functions_may_change() -> None:
    slotted, settings = Slotted(), types.ModuleType("settings")
    vars(settings)["scale"] = 2.0

    def helper(x: Any) -> Any:
        return x * vars(helper)["scale"]

    helper.scale = 2.0  # type: ignore[attr-defined]  # of a function
    for owner, f in (
        (slotted, lambda x: x * slotted.scale),
        (settings, lambda x: x * settings.scale),
        (helper, lambda x: helper(x)),
    ):
        found, expected = _changed(f, lambda owner=owner: setattr(owner, "scale", 3.0))  # type: ignore[misc]  # bound here
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("module", ["numpy_of_ones_own", "tarograd_demo"])
def test_a_module_is_ones_own_if_its_name_only_begins_as_ours(module: str) -> None:
    own = types.ModuleType(module)
    exec("scale = 2.0\ndef f(x): return x * scale", vars(own))
    found, expected = _changed(own.f, lambda: setattr(own, "scale", 3.0))
    np.testing.assert_array_equal(found, expected)


def test_a_global_may_be_defined_after_the_function() -> None:
    cell: dict[str, Any] = {"tg": tg}
    exec("@tg.compile\ndef f(x): return x * scale\nscale = 2.0", cell)
    assert cell["f"](1.0) == 2
    cell["scale"] = 3.0
    assert cell["f"](1.0) == 3
    with pytest.raises(TypeError, match="is no function, method or layer"):
        tg.compile(np.ones(2))  # type: ignore[arg-type]  # no function


def test_lists_and_dicts_may_grow_and_shrink() -> None:
    cases: list[tuple[Any, Callable[[Any], object]]] = [
        ([2.0], lambda x: x.append(5.0)),
        ([2.0, 3.0], lambda x: x.pop()),
        (deque([2.0]), lambda x: x.append(5.0)),
        ({2.0}, lambda x: x.add(5.0)),
        ({2.0: 1}, lambda x: x.update({5.0: 1})),
        ({2.0: 1}, lambda x: x.update({5.0: x.pop(2.0)})),
    ]
    for factors, grow in cases:
        some = Scaled()
        some.kept = factors
        found, expected = _changed(some.times_kept, functools.partial(grow, factors))
        np.testing.assert_array_equal(found, expected)
    net = tg.nn.Sequential(tg.nn.Affine(np.eye(1), np.zeros(1)))
    double = tg.nn.Affine(2 * np.eye(1), np.zeros(1))
    f = tg.compile(lambda x: net(x))
    assert f(np.ones((1, 1))) == 1
    net.layers["more"] = double
    assert f(np.ones((1, 1))) == 2


@dataclass(kw_only=True, eq=False, repr=False)
class Slowed(tg.optim.Optimizer):
    """An optimizer of one's own."""

    gamma: float = 1.0

    def rule(self, w: Any, g: Any, state: Any, lr: Any, step: Any) -> Any:
        return w - lr * self.gamma * g, {}


def test_a_setting_of_ones_own_optimizer_may_change() -> None:
    w = tg.Parameter(ONE)
    optimizer = Slowed([w], lr=0.25)
    step = tg.compile(lambda x: optimizer.step(tg.grad((w * x).sum(), [w])))
    step(ONE)
    optimizer.gamma = 2.0
    step(ONE)
    assert w.value == 1 - 0.25 - 0.5


def test_a_learning_rate_that_the_function_itself_reads_may_change() -> None:
    sgd = tg.optim.SGD([tg.Parameter(ONE)], lr=2.0)
    found, expected = _changed(lambda x: x * sgd.lr, lambda: setattr(sgd, "lr", 3.0))
    np.testing.assert_array_equal(found, expected)


class Dice:
    def __init__(self, rng: Any) -> None:
        self.rng = rng

    def noise(self, x: Any) -> Any:
        return x + self.rng.normal()


def test_random_numbers_are_refused_wherever_they_come_from() -> None:
    dice = Dice(np.random.default_rng(0))
    old = np.random.RandomState(0)  # the old way
    own, normal = random.Random(0), np.random.default_rng(0).normal
    functions: list[Callable[[Any], Any]] = [
        lambda x: dice.noise(x),
        dice.noise,
        lambda x: x + old.normal(),
        lambda x: x + own.random(),
        lambda x: x + own.gauss(0.0, 1.0),
        lambda x: x + normal(),
        lambda x: x + random.random(),
    ]
    state = dice.rng.bit_generator.state
    for f in functions:
        with pytest.raises(Untraceable, match="draws random numbers"):
            tg.compile(f)(ONE)
    assert dice.rng.bit_generator.state == state


def test_what_is_looked_through_is_bounded() -> None:
    table = [[float(i) for i in range(900)] for _ in range(900)]
    seen = Surroundings(lambda x: x * table[0][0])
    assert sum(map(len, (place.look() for place in seen._places.values()))) < 50
    ring: list[Any] = []
    ring.append(ring)
    assert Surroundings(lambda x: ring).changed() is None
    assert is_library("pytest")
    assert not is_library(__name__)


class Keeps(tg.nn.Layer):
    """Keeps what it computes, as the textbook's layers do."""

    def __init__(self) -> None:
        self.w = tg.Parameter(np.eye(3))
        self.out: Any = None
        self.shape: Any = None

    def call(self, x: Any) -> Any:
        self.x = x
        self.shape = x.shape
        self.cache = (x, {"w": self.w})
        self.out = np.tanh(x @ self.w)
        return self.out


def _traced(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is traced from now on."""
    seen: list[Any] = []
    kept = Compiled._traced

    def traced(self: Any, *given: Any) -> Any:
        seen.append(given)
        return kept(self, *given)

    monkeypatch.setattr(Compiled, "_traced", traced)
    return seen


def test_a_layer_may_keep_what_it_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, traced = Keeps(), _traced(monkeypatch)
    f = tg.compile(lambda x: layer(x))
    x = np.ones((2, 3))
    for _ in range(3):
        np.testing.assert_allclose(f(x), np.tanh(x))
    assert len(traced) == 1
    assert vars(layer)["out"] is None
    assert not hasattr(layer, "x")
    for _ in range(3):  # what eager code keeps is there to stay, and no reason to trace anew
        np.testing.assert_allclose(layer(tg.Tensor(x)).value, f(x))
        assert isinstance(layer.out, tg.Tensor)
    assert len(traced) <= 3
    f(np.ones((4, 3)))
    f(x)
    assert not isinstance(layer.out, Traced)


class Stateful(tg.nn.Layer):
    """One that changes, in some way, what its next call computes."""

    def __init__(self, how: Callable[[Any, Any], Any]) -> None:
        self.how, self.state = how, 0.0
        self.nothing = None
        self.list: list[Any] = []

    def call(self, x: Any) -> Any:
        return self.how(self, x)


def _counts(self: Any, x: Any) -> Any:
    self.state += 1
    return x


def _averages(self: Any, x: Any) -> Any:
    self.state = 0.9 * self.state + 0.1 * x.mean()
    return x


def _remembers(self: Any, x: Any) -> Any:
    self.nothing = x if self.nothing is None else 0.9 * self.nothing + x
    return x


def _switches(self: Any, x: Any) -> Any:
    y = x if self.nothing is None else 2 * x
    self.nothing = x
    return y


def _appends(self: Any, x: Any) -> Any:
    self.list.append(x)
    return x


@pytest.mark.parametrize("how", [_counts, _averages, _remembers, _switches, _appends])
def test_state_outside_of_the_graph_is_refused(how: Any) -> None:
    layer = Stateful(how)
    with pytest.raises(Untraceable, match=r"changes '(state|nothing|list)' while it computes"):
        tg.compile(lambda x: layer(x))(np.ones(3))
    assert (layer.state, layer.nothing, layer.list) == (0.0, None, [])


def test_a_parameter_may_be_made_at_the_first_call() -> None:
    class Lazy(tg.nn.Layer):
        w: Any = None

        def call(self, x: Any) -> Any:
            if self.w is None:
                self.w = tg.Parameter(np.full(x.shape[-1], 2.0))
            self.out = x * self.w
            return self.out

    layer = Lazy()
    f = tg.compile(lambda x: layer(x))
    np.testing.assert_array_equal(f(np.ones(3)), [2, 2, 2])
    assert not hasattr(layer, "out")
    layer.w.value = np.full(3, 5.0)
    np.testing.assert_array_equal(f(np.ones(3)), [5, 5, 5])


def test_what_changes_from_call_to_call_is_told() -> None:
    layer = Own()
    f = tg.compile(lambda x: layer(x))

    def called(lr: float) -> float:
        layer.lr = lr
        return float(f(1.0))

    with pytest.warns(UserWarning, match="anew 20 times, now since 'lr' has changed: give as an"):
        found = [called(lr) for lr in np.arange(25.0)]
    assert found == list(4 * np.arange(25.0))


class Stored:
    """A descriptor that keeps its value under another name."""

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        return vars(owner)["kept"]

    def __set__(self, owner: Any, value: Any) -> None:
        vars(owner)["kept"] = value


class Kind(type):
    scale = 2.0


class Named(dict[str, float], metaclass=Kind):
    """A dict with attributes, of a class with attributes."""

    stored = Stored()


def test_descriptors_metaclasses_and_attributes_of_dicts_may_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    named = Named(key=2.0)
    named.stored = named.own = 2.0  # type: ignore[attr-defined]  # any attribute
    changes: list[tuple[Callable[[Any], Any], Callable[[], object]]] = [
        (lambda x: x * named.stored, lambda: setattr(named, "stored", 3.0)),
        (lambda x: x * named.own, lambda: setattr(named, "own", 3.0)),  # type: ignore[attr-defined]  # the same
        (lambda x: x * named["key"], lambda: named.update(key=3.0)),
        (lambda x: x * Named.scale, lambda: monkeypatch.setattr(Kind, "scale", 3.0)),
    ]
    for f, change in changes:
        assert _changed(f, change) == (3, 3)


def test_the_step_around_a_call_is_no_reason_to_trace_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    traced, layer = _traced(monkeypatch), tg.nn.Dropout(0.5)
    f = tg.compile(lambda x: x * 2)
    for step in range(5):
        with tg.context(seed=0, step=step):
            assert f(1.0) == 2
    assert len(traced) == 1
    drops = tg.compile(lambda x: layer(x))
    drops(np.ones(9))
    with tg.context(step=3), pytest.raises(Untraceable, match="with the fixed step 3"):
        drops(np.ones(9))


def test_attributes_whose_names_are_computed_are_watched() -> None:
    numbers = types.SimpleNamespace(w1=1.0, w2=2.0)
    f = tg.compile(lambda x: x * sum(getattr(numbers, f"w{i}") for i in (1, 2)))
    assert f(1.0) == 3
    numbers.w1 = 9.0
    assert f(1.0) == 11


def test_what_a_weak_reference_or_attrgetter_leads_to_is_watched() -> None:
    inner = Scaled()
    outer = types.SimpleNamespace(back=weakref.ref(inner), deep=types.SimpleNamespace(j=3.0))
    of_reference = tg.compile(lambda x: x * outer.back().scale)
    read = operator.attrgetter("deep.j")
    of_path = tg.compile(lambda x: x * read(outer))
    assert (of_reference(ONE), of_path(ONE)) == (2, 3)
    inner.scale, outer.deep.j = 4.0, 5.0
    assert (of_reference(ONE), of_path(ONE)) == (4, 5)


def test_a_module_that_is_imported_inside_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("hyper_of_a_test")
    module.scale = 2.0  # type: ignore[attr-defined]  # it is made here
    monkeypatch.setitem(sys.modules, "hyper_of_a_test", module)

    def f(x: Any) -> Any:
        from hyper_of_a_test import scale  # type: ignore[import-not-found]  # as above

        return x * scale

    compiled = tg.compile(f)
    assert compiled(1.0) == 2
    module.scale = 9.0  # type: ignore[attr-defined]  # as above
    assert compiled(1.0) == 9
