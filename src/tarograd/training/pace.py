"""Pace: how many steps the machine code makes in a call, and how many threads make them.

Both are only a matter of time: the bits of a run do not depend on them.
"""

from __future__ import annotations

CALL_SECONDS = 0.08  # how long the machine code runs before Python looks up again
REVIEW = 32  # calls, of which one tries another number of threads
TRIALS = 2  # calls with each number in the beginning; in the first one the code is cold
MOST_THREADS = 8  # of a number that is not given: steps of mini-batches have no work for more


class Pace:
    """Chooses by what the calls took.

    Which number of threads is the fastest changes with what else the computer does, so another one
    is tried now and then.

    Args:
        threads: so many; None for the fastest number.
        cores: how many there are.

    Example:
        >>> pace = Pace(threads=None, cores=2)
        >>> for threads, seconds in [(1, 2e-3), (2, 3e-3), (1, 1e-3), (2, 6e-4)]:
        ...     assert pace.threads == threads
        ...     pace.note(pace.steps, pace.steps * seconds)
        >>> pace.threads, pace.steps
        (2, 64)
    """

    def __init__(self, threads: int | None, cores: int) -> None:
        most = min(cores, MOST_THREADS)
        counts = [n for n in (1, 2, 4, 8) if n < most] + [most]
        self.counts = counts if threads is None else [threads]
        self.seconds: dict[int, float] = {}
        self._calls = 0
        self._longest = 1

    @property
    def threads(self) -> int:
        """Of the next call."""
        turn, among = self._calls, len(self.counts)
        if among > 1 and turn < TRIALS * among:
            return self.counts[turn % among]
        best = min(self.counts, key=lambda n: self.seconds.get(n, 0.0))
        if among > 1 and turn % REVIEW == 0:
            others = [n for n in self.counts if n != best]
            return others[turn // REVIEW % len(others)]
        return best

    @property
    def steps(self) -> int:
        """Of the next call: as many as are made in the time, if they take what they took."""
        seconds = self.seconds.get(self.threads)
        if seconds is None:
            return 1
        return min(max(1, int(CALL_SECONDS / max(seconds, 1e-9))), self._longest)

    def note(self, steps: int, seconds: float) -> None:
        """The call that was next has made `steps` in `seconds`."""
        if 4 * steps < self.steps:  # the end of an epoch: too few to tell
            return
        new, old = seconds / steps, self.seconds.get(self.threads)
        early = old is None or self._calls < TRIALS * len(self.counts)
        self.seconds[self.threads] = new if early or old is None else (new + old) / 2
        self._longest = max(self._longest, 4 * steps)
        self._calls += 1
