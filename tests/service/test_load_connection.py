"""The connection of the load programs reads answers however they come."""

import asyncio
from collections.abc import Sequence

import pytest

from http_connection import HttpConnection, Reply, get_bytes

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
BUSY = b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\ncontent-length: 2\r\nConnection: close\r\n\r\nno"
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"


async def _asked(scripts: Sequence[Sequence[bytes]], n: int) -> list[Reply | None]:
    """Ask a server `n` times; each connection gets a script of parts, one for each request.

    None stands for a connection that broke. A script that is over closes the connection.
    """
    left = iter(scripts)
    tasks = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        for answer in next(left):
            await reader.readuntil(b"\r\n\r\n")
            for part in answer.split(b"|"):
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = HttpConnection("127.0.0.1", port)
    replies: list[Reply | None] = []
    for _ in range(n):
        try:
            replies.append(await connection.send(get_bytes("/")))
        except OSError:
            replies.append(None)
        await asyncio.sleep(0.03)
    await connection.close()
    await asyncio.gather(*filter(None, tasks))
    server.close()
    await server.wait_closed()
    return replies


def test_answers_come_in_any_parts() -> None:
    split = OK.replace(b"\r\n\r\n", b"\r|\n\r\n").replace(b"hello", b"he|llo")
    found = asyncio.run(_asked([[OK, EMPTY, split]], 3))
    assert [(one.status, one.body) for one in found if one] == [
        (200, b"hello"),
        (204, b""),
        (200, b"hello"),
    ]


def test_a_closed_connection_is_opened_again() -> None:
    first, second, third = asyncio.run(_asked([[BUSY], [OK], [OK]], 3))
    assert first is not None
    assert second is not None
    assert third is not None
    assert (first.status, first.headers["retry-after"], first.body) == (503, "1", b"no")
    assert (second.status, third.status) == (200, 200)


@pytest.mark.parametrize("broken", [OK[:30], OK[:-2], b"nonsense\r\n\r\n", b""])
def test_half_an_answer_is_none(broken: bytes) -> None:
    first, second = asyncio.run(_asked([[broken], [OK]], 2))
    assert first is None
    assert second is not None
    assert second.body == b"hello"


def test_who_waits_no_longer_leaves_no_answer_behind() -> None:
    async def scene() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            await late.wait()
            writer.write(OK)
            writer.close()

        late = asyncio.Event()
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        connection = HttpConnection("127.0.0.1", server.sockets[0].getsockname()[1])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.send(get_bytes("/")), 0.05)
        late.set()
        again = await connection.send(get_bytes("/"))
        assert again.body == b"hello"
        await connection.close()
        server.close()
        await server.wait_closed()

    asyncio.run(scene())
