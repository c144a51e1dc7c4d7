"""Gradient check: is backpropagation right? Hold it against numerical differentiation."""

import numpy as np

import tarograd as tg

data = tg.data.load("digits")
net = tg.nn.TwoLayerNet(input_size=64, hidden_size=10, output_size=10)
net.pixel_max = data.pixel_max
print(tg.check_gradients(net, *data.train[:3]))

print("\nAlso with Dropout: its mask is replayed, so both ways see the same one.")
layers = tg.nn.Affine(64, 10), tg.nn.ReLU(), tg.nn.Dropout(0.5), tg.nn.Affine(10, 10)
deep = tg.nn.Sequential(*layers)
deep.pixel_max = data.pixel_max
print(tg.check_gradients(deep, *data.train[:3]))

print("\nNow a node of our own, y = x². Its derivative is 2x; we forget the 2.")
square = tg.Primitive("square", "x²", np.square, vjp=lambda g, y, x: (g * x,))
report = tg.check_gradients(square, np.array([1.0, -2.0, 3.0]))
print(report)

leaf = report.leaves["input 0"]
print("\nNumerical differentiation says what it should be, element by element:")
print("  ours over theirs:", (leaf.analytic / leaf.numeric).round(6))
