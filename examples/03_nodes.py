"""The nodes: what each computes, and what it does with the gradient that arrives at it."""

from typing import Any

import numpy as np

import tarograd as tg


def text(x: Any) -> str:
    """An array on one line."""
    array = np.array2string(np.asarray(x), formatter={"float": lambda v: f"{v:.4g}"})
    return " ".join(array.split())


def show(name: str, output: Any, inputs: list[tg.Tensor], upstream: Any) -> None:
    """One node: forward on the first line, backward on the second."""
    slopes = tg.grad(output, inputs, upstream)
    print(f"{name:<7} forward   {', '.join(text(x.value) for x in inputs)} -> {text(output.value)}")
    print(f"{'':<7} backward  {text(upstream)} -> {', '.join(text(s.value) for s in slopes)}")


x, y = tg.Tensor(10.0), tg.Tensor(5.0)
show("+", x + y, [x, y], 1.3)
show("×", x * y, [x, y], 1.3)
show("÷", x / y, [x, y], 1.3)

z = tg.Tensor(2.0)
show("exp", np.exp(z), [z], 1.3)
show("log", np.log(z), [z], 1.3)

# A value that is used twice gets the sum of both shares.
show("branch", np.stack([z, z]), [z], [1.3, 0.7])

# Repeat and Sum are each other's backward.
row = tg.Tensor([1.0, 2.0])
rows = tg.Tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
show("repeat", np.broadcast_to(row, (3, 2)), [row], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
show("sum", np.sum(rows, axis=0), [rows], [1.0, 10.0])

# The chain rule: z = t², t = x + y.
x, y = tg.Tensor(1.0), tg.Tensor(2.0)
t = x + y
show("(x+y)²", t**2, [t, x, y], 1.0)

# Sigmoid is made of four nodes, and comes to y (1 - y).
x = tg.Tensor(1.0)
sigmoid: Any = 1 / (1 + np.exp(-x))
show("sigmoid", sigmoid, [x], 1.0)
print(f"{'':<7} y (1-y)   {text(sigmoid.value * (1 - sigmoid.value))}")
