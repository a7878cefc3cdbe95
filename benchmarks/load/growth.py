"""Does the service stay as quick while its log grows, and start as soon (R3)?

    python -m load.growth [--seconds N]

At each length: from the start of `matinee serve` to ready, with compiled kernels on disk; latency
and processor time of 50 requests a second, so few that they do not wait for one another, learner
on; the learner's step; one decision read back by its id. On SQLite and on a PostgreSQL of its own.
"""

import asyncio
import re
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from chaos.databases import database
from http_connection import HttpConnection, get_bytes
from live_service import LiveService
from load.asks import decision_id, decision_or_clicks
from load.deployed import Deployed
from load.long_log import fill
from load.process_watch import cpu_seconds
from load.promise import end, main
from open_loop import Measured, open_loop
from promises import Promise

LENGTHS = (10_000, 100_000, 1_000_000)
MOST_READY_SECONDS = 5.0
_RATE = 50.0
_WARM_UP_SECONDS = 5.0
_READS = 200
_STEP_WAIT_SECONDS = 120.0
_FIRST = 10**9
_WARM_FIRST = 10**10
_STEP = re.compile(r"^matinee_learner_barrier_seconds\{.*\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Figures at one length of the log.

    Attributes:
        ready: seconds from the start to ready.
        cpu: seconds of processor time that the service used for it.
        p50: of requests, ms.
        p99: of requests, ms.
        request_cpu: ms of processor time of the answering process, a request of the load.
        failed: requests that were not answered.
        step: seconds of the learner's barriers, the median seen.
        read: ms of one decision by its id, the median.
    """

    ready: float
    cpu: float
    p50: float
    p99: float
    request_cpu: float
    failed: int
    step: float
    read: float


def measure(
    deployed: Deployed,
    seconds: float,
    *,
    lengths: Sequence[int] = LENGTHS,
    kinds: Sequence[str] = ("sqlite", "postgresql"),
) -> list[Promise]:
    """R3 at the longest log, and each figure at every length, for each database."""
    return [
        one
        for kind in kinds
        for one in _promises(
            kind, {length: _at(deployed, seconds, kind, length) for length in sorted(lengths)}
        )
    ]


def _promises(kind: str, found: Mapping[int, Found]) -> list[Promise]:
    long = found[max(found)]
    told = " / ".join(f"{length:,}" for length in found)

    def flat(name: str, unit: str, attribute: str, *, allowed: float) -> Promise:
        values = [getattr(one, attribute) for one in found.values()]
        return Promise(
            name=f"{name} at {told} decisions, {kind}",
            measured=" / ".join(f"{value:.3g}" for value in values) + f" {unit}",
            asked=f"at most 1.5 times, or {allowed:g} {unit} more",
            # What was never seen is no figure, and nothing is flat beside it.
            kept=max(values) < float("inf")
            and values[-1] <= max(1.5 * values[0], values[0] + allowed),
        )

    return [
        Promise(
            name=f"R3 restart to ready at {max(found):,} decisions, {kind}",
            measured=" / ".join(f"{one.ready:.1f}" for one in found.values())
            + f" s, {long.cpu:.1f} s of them computing",
            asked=f"at most {MOST_READY_SECONDS:.0f} s",
            kept=long.ready <= MOST_READY_SECONDS,
        ),
        flat("p50", "ms", "p50", allowed=1.0),
        flat("p99", "ms", "p99", allowed=10.0),
        flat("processor time of a request", "ms", "request_cpu", allowed=0.1),
        flat("learner's step", "s", "step", allowed=0.1),
        flat("one decision read", "ms", "read", allowed=2.0),
        Promise(
            name=f"requests meanwhile, {kind}",
            measured=f"{sum(one.failed for one in found.values())} not answered",
            asked="0",
            kept=not any(one.failed for one in found.values()),
        ),
    ]


def _at(deployed: Deployed, seconds: float, kind: str, length: int) -> Found:
    name = f"growth-{kind}-{length}"
    with (
        database(kind, deployed.scratch, name=f"{name}-data") as where,
        deployed.service(name, database=where.address, learn_every_seconds=2.0) as service,
    ):
        fill(service, length)
        # The first start brings the file into the system's cache, where a restart finds it.
        service.start()
        service.stop()
        ready = service.start()
        assert service.process is not None  # noqa: S101 - for the type checker
        cpu = cpu_seconds(service.process.pid)
        warm = partial(_request, first=_WARM_FIRST)
        asyncio.run(open_loop(service.port, warm, rate=_RATE, seconds=_WARM_UP_SECONDS))
        steps: list[float] = []
        asked, reads, request_cpu = asyncio.run(_load(service, seconds, steps))
        service.stop()
    return Found(
        ready=ready,
        cpu=cpu,
        p50=asked.percentile_ms(0.5),
        p99=asked.percentile_ms(0.99),
        request_cpu=request_cpu,
        failed=sum(asked.statuses.values()) - asked.good,
        step=statistics.median(steps) if steps else float("inf"),
        read=statistics.median(reads),
    )


async def _load(
    service: LiveService, seconds: float, steps: list[float]
) -> tuple[Measured, list[float], float]:
    """The load, the learner's steps meanwhile, then reads; ms of processor time of a request."""
    assert service.process is not None  # noqa: S101 - for the type checker
    process = service.process.pid
    before, until = cpu_seconds(process), time.monotonic() + seconds + _STEP_WAIT_SECONDS
    load = asyncio.create_task(
        open_loop(service.port, partial(_request, first=_FIRST), rate=_RATE, seconds=seconds)
    )
    ended: list[float] = []
    load.add_done_callback(lambda _: ended.append(cpu_seconds(process)))
    while not load.done() or (not steps and time.monotonic() < until):
        await asyncio.sleep(1.0)
        text = await asyncio.to_thread(service.text, "/metrics")
        # 0 until the learner has made a barrier.
        steps += [step for one in _STEP.findall(text) if (step := float(one)) > 0.0]
    came = await load
    requests = sum(came.statuses.values())
    connection = HttpConnection("127.0.0.1", service.port)
    reads = []
    for number in range(_READS):
        asked = get_bytes(f"/v1/decisions/{decision_id(_FIRST + 5 * (number % (requests // 5)))}")
        began = time.perf_counter()
        reply = await connection.send(asked)
        reads.append(1_000.0 * (time.perf_counter() - began))
        if reply.status != 200:
            raise RuntimeError(f"a decision was read with status {reply.status}")
    await connection.close()
    return came, reads, 1_000.0 * (ended[0] - before) / requests


def _request(number: int, *, first: int) -> bytes:
    return decision_or_clicks(first + number)


if __name__ == "__main__":
    end(main(__doc__, [measure], seconds=15.0))
