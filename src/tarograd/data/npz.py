"""NumPy's own formats, NPY and a zip of them, NPZ, read without trusting them.

`numpy.load` believes what a header says and can be asked to unpickle. Here an array's header, the
zip's directory and the file's size must agree before anything is allocated, and nothing that could
be a pickle is read. Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import math
import os
import re
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from tarograd.data.bounded import MAX_BYTES, allowance, open_plain, read_array
from tarograd.data.dataset import DataError

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo

# The four arrays in the order of `Dataset.hashes`: our names, and those of Keras.
NAMINGS = (
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("x_train", "y_train", "x_test", "y_test"),
)
_MAGIC = b"\x93NUMPY"
_MAX_HEADER = 10_000
# Patterns rather than `ast.literal_eval`, whose stack a deeply nested header could exhaust.
_TYPE = rb"['\"]descr['\"]\s*:\s*['\"]([<>|=]?)([a-zA-Z])(\d{0,4})['\"]"
_ORDER = rb"['\"]fortran_order['\"]\s*:\s*(True|False)\b"
_SHAPE = rb"['\"]shape['\"]\s*:\s*\(([\d\s,]{0,200})\)"


def read_npz(
    path: str | os.PathLike[str], max_bytes: int = MAX_BYTES
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Read the four arrays of a data set from an NPZ file, as `np.savez_compressed` makes it.

    Args:
        path: the file. It holds `train_images, train_labels, test_images, test_labels`, or, as
            Keras names them, `x_train, y_train, x_test, y_test`; other arrays are not looked at.
        max_bytes: refuse files whose four arrays are larger than this together.

    Returns:
        Training images, training labels, test images, test labels.

    Raises:
        DataError: when the file is missing, damaged, lies about its size, or lacks an array.
    """
    from zipfile import BadZipFile, ZipFile

    with open_plain(path) as (file, file_size):
        try:
            with ZipFile(file) as archive:
                members = _find_members(archive, path)
                promised, limit = sum(m.file_size for m in members), allowance(file_size, max_bytes)
                if promised > limit:
                    raise DataError(
                        path,
                        f"at most {limit:,} bytes of data in a file of {file_size:,} bytes",
                        f"members that promise {promised:,}",
                    )
                a, b, c, d = (_read_member(archive, member, path) for member in members)
                return a, b, c, d
        except DataError:
            raise
        # All of these are zipfile's ways to report damage.
        except (BadZipFile, RuntimeError, ValueError, OSError, EOFError, zlib.error) as fault:
            found = f"damage: {str(fault)[:200]}"  # which may quote a name of 64 KB
            raise DataError(path, "an NPZ file, a zip of arrays", found) from None


