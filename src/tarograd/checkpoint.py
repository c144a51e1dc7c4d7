"""Checkpoints: named arrays and one dictionary of metadata in one safetensors file.

A checkpoint knows nothing of layers or optimizers: whoever saves chooses the names. Three promises:

- **The last good file survives.** A file is written aside, flushed to the disk and then renamed, so
  that a kill, a full disk or a power cut leaves the old file or the new one, never half of one.
- **Equal content gives equal bytes**, and so equal hashes: names are sorted, numbers are
  little-endian, and the metadata is canonical JSON under a single key.
- **A file cannot run code.** The safetensors format holds numbers and text only; a pickle is
  refused unread.

The format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import stat
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The safetensors library orders several metadata keys at random; with one there is no order.
_KEY = "tarograd"
# Bounds the memory that a hostile header can cost. The format's own limit is 100 MB.
_MAX_HEADER = 4 * 2**20
_STALE_SECONDS = 3600.0
_STALE_NAME = re.compile(r"\.tarograd-[0-9a-f]{16}\.tmp")
# Virus scanners and indexers on Windows hold a new file open for a moment.
_REPLACE_PATIENCE = 2.5 if os.name == "nt" else 0.0


class CheckpointError(ValueError):
    """A checkpoint could not be written or read; the message is one printable line.

    Names that come out of a damaged or hostile file are quoted in messages, so characters that
    would break the line or command the terminal are replaced, and long messages are cut.
    """

    def __init__(self, message: str) -> None:
        """Keep the printable part of the message.

        Args:
            message: what was given, what was meant, how to mend it.
        """
        shown = message if len(message) <= 1000 else message[:999] + "…"
        super().__init__(
            "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shown)
        )


class WriteError(CheckpointError, OSError):
    """A file could not be written: an OSError that says which, and what is there now."""


def save(
    path: str | os.PathLike[str], arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]
) -> None:
    """Write arrays and metadata to one file, atomically.

    Arrays may have any shape, strides and byte order. They and the metadata come back from
    `load` as they are, except that subclasses of `ndarray` come back as plain arrays and numbers
    in the machine's own byte order.

    Args:
        path: the file, usually `*.safetensors`; its folder must exist.
        arrays: arrays of bool, integer or float (16, 32, 64 bit) numbers by name.
        metadata: whatever JSON can hold exactly: `dict` with `str` keys, `list`, `str`, `int`,
            finite `float`, `bool`, `None`. With the array names at most 4 MiB.

    Raises:
        CheckpointError: if something cannot be stored, or the file cannot be written; the
            previous file at that path is then intact.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "last.safetensors")
        ...     save(path, {"w1": np.eye(2), "step": np.array(7)}, {"seed": 0})
        ...     arrays, metadata = load(path)
        >>> arrays["w1"]
        array([[1., 0.],
               [0., 1.]])
        >>> int(arrays["step"]), metadata
        (7, {'seed': 0})
    """
    from safetensors.numpy import save as serialize

    stored = {name: _storable(name, arrays[name]) for name in sorted(arrays)}
    content = dict(metadata)
    _refuse_unstorable("metadata", content)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    data = serialize(stored, metadata={_KEY: text})
    header = int.from_bytes(data[:8], "little")
    if header > _MAX_HEADER:
        raise CheckpointError(
            f"{os.fspath(path)}: the metadata and the array names take {header:,} bytes, more than "
            f"the {_MAX_HEADER:,} that a checkpoint may hold: store long lists as arrays"
        )
    write_atomically(path, data)


def load(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read what `save` wrote.

    The file may come from anywhere: nothing in it is executed, and the memory used is bounded by
    the file's true size, whatever its header promises.

    Args:
        path: the file.

    Returns:
        The arrays (writable, in the order of their names) and the metadata.

    Raises:
        CheckpointError: if there is no such file, or it is damaged, cut short, a pickle, or not
            written by `save`.

    Example:
        >>> load("no/such/file.safetensors")
        Traceback (most recent call last):
        ...
        tarograd.checkpoint.CheckpointError: cannot read no/such/file.safetensors:
        No such file or directory
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as deserialize

    data = _read(path)
    where = f"{os.fspath(path)} ({len(data):,} bytes)"
    try:
        arrays = deserialize(data)
    except SafetensorError as error:
        raise CheckpointError(f"{where} is damaged or cut short: {error}") from None
    except KeyError as error:
        raise CheckpointError(
            f"{where} holds numbers of type {error.args[0]}, which NumPy does not have: "
            "convert them to float32 where the file was made"
        ) from None
    except ValueError as error:
        raise CheckpointError(f"{where} holds an array that NumPy cannot: {error}") from None
    metadata = _metadata(where, data)
    return {name: arrays[name] for name in sorted(arrays)}, metadata


def check_shapes(
    arrays: Mapping[str, NDArray[Any]],
    expected: Mapping[str, tuple[int, ...]],
    path: str | os.PathLike[str],
) -> None:
    """Compare the arrays of a file with the shapes that a network expects.

    Args:
        arrays: what `load` returned, by name.
        expected: the network's shapes, by name, in the order of declaration.
        path: the file, for the message.

    Raises:
        CheckpointError: naming the first parameter in the order of `expected` that is missing or
            differs, with both shapes; then the first that only the file has.

    Example:
        >>> check_shapes({"w1": np.zeros((784, 50))}, {"w1": (784, 100)}, "best.safetensors")
        Traceback (most recent call last):
        ...
        tarograd.checkpoint.CheckpointError: best.safetensors: w1: the file has (784, 50),
        the network (784, 100)
    """
    for name, shape in expected.items():
        if name not in arrays:
            raise CheckpointError(
                f"{os.fspath(path)}: {name}: the file has none, the network {tuple(shape)}"
            )
        if arrays[name].shape != tuple(shape):
            raise CheckpointError(
                f"{os.fspath(path)}: {name}: the file has {arrays[name].shape}, "
                f"the network {tuple(shape)}"
            )
    for name, array in arrays.items():
        if name not in expected:
            raise CheckpointError(
                f"{os.fspath(path)}: {name}: the file has {array.shape}, the network none"
            )


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a whole file or nothing: beside the target, flushed to the disk, then renamed.

    A symbolic link is followed. A temporary file that a killed process left behind in the same
    folder is removed by the first write an hour or more later; younger ones may still be in use
    by another process, perhaps on another machine.

    Args:
        path: the file; its folder must exist.
        data: its whole new content.

    Raises:
        WriteError: if the file cannot be written; the previous file is then intact and no
            temporary file is left.
    """
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    existed = os.path.lexists(target)
    temporary = os.path.join(folder, f".tarograd-{os.urandom(8).hex()}.tmp")
    try:
        _remove_stale(folder)
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _replace(temporary, target)
        _sync_folder(folder)
    except BaseException as error:  # Ctrl-C too must not leave the temporary file behind
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if not isinstance(error, OSError):
            raise
        reason = error.strerror or str(error)
        if not os.path.isdir(folder):
            reason = f"there is no folder {folder}"
        outcome = "the previous file at that path is intact" if existed else "nothing was written"
        raise WriteError(f"cannot write {os.fspath(path)}: {reason} ({outcome})") from error


