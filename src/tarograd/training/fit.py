"""fit: train a network with mini-batches, and lose nothing on the way."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tarograd.data import Batches, Dataset, Split
from tarograd.data.batches import Sampling
from tarograd.graph import context
from tarograd.nn import Layer, Network
from tarograd.optim import SGD, Optimizer
from tarograd.tensor import Tensor, constant
from tarograd.training.health import NonFiniteError, explain_nonfinite
from tarograd.training.history import Epoch, History
from tarograd.training.interruption import SIGNALS, Interrupted, Interruption
from tarograd.training.progress import Progress
from tarograd.training.store import CURVE, Store

SAVE_SECONDS = 5.0  # how old last.safetensors may become while the run goes on


def fit(
    network: Network,
    data: Dataset,
    *,
    loss: Layer | None = None,
    optimizer: Optimizer | None = None,
    batch_size: int = 100,
    steps: int | None = None,
    epochs: int | None = None,
    seed: int = 0,
    sampling: Sampling = "shuffle",
    validation: float = 0.0,
    directory: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: bool = True,
) -> History:
    """Train a network with mini-batches.

    The accuracies are measured before the first step, after each epoch, and at the end. Ctrl-C
    and SIGTERM finish the step and save. While it trains, NumPy's matrix products use one
    thread: for small ones more are slower, and much slower beside another busy process.

    Args:
        network: what is trained. Its `pixel_max` becomes that of the data.
        data: images and labels to train on and to test on.
        loss: the loss layer; by default the network's own.
        optimizer: how the gradients change the parameters; by default `SGD(lr=0.1)`.
        batch_size: images in a mini-batch. The last one of an epoch is shorter if the size
            does not divide the training set; a size larger than the set takes the whole set.
        steps: the number of mini-batches of the whole run; by default 10 epochs' worth.
        epochs: the same, counted in epochs. Give one of the two.
        seed: of the mini-batches, Dropout and the images held out. The same seed gives the same
            bits, also when the run was stopped and went on.
        sampling: "shuffle" shows each image once in an epoch; "replacement" draws every batch
            afresh, as the textbook does.
        validation: the share of the training images that is held out; the best epoch is then
            chosen by them and not by the test images.
        directory: where best.safetensors, last.safetensors, history.csv, curve.png and
            run.json go. Files of an earlier run there are moved into a folder `earlier-1`.
        resume: go on with the run in `directory`, to a larger number of steps if you like.
        progress: whether to show it, on standard error.

    Returns:
        the history of the whole run.

    Raises:
        ValueError: for settings that make no sense.
        CheckpointError: if a file cannot be written or read; earlier ones stay as they are.
        NonFiniteError: if the loss becomes NaN or infinite; says where it began.
        Interrupted: after a signal, when everything has been saved; a SystemExit.

    Example:
        >>> import tarograd as tg
        >>> data = tg.data.load("digits")
        >>> net = tg.nn.TwoLayerNet(64, 20, 10)
        >>> history = tg.fit(net, data, epochs=20, progress=False)
        >>> history.best.test_accuracy > 0.9
        True
    """
    if not isinstance(network, Network):
        raise TypeError(
            f"fit trains a Network, not {type(network).__name__}: put layers into "
            "tg.nn.Sequential(...), or subclass tg.nn.Network"
        )
    train, held = data.hold_out(validation, seed) if validation else (data.train, None)
    batches = Batches(len(train), batch_size, seed, sampling)
    network.pixel_max = data.pixel_max
    criterion = loss or network.criterion
    recipe = optimizer or SGD(lr=0.1)
    settings = {
        "network": repr(network),
        "weights": sum(p.size for p in network.parameters()),
        "loss": repr(criterion),
        "optimizer": repr(recipe),
        "batch_size": batch_size,
        "sampling": sampling,
        "validation": validation,
        "seed": seed,
        "data": data.name,
        "data_hashes": data.hashes,
    }
    place = None if directory is None else Path(directory)
    run = Run(
        network,
        criterion,
        recipe.bind(network.parameters()),
        batches,
        {"train": train, "test": data.test} | ({"validation": held} if held else {}),
        Store(place, settings, _total(batches, steps, epochs)),
    )
    return run.run(resume, progress)


def _total(batches: Batches, steps: int | None, epochs: int | None) -> int:
    """The number of steps of the whole run."""
    if steps is not None and epochs is not None:
        raise ValueError(f"steps={steps} and epochs={epochs}: give one of the two")
    for name, number in (("steps", steps), ("epochs", epochs)):
        if number is not None and (not isinstance(number, int) or number < 0):
            raise ValueError(f"{name}={number!r}: a whole number from 0 on is needed")
    if steps is not None:
        return steps
    return (10 if epochs is None else epochs) * batches.steps_per_epoch


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let NumPy's matrix products run in one thread for the length of a `with` block."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield


@dataclass
class Run:
    """One training run: its parts, and the loop."""

    network: Network
    criterion: Layer
    optimizer: Optimizer
    batches: Batches
    splits: dict[str, Split]
    store: Store

    def run(self, resume: bool, show: bool) -> History:
        """Make the steps that are still to be made."""
        with Interruption() as interruption, one_blas_thread():
            if resume:
                self.history = self.store.load(self.network, self.optimizer)
            else:
                self.store.start()
                self.history = History(str(self.store.directory or self.network))
                self.store.save(self.network, self.optimizer, self.history)
            done = len(self.history.losses)
            if done > self.store.steps:
                raise ValueError(
                    f"the run has made {done} steps already, more than {self.store.steps}"
                )
            self.losses = np.concatenate([self.history.losses, np.zeros(self.store.steps - done)])
            with Progress(self.store.steps, done, show) as progress:
                self._loop(done, progress, interruption)
            self._save(self.store.steps)
            if self.store.directory is not None:
                self.history.plot(path=self.store.directory / CURVE)
            self._stop_if(interruption, self.store.steps)
        return self.history

    def _loop(self, done: int, progress: Progress, interruption: Interruption) -> None:
        """Measure, step, measure …; the position alone says what comes next."""
        saved = time.monotonic()
        while True:
            at_epoch = done % self.batches.steps_per_epoch == 0 or done == self.store.steps
            if at_epoch and (not self.history.epochs or self.history.epochs[-1].step != done):
                self._stop_if(interruption, done)
                row = self._measure(done)
                progress.epoch(row, last=done == self.store.steps)
            if time.monotonic() - saved > SAVE_SECONDS:
                self._save(done)
                saved = time.monotonic()
            self._stop_if(interruption, done)
            if done == self.store.steps:
                return
            self.losses[done] = self._step(done)
            done += 1
            progress.step(done, self.losses[done - 1])

    def _step(self, done: int) -> float:
        """One mini-batch: forward, backward, update."""
        batch = self.splits["train"][self.batches.indices(done)]
        with (
            context(seed=self.batches.seed, step=done),
            np.errstate(over="ignore", invalid="ignore", divide="ignore"),
        ):
            scores = self.network(constant(self.network.read(batch.images)))
            loss: Tensor = self.criterion(scores, batch.labels)
            if not math.isfinite(float(loss)):
                raise explain_nonfinite(loss, done + 1)
            self.network.zero_grad()
            loss.backward()
            self.optimizer.step()
        return float(loss)

    def _measure(self, done: int) -> Epoch:
        """Add a row to the history; keep the parameters if it is the best one."""
        before = self.history.epochs[-1].step if self.history.epochs else 0
        accuracies = {
            f"{name}_accuracy": self.network.accuracy(*split) for name, split in self.splits.items()
        }
        mean = float(self.losses[before:done].mean()) if done > before else None
        epoch = -(-done // self.batches.steps_per_epoch)
        self.history.epochs.append(Epoch(epoch, done, mean, **accuracies))
        if self.history.best is self.history.epochs[-1]:
            self.store.save_best(self.network, self.history.best)
        return self.history.epochs[-1]

    def _save(self, done: int) -> None:
        """Save the run as it is; parameters that are not finite never replace good ones."""
        for name, parameter in self.network.named_parameters().items():
            if not np.isfinite(parameter.value).all():
                raise NonFiniteError(
                    f"step {done}: its update made {name}, shape {parameter.shape}, not finite; "
                    "a lower learning rate may help"
                )
        self.history.losses = self.losses[:done].copy()
        self.store.save(self.network, self.optimizer, self.history)

    def _stop_if(self, interruption: Interruption, done: int) -> None:
        """After a signal: save, say how to go on, and leave."""
        if interruption.signum is None:
            return
        self._save(done)
        name = SIGNALS[[int(s) for s in SIGNALS].index(interruption.signum)].name
        message = f"stopped by {name} after step {done} of {self.store.steps}"
        directory = self.store.directory
        if directory is None:
            message += "; nothing was saved, since no directory was given"
        else:
            message += (
                f"; saved. To go on: tarograd train --resume {directory}, "
                f"or tg.fit(..., directory={str(directory)!r}, resume=True)"
            )
        print(message, file=sys.stderr)
        raise Interrupted(interruption.signum, message, told=True)