def read_npy(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> NDArray[Any]:
    """Read the array of an NPY file, as `np.save` makes it.

    Args:
        path: the file.
        max_bytes: refuse files that are larger than this.

    Returns:
        The array, of whole numbers or floats, in the machine's byte order and in C order.

    Raises:
        DataError: when the file is missing, damaged, too large, or holds something else than
            numbers.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "image.npy")
        ...     np.save(path, np.eye(2, dtype=np.uint8))
        ...     read_npy(path)
        array([[1, 0],
               [0, 1]], dtype=uint8)
    """
    with open_plain(path) as (file, size):
        if size > max_bytes:
            raise DataError(path, f"a file of at most {max_bytes:,} bytes", f"{size:,}")
        return _read_whole(file, size, "the file's size says", os.fspath(path))


def _find_members(archive: ZipFile, path: str | os.PathLike[str]) -> list[ZipInfo]:
    """The four members that are wanted, checked for everything the zip's directory tells."""
    from zipfile import ZIP_DEFLATED, ZIP_STORED

    counts = Counter(member.filename for member in archive.infolist())
    for naming in NAMINGS:
        files = [f"{name}.npy" for name in naming]
        if not set(files) & set(counts):
            continue
        for name, file in zip(naming, files, strict=True):
            if counts[file] != 1:
                expected = f"one array each of {', '.join(naming)}"
                raise DataError(path, expected, f"{counts[file]} named {name}")
        members = [archive.getinfo(file) for file in files]
        for member in members:
            method, encrypted = member.compress_type, member.flag_bits & 1
            if method not in (ZIP_STORED, ZIP_DEFLATED) or encrypted:
                found = "it encrypted" if encrypted else f"compression method {method}"
                raise DataError(path, f"{member.filename} stored or deflated", found)
        return members
    given = ", ".join(repr(name[:40]) for name in list(counts)[:8]) or "an empty zip"
    raise DataError(path, f"the arrays {', '.join(NAMINGS[0])}", given)


def _read_member(archive: ZipFile, member: ZipInfo, path: str | os.PathLike[str]) -> NDArray[Any]:
    where = f"{os.fspath(path)}: {member.filename}"
    with archive.open(member) as opened:
        stream = cast(BinaryIO, opened)
        return _read_whole(stream, member.file_size, "the zip's directory says", where)


def _read_whole(stream: BinaryIO, size: int, source: str, where: str) -> NDArray[Any]:
    """The array that is all of the stream, whose size a source tells that can be believed."""
    dtype, shape, fortran, offset = _read_header(stream, where)
    promised = math.prod(shape) * dtype.itemsize
    if offset + promised != size:
        raise DataError(
            where,
            f"{size - offset:,} bytes of data, as {source}",
            f"a header that promises {promised:,}, of shape {shape} and type {dtype}",
            offset,
        )
    if fortran:
        turned = read_array(stream, dtype, shape[::-1], where, offset).T
        return np.ascontiguousarray(turned)
    return read_array(stream, dtype, shape, where, offset)


def _read_header(stream: BinaryIO, where: str) -> tuple[np.dtype[Any], tuple[int, ...], bool, int]:
    """The header of one array: type, shape, whether in Fortran's order, and its own length."""
    head = stream.read(8)
    if len(head) < 8 or not head.startswith(_MAGIC) or head[6] not in (1, 2):
        expected = "a NumPy array, format 1 or 2, which starts with \\x93NUMPY"
        raise DataError(where, expected, f"the bytes {head.hex(' ')}", 0)
    width = 2 if head[6] == 1 else 4
    length = int.from_bytes(stream.read(width), "little")
    if length > _MAX_HEADER:
        raise DataError(where, f"a header of at most {_MAX_HEADER:,} bytes", f"{length:,}", 8)
    header = stream.read(length)
    kind, order, sizes = (re.search(pattern, header) for pattern in (_TYPE, _ORDER, _SHAPE))
    if len(header) < length or not (kind and order and sizes):
        expected = "a header with descr, fortran_order and shape, of a plain number type"
        raise DataError(where, expected, repr(header[:120]), 8 + width)
    dtype = _number_type(kind, where)
    shape = tuple(int(size) for size in sizes[1].replace(b",", b" ").split())
    if 0 in shape or len(shape) > 4:
        raise DataError(where, "at most 4 dimensions of at least 1", f"the shape {shape}", 8)
    return dtype, shape, order[1] == b"True", 8 + width + length


def _number_type(match: re.Match[bytes], where: str) -> np.dtype[Any]:
    byte_order, kind, size = (part.decode() for part in match.groups())
    if kind == "O":
        raise DataError(
            where,
            "numbers",
            "Python objects, which are stored as a pickle",
            hint="A pickle can run any code when it is read, so none is ever loaded. "
            "Save arrays of numbers: images.astype(np.uint8)",
        )
    if kind not in "uif" or size not in ("1", "2", "4", "8") or kind + size == "f1":
        raise DataError(where, "numbers: u1 to u8, i1 to i8, f2 to f8", f"type {kind}{size}", 8)
    return np.dtype(f"{byte_order}{kind}{size}")
