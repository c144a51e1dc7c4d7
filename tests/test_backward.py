"""Backpropagation: the book's numbers, the chain rule, and rules that are wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agreement import gradient
from tarograd import Primitive, Tensor, grad
from tarograd.backward import backpropagate
from tarograd.graph import Node, Operand, topological_order

EXACT = 1e-12


def near(given: Any, expected: Any) -> None:
    np.testing.assert_allclose(given, expected, rtol=EXACT, atol=0)


def slopes(y: Tensor, *leaves: Tensor) -> list[float]:
    y.backward()
    return [float(gradient(x)) for x in leaves]


def test_two_apples_cost_220() -> None:
    apple, count, tax = Tensor(100), Tensor(2), Tensor(1.1)
    payment = apple * count * tax
    near(payment.value, 220)
    near(slopes(payment, apple, count, tax), [2.2, 110, 200])


def test_two_apples_and_three_oranges_cost_715() -> None:
    apple, apples = Tensor(100), Tensor(2)
    orange, oranges, tax = Tensor(150), Tensor(3), Tensor(1.1)
    total = apple * apples + orange * oranges
    payment = total * tax
    near(payment.value, 715)
    near(grad(payment, total).value, 1.1)
    near(slopes(payment, apple, apples, orange, oranges, tax), [2.2, 110, 3.3, 165, 650])


def test_the_square_of_a_sum() -> None:
    x, y = Tensor(3.0), Tensor(4.0)
    t = x + y
    z = t**2
    near(z.value, 49)
    near(grad(z, t).value, 14)
    near(slopes(z, x, y), [14, 14])


NODES: list[tuple[str, Callable[..., Any], list[Any], Any, float, list[Any]]] = [
    ("+", lambda x, y: x + y, [10.0, 5.0], 15, 1.3, [1.3, 1.3]),
    ("×", lambda x, y: x * y, [10.0, 5.0], 50, 1.3, [6.5, 13]),
    ("÷", lambda x: 1 / x, [4.0], 0.25, 2, [-0.125]),
    ("exp", lambda x: np.exp(x), [2.0], np.exp(2.0), 3, [3 * np.exp(2.0)]),
    ("log", lambda x: np.log(x), [8.0], np.log(8.0), 2, [0.25]),
    ("branch", lambda x: 3 * x + 4 * x, [5.0], 35, 2, [14]),
    ("Sum", lambda x: np.sum(x, axis=0), [[[1.0, 2], [3, 4]]], [4, 6], 2, [[[2, 2], [2, 2]]]),
    ("Repeat", lambda x: x + np.zeros((3, 2)), [[1.0, 2.0]], [[1, 2]] * 3, 2, [[6, 6]]),
    ("sigmoid", lambda x: 1 / (1 + np.exp(x * -1)), [0.0], 0.5, 2, [0.5]),
    ("matmul", lambda x, w: x @ w, [[[1.0, 2]], [[3.0], [4]]], [[11]], 2, [[[6, 8]], [[2], [4]]]),
]


@pytest.mark.parametrize(
    ("f", "inputs", "y", "g", "expected"), [n[1:] for n in NODES], ids=[n[0] for n in NODES]
)
def test_the_nodes_of_the_book(
    f: Callable[..., Any], inputs: list[Any], y: Any, g: float, expected: list[Any]
) -> None:
    leaves = [Tensor(x) for x in inputs]
    output = f(*leaves)
    near(output.value, y)
    output.backward(np.full(output.shape, g))
    for x, slope in zip(leaves, expected, strict=True):
        near(gradient(x), slope)


def test_the_repeat_node_of_the_book_is_a_sum_backward_and_the_sum_node_a_repeat() -> None:
    rng = np.random.default_rng(0)
    x, g = rng.normal(size=(1, 8)), rng.normal(size=(7, 8))
    leaf = Tensor(x)
    (leaf + np.zeros((7, 8))).backward(g)
    near(gradient(leaf), np.sum(g, axis=0, keepdims=True))
    leaf = Tensor(g)
    leaf.sum(axis=0, keepdims=True).backward(x)
    near(gradient(leaf), np.repeat(x, 7, axis=0))


def test_a_value_times_itself_is_two_edges() -> None:
    a = Tensor(3.0)
    y = a * a
    assert y.node is not None
    assert y.node.inputs == (a, a)
    walk = backpropagate(topological_order(y), np.float64(2), [a], lambda x: x.value)
    steps = [(x, float(g), tuple(map(float, shares))) for x, g, shares in walk]
    assert steps == [(y, 2, (6, 6)), (a, 12, ())]


def test_a_branch_gets_the_sum_of_all_ways() -> None:
    x = Tensor(2.0)
    a = x * 3
    b, c = a + x, a * x
    near(slopes(b * c - a, x), [4 * 12 + 8 * 12 - 3])


def test_a_second_backward_adds_and_nothing_is_counted_twice() -> None:
    x = Tensor(2.0)
    y = x * x * x
    y.backward()
    near(gradient(x), 12)
    y.backward()
    near(gradient(x), 24)
    (x * 5).backward()
    near(gradient(x), 29)


def test_gradients_do_not_depend_on_what_was_differentiated_before() -> None:
    x, w = Tensor([1.0, 2.0]), Tensor([3.0, 4.0])
    h = x * w
    first, second = (h * h).sum(), h.sum()
    first.backward()
    x.zero_grad()
    w.zero_grad()
    second.backward()
    assert np.array_equal(gradient(x), w.value)
    assert np.array_equal(gradient(w), x.value)
    assert h.grad is None


def test_upstream_is_honored_and_never_kept() -> None:
    x = Tensor([1.0, 2.0])
    g = np.array([10.0, 100.0])
    (+x).backward(g)
    (x * 1).backward(g)
    g[:] = -1
    assert np.array_equal(gradient(x), [20, 200])
    x.zero_grad()
    x.backward(Tensor([3.0, 4.0]))
    assert np.array_equal(gradient(x), [3, 4])


def test_gradients_are_read_only() -> None:
    x, y = Tensor([1.0, 2.0]), Tensor([3.0, 4.0])
    (x + y).sum().backward()
    for leaf in (x, y):
        with pytest.raises(ValueError, match="read-only"):
            gradient(leaf)[0] = 5


@pytest.mark.parametrize("start", [np.ones(3), np.ones(()), np.ones((2, 1)), [1.0]])
def test_an_upstream_gradient_of_another_shape_is_refused(start: Any) -> None:
    y = Tensor([1.0, 2.0]) * 2
    shape = np.shape(start)
    with pytest.raises(ValueError, match="upstream gradient") as caught:
        y.backward(start)
    assert f"of shape {shape} for an output of shape (2,)" in str(caught.value)
    assert "equal" in str(caught.value)


def test_backward_starts_from_one_number_or_an_upstream_gradient() -> None:
    x = Tensor(np.ones((2, 3)))
    with pytest.raises(ValueError, match="sum them, or give the upstream") as caught:
        (x * 2).backward()
    assert "6 numbers, shape (2, 3)" in str(caught.value)
    assert x.grad is None
    (x[:1, :1] * 2).backward()
    assert gradient(x)[0, 0] == 2


def test_rules_run_only_where_a_gradient_is_asked_for() -> None:
    asked: list[str] = []

    def rule(name: str) -> Callable[..., Any]:
        def noted(g: Any, y: Any, a: Any, b: Any) -> Any:
            asked.append(name)
            return g

        return noted

    plus = Primitive("plus", "+", lambda a, b: a + b, vjp=(rule("left"), rule("right")))
    x, y = Tensor(1.0), Tensor(2.0)
    grad(plus(plus(x, 3.0), plus(y, 4.0)), x)
    assert asked == ["left", "left"]


def test_the_rule_of_a_computed_value_does_not_run_when_only_its_own_gradient_is_asked_for() -> (
    None
):
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError

    h = Primitive("h", "h", lambda x: x * 2, vjp=fail)(Tensor(1.0))
    assert grad(h * 3, h).item() == 3


def test_a_rule_for_all_inputs_may_give_none_for_data() -> None:
    scale = Primitive("scale", "·", lambda x, k: k * x, vjp=lambda g, y, x, k: (k * g, None))
    x, k = Tensor([1.0, 2.0]), Tensor(3.0)
    scale(x, k).sum().backward()
    assert np.array_equal(gradient(x), [3, 3])
    assert k.grad is None


def test_a_rule_may_give_a_python_number_and_another_float_dtype() -> None:
    once = Primitive("once", "1", lambda x: x, vjp=(lambda g, y, x: 1.0,))
    wide = Primitive("wide", "w", lambda x: x, vjp=(lambda g, y, x: g.astype(np.float64),))
    for primitive, dtype in ((once, np.float64), (wide, np.float32)):
        x = Tensor(np.asarray(2.0, dtype))
        primitive(x).backward()
        assert gradient(x).dtype == dtype
        assert gradient(x) == 1


WRONG: list[tuple[Any, type[Exception], str]] = [
    ((lambda g, y, x: g.sum(),), ValueError, "a gradient of shape () to an input of shape (3,)"),
    ((lambda g, y, x: g[:, None],), ValueError, "a gradient of shape (3, 1) to an input of"),
    (lambda g, y, x: g, TypeError, "for 1 inputs; a tuple with one gradient"),
    (lambda g, y, x: (g, g), TypeError, "gives 2 for 1 inputs; a tuple with one gradient"),
    ((lambda g, y, x: g, None), TypeError, "gives 2 for 1 inputs; a tuple with one gradient"),
]


@pytest.mark.parametrize(("vjp", "error", "message"), WRONG)
def test_a_wrong_rule_is_named(vjp: Any, error: type[Exception], message: str) -> None:
    wrong = Primitive("wrong", "?", lambda x: x * 2, vjp=vjp)
    x = Tensor(np.ones(3))
    ways: list[Callable[[Tensor], Any]] = [Tensor.backward, lambda y: grad(y, x)]
    for differentiate in ways:
        with pytest.raises(error) as caught:
            differentiate(wrong(x).sum())
        assert "the backward rule of 'wrong'" in str(caught.value)
        assert message in str(caught.value)


class Counted(np.ndarray):
    """A gradient that counts the additions."""

    additions = 0

    def __add__(self, other: Any) -> Any:
        Counted.additions += 1
        return self


class Watched(Operand):
    """An operand that counts how often somebody asks where it came from."""

    reads = 0

    def __init__(self, node: Node | None = None) -> None:
        self._node, self.value = node, np.zeros(())

    @property
    def node(self) -> Node | None:  # type: ignore[override]  # a counter stands before it
        Watched.reads += 1
        return self._node


def work(uses: int) -> tuple[int, int, int]:
    """Rule calls, additions and look-ups of a backward pass through a value with many uses."""
    calls = 0

    def rule(g: Any, y: Any, a: Any, b: Any) -> tuple[Any, Any]:
        nonlocal calls
        calls += 1
        return g, g

    plus = Primitive("plus", "+", np.add, vjp=rule)
    x = y = Watched()
    for _ in range(uses):
        y = Watched(Node(plus, (x, y), {}))
    Counted.additions = Watched.reads = 0
    for _ in backpropagate(topological_order(y), np.ones(()).view(Counted), [x], lambda x: x.value):
        pass
    return calls, Counted.additions, Watched.reads


def test_a_value_with_many_uses_costs_work_in_proportion() -> None:
    small, large = work(500), work(4000)
    assert small[:2] == (500, 500)
    assert large[:2] == (4000, 4000)
    assert abs(large[2] - 8 * small[2]) <= 100


def test_doubling_sixty_times_takes_sixty_steps() -> None:
    x = Tensor(1.0)
    y = x
    for _ in range(60):
        y = y + y
    assert slopes(y, x) == [2.0**60]
    assert y.item() == 2.0**60
