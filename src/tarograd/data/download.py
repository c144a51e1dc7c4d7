"""Getting published files from mirrors, and knowing them by the hash of what they unpack to."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tarograd.data.bounded import GZIP_MAGIC, open_unpacked
from tarograd.data.dataset import DataError

if TYPE_CHECKING:
    from requests import Response
    from rich.progress import Progress


@dataclass(frozen=True)
class RemoteFile:
    """A file that is published once and never changes.

    Mirrors pack it differently, so that it is known by its unpacked bytes.

    Args:
        name: the name that it has unpacked; the packed one ends in `.gz`.
        sha256: of the unpacked bytes, in hexadecimal.
        size: the number of unpacked bytes.
    """

    name: str
    sha256: str
    size: int

    def find(self, folder: Path) -> Path | None:
        """The file in this folder, plain or packed; None when it is not there."""
        candidates = (folder / self.name, folder / f"{self.name}.gz")
        return next((path for path in candidates if os.path.exists(path)), None)

    def read(self, path: Path) -> bytes:
        """Its unpacked bytes, never further than it should reach, when their hash is right.

        Raises:
            DataError: with the expected hash and the one found.
        """
        import hashlib

        with open_unpacked(path) as (stream, _):
            data = stream.read(self.size + 1)
        digest = hashlib.sha256(data).hexdigest()
        if digest == self.sha256:
            return data
        beyond = "more than " if len(data) > self.size else ""
        raise DataError(
            path,
            f"{self.size:,} bytes, unpacked, with the SHA-256 {self.sha256}",
            f"{beyond}{min(len(data), self.size):,} bytes with {digest}",
            hint="It is damaged, or another file: delete it, or put the right one there",
        )


@dataclass(frozen=True)
class Mirrors:
    """Where files are published, and how long to wait there.

    Args:
        urls: the folders, each ending in "/", in the order in which they are asked.
        connect_timeout: seconds until a connection stands.
        read_timeout: seconds of silence after which a mirror is left for the next.
        slowest: the bytes per second, averaged from the start, below which it is left too.
        attempts: how often each is asked when a request fails.
        pause: seconds between two attempts.
    """

    urls: tuple[str, ...]
    connect_timeout: float = 5.0
    read_timeout: float = 15.0
    slowest: float = 1000.0
    attempts: int = 2
    pause: float = 1.0


def download(files: Sequence[RemoteFile], folder: Path, mirrors: Mirrors, progress: bool) -> None:
    """Download files into a folder, each under its final name only when its hash is right.

    Args:
        files: what to get.
        folder: where to; made when it does not exist.
        mirrors: where from. The one that sent a file is asked first for the next.
        progress: whether to draw a progress bar on standard error.

    Raises:
        DataError: when no mirror sends a right file, with each mirror's fault, or when the
            folder cannot be written. An interruption leaves no half-written file either.
    """
    import tempfile

    urls = list(mirrors.urls)
    with _explain_disk_faults(folder), _progress_bar(progress) as bar:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as scratch:
                sent = Path(scratch, file.name)
                good = _fetch(file, sent, replace(mirrors, urls=tuple(urls)), bar)
                with open(sent, "r+b") as stream:
                    suffix = ".gz" if stream.read(2) == GZIP_MAGIC else ""
                    os.fsync(stream.fileno())
                os.replace(sent, folder / (file.name + suffix))
            urls.sort(key=lambda url: url != good)


def _fetch(file: RemoteFile, target: Path, mirrors: Mirrors, bar: Progress | None) -> str:
    """Write the right file to the target; returns the URL of the mirror that had it."""
    from http.client import HTTPException

    from requests import RequestException

    faults = []
    for url in mirrors.urls:
        address = f"{url}{file.name}.gz"
        for attempt in range(mirrors.attempts):
            time.sleep(mirrors.pause if attempt else 0)
            try:
                with open(target, "wb") as stream:
                    _request(address, _Sink(stream, file.size, mirrors), mirrors, bar)
                file.read(target)
                return url
            except DataError as fault:  # it answered, with something else: asking again is no use
                faults.append(f"{address}: expected {fault.expected}, found {fault.found}")
                break
            except (
                RequestException,
                HTTPException,
                ConnectionError,
                TimeoutError,
                ValueError,
            ) as fault:
                faults.append(f"{address}: {_reason(fault)}")
    listed = "".join(f"\n  {fault}" for fault in dict.fromkeys(faults))
    expected = f"one of {len(mirrors.urls)} mirrors to send this file"
    raise DataError(file.name, expected, f"that none did:{listed}")


class _Sink:
    """The file that pooch writes to; leaves a mirror that sends too much, or too slowly."""

    def __init__(self, stream: BinaryIO, size: int, mirrors: Mirrors) -> None:
        self.stream = stream
        # Packing never makes a file longer than by a header and a few bytes for each block.
        self.limit = size + size // 1000 + 1024
        self.mirrors = mirrors
        self.start = time.monotonic()
        self.written = 0

    def write(self, chunk: bytes) -> None:
        self.written += len(chunk)
        if self.written > self.limit:
            raise DataError("", f"at most {self.limit:,} bytes", "more")
        seconds = time.monotonic() - self.start
        if seconds > self.mirrors.read_timeout and self.written < seconds * self.mirrors.slowest:
            raise TimeoutError(f"sent only {self.written:,} bytes in {seconds:.0f} s")
        self.stream.write(chunk)

    def flush(self) -> None:
        """Nothing: pooch asks for it after every kilobyte, and closing flushes."""


class _Bar:
    """What pooch asks of a progress bar, drawn by rich."""

    def __init__(self, progress: Progress, title: str) -> None:
        self.progress = progress
        self.task = progress.add_task(title, total=None)

    @property
    def total(self) -> float | None:
        return next(task.total for task in self.progress.tasks if task.id == self.task)

    @total.setter
    def total(self, size: int) -> None:
        self.progress.update(self.task, total=size or None)

    def update(self, count: int) -> None:
        self.progress.advance(self.task, count)

    def reset(self) -> None:
        self.progress.reset(self.task)

    def close(self) -> None:
        self.progress.stop_task(self.task)

    def remove(self) -> None:
        self.progress.remove_task(self.task)


def _request(address: str, sink: _Sink, mirrors: Mirrors, bar: Progress | None) -> None:
    from pooch import HTTPDownloader

    row = _Bar(bar, address) if bar else None
    with contextlib.ExitStack() as stack:

        def close_in_the_end(response: Response, **_: object) -> None:
            stack.callback(response.close)

        fetch = HTTPDownloader(
            progressbar=row or False,
            timeout=(mirrors.connect_timeout, mirrors.read_timeout),
            # pooch leaves the connection open when the transfer fails.
            hooks={"response": close_in_the_end},
        )
        try:
            fetch(address, sink, None)
        except BaseException:
            if row:
                row.remove()
            raise


def _reason(fault: Exception) -> str:
    """Why a request failed: the innermost of the errors that wrap each other, short."""
    causes = (getattr(fault, "reason", None), *reversed(fault.args))
    inner = next((cause for cause in causes if isinstance(cause, Exception)), None)
    if inner:
        return _reason(inner)
    return re.sub(r"^\w*Connection\w*\(.*?\): | for url: .*$", "", str(fault))


@contextlib.contextmanager
def _progress_bar(shown: bool) -> Iterator[Progress | None]:
    if not shown:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield bar


@contextlib.contextmanager
def _explain_disk_faults(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        found = fault.strerror or str(fault)
        raise DataError(folder, "a folder that can be written", found) from None
