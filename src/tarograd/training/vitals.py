"""What is measured of a training step to tell whether the network is well."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isnan
from typing import Any

import numpy as np

from tarograd.drawing.numbers import number, plain
from tarograd.drawing.trace import ROOT, Trace
from tarograd.training.replay import Seen, length

SOFT = {"sigmoid": lambda y: 4 * y * (1 - y), "tanh": lambda y: 1 - y * y}  # slope / steepest
# sigmoid'(4) / sigmoid'(0), and as tanh(x) = 2 sigmoid(2 x) - 1 also tanh'(2) / tanh'(0)
FLAT = 0.0707


@dataclass(frozen=True)
class Weights:
    """One parameter.

    Attributes:
        name: its path.
        shape: its shape.
        norm: of its value.
        gradient: the norm of the derivative of the loss by it; None if nothing flows to it.
        update: by how much the optimizer moves it in this step, divided by `norm`; None if it
            is not known, or the norm is 0.
    """

    name: str
    shape: tuple[int, ...]
    norm: float
    gradient: float | None
    update: float | None


@dataclass(frozen=True)
class Units:
    """The neurons behind one activation.

    Attributes:
        name: the path of the layer.
        op: `relu`, `sigmoid` or `tanh`.
        count: how many there are.
        silent: which of them were 0 for every image of the batch; of a ReLU only.
        saturated: the share of the outputs where the slope is nearly 0; of a sigmoid and tanh.
    """

    name: str
    op: str
    count: int
    silent: tuple[int, ...]
    saturated: float


@dataclass(frozen=True)
class Signal:
    """The derivative of the loss by the output of a layer with weights: what flows back to it."""

    name: str
    norm: float


@dataclass(frozen=True)
class Vitals:
    """A step's measurements, before its update.

    Attributes:
        step: how many steps had been made.
        loss: of the next mini-batch.
        signal: one for each layer with weights, in the order of computation.
    """

    step: int
    loss: float
    weights: tuple[Weights, ...]
    units: tuple[Units, ...]
    signal: tuple[Signal, ...]

    @property
    def gradient(self) -> float:
        """The norm of the gradient of all parameters together."""
        return float(np.linalg.norm([w.gradient for w in self.weights if w.gradient is not None]))

    def json(self) -> dict[str, Any]:
        """As JSON data."""
        return dict(_plain(asdict(self)))


def vitals(seen: Seen, step: int) -> Vitals:
    """Measure a step."""
    trace, weights = seen.trace, []
    for value, path in seen.paths.items():
        v = trace.values[value]
        norm, moved = length(v.array), seen.updates.get(path)
        gradient = None if v.gradient is None else length(v.gradient)
        update = moved / norm if moved is not None and norm else None
        weights.append(Weights(path, tuple(v.array.shape), norm, gradient, update))
    units, signal = [], []
    for node in trace.nodes:
        y, name = trace.values[node.output], _path(trace, node.group) or node.op
        rows = y.array.reshape(len(y.array), -1) if y.array.ndim else y.array.reshape(1, 1)
        if node.op == "relu":
            silent = np.flatnonzero(~rows.any(axis=0)).tolist()
            units.append(Units(name, node.op, rows.shape[1], tuple(silent), 0.0))
        elif node.op in SOFT:
            flat = float(np.mean(SOFT[node.op](rows.astype(np.float64)) < FLAT))
            units.append(Units(name, node.op, rows.shape[1], (), flat))
        kinds = [trace.values[trace.uses[use].value].kind for use in node.uses]
        if node.op in ("affine", "matmul") and "parameter" in kinds and y.gradient is not None:
            signal.append(Signal(name, length(y.gradient)))
    return Vitals(step, float(seen.loss), tuple(weights), tuple(units), tuple(signal))


def _path(trace: Trace, group: int) -> str:
    """The names of the layers around, without that of the whole network."""
    names = [trace.groups[g].name for g in trace.outward(group) if g != ROOT]
    return ".".join(reversed(names[:-1] or names))


def _plain(data: Any) -> Any:
    """Floats that JSON has no word for become strings."""
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    return plain(data) if isinstance(data, float) else data


def read_vitals(data: Any) -> Vitals:
    """The Vitals that `Vitals.json` wrote.

    Raises:
        ValueError, TypeError, KeyError: if they are none.
    """

    def real(x: Any) -> float:
        if isinstance(x, str) and x not in ("NaN", "Infinity", "-Infinity"):
            raise ValueError(f"{x!r} is no number")
        return number(x)

    def optional(x: Any) -> float | None:
        return None if x is None else real(x)

    def whole(x: Any) -> int:
        if type(x) is not int or x < 0:
            raise ValueError(f"{x!r} is no count")
        return x

    return Vitals(
        whole(data["step"]),
        real(data["loss"]),
        tuple(
            Weights(
                str(w["name"]),
                tuple(whole(n) for n in w["shape"]),
                real(w["norm"]),
                optional(w["gradient"]),
                optional(w["update"]),
            )
            for w in data["weights"]
        ),
        tuple(
            Units(
                str(u["name"]),
                str(u["op"]),
                whole(u["count"]),
                tuple(whole(i) for i in u["silent"]),
                real(u["saturated"]),
            )
            for u in data["units"]
        ),
        tuple(Signal(str(s["name"]), real(s["norm"])) for s in data["signal"]),
    )


def finite(x: float | None) -> bool:
    """Whether there is a number, and it is one that can be compared."""
    return x is not None and not isnan(x)
