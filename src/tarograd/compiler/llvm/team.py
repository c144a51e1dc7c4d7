"""Team: threads that run the same machine code at once, and the memory through which they agree."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache
from threading import Event, Thread

from tarograd.compiler.llvm.share import PHASE_BYTES, TEAM_BYTES

MUTEX, CONDITION = 128, 192  # the bytes at which they start; neither has more than 64


@cache
def _system() -> ctypes.CDLL | None:
    """The C library of this process, if threads can sleep by it."""
    try:
        library = ctypes.CDLL(None)
        assert library.pthread_cond_wait
    except (OSError, TypeError, AttributeError):  # Windows has others
        return None
    return library


def threads_possible() -> bool:
    """Whether threads can work together here.

    Example:
        >>> threads_possible() or os.name == "nt"
        True
    """
    return _system() is not None


def cores() -> int:
    """How many cores this process may use.

    Example:
        >>> cores() >= 1
        True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def team_memory(phases: int) -> ctypes.Array[ctypes.c_char]:
    """What the threads of one run need to agree on who does what.

    Args:
        phases: how many there are in a step.
    """
    library = _system()
    assert library is not None
    memory = ctypes.create_string_buffer(TEAM_BYTES + PHASE_BYTES * phases + 64)
    start = memory_address(memory)
    for i, name in enumerate(("mutex_lock", "mutex_unlock", "cond_wait", "cond_broadcast")):
        function = ctypes.cast(getattr(library, f"pthread_{name}"), ctypes.c_void_p)
        ctypes.c_void_p.from_address(start + 8 * i).value = function.value
    library.pthread_mutex_init(ctypes.c_void_p(start + MUTEX), None)
    library.pthread_cond_init(ctypes.c_void_p(start + CONDITION), None)
    return memory


def memory_address(memory: ctypes.Array[ctypes.c_char]) -> int:
    """Where it begins, at a cache line."""
    return -(-ctypes.addressof(memory) // 64) * 64


def together(work: Callable[[], None], threads: int) -> None:
    """Call `work` in several threads at once, and wait until all have returned.

    If no more threads can be had, there are fewer. Ctrl-C is raised when all have returned, since
    they write to arrays that are to be used or freed afterwards.

    Example:
        >>> done = []
        >>> together(lambda: done.append("apple"), 3)
        >>> done
        ['apple', 'apple', 'apple']
    """
    go, cancelled, ends = Event(), Event(), []

    def begin(end: Event) -> None:
        go.wait()
        try:
            if not cancelled.is_set():
                work()
        finally:
            end.set()

    try:
        for _ in range(threads):
            end = Event()
            Thread(target=begin, args=(end,), name="tarograd", daemon=True).start()
            ends.append(end)
    except RuntimeError:  # there cannot be more
        if not ends:
            work()
    except KeyboardInterrupt:
        cancelled.set()
        go.set()
        raise
    _wait(go, ends)


def _wait(go: Event, ends: list[Event]) -> None:
    """Let them begin, and wait for all; `Thread.join` would call one ended that is interrupted."""
    interrupt: KeyboardInterrupt | None = None
    while not all(end.is_set() for end in ends):
        try:
            go.set()
            for end in ends:
                end.wait()
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt
