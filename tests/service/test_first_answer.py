"""With several processes the learner waits for the first one that answers."""

import socket
import threading
from collections.abc import Iterator

import pytest

from matinee_platform.service.first_answer import first_answer


@pytest.fixture(params=["127.0.0.1", "0.0.0.0"])  # noqa: S104 - for a moment
def door(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    """Listens; nobody takes connections from it yet."""
    with socket.create_server((request.param, 0)) as listening:
        yield listening


def test_who_waits_in_the_queue_is_no_answer(door: socket.socket) -> None:
    told = threading.Event()
    with first_answer(door, then=told.set):
        assert not told.wait(0.5)
        guest, _ = door.accept()
        with guest:
            assert guest.recv(65_536).startswith(b"GET /healthz ")
            assert not told.is_set()
            guest.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            assert told.wait(60)


def test_a_process_that_dies_before_it_answers_is_none(door: socket.socket) -> None:
    told: list[int] = []
    with first_answer(door, then=lambda: told.append(1)):
        for _ in range(2):
            guest, _ = door.accept()
            guest.close()
        assert told == []
    assert told == []
