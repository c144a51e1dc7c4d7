"""fit: train a network with mini-batches, and lose nothing on the way."""

from __future__ import annotations

import math
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from tarograd.compiler import Recipe, Untraceable
from tarograd.data import Batches, Dataset, Split
from tarograd.data.batches import Sampling
from tarograd.functions import one_hot
from tarograd.graph import Array, context
from tarograd.nn import Layer, Network, SquaredError
from tarograd.optim import SGD, Optimizer
from tarograd.tensor import Tensor, constant
from tarograd.training.arguments import check_numbers, check_types, total_steps
from tarograd.training.health import NonFiniteError, explain_nonfinite
from tarograd.training.history import Epoch, History
from tarograd.training.interruption import Interrupted, Interruption, interrupted
from tarograd.training.machine import Machine
from tarograd.training.progress import Progress, watching
from tarograd.training.replay import batch_loss
from tarograd.training.store import CURVE, REPORT, Store

if TYPE_CHECKING:
    from tarograd.drawing.live import Server
    from tarograd.training.recorder import Recorder

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
    compiled: bool | Literal["dense"] = True,
    watch: bool | int = False,
    threads: int | None = None,
) -> History:
    """Train a network with mini-batches.

    The accuracies are measured before the first step, after each epoch, and at the end. Ctrl-C
    and SIGTERM finish the step and save. While it trains, NumPy's matrix products use one
    thread: for small ones more are slower, and much slower beside another busy process.

    Args:
        network: what is trained. Its `pixel_max` becomes that of the data.
        data: images and labels to train on and to test on.
        loss: the loss layer; by default the network's own. It is given the scores (n, classes)
            and the labels (n,); SquaredError is given rows of 0 and 1 in place of the labels.
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
        directory: where best.safetensors, last.safetensors, history.csv, curve.png, run.json
            and report.html go. Files of an earlier run there are moved into a folder `earlier-1`.
        resume: go on with the run in `directory`, to a larger number of steps if you like.
        progress: whether to show it, on standard error.
        compiled: whether the steps run as machine code, and the accuracies where they are much
            work; that gives the same losses within rounding. What cannot be compiled runs as it
            is, and one line says why; False lets everything run as it is. Where most pixels
            are 0, products leave them out, which changes no bit; "dense" multiplies them all.
        watch: whether a page of this machine shows the run while it goes on: its address is
            printed on standard error. A number chooses the port.
        threads: how many make a compiled step together; by default as many as are fastest just
            then, which is tried out. The bits do not depend on it.

    Returns:
        the history of the whole run.

    Raises:
        ValueError: for settings that make no sense, or a network that does not fit the data.
        TypeError: for an argument that is something else than it has to be.
        CheckpointError: if a file cannot be written or read; earlier ones stay as they are.
        OSError: if the port to watch at is taken.
        NonFiniteError: if the loss becomes NaN or infinite; says where it began.
        Interrupted: after a signal, when everything has been saved; a SystemExit. In an
            interactive session, which should go on, Ctrl-C raises KeyboardInterrupt instead.

    Example:
        >>> import tarograd as tg
        >>> data = tg.data.load("digits")
        >>> net = tg.nn.TwoLayerNet(64, 20, 10)
        >>> faster = tg.optim.SGD(lr=0.5)
        >>> history = tg.fit(net, data, optimizer=faster, epochs=20, progress=False)
        >>> history.best.test_accuracy > 0.9
        True
    """
    check_types(network, data, loss, optimizer, directory, resume, compiled, watch)
    check_numbers(seed, validation, watch, threads)
    train, held = data.hold_out(validation, seed) if validation else (data.train, None)
    batches = Batches(len(train), batch_size, seed, sampling)
    total = total_steps(batches, steps, epochs)
    network.pixel_max = data.pixel_max
    criterion = loss or network.criterion
    recipe = optimizer or SGD(lr=0.1)
    settings = {
        "network": repr(network),
        "loss": repr(criterion),
        "optimizer": repr(recipe),
        "batch_size": batches.batch_size,
        "sampling": sampling,
        "validation": float(validation),
        "seed": batches.seed,
        "compiled": bool(compiled),
        "data": data.name,
        "data_hashes": {} if directory is None else data.hashes,
    }
    run = Run(
        network,
        criterion,
        recipe.bind(network.parameters()),
        batches,
        {"train": train, "test": data.test} | ({"validation": held} if held else {}),
        Store(None if directory is None else Path(directory), settings, total),
    )
    with np.errstate(all="ignore"):  # what is not finite is reported by a NonFiniteError
        run.rehearse(data)
        return run.run(resume, progress, compiled, watch, threads)


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
    machine: Machine | None = None
    eager: str = "compiled=False, or --eager"  # why there is no machine code

    def compile(self, show: bool, threads: int | None, skip_zeros: bool) -> None:
        """Make the steps as machine code from now on, if that is possible."""
        images, targets = self.splits["train"]
        if isinstance(self.criterion, SquaredError):
            classes = self.network.predict(images[:1]).shape[1]
            targets = one_hot(targets, classes).astype(self.network.dtype)
        parts = self.network, self.criterion, self.optimizer, images, targets
        try:
            recipe = Recipe(*parts, seed=self.batches.seed)
            measured = sum(map(len, self.splits.values()))
            self.machine = Machine(recipe, self.batches, skip_zeros, threads, measured)
        except Exception as error:  # whatever a layer does that the compiler does not bear
            own = isinstance(error, Untraceable)
            self.eager = str(error) if own else f"{type(error).__name__}: {error}"
            if show:
                print(f"not compiled: {self.eager}", file=sys.stderr)

    def explanation(self) -> str:
        """What the steps consisted of."""
        return f"not compiled: {self.eager}" if self.machine is None else self.machine.report()

    def rehearse(self, data: Dataset) -> None:
        """Run two images through the network and the loss: what does not fit shows before a start.

        Raises:
            ValueError: naming the images, and the scores that came out.
        """
        images, labels = data.train[:2]
        given = f"{self.network!r} does not fit the data {data.name!r}"
        try:
            scores = self.network.predict(images)
        except ValueError as error:
            raise ValueError(f"{given}, images of shape {images.shape[1:]}: {error}") from None
        if scores.ndim != 2 or scores.shape[1] < data.classes:
            raise ValueError(
                f"{given}: its scores for {len(images)} images have the shape {scores.shape}; "
                f"({len(images)}, {data.classes}) is needed, a score for each class"
            )
        with context(recording=False, training=False):
            loss = self._loss(images, labels)
        if not isinstance(loss, Tensor) or loss.shape != ():
            shape = getattr(loss, "shape", type(loss).__name__)
            raise ValueError(
                f"the loss {self.criterion!r} gives {shape}: a Tensor of one number, shape (), "
                "is needed, such as the mean over the batch"
            )

    def run(
        self,
        resume: bool,
        show: bool,
        compiled: bool | Literal["dense"],
        watch: bool | int,
        threads: int | None,
    ) -> History:
        """Make the steps that are still to be made."""
        with Interruption() as interruption, one_blas_thread(), watching(watch) as server:
            self._begin(resume)
            self.recorder = self._recorder(server)
            if compiled:
                self.compile(show, threads, skip_zeros=compiled != "dense")
            done = len(self.history.losses)
            recording = self.recorder or nullcontext()
            with Progress(self.store.steps, done, show) as progress, recording:
                if self.history.epochs:
                    progress.epoch(self.history.epochs[-1], last=False)
                self._loop(done, progress, interruption)
                self._save(self.store.steps)
            if self.store.directory is not None:
                self.history.plot(path=self.store.directory / CURVE)
            self._stop_if(interruption, self.store.steps)
        self.history.explanation = self.explanation
        return self.history

    def _begin(self, resume: bool) -> None:
        """Take up an earlier run, or leave the first files of a new one."""
        steps = self.store.steps
        if resume:
            self.history = self.store.load(self.network, self.optimizer)
            done = len(self.history.losses)
            if done > steps:
                raise ValueError(f"the run has made {done} steps already, more than {steps}")
            self.losses = np.zeros(steps)
            self.losses[:done] = self.history.losses
            self.store.describe()
        else:
            self._check_finite(0)
            self.history = History(str(self.store.directory or self.network))
            self.losses = np.zeros(steps)
            self.store.start()
            self._save(0)

    def _recorder(self, server: Server | None) -> Recorder | None:
        """What records the run, if anybody sees it; one that goes on keeps the earlier moments."""
        if self.store.directory is None and server is None:
            return None
        from tarograd.training.recorder import Recorder

        parts = self.network, self.criterion, self.optimizer, self.batches, self.splits["train"]
        directory, done = self.store.directory, len(self.history.losses)
        path = None if directory is None else directory / REPORT
        about = {k: v for k, v in self.store.settings.items() if k != "data_hashes"}
        course = self.store.steps, self.history, self.losses
        recorder = Recorder(parts, *course, about, path, server)
        recorder.resume(done)
        return recorder

    def _loop(self, done: int, progress: Progress, interruption: Interruption) -> None:
        """Measure, step, measure …; the position alone says what comes next."""
        saved = time.monotonic()
        while True:
            at_epoch = done % self.batches.steps_per_epoch == 0 or done == self.store.steps
            if at_epoch and (not self.history.epochs or self.history.epochs[-1].step != done):
                self._stop_if(interruption, done)
                row = self._measure(done, interruption)
                progress.epoch(row, last=done == self.store.steps)
            if self.recorder is not None:
                self.recorder.look(done)
            if time.monotonic() - saved > SAVE_SECONDS:
                self._save(done)
                if self.recorder is not None:
                    self.recorder.save(done)
                saved = time.monotonic()
            self._stop_if(interruption, done)
            if done == self.store.steps:
                return
            done += self._steps(done)
            progress.step(done, self.losses[done - 1])

    def _steps(self, done: int) -> int:
        """Some steps of one epoch, by the machine code if there is any; gives their number."""
        left = self.store.steps - done
        if self.machine is None or not self.machine.possible(done):
            self.losses[done] = self._step(done)
            return 1
        most = min(left, self.machine.possible(done))
        if self.recorder is not None:
            most = min(most, self.recorder.room(done))
        losses = self.machine.make(done, most, self._step)
        self.losses[done : done + len(losses)] = losses
        return len(losses)

    def _step(self, done: int) -> float:
        """One mini-batch: forward, backward, update."""
        batch = self.splits["train"][self.batches.indices(done)]
        with context(seed=self.batches.seed, step=done):
            loss = self._loss(*batch)
            if not math.isfinite(float(loss)):
                raise explain_nonfinite(loss, done + 1)
            for parameter in self.optimizer.parameters:  # the network would search for them
                parameter.zero_grad()
            loss.backward()
            for parameter in self.optimizer.parameters:  # one that the loss does not depend on
                if parameter.grad is None:
                    parameter.grad = np.zeros(parameter.shape)
            self.optimizer.step()
        return float(loss)

    def _loss(self, images: Array, labels: Array) -> Tensor:
        x = constant(self.network.read(images))
        return batch_loss(self.network, self.criterion, x, labels)

    def _measure(self, done: int, interruption: Interruption) -> Epoch:
        """Add a row to the history; keep the parameters if it is the best one."""
        self._check_finite(done)
        before = self.history.epochs[-1].step if self.history.epochs else 0
        pause = partial(self._stop_if, interruption, done)
        accuracies = {
            f"{name}_accuracy": self._accuracy(split, pause) for name, split in self.splits.items()
        }
        mean = float(self.losses[before:done].mean()) if done > before else None
        epoch = -(-done // self.batches.steps_per_epoch)
        self.history.epochs.append(Epoch(epoch, done, mean, **accuracies))
        if self.history.best is self.history.epochs[-1]:
            self.store.save_best(self.network, self.history.best)
        return self.history.epochs[-1]

    def _accuracy(self, split: Split, pause: Callable[[], None]) -> float:
        if self.machine is None or self.machine.scorer is None:
            return self.network.accuracy(*split)
        return self.machine.scorer.accuracy(split, self.machine.pace.threads, pause)

    def _check_finite(self, done: int) -> None:
        """Parameters that are not finite are never measured, nor saved over good ones."""
        for name, parameter in self.network.named_parameters().items():
            if not np.isfinite(parameter.value).all():
                advice = "; a lower learning rate may help" if done else ""
                raise NonFiniteError(
                    f"after step {done}: {name}, shape {parameter.shape}, is not finite{advice}"
                )

    def _save(self, done: int) -> None:
        """Save the run as it is."""
        self._check_finite(done)
        self.history.losses = self.losses[:done].copy()
        self.store.save(self.network, self.optimizer, self.history)

    def _stop_if(self, interruption: Interruption, done: int) -> None:
        """After a signal: save, say how to go on, and leave."""
        if interruption.signum is None:
            return
        self._save(done)
        name = signal.Signals(interruption.signum).name
        message = f"stopped by {name} after step {done} of {self.store.steps}"
        directory = self.store.directory
        if directory is None:
            message += "; nothing was saved, since no directory was given"
        else:
            message += (
                f"; saved. To go on: tarograd train --resume {shlex.quote(str(directory))}, "
                f"or tg.fit(..., directory={str(directory)!r}, resume=True)"
            )
        stop = interrupted(interruption.signum, message, told=True)
        if isinstance(stop, Interrupted):  # Python shows the message of the other one itself
            print(message, file=sys.stderr)
        raise stop
