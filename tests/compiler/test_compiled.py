"""`tg.compile`: what eager code does, as machine code, whatever a user writes around it."""

from __future__ import annotations

import copy
import functools
import sys
import threading
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import tarograd as tg
from tarograd.compiler import Untraceable
from tarograd.optim import OPTIMIZERS

DIGITS = tg.data.load("digits")
X, T = DIGITS.train[:120]


def network(seed: int = 0) -> tg.nn.Network:
    net = tg.nn.Sequential(
        tg.nn.Affine(64, 17), tg.nn.ReLU(), tg.nn.Dropout(0.3), tg.nn.Affine(17, 10), seed=seed
    )
    net.pixel_max = 16
    return net


def trained(make: Callable[..., Any], compiled: bool) -> tuple[list[Any], list[Any], Any]:
    """Some steps by hand: their losses, the parameters and the optimizer's state after them."""
    net = network()
    criterion, optimizer = net.criterion, make(net.parameters())

    def step(x: Any, t: Any) -> Any:
        loss = criterion(net(x), t)
        optimizer.step(tg.grad(loss, net.parameters()))
        return loss

    run = tg.compile(step) if compiled else step
    rng = np.random.default_rng(0)
    losses = [float(run(X[rows], T[rows])) for rows in rng.integers(0, len(X), (12, 31))]
    state = [p.value for p in net.parameters()] + list(optimizer.state_arrays().values())
    return losses, state, run


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_by_hand_is_that_of_eager_code(name: str) -> None:
    def make(parameters: Any) -> Any:
        return OPTIMIZERS[name](parameters, lr=tg.optim.cosine(0.05, 12), weight_decay=1e-3)

    losses, state, step = trained(make, compiled=True)
    expected, expected_state, _ = trained(make, compiled=False)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    for a, b in zip(state, expected_state, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert state[4] == 12  # the number of steps
    source = step.source()
    compile(source, "source", "exec")
    assert "# affine1 (Affine)" in source
    assert source.count("# update") == 1
    assert "daffine1_w = " in source
    assert "matmul" in step.report()


def test_a_step_returns_nothing_or_several_things() -> None:
    w = tg.Parameter([1.0, 2.0], "w")
    sgd = tg.optim.SGD([w], lr=0.5)

    @tg.compile
    def silent(x: Any) -> None:
        sgd.step(tg.grad((w * x).sum(), [w]))

    assert silent(np.array([1.0, 0.0])) is None
    np.testing.assert_array_equal(w.value, [0.5, 2.0])

    @tg.compile
    def several(x: Any) -> Any:
        before = w * 1
        sgd.step(tg.grad((w * x).sum(), [w]))
        return before, w, {"x": x}["x"]

    before, after, x = several(np.array([0.0, 2.0]))
    np.testing.assert_array_equal(before, [0.5, 2.0])
    np.testing.assert_array_equal(after, [0.5, 1.0])
    np.testing.assert_array_equal(x, [0.0, 2.0])
    np.testing.assert_array_equal(w.value, [0.5, 1.0])


def test_a_parameter_is_updated_once_in_a_call() -> None:
    w = tg.Parameter([1.0], "w")
    sgd = tg.optim.SGD([w])

    @tg.compile
    def twice(x: Any) -> Any:
        for _ in range(2):
            sgd.step(tg.grad((w * x).sum(), [w]))

    with pytest.raises(Untraceable, match=r"w is used by 'multiply' after optimizer.step"):
        twice(np.ones(1))
    assert (w.value[0], sgd.step_count, type(w)) == (1.0, 0, tg.Parameter)


@pytest.mark.parametrize("kind", [dict, tuple, list])
def test_results_keep_their_structure(kind: Any) -> None:
    @tg.compile
    def f(x: Any) -> Any:
        return {"x": x + 1, "y": x * 2} if kind is dict else kind([x + 1, x * 2])

    result = f(np.arange(3.0))
    assert type(result) is kind
    first, second = result.values() if kind is dict else result
    np.testing.assert_array_equal(first, [1, 2, 3])
    np.testing.assert_array_equal(second, [0, 2, 4])


def test_dropout_draws_the_masks_of_eager_code() -> None:
    eager, compiled = tg.nn.Dropout(0.5, seed=3), tg.nn.Dropout(0.5, seed=3)

    def twice(layer: Any) -> Any:
        return lambda x: layer(x) + 2 * layer(x)

    fast = tg.compile(twice(compiled))
    x = np.ones((4, 5))
    for _ in range(3):
        np.testing.assert_array_equal(fast(x), twice(eager)(tg.Tensor(x)).value)
    assert compiled._calls == eager._calls == 6
    with tg.context(training=False):
        np.testing.assert_array_equal(fast(x), 3 * x)


def test_arrays_of_any_layout_and_kind() -> None:
    @tg.compile
    def f(x: Any, scale: Any = 2.0) -> Any:
        return x.T * scale + 1

    base = np.arange(24.0).reshape(4, 6)
    locked = base.copy()
    locked.flags.writeable = False
    for x in (base, np.asfortranarray(base), base[::2, ::-3], base[:, :0], base[0], locked):
        np.testing.assert_array_equal(f(x), x.T * 2 + 1)
    assert f(base.astype(np.float32), 0.5).dtype == np.float32
    assert f(np.float32(3)).shape == ()
    assert f(3, scale=np.float64(4)) == 13
    np.testing.assert_array_equal(f([1.0, 2.0], 3), [4, 7])
    np.testing.assert_array_equal(
        tg.compile(lambda x: x.sum(axis=0))(np.zeros((0, 3))), np.zeros(3)
    )


def test_images_are_read_as_the_network_reads_them() -> None:
    net = network()
    with tg.context(training=False):
        np.testing.assert_allclose(tg.compile(net)(X), net.predict(X), atol=1e-6)


def test_half_precision_runs_as_numpy_and_says_so() -> None:
    f = tg.compile(lambda x: x * 2)
    with pytest.warns(UserWarning, match="runs as NumPy, not as machine code: .*float16"):
        y = f(np.ones(2, np.float16))
    np.testing.assert_array_equal(y, np.full(2, 2, np.float16), strict=True)
    assert "float16" in f.report()


SCALE = 2.0
WEIGHT = tg.Parameter(2.0, "weight")
DICE = np.random.default_rng(0)


def test_a_number_around_the_function_may_change(monkeypatch: pytest.MonkeyPatch) -> None:
    offset, layer = 1.0, tg.nn.Dropout(0.0)

    @tg.compile
    def f(x: Any) -> Any:
        return layer(x) * SCALE + offset

    assert f(3.0) == 7
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    assert f(3.0) == 10
    offset = 5.0
    assert f(3.0) == 14
    layer.rate = 0.99
    assert f(np.ones(50)).min() == 5


class Tied(tg.nn.Layer):
    """Two fields with one Parameter."""

    def __init__(self) -> None:
        self.w = tg.Parameter(np.arange(9, dtype=np.float32).reshape(3, 3))
        self.v = self.w

    def call(self, x: Any) -> Any:
        return (x @ self.w) @ self.v


def test_a_parameter_may_be_shared_and_replaced() -> None:
    net = Tied()
    f = tg.compile(lambda x: net(x))
    x = np.eye(3, dtype=np.float32)
    np.testing.assert_allclose(f(x), net.w.value @ net.w.value, rtol=1e-6)
    assert "def f(x, w):" in f.source()
    net.w = tg.Parameter(np.full((3, 3), 2, np.float32))
    np.testing.assert_allclose(f(x), net.w.value @ net.v.value, rtol=1e-6)


class Model:
    """An object of one's own, with a compiled method."""

    def __init__(self, size: float) -> None:
        self.inner = {"net": tg.nn.Affine(2, 2)}
        self.size = size
        self.calls = 0

    @tg.compile
    def predict(self, x: Any) -> Any:
        """Scores."""
        return helper(self.inner["net"], x) * self.size


def helper(net: Any, x: Any) -> Any:
    return net(x) + EXTRA


EXTRA = tg.Parameter(0.5, "extra")


def test_methods_helpers_and_copies() -> None:
    one, two = Model(1.0), Model(10.0)
    x = np.ones((1, 2), np.float32)
    np.testing.assert_allclose(one.predict(x), helper(one.inner["net"], tg.Tensor(x)).value)
    np.testing.assert_allclose(two.predict(x), 10 * one.predict(x), rtol=1e-6)
    other = copy.deepcopy(one)
    other.inner["net"].b.value = np.ones(2)
    assert not np.allclose(other.predict(x), one.predict(x))
    assert set(one.predict._surroundings.leaves) == {"w", "b", "extra"}
    assert one.predict.__doc__ == "Scores."


def test_a_compiled_function_inside_of_another_is_a_part_of_it() -> None:
    @tg.compile
    def square(x: Any) -> Any:
        return x * x

    @tg.compile
    def slope(x: Any) -> Any:
        return tg.grad(square(x), x)

    assert slope(3.0) == 6
    assert square(3.0) == 9


def _traces(function: Any, x: Any, calls: int) -> int:
    """How often it was traced in so many calls."""
    seen = set()
    for _ in range(calls):
        function(x)
        seen.add(id(next(iter(function._known.values()))))
    return len(seen)


CELL = """
@tg.compile
def step(x):
    loss = criterion(net(x), labels)
    optimizer.step(tg.grad(loss, net.parameters()))
    return loss
"""


def test_a_cell_that_is_run_twice_is_not_traced_at_every_call() -> None:
    net = tg.nn.Affine(4, 3)
    cell: dict[str, Any] = {
        "tg": tg,
        "net": net,
        "criterion": tg.nn.SoftmaxWithLoss(),
        "optimizer": tg.optim.SGD(net.parameters(), lr=0.1),
        "labels": np.zeros(2, np.int64),
    }
    x = np.ones((2, 4), np.float32)
    for _ in range(3):
        exec(CELL, cell)  # the name `step` is a global, and one of an attribute that is used
        assert _traces(cell["step"], x, 4) == 1


def test_a_compiled_function_inside_is_watched_as_a_function_is() -> None:
    scale = 2.0
    inner = tg.compile(lambda x: x * scale)
    outer = tg.compile(lambda x: inner(x) + 1)
    assert outer(3.0) == 7
    assert inner(3.0) == 6
    assert _traces(outer, 3.0, 3) == 1
    scale = 10.0
    assert outer(3.0) == 31


def test_what_a_decorator_of_ones_own_sees_is_watched() -> None:
    factor = 2.0

    def scaled(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        @functools.wraps(function)
        def wrapper(x: Any) -> Any:
            return function(x) * factor

        return wrapper

    f = tg.compile(scaled(lambda x: x + 1))
    assert f(3.0) == 8
    factor = 10.0
    assert f(3.0) == 40


def test_anything_that_can_be_called() -> None:
    class Doubles:
        weight = tg.Parameter(2.0, "weight")

        def __call__(self, x: Any) -> Any:
            return x * self.weight

    x = np.arange(3.0)
    doubles = Doubles()
    for function in (
        doubles,
        partial(lambda w, x: w * x, doubles.weight),
        lambda weight: weight * 2,
    ):
        np.testing.assert_array_equal(tg.compile(function)(x), 2 * x)
    same_name = tg.compile(lambda weight: weight * WEIGHT)
    np.testing.assert_array_equal(same_name(x), 2 * x)


def test_texts_and_flags_are_those_of_eager_code() -> None:
    @tg.compile
    def f(x: Any, *, how: str = "sum", negative: bool = False) -> Any:
        y = x.sum() if how == "sum" else x.max()
        return -y if negative else y

    x = np.array([1.0, 2.0])
    assert [f(x), f(x, how="max"), f(x, how="max", negative=True)] == [3, 2, -2]


def test_a_tensor_as_an_argument_is_refused() -> None:
    with pytest.raises(TypeError, match="x is a Tensor: a compiled function takes arrays"):
        tg.compile(lambda x: x * 2)(tg.Tensor(1.0))
    with pytest.raises(TypeError, match="x: object: an array of floats"):
        tg.compile(lambda x: x * 2)(object())
    with pytest.raises(TypeError, match="is no function, method or layer"):
        tg.compile(np.float64(3))  # type: ignore[arg-type]  # no function


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (lambda x: setattr(WEIGHT, "value", x), "setting .value"),
        (lambda x: x * float(WEIGHT), r"float\(\) of 'weight'"),
        (lambda x: x * WEIGHT if WEIGHT > 0 else x, r"bool\(\)"),
        (lambda x: x * tg.Parameter([1.0]), "neither an argument nor one of its parameters"),
        (lambda x: x.value, ".value of 'x'"),
        (lambda x: sum(x * i for i in range(x[0])), r"range\(\)"),
        (lambda x: x.sum(axis=x[0]), r"an axis,: .* made by index, .* Take the number from around"),
        (lambda x: np.expand_dims(x, x[0]), "an axis"),
        (lambda x: x * np.random.rand(), "draws random numbers"),  # noqa: NPY002  # the old way
        (lambda x: x * DICE.random(), "draws random numbers"),
        (lambda x: tg.nn.Dropout(0.5)(x), "makes a layer that draws random numbers anew"),
        (lambda x: tg.optim.SGD([WEIGHT]).step([x]), ".value of 'weight'"),
        (lambda x: None, "returns NoneType"),
        (lambda x: {"a": {"b": x, "c": {1}}}, "returns set as 'c'"),
    ],
)
def test_what_would_be_baked_in_is_refused(function: Callable[..., Any], named: str) -> None:
    with pytest.raises(Untraceable, match=named):
        tg.compile(function)(np.ones(1))
    assert type(WEIGHT) is tg.Parameter
    assert float(WEIGHT) == 2


