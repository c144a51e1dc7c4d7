"""The trace says what happened: each value, each derivative per use, and leaves all as it was."""

from __future__ import annotations

import base64
import json
import struct
from collections import Counter, defaultdict
from fractions import Fraction
from importlib.resources import files
from typing import Any

import jsonschema
import numpy as np
import pytest
from graphs import TWELVE, apple, branch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tarograd as tg
from tarograd.drawing.labels import Labels, side
from tarograd.drawing.numbers import short, summary
from tarograd.drawing.trace import ROOT, Trace, Value
from tarograd.graph import topological_order

SCHEMA = json.loads((files("tarograd.drawing") / "viewer" / "trace.schema.json").read_text())


def by_name(trace: Trace) -> dict[str, Value]:
    return {v.name: v for v in trace.values if v.name}


def number(array: Any) -> float:
    """A derivative that was computed."""
    assert array is not None
    return float(array)


def recompute(trace: Trace, value: int, array: Any, alone: int | None = None) -> float:
    """The output, summed, when a value is another one; for one of its uses only if `alone`.

    Read from the trace, with NumPy alone: so a numeric derivative of it owes nothing to the
    rules or to the walk of backpropagation.
    """
    known = {v.id: v.array for v in trace.values if v.node is None}
    if alone is None:
        known[value] = array
    for node in trace.nodes:
        inputs = [array if use == alone else known[trace.uses[use].value] for use in node.uses]
        if node.output != value or alone is not None:
            known[node.output] = OPERATIONS[node.op](trace, node, *inputs)
        else:
            known[node.output] = array
    return float(np.sum(known[trace.output]))


def _shaped(function: Any) -> Any:
    return lambda trace, node, x: function(x, trace.values[node.output].array.shape)


def _summed(x: Any, shape: Any) -> Any:
    axes = tuple(i for i, n in enumerate(x.shape) if i >= len(shape) or shape[i] != n)
    return np.sum(x, axis=axes, keepdims=len(shape) == x.ndim).reshape(shape)


def _plain(function: Any) -> Any:
    return lambda trace, node, *inputs: function(*inputs)


OPERATIONS: dict[str, Any] = {
    "add": _plain(np.add),
    "multiply": _plain(np.multiply),
    "divide": _plain(np.divide),
    "negative": _plain(np.negative),
    "exp": _plain(np.exp),
    "log": _plain(np.log),
    "matmul": _plain(np.matmul),
    "where": _plain(np.where),
    "less_equal": _plain(np.less_equal),
    "cast": _plain(lambda x: x),
    "repeat": _shaped(np.broadcast_to),
    "reshape": _shaped(np.reshape),
    "sum": _shaped(_summed),
}


def slope(trace: Trace, value: int, alone: int | None = None) -> Any:
    """The numeric derivative of the output by a value, or through one use of it."""
    array = np.array(trace.values[value].array, float)
    result = np.zeros(array.shape)
    for index in np.ndindex(array.shape):
        ends, step = [], max(1.0, abs(float(array[index])))
        for h in (1e-5, -1e-5):
            moved = array.copy()
            moved[index] += h * step
            ends.append(recompute(trace, value, moved, alone))
        result[index] = (ends[0] - ends[1]) / (2e-5 * step)
    return result


@pytest.mark.parametrize("name", TWELVE)
def test_every_derivative_is_that_of_the_definition_by_differences(name: str) -> None:
    trace = tg.draw(TWELVE[name]()).trace
    checked = 0
    for value in trace.values:
        if value.gradient is not None:
            np.testing.assert_allclose(value.gradient, slope(trace, value.id), 1e-5, 1e-7)
            checked += 1
    for at, use in enumerate(trace.uses):
        if use.gradient is not None:
            np.testing.assert_allclose(use.gradient, slope(trace, use.value, at), 1e-5, 1e-7)
            checked += 1
    assert checked >= 3


def test_the_apple_of_the_textbook() -> None:
    trace = tg.draw(apple()).trace
    found = {
        name: (float(v.array), short(number(v.gradient))) for name, v in by_name(trace).items()
    }
    assert found == {"apple": (100.0, "2.2"), "count": (2.0, "110"), "tax": (1.1, "200")}
    assert short(float(trace.values[trace.output].array)) == "220"
    assert [number(trace.uses[u].gradient) for u in trace.nodes[1].uses] == [1.1, 200.0]
    assert number(by_name(trace)["count"].gradient) == 100 * 1.1  # the true value is kept
    assert [list(e.values()) for e in trace.events()] == [
        ["forward", 0], ["forward", 1], ["start", 4], ["backward", 1], ["backward", 0]
    ]  # fmt: skip


def test_a_branch_has_a_share_for_each_use_and_their_sum() -> None:
    trace = tg.draw(branch()).trace
    x = by_name(trace)["x"]
    shares = [number(use.gradient) for use in trace.uses if use.value == x.id]
    assert len(shares) == 4
    assert sorted(shares) == pytest.approx(sorted([0.5, 0.5, np.exp(0.5), 0.5 * np.exp(0.5)]))
    assert number(x.gradient) == pytest.approx(1 + 1.5 * np.exp(0.5))
    assert [e for e in trace.events() if e["event"] == "accumulate"] == [
        {"event": "accumulate", "value": x.id}
    ]


