"""`tarograd graph`: the values and derivatives of a formula, node by node."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import click
import numpy as np

from tarograd.backward import backpropagate
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


@click.command()
@click.argument("formula")
@click.argument("values", nargs=-1, metavar="NAME=NUMBER…")
def graph(formula: str, values: tuple[str, ...]) -> None:
    r"""Show every value of FORMULA and its derivative.

    The derivative is that of the whole formula by this value, found by backpropagation. Known
    are + - * / ** and exp log sqrt sin cos tanh abs max min relu sigmoid.

    \b
    Examples:
      tarograd graph "apple * count * tax" apple=100 count=2 tax=1.1
      tarograd graph "1 / (1 + exp(-x))" x=0.5
    """
    leaves = dict(_assignment(text) for text in values)
    if len(formula) > LONGEST:
        raise click.UsageError(f"a formula of {len(formula)} characters; {LONGEST} are the most")
    try:
        tree = ast.parse(formula.strip(), mode="eval")
        labels: dict[int, tuple[Tensor, str]] = {}
        with np.errstate(all="ignore"):
            output = _compute(tree.body, leaves, labels)
            rows = _rows(output, labels)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise click.UsageError(f"{formula!r} is not a formula: {error}") from None
    unused = [name for name, leaf in leaves.items() if id(leaf) not in labels]
    if unused:
        raise click.UsageError(f"{unused[0]} is not in the formula {formula!r}")
    width = max(len(value) for value, _, _ in rows)
    click.echo(f"{'value':>{width}}   derivative   of")
    for value, derivative, label in rows:
        click.echo(f"{value:>{width}}   {derivative:>10}   {label}")


def _assignment(text: str) -> tuple[str, Tensor]:
    name, equals, number = text.partition("=")
    try:
        if not equals or not name.strip().isidentifier():
            raise ValueError
        return name.strip(), Tensor(float(number), name.strip())
    except ValueError:
        raise click.UsageError(
            f"{text!r}: a name and a number are needed, as in apple=100"
        ) from None


def _compute(
    node: ast.expr, leaves: dict[str, Tensor], labels: dict[int, tuple[Tensor, str]]
) -> Tensor:
    """The value of one part of the formula, recorded; `labels` collects what it is called."""
    if isinstance(node, ast.Name):
        if node.id not in leaves:
            raise click.UsageError(f"{node.id} has no value: add {node.id}=NUMBER")
        result = leaves[node.id]
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        result = constant(np.array(float(node.value)))
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        left, right = (_compute(part, leaves, labels) for part in (node.left, node.right))
        result = OPERATORS[type(node.op)](left, right)
    elif isinstance(node, ast.UnaryOp) and type(node.op) in OPERATORS:
        result = OPERATORS[type(node.op)](_compute(node.operand, leaves, labels))
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        result = _call(node.func.id, [_compute(part, leaves, labels) for part in node.args])
    else:
        raise click.UsageError(f"{ast.unparse(node)!r}: only numbers, names, + - * / ** and calls")
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
    """For each value in order of computation: itself, its derivative, what it is."""
    order = topological_order(output)
    leaves = [x for x in order if x.node is None]
    upstream = np.ones(output.shape)
    walk = backpropagate(order, upstream, leaves, lambda x: x.value)
    slopes = {id(x): float(g) for x, g, _ in walk}
    return [
        (
            f"{float(x.value):.12g}",
            f"{slopes[id(x)]:.12g}" if id(x) in slopes else "",
            labels[id(x)][1],
        )
        for x in order
        if id(x) in labels
    ]