def test_what_is_refused_cannot_be_caught() -> None:
    def f(x: Any) -> Any:
        try:
            return x * float(x.sum())
        except TypeError:
            return x * 100

    with pytest.raises(Untraceable, match=r"float\(\): a Tensor of shape \(\), made by sum,"):
        tg.compile(f)(np.ones(2))

    def edited(x: Any) -> Any:
        y = np.zeros(2)
        y[0] = x  # NumPy's own error tells of a sequence
        return y * x

    with pytest.raises(Untraceable, match=r"np\.stack instead of y\[i\] = …"):
        tg.compile(edited)(np.ones(2))


def test_an_index_beyond_the_end_raises_at_every_call() -> None:
    f = tg.compile(lambda x, rows: x[rows])
    x = np.arange(12.0).reshape(4, 3)
    np.testing.assert_array_equal(f(x, np.array([3, -4])), x[[3, -4]])
    for wrong in (4, -5):
        with pytest.raises(IndexError, match=f"the index {wrong} is out of bounds"):
            f(x, np.array([0, wrong]))


def test_threads_may_call_it_while_others_use_the_parameters() -> None:
    net = network()
    f = tg.compile(lambda x: net(x))
    with tg.context(training=False):
        expected = net.predict(X)
    wrong: list[Any] = []

    def work() -> None:
        try:
            with tg.context(training=False), warnings.catch_warnings():
                for n in (5, 7, 5, 120):
                    np.testing.assert_allclose(f(X[:n]), expected[:n], atol=1e-5)
                    np.testing.assert_allclose(net.predict(X[:n]), expected[:n], atol=1e-5)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_graph_can_be_drawn_and_differentiated() -> None:
    apple, count = tg.Parameter(100.0, "apple"), tg.Parameter(2.0, "count")
    payment = tg.compile(lambda tax: apple * count * tax)
    with pytest.raises(ValueError, match="call it first"):
        payment.graph  # noqa: B018  # it is a property that raises
    assert payment(1.1) == pytest.approx(220)
    graph = payment.graph
    assert float(graph) == pytest.approx(220)
    graph.backward()
    assert "apple" in str(tg.draw(graph))


