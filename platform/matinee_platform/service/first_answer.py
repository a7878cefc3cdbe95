"""Tell when the first of several processes answers on a socket that all of them share."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_WAIT_SECONDS = 5.0
_PAUSE_SECONDS = 0.2
_ASK = b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n"


@contextmanager
def first_answer(door: socket.socket, *, then: Callable[[], None]) -> Iterator[None]:
    """While the body runs: call `then` from a thread, once, when somebody answers HTTP.

    Args:
        door: listens; a process takes connections from it once it is ready.
        then: is over before this is left, and is not called after it.
    """
    stop = threading.Event()
    watch = threading.Thread(target=_ask, args=(door, then, stop), daemon=True)
    watch.start()
    try:
        yield
    finally:
        stop.set()
        watch.join()


def _ask(door: socket.socket, then: Callable[[], None], stop: threading.Event) -> None:
    host, port = door.getsockname()[:2]
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port  # noqa: S104 - asked
    while not stop.is_set():
        if _answers(address, stop):
            then()
            return
        stop.wait(_PAUSE_SECONDS)


def _answers(address: tuple[str, int], stop: threading.Event) -> bool:
    """Whether an answer comes; connections wait in the queue of the socket until one takes them."""
    try:
        with socket.create_connection(address, timeout=_PAUSE_SECONDS) as guest:
            guest.sendall(_ASK)
            waited = 0.0
            while not stop.is_set() and waited < _WAIT_SECONDS:
                try:
                    return bool(guest.recv(1))
                except TimeoutError:
                    waited += _PAUSE_SECONDS
    except OSError:
        pass
    return False
