"""`tarograd graph`: the values and derivatives of a formula, node by node."""

from __future__ import annotations

import ast
import unicodedata
from collections.abc import Callable
from typing import Any

import click
import numpy as np

from tarograd.backward import backpropagate
from tarograd.cli.pictures import show
from tarograd.drawing import draw
from tarograd.functions import relu, sigmoid
from tarograd.graph import topological_order
from tarograd.tensor import Tensor, constant

LONGEST = 2000  # characters of a formula

OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: a**b,
    ast.USub: lambda a: -a,
    ast.UAdd: lambda a: a,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "abs": np.abs,
    "max": np.maximum,
    "min": np.minimum,
    "relu": relu,
    "sigmoid": sigmoid,
}


EXAMPLES = """\b
Examples:
  tarograd graph "apple * count * tax" apple=100 count=2 tax=1.1
  tarograd graph "1 / (1 + exp(-x))" x=0.5
  tarograd graph "-log(p)" p=0.2
  tarograd graph "x * x" x=3 -o square.svg
"""


class _Formula(click.Command):
    """Knows -o and -h as words of their own alone: click would find an -o within "-log(p)".

    "-h h=2" is a formula, and -h without a number for h asks for help.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args == ["-h"]:
            args = ["--help"]
        return super().parse_args(ctx, ["--output" if word == "-o" else word for word in args])


# A formula that begins with a minus is no unknown option, nor "-h" that of help.
@click.command(
    cls=_Formula,
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
    epilog=EXAMPLES,
)
@click.argument("formula")
@click.argument("values", nargs=-1, metavar="NAME=NUMBER…")
@click.option(
    "--output", metavar="FILE", help="Or -o: save the picture as .svg .html .json .dot .png."
)
@click.option("--ascii", is_flag=True, help="Draw with plain ASCII characters.")
@click.option("--wide", is_flag=True, help="For a terminal that gives × and ─ two cells.")
def graph(
    formula: str, values: tuple[str, ...], output: str | None, ascii: bool, wide: bool
) -> None:
    """Draw FORMULA, and show every value and its derivative.

    The derivative is that of the whole formula by this value, found by backpropagation. Known
    are + - * / ** and exp log sqrt sin cos tanh abs max min relu sigmoid.
    """
    leaves = _assignments(values)
    shown = repr(formula if len(formula) <= 60 else f"{formula[:60]}…")
    if len(formula) > LONGEST:
        raise click.UsageError(f"a formula of {len(formula)} characters; {LONGEST} are the most")
    try:
        tree = ast.parse(formula.strip(), mode="eval")
        labels: dict[int, tuple[Tensor, str]] = {}
        with np.errstate(all="ignore"):
            result = _compute(tree.body, leaves, labels)
            labels.setdefault(id(result), (result, ast.unparse(tree.body)))
            rows = _rows(result, labels)
    except (RecursionError, MemoryError):
        raise click.UsageError(f"{shown} is nested too deeply") from None
    except (SyntaxError, ValueError, OverflowError) as error:
        raise click.UsageError(
            f"{shown} is not a formula: {getattr(error, 'msg', error)}"
        ) from None
    unused = [name for name, leaf in leaves.items() if id(leaf) not in labels]
    if unused:
        raise click.UsageError(f"{unused[0]} is not in the formula {shown}")
    show(draw(result), output, ascii, wide)
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for value, derivative, label in rows:
        click.echo(f"{value:>{widths[0]}}   {derivative:>{widths[1]}}   {label}")


def _assignments(texts: tuple[str, ...]) -> dict[str, Tensor]:
    """The leaves by their names, in the form in which Python reads names in a formula."""
    leaves: dict[str, Tensor] = {}
    for text in texts:
        name, equals, number = text.partition("=")
        name = unicodedata.normalize("NFKC", name.strip())
        try:
            if not equals or not name.isidentifier():
                raise ValueError
            value = float(number)
        except ValueError:
            raise click.UsageError(
                f"{text!r}: a name and a number are needed, as in apple=100"
            ) from None
        if name in leaves:
            raise click.UsageError(f"{text!r}: {name} has a value already")
        leaves[name] = Tensor(value, name)
    return leaves


def _compute(
    node: ast.expr, leaves: dict[str, Tensor], labels: dict[int, tuple[Tensor, str]]
) -> Tensor:
    """The value of one part of the formula, recorded; `labels` collects what it is called."""
    if isinstance(node, ast.Name):
        if node.id not in leaves:
            raise click.UsageError(f"{node.id} has no value: add {node.id}=NUMBER")
        result = leaves[node.id]
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return constant(np.array(float(node.value)))  # needs no row: it says what it is
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        left, right = (_compute(part, leaves, labels) for part in (node.left, node.right))
        result = OPERATORS[type(node.op)](left, right)
    elif isinstance(node, ast.UnaryOp) and type(node.op) in OPERATORS:
        result = OPERATORS[type(node.op)](_compute(node.operand, leaves, labels))
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        result = _call(node.func.id, [_compute(part, leaves, labels) for part in node.args])
    else:
        raise click.UsageError(
            f"{ast.unparse(node)!r} is not known: only numbers, names, + - * / ** (for powers) and "
            f"the functions {' '.join(FUNCTIONS)}"
        )
    labels.setdefault(id(result), (result, ast.unparse(node)))
    return result


def _call(name: str, arguments: list[Tensor]) -> Tensor:
    if name not in FUNCTIONS:
        raise click.UsageError(f"{name} is not known; known are {' '.join(FUNCTIONS)}")
    if len(arguments) != (2 if name in ("max", "min") else 1):
        raise click.UsageError(f"{name} of {len(arguments)} values: one, or two for max and min")
    result: Tensor = FUNCTIONS[name](*arguments)
    return result


def _rows(output: Tensor, labels: dict[int, tuple[Tensor, str]]) -> list[tuple[str, str, str]]:
    """A heading, then for each value in order of computation: itself, its derivative, its name."""
    order = topological_order(output)
    leaves = [x for x in order if x.node is None]
    walk = backpropagate(order, np.ones(output.shape), leaves, lambda x: x.value)
    slopes = {id(x): f"{float(g):.12g}" for x, g, _ in walk}
    rows = [
        (f"{float(x.value):.12g}", slopes.get(id(x), ""), labels[id(x)][1])
        for x in order
        if id(x) in labels
    ]
    return [("value", "derivative", "of"), *rows]
