"""What one caller may send, and how long it may take: on real sockets."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest
import uvicorn

from matinee_platform.service import guarded_protocol
from matinee_platform.service.guarded_protocol import HEAD_BYTES, TURN_AWAY, GuardedProtocol

Port = int
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


async def answer_size(scope: Any, receive: Any, send: Any) -> None:
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = str(size).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def served(application: Any, lifespan: Literal["on", "off"]) -> Iterator[Port]:
    with socket.create_server(("127.0.0.1", 0)) as door:
        config = uvicorn.Config(
            application, http=GuardedProtocol, ws="none", lifespan=lifespan, log_config=None
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        yield door.getsockname()[1]
        server.should_exit = True
        thread.join()


@pytest.fixture
def port() -> Iterator[Port]:
    with served(answer_size, "off") as found:
        yield found


def told(port: Port, *parts: bytes) -> bytes:
    """What comes back until the connection ends or an answer is there."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        try:
            for part in parts:
                connection.sendall(part)
        except OSError:
            pass  # refused while sending; the answer may be there nevertheless
        found = b""
        try:
            while not found or b"\r\n\r\n" not in found:
                part = connection.recv(65_536)
                if not part:
                    break
                found += part
        except ConnectionResetError:
            found += b"reset"
    return found


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([b"GET / HTTP/1.1\r\nX: ", *[b"a" * 65_536] * 400], id="one long field"),
        pytest.param([b"GET /", *[b"a" * 65_536] * 400], id="a long address"),
        pytest.param([b"GET / HTTP/1.1\r\n", *[b"X: a\r\n" * 9_000] * 400], id="many fields"),
        pytest.param([b"GET / HTTP/1.1\r\n", *[b"X" * 65_536] * 400], id="a long name"),
        pytest.param([CHUNKED, b"1;", *[b"a" * 65_536] * 400], id="a long chunk extension"),
        pytest.param([CHUNKED, b"0\r\nX: ", *[b"a" * 65_536] * 400], id="a long trailer"),
        pytest.param([CHUNKED, b"0\r\n", *[b"X: a\r\n" * 9_000] * 400], id="many trailers"),
    ],
)
def test_no_head_is_endless(port: Port, parts: list[bytes]) -> None:
    found = told(port, *parts)
    assert found == b"reset" or found.startswith(b"HTTP/1.1 400")
    assert told(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_usual_requests_go_through(port: Port) -> None:
    field = b"X: " + b"a" * (HEAD_BYTES - 200) + b"\r\n"
    body = b"b" * 1_000_000
    head = b"POST / HTTP/1.1\r\nHost: x\r\n" + field + b"Content-Length: 1000000\r\n\r\n"
    assert told(port, head, body).startswith(b"HTTP/1.1 200")
    pieces = [b"2000\r\n" + b"c" * 0x2000 + b"\r\n"] * 100
    assert told(port, CHUNKED, *pieces, b"0\r\n\r\n").startswith(b"HTTP/1.1 200")
    # Heads are counted one by one on a connection that goes on.
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        for _ in range(5):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n" + field + b"\r\n")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\r\n", id="a blank line"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n", id="half a head"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf", id="half"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HT", id="half of a second one"),
    ],
)
def test_nobody_is_waited_for_for_ever(
    port: Port, part: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded_protocol, "REQUEST_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(part)
        while connection.recv(65_536):
            pass


def test_who_has_been_quiet_for_long_holds_up_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded_protocol, "DRAIN_SECONDS", 0.01)
    monkeypatch.setattr(guarded_protocol, "LINGER_SECONDS", 10_000.0)
    with socket.create_server(("127.0.0.1", 0)) as door:
        config = uvicorn.Config(
            answer_size, http=GuardedProtocol, ws="none", lifespan="off", log_config=None
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
        thread.start()
        with socket.create_connection(door.getsockname()[:2], timeout=60) as quiet:
            quiet.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert quiet.recv(65_536).startswith(b"HTTP/1.1 200")
            threading.Event().wait(0.1)
            server.should_exit = True
            # It never closes its end, and nobody waits for that.
            thread.join(60)
            assert not thread.is_alive()


class NoIsNo:
    """Turns away whoever asks for `/no`."""

    def is_full(self) -> bool:
        return True

    def at_once(self, method: str, path: bytes, headers: Any) -> tuple[int, bytes] | None:
        if path != b"/no":
            return None
        assert (method, dict(headers)[b"host"]) == ("POST", b"x")
        return 503, b"retry-after: 1\r\ncontent-length: 2\r\n\r\nno"


async def refusing(scope: Any, receive: Any, send: Any) -> None:
    """Turns away what asks for `/no`, of which the application never hears."""
    if scope["type"] != "lifespan":
        headers = {name for name, _ in scope["headers"]}
        assert scope["path"] != "/no" or headers & {b"expect", b"connection", b"x-encoded"}
        await answer_size(scope, receive, send)
        return
    await receive()
    scope["state"][TURN_AWAY] = NoIsNo()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


@pytest.fixture
def refusing_port() -> Iterator[Port]:
    with served(refusing, "on") as found:
        yield found


def post(path: bytes, *, more: bytes = b"") -> bytes:
    return b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n" + more + b"\r\n"


def answers(connection: socket.socket, n: int) -> list[tuple[int, bytes]]:
    """Status and body of the next answers on a connection."""
    found = []
    with connection.makefile("rb") as stream:
        for _ in range(n):
            status, size = int(stream.readline().split()[1]), 0
            while (line := stream.readline()) != b"\r\n":
                name, value = line.lower().split(b": ")
                size = int(value) if name == b"content-length" else size
            found.append((status, stream.read(size)))
    return found


def test_who_is_turned_away_may_ask_again_on_the_same_connection(refusing_port: Port) -> None:
    with socket.create_connection(("127.0.0.1", refusing_port), timeout=60) as connection:
        for _ in range(3):
            connection.sendall(post(b"/no") + b"abc")
            assert answers(connection, 1) == [(503, b"no")]
            # The rest of the body, and another request in the same part.
            connection.sendall(b"def" + post(b"/yes") + b"abcdef")
            assert answers(connection, 1) == [(200, b"6")]
        connection.sendall(post(b"/no") + b"abcdef" + post(b"/no") + b"abcdef" + post(b"/yes"))
        assert answers(connection, 2) == [(503, b"no")] * 2
        connection.sendall(b"abcdef")
        assert answers(connection, 1) == [(200, b"6")]


def test_what_is_out_of_the_ordinary_is_left_to_the_application(refusing_port: Port) -> None:
    with socket.create_connection(("127.0.0.1", refusing_port), timeout=60) as connection:
        connection.sendall(post(b"/no", more=b"Expect: 100-continue\r\n"))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 100")
        connection.sendall(b"abcdef")
        assert answers(connection, 1) == [(200, b"6")]
        connection.sendall(post(b"/n%6f", more=b"X-Encoded: 1\r\n") + b"abcdef")
        assert answers(connection, 1) == [(200, b"6")]
        # What comes behind a request that is not answered yet waits for it.
        last = post(b"/no", more=b"Connection: close\r\n") + b"abcdef"
        connection.sendall(post(b"/yes") + b"abcdef" + last)
        assert answers(connection, 2) == [(200, b"6")] * 2
        assert connection.recv(1) == b""
