"""The decision route against a bare FastAPI route with the same request and answer, by turns.

Both run in uvicorn processes of their own with uvloop and httptools; a third process asks over 32
connections that stay open, 100 candidates in, 10 items out. Ours has everything on but the policy
and the durable log: a runtime that shows the first candidates, and a log in memory. So the ratio is
what the HTTP side leaves for the two. CPU is what the server's process used per request.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 32
CANDIDATES = 100
SLOTS = 10
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn on one server gave: requests per second, p50 and p99 in ms, CPU in us."""

    rate: float
    p50: float
    p99: float
    cpu: float


def request(number: int) -> bytes:
    """One request as bytes; another unit each time."""
    body = json.dumps(
        {
            "experiment": "home",
            "unit": f"unit {number % 5_000}",
            "candidates": [f"item {(number * 7 + place) % 9_973}" for place in range(CANDIDATES)],
            "slots": SLOTS,
        }
    ).encode()
    head = (
        "POST /v1/decisions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def ask(port: int, seconds: float) -> list[float]:
    """Seconds that each request took, over all connections."""
    times: list[float] = []
    requests = [request(number) for number in range(2_000)]
    end = time.perf_counter() + seconds

    async def connection(first: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        number = first
        while time.perf_counter() < end:
            started = time.perf_counter()
            writer.write(requests[number % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode())
            lower = head.lower()
            length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            times.append(time.perf_counter() - started)
            number += CONNECTIONS
        writer.close()

    await asyncio.gather(*(connection(first) for first in range(CONNECTIONS)))
    return times


def cpu_seconds(process: int) -> float:
    """CPU that a process used so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def turn(port: int, process: int, seconds: float) -> Turn:
    """One turn: asked from a process of its own."""
    before = cpu_seconds(process)
    done = subprocess.run(
        [sys.executable, __file__, "--ask", str(port), "--seconds", str(seconds)],
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout)
    used = cpu_seconds(process) - before
    return Turn(
        rate=found["count"] / seconds,
        p50=found["p50"],
        p99=found["p99"],
        cpu=1e6 * used / found["count"],
    )


def serve(which: str, port: int) -> None:
    """Run one of the servers until it is ended."""
    import uvicorn

    app = _ours() if which == "ours" else _bare()
    uvicorn.run(
        app,  # type: ignore[arg-type]
        port=port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="error",
    )


def _ours() -> object:
    from matinee_platform.clock import SystemClock
    from matinee_platform.service.app import create_app
    from matinee_platform.service.testing_parts import make_bench

    limits = {"requests_per_second": 1e9, "burst": 1_000_000_000}
    bench = make_bench(Path(tempfile.gettempdir()), limits=limits)
    bench.runtime.most_slots = SLOTS
    return create_app(bench.settings, clock=SystemClock(), parts=bench.parts())


def _bare() -> object:
    import gc

    from fastapi import FastAPI

    from matinee_platform.service.answers import DecisionAnswer
    from matinee_platform.service.requests import DecisionRequest

    app = FastAPI()

    @app.post("/v1/decisions")
    async def decide(body: DecisionRequest) -> DecisionAnswer:
        """Show the first candidates."""
        items = (body.candidates or [])[: body.slots]
        return DecisionAnswer(
            decision_id="00000000000000ff",
            experiment=body.experiment,
            arm="new",
            items=items,
            propensities=[1.0] * len(items),
            served_by="policy",
            snapshot=3,
        )

    # As ours does at the end of its start-up.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    return app


def compare(*, seconds: float, turns: int) -> dict[str, list[Turn]]:
    """Turns on both servers, one after the other."""
    found: dict[str, list[Turn]] = {"bare": [], "ours": []}
    with ExitStack() as stack:
        servers = {}
        for which in found:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            words = [sys.executable, __file__, "--serve", which, "--port", str(port)]
            process = subprocess.Popen(words)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            servers[which] = (port, process.pid)
            _wait_for(port)
        for number in range(turns + 1):
            for which, (port, process_id) in servers.items():
                one = turn(port, process_id, seconds if number else 1.0)
                if number:
                    found[which].append(one)
    return found


def _wait_for(port: int) -> None:
    end = time.monotonic() + 120.0
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the server did not start")


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--serve", choices=("ours", "bare"))
    parser.add_argument("--port", type=int)
    parser.add_argument("--ask", type=int, metavar="PORT")
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.port)
        return
    if options.ask:
        times = sorted(asyncio.run(ask(options.ask, options.seconds)))
        p50, p99 = (1e3 * times[int(share * len(times))] for share in (0.5, 0.99))
        print(json.dumps({"count": len(times), "p50": p50, "p99": p99}))
        return
    found = compare(seconds=options.seconds, turns=options.turns)
    print("server     req/s    p50 ms   p99 ms   CPU us/request   (medians over turns)")
    middle = {
        which: [statistics.median(values) for values in zip(*map(_values, turns), strict=True)]
        for which, turns in found.items()
    }
    for which, (rate, p50, p99, cpu) in middle.items():
        print(f"{which:8} {rate:7.0f} {p50:9.2f} {p99:8.2f} {cpu:16.0f}")
    ours, bare = middle["ours"], middle["bare"]
    print(
        f"ours / bare: throughput {ours[0] / bare[0]:.2f}, p99 {ours[2] / bare[2]:.2f}, "
        f"CPU per request {ours[3] / bare[3]:.2f}"
    )


def _values(one: Turn) -> tuple[float, float, float, float]:
    return one.rate, one.p50, one.p99, one.cpu


if __name__ == "__main__":
    main()
