"""Random numbers without a hidden state: every draw is a function of (seed, step, stream).

Word k of a draw is Philox4x64-10 (Salmon, Moraes, Dror, Shaw 2011) with the key (seed, crc32 of
the stream's name) and the counter (1 + k // 4, step, 0, 0), output word k % 4. So a mask can be
drawn again in backward, in a compiled run or after a resume, and is the same.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tarograd.graph import Array, Primitive

_WORD = 2**64


def bits(count: int, seed: int, step: int = 0, stream: str = "") -> NDArray[np.uint64]:
    """Draw `count` random 64-bit words.

    Args:
        count: how many.
        seed: the run's seed, 0 <= seed < 2**64.
        step: the position within the stream, 0 <= step < 2**64.
        stream: the name of what is drawn, such as "batches"; other names, other numbers.

    Raises:
        ValueError: for a seed or step outside of its range.

    Example:
        >>> bool((bits(5, seed=1) == bits(7, seed=1)[:5]).all())
        True
    """
    for name, number in (("seed", seed), ("step", step)):
        if not 0 <= number < _WORD or number != int(number):
            raise ValueError(f"{name}={number}: a whole number from 0 to 2**64 - 1 is needed")
    key = np.array([seed, zlib.crc32(stream.encode())], np.uint64)
    counter = np.array([0, step, 0, 0], np.uint64)
    words: NDArray[np.uint64] = np.random.Philox(key=key, counter=counter).random_raw(count)
    return words


def permutation(count: int, seed: int, step: int = 0, stream: str = "") -> NDArray[np.intp]:
    """Draw a random order of `count` things: the places of their random words, sorted.

    Example:
        >>> sorted(permutation(4, seed=0).tolist())
        [0, 1, 2, 3]
    """
    words = bits(count, seed, step, stream).astype("<u8").view("<u2").reshape(-1, 4)
    return np.lexsort(words.T)  # four parts of 16 bits are sorted faster than one of 64


def _unit(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    """The numbers in [0, 1) whose 53 digits are the upper bits of the words."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _uniform(
    step: int | Array, *, shape: tuple[int, ...], seed: int, stream: str, dtype: DTypeLike
) -> Array:
    words = bits(int(np.prod(shape)), seed, int(step), stream).reshape(shape)
    digits = min(np.finfo(dtype).nmant + 1, 53)  # as many as the dtype has, so none rounds to 1
    return ((words >> np.uint64(64 - digits)) * 2.0**-digits).astype(dtype)


def _normal(
    step: int | Array, *, shape: tuple[int, ...], seed: int, stream: str, dtype: DTypeLike
) -> Array:
    # Box and Muller 1958: the radius from one half of the words, the angle from the other.
    radius, angle = _unit(bits(2 * int(np.prod(shape)), seed, int(step), stream)).reshape(2, -1)
    z: Array = np.sqrt(-2 * np.log1p(-radius)) * np.cos(2 * np.pi * angle)
    return z.reshape(shape).astype(dtype)


def _bernoulli(
    step: int | Array, *, shape: tuple[int, ...], seed: int, stream: str, p: float
) -> Array:
    return _unit(bits(int(np.prod(shape)), seed, int(step), stream)).reshape(shape) < p


# Numbers from [0, 1), all equally likely. The input is the step; nothing to differentiate.
uniform = Primitive(name="uniform", symbol="U", forward=_uniform)

# Numbers from the normal distribution with mean 0 and standard deviation 1.
normal = Primitive(name="normal", symbol="N", forward=_normal)

# True with probability p, else False: which neurons Dropout keeps.
bernoulli = Primitive(name="bernoulli", symbol="B", forward=_bernoulli)


def _dropout(x: Array, mask: Array, *, keep: float) -> Array:
    return x * mask * (1 / keep)


# The dropped elements are 0, the kept ones grow so that the mean stays; backward likewise.
dropout = Primitive(
    name="dropout",
    symbol="dropout",
    forward=_dropout,
    vjp=(lambda g, y, x, mask, keep: g * mask * (1 / keep), None),
    definition=_dropout,
)
