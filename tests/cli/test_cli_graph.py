"""tarograd graph: values and derivatives against closed forms, and every other text refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from words import call, refusal

from commands import script

Table = dict[str, tuple[float, float | None]]


def below_the_drawing(text: str) -> str:
    """The table, which follows the drawing and an empty line."""
    return text.partition("\n\n")[2]


def table(formula: str, **values: float) -> Table:
    """Value and derivative by the text of each part."""
    outcome = call("graph", formula, *(f"{name}={value!r}" for name, value in values.items()))
    assert (outcome.code, outcome.err) == (0, "")
    heading, *lines = below_the_drawing(outcome.out).splitlines()
    assert heading.split() == ["value", "derivative", "of"]
    ends = [heading.index(word) + len(word) for word in ("value", "derivative")]
    rows: Table = {}
    for line in lines:
        value, slope, label = line[: ends[0]], line[ends[0] : ends[1]], line[ends[1] :].strip()
        rows[label] = float(value), float(slope) if slope.strip() else None
    assert len(rows) == len(lines)
    return rows


def test_the_apple_of_the_textbook() -> None:
    outcome = call("graph", "apple * count * tax", "apple=100", "count=2", "tax=1.1")
    assert below_the_drawing(outcome.out) == (
        "value   derivative   of\n"
        "  100          2.2   apple\n"
        "    2          110   count\n"
        "  200          1.1   apple * count\n"
        "  1.1          200   tax\n"
        "  220            1   apple * count * tax\n"
    )


def test_apple_and_orange_of_the_textbook() -> None:
    formula = "(apple * apples + orange * oranges) * tax"
    rows = table(formula, apple=100, apples=2, orange=150, oranges=3, tax=1.1)
    expected = {
        "apple": (100, 2.2),
        "apples": (2, 110),
        "orange": (150, 3.3),
        "oranges": (3, 165),
        "tax": (1.1, 650),
        "apple * apples": (200, 1.1),
        "orange * oranges": (450, 1.1),
        "apple * apples + orange * oranges": (650, 1.1),
        formula: (715, 1),
    }
    assert rows.keys() == expected.keys()
    for label, pair in expected.items():
        assert rows[label] == pytest.approx(pair, rel=1e-11)


SIGMOID = 1 / (1 + math.exp(-0.7))
CLOSED = [
    # formula, x and y, the value, and the derivatives by x and by y
    ("x + y", 2, 3, 5, 1, 1),
    ("x - y", 2, 3, -1, 1, -1),
    ("x * y", 2, 3, 6, 3, 2),
    ("x / y", 2, 4, 0.5, 0.25, -0.125),
    ("x ** y", 2, 3, 8, 12, 8 * math.log(2)),
    ("(x + y) ** 2", 2, 3, 25, 10, 10),
    ("-x - -y", 2, 3, 1, -1, 1),
    ("+x * +y", 2, 3, 6, 3, 2),
    ("exp(x) * y", 0.5, 2, 2 * math.exp(0.5), 2 * math.exp(0.5), math.exp(0.5)),
    ("log(x / y)", 3, 2, math.log(1.5), 1 / 3, -1 / 2),
    ("sqrt(x * y)", 2, 8, 4, 1, 0.25),
    ("sin(x) + cos(y)", 1, 2, math.sin(1) + math.cos(2), math.cos(1), -math.sin(2)),
    ("tanh(x * y)", 0.5, 1, math.tanh(0.5), 1 / math.cosh(0.5) ** 2, 0.5 / math.cosh(0.5) ** 2),
    ("abs(x) * abs(y)", -2, 3, 6, -3, 2),
    ("max(x, y) * 3", 2, 3, 9, 0, 3),
    ("min(x, y) * 3", 2, 3, 6, 3, 0),
    ("relu(x) + relu(y)", -2, 3, 3, 0, 1),
    ("sigmoid(x) * y", 0.7, 2, 2 * SIGMOID, 2 * SIGMOID * (1 - SIGMOID), SIGMOID),
    ("1 / (1 + exp(-x)) * y", 0.7, 2, 2 * SIGMOID, 2 * SIGMOID * (1 - SIGMOID), SIGMOID),
    ("x * x * y + y", 3, 2, 20, 12, 10),
    ("x * 0 + y", 1e300, 1e-300, 1e-300, 0, 1),
    ("2.5e-3 * x + 1_000 * y", 2, 3, 3000.005, 0.0025, 1000),
]


@pytest.mark.parametrize(("formula", "x", "y", "value", "by_x", "by_y"), CLOSED)
def test_values_and_derivatives_of_closed_forms(
    formula: str, x: float, y: float, value: float, by_x: float, by_y: float
) -> None:
    rows = table(formula, x=x, y=y)
    assert rows["x"] == pytest.approx((x, by_x), rel=1e-11, abs=1e-310)
    assert rows["y"] == pytest.approx((y, by_y), rel=1e-11, abs=1e-310)
    *_, (last, slope) = rows.values()
    assert last == pytest.approx(value, rel=1e-11)
    assert slope == 1


def test_a_value_used_twice_stands_once_with_the_sum_of_its_derivatives() -> None:
    assert list(table("x * x + x", x=3).items()) == [
        ("x", (3, 7)),
        ("x * x", (9, 1)),
        ("x * x + x", (12, 1)),
    ]


def test_the_derivative_of_each_intermediate_value() -> None:
    rows = table("exp(-x) * y", x=0.5, y=3)
    assert rows["-x"] == pytest.approx((-0.5, 3 * math.exp(-0.5)), rel=1e-11)
    assert rows["exp(-x)"] == pytest.approx((math.exp(-0.5), 3), rel=1e-11)


def test_constants_need_no_row_and_have_no_derivative() -> None:
    assert list(table("2 * x + 1", x=3)) == ["x", "2 * x", "2 * x + 1"]
    assert table("3 + 4 * 2") == {"4 * 2": (8, None), "3 + 4 * 2": (11, None)}
    assert table("3") == {"3": (3, None)}


def test_where_there_is_no_number_it_says_so() -> None:
    assert table("1 / x", x=0) == {"x": (0, -math.inf), "1 / x": (math.inf, 1)}
    assert table("log(x)", x=0)["x"] == (0, math.inf)
    assert math.isnan(table("log(x)", x=-1)["log(x)"][0])
    assert math.isnan(table("0 / 0 * x", x=1)["0 / 0"][0])
    assert table("x * x", x=1e200)["x * x"] == (math.inf, 1)
    assert table("10 ** 400 + x", x=1)["10 ** 400"] == (math.inf, None)
    assert table("x + 1", x=math.inf)["x + 1"] == (math.inf, 1)


def test_names_in_any_script() -> None:
    rows = table("蘋果 * größe + été", 蘋果=100, größe=2, été=5)
    assert rows["蘋果"] == (100, 2)
    assert rows["größe"] == (2, 100)
    assert rows["été"] == (5, 1)
    # Python reads both forms of a letter as one, in a formula; so does it in a value's name.
    assert table("\ufb01 * 2", **{"\ufb01": 3.0})["fi"] == (3, 2)


def test_a_formula_may_begin_with_a_minus() -> None:
    assert table("-log(p)", p=0.2)["p"] == (0.2, -5)
    assert table("-x", x=3)["-x"] == (-3, 1)
    assert table("--x", x=3)["--x"] == (3, 1)


WRONG = {
    "nothing": (("",), "is not a formula"),
    "blank": (("  ",), "is not a formula"),
    "no value": (("x * y", "x=1"), "y has no value: add y=NUMBER"),
    "a value too many": (("x", "x=1", "y=2"), "y is not in the formula 'x'"),
    "a value twice": (("x", "x=1", "x=2"), "'x=2': x has a value already"),
    "a value twice in two forms": (("fi", "fi=1", "\ufb01=2"), "fi has a value already"),
    "no equals sign": (("x", "x", "1"), "'x': a name and a number are needed, as in apple=100"),
    "no number": (("x", "x="), "'x=': a name and a number are needed"),
    "no name": (("x", "=1"), "'=1': a name and a number are needed"),
    "a text": (("x", "x=two"), "'x=two': a name and a number are needed"),
    "a formula as a value": (("x", "x=1+1"), "'x=1+1': a name and a number are needed"),
    "a number as a name": (("x", "2=3"), "'2=3': a name and a number are needed"),
    "an unknown function": (("foo(x)", "x=1"), "foo is not known; known are exp log sqrt sin cos"),
    "two values for one": (("exp(x, x)", "x=1"), "exp of 2 values: one, or two for max and min"),
    "one value for two": (("max(x)", "x=1"), "max of 1 values: one, or two for max and min"),
    "no value for one": (("exp()",), "exp of 0 values"),
    "named arguments": (("exp(x=x)", "x=1"), "'exp(x=x)' is not known: only numbers, names"),
    "starred arguments": (("max(*x)", "x=1"), "'*x' is not known: only numbers, names"),
    "a power of others": (
        ("x ^ 2", "x=1"),
        "'x ^ 2' is not known: only numbers, names, + - * / **",
    ),
    "a remainder": (("x % 2", "x=1"), "'x % 2' is not known"),
    "a matrix product": (("x @ x", "x=1"), "'x @ x' is not known"),
    "a comparison": (("x > 1", "x=1"), "'x > 1' is not known"),
    "a choice": (("x if x else x", "x=1"), "'x if x else x' is not known"),
    "a list": (("[x]", "x=1"), "'[x]' is not known"),
    "a comprehension": (("[i for i in x]", "x=1"), "'[i for i in x]' is not known"),
    "an index": (("x[0]", "x=1"), "'x[0]' is not known"),
    "an attribute": (("x.value", "x=1"), "'x.value' is not known"),
    "a method": (("x.sum()", "x=1"), "'x.sum()' is not known"),
    "a lambda": (("(lambda: 1)()",), "is not known: only numbers, names"),
    "code": (("__import__('os').abort()",), "is not known: only numbers"),
    "a call of code": (("open('x')",), "is not known: only numbers"),
    "a text in the formula": (("'x'",), "is not known: only numbers, names"),
    "an f-string": (("f'{x}'", "x=1"), "is not known: only numbers, names"),
    "a complex number": (("1j * x", "x=1"), "'1j' is not known: only numbers, names"),
    "an assignment": (("x = 1",), "'x = 1' is not a formula"),
    "a walrus": (("(x := 1)",), "is not known: only numbers, names"),
    "two formulas": (("x; x", "x=1"), "'x; x' is not a formula"),
    "an open parenthesis": (("exp(x", "x=1"), "'exp(x' is not a formula: '(' was never closed"),
    "the textbook's sign": (("x × 2", "x=1"), "'x × 2' is not a formula: invalid character '×'"),
    "a keyword": (("lambda * 2", "lambda=1"), "'lambda * 2' is not a formula"),
    "a line break": (("x\nx", "x=1"), "is not a formula"),
    "escape codes": (("x\x1b[31m", "x=1"), "is not a formula"),
    "NUL": (("x\x00", "x=1"), "is not a formula"),
    "a lone surrogate": (("x\udc80", "x=1"), "is not a formula"),
    "a number of 1000 digits": (("1" * 1000,), "is not a formula: int too large to convert"),
    "very long": (
        ("x + " * 10_000 + "x", "x=1"),
        "a formula of 40001 characters; 2000 are the most",
    ),
    "deep parentheses": (("(" * 900 + "x" + ")" * 900, "x=1"), "too many nested parentheses"),
    "deep minuses": (("-" * 1900 + "x", "x=1"), "is nested too deeply"),
    "deep sums": (("x" + "+x" * 990, "x=1"), "is nested too deeply"),
    "deep powers": (("x" + "**x" * 600, "x=1"), "is nested too deeply"),
}


@pytest.mark.parametrize(("words", "message"), WRONG.values(), ids=WRONG.keys())
def test_anything_else_is_refused_in_one_line(words: tuple[str, ...], message: str) -> None:
    line = refusal("graph", *words)
    assert message in line
    assert len(line) < 300


@given(st.text(alphabet="x1.+-*/() ,[]:='\"ep^é\n", max_size=20))
def test_random_texts_are_computed_or_refused(formula: str) -> None:
    outcome = call("graph", "--", formula, "x=1.5")
    assert outcome.code in (0, 2)
    assert outcome.err.count("\n") == (outcome.code == 2)


def test_a_long_sum_is_computed() -> None:
    assert table("x" + " + x" * 200, x=2)["x"] == (2, 201)


def test_the_real_command_with_text_that_is_no_utf_8(tmp_path: Path) -> None:
    code = "import sys; from tarograd.cli import main; main(['graph', 'x\\udcff', 'x=1'])"
    outcome = script(code, folder=tmp_path)
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
