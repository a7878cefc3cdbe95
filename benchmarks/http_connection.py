"""A lean HTTP/1.1 connection for load: keep-alive, JSON in and out, and little work of its own.

An ordinary client spends more time on a request than the service does, and on a machine of two
cores would measure itself.
"""

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any, cast

_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:[ \t]*close", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    Attributes:
        status: of HTTP.
        head: status line and header fields, as they came.
        body: bytes.
    """

    status: int
    head: bytes
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        """Values by name, names in lower case."""
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        pairs = (one.partition(":") for one in lines)
        return {name.lower(): value.strip() for name, _, value in pairs}

    def json(self) -> Any:
        """The body as JSON values."""
        return json.loads(self.body)


def post_bytes(path: str, body: Any, *, key: str | None = None) -> bytes:
    """A whole request.

    Args:
        path: of the route.
        body: JSON values.
        key: API key, if the service wants one.

    Example:
        >>> post_bytes("/v1/x", {}).splitlines()[0]
        b'POST /v1/x HTTP/1.1'
    """
    payload = json.dumps(body, separators=(",", ":")).encode()
    authorization = f"Authorization: Bearer {key}\r\n" if key else ""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"{authorization}Content-Length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload


def get_bytes(path: str) -> bytes:
    """A whole request without a body.

    Example:
        >>> get_bytes("/healthz").splitlines()[0]
        b'GET /healthz HTTP/1.1'
    """
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


class HttpConnection:
    """One connection; opened when it is first needed, and again after it broke."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._wire: _Wire | None = None

    async def send(self, request: bytes) -> Reply:
        """Send a request and wait for its answer.

        Raises:
            OSError: the connection cannot be made, or broke before the whole answer came.
        """
        wire = self._wire
        if wire is None or not wire.is_open:
            loop = asyncio.get_running_loop()
            _, wire = await loop.create_connection(_Wire, self._host, self._port)
            self._wire = wire
        try:
            return await wire.send(request)
        except BaseException:
            # Whoever waits no longer must not leave an answer for the next request.
            await self.close()
            raise

    async def close(self) -> None:
        """Let go of the connection."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()


class _Wire(asyncio.Protocol):
    """One connection for as long as it lasts."""

    def __init__(self) -> None:
        self.is_open = False
        self._transport: asyncio.Transport | None = None
        self._told: asyncio.Future[Reply] | None = None
        self._came = b""

    async def send(self, request: bytes) -> Reply:
        if self._transport is None or not self.is_open:
            raise ConnectionError("the connection was closed")
        self._told = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._told

    def close(self) -> None:
        self.is_open = False
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        came = self._came = self._came + data if self._came else data
        end = came.find(_END)
        if end < 0:
            return
        length = _LENGTH.search(came, 0, end)
        whole = end + len(_END) + (0 if length is None else int(length[1]))
        if len(came) < whole:
            return
        self._came = came[whole:]
        head, body = came[:end], came[end + len(_END) : whole]
        if _CLOSE.search(head):
            self.close()
        told, self._told = self._told, None
        if told is None or told.done():
            return
        try:
            told.set_result(Reply(int(head[9:12]), head, body))
        except ValueError as error:
            told.set_exception(ConnectionError(str(error)))

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if self._told is not None and not self._told.done():
            self._told.set_exception(ConnectionError(str(exc or "the connection was closed")))
