"""The IDX format, in which MNIST comes: a type, the dimensions, then the numbers.

    byte 0, 1   zero
    byte 2      the type: 08 uint8, 09 int8, 0B int16, 0C int32, 0D float32, 0E float64
    byte 3      the number of dimensions d
    4 + 4 i     dimension i, an unsigned 32-bit integer
    4 + 4 d     the elements, the last dimension running fastest

Every number is big-endian. Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of
handwritten digits". A file may be packed with gzip; that is told by its first bytes, not its name.
"""

from __future__ import annotations

import math
import os
import struct
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from tarograd.data.bounded import MAX_BYTES, allowance, open_unpacked, read_array
from tarograd.data.dataset import DataError

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_DIMENSIONS = 4


def read_idx(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> NDArray[Any]:
    """Read one array from an IDX file, plain or packed with gzip.

    The file is not trusted: what its header promises is held against the file's true size before
    anything is allocated, and it must hold exactly that much.

    Args:
        path: the file.
        max_bytes: refuse arrays larger than this.

    Returns:
        The array, in the machine's own byte order, with 1 to 4 dimensions.

    Raises:
        DataError: when the file is missing, or is not a whole IDX file and nothing else.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "labels")
        ...     with open(path, "wb") as file:
        ...         _ = file.write(bytes([0, 0, 8, 1, 0, 0, 0, 3]) + b"abc")
        ...     read_idx(path)
        array([97, 98, 99], dtype=uint8)
    """
    with open_unpacked(path) as (stream, file_size):
        dtype, shape = _read_header(stream, path)
        promised = math.prod(shape) * dtype.itemsize
        limit = allowance(file_size, max_bytes)
        if promised > limit:
            raise DataError(
                path,
                f"at most {limit:,} bytes of data in a file of {file_size:,} bytes",
                f"a header that promises {promised:,}, of shape {shape}",
                offset=4,
            )
        return read_array(stream, dtype, shape, path, offset=4 + 4 * len(shape))


def view_idx(content: bytes, path: str | os.PathLike[str]) -> NDArray[Any]:
    """The array in the bytes of a whole IDX file, read-only, without a copy.

    Args:
        content: the unpacked bytes; their hash has been compared.
        path: where they come from, for messages.

    Raises:
        DataError: when the header is none.
    """
    stream = BytesIO(content)
    dtype, shape = _read_header(stream, path)
    return np.frombuffer(content, dtype, offset=stream.tell()).reshape(shape)


def _read_header(
    stream: BinaryIO, path: str | os.PathLike[str]
) -> tuple[np.dtype[Any], tuple[int, ...]]:
    head = stream.read(4)
    if len(head) < 4 or head[:2] != b"\0\0":
        raise DataError(path, "an IDX file, which starts with two zero bytes", _start(head), 0)
    code, dimensions = head[2], head[3]
    if code not in _TYPES:
        known = ", ".join(f"{known:02X}" for known in _TYPES)
        raise DataError(path, f"one of the types {known}", f"the type {code:02X}", 2)
    if not 1 <= dimensions <= _MAX_DIMENSIONS:
        raise DataError(path, f"1 to {_MAX_DIMENSIONS} dimensions", str(dimensions), 3)
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        expected = f"{dimensions} dimensions of 4 bytes each"
        raise DataError(path, expected, f"the end after {len(sizes)} bytes", 4)
    shape = struct.unpack(f">{dimensions}I", sizes)
    if 0 in shape:
        at = 4 + 4 * shape.index(0)
        raise DataError(path, "dimensions of at least 1", f"the shape {shape}", at)
    return np.dtype(_TYPES[code]), shape


def _start(head: bytes) -> str:
    """What a file starts with, in words, when it is not IDX."""
    if not head:
        return "an empty file"
    if head.lstrip().startswith(b"<"):
        return f"{head!r}: a web page, as a mirror or a proxy sends in place of a missing file"
    return f"the bytes {head.hex(' ')}"