@pytest.mark.parametrize("blocked", ["llvmlite", "tarograd.compiler.llvm.native"])
def test_without_llvm_the_readable_source_runs_and_one_line_says_so(
    blocked: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [*sys.modules]:
        if name.startswith("tarograd.compiler.llvm"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, blocked, None)
    net = network()
    sgd = tg.optim.SGD(net.parameters(), lr=0.1)

    @tg.compile
    def step(x: Any, t: Any) -> Any:
        loss = net.criterion(net(x), t)
        sgd.step(tg.grad(loss, net.parameters()))
        return loss

    with pytest.warns(UserWarning, match="step runs as NumPy, not as machine code: LLVM cannot"):
        losses = [float(step(X, T)) for _ in range(3)]
    assert losses[2] < losses[0]
    assert "LLVM cannot be used here" in step.report()
    history = tg.fit(network(), DIGITS, steps=2)
    said = [line for line in capsys.readouterr().err.splitlines() if "not compiled" in line]
    assert len(said) == 1
    assert "LLVM cannot be used here" in said[0]
    assert len(history.losses) == 2


def test_state_that_was_set_between_two_calls_is_used() -> None:
    w = tg.Parameter([1.0, 2.0], "w")
    adam = tg.optim.Adam([w], lr=0.1)
    step = tg.compile(lambda x: adam.step(tg.grad((w * w * x).sum(), [w])))
    other = tg.Parameter([1.0, 2.0], "w")
    eager = tg.optim.Adam([other], lr=0.1)
    x = np.array([1.0, 3.0])
    saved = adam.state_arrays()
    for i in range(6):
        step(x)
        eager.step(tg.grad((other * other * x).sum(), [other]))
        if i == 2:
            for parameter, optimizer in ((w, adam), (other, eager)):
                parameter.value = [5.0, -1.0]
                optimizer.load_state_arrays(saved)
                optimizer.lr = 0.5
        np.testing.assert_allclose(w.value, other.value, rtol=1e-12)
    assert adam.step_count == eager.step_count == 3


def test_what_is_not_recorded_is_compiled_but_nothing_flows_back() -> None:
    f = tg.compile(lambda x: x * 2)
    with tg.context(recording=False):
        assert [float(f(x)) for x in (1.0, 2.0)] == [2, 4]

    @tg.compile
    def partly(x: Any) -> Any:
        with tg.context(recording=False):
            scale = np.exp(x) + SCALE
        return tg.grad((x * scale).sum(), x)

    for x in (np.zeros(2), np.ones(2)):
        np.testing.assert_allclose(partly(x), np.exp(x) + SCALE)


def test_a_constant_in_front_is_no_way_around_the_checks() -> None:
    one = tg.stop_gradient(tg.Tensor(np.ones(3, np.float32)))
    w = tg.Parameter(np.ones(3, np.float32), "w")
    sgd = tg.optim.SGD([w])
    assert tg.compile(lambda x, scale: one * scale + x)(one.value, 0.5).dtype == np.float32

    @tg.compile
    def late(x: Any) -> Any:
        sgd.step(tg.grad((w * x).sum(), [w]))
        return one * w

    with pytest.raises(Untraceable, match=r"w is used by 'multiply' after optimizer\.step"):
        late(one.value)
    with pytest.raises(IndexError, match="out of bounds"):
        tg.compile(lambda rows: one[rows])(np.array([3]))


CUBE = tg.Primitive(
    "cube", "x³", lambda x, *, times=1: times * x**3,
    vjp=(lambda g, y, x, times=1: 3 * times * x**2 * g,),
)  # fmt: skip
MEDIAN = tg.Primitive("median", "½", lambda x: np.partition(x, len(x) // 2)[len(x) // 2])


def test_a_primitive_of_ones_own_is_compiled_from_its_forward() -> None:
    @tg.compile
    def f(x: Any) -> Any:
        y = CUBE(x, times=2) + 1
        return y, tg.grad(y.sum(), x)

    x = np.arange(3.0)
    y, slope = f(x)
    np.testing.assert_array_equal(y, 2 * x**3 + 1)
    np.testing.assert_array_equal(slope, 6 * x**2)
    assert f._called("source").why is None
    assert "# cube: a function" in f.source()
    assert "cube(x, times=2)" in f.source()


def test_a_primitive_of_ones_own_may_use_composites() -> None:
    cut = tg.Primitive("cut", "✂", lambda x: np.clip(x - x.mean(), 0, 1) + tg.relu(np.sort(x)))
    f = tg.compile(lambda x: cut(x) * 2)
    x = np.array([3.0, -1.0, 2.0, 1.5])
    expected = 2 * (np.clip(x - x.mean(), 0, 1) + np.maximum(np.sort(x), 0))
    np.testing.assert_allclose(f(x), expected, rtol=1e-15)
    assert f._called("source").why is None


def test_one_whose_forward_cannot_be_traced_runs_as_numpy() -> None:
    f = tg.compile(lambda x: MEDIAN(x) * 2)
    with pytest.warns(UserWarning, match=r"runs as NumPy, not as machine code: .*np\.partition"):
        assert f(np.array([3.0, 1.0, 2.0])) == 4
