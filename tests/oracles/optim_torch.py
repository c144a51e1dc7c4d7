"""PyTorch's figures for the optimizers and the schedules, as JSON on the standard output.

Written into the repository by hand, with PyTorch 2.13 on the CPU in float64:

    python tests/oracles/optim_torch.py > tests/data_optim_torch.json

The problem has a gradient in closed form, A w − b + sin(3 w), whose last term makes it neither
quadratic nor convex. For each optimizer the file holds the weights after 1, 2, 10 and 100 steps,
for each schedule the learning rates of the first steps.
"""

from __future__ import annotations

import importlib
import json
from typing import Any

A = [[3.0, 0.5, -0.2], [0.5, 2.0, 0.3], [-0.2, 0.3, 0.7]]
B = [[1.0, -2.0], [0.3, 0.1], [-4.0, 2.5]]
START = [[0.6, -1.1], [2.0, 0.0], [-0.4, 3.0]]
STEPS = (1, 2, 10, 100)

OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD": ("SGD", {"lr": 0.05}),
    "SGD, decay": ("SGD", {"lr": 0.05, "weight_decay": 0.3}),
    "Momentum": ("SGD", {"lr": 0.02, "momentum": 0.9}),
    "Momentum, decay": ("SGD", {"lr": 0.02, "momentum": 0.7, "weight_decay": 0.3}),
    "Nesterov": ("SGD", {"lr": 0.02, "momentum": 0.9, "nesterov": True}),
    "Nesterov, decay": (
        "SGD",
        {"lr": 0.02, "momentum": 0.7, "nesterov": True, "weight_decay": 0.3},
    ),
    "AdaGrad": ("Adagrad", {"lr": 0.1}),
    "AdaGrad, decay": ("Adagrad", {"lr": 0.1, "eps": 0.5, "weight_decay": 0.3}),
    "RMSProp": ("RMSprop", {"lr": 0.01}),
    "RMSProp, decay": ("RMSprop", {"lr": 0.01, "alpha": 0.8, "eps": 0.5, "weight_decay": 0.3}),
    "Adam": ("Adam", {"lr": 0.05}),
    "Adam, decay": (
        "Adam",
        {"lr": 0.05, "betas": (0.8, 0.95), "eps": 0.5, "weight_decay": 0.3},
    ),
    "AdamW": ("AdamW", {"lr": 0.05}),
    "AdamW, no decay": ("AdamW", {"lr": 0.05, "weight_decay": 0.0}),
    "AdamW, decay": (
        "AdamW",
        {"lr": 0.05, "betas": (0.8, 0.95), "eps": 0.5, "weight_decay": 0.3},
    ),
    "Momentum, cosine": ("SGD", {"lr": 0.05, "momentum": 0.9}),
    "Adam, warm-up and steps": ("Adam", {"lr": 0.1}),
}

SCHEDULES = ("steps", "cosine", "warm-up", "warm-up and steps")


def torch() -> Any:
    """PyTorch, untyped, so that the types here do not depend on whether it is installed."""
    return importlib.import_module("torch")


def schedule(name: str, optimizer: Any) -> Any:
    """The PyTorch schedule of that name for an optimizer."""
    lr = torch().optim.lr_scheduler
    if name.endswith("warm-up and steps"):
        rise = lr.LinearLR(optimizer, start_factor=1 / 6, total_iters=5)
        steps = lr.StepLR(optimizer, step_size=20, gamma=0.5)
        return lr.SequentialLR(optimizer, [rise, steps], milestones=[5])
    if name.endswith("warm-up"):
        return lr.LinearLR(optimizer, start_factor=1 / 8, total_iters=7)
    if name.endswith("cosine"):
        return lr.CosineAnnealingLR(optimizer, T_max=100, eta_min=0.001)
    if name.endswith("steps"):
        return lr.StepLR(optimizer, step_size=7, gamma=0.3)
    return lr.ConstantLR(optimizer, factor=1.0)


def weights(name: str) -> dict[int, Any]:
    """The weights after some of the steps of an optimizer."""
    kind, settings = OPTIMIZERS[name]
    a, b, w = (torch().tensor(x, dtype=torch().float64) for x in (A, B, START))
    w.requires_grad_()
    optimizer = getattr(torch().optim, kind)([w], **settings)
    rate, seen = schedule(name, optimizer), {}
    for step in range(1, max(STEPS) + 1):
        w.grad = (a @ w - b + torch().sin(3 * w)).detach()
        optimizer.step()
        rate.step()
        if step in STEPS:
            seen[step] = w.tolist()
    return seen


def rates(name: str) -> list[float]:
    """The learning rates of the first 100 steps of a schedule that begins, or ends, at 0.4."""
    optimizer = torch().optim.SGD([torch().zeros(1, requires_grad=True)], lr=0.4)
    rate, seen = schedule(name, optimizer), []
    for _ in range(100):
        seen.append(rate.get_last_lr()[0])
        optimizer.step()
        rate.step()
    return seen


def main() -> None:
    """Print everything."""
    torch().set_num_threads(1)
    figures: dict[str, Any] = {"A": A, "b": B, "start": START}
    figures |= {f"weights: {name}": weights(name) for name in OPTIMIZERS}
    figures |= {f"rates: {name}": rates(name) for name in SCHEDULES}
    print(
        "{", ",\n".join(f'"{name}": {json.dumps(figures[name])}' for name in figures), "}", sep="\n"
    )


if __name__ == "__main__":
    main()
