"""The progress of a run on the screen: a bar in a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tarograd.training.history import Epoch

if TYPE_CHECKING:
    from tarograd.drawing.live import Server

PLAIN_SECONDS = 2.0  # how long plain lines wait for one another
TEXT_WIDTH = 71  # of the texts beside the bar, with room to spare


class Progress:
    """Shows a run of `total` steps on standard error while its `with` block lasts.

    Args:
        total: the number of steps of the whole run.
        done: how many were made before, in a run that goes on.
        show: False shows nothing.
    """

    def __init__(self, total: int, done: int, show: bool) -> None:
        self._total, self._done, self._show = total, done, show
        self._bar: Any = None
        self._task: Any = None
        self._last_line = 0.0
        self._last_refresh = 0.0
        self._text = ""

    def __enter__(self) -> Progress:
        if self._show and sys.stderr.isatty():
            from rich.console import Console

            console = Console(stderr=True)
            if console.is_interactive:  # a terminal that can move its cursor
                self._start_bar(console)
        self._began = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _start_bar(self, console: Any) -> None:
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        # A line shorter than the terminal has room for the ^C that a terminal shows.
        self._bar = Bar(
            TaskProgressColumn(),
            BarColumn(bar_width=max(4, min(40, console.width - TEXT_WIDTH))),
            TextColumn("{task.fields[speed]:,.0f} steps/s"),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
            auto_refresh=False,
        )
        self._task = self._bar.add_task("", total=self._total, completed=self._done, speed=0.0)
        self._bar.start()

    def step(self, done: int, loss: float) -> None:
        """Say that `done` steps have been made; cheap enough to be called after each."""
        now = time.perf_counter()
        if self._bar is None or now - self._last_refresh < 0.1:
            return
        self._last_refresh = now
        speed = (done - self._done) / (now - self._began)
        self._bar.update(
            self._task, completed=done, speed=speed, description=f"loss {loss:.4f}  {self._text}"
        )
        self._bar.refresh()

    def epoch(self, row: Epoch, last: bool) -> None:
        """Show what was measured after an epoch."""
        self._text = f"train {row.train_accuracy:.4f}  test {row.test_accuracy:.4f}"
        now = time.perf_counter()
        due = last or row.epoch == 0 or now - self._last_line >= PLAIN_SECONDS
        if self._show and self._bar is None and due:
            self._last_line = now
            print(row, file=sys.stderr, flush=True)


@contextmanager
def watching(watch: bool | int) -> Iterator[Server | None]:
    """The server that shows a run, if it is to be shown: True, or the number of a port.

    Raises:
        OSError: if the port is taken.
    """
    if watch is False:
        yield None
        return
    from tarograd.drawing.live import Server

    with Server(port=0 if watch is True else watch) as server:
        yield server
