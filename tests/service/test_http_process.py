"""A real process over real sockets: how it ends, how it refuses, what an attack costs it."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from live_service import LiveService
from matinee_platform.cli import app

RUNNER = CliRunner()
FEATURES = [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]
ASK = {"experiment": "shop", "unit": "ada", "candidates": ["a", "b", "c"], "features": FEATURES}
JSON = {"content-type": "application/json"}

Serve = Callable[..., LiveService]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a service with one experiment whose callers give two features of each item."""
    with ExitStack() as stack:

        def start(**settings: Any) -> LiveService:
            arm = {"name": "only", "bundle": "shop"}
            experiment = {"key": "shop", "salt": "shop-1", "slots": 2, "arms": [arm]}
            values = {"supervise_learner": False, "experiments": [experiment], **settings}
            service = stack.enter_context(LiveService(tmp_path, values))
            words = ["deploy", "--policy", "epsilon_greedy", "--features", "2", "--slots", "2"]
            done = RUNNER.invoke(app, [*words, "--as", "shop", "--to", str(service.data)])
            assert done.exit_code == 0, done.output
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
    answer = slow.getresponse()
    assert (answer.status, answer.getheader("connection")) == (200, "close")
    # The end of a connection, not an error.
    assert silent.sock.recv(1) == b""
    silent.close()
    slow.close()
    assert service.process.wait(60) == 0
