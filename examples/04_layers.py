"""The layers of the textbook, on plain arrays: forward, then backward."""

from typing import Any

import numpy as np

from tarograd import nn


def show(title: str, **arrays: Any) -> None:
    """Print arrays side by side with their names."""
    print(title)
    for name, array in arrays.items():
        print(f"  {name:<5} {' '.join(np.array2string(array.round(4) + 0.0).split())}")


x = np.array([[1.0, -0.5], [-2.0, 3.0]])
dout = np.array([[1.0, 2.0], [3.0, 4.0]])

relu = nn.ReLU()
show("ReLU lets through what is positive", x=x, y=relu.forward(x), dx=relu.backward(dout))

sigmoid = nn.Sigmoid()
y = sigmoid.forward(x)
show("Sigmoid: y (1 - y)", y=y, dx=sigmoid.backward(dout))

tanh = nn.Tanh()
y = tanh.forward(x)
show("Tanh: 1 - y²", y=y, dx=tanh.backward(dout))

x = np.array([[0.0, 0.0], [1.0, 2.0]])
affine = nn.Affine(np.array([[2.0, 2.0, 2.0], [4.0, 4.0, 4.0]]), np.array([1.0, 2.0, 3.0]))
y = affine.forward(x)
dx = affine.backward(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
show("Affine: X W + B, the bias is repeated", y=y, dx=dx, dw=affine.w.grad, db=affine.b.grad)

# Scores whose softmax is 30 %, 20 %, 50 %; then a network that is nearly sure, and right.
last = nn.SoftmaxWithLoss()
for chances in ([0.3, 0.2, 0.5], [0.005, 0.99, 0.005]):
    scores = np.log([chances])
    loss = last.forward(scores, np.array([1]))
    show(f"SoftmaxWithLoss of {chances}, the answer is 1", loss=loss, dx=last.backward())
