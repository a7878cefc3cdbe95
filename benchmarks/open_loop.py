"""Requests at a given rate, whether or not earlier ones were answered; latency from the due time.

A client that waits for answers before it asks again slows down with the server and hides how long
its users would have waited ("coordinated omission"). Here requests fall due by the clock.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from http_connection import HttpConnection, Reply


@dataclass(slots=True)
class Measured:
    """What came back.

    Attributes:
        seconds: that the requests fell due within.
        latencies_ms: of the answers with status 200, from when their request fell due.
        statuses: answers by status; 0 counts broken connections.
        without_hint: answers 429 or 503 that did not say when to come again.
    """

    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    without_hint: int = 0

    @property
    def good(self) -> int:
        """Answers with status 200."""
        return self.statuses.get(200, 0)

    @property
    def goodput(self) -> float:
        """Answers with status 200, per second."""
        return self.good / self.seconds

    def percentile_ms(self, share: float) -> float:
        """Latency below which this share of the good answers is; infinite without any."""
        if not self.latencies_ms:
            return float("inf")
        return float(np.percentile(self.latencies_ms, 100 * share))


async def open_loop(
    port: int,
    request: Callable[[int], bytes],
    *,
    rate: float,
    seconds: float,
    most_connections: int = 256,
    warm_seconds: float = 1.0,
    seed: int = 1,
) -> Measured:
    """Send requests of a Poisson process.

    Args:
        port: of the service, on loopback.
        request: bytes of request `n`, counted from 0.
        rate: requests per second.
        seconds: how long.
        most_connections: at once; a request that finds all of them busy waits for one, which its
            latency shows. One that was just used is used first, so that few are opened.
        warm_seconds: of the same load before, which do not count.
        seed: of the arrivals.
    """
    measured = Measured(seconds=seconds)
    draw = random.Random(seed)  # noqa: S311 - not a secret
    idle = [HttpConnection("127.0.0.1", port) for _ in range(most_connections)]
    free: asyncio.LifoQueue[HttpConnection] = asyncio.LifoQueue()
    for connection in reversed(idle):
        free.put_nowait(connection)
    running: set[asyncio.Task[None]] = set()

    async def one(number: int, due: float) -> None:
        connection = await free.get()
        try:
            reply = await connection.send(request(number))
        except OSError:
            if due >= start:
                _count(measured, None)
        else:
            if due < start:
                return
            _count(measured, reply)
            if reply.status == 200:
                measured.latencies_ms.append((time.perf_counter() - due) * 1_000.0)
        finally:
            free.put_nowait(connection)

    due, number = time.perf_counter(), 0
    start = due + warm_seconds
    while due < start + seconds:
        wait = due - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(one(number, due))
        running.add(task)
        task.add_done_callback(running.discard)
        due, number = due + draw.expovariate(rate), number + 1
    if running:
        await asyncio.wait(running, timeout=60)
    for connection in idle:
        await connection.close()
    return measured


async def closed_loop(
    port: int, request: Callable[[int], bytes], *, connections: int, seconds: float
) -> Measured:
    """Send as fast as answers come: what a service can do at most.

    Args:
        port: of the service, on loopback.
        request: bytes of request `n`, counted from 0.
        connections: each of which waits for its answer before it sends again.
        seconds: how long.
    """
    measured = Measured(seconds=seconds)
    numbers = iter(range(1_000_000_000))
    end = time.perf_counter() + seconds

    async def one() -> None:
        connection = HttpConnection("127.0.0.1", port)
        while time.perf_counter() < end:
            began = time.perf_counter()
            try:
                reply = await connection.send(request(next(numbers)))
            except OSError:
                _count(measured, None)
                continue
            _count(measured, reply)
            if reply.status == 200:
                measured.latencies_ms.append((time.perf_counter() - began) * 1_000.0)
        await connection.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return measured


def _count(measured: Measured, reply: Reply | None) -> None:
    status = 0 if reply is None else reply.status
    measured.statuses[status] = measured.statuses.get(status, 0) + 1
    if reply is not None and status in (429, 503) and "retry-after" not in reply.headers:
        measured.without_hint += 1
