"""A real process over real sockets: how it ends, how it refuses, what an attack costs it."""

import http.client
import json
import re
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from live_service import LiveService
from matinee_platform.cli import app
from matinee_platform.client import Client

RUNNER = CliRunner()
FEATURES = [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]
ASK: dict[str, Any] = {
    "experiment": "shop",
    "unit": "ada",
    "candidates": ["a", "b", "c"],
    "features": FEATURES,
}
JSON = {"content-type": "application/json"}

Serve = Callable[..., LiveService]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a service with one experiment whose callers give two features of each item."""
    with ExitStack() as stack:

        def start(*, before: Callable[[Path], Any] = str, **settings: Any) -> LiveService:
            arm = {"name": "only", "bundle": "shop"}
            experiment = {"key": "shop", "salt": "shop-1", "slots": 2, "arms": [arm]}
            values = {"supervise_learner": False, "experiments": [experiment], **settings}
            service = stack.enter_context(LiveService(tmp_path, values))
            words = ["deploy", "--policy", "epsilon_greedy", "--features", "2", "--slots", "2"]
            done = RUNNER.invoke(app, [*words, "--as", "shop", "--to", str(service.data)])
            assert done.exit_code == 0, done.output
            before(service.data)
            service.start()
            return service

        yield start


class Guest(threading.Thread):
    """Asks again and again on one connection, until an answer says that it is the last one."""

    def __init__(self, port: int, number: int) -> None:
        super().__init__()
        self.answers = 0
        self.error: BaseException | None = None
        self.was_told = False
        self._port = port
        self._pause = threading.Event()
        self._seconds = 0.001 * (1 + number)

    def run(self) -> None:
        body = json.dumps(ASK)
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            while not self.was_told:
                connection.request("POST", "/v1/decisions", body, JSON)
                answer = connection.getresponse()
                assert answer.status == 200
                assert len(json.loads(answer.read())["items"]) == 2
                self.answers += 1
                self.was_told = answer.getheader("connection") == "close"
                self._pause.wait(self._seconds)
        except BaseException as error:
            self.error = error
        finally:
            connection.close()


def test_who_is_connected_when_it_ends_is_answered_and_told(serve: Serve) -> None:
    service = serve()
    guests = [Guest(service.port, number) for number in range(16)]
    for guest in guests:
        guest.start()
    # One that is connected and has sent nothing yet, and one in the middle of a request.
    silent = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    silent.connect()
    body = json.dumps(ASK).encode()
    slow = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    slow.putrequest("POST", "/v1/decisions")
    for name, value in {**JSON, "content-length": str(len(body))}.items():
        slow.putheader(name, value)
    slow.endheaders()
    while min(guest.answers for guest in guests) < 5:
        assert all(guest.is_alive() for guest in guests)
    assert service.process is not None
    service.process.terminate()
    for guest in guests:
        guest.join(60)
    assert [guest.error for guest in guests] == [None] * len(guests)
    assert all(guest.was_told for guest in guests)
    slow.send(body)
    with slow.getresponse() as answer:
        assert (answer.status, answer.getheader("connection")) == (200, "close")
    # The end of a connection, not an error.
    assert silent.sock.recv(1) == b""
    silent.close()
    slow.close()
    assert service.process.wait(60) == 0


def ask(service: LiveService, *, key: str = "", client: httpx.Client | None = None) -> Any:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    send = httpx.post if client is None else client.post
    return send(service.url("/v1/decisions"), json=ASK, headers=headers, timeout=60.0)


def test_too_many_are_told_when_to_come_back(serve: Serve) -> None:
    limits = {"in_flight": 1, "requests_per_second": 0.5, "burst": 20}
    service = serve(limits=limits)
    body = json.dumps(ASK).encode()
    # One that has said what it wants and is slow to send it holds the only place.
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as slow:
        head = f"POST /v1/decisions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        slow.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n")
        while (busy := ask(service)).status_code == 200:
            pass
        assert (busy.status_code, busy.json()["code"]) == (503, "overloaded")
        assert busy.headers["retry-after"] == "1"
        assert busy.headers["x-request-id"] == busy.json()["request_id"]
        assert service.status("/healthz") == 200
        assert httpx.head(service.url("/v1/decisions")).status_code == 503
        slow.sendall(body)
        assert slow.recv(65_536).startswith(b"HTTP/1.1 200")
    told = re.findall(
        r'http_requests_total{.*status="503".*} (\S+)', httpx.get(service.url("/metrics")).text
    )
    assert sum(map(float, told)) >= 2
    while (spent := ask(service)).status_code == 200:
        pass
    assert (spent.status_code, spent.json()["code"]) == (429, "rate_limited")
    assert 1 <= int(spent.headers["retry-after"]) <= 2
    # The typed client waits as it is told.
    with Client(service.url("")) as client:
        named = client.decide("shop", "ada", candidates=ASK["candidates"], features=FEATURES)
        assert len(named.items) == 2


def test_keys_are_changed_without_a_gap(serve: Serve) -> None:
    overlap_s = 8.0
    made: dict[str, Any] = {}

    def keys(data: Path, *words: str) -> dict[str, Any]:
        done = RUNNER.invoke(app, ["keys", *words, "--data-dir", str(data), "--json"])
        assert done.exit_code == 0, done.output
        return dict(json.loads(done.stdout))

    words = ("create", "shop", "--scope", "decide")
    service = serve(before=lambda data: made.update(keys(data, *words)))
    old = made["key"]
    assert ask(service).status_code == 401
    assert ask(service, key=old).status_code == 200
    began = time.time()
    days = str(overlap_s / 86_400)
    new = keys(service.data, "rotate", made["id"], "--overlap-days", days)["key"]
    assert ask(service, key=old).status_code == 200
    until = began + 60.0
    while ask(service, key=new).status_code != 200:
        assert time.time() < until
    while (answer := ask(service, key=old)).status_code == 200:
        assert ask(service, key=new).status_code == 200
        assert time.time() < until
    assert time.time() >= began + overlap_s - 0.1
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert ask(service, key=new).status_code == 200
    assert old not in service.log.read_text()
    assert new not in service.log.read_text()


def memory(service: LiveService) -> int:
    """Bytes that the process holds in memory now."""
    assert service.process is not None
    pages = Path(f"/proc/{service.process.pid}/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def test_endless_heads_cost_no_memory(serve: Serve) -> None:
    """Ten connections with four megabytes of header field each, all at once."""
    service = serve()
    with httpx.Client() as client, ExitStack() as stack:
        assert ask(service, client=client).status_code == 200
        before = memory(service)
        attacks = [
            stack.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=60))
            for _ in range(10)
        ]
        for one in attacks:
            one.sendall(b"GET / HTTP/1.1\r\nX: ")
        refused = 0
        for _ in range(64):
            for one in attacks:
                try:
                    one.sendall(b"a" * 65_536)
                except OSError:
                    refused += 1
            assert client.get(service.url("/healthz")).status_code == 200
        assert refused > 32 * len(attacks)
        assert memory(service) - before < 8_000_000
        assert ask(service, client=client).status_code == 200
        head = client.head(service.url("/healthz"))
        assert (head.status_code, head.content) == (200, b"")