def test_not_computed_is_not_zero() -> None:
    x = tg.Tensor(-1.0, "x")
    computed, plain = tg.draw(tg.relu(x)).trace, tg.draw(tg.relu(x), backward=False).trace
    assert by_name(computed)["x"].gradient == 0
    assert all(v.gradient is None for v in plain.values)
    data = plain.json()
    assert {v["gradient"] for v in data["values"]} == {None}
    assert {e["event"] for e in data["events"]} == {"forward"}


@pytest.mark.parametrize("name", TWELVE)
def test_what_enters_a_box_is_the_sum_of_what_flows_inside(name: str) -> None:
    trace = tg.draw(TWELVE[name]()).trace
    for group in trace.groups[1:]:
        sums: dict[int, Any] = defaultdict(float)
        for use in trace.uses:
            if use.value in group.enters and group.id in trace.outward(trace.nodes[use.node].group):
                sums[use.value] += 0 if use.gradient is None else use.gradient
        for value, gradient in group.enters.items():
            if gradient is not None:
                np.testing.assert_allclose(gradient, sums[value], 1e-12, 1e-12)
    if name == "two-layer-net":
        names = [(g.name, g.kind, trace.groups[g.parent].name) for g in trace.groups[1:]]
        assert names == [
            ("twolayernet", "TwoLayerNet", "graph"),
            ("affine1", "Affine", "twolayernet"),
            ("relu1", "ReLU", "twolayernet"),
            ("affine2", "Affine", "twolayernet"),
            ("softmaxwithloss", "SoftmaxWithLoss", "graph"),
        ]


def test_drawing_changes_nothing() -> None:
    net = tg.nn.Sequential(tg.nn.Affine(4, 5), tg.nn.Dropout(0.5), tg.nn.Affine(5, 2))
    x, t = np.ones((3, 4), np.float32), np.array([0, 1, 1])
    loss = net.objective(tg.Tensor(x, "x"), t)
    order = topological_order(loss)
    before = np.random.get_state()  # noqa: NPY002  # the global state is the one that must stay
    first = tg.draw(loss, depth=5).json()
    after = np.random.get_state()  # noqa: NPY002  # as above
    assert str(before) == str(after)
    assert all(p.grad is None for p in net.parameters())
    assert topological_order(loss) == order
    tg.graph.verify(loss)
    loss.backward()
    kept = [np.array(p.grad) for p in net.parameters()]
    assert tg.draw(loss, depth=5).json() == first
    assert all(
        np.array_equal(k, np.array(p.grad)) for k, p in zip(kept, net.parameters(), strict=True)
    )


@pytest.mark.parametrize("name", TWELVE)
def test_the_json_fits_its_schema(name: str) -> None:
    data = json.loads(tg.draw(TWELVE[name](), depth=3).json())
    jsonschema.Draft202012Validator(SCHEMA).validate(data)
    assert data["groups"][ROOT]["parent"] is None


def test_the_schema_refuses_what_is_no_trace() -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    data = tg.draw(apple()).trace.json()
    for spoiled in (data | {"version": 2}, data | {"more": 1}, data | {"output": -1}):
        assert not validator.is_valid(spoiled)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array(np.nan), {"data": ["NaN"], "finite": 0, "min": None, "norm": 0.0}),
        (np.array([1e308, -1e308]), {"max": 1e308, "min": -1e308, "finite": 2}),
        (np.array([np.inf, 3.0, -np.inf]), {"data": ["Infinity", 3.0, "-Infinity"], "norm": 3.0}),
        (np.zeros((0, 3)), {"shape": [0, 3], "data": [], "min": None, "norm": 0.0}),
        (np.array([0.0, 4e200]), {"norm": 4e200}),
        (np.array([True, False]), {"dtype": "bool", "max": 1.0}),
        (np.array([1, 2]), {"dtype": "int64", "data": [1.0, 2.0]}),
        (np.array([0, 0, 0, 1, 11]), {"histogram": [3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]}),
    ],
)
def test_summaries_of_special_arrays(array: Any, expected: dict[str, Any]) -> None:
    found = summary(array)
    assert {key: found[key] for key in expected} == expected
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("value", [1e308, -1e308, np.nan, np.inf, 5e-324])
def test_a_histogram_and_an_image_of_extremes(value: float) -> None:
    found = summary(np.array([[0.0, 1.0, value], [2.0, 3.0, -4.0]]))
    assert sum(found["histogram"]) == found["finite"]
    assert found["image"].startswith("iVBORw0KGgo")


