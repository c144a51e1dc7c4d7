"""Cache: machine code in the user's cache folder, found again by what it was translated from.

A file there is only believed if it and the folder are the user's own, nobody else may write to
them, and its checksum fits. Whatever goes wrong with it, the code is translated once more.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

MOST_BYTES = 100_000_000  # then those that were not used for longest go
DIGEST = 32  # bytes of a checksum, which stands in front of the code


def user_folder() -> Path:
    """Where the machine code of this user lies: `code`, beside the downloaded data sets.

    Example:
        >>> user_folder().name
        'code'
    """
    from platformdirs import user_cache_path

    return user_cache_path("tarograd") / "code"


def cached(folder: Path, made_from: tuple[str, ...], make: Callable[[], bytes]) -> bytes:
    """The code that `make` gives, from the folder if it is there, and put there if it is not.

    Args:
        folder: made if need be. One that cannot be used is left alone.
        made_from: everything that the code depends on.
        make: translates.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for _ in range(2):
        ...         print(cached(Path(folder), ("2 apples",), lambda: print("made") or b"code"))
        made
        b'code'
        b'code'
    """
    key = sha256(b"".join(sha256(text.encode()).digest() for text in made_from))
    path = folder / key.hexdigest()
    code = _load(path, key.digest())
    if code is None:
        code = make()
        with contextlib.suppress(OSError):  # a full disk, a folder that is not ours
            _save(path, key.digest(), code)
    return code


def _load(path: Path, key: bytes) -> bytes | None:
    try:
        if not _trusted(path.parent.stat()):
            return None
        with open(os.open(path, os.O_RDONLY | _only("O_NOFOLLOW") | _only("O_BINARY")), "rb") as f:
            if not _trusted(os.fstat(f.fileno())):
                return None
            checksum, code = f.read(DIGEST), f.read()
    except OSError:
        return None
    if sha256(key + code).digest() != checksum:
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # used just now
    return code


def _only(flag: str) -> int:
    """A flag of some systems, 0 on the others."""
    value: int = getattr(os, flag, 0)
    return value


def _trusted(status: os.stat_result) -> bool:
    """Whether nobody but this user can have written it; where there are no owners, it is so."""
    if not hasattr(os, "getuid"):
        return True
    return status.st_uid == os.getuid() and not status.st_mode & 0o022


def _save(path: Path, key: bytes, code: bytes) -> None:
    """Write the file whole or not at all, and keep the folder within its bounds."""
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if not _trusted(path.parent.stat()):
        return
    number, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with open(number, "wb") as file:
            file.write(sha256(key + code).digest() + code)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _shrink(path.parent)


def _shrink(folder: Path) -> None:
    """Remove the files that were not used for longest, until the rest is small enough."""
    files = sorted(_sizes(folder), reverse=True)
    total = 0
    for _, size, path in files:
        total += size
        if total > MOST_BYTES:
            with contextlib.suppress(OSError):
                os.unlink(path)


def _sizes(folder: Path) -> Iterator[tuple[float, int, str]]:
    """When each file was used, its bytes and its path; another process may take it away."""
    for entry in os.scandir(folder):
        with contextlib.suppress(OSError):
            status = entry.stat(follow_symlinks=False)
            yield status.st_mtime, status.st_size, entry.path
