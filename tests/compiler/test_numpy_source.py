from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tarograd as tg
from cases import CASES
from rows import Case
from tarograd.compiler.numpy_source import executable, numpy_source
from tarograd.compiler.program import Program
from tarograd.compiler.rewrite import rewrite
from tarograd.compiler.trace import trace, traced_input
from tarograd.tensor import Tensor, constant

SMOOTH = [case for case in CASES if case.primitive.vjp is not None]


def traced(case: Case, dtype: Any, slopes: bool) -> tuple[Program, list[Any]]:
    """The case as a program of its drawn inputs, with the gradients of all of them if asked."""
    inputs, attributes = case.inputs(dtype), case.attributes(dtype)
    drawn = {f"x{i}": inputs[i] for i in case.drawn}

    def function(*given: Any) -> Any:
        rest = iter(given)
        y = case.primitive(
            *(next(rest) if i in case.drawn else x for i, x in enumerate(inputs)), **attributes
        )
        if not slopes:
            return y
        g = np.random.default_rng(5).normal(size=y.shape).astype(y.dtype)
        return dict(zip(drawn, tg.grad(y, list(given), g), strict=True))

    return trace(function, drawn), list(drawn.values())


def eager(case: Case, dtype: Any, slopes: bool) -> list[Any]:
    inputs, attributes = case.inputs(dtype), case.attributes(dtype)
    given = [constant(x) if i in case.drawn else x for i, x in enumerate(inputs)]
    if not slopes:
        return [case.primitive(*given, **attributes).value]
    given = [Tensor(x) if i in case.drawn else x for i, x in enumerate(inputs)]
    y = case.primitive(*given, **attributes)
    g = np.random.default_rng(5).normal(size=y.shape).astype(y.dtype)
    return [s.value for s in tg.grad(y, [given[i] for i in case.drawn], g)]


