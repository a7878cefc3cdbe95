"""HTTP as the web server speaks it, with an end to what one caller may send and how long it takes.

The web server itself takes in a head of any length, byte by byte if need be, and waits for the rest
of a request for ever: one connection could fill the memory and keep the loop busy, and a thousand
that never go on could hold every place there is. Both come before any API key is looked at.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 65_536
"""Most bytes of address and header fields together, trailers included."""

REQUEST_SECONDS = 30.0
"""Within which a request must be there as a whole."""


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

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._watch = self.loop.call_later(REQUEST_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Look no more."""
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; refuse bytes that bring no part of a request to its end."""
        if self._since is None:
            self._since = self.loop.time()
        self._pending += len(data)
        super().data_received(data)
        if self._pending > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("Invalid HTTP request received.")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
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

    def on_body(self, body: bytes) -> None:
        """A part of the body; how long it is altogether is the application's concern."""
        self._pending = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is there."""
        self._pending = 0
        self._since = None
        super().on_message_complete()

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
