"""Do decisions go on while retention removes old rows? The same load without and with a removal.

    python -m load.retention [--seconds N]

At least 100,000 rows of two months ago are removed by the running service itself, on SQLite and on
a PostgreSQL of its own, under requests that fall due by the clock.
"""

import asyncio
import json
import urllib.request
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, text

from chaos.databases import database
from live_service import LiveService
from load.asks import decision
from load.deployed import Deployed
from load.long_log import ask_each
from load.promise import end, main
from matinee_platform.maintenance.removal import open_events
from matinee_platform.storage.event_tables import DECISION_COLUMNS
from open_loop import Measured, open_loop
from promises import Promise

RATE = 100.0
DAYS = 30
_AGE_MS = 2 * DAYS * 86_400_000
_UNITS, _COPIES = 2_000, 42
_REWARD_EVERY = 4
_TURN_SECONDS = 5.0
_LONGEST_SECONDS = 1_200.0

_RANDOM = {
    "sqlite": ("random()", "randomblob(16)"),
    "postgresql": ("CAST(random() * 9e18 AS bigint)", "uuid_send(gen_random_uuid())"),
}
"""A number and sixteen bytes, by database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What came of one database.

    Attributes:
        before: the load without a removal.
        during: the load while rows were removed.
        removed: decisions and rewards.
        left: decisions that are as old and still there.
    """

    before: Measured
    during: Measured
    removed: int
    left: int


def measure(
    deployed: Deployed, seconds: float, *, kinds: tuple[str, ...] = ("sqlite", "postgresql")
) -> list[Promise]:
    """p50 and p99 of both, for each database."""
    return [_promise(kind, _on(deployed, seconds, kind)) for kind in kinds]


def _promise(kind: str, found: Found) -> Promise:
    before, during = found.before, found.during
    idle = before.percentile_ms(0.99)
    bar = max(2.0 * idle, idle + 10.0)
    failed = sum(during.statuses.values()) - during.good
    p99 = during.percentile_ms(0.99)
    return Promise(
        name=f"p99 while retention removes, {kind}, {RATE:g} requests/s",
        measured=f"{p99:.1f} ms ({idle:.1f} ms without; p50 {during.percentile_ms(0.5):.1f} and "
        f"{before.percentile_ms(0.5):.1f} ms); {found.removed:,} rows in {during.seconds:.0f} s, "
        f"{found.left} left, {failed} failed",
        asked=f"at most {bar:.1f} ms, none failed",
        kept=p99 <= bar and not failed and not found.left,
    )


def _on(deployed: Deployed, seconds: float, kind: str) -> Found:
    with (
        database(kind, deployed.scratch, name="retention") as where,
        deployed.service(
            f"retention-{kind}", database=where.address, supervise_learner=False
        ) as service,
    ):
        service.start()
        asyncio.run(ask_each(service.port, _UNITS))
        service.stop()
        engine = open_events(service.data, where.address)
        try:
            with engine.begin() as connection:
                add_old_rows(connection, units=_UNITS, copies=_COPIES, age_ms=_AGE_MS)
            service.start()
            before, during, removed = asyncio.run(_load(service, seconds))
            service.stop()
            with engine.connect() as connection:
                query = text("SELECT count(*) FROM decisions WHERE decided_at < :before")
                old = {"before": removed["before"]}
                left = int(connection.execute(query, old).scalar_one())
        finally:
            engine.dispose()
    rows = removed["decisions"] + removed["rewards"]
    return Found(before=before, during=during, removed=rows, left=left)


def add_old_rows(connection: Connection, *, units: int, copies: int, age_ms: int) -> int:
    """Make the rows of a log old, and add copies of them with a reward for every fourth.

    Args:
        connection: to the database, in a transaction.
        units: decisions in the log, at places from 1, without rewards.
        copies: of each, itself included.
        age_ms: how much older they become.

    Returns:
        Last place of the log.
    """
    number, name = _RANDOM[connection.dialect.name]
    others = ", ".join(one for one in DECISION_COLUMNS if one not in ("seq", "decision_id"))
    connection.execute(text("UPDATE decisions SET decided_at = decided_at - :age"), {"age": age_ms})
    again = text(
        f"INSERT INTO decisions (seq, decision_id, {others}) "  # noqa: S608 - all of it is ours
        f"SELECT seq + :places, {number}, {others} FROM decisions WHERE seq <= :units"
    )
    for copy in range(1, copies):
        connection.execute(again, {"places": copy * units, "units": units})
    last = copies * units
    rewards = last // _REWARD_EVERY
    connection.execute(
        text(
            "INSERT INTO rewards (seq, reward_key, body_digest, decision_id, component, slot, "  # noqa: S608
            f"value, received_at, occurred_at) SELECT :last + seq / :every, {name}, {name}, "
            "decision_id, 0, 0, 1.0, decided_at + 1000, NULL FROM decisions "
            "WHERE seq % :every = 0"
        ),
        {"last": last, "every": _REWARD_EVERY},
    )
    connection.execute(text("UPDATE seq SET last = :last"), {"last": last + rewards})
    return last + rewards


async def _load(service: LiveService, seconds: float) -> tuple[Measured, Measured, dict[str, int]]:
    """The load alone, then beside a removal for as long as that takes."""
    await open_loop(service.port, partial(_request, first=10**9), rate=RATE, seconds=_TURN_SECONDS)
    before = await open_loop(
        service.port, partial(_request, first=2 * 10**9), rate=RATE, seconds=seconds
    )
    removal = asyncio.create_task(asyncio.to_thread(_remove, service))
    during = Measured()
    turn = 3
    while not removal.done():
        some = await open_loop(
            service.port,
            partial(_request, first=turn * 10**9),
            rate=RATE,
            seconds=_TURN_SECONDS,
            warm_seconds=0.0,
            seed=turn,
        )
        turn += 1
        during.seconds += some.seconds
        during.latencies_ms += some.latencies_ms
        for status, count in some.statuses.items():
            during.statuses[status] = during.statuses.get(status, 0) + count
    return before, during, await removal


def _request(number: int, *, first: int) -> bytes:
    return decision(first + number)


def _remove(service: LiveService) -> dict[str, int]:
    asked = urllib.request.Request(  # noqa: S310 - loopback
        service.url("/v1/admin/retention"),
        data=json.dumps({"days": DAYS}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=_LONGEST_SECONDS) as reply:  # noqa: S310
        found = json.loads(reply.read())
    return {name: int(found[name]) for name in ("decisions", "rewards", "before")}


if __name__ == "__main__":
    end(main(__doc__, [measure], seconds=20.0))
