"""The graph: what is recorded, in which order, in which context, and its grammar."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tarograd as tg
from agreement import assert_agrees, gradient
from tarograd import Primitive, Tensor
from tarograd.graph import (
    Group,
    Node,
    Operand,
    current_context,
    current_group,
    group,
    topological_order,
    verify,
)
from tarograd.ops import arithmetic, elementwise

double = Primitive("double", "2x", lambda x: 2 * x, vjp=(lambda g, y, x: 2 * g,))


def computed(value: Any, primitive: Primitive, *inputs: Any) -> Tensor:
    """A value that claims to come from `primitive`."""
    y = Tensor(np.asarray(value, float) if not isinstance(value, np.ndarray) else value)
    y.node = Node(primitive, inputs, {})
    return y


def test_a_primitive_computes_on_arrays_and_is_recorded_on_tensors() -> None:
    assert double(np.float64(3)) == 6
    x = Tensor(3.0)
    y = double(x)
    assert y.node is not None
    assert (y.node.primitive, y.node.inputs, y.node.attributes) == (double, (x,), {})
    assert (y.item(), x.node) == (6, None)


def test_nodes_primitives_and_groups_are_frozen() -> None:
    y = double(Tensor(3.0))
    for thing, field in ((y.node, "inputs"), (double, "vjp"), (Group("a", "A"), "name")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(thing, field, None)


def test_the_apple_shop_is_two_nodes() -> None:
    apple, count, tax = Tensor(100, "apple"), Tensor(2, "count"), Tensor(1.1, "tax")
    payment = apple * count * tax
    total = payment.node.inputs[0] if payment.node else None
    assert isinstance(total, Tensor)
    assert total.node is not None
    assert total.node.inputs == (apple, count)
    order = topological_order(payment)
    assert [x.name for x in order if isinstance(x, Tensor)] == ["apple", "count", None, "tax", None]
    assert order[2] is total
    assert order[-1] is payment


def test_topological_order_visits_a_shared_value_once_and_after_its_inputs() -> None:
    x = Tensor(2.0)
    a = x * x
    b = a + x
    y = b * a - b
    order = topological_order(y)
    assert len(order) == len({id(operand) for operand in order}) == 5
    assert order[0] is x
    assert order[-1] is y


programs = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=8
)


def run(program: list[tuple[int, int, int]], *leaves: Any) -> Any:
    """An expression that uses its values again and again, written for arrays and Tensors alike."""
    known = list(leaves)
    for kind, i, j in program:
        a, b = known[i % len(known)], known[j % len(known)]
        results = (
            lambda a, b: a + b,
            lambda a, b: a - 0.5 * b,
            lambda a, b: np.sin(a * b),
            lambda a, b: np.tanh(a) / (1.5 + np.tanh(b)),
            lambda a, b: np.exp(-a * a),
            lambda a, b: np.log(2 + np.sin(b)) * a,
            lambda a, b: (1.2 + np.cos(a)) ** np.tanh(b),
            lambda a, b: np.tanh(a @ b.T) @ b,
            lambda a, b: a - np.mean(b, axis=0, keepdims=True),
            lambda a, b: np.concatenate([a[1:], b[::-1][:1]]),
        )
        known.append(results[kind](a, b))
    return np.stack([known[-1], np.tanh(known[len(known) // 2])])


@settings(max_examples=60, derandomize=True)
@given(programs, st.integers(0, 99))
def test_random_graphs_with_sharing(program: list[tuple[int, int, int]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    leaves = [rng.uniform(-1, 1, (2, 3)), rng.uniform(-1, 1, (2, 3))]
    assert_agrees(lambda *xs: run(program, *xs), leaves)
    y = run(program, *map(Tensor, leaves))
    position = {id(x): i for i, x in enumerate(topological_order(y))}
    assert len(position) == len(topological_order(y))
    for operand in topological_order(y):
        inputs = operand.node.inputs if operand.node else ()
        for x in inputs:
            assert not isinstance(x, Operand) or position[id(x)] < position[id(operand)]


def test_verify_accepts_every_float_special() -> None:
    x = Tensor([np.nan, np.inf, -0.0])
    with np.errstate(invalid="ignore"):
        verify((x - x) * 2)


def test_verify_finds_a_writeable_value() -> None:
    x = Tensor([1.0, 2.0])
    y = x + x
    y._value = y.value.copy()
    with pytest.raises(ValueError, match=r"the value of Tensor\(\[2\. 4\.\]\) is writeable"):
        verify(y)


def test_verify_finds_a_value_that_its_inputs_do_not_give() -> None:
    x = Tensor([1.0, 2.0])
    with pytest.raises(ValueError, match=r"add: computed again .* another value"):
        verify(computed([2, 4.0000001], arithmetic.add, x, x))
    with pytest.raises(ValueError, match=r"exp: computed again .* another value"):
        verify(computed(np.exp(x.value).astype(np.float32), elementwise.exp, x))


def test_verify_finds_a_leaf_that_was_given_another_value() -> None:
    x = Tensor(2.0)
    y = x * x
    verify(y)
    x.value = 3.0
    with pytest.raises(ValueError, match="multiply: computed again"):
        verify(y)


def test_verify_finds_inputs_of_other_shapes_and_dtypes() -> None:
    x, row = Tensor(np.ones((2, 3))), Tensor(np.ones(3))
    with pytest.raises(ValueError, match=r"add: inputs .*\(3,\).* beside an output \(2, 3\)"):
        verify(computed(x.value + row.value, arithmetic.add, x, row))
    short = Tensor(np.ones(3, np.float32))
    with pytest.raises(ValueError, match=r"add: inputs of the dtypes \['float32', 'float64'\]"):
        verify(computed(row.value + short.value, arithmetic.add, row, short))


def test_verify_finds_a_primitive_that_gives_something_else_each_time() -> None:
    calls = iter(range(10))
    moody = Primitive("moody", "?", lambda x: x + next(calls))
    with pytest.raises(ValueError, match="moody: computed again"):
        verify(moody(Tensor(1.0)))


def test_groups_nest_and_nodes_know_theirs() -> None:
    x = Tensor(1.0)
    with group("net", "Sequential"):
        with group("affine1", "Affine"):
            y = x * 2
        z = y + 1
    outside = z * 3
    assert y.node is not None
    assert y.node.group is not None
    assert y.node.group.path() == "net.affine1"
    assert y.node.group.kind == "Affine"
    assert z.node is not None
    assert z.node.group is y.node.group.parent
    assert outside.node is not None
    assert outside.node.group is None


def test_a_group_ends_when_its_block_raises() -> None:
    with pytest.raises(KeyError), group("net", "Sequential"):
        raise KeyError
    assert current_group() is None


def test_context_nests_and_is_restored_after_an_error() -> None:
    before = current_context()
    with tg.context(seed=3, step=5):
        with tg.context(step=6, training=False):
            assert current_context() == before._replace(seed=3, step=6, training=False)
        with pytest.raises(KeyError), tg.context(step=7):
            raise KeyError
        assert current_context() == before._replace(seed=3, step=5)
    assert current_context() == before


def test_an_unknown_setting_is_named() -> None:
    with (
        pytest.raises(TypeError, match="there is no setting record, train; there are recording, "),
        tg.context(train=False, record=False),
    ):
        pass


def test_without_recording_values_are_constants() -> None:
    x = Tensor([1.0, 2.0])
    with tg.context(recording=False):
        y = x.exp() @ x + x[0]
    assert y.item() == np.exp(x.value) @ x.value + 1
    assert topological_order(y) == [y]
    with pytest.raises(TypeError, match="computed from constants only"):
        y.backward()
    z = (y * x).sum()
    z.backward()
    assert np.array_equal(gradient(x), [y.item()] * 2)
    verify(z)


def test_each_thread_has_its_own_context() -> None:
    x = Tensor(2.0)
    inside = threading.Barrier(2, timeout=10)
    seen: dict[bool, Any] = {}

    def compute(recording: bool) -> None:
        with tg.context(recording=recording), group(str(recording), "Layer"):
            inside.wait()
            y = x * x
            inside.wait()
            seen[recording] = (y, current_context().recording, current_group())

    threads = [threading.Thread(target=compute, args=(r,)) for r in (True, False)]
    with tg.context(seed=1):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(topological_order(seen[True][0])) == 2
    assert topological_order(seen[False][0]) == [seen[False][0]]
    for recording, (_, was_recording, where) in seen.items():
        assert was_recording is recording
        assert where.path() == str(recording)
    assert current_context().seed is None
