"""The server of a live page: who may look, what arrives, and that it goes when the run goes."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest

from tarograd.drawing.live import KEPT, Server


def serving() -> Server:
    server = Server()
    server.page = lambda event: f"page after {event}"
    return server


def ask(server: Server, path: str, **headers: str) -> http.client.HTTPResponse:
    """The answer to a request; the Host is the right one unless another is given."""
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=5)
    connection.putrequest("GET", path, skip_host=True)
    for name, value in {"Host": parts.netloc, **headers}.items():
        connection.putheader(name, value)
    connection.endheaders()
    return connection.getresponse()


def events(response: http.client.HTTPResponse, count: int) -> list[str]:
    """The data of the next events."""
    found: list[str] = []
    while len(found) < count:
        line = response.readline().decode()
        assert line, f"the stream ended after {found}"
        if line.startswith("data: "):
            found.append(line.removeprefix("data: ").rstrip("\n"))
    return found


def waits_for_a_browser(server: Server) -> None:
    while not server.watched:
        time.sleep(0.005)


def test_the_page_is_at_a_secret_address_of_this_machine() -> None:
    with serving() as server, serving() as other:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{22}/", server.url)
        assert urlsplit(server.url).path != urlsplit(other.url).path
        answer = ask(server, urlsplit(server.url).path)
        assert (answer.status, answer.read()) == (200, b"page after 0")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        server.send("x")
        assert ask(server, urlsplit(server.url).path).read() == b"page after 1"


@pytest.mark.parametrize("path", ["/", "/events", "/{}x/", "/x{}/", "//", "/%00", "/%C3%A9", "/{}"])
def test_a_wrong_token_is_refused(path: str) -> None:
    with serving() as server:
        token = urlsplit(server.url).path.strip("/")
        wrong = path.format(token[:-1]) if "{}" in path else path
        answer = ask(server, wrong.encode().decode("latin-1"))
        assert (answer.status, answer.read()) == (403, b"")


def test_what_is_not_there_is_not_found() -> None:
    with serving() as server:
        assert ask(server, urlsplit(server.url).path + "../../etc/passwd").status == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:{port}"},
        {"Host": "127.0.0.1.evil.example:{port}"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1:1"},
    ],
)
@pytest.mark.parametrize("what", ["", "events"])
def test_another_site_in_the_browser_is_refused(headers: dict[str, str], what: str) -> None:
    with serving() as server:
        port = str(urlsplit(server.url).port)
        given = {name: value.format(port=port) for name, value in headers.items()}
        assert ask(server, urlsplit(server.url).path + what, **given).status == 403


def test_the_own_origin_and_a_tunnel_are_let_in() -> None:
    with serving() as server:
        path, own = urlsplit(server.url).path, urlsplit(server.url).netloc
        assert ask(server, path, Origin=f"http://{own}").status == 200
        assert (
            ask(server, path, Host="localhost:9999", Origin="http://localhost:9999").status == 200
        )


def test_only_get_is_answered() -> None:
    with serving() as server:
        parts = urlsplit(server.url)
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=5)
            connection.request(method, parts.path)
            assert connection.getresponse().status == 501


def test_events_arrive_in_order_and_those_that_were_missed_too() -> None:
    with serving() as server:
        path = urlsplit(server.url).path
        server.send("1")
        first = ask(server, f"{path}events?after=0")
        assert first.headers["Content-Type"] == "text/event-stream"
        waits_for_a_browser(server)
        for i in range(2, 6):
            server.send(str(i))
        assert events(first, 5) == ["1", "2", "3", "4", "5"]
        assert events(ask(server, f"{path}events?after=3"), 2) == ["4", "5"]
        again = ask(server, f"{path}events?after=0", **{"Last-Event-ID": "4"})
        assert events(again, 1) == ["5"]
        assert events(ask(server, f"{path}events?after=nonsense"), 1) == ["1"]


def test_a_browser_that_is_gone_is_noticed_and_the_memory_is_bounded() -> None:
    with serving() as server:
        response = ask(server, urlsplit(server.url).path + "events")
        waits_for_a_browser(server)
        response.close()
        for _ in range(2000):
            if not server.watched:
                break
            server.send("x" * 10_000)
            time.sleep(0.005)
        assert not server.watched
        answer = ask(server, urlsplit(server.url).path + "events?after=0")
        kept = min(server.last, KEPT)
        assert len(events(answer, kept)) == kept


def test_a_browser_that_does_not_read_does_not_hold_up_the_run() -> None:
    with serving() as server:
        stuck = ask(server, urlsplit(server.url).path + "events")
        waits_for_a_browser(server)
        began = time.monotonic()
        for _ in range(200):
            server.send("x" * 100_000)
        assert time.monotonic() - began < 5.0  # it would be for ever
        stuck.close()


def test_the_last_event_arrives_and_then_the_server_is_gone() -> None:
    got: list[str] = []
    before = threading.active_count()
    with serving() as server:
        response = ask(server, urlsplit(server.url).path + "events")
        waits_for_a_browser(server)
        reader = threading.Thread(target=lambda: got.extend(events(response, 1)))
        reader.start()
        server.send(json.dumps({"state": "finished"}))
    reader.join(5)
    assert got == ['{"state": "finished"}']
    with pytest.raises(OSError, match="refused"):
        ask(server, "/")
    for _ in range(200):
        if threading.active_count() <= before:
            break
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_a_port_that_is_taken() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            OSError, match=f"port {port} of 127.0.0.1 cannot be used: .* in use; na"
        ):
            Server(port)


def test_nonsense_on_the_line_does_no_harm() -> None:
    with serving() as server:
        parts = urlsplit(server.url)
        for data in (b"\x00\xff" * 100, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b""):
            with socket.create_connection(("127.0.0.1", parts.port or 0), 5) as line:
                line.sendall(data)
        assert ask(server, parts.path).status == 200
