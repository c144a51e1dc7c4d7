"""Layout: how an array lies in memory, its rows padded so that they are read in whole vectors."""

from __future__ import annotations

from dataclasses import dataclass

ALIGNMENT = 64  # bytes: a cache line
FIRST_CACHE, SECOND_CACHE = 2**15, 2**20  # bytes, of today's processors
LARGE = 2**17  # bytes: a matrix that does not stay in the second cache beside others
CONFLICT = 256  # elements: rows at multiples of this would fall into the same few cache lines
SHORT = 16  # elements: rows up to this length are worked on as one vector


@dataclass(frozen=True)
class Buffer:
    """Where an array lies: in the block `block`, from byte `offset` on, with strides in elements.

    The last axis is contiguous; rows are padded to a multiple of `lanes` elements, so that a
    kernel may read and write whole vectors.
    """

    block: str
    offset: int
    strides: tuple[int, ...]
    lanes: int


def lanes_of(length: int, widest: int) -> int:
    """How many elements along an axis are worked on at once: a power of 2."""
    return min(widest, 1 << max(length - 1, 0).bit_length())


def padded_strides(dims: tuple[int, ...], widest: int) -> tuple[tuple[int, ...], int]:
    """The strides of an array with padded rows, and the number of its elements with padding."""
    if not dims:
        return (), 1
    lanes = lanes_of(dims[-1], max(widest, SHORT) if dims[-1] <= SHORT else widest)
    row = -(-dims[-1] // lanes) * lanes
    if len(dims) > 1 and row % CONFLICT == 0:
        row += lanes
    strides, size = [1], row
    for n in reversed(dims[1:-1] if len(dims) > 1 else ()):
        strides.append(size)
        size *= n
    if len(dims) > 1:
        strides.append(size)
        size *= dims[0]
    return tuple(reversed(strides)), size
