"""Mini-batches: which images each training step sees, as a function of the seed and the step."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tarograd.ops.random import bits, permutation

Sampling = Literal["shuffle", "replacement"]
_STREAM = "batches"


class Batches:
    """The mini-batches of a run. Batch `step` depends on the arguments and on nothing else.

    - `"shuffle"`: an epoch goes through all images once, in an order of its own. When the batch
      size does not divide the number of images, an epoch's last batch is shorter; when it is
      greater, every batch is the whole set.
    - `"replacement"`: each batch is drawn afresh, as in *Deep Learning from Scratch*: an image may
      come twice. An epoch is then only a count of steps, size // batch_size, and at least one.

    Args:
        size: the number of images.
        batch_size: how many of them a step sees.
        seed: the run's seed.
        sampling: "shuffle" or "replacement".

    Raises:
        ValueError: when size or batch_size is not a positive whole number, or the sampling is
            another word, or the seed is not in 0 <= seed < 2**64.

    Example:
        >>> batches = Batches(size=5, batch_size=2, seed=0)
        >>> epoch = [batches.indices(step) for step in range(batches.steps_per_epoch)]
        >>> [len(batch) for batch in epoch], sorted(np.concatenate(epoch).tolist())
        ([2, 2, 1], [0, 1, 2, 3, 4])
    """

    def __init__(
        self, size: int, batch_size: int, seed: int, sampling: Sampling = "shuffle"
    ) -> None:
        """Checks the arguments; nothing is drawn yet."""
        bits(0, seed)  # refuses a seed out of range now, not at the first step
        for name, number in (("size", size), ("batch_size", batch_size)):
            if not isinstance(number, int | np.integer) or isinstance(number, bool) or number < 1:
                raise ValueError(
                    f"{name}={number!r}: it is a number of images, a whole number from 1 on"
                )
        if sampling not in get_args(Sampling):
            raise ValueError(
                f"sampling={sampling!r}: write 'shuffle' to see every image once in an epoch, or "
                "'replacement' to draw each batch afresh as the textbook does"
            )
        self.size, self.batch_size, self.seed = int(size), int(batch_size), int(seed)
        self.sampling = sampling
        # The order of the epoch asked for last: a run asks for its batches one after another.
        self._epoch = -1
        self._order = np.empty(0, np.intp)

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches in an epoch."""
        if self.sampling == "replacement":
            return max(self.size // self.batch_size, 1)
        return -(-self.size // self.batch_size)

    def indices(self, step: int) -> NDArray[np.intp]:
        """The images of one mini-batch.

        Args:
            step: the number of the batch, counted from 0 over the whole run.

        Returns:
            Indices into the training set, at most `batch_size` of them.

        Raises:
            ValueError: when step is negative.
        """
        if step < 0:
            raise ValueError(f"step={step}: steps are counted from 0 over the whole run")
        if self.sampling == "replacement":
            return _scale(bits(self.batch_size, self.seed, step, _STREAM), self.size)
        epoch, batch = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._order = permutation(self.size, self.seed, epoch, _STREAM)
            self._order.flags.writeable = False
            self._epoch = epoch
        return self._order[batch * self.batch_size : (batch + 1) * self.batch_size]

    def several(self, step: int, count: int) -> NDArray[np.intp]:
        """The mini-batches of `count` steps from this one on, a row for each.

        Raises:
            ValueError: when they are not whole batches of one epoch.

        Example:
            >>> batches = Batches(size=7, batch_size=2, seed=0)
            >>> (batches.several(1, 2) == [batches.indices(1), batches.indices(2)]).all()
            np.True_
        """
        if self.sampling == "replacement":
            return np.stack([self.indices(i) for i in range(step, step + count)])
        self.indices(step)  # the order of its epoch
        size = min(self.batch_size, self.size)
        first = step % self.steps_per_epoch * size
        rows = self._order[first : first + count * size]
        if len(rows) < count * size:
            raise ValueError(
                f"{count} batches of {size} from step {step} on: {len(rows)} images are left in "
                "the epoch"
            )
        return rows.reshape(count, size)


def _scale(words: NDArray[np.uint64], size: int) -> NDArray[np.intp]:
    """Whole numbers from 0 to size - 1, from the upper 32 bits of random words.

    Their probabilities differ by less than size / 2**32 of themselves.
    Source: D. Lemire, "Fast random integer generation in an interval", 2019, without the rejection.
    """
    return ((words >> np.uint64(32)) * np.uint64(size) >> np.uint64(32)).astype(np.intp)