@given(
    hnp.arrays(np.float32, st.integers(5, 300), elements=st.floats(-1e6, 1e6, width=32)),
)
def test_a_histogram_counts_what_is_nearest_to_each_of_its_places(array: Any) -> None:
    counts, low, high = summary(array)["histogram"], float(array.min()), float(array.max())
    if low == high:
        assert counts == [0] * 6 + [array.size] + [0] * 5
        return
    span, half = Fraction(high) - Fraction(low), Fraction(1, 2)
    places = [11 * (Fraction(float(x)) - Fraction(low)) / span for x in array]
    near = 11 * Fraction(max(-low, high)) * Fraction(2) ** -23 / span  # what float32 can tell
    clear = [p for p in places if abs(p % 1 - half) > near]
    least = Counter(int(p + half) for p in clear)
    assert sum(counts) == array.size
    assert all(least[i] <= n <= least[i] + len(places) - len(clear) for i, n in enumerate(counts))


def size_of_image(png: str) -> tuple[int, ...]:
    return struct.unpack(">II", base64.b64decode(png)[16:24])


def test_a_row_of_784_is_an_image_and_weights_are_one_whatever_their_width() -> None:
    rows = np.arange(3 * 784.0).reshape(3, 784)
    assert size_of_image(summary(rows)["image"]) == (28, 28)
    assert size_of_image(summary(rows, weights=True)["image"]) == (28, 3)
    net = tg.nn.Sequential(tg.nn.Affine(5, 64))
    trace = tg.draw(net, np.ones((3, 5), np.float32)).trace
    data = trace.json()
    weights = next(v for v in trace.values if v.kind == "parameter" and v.array.ndim == 2)
    value, table = data["values"][weights.id], Labels(trace)
    for which, array in (("array", weights.array), ("gradient", weights.gradient)):
        drawn = table.side(array, which == "gradient")
        assert drawn is not None
        for image in (data["arrays"][value[which]]["image"], drawn.image):
            assert size_of_image(str(image)) == (22, 5)  # a pixel is the mean of three columns


def test_a_view_of_the_same_numbers_is_described_as_if_it_stood_alone() -> None:
    x = tg.Tensor(np.random.default_rng(0).normal(size=(4, 8, 8)), "x")
    trace = tg.draw(np.sin(x.reshape(4, 64))).trace
    table = Labels(trace)
    shapes = set()
    for value in trace.values:
        shapes.add(value.array.shape)
        assert table.side(value.array, False) == side(value.array.copy())
    assert shapes == {(4, 8, 8), (4, 64)}


def test_layers_functions_and_tensors_can_be_drawn() -> None:
    x = np.ones((3, 4), np.float32)
    net = tg.nn.TwoLayerNet(4, 3, 2)
    assert len(tg.draw(net, x).trace.groups) == 5
    assert len(tg.draw(net, x, np.array([0, 1, 1])).trace.groups) == 6
    assert [n.op for n in tg.draw(np.sin, x).trace.nodes] == ["sin"]
    alone = tg.draw(tg.Tensor(3.0, "x")).trace
    assert (alone.nodes, number(alone.values[0].gradient)) == ([], 1.0)
    given = tg.draw(tg.Tensor([1.0, 2.0], "x") * 3, upstream=[1.0, 10.0]).trace
    assert np.asarray(by_name(given)["x"].gradient).tolist() == [3.0, 30.0]


def test_errors_say_what_to_do() -> None:
    x = tg.Tensor([1.0, 2.0])
    with pytest.raises(TypeError, match="a Tensor, a layer or a function is needed"):
        tg.draw(3)
    with pytest.raises(TypeError, match="not a Tensor; give it at least one input of floats"):
        tg.draw(np.sum, np.array([1, 2]))
    with pytest.raises(TypeError, match="a Tensor is drawn as it is"):
        tg.draw(x, 2)
    with pytest.raises(ValueError, match=r"an upstream gradient of shape \(3,\)"):
        tg.draw(x * 2, upstream=[1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="depth=-1"):
        tg.draw(x, depth=-1)


def test_a_long_computation_is_folded_into_parts_that_add_up() -> None:
    x = tg.Tensor(1.001, "x")
    y = x
    for _ in range(500):
        y = y * 1.001 + x
    trace = tg.draw(y).trace
    assert sum(node.group == ROOT for node in trace.nodes) == 0
    parts = [g for g in trace.groups if g.parent == ROOT and g.id]
    assert 2 <= len(parts) <= 60
    assert sum(g.size for g in parts) == len(trace.nodes) == 1000
    total = sum(number(g.enters[0]) for g in parts if 0 in g.enters)
    assert total == pytest.approx(sum(1.001**k for k in range(501)), rel=1e-9)


def test_an_array_given_to_a_network_enters_from_outside_without_a_derivative() -> None:
    images = np.ones((2, 2, 2), np.uint8)
    for net in (
        tg.nn.TwoLayerNet(4, 3, 2),
        tg.nn.Sequential(tg.nn.Sequential(tg.nn.Affine(4, 2))),
    ):
        picture = tg.draw(net.objective(images, np.array([0, 1])))
        x = by_name(picture.trace)["x"]
        assert (x.kind, x.home, x.gradient) == ("constant", ROOT, None)
        np.testing.assert_allclose(x.array, images / 255)
        assert "\nx ──" in "\n" + str(picture)
