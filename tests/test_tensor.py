"""The Tensor: what it takes, how it behaves beside other numbers, and what it refuses."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tarograd as tg
from agreement import assert_agrees, gradient
from rows import collected, locked
from tarograd import Parameter, Tensor
from tarograd.graph import topological_order
from tarograd.ops import elementwise

OPERATORS: list[Callable[..., Any]] = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.pow,
]
COMPARISONS: list[Callable[..., Any]] = [
    operator.gt,
    operator.ge,
    operator.lt,
    operator.le,
    operator.eq,
    operator.ne,
]
CHOICES: list[Callable[..., Any]] = [np.maximum, np.minimum, lambda a, b: np.where(a > b, a, b)]
V = np.array([0.9, 0.45, 1.4])
drawn_by_seed = settings(max_examples=60, derandomize=True)


def names(y: Tensor) -> list[str]:
    """The primitives of the graph in topological order."""
    return [x.node.primitive.name for x in topological_order(y) if x.node is not None]


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        (1, np.float64),
        (True * 2.5, np.float64),
        ([1, 2], np.float64),
        ([[1.5], [2]], np.float64),
        ([], np.float64),
        (np.float32(1), np.float32),
        (np.ones(2, np.float32), np.float32),
        (np.ones(2, np.float16), np.float16),
    ],
)
def test_a_value_keeps_its_float_dtype_and_lists_become_float64(given: Any, dtype: Any) -> None:
    x = Tensor(given)
    assert x.dtype == dtype
    assert np.array_equal(x.value, np.asarray(given))
    assert (x.shape, x.ndim, x.size) == (x.value.shape, x.value.ndim, x.value.size)


@pytest.mark.parametrize(
    "given", [np.arange(3), np.int64(3), np.array([True]), [True], 1j, np.ones(3, complex), ["a"]]
)
def test_data_that_is_not_float_is_refused(given: Any) -> None:
    array = np.asarray(given)
    with pytest.raises(TypeError) as caught:
        Tensor(given)
    for part in (str(array.dtype), str(array.shape), "array.astype(float)"):
        assert part in str(caught.value)


def test_a_tensor_of_a_tensor_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Tensor\(1, name='x'\) is a Tensor already.*\.value"):
        Tensor(Tensor(1.0, "x"))


@pytest.mark.parametrize("f", OPERATORS)
@pytest.mark.parametrize(
    "other", [2.5, 3, np.float64(2.5), np.float32(2.5), np.int64(3), V, [1, 2, 3]]
)
def test_operators_take_numbers_arrays_and_lists_on_both_sides(
    f: Callable[..., Any], other: Any
) -> None:
    plain = np.asarray(other) if isinstance(other, list) else other
    for left in (False, True):
        x = Tensor(V)
        y = f(other, x) if left else f(x, other)
        expected = f(plain, V) if left else f(V, plain)
        assert y.node is not None
        np.testing.assert_allclose(y.value, expected, rtol=1e-15)
    assert_agrees(lambda x: f(x, plain), [V])
    assert_agrees(lambda x: f(plain, x), [V])


@pytest.mark.parametrize("f", OPERATORS + COMPARISONS + CHOICES[:2])
@pytest.mark.parametrize(
    "other",
    [2.5, 3, True, np.float64(2.5), np.int64(3), np.arange(1, 4), np.ones(3, np.uint8), [2, 3, 4]],
    ids=repr,
)
def test_float32_stays_float32_beside_numbers_and_whole_numbers(
    f: Callable[..., Any], other: Any
) -> None:
    for left in (False, True):
        x = Tensor(V.astype(np.float32))
        y = f(other, x) if left else f(x, other)
        if f in COMPARISONS:
            assert y.dtype == bool
            continue
        assert y.dtype == np.float32
        assert "cast" not in names(y)
        y.backward(np.ones(3))
        assert gradient(x).dtype == np.float32


@pytest.mark.parametrize("f", [*OPERATORS, *CHOICES, operator.matmul])
def test_float64_beside_float32_is_promoted_by_a_node_that_can_be_seen(
    f: Callable[..., Any],
) -> None:
    for left in (False, True):
        x = Tensor(V.astype(np.float32), "x")
        y = f(V, x) if left else f(x, V)
        assert y.dtype == np.float64
        assert "cast" in names(y)
        y.backward(np.ones(y.shape))
        assert gradient(x).dtype == np.float32
        wide = Tensor(x.value.astype(float))
        (f(V, wide) if left else f(wide, V)).backward(np.ones(y.shape))
        np.testing.assert_allclose(gradient(x), gradient(wide), rtol=1e-6)


def test_masks_stay_bool() -> None:
    x = Tensor(np.array([1.0, 2.0], np.float32))
    y = x * np.array([True, False]) + np.array([True, True])
    assert y.dtype == np.float32
    assert names(y) == ["multiply", "add"]
    chosen: Any = np.where(x > 1, x * (x > 1.5), x)
    assert sorted(names(chosen)) == ["greater", "greater", "multiply", "where"]
    whole = x.value > 1.5
    assert np.array_equal((x @ whole).value, 2)


@drawn_by_seed
@given(st.data())
def test_elementwise_operations_broadcast_as_numpy_does(data: st.DataObject) -> None:
    shapes = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    a, b = (locked(np.array(rng.uniform(0.5, 2, s))) for s in shapes.input_shapes)
    f = data.draw(st.sampled_from(OPERATORS + CHOICES[:2] + COMPARISONS))
    assert_agrees(f, [a, b])
    y = f(Tensor(a), Tensor(b))
    assert names(y).count("repeat") == sum(x.shape != y.shape for x in (a, b))
    assert names(f(Tensor(a), b)).count("repeat") == (a.shape != y.shape)


@drawn_by_seed
@given(st.data())
def test_shapes_that_do_not_fit_are_named(data: st.DataObject) -> None:
    a, b = (tuple(data.draw(st.lists(st.integers(0, 3), max_size=3))) for _ in range(2))
    x, y = Tensor(np.ones(a)), Tensor(np.ones(b))
    try:
        expected = np.broadcast_shapes(a, b)
    except ValueError:
        with pytest.raises(ValueError, match="counted from the right") as caught:
            x - y
        assert f"subtract: the shapes {a} and {b} do not fit" in str(caught.value)
    else:
        assert (x - y).shape == expected


def keys(shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    """Every kind of index: basic, boolean, lists, integer arrays, and these beside slices."""
    rows = st.integers(-shape[0], shape[0] - 1)
    places = hnp.arrays(int, hnp.array_shapes(max_dims=2, max_side=4), elements=rows)
    kinds: list[st.SearchStrategy[Any]] = [
        hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True, max_dims=4),
        hnp.arrays(bool, shape),
        hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=3)),
        st.lists(rows, max_size=4),
        places,
    ]
    if len(shape) > 1:
        slices = st.builds(slice, st.none(), st.none(), st.sampled_from([-2, -1, 2]))
        kinds += [st.tuples(places, st.just(...), slices), st.tuples(slices, st.just([0, 0]))]
    return st.one_of(kinds)


@settings(max_examples=150, derandomize=True)
@given(st.data())
def test_indexing_takes_the_same_elements_and_gives_their_gradients_back(
    data: st.DataObject,
) -> None:
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=3))
    key = data.draw(keys(shape))
    value = np.random.default_rng(0).normal(size=shape)
    x = Tensor(value)
    y = x[key]
    assert np.array_equal(y.value, value[key])
    g = locked(np.random.default_rng(1).normal(size=y.shape))
    y.backward(g)
    places = np.asarray(np.arange(value.size).reshape(shape)[key])
    np.testing.assert_allclose(gradient(x), collected(g, places, shape), rtol=1e-14, atol=1e-15)
    tg.graph.verify(y)


def test_an_index_computed_from_tensors_is_data() -> None:
    x = Tensor([[1.0, 5.0], [7.0, 2.0]])
    (x[x > 1.5].sum() + x[x.argmax(axis=0)].sum() + x[True].sum()).backward()
    assert np.array_equal(gradient(x), [[2, 3], [3, 3]])


def test_a_tensor_is_a_sequence_of_its_rows() -> None:
    x = Tensor([[1.0, 2.0], [3.0, 4.0]])
    assert len(x) == 2
    first, second = x
    (first * second).sum().backward()
    assert np.array_equal(gradient(x), [[3, 4], [1, 2]])


FIRST = np.array([True, False, False])

METHODS: list[tuple[Callable[[Any], Any], Callable[[Any], Any]]] = [
    (lambda x: x.sum(0), lambda x: np.sum(x, 0)),
    (lambda x: x.mean(axis=1, keepdims=True), lambda x: np.mean(x, axis=1, keepdims=True)),
    (lambda x: x.max(1), lambda x: np.max(x, 1)),
    (lambda x: x.min(), lambda x: np.min(x)),
    (lambda x: x.argmax(0), lambda x: np.argmax(x, 0)),
    (lambda x: x.argmin(1, keepdims=True), lambda x: np.argmin(x, 1, keepdims=True)),
    (lambda x: (x > 1).any(axis=1), lambda x: np.any(x > 1, axis=1)),
    (lambda x: (x < 1).all(0, keepdims=True), lambda x: np.all(x < 1, 0, keepdims=True)),
    (lambda x: x.cumsum(1), lambda x: np.cumsum(x, 1)),
    (lambda x: x.diagonal(1), lambda x: np.diagonal(x, 1)),
    (lambda x: x.repeat([1, 2], axis=0), lambda x: np.repeat(x, [1, 2], axis=0)),
    (lambda x: x.take([4, 0]), lambda x: np.take(x, [4, 0])),
    (lambda x: x.trace(), lambda x: np.trace(x)),
    (lambda x: x.reshape(3, -1), lambda x: np.reshape(x, (3, -1))),
    (lambda x: x.reshape((6,)), lambda x: np.reshape(x, 6)),
    (lambda x: x.reshape(-1), lambda x: np.ravel(x)),
    (lambda x: x.transpose(), lambda x: np.transpose(x)),
    (lambda x: x.transpose(1, 0), lambda x: np.transpose(x)),
    (lambda x: x.transpose((0, 1)), lambda x: x),
    (lambda x: x.T, lambda x: np.transpose(x)),
    (lambda x: x.relu(), lambda x: np.maximum(x, 0)),
    (lambda x: x.sigmoid(), lambda x: 1 / (1 + np.exp(-x))),
    (lambda x: x.tanh(), lambda x: np.tanh(x)),
    (lambda x: x.exp(), lambda x: np.exp(x)),
    (lambda x: (x * x).log(), lambda x: np.log(x * x)),
    (lambda x: abs(x), lambda x: np.abs(x)),
    (lambda x: -x, lambda x: np.negative(x)),
    (lambda x: +x, lambda x: x),
    (lambda x: ~(x > 0), lambda x: np.logical_not(x > 0)),
    (lambda x: (x > 0) & (x < 1), lambda x: np.logical_and(x > 0, x < 1)),
    (lambda x: (x < 0) | (x > 1), lambda x: np.logical_or(x < 0, x > 1)),
    (lambda x: (x > 0) ^ (x < 1), lambda x: np.not_equal(x > 0, x < 1)),
    (lambda x: FIRST & (x > 0), lambda x: np.logical_and(FIRST, x > 0)),
    (lambda x: x.prod(axis=0), lambda x: np.prod(x, axis=0)),
    (lambda x: x.var(1, ddof=1), lambda x: np.var(x, axis=1, ddof=1)),
    (lambda x: x.std(axis=0, keepdims=True), lambda x: np.std(x, axis=0, keepdims=True)),
    (lambda x: x.ravel(), lambda x: np.ravel(x)),
    (lambda x: x[:1].squeeze(), lambda x: np.squeeze(x[:1])),
    (lambda x: x.swapaxes(0, 1), lambda x: np.swapaxes(x, 0, 1)),
    (lambda x: x.dot(x.T), lambda x: np.dot(x, np.transpose(x))),
    (lambda x: x.clip(-0.5, 0.95), lambda x: np.clip(x, -0.5, 0.95)),
    (lambda x: x.clip(max=0.95), lambda x: np.clip(x, None, 0.95)),
]


@pytest.mark.parametrize(("method", "function"), METHODS)
def test_methods_are_numpys_functions(
    method: Callable[[Any], Any], function: Callable[[Any], Any]
) -> None:
    value = np.array([[0.31, -0.62, 1.3], [1.72, 0.93, -1.51]])
    assert_agrees(function, [value])
    x, same = Tensor(value), Tensor(value)
    y, expected = method(x), function(same)
    np.testing.assert_allclose(y.value, expected.value, rtol=1e-15, atol=0)
    if y.dtype.kind == "f":
        y.backward(y.value)
        expected.backward(y.value)
        np.testing.assert_allclose(gradient(x), gradient(same), rtol=1e-12, atol=1e-15)


def test_astype_brings_the_gradient_back_and_refuses_whole_numbers() -> None:
    x = Tensor([1.5, 2.5])
    y = x.astype(np.float32)
    assert y.dtype == np.float32
    (y * y).sum().backward()
    assert gradient(x).dtype == np.float64
    assert np.array_equal(gradient(x), [3, 5])
    with pytest.raises(TypeError, match=r"astype\(int64\) of float64, shape .* would cut"):
        x.astype(np.int64)


def test_a_whole_number_is_an_index_and_another_is_not() -> None:
    x = Tensor([1.0, 5.0, 3.0])
    assert "abc"[np.argmax(x)] == "b"
    assert list(range(np.argmax(x))) == [0]
    with pytest.raises(TypeError, match="only integer scalar arrays"):
        range(x[0])


def test_a_leaf_takes_a_new_value_and_a_computed_tensor_does_not() -> None:
    x = Tensor(np.array([1.0, 2.0], np.float32), "x")
    x.value = [3, 4]
    assert x.dtype == np.float32
    assert np.array_equal(x.value, [3, 4])
    with pytest.raises(ValueError, match=r"a value of shape \(3,\) for x of shape \(2,\)"):
        x.value = np.ones(3)
    with pytest.raises(AttributeError, match="only a leaf's"):
        (x * 2).value = [1, 2]


def test_a_gradient_can_be_replaced_or_forgotten() -> None:
    x = Tensor(np.ones(2, np.float32))
    x.grad = [1, 2]
    assert gradient(x).dtype == np.float32
    with pytest.raises(ValueError, match=r"a gradient of shape \(3,\) for a value of \(2,\)"):
        x.grad = np.ones(3)
    (x * 3).sum().backward()
    assert np.array_equal(gradient(x), [4, 5])
    x.zero_grad()
    assert x.grad is None


def test_printing() -> None:
    assert str(Tensor(220.00000000000003)) == "Tensor(220)"
    assert str(Tensor(np.float32(0.1))) == "Tensor(0.1)"
    assert repr(Tensor([1.0, 2.5], "x")) == "Tensor([1.  2.5], name='x')"
    assert repr(Tensor(np.ones(1, np.float32))) == "Tensor([1.], dtype=float32)"
    assert repr(Tensor([1.0]) > 0) == "Tensor([ True], dtype=bool)"
    assert f"{Tensor(2.0):.3f} {Tensor(2.0)}" == "2.000 Tensor(2)"
    assert repr(elementwise.exp) == "Primitive(exp)"


def test_numbers_of_one_element() -> None:
    x = Tensor([[2.5]])
    assert x.item() == 2.5
    assert (float(Tensor(2.5)), int(Tensor(2.5))) == (2.5, 2)
    assert bool(Tensor(1.0) > 0)
    assert not Tensor(0.0)
    with pytest.raises(ValueError, match="ambiguous"):
        bool(Tensor([1.0, 2.0]))
    with pytest.raises(ValueError, match="size 1"):
        Tensor([1.0, 2.0]).item()


def test_equality_is_elementwise_and_the_hash_is_the_identity() -> None:
    x, y = Tensor([1.0, 2.0]), Tensor([1.0, 3.0])
    assert np.array_equal((x == y).value, [True, False])
    assert np.array_equal((x != y).value, [False, True])
    assert len({x, y, x}) == 2


def test_deepcopy_of_a_leaf_is_independent_and_of_a_computed_tensor_is_refused() -> None:
    model = {"w": Parameter([1.0, 2.0], "w")}
    model["same"] = model["w"]
    (model["w"] * 3).sum().backward()
    twin = copy.deepcopy(model)
    assert twin["w"] is twin["same"]
    assert isinstance(twin["w"], Parameter)
    assert twin["w"].name == "w"
    twin["w"].value = [5, 6]
    (twin["w"] * 2).sum().backward()
    assert np.array_equal(model["w"].value, [1, 2])
    assert np.array_equal(gradient(model["w"]), [3, 3])
    assert np.array_equal(gradient(twin["w"]), [5, 5])
    with pytest.raises(TypeError, match=r"without its graph; copy its \.value"):
        copy.deepcopy(model["w"] * 2)


REFUSED: list[tuple[Callable[[Tensor], Any], type[Exception], str]] = [
    (lambda x: x + 1j, TypeError, "add: an input of type complex: numbers are needed"),
    (lambda x: x + np.complex128(1j), TypeError, "add: an input of type complex128"),
    (lambda x: x * "2", TypeError, "multiply: an input of type str"),
    (lambda x: x == [None], TypeError, "equal: an input of type list"),
    (lambda x: x[0.5], IndexError, "only integers"),
    (lambda x: x[np.array([0.5])], TypeError, "an index of dtype float64: only integers and bools"),
    (lambda x: x[x], TypeError, "an index of dtype float64: only integers and bools"),
    (lambda x: x[5], IndexError, "index 5 is out of bounds for axis 0 with size 2"),
    (lambda x: x.__setitem__(0, 1), TypeError, "np.where(mask, new, x)"),
    (lambda x: x @ x, ValueError, "matmul: (2, 3) @ (2, 3): the columns of the left one"),
    (lambda x: x @ 2, ValueError, "matmul: (2, 3) @ (): the columns"),
    (lambda x: np.ones((2, 2, 2)) @ np.stack([x] * 3), ValueError, "the stacks do not fit"),
    (lambda x: x.sum(axis=2), np.exceptions.AxisError, "sum: axis=2 for the shape (2, 3)"),
    (lambda x: x.max(axis=(0, 0)), np.exceptions.AxisError, "max: axis=(0, 0) for the shape"),
    (lambda x: x.reshape(4, 2), ValueError, "the 6 elements of (2, 3) do not fill (4, 2)"),
    (lambda x: x.reshape(-1, -1), ValueError, "the 6 elements of (2, 3) do not fill (-1, -1)"),
    (lambda x: x.transpose(0), ValueError, "(0,) does not name each axis of (2, 3) once"),
]


@pytest.mark.parametrize(("mistake", "error", "message"), REFUSED)
def test_mistakes_are_named(
    mistake: Callable[[Tensor], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        mistake(Tensor(np.ones((2, 3)), "x"))
    assert message in str(caught.value)


def test_a_leaf_that_was_set_after_it_was_used_is_refused() -> None:
    x = tg.Tensor([2.0, 3.0], "x")
    y = (x * x).sum()
    old = x.value
    x.value = [5.0, 7.0]
    with pytest.raises(ValueError, match=r"name='x'\) was given another value after 'multiply'"):
        y.backward()
    with pytest.raises(ValueError, match="before the update, or compute again"):
        tg.grad(y, x)
    assert x.grad is None
    x.value = old
    y.backward()
    assert x.grad is not None
    assert np.array_equal(x.grad, [4.0, 6.0])


@pytest.mark.parametrize("key", ["array", 1.5, {0}, object()])
def test_an_index_that_is_none_is_refused(key: Any) -> None:
    with pytest.raises(IndexError, match="only integers, slices, lists and arrays"):
        tg.Tensor([1.0, 2.0])[key]


def test_a_parameter_says_what_it_is() -> None:
    assert repr(tg.Parameter([1.0], "w")) == "Parameter([1.], name='w')"
    assert str(tg.Parameter(2.0)) == "Parameter(2)"
