"""Ctrl-C and SIGTERM: finish the step, save, say how to go on."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = [signal.SIGINT, signal.SIGTERM]


class Interrupted(SystemExit):
    """A run was stopped by a signal after it had saved its state.

    Its exit code is the customary 128 + the number of the signal: 130 for Ctrl-C, 143 for
    SIGTERM. `str()` of it says how far the run came and how to go on.

    Args:
        signum: the number of the signal.
        message: what happened.
        told: whether the message has been shown already.
    """

    def __init__(self, signum: int, message: str, told: bool = False) -> None:
        super().__init__(128 + signum)
        self.message = message
        self.told = told

    def __str__(self) -> str:
        return self.message


def interrupted(signum: int, message: str, told: bool = False) -> BaseException:
    """The exception for a signal: Interrupted, unless that would end an interactive session."""
    if signum == signal.SIGINT and hasattr(sys, "ps1"):
        return KeyboardInterrupt(message)
    return Interrupted(signum, message, told)


class Interruption:
    """Within its `with` block the first signal is only noted, and the second stops at once.

    A signal that was noted and that nobody acted on is sent again at the end of the block. One
    that is ignored, as Ctrl-C is by a shell's background jobs, stays ignored.

    Args:
        immediate: stop at the first signal already, where there is nothing to save.

    Attributes:
        signum: the number of the signal that came, or None.

    In another thread than the main one Python delivers no signals, and the block does nothing.
    """

    def __init__(self, immediate: bool = False) -> None:
        self.signum: int | None = None
        self._immediate = immediate
        self._before: list[tuple[int, Any]] = []

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before.append((number, signal.signal(number, self._handle)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)
        self._before.clear()
        if self.signum is not None and kind is None:
            signal.raise_signal(self.signum)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._immediate or self.signum is not None:
            again = "" if self._immediate else "; what was saved before is intact"
            raise interrupted(number, f"stopped at once by {signal.Signals(number).name}{again}")
        self.signum = number
