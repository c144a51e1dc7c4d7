"""What a training run remembers: the loss of every step and the accuracies of every epoch."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable
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
        explanation: gives what `explain` gives.

    Example:
        >>> history = History("demo", [Epoch(0, 0, None, 0.1, 0.1), Epoch(1, 5, 2.1, 0.6, 0.5)])
        >>> print(history.best)
        epoch 1  step 5  loss 2.1000  train 0.6000  test 0.5000
    """

    name: str
    epochs: list[Epoch] = field(default_factory=list)
    losses: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    explanation: Callable[[], str] | None = field(default=None, compare=False, repr=False)

    def explain(self) -> str:
        """What the machine code of a step consists of, and how long each part of it takes now."""
        return self.explanation() if self.explanation else "not compiled: nothing has run here"

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
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10, 4), layout="constrained")
        FigureCanvasAgg(figure)
        accuracy, loss = figure.subplots(1, 2)
        runs = (self, *others)
        for i, run in enumerate(runs):
            _draw(run, accuracy, loss, color=f"C{i}", named=len(runs) > 1)
        accuracy.set(xlabel="epoch", ylabel="accuracy", ylim=(0, 1.02))
        accuracy.set_title("share of the images that are recognized")
        loss.set(xlabel="step", ylabel="loss", ylim=(0, None))
        loss.set_title("loss of the mini-batches")
        for axes in (accuracy, loss):
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
        accuracy.legend(loc="lower right")
        loss.legend(loc="upper right")
        if path is not None:
            image = io.BytesIO()
            kind = Path(path).suffix.lstrip(".").lower() or "png"
            with rc_context({"svg.hashsalt": "tarograd"}):
                figure.savefig(image, format=kind, dpi=120, metadata=_UNDATED.get(kind))
            write_atomically(path, image.getvalue())
        return figure


# Without a date and random names in the file, the same run gives the same bytes.
_UNDATED: dict[str, dict[str, Any]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}
_PIECES = 2000  # twice as many as the picture has columns for the loss


def _draw(run: History, accuracy: Any, loss: Any, color: str, named: bool) -> None:
    """The curves of one run: accuracies in one line style each, the loss with its moving mean."""
    prefix = f"{run.name}: " if named else ""
    lines = {"train": "-", "test": "--", "validation": ":"}
    if not run.epochs or run.epochs[0].validation_accuracy is None:
        del lines["validation"]
    style = {"marker": "o" if len(run.epochs) <= 30 else None, "markersize": 4}
    for i, (part, line) in enumerate(lines.items()):
        shares = [getattr(row, f"{part}_accuracy") for row in run.epochs]
        best = f", best {run.best.test_accuracy:.4f}" if named and part == "test" and shares else ""
        accuracy.plot(
            [row.epoch for row in run.epochs],
            shares,
            line,
            color=color if named else f"C{i}",
            label=f"{prefix}{part}{best}",
            **style,
        )
    if run.epochs and not named:
        accuracy.annotate(
            f"best epoch {run.best.epoch}\ntest {run.best.test_accuracy:.4f}",
            (run.best.epoch, run.best.test_accuracy),
            xytext=(0, -36),
            textcoords="offset points",
            ha="center",
            arrowprops={"arrowstyle": "-", "alpha": 0.5},
        )
    window = max(len(run.losses) // 100, 1)
    if not named and window > 1:
        loss.plot(*_extremes(run.losses), alpha=0.25, linewidth=0.7, label="each step")
    sums = np.concatenate([[0.0], np.cumsum(run.losses)])
    means = (sums[window:] - sums[:-window]) / window
    label = f"mean of {window} steps" if window > 1 else "each step"
    loss.plot(np.arange(window, len(run.losses) + 1), means, color=color, label=f"{prefix}{label}")


def _extremes(losses: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Steps and losses, but no more than can be seen: the least and greatest of each piece."""
    if len(losses) <= 2 * _PIECES:
        return np.arange(1, len(losses) + 1), losses
    starts = np.arange(_PIECES) * len(losses) // _PIECES
    ends = [np.minimum.reduceat(losses, starts), np.maximum.reduceat(losses, starts)]
    return np.repeat(starts + 1, 2), np.stack(ends, axis=1).ravel()