def _remove_stale(folder: str) -> None:
    """Remove what processes that were killed while writing left behind; no matter if it fails."""
    oldest = time.time() - _STALE_SECONDS
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _STALE_NAME.fullmatch(entry.name) and entry.stat().st_mtime < oldest:
                os.unlink(entry.path)


def _replace(source: str, target: str, patience: float = _REPLACE_PATIENCE) -> None:
    """Rename, trying again for `patience` seconds while the target is held by another process."""
    deadline = time.monotonic() + patience
    while True:
        try:
            os.replace(source, target)
        except PermissionError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _sync_folder(folder: str) -> None:
    """Make the renaming durable, where the system can (Windows and some network disks cannot).

    A failure is passed over: the name stands for a whole file, the new one or the previous one.
    """
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _storable(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """The array as safetensors needs it: it writes garbage unless C-contiguous.

    `np.ascontiguousarray` would make a 0-d array 1-d.
    """
    if name == "__metadata__" or not name.isprintable():
        raise CheckpointError(f"an array cannot have the name {name!a}: choose printable text")
    value = np.asarray(array)
    if value.dtype.kind not in "biuf" or value.dtype.itemsize > 8:
        raise CheckpointError(
            f"{name} holds {value.dtype}: a checkpoint can hold bool, int and uint of 8 to 64, "
            "float of 16 to 64 bits"
        )
    return np.asarray(value, order="C")


def _refuse_unstorable(where: str, value: object) -> None:
    """Raise where JSON would fail, or would silently give back something else."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise CheckpointError(f"{where} has the key {key!r}: keys must be strings")
            _refuse_unstorable(f"{where}[{key!r}]", item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_unstorable(f"{where}[{index}]", item)
    elif isinstance(value, float) and not math.isfinite(value):
        raise CheckpointError(
            f"{where} is {value}, which JSON cannot hold: leave it out or use None"
        )
    elif value is not None and not isinstance(value, (str, int, float)):
        raise CheckpointError(
            f"{where} is of type {type(value).__name__}: metadata can hold dict, list, str, int, "
            "float, bool and None"
        )


def _read(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a regular file that begins as a safetensors file does."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise CheckpointError(
                f"{os.fspath(path)} is a folder: name the file in it, such as last.safetensors"
            )
        if not stat.S_ISREG(mode):  # a pipe would block, a device may never end
            raise CheckpointError(f"{os.fspath(path)} is not a regular file")
        with open(path, "rb") as file:
            _refuse_other_formats(path, file.read(9), os.fstat(file.fileno()).st_size)
            file.seek(0)
            return file.read()
    except OSError as error:
        raise CheckpointError(
            f"cannot read {os.fspath(path)}: {error.strerror or error}"
        ) from error


def _refuse_other_formats(path: str | os.PathLike[str], start: bytes, size: int) -> None:
    """Check the first nine bytes: the header's length in eight, then a brace."""
    name = os.fspath(path)
    header = int.from_bytes(start[:8], "little")
    braced = start[8:] == b"{"
    if braced and header <= min(size - 8, _MAX_HEADER):
        return
    if braced and header <= _MAX_HEADER:
        raise CheckpointError(
            f"{name} is cut short: its header ends at byte {header + 8:,}, the file at {size:,}"
        )
    if braced:
        raise CheckpointError(
            f"{name} ({size:,} bytes) is damaged: it promises a header of {header:,} bytes, "
            f"and {_MAX_HEADER:,} is the most a checkpoint has"
        )
    # Only now: the length of a good header may begin with these bytes too.
    if start.startswith((b"\x80", b"PK")):
        kind = "a pickle" if start.startswith(b"\x80") else "a zip archive (.pt or .npz)"
        raise CheckpointError(
            f"{name} is {kind}, and is not opened: a pickle can run any code when it is loaded. "
            "Where you trust the file, read it with the program that wrote it, then call "
            "tarograd.checkpoint.save(new_path, {name: array, ...}, {})"
        )
    if size < len(b"12345678{"):
        raise CheckpointError(f"{name} is empty or cut short: the file has {size} bytes")
    raise CheckpointError(
        f"{name} ({size:,} bytes) is not a checkpoint: it begins with {start!r}, "
        "which is not how a safetensors file begins"
    )


def _metadata(where: str, data: bytes) -> dict[str, Any]:
    """The metadata out of a header that the safetensors library has found to be sound."""
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        text = (header.get("__metadata__") or {}).get(_KEY)
        metadata = None if text is None else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{where} is damaged: its metadata is not JSON: {error}") from None
    if text is None:
        raise CheckpointError(
            f"{where} is a safetensors file of another program (no {_KEY!r} in its metadata): "
            "to use its arrays, read them with safetensors.numpy.load_file, then call "
            "tarograd.checkpoint.save(new_path, arrays, {})"
        )
    if not isinstance(metadata, dict):
        raise CheckpointError(f"{where} is damaged: its metadata is not a JSON object")
    return metadata
