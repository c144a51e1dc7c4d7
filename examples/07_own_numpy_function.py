"""Your own NumPy code can be differentiated, as it is; and a node of your own has its own rule."""

from typing import Any

import numpy as np

import tarograd as tg


def rosenbrock(x: Any) -> Any:
    """A curved valley with its lowest point at (1, 1, …): ordinary NumPy, no tarograd in it."""
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


start = np.array([-1.2, 1.0])
value, slope = tg.value_and_grad(rosenbrock)(start)
print(f"Rosenbrock's valley at {start}: height {value:.4g}, slope {slope.round(4)}\n")

# The slope is a computation like any other, so it can be differentiated in its turn. That gives
# the curvature, and with it Newton's method: go to where the slope would be zero.
print("Newton's method, step by step")
x = start
for step in range(7):
    point = tg.Tensor(x)
    height = rosenbrock(point)
    slope = tg.grad(height, point)
    print(f"  {step}  height {height.item():<12.4g} at {x.round(6)}")
    curvature = np.array([tg.grad(slope, point, row).value for row in np.eye(len(x))])
    x = x - np.linalg.solve(curvature, slope.value)

# A function that has no rule yet: give it one. g is what arrives from above.
softplus = tg.Primitive(
    name="softplus",
    symbol="softplus",
    forward=lambda x: np.logaddexp(0, x),  # log(1 + e^x) that does not overflow
    vjp=lambda g, y, x: (g * tg.sigmoid(x),),
)
print("\nA node of our own, softplus")
print(tg.check_gradients(softplus, np.array([-30.0, -1.0, 0.0, 2.0, 1000.0])))

x0 = tg.Tensor(0.0)
first = tg.grad(softplus(x0), x0)
second = tg.grad(first, x0)
print(f"at 0: value {softplus(x0).item():.4f}, slope {first.item()}, curvature {second.item()}")