@pytest.mark.parametrize("rewritten", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_source_computes_what_eager_code_does(case: Case, dtype: Any, rewritten: bool) -> None:
    for slopes in [False] + [True] * (case in SMOOTH):
        program, arguments = traced(case, dtype, slopes)
        program = rewrite(program) if rewritten else program
        for y, expected in zip(
            executable(program)(*arguments), eager(case, dtype, slopes), strict=True
        ):
            assert y.dtype == expected.dtype
            np.testing.assert_array_equal(y, expected, strict=True)


def test_names_that_python_or_the_source_needs_are_avoided() -> None:
    program = trace(lambda a, b: a.sigmoid() + b, {"sigmoid": 1.0, "lambda": 2.0})
    assert [float(y) for y in executable(program)(0.0, 3.0)] == [3.5]


def test_a_new_value_takes_the_name_of_the_old_one_only_when_that_is_unused() -> None:
    program = trace(lambda a, b: {"a": a + b, "b": a * b}, {"a": 2.0, "b": 3.0})
    assert [float(y) for y in executable(program)(2.0, 3.0)] == [5.0, 6.0]
    assert "new_a = a + b" in numpy_source(program)[0]


def test_a_swap_is_no_problem() -> None:
    program = trace(lambda a, b: {"a": b, "b": a}, {"a": 2.0, "b": 3.0})
    assert [float(y) for y in executable(program)(2.0, 3.0)] == [3.0, 2.0]


def test_infinite_and_negative_numbers_are_written_right() -> None:
    x = np.array([1.0, -2.0])
    program = trace(lambda x: (x * -np.inf) ** 2 - -3 + (-1.0) * x, {"x": x})
    assert executable(program)(x)[0].tolist() == [np.inf, np.inf]
    assert traced_input("x", x).shape == (2,)
    program = trace(lambda x: np.pad(np.clip(x, 0, None), 1, constant_values=-np.inf), {"x": x})
    assert executable(program)(x)[0].tolist() == [-np.inf, 1, 0, -np.inf]


def test_a_comparison_of_comparisons_is_no_chain() -> None:
    x = np.array([1.0, -2.0, 3.0])
    program = trace(lambda x, t: ((x > 0) == t) > (x < 2), {"x": x, "t": x})
    assert executable(program)(x, np.array([1, 0, 0]))[0].tolist() == [False, False, False]
    assert executable(program)(x, np.array([1, 0, 1]))[0].tolist() == [False, False, True]


def test_an_input_that_is_returned_as_it_is_keeps_its_name() -> None:
    program = trace(lambda a, b: {"old": a, "a": a + b}, {"a": 2.0, "b": 3.0})
    assert [float(y) for y in executable(program)(2.0, 3.0)] == [2.0, 5.0]


def body(function: Any, *given: Any) -> list[str]:
    """The lines of the function that the source defines, without its first."""
    program = rewrite(trace(function, {f"x{i}": x for i, x in enumerate(given)}))
    text = numpy_source(program)[0]
    found, expected = executable(program)(*given), function(*map(Tensor, given))
    for y, truth in zip(found, expected if isinstance(expected, list) else [expected], strict=True):
        np.testing.assert_array_equal(y, truth.value, strict=True)
    return text[text.index("def f(") :].splitlines()[1:]


def test_sums_of_what_was_repeated_are_sums() -> None:
    x, b = np.ones((2, 3, 4), np.float32), np.arange(4, dtype=np.float32)
    lines = body(lambda x, b: tg.grad(np.sin(x * b).sum(), [b, x]), x, b)
    assert any(line.endswith(".sum(axis=(0, 1))") for line in lines)
    lines = body(lambda x, b: tg.grad(((x + b) ** 2).sum(), b), x, b[:, None][:3])
    assert "sum_to" in "".join(lines)  # along a new axis and a stretched one
    lines = body(lambda x, b: tg.grad(((x + b) ** 2).sum(), b), x, b[None, None])
    assert any(".sum(axis=(0, 1), keepdims=True)" in line for line in lines)


def test_one_matrix_for_a_whole_stack_is_not_written_out() -> None:
    x, w = np.random.default_rng(0).normal(size=(2, 3, 4)), np.ones((4, 5))
    lines = body(lambda x, w: [x @ w, *tg.grad(np.tanh(x @ w).sum(), [x, w])], x, w)
    assert not any("broadcast_to" in line for line in lines)
    assert any("@ x1.T" in line for line in lines)
    lines = body(lambda x, w: [w @ x, tg.grad(np.tanh(w @ x).sum(), w)], x[0].T, x)
    assert not any("broadcast_to" in line for line in lines)


def test_constants_are_as_short_as_they_can_be() -> None:
    x = np.linspace(0, 1, 9, dtype=np.float32).reshape(3, 3)
    mask = np.tri(3, dtype=bool)
    lines = body(lambda x: np.where(mask, x, -1.0) * np.full((3, 3), 0.1, np.float32), x)
    assert lines == [
        "    where = np.where(np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1]], bool), x0, -1.0)",
        "    result = where * 0.1",
        "    return result",
    ]
    lines = body(lambda x, y: tg.grad((np.maximum(x, y) / 3).sum(), x), x, x - 0.5)
    assert "np.full((3, 3), 0.33333334, np.float32)" in "".join(lines)
    lines = body(lambda x: [np.where(np.tri(7, dtype=bool), x, 0)], np.ones((7, 7)))
    assert lines[0] == "    constant = np.array(["
    assert lines[1] == "        [1, 0, 0, 0, 0, 0, 0],"
    lines = body(lambda x: [x + np.zeros(3), np.where(np.zeros(3, bool), x, 1), x * 0 - 0.0], x[0])
    assert "zeros((3,), bool)" in "".join(lines)
    table = np.arange(36.0).reshape(6, 6)
    lines = body(lambda x: [x @ table, np.tanh(x) @ table.copy()], np.ones((2, 6)))
    assert sum("np.arange" in line or "np.array" in line for line in lines) == 1
