"""A lean HTTP/1.1 connection for load: keep-alive, JSON in and out, and little work of its own.

An ordinary client spends more time on a request than the service does, and on a machine of two
cores would measure itself.
"""

import asyncio
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    Attributes:
        status: of HTTP.
        headers: names in lower case.
        body: bytes.
    """

    status: int
    headers: dict[str, str]
    body: bytes

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
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def send(self, request: bytes) -> Reply:
        """Send a request and wait for its answer.

        Raises:
            OSError: the connection cannot be made, or broke before the whole answer came.
        """
        if self._writer is None or self._reader is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        try:
            self._writer.write(request)
            return await self._read(self._reader)
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            await self.close()
            raise ConnectionError(str(error)) from error

    async def close(self) -> None:
        """Let go of the connection."""
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Reply:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection", "").lower() == "close":
            await self.close()
        return Reply(int(first.split(" ")[1]), headers, body)
