"""Are sick networks told from healthy ones? `python -m benchmarks.health` counts both.

Each sick run has one illness, injected by a setting that causes it in practice: the initial
weights, the bias, or the learning rate. Each healthy run learns well with usual settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle, islice, pairwise
from typing import NamedTuple

import numpy as np

import tarograd as tg
from tarograd import nn, optim
from tarograd.data import Batches, Dataset
from tarograd.graph import context
from tarograd.tensor import Tensor
from tarograd.training.findings import PERSIST, findings
from tarograd.training.health import NonFiniteError, explain_nonfinite
from tarograd.training.recorder import EARLY
from tarograd.training.replay import Replay, batch_loss, state_of
from tarograd.training.vitals import Vitals, vitals

SEEDS = 10
WITHIN = 50  # steps
LATER = (100, 150, 200, 250, 300, 400, 500, 600)
RUNS = 20
ALLOWED = 1  # false alarms on the healthy runs


class Patient(NamedTuple):
    """A network, how it is trained, and what is wrong with it: a kind of finding, or nothing."""

    name: str
    illness: str | None
    network: Callable[[int, int], nn.Network]  # of the number of inputs and the seed
    optimizer: optim.Optimizer


def row(
    inputs: int, act: type[nn.Layer], depth: int, init: nn.Normal, seed: int, bias: float = 0.0
) -> nn.Network:
    """So many hidden layers of 50, one like the other."""
    sizes = [inputs, *[50] * depth]
    layers: list[nn.Layer] = []
    for before, after in pairwise(sizes):
        layers += [nn.Affine(before, after, init=init), act()]
    net = nn.Sequential(*layers, nn.Affine(50, 10, init=init), seed=seed)
    for name, p in net.named_parameters().items():
        if bias and name.endswith(".b") and name != list(net.named_parameters())[-1]:
            p.value = np.full(p.shape, bias, p.dtype)
    return net


def two(inputs: int, seed: int) -> nn.Network:
    """The textbook's network."""
    return nn.TwoLayerNet(inputs, 50, 10, seed=seed)


SICK = (
    Patient("bias -8 before ReLU", "dead", lambda n, s: row(n, nn.ReLU, 2, nn.He(), s, -8.0),
            optim.SGD(lr=0.1)),
    Patient("learning rate 20 with ReLU", "dead", two, optim.SGD(lr=20.0)),
    Patient("6 sigmoids, weights of 0.1", "vanishing",
            lambda n, s: row(n, nn.Sigmoid, 6, nn.Normal(0.1), s), optim.SGD(lr=0.1)),
    Patient("8 ReLUs, weights of 0.03", "vanishing",
            lambda n, s: row(n, nn.ReLU, 8, nn.Normal(0.03), s), optim.SGD(lr=0.1)),
    Patient("8 ReLUs, weights of 1", "exploding",
            lambda n, s: row(n, nn.ReLU, 8, nn.Normal(1.0), s), optim.SGD(lr=1e-12)),
    Patient("12 ReLUs, weights of 0.6", "exploding",
            lambda n, s: row(n, nn.ReLU, 12, nn.Normal(0.6), s), optim.Adam(lr=1e-3)),
    Patient("sigmoid, weights of 3", "saturated",
            lambda n, s: row(n, nn.Sigmoid, 2, nn.Normal(3.0), s), optim.SGD(lr=0.1)),
    Patient("tanh, weights of 2", "saturated",
            lambda n, s: row(n, nn.Tanh, 3, nn.Normal(2.0), s), optim.Adam()),
    Patient("learning rate 0.000001", "small-step", two, optim.SGD(lr=1e-6)),
    Patient("learning rate 3 with Adam", "large-step",
            lambda n, s: row(n, nn.Tanh, 2, nn.Xavier(), s), optim.Adam(lr=3.0)),
    Patient("learning rate 1e20", "nonfinite", two, optim.SGD(lr=1e20)),
)  # fmt: skip

