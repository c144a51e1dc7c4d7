"""Downloads from real servers on this machine: right, wrong, silent, slow, broken and absent."""

from __future__ import annotations

import gzip
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tarograd.data import DataError
from tarograd.data.download import Mirrors, RemoteFile, download

CONTENT = bytes(range(256)) * 400
PACKED = gzip.compress(CONTENT, mtime=0)
FILE = RemoteFile("numbers", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


class Handler(BaseHTTPRequestHandler):
    """Answers by the first part of the path; the server object carries the log."""

    server: Server

    def do_GET(self) -> None:
        kind = self.path.split("/")[1]
        self.server.requests.append(self.path)
        getattr(self, kind)()

    def send(self, body: bytes, status: int = 200, length: object = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def good(self) -> None:
        self.send(PACKED)

    def unpacked(self) -> None:
        self.send(CONTENT)

    def repacked(self) -> None:
        self.send(gzip.compress(CONTENT, 1, mtime=12345))

    def without_length(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(PACKED)

    def decoded(self) -> None:
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(PACKED)))
        self.end_headers()
        self.wfile.write(PACKED)

    def moved(self) -> None:
        self.send_response(302)
        self.send_header("Location", self.path.replace("/moved/", "/good/"))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def wrong(self) -> None:
        self.send(gzip.compress(CONTENT[:-1] + b"?"))

    def page(self) -> None:
        self.send(b"<!DOCTYPE html><html>Please log in to the Wi-Fi</html>")

    def nothing(self) -> None:
        self.send(b"")

    def absent(self) -> None:
        self.send(b"no such file", 404)

    def busy_once(self) -> None:
        if len(self.server.requests) == 1:
            self.send(b"try again", 503)
        else:
            self.send(PACKED)

    def hang_up(self) -> None:
        """Closes the connection without a word."""

    def broken(self) -> None:
        self.send(PACKED[: len(PACKED) // 2], length=len(PACKED))

    def odd_length(self) -> None:
        self.send(PACKED, length="many")

    def bomb(self) -> None:
        self.send(gzip.compress(bytes(2**24)))

    def endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.server.stopped.is_set():
            self.wfile.write(bytes(2**16))

    def silent(self) -> None:
        self.server.stopped.wait(60)

    def stalled(self) -> None:
        self.send(PACKED[:100], length=len(PACKED))
        self.wfile.flush()
        self.server.stopped.wait(60)

    def trickle(self) -> None:
        self.send(b"", length=10**6)
        while not self.server.stopped.wait(0.05):
            self.wfile.write(bytes(1024))

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: the test counts requests itself."""


class Server(ThreadingHTTPServer):
    """A server on a free port of 127.0.0.1 that remembers what it was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[str] = []
        self.stopped = threading.Event()

    def url(self, kind: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{kind}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what some tests are about."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "*")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.stopped.set()
        running.shutdown()
        thread.join()


def dead_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/"


def mirrors(*urls: str) -> Mirrors:
    return Mirrors(urls, connect_timeout=2, read_timeout=0.4, slowest=1e6, pause=0.01)


def get(folder: Path, *urls: str) -> None:
    download([FILE], folder, mirrors(*urls), progress=False)


@pytest.mark.parametrize(
    ("kind", "name", "content"),
    [
        ("good", "numbers.gz", PACKED),
        ("moved", "numbers.gz", PACKED),
        ("without_length", "numbers.gz", PACKED),
        ("repacked", "numbers.gz", None),
        ("unpacked", "numbers", CONTENT),
        ("decoded", "numbers", CONTENT),
    ],
)
def test_what_is_right_arrives_under_its_name(
    server: Server, tmp_path: Path, kind: str, name: str, content: bytes | None
) -> None:
    folder = tmp_path / "new" / "cache"
    get(folder, server.url(kind))
    assert [path.name for path in folder.iterdir()] == [name]
    if content is not None:
        assert (folder / name).read_bytes() == content
    assert FILE.read(folder / name) == CONTENT


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("wrong", f"expected 102,400 bytes, unpacked, with the SHA-256 {FILE.sha256}, found 102,4"),
        ("page", "found 54 bytes with"),
        ("nothing", "found 0 bytes with"),
        ("bomb", "found more than 102,400 bytes with"),
        ("endless", r"expected at most 103,\d+ bytes, found more"),
        ("absent", "gz: 404 Client Error: Not Found$"),
        ("hang_up", "gz: Remote end closed connection without response$"),
        ("broken", r"gz: IncompleteRead\(\d+ bytes read, \d+ more expected\)$"),
        ("odd_length", "many"),
        ("silent", r"Read timed out"),
        ("stalled", r"Read timed out"),
        ("trickle", r"sent only [\d,]+ bytes in \d s"),
        ("dead", "Failed to establish a new connection: .*refused$"),
    ],
)
def test_what_is_wrong_is_left_for_the_next_mirror(
    server: Server, tmp_path: Path, kind: str, fault: str
) -> None:
    bad = dead_url() if kind == "dead" else server.url(kind)
    with pytest.raises(DataError, match=fault) as caught:
        get(tmp_path, bad)
    assert bad in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    get(tmp_path, bad, server.url("good"))
    assert [path.name for path in tmp_path.iterdir()] == ["numbers.gz"]


def test_a_bomb_is_not_unpacked_further_than_the_file_should_reach(tmp_path: Path) -> None:
    path = tmp_path / "numbers.gz"
    # Its end is missing: whoever unpacks all of it will say so.
    path.write_bytes(gzip.compress(bytes(2**24))[:-20])
    with pytest.raises(DataError, match=r"found more than 102,400 bytes with"):
        FILE.read(path)


def test_a_host_that_does_not_exist_is_left_for_the_next(server: Server, tmp_path: Path) -> None:
    get(tmp_path, "http://mirror.invalid/", server.url("good"))
    assert [path.name for path in tmp_path.iterdir()] == ["numbers.gz"]


def test_a_busy_mirror_is_asked_again_and_a_wrong_one_is_not(
    server: Server, tmp_path: Path
) -> None:
    get(tmp_path, server.url("busy_once"))
    assert server.requests == ["/busy_once/numbers.gz"] * 2
    server.requests.clear()
    with pytest.raises(DataError):
        get(tmp_path, server.url("wrong"), server.url("silent"))
    assert server.requests == ["/wrong/numbers.gz"] + ["/silent/numbers.gz"] * 2


def test_the_mirror_that_worked_is_asked_first_for_the_next_file(
    server: Server, tmp_path: Path
) -> None:
    second = RemoteFile("more", FILE.sha256, FILE.size)
    download([FILE, second], tmp_path, mirrors(server.url("page"), server.url("good")), False)
    assert server.requests == ["/page/numbers.gz", "/good/numbers.gz", "/good/more.gz"]


def test_a_file_where_the_folder_should_be(server: Server, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(DataError, match="cache: expected a folder that can be written"):
        get(tmp_path / "cache", server.url("good"))


def test_a_full_disk_is_not_the_mirrors_fault(server: Server, tmp_path: Path) -> None:
    program = f"""
import resource
from pathlib import Path
from tarograd.data import DataError
from test_download import FILE, mirrors
from tarograd.data.download import download
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))  # a write beyond fails as on a full disk
try:
    download([FILE], Path({str(tmp_path)!r}), mirrors({server.url("unpacked")!r}), False)
except DataError as fault:
    print(fault)
"""
    done = run(program)
    out, err = done.communicate(timeout=60)
    assert err == ""
    assert out == f"{tmp_path}: expected a folder that can be written, found File too large\n"
    assert list(tmp_path.iterdir()) == []


def run(program: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "nothing happened in 30 s"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_download_leaves_no_half_file(
    server: Server, tmp_path: Path, number: signal.Signals
) -> None:
    program = f"""
import signal, sys
from pathlib import Path
from test_download import FILE
from tarograd.data.download import Mirrors, download
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
download([FILE], Path({str(tmp_path)!r}), Mirrors(({server.url("stalled")!r},)), False)
"""
    child = run(program)
    wait_for(lambda: bool(server.requests) and any(tmp_path.glob(".download-*/*")))
    child.send_signal(number)
    child.communicate(timeout=60)
    assert child.returncode == {signal.SIGTERM: 143}.get(number, -number)
    # Nobody can tidy up after a kill, but the name that counts stays free.
    left = [path.name for path in tmp_path.iterdir() if not path.name.startswith(".download-")]
    assert left == []
    if number != signal.SIGKILL:
        assert list(tmp_path.iterdir()) == []
    get(tmp_path, server.url("good"))
    assert FILE.read(tmp_path / "numbers.gz") == CONTENT


def test_the_progress_bar_is_on_standard_error_or_nowhere(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    get(tmp_path / "quiet", server.url("good"))
    assert capfd.readouterr() == ("", "")
    download([FILE], tmp_path / "shown", mirrors(server.url("good")), progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "numbers.gz" in err
    download([FILE], tmp_path / "other", mirrors(server.url("without_length")), progress=True)
    assert "numbers.gz" in capfd.readouterr().err


def test_the_progress_bar_keeps_no_row_of_a_failed_attempt(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    urls = server.url("broken"), server.url("absent"), server.url("good")
    download([FILE], tmp_path, mirrors(*urls), progress=True)
    err = capfd.readouterr().err
    assert "/good/" in err
    assert "/broken/" not in err
    assert "/absent/" not in err
