"""A long run (R17): memory, open files and p99 stay where they were, and no decision is missing.

    python -m load.soak [--seconds N]

Batches as fast as they are answered, and beside them single decisions by the clock, whose p99
counts. The first third warms up; the rest is told by its beginning and its end. Four in five pages
of the batches are of a few units, which soon have more decisions than are kept of a unit in memory;
the fifth is of a unit that never comes again.
"""

import asyncio
import statistics
import time
from contextlib import closing
from dataclasses import dataclass, field

from chaos.served_arm import EXPERIMENT
from http_connection import HttpConnection, post_bytes
from live_service import LiveService
from load.asks import decision, decision_id
from load.deployed import Deployed
from load.process_watch import memory_mb, open_files
from load.promise import end, main
from matinee_platform.storage.sqlite_reader import SqliteReader
from open_loop import open_loop
from promises import Promise

_BATCH = 50
_CONNECTIONS = 2
_RATE = 20.0
_SINGLES_FROM = 10**12
_TURNS = 9
_IN_MEMORY = 1_000
_OFTEN = 61
_SHOWN = 5


@dataclass(slots=True)
class Soaked:
    """What was seen, turn by turn.

    Attributes:
        decided: decisions that the service answered.
        failed: that it did not.
        memory: MB.
        files: open ones.
        p99: of single decisions, ms.
    """

    decided: int = 0
    failed: int = 0
    memory: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)


def measure(deployed: Deployed, seconds: float) -> list[Promise]:
    """Figures of the last two thirds."""
    # Few units are kept, so that the memory of them is full early.
    with deployed.service("soak", units_in_memory=_IN_MEMORY) as service:
        service.start()
        seen = asyncio.run(_soak(service, seconds))
        service.stop()
        with closing(SqliteReader(service.data / "events.sqlite")) as reader:
            rows = _decisions(reader)
    first, last = slice(_TURNS // 3, 2 * _TURNS // 3), slice(2 * _TURNS // 3, None)
    memory, files, p99 = (
        (statistics.median(values[first]), statistics.median(values[last]))
        for values in (seen.memory, seen.files, seen.p99)
    )
    growth = memory[1] / memory[0] - 1.0
    return [
        Promise(
            name="R17 log rows are the client's count",
            measured=f"{rows:,} of {seen.decided:,} ({seen.failed} not answered)",
            asked="equal",
            kept=rows == seen.decided and not seen.failed,
        ),
        Promise(
            name="R17 memory after warm-up",
            measured=f"{memory[1]:.0f} MB, {growth:+.1%}",
            asked="less than +5 %",
            kept=growth < 0.05,
        ),
        Promise(
            name="R17 open files",
            measured=f"{files[0]:.0f}, then {files[1]:.0f}",
            asked="no more",
            kept=files[1] <= files[0] + 2,
        ),
        Promise(
            name="R17 p99 of single decisions",
            measured=f"{p99[0]:.1f} ms, then {p99[1]:.1f} ms",
            asked="at most 1.5 times, or 10 ms more",
            kept=p99[1] <= max(1.5 * p99[0], p99[0] + 10.0),
        ),
    ]


async def _soak(service: LiveService, seconds: float) -> Soaked:
    seen = Soaked()
    assert service.process is not None  # noqa: S101 - for the type checker
    ending = time.perf_counter() + seconds
    batches = asyncio.gather(
        *(_batches(service.port, seen, first, ending) for first in range(_CONNECTIONS))
    )
    for turn in range(_TURNS):
        first = _SINGLES_FROM + turn * 10**6

        def single(number: int, first: int = first) -> bytes:
            return decision(first + number)

        left = max(1.0, (ending - time.perf_counter()) / (_TURNS - turn))
        # All of them are in the log: none comes before the count begins.
        found = await open_loop(
            service.port,
            single,
            rate=_RATE,
            seconds=left,
            most_connections=_SHOWN,
            warm_seconds=0.0,
            seed=turn,
        )
        seen.decided += found.good
        seen.failed += sum(found.statuses.values()) - found.good
        seen.p99.append(found.percentile_ms(0.99))
        seen.memory.append(memory_mb(service.process.pid))
        seen.files.append(open_files(service.process.pid))
    await batches
    return seen


async def _batches(port: int, seen: Soaked, first: int, ending: float) -> None:
    connection = HttpConnection("127.0.0.1", port)
    number = first * 10**11
    while time.perf_counter() < ending:
        asks = [
            {
                "experiment": EXPERIMENT,
                "unit": _unit(one),
                "decision_id": decision_id(one),
            }
            for one in range(number, number + _BATCH)
        ]
        number += _BATCH
        reply = await connection.send(post_bytes("/v1/decisions:batch", {"decisions": asks}))
        answers = reply.json()["results"] if reply.status == 200 else []
        good = sum(one["status"] == 200 for one in answers)
        seen.decided += good
        seen.failed += _BATCH - good
    await connection.close()


def _unit(number: int) -> str:
    return f"once-{number}" if number % 5 == 0 else f"often-{number % _OFTEN}"


def _decisions(reader: SqliteReader) -> int:
    count, after, upto = 0, 0, reader.last_seq()
    while rows := reader.decisions(after=after, upto=upto, limit=5_000):
        count, after = count + len(rows), rows[-1].seq
    return count


if __name__ == "__main__":
    end(main(__doc__, [measure], seconds=120.0))
