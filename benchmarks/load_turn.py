"""One turn of load from a process of its own, so that it shares no interpreter with what it loads.

Run as `python -c "import load_turn as it; it.main()" SETTINGS`, where SETTINGS are JSON; what came
back is printed as JSON.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import uvloop

from http_connection import post_bytes
from open_loop import Measured, closed_loop, open_loop

_DIFFERENT = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What to ask, and how.

    Attributes:
        port: of the service, on loopback.
        seconds: how long.
        connections: of the closed loop; most at once in the open one.
        rate: requests per second of the open loop; 0 closes the loop.
        experiment: key.
        items: file of the catalogue's item ids, a JSON list; empty to name no candidates.
        candidates: of each request.
        slots: items wanted.
        units: how many different units ask, one after the other.
        first_unit: number of the first of them.
        seed: of candidates and arrivals.
    """

    port: int
    seconds: float
    connections: int = 32
    rate: float = 0.0
    experiment: str = "home"
    items: str = ""
    candidates: int = 100
    slots: int = 10
    units: int = 5_000
    first_unit: int = 0
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What came back.

    Attributes:
        good: answers with status 200.
        rate: of them, per second.
        p50_ms: of their latency.
        p99_ms: of their latency.
        cpu_us: CPU of the load itself per good answer, microseconds.
        others: answers with another status, or none.
    """

    good: int
    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    others: int


def requests_of(turn: Turn) -> Callable[[int], bytes]:
    """Gives the bytes of request `n`; candidates come again, units go round."""
    bodies = [b""] * _DIFFERENT
    names: list[str] = json.loads(Path(turn.items).read_text("utf-8")) if turn.items else []
    draw = np.random.default_rng(turn.seed)
    for place in range(_DIFFERENT):
        body: dict[str, object] = {"experiment": turn.experiment, "slots": turn.slots}
        if names:
            chosen = draw.choice(len(names), size=turn.candidates, replace=False)
            body["candidates"] = [names[item] for item in chosen.tolist()]
        body["unit"] = "unit 00000000"
        bodies[place] = post_bytes("/v1/decisions", body)

    def request(number: int) -> bytes:
        unit = turn.first_unit + number % turn.units
        # Eight digits in place of eight: the length stays.
        return bodies[number % _DIFFERENT].replace(b"unit 00000000", b"unit %08d" % unit)

    return request


async def ask(turn: Turn) -> Measured:
    """Load the service."""
    request = requests_of(turn)
    if turn.rate:
        return await open_loop(
            turn.port,
            request,
            rate=turn.rate,
            seconds=turn.seconds,
            most_connections=turn.connections,
            seed=turn.seed,
        )
    return await closed_loop(turn.port, request, connections=turn.connections, seconds=turn.seconds)


def answered(turn: Turn) -> Answered:
    """Load the service, and sum up."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        before = time.process_time()
        measured = runner.run(ask(turn))
        used = time.process_time() - before
    return Answered(
        good=measured.good,
        rate=measured.goodput,
        p50_ms=measured.percentile_ms(0.5),
        p99_ms=measured.percentile_ms(0.99),
        cpu_us=1e6 * used / max(measured.good, 1),
        others=sum(measured.statuses.values()) - measured.good,
    )


def main() -> None:
    """Read the settings, and print."""
    print(json.dumps(asdict(answered(Turn(**json.loads(sys.argv[1]))))))
