"""How soon is what users did learned (R18)? 200 rewards a second, with the settings of a service.

    python -m load.learner_lag [--seconds N]

For every decision that was learned: from the end of its window to the snapshot that has learned it,
by the log's own times; and how old the service says that its learning is.
"""

import asyncio
import re
from contextlib import closing

import numpy as np

from chaos.served_arm import ARMS, EXPERIMENT
from live_service import LiveService
from load.asks import decision_or_clicks
from load.deployed import Deployed, wait_for_learner
from load.promise import end, main
from matinee_platform.clock import SystemClock
from matinee_platform.storage.barrier_store import SqlBarrierStore
from matinee_platform.storage.control_database import control_url, open_engine
from matinee_platform.storage.records import Barrier, LoggedDecision
from matinee_platform.storage.sqlite_reader import SqliteReader
from open_loop import Measured, open_loop
from promises import Promise

MINUTES = 0.05
MOST_SECONDS = 10.0
_RATE = 200.0
_EVERY_SECONDS = 5.0
_WARM_UP_SECONDS = 10.0


def measure(deployed: Deployed, seconds: float) -> list[Promise]:
    """Delay of all decisions that were learned while the load went on."""
    with deployed.service(
        "lag", engagement_minutes=MINUTES, learn_every_seconds=_EVERY_SECONDS
    ) as service:
        service.start()
        wait_for_learner(service)
        asyncio.run(_load(service, _WARM_UP_SECONDS, first=0))
        since = SystemClock().now_ms()
        told = asyncio.run(_load(service, seconds, first=10**6))
        service.stop()
        delays = learned_after(service, minutes=MINUTES, since_ms=since)
    p95 = float(np.percentile(delays, 95)) if len(delays) else float("inf")
    return [
        Promise(
            name="R18 window's end to snapshot at 200 rewards/s",
            measured=f"p95 {p95:.1f} s of {len(delays):,} decisions",
            asked=f"at most {MOST_SECONDS:.0f} s",
            kept=p95 <= MOST_SECONDS,
        ),
        Promise(
            name="R18 the metric of it, worst of all looks",
            measured=f"{max(told):.1f} s",
            asked=f"at most {MOST_SECONDS:.0f} s",
            kept=max(told) <= MOST_SECONDS,
        ),
    ]


async def _load(service: LiveService, seconds: float, *, first: int) -> list[float]:
    """Load it; the largest lag over the arms, second by second once the learner is there."""
    load = asyncio.create_task(
        open_loop(
            service.port,
            lambda number: decision_or_clicks(first + number),
            rate=_RATE,
            seconds=seconds,
        )
    )
    told: list[float] = []
    while not load.done():
        await asyncio.sleep(1.0)
        text = await asyncio.to_thread(service.text, "/metrics")
        lags = [
            float(found)
            for found in re.findall(r"^matinee_learner_lag_seconds\{.*\} (\S+)$", text, re.M)
        ]
        if len(lags) == len(ARMS):
            told.append(max(lags))
    found: Measured = await load
    if found.good < 0.99 * sum(found.statuses.values()):
        raise RuntimeError(f"the load was not answered: {found.statuses}")
    return told or [float("inf")]


def learned_after(service: LiveService, *, minutes: float, since_ms: int) -> list[float]:
    """Seconds from the end of a window to the first barrier after it, of decisions since a time."""
    engine = open_engine(control_url(service.data, "sqlite"))
    barriers = SqlBarrierStore(engine, clock=SystemClock())
    window = round(60_000 * minutes)
    delays: list[float] = []
    with closing(SqliteReader(service.data / "events.sqlite")) as reader:
        upto = reader.last_seq()
        for arm in ARMS:
            made = barriers.all(EXPERIMENT, arm)
            after = 0
            while rows := reader.decisions(after=after, upto=upto, limit=5_000):
                after = rows[-1].seq
                mine = [
                    row
                    for row in rows
                    if row.record.arm == arm and row.record.decided_at >= since_ms
                ]
                delays += [
                    (first.created_at - row.record.decided_at - window) / 1_000.0
                    for row in mine
                    if (first := first_after(made, row, window)) is not None
                ]
    engine.dispose()
    return delays


def first_after(barriers: list[Barrier], row: LoggedDecision, window: int) -> Barrier | None:
    """The first barrier that has a decision's row and the end of its window, in ms."""
    closed = row.record.decided_at + window
    return next((b for b in barriers if b.seq >= row.seq and b.time_ms >= closed), None)


if __name__ == "__main__":
    end(main(__doc__, [measure], seconds=30.0))