HEALTHY = (
    Patient("two layers, SGD 0.1", None, two, optim.SGD(lr=0.1)),
    Patient("two layers, SGD 0.5", None, two, optim.SGD(lr=0.5)),
    Patient("two layers, Momentum", None, two, optim.Momentum(lr=0.05)),
    Patient("two layers, Adam", None, two, optim.Adam()),
    Patient("3 ReLUs, He, SGD", None, lambda n, s: row(n, nn.ReLU, 3, nn.He(), s),
            optim.SGD(lr=0.1)),
    Patient("3 ReLUs, He, Adam", None, lambda n, s: row(n, nn.ReLU, 3, nn.He(), s), optim.Adam()),
    Patient("5 ReLUs, He, AdaGrad", None, lambda n, s: row(n, nn.ReLU, 5, nn.He(), s),
            optim.AdaGrad(lr=0.01)),
    Patient("sigmoid, Xavier, SGD", None, lambda n, s: row(n, nn.Sigmoid, 1, nn.Xavier(), s),
            optim.SGD(lr=0.5)),
    Patient("3 tanh, Xavier, Momentum", None, lambda n, s: row(n, nn.Tanh, 3, nn.Xavier(), s),
            optim.Momentum(lr=0.02)),
    Patient("2 ReLUs, RMSProp", None, lambda n, s: row(n, nn.ReLU, 2, nn.He(), s),
            optim.RMSProp(lr=0.001)),
)  # fmt: skip


def course(
    patient: Patient, data: Dataset, seed: int, moments: tuple[int, ...]
) -> tuple[list[Vitals], NonFiniteError | None]:
    """Train until the last moment, and measure at each; the error if a loss became no number."""
    net = patient.network(int(np.prod(data.train.images.shape[1:])), seed)
    net.pixel_max = data.pixel_max
    batches = Batches(len(data.train), 100, seed)
    optimizer = patient.optimizer.bind(net.parameters())
    replay = Replay(net, net.criterion, optimizer, batches, data.train)
    history = []
    with np.errstate(all="ignore"):
        for step in range(moments[-1] + 1):
            if step in moments:
                history.append(vitals(replay.see(state_of(net, optimizer, batches, step)), step))
            with context(seed=seed, step=step):
                images, labels = data.train[batches.indices(step)]
                loss = batch_loss(net, net.criterion, Tensor(net.read(images)), labels)
                if not np.isfinite(loss.value):
                    return history, explain_nonfinite(loss, step + 1)
                net.zero_grad()
                loss.backward()
                optimizer.step()
    return history, None


def found(patient: Patient, data: Dataset, seed: int) -> bool:
    """Whether the illness of a patient is named within `WITHIN` steps."""
    history, error = course(patient, data, seed, tuple(s for s in EARLY if s <= WITHIN))
    if patient.illness == "nonfinite":
        return error is not None
    return patient.illness in {f.kind for f in findings(history)}


def alarms(patient: Patient, data: Dataset, seed: int) -> list[str]:
    """What is said of a healthy run; each is a false alarm."""
    history, error = course(patient, data, seed, (*EARLY, *LATER))
    said = [f"{f.kind} {f.where} at step {f.first}" for f in findings(history)]
    return said + ([str(error)] if error else [])


def report(data: Dataset, seeds: int = SEEDS, runs: int = RUNS) -> Iterator[str]:
    """The table, line by line."""
    yield f"{data.name}: illnesses named within {WITHIN} steps, {PERSIST} moments in a row"
    total = 0
    for patient in SICK:
        hits = sum(found(patient, data, seed) for seed in range(seeds))
        total += hits
        yield f"  {patient.illness:11} {patient.name:28} {hits} of {seeds}"
    yield f"  in all {total} of {seeds * len(SICK)}, {total / seeds / len(SICK):.0%}"
    wrong = 0
    for seed, patient in enumerate(islice(cycle(HEALTHY), runs)):
        said = alarms(patient, data, seed)
        wrong += bool(said)
        if said:
            yield f"  false alarm: {patient.name}, seed {seed}: {'; '.join(said)}"
    yield f"  false alarms on {runs} healthy runs: {wrong}"


if __name__ == "__main__":
    for name in ("digits", "mnist"):
        print(*report(tg.data.load(name)), sep="\n", flush=True)
