"""A page of this machine for this machine: a small server on 127.0.0.1, and news for who looks.

Nothing outside can reach it. Another page in the same browser could try: it does not know the
token in the address, and a request that was sent for another name, or by another page, is refused
(so the name of a foreign site that suddenly points to 127.0.0.1 is of no use to it).
"""

from __future__ import annotations

import hmac
import secrets
import threading
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

ADDRESS = "127.0.0.1"
NAMES = (ADDRESS, "localhost")
KEPT = 100  # events, for a browser that comes back; more are in the page itself
PULSE = 5.0  # seconds between signs of life, by which a browser that is gone is noticed
LEAVING = 1.0  # seconds that a browser has to take the last event
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Server:
    """Serves a page while a `with` block lasts, and sends events to the browsers that show it.

    Args:
        port: where; 0 takes any that is free.

    Attributes:
        page: makes the page; it is given the number of the last event that the page knows.
        url: the address of the page, with its token.

    Raises:
        OSError: if the port is taken.

    Example:
        >>> from urllib.request import urlopen
        >>> with Server() as server:
        ...     server.page = lambda event: "<h1>payment: 220</h1>"
        ...     urlopen(server.url).read()
        b'<h1>payment: 220</h1>'
    """

    def __init__(self, port: int = 0) -> None:
        self.page: Callable[[int], str] = lambda event: ""
        self._news = threading.Condition()
        self._events: deque[tuple[int, bytes]] = deque(maxlen=KEPT)
        self._last = 0
        self._closed = False
        self._listeners = 0
        token = secrets.token_urlsafe(16)
        try:
            self._http = _Http((ADDRESS, port), _handler(self, f"/{token}/"))
        except OSError as error:
            raise OSError(
                f"port {port} of {ADDRESS} cannot be used: {error.strerror or error}; name "
                "another, or none to take any that is free"
            ) from None
        self.url = f"http://{ADDRESS}:{self._http.server_address[1]}/{token}/"
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.1,), name="tarograd live page", daemon=True
        )

    @property
    def watched(self) -> bool:
        """Whether a browser shows the page."""
        return self._listeners > 0

    @property
    def last(self) -> int:
        """The number of the last event."""
        return self._last

    def send(self, data: str) -> None:
        """Send an event, text without line breaks, to every browser that shows the page."""
        with self._news:
            self._last += 1
            self._events.append((self._last, f"id: {self._last}\ndata: {data}\n\n".encode()))
            self._news.notify_all()

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        with self._news:
            self._closed = True
            self._news.notify_all()
            self._news.wait_for(lambda: not self._listeners, LEAVING)
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(LEAVING)

    def _listen(self, after: int, write: Callable[[bytes], Any]) -> None:
        """Pass the events on to one browser, until it or the server is gone."""
        with self._news:
            self._listeners += 1
        closed = False
        try:
            while not closed:
                with self._news:
                    if self._last <= after and not self._closed:
                        self._news.wait(PULSE)
                    due = [event for number, event in self._events if number > after]
                    after, closed = self._last, self._closed
                write(b"".join(due) or b": still here\n\n")
        except OSError:
            return  # the browser was closed
        finally:
            with self._news:
                self._listeners -= 1
                self._news.notify_all()


class _Http(ThreadingHTTPServer):
    """The standard library's server, whose threads do not keep a finished program alive."""

    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that breaks off is no news for the terminal of the run."""


def _handler(server: Server, root: str) -> type[BaseHTTPRequestHandler]:
    """The requests of one server, whose page lies at `root`."""

    class Handler(BaseHTTPRequestHandler):
        """Answers the page and its events, and refuses all else."""

        timeout = 10

        def do_GET(self) -> None:  # the name that the standard library calls
            """Answer a request."""
            address = urlsplit(self.path)
            host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
            known = host.rpartition(":")[0] in NAMES and origin in (None, f"http://{host}")
            path = address.path.encode(errors="replace")
            if not known or not hmac.compare_digest(path[: len(root)], root.encode()):
                self._refuse(HTTPStatus.FORBIDDEN)
            elif address.path == root:
                text = server.page(server.last).encode()
                self._begin("text/html; charset=utf-8", {"Content-Length": str(len(text))})
                self.wfile.write(text)
            elif address.path == f"{root}events":
                seen = self.headers.get("Last-Event-ID") or parse_qs(address.query).get("after")
                text_of = seen[0] if isinstance(seen, list) else seen or ""
                self._begin("text/event-stream", {})
                server._listen(int(text_of) if text_of.isdecimal() else 0, self._write)
            else:
                self._refuse(HTTPStatus.NOT_FOUND)

        def _write(self, data: bytes) -> None:
            self.wfile.write(data)
            self.wfile.flush()

        def _begin(self, kind: str, more: dict[str, str]) -> None:
            self.send_response(HTTPStatus.OK)
            for name, value in {"Content-Type": kind, **HEADERS, **more}.items():
                self.send_header(name, value)
            self.end_headers()

        def _refuse(self, status: HTTPStatus) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the terminal belongs to the run."""

    return Handler
