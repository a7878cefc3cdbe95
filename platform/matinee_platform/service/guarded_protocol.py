"""HTTP as the web server speaks it, with an end to what one caller may send and how long it takes.

The web server itself takes in a head of any length, byte by byte if need be, and waits for the rest
of a request for ever: one connection could fill the memory and keep the loop busy, and a thousand
that never go on could hold every place there is. Both come before any API key is looked at.

It also closes idle connections at once when it stops, and whoever has just sent a request on one
reads an error. Here a connection that is open when the service stops has some seconds more: what is
asked on it is answered in full, with `Connection: close`. One on which nothing comes is closed for
writing first: what may still be on its way is read and left unanswered, so that it resets nothing.
A connection that has been quiet for as long as that already is given a moment alone.
"""

import asyncio
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from matinee_platform.service.overload import TurnAway

HEAD_BYTES = 65_536
"""Most bytes of address and header fields together, trailers included."""

REQUEST_SECONDS = 30.0
"""Within which a request must be there as a whole."""

DRAIN_SECONDS = 3.0
"""How long connections stay open for another request when the service stops."""

LINGER_SECONDS = 1.0
"""How long is read, and left unanswered, after an idle connection was closed for writing."""

QUIET_SECONDS = 0.25
"""In place of both, for a connection that has been quiet for `DRAIN_SECONDS`."""

LEAVE = "leave"
"""Of the lifespan's state: what is called, without arguments, when connections begin to end."""

TURN_AWAY = "turn_away"
"""Of the lifespan's state: an `overload.TurnAway`, which is asked before a request is begun."""

_stopping: "WeakSet[ServerState]" = WeakSet()


def stop_connections(state: ServerState) -> None:
    """Have each connection end after the next answer, or when nothing comes for a while."""
    _stopping.add(state)
    for connection in list(state.connections):
        connection.shutdown()


class HeadTooLargeError(Exception):
    """Address and header fields have too many bytes; the parser makes status 400 of it."""


class GuardedProtocol(HttpToolsProtocol):
    """The web server's protocol; closes connections that send too much, or too slowly."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head = 0
        self._pending = 0
        # When the wait for the rest of a request began; None while there is none to wait for.
        self._since: float | None = None
        self._watch: asyncio.TimerHandle | None = None
        # Whether a part of a request is there, and the rest is not.
        self._arriving = False
        self._ending: asyncio.TimerHandle | None = None
        self._is_over = False
        # Since when nothing is asked or answered; None while something is.
        self._quiet_since: float | None = None
        self._linger = LINGER_SECONDS
        # Whether the request that arrives was answered already.
        self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._since = self._quiet_since = self.loop.time()
        self._watch = self.loop.call_later(REQUEST_SECONDS, self._look)
        if self.server_state in _stopping:
            self.shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Look no more."""
        if self._watch is not None:
            self._watch.cancel()
        if self._ending is not None:
            self._ending.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; refuse bytes that bring no part of a request to its end."""
        if self._is_over:
            return
        self._arriving = True
        self._quiet_since = None
        if self._since is None:
            self._since = self.loop.time()
        self._pending += len(data)
        super().data_received(data)
        if self._pending > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("Invalid HTTP request received.")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._arriving = True
        self._is_refused = False
        self._head = 0
        if self._since is None:
            self._since = self.loop.time()

    def on_url(self, url: bytes) -> None:
        """A part of the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field, or a trailer."""
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there; when the service stops, its answer is the last one here."""
        turn_away: TurnAway | None = self.app_state.get(TURN_AWAY)
        if turn_away is not None and turn_away.is_full() and self._can_be_refused():
            path = self.url.partition(b"?")[0]
            refusal = turn_away.at_once(self.parser.get_method().decode(), path, self.headers)
            if refusal is not None:
                self._refuse(*refusal)
                return
        super().on_headers_complete()
        if self._ending is not None:
            self.cycle.keep_alive = False

    def _can_be_refused(self) -> bool:
        """Whether a request can be answered on the spot.

        That is left to the application where anything is out of the ordinary: requests that wait
        before this one, an end of the connection, a caller who does not read, or who waits for
        leave to send, an address in another form than ours.
        """
        free = self.cycle is None or self.cycle.response_complete
        waiting = self.pipeline or self.flow.write_paused or self.expect_100_continue
        if not free or waiting or self._ending is not None:
            return False
        parser = self.parser
        plain = parser.get_http_version() == "1.1" and not parser.should_upgrade()
        ours = self.url.startswith(b"/") and b"%" not in self.url
        return plain and ours and parser.should_keep_alive()

    def _refuse(self, status: int, rest: bytes) -> None:
        """Answer at once; what is still to come of the request's body is left unread."""
        self._is_refused = True
        headers = [b"%b: %b\r\n" % pair for pair in self.server_state.default_headers]
        self.transport.write(b"".join((STATUS_LINE[status], *headers, rest)))
        self.on_response_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body; how long it is altogether is the application's concern."""
        self._pending = 0
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is there."""
        self._pending = 0
        self._since = None
        self._arriving = False
        if not self._is_refused:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is sent."""
        self._quiet_since = self.loop.time()
        super().on_response_complete()

    def shutdown(self) -> None:
        """Answer once more if something comes in time, then close."""
        _stopping.add(self.server_state)
        if self._ending is not None:
            return
        leave: Callable[[], None] | None = self.app_state.get(LEAVE)
        if leave is not None:
            leave()
        # An answer that has begun has not told that it is the last one.
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False
        drain = DRAIN_SECONDS
        if self._quiet_since is not None and self.loop.time() - self._quiet_since >= drain:
            drain = self._linger = QUIET_SECONDS
        self._ending = self.loop.call_later(drain, self._end)

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection on which nothing came for long; one that ends is closed anyway."""
        if self._ending is None:
            super().timeout_keep_alive_handler()

    def _end(self) -> None:
        """Close the connection, unless a request is being sent or answered."""
        if self._arriving or (self.cycle is not None and not self.cycle.response_complete):
            # If its answer has begun, it was not told to be the last one.
            self._ending = self.loop.call_later(LINGER_SECONDS, self._end)
        elif not self.transport.is_closing():
            self._is_over = True
            self.transport.write_eof()
            self._ending = self.loop.call_later(self._linger, self.transport.close)

    def _count(self, size: int) -> None:
        self._pending = 0
        self._head += size
        if self._head > HEAD_BYTES:
            raise HeadTooLargeError

    def _look(self) -> None:
        left = REQUEST_SECONDS
        if self._since is not None:
            left -= self.loop.time() - self._since
            if left <= 0:
                self.transport.close()
                return
        self._watch = self.loop.call_later(left, self._look)
