"""Reading files that are not trusted, in memory that their true size bounds."""

from __future__ import annotations

import gzip
import math
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from tarograd.data.dataset import DataError

MAX_BYTES = 1_000_000_000
CHUNK = 2**20
GZIP_MAGIC = b"\x1f\x8b"

# Images of digits pack by 5 to 1, drawings by 20 to 1; gzip's own limit, 1032 to 1, is for bombs.
_ALWAYS_ALLOWED = 16 * 2**20
_PACKING = 64


def allowance(file_size: int, max_bytes: int = MAX_BYTES) -> int:
    """How many bytes a file of this size may unpack to, whatever its header says.

    Example:
        >>> allowance(4096), allowance(10_000_000), allowance(10**12)
        (16777216, 640000000, 1000000000)
    """
    return min(max_bytes, max(_ALWAYS_ALLOWED, _PACKING * file_size))


@contextmanager
def open_plain(path: str | os.PathLike[str]) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file for reading; the stream, and the file's size.

    Raises:
        DataError: for every way in which the system refuses; also while reading from it.
    """
    try:
        # Not after opening: opening a pipe waits for a writer that may never come.
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or a pipe"
            raise DataError(path, "a file", kind)
        with open(path, "rb") as stream:
            yield stream, status.st_size
    except FileNotFoundError:
        raise DataError(path, "a file", "none of that name") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as fault:
        raise DataError(path, "a whole gzip file", f"damage: {fault}") from None
    except OSError as fault:
        raise DataError(path, "a readable file", fault.strerror or str(fault)) from None


@contextmanager
def open_unpacked(path: str | os.PathLike[str]) -> Iterator[tuple[BinaryIO, int]]:
    """Open a file for reading, through gzip when it is packed; the stream, and the file's size.

    Raises:
        DataError: for every way in which the system refuses or gzip fails, also while reading.
    """
    with open_plain(path) as (raw, size):
        packed = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        if not packed:
            yield raw, size
            return
        with gzip.GzipFile(fileobj=raw) as stream:
            yield cast(BinaryIO, stream), size


def read_array(
    stream: BinaryIO,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    path: str | os.PathLike[str],
    offset: int,
) -> NDArray[Any]:
    """Read the array that is all the rest of the stream, into the machine's own byte order.

    Raises:
        DataError: when the stream holds less, or more. Nothing beyond it is unpacked.
    """
    promised = math.prod(shape) * dtype.itemsize
    array = np.empty(promised, np.uint8)
    view, filled = array.data, 0
    while filled < promised:
        chunk = view[filled : filled + CHUNK]
        count = stream.readinto(chunk)  # type: ignore[attr-defined]  # BinaryIO is typed without it
        if not count:
            expected = f"{promised:,} bytes of data for the shape {shape}"
            raise DataError(path, expected, f"the end after {filled:,}", offset + filled)
        filled += count
    # This read also makes gzip and zip hold the checksum against what was read.
    if stream.read(1):
        expected = f"the end after {promised:,} bytes of data for the shape {shape}"
        raise DataError(path, expected, "more bytes", offset + filled)
    typed = array.view(dtype)
    if not dtype.isnative:
        typed = typed.byteswap(inplace=True).view(dtype.newbyteorder("="))
    return typed.reshape(shape)
