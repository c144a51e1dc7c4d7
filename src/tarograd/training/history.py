"""What a training run remembers: the loss of every step and the accuracies of every epoch."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import asdict, astuple, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tarograd.checkpoint import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Epoch:
    """One row of the history: what was measured after `step` steps.

    Attributes:
        epoch: 0 before the first step; the last one may have been cut short.
        step: how many steps had been made.
        loss: the mean loss of the epoch's steps; None before the first.
        train_accuracy: the share of the training images that were recognized.
        test_accuracy: the same of the test images.
        validation_accuracy: the same of the images held out for validation, or None.
    """

    epoch: int
    step: int
    loss: float | None
    train_accuracy: float
    test_accuracy: float
    validation_accuracy: float | None = None

    @property
    def score(self) -> float:
        """What the best epoch is chosen by: the validation accuracy, else that of the test."""
        held_out = self.validation_accuracy
        return self.test_accuracy if held_out is None else held_out

    def __str__(self) -> str:
        parts = [f"epoch {self.epoch}", f"step {self.step}"]
        parts += [] if self.loss is None else [f"loss {self.loss:.4f}"]
        parts += [f"train {self.train_accuracy:.4f}", f"test {self.test_accuracy:.4f}"]
        if self.validation_accuracy is not None:
            parts.append(f"validation {self.validation_accuracy:.4f}")
        return "  ".join(parts)


@dataclass
class History:
    """The course of a training run.

    Attributes:
        name: what its curves are called in a figure of several runs.
        epochs: the rows, one before the first step and one after each epoch.
        losses: the loss of every step, shape (steps,).

    Example:
        >>> history = History("demo", [Epoch(0, 0, None, 0.1, 0.1), Epoch(1, 5, 2.1, 0.6, 0.5)])
        >>> print(history.best)
        epoch 1  step 5  loss 2.1000  train 0.6000  test 0.5000
    """

    name: str
    epochs: list[Epoch] = field(default_factory=list)
    losses: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    @property
    def best(self) -> Epoch:
        """The first epoch with the highest validation accuracy, or test accuracy without one.

        Raises:
            ValueError: if nothing has been measured yet.
        """
        if not self.epochs:
            raise ValueError(f"the history of {self.name} is empty: no epoch has been measured")
        return max(self.epochs, key=lambda row: row.score)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the rows as a table with a heading, atomically.

        Raises:
            CheckpointError: if the file cannot be written.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(f.name for f in fields(Epoch))
        writer.writerows(["" if v is None else v for v in astuple(row)] for row in self.epochs)
        write_atomically(path, text.getvalue().encode())

    def rows(self) -> list[dict[str, Any]]:
        """The rows as dictionaries, for JSON or a data frame."""
        return [asdict(row) for row in self.epochs]

    def plot(self, *others: History, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the accuracies over the epochs, as the textbook does, and the loss beside them.

        Args:
            *others: further runs for the same figure; the label of each curve is its run's name.
            path: where to write the picture, or None. The ending chooses the format.

        Returns:
            the figure.

        Raises:
            CheckpointError: if the file cannot be written.
        """
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10, 4), layout="constrained")
        FigureCanvasAgg(figure)
        accuracy, loss = figure.subplots(1, 2)
        runs = (self, *others)
        for i, run in enumerate(runs):
            _draw(run, accuracy, loss, color=f"C{i}", named=len(runs) > 1)
        accuracy.set(xlabel="epoch", ylabel="accuracy", ylim=(0, 1.02))
        accuracy.set_title("accuracy on the training set and the test set")
        loss.set(xlabel="step", ylabel="loss", ylim=(0, None))
        loss.set_title("loss of the mini-batches")
        for axes in (accuracy, loss):
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
        accuracy.legend(loc="lower right")
        loss.legend(loc="upper right")
        if path is not None:
            image = io.BytesIO()
            kind = Path(path).suffix.lstrip(".") or "png"
            figure.savefig(image, format=kind, dpi=120, metadata=_UNDATED.get(kind))
            write_atomically(path, image.getvalue())
        return figure


# Without a date in the file, the same run gives the same bytes.
_UNDATED: dict[str, dict[str, Any]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}


def _draw(run: History, accuracy: Any, loss: Any, color: str, named: bool) -> None:
    """The curves of one run: train solid, test dashed, the loss with its moving mean."""
    prefix = f"{run.name}: " if named else ""
    epochs = [row.epoch for row in run.epochs]
    train, test = ("C0", "C1") if not named else (color, color)
    marker = "o" if len(epochs) <= 30 else None
    style = {"marker": marker, "markersize": 4}
    accuracy.plot(
        epochs, [r.train_accuracy for r in run.epochs], color=train, label=f"{prefix}train", **style
    )
    accuracy.plot(
        epochs,
        [r.test_accuracy for r in run.epochs],
        "--",
        color=test,
        label=f"{prefix}test",
        **style,
    )
    if run.epochs:
        best = run.best
        accuracy.annotate(
            f"{prefix}best test {best.test_accuracy:.4f}\nepoch {best.epoch}",
            (best.epoch, best.test_accuracy),
            xytext=(0, -36),
            textcoords="offset points",
            ha="center",
            arrowprops={"arrowstyle": "-", "alpha": 0.5},
        )
    steps = np.arange(1, len(run.losses) + 1)
    if not named:
        loss.plot(steps, run.losses, color=color, alpha=0.25, linewidth=0.7, label="each step")
    window = max(len(steps) // 100, 1)
    smooth = np.convolve(run.losses, np.ones(window) / window, "valid") if len(steps) else steps
    loss.plot(steps[window - 1 :], smooth, color=color, label=f"{prefix}mean of {window} steps")
