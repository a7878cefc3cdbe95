"""A service with a long log behind it, made within a minute or two instead of hours.

A service of its own answers each unit once; its rows are then repeated within the database, under
other ids and earlier times, with a click for every fourth. The learner's place is put near the end:
what came before counts as learned.
"""

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import yaml
from sqlalchemy import Connection, text

from chaos.served_arm import ARMS, EXPERIMENT
from http_connection import HttpConnection, post_bytes
from live_service import LiveService
from load.asks import decision_id
from matinee_platform.clock import SystemClock
from matinee_platform.learning.service_arms import SNAPSHOTS
from matinee_platform.maintenance.removal import open_events
from matinee_platform.service.secrets import Secrets
from matinee_platform.service.settings import ServiceSettings
from matinee_platform.storage.barrier_store import SqlBarrierStore
from matinee_platform.storage.control_database import control_url, open_engine
from matinee_platform.storage.event_tables import DECISION_COLUMNS
from matinee_platform.storage.ports import SnapshotStore
from matinee_platform.storage.records import Barrier
from matinee_platform.storage.snapshot_store import FolderSnapshotStore, SqlSnapshotStore

PER_UNIT = 20
TAIL = 2_000
"""Places of the log that the learner has not seen when the service starts."""

_GAP_MS = 5
_REWARD_EVERY = 4
_BATCH = 100
_FIRST = 10**15
_LEARNER_SECONDS = 600.0


def fill(service: LiveService, decisions: int) -> int:
    """Let the log of a new service have so many decisions; how many units they are of.

    Args:
        service: not started, with an empty log; comes back stopped.
        decisions: about how many.
    """
    units = max(_BATCH, decisions // PER_UNIT // _BATCH * _BATCH)
    settings = ServiceSettings.model_validate_json(
        json.dumps(yaml.safe_load(service.config.read_text(encoding="utf-8")))
    )
    service.start()
    asyncio.run(ask_each(service.port, units))
    with _learned(settings) as (barriers, snapshots):
        _wait_for(barriers)
        service.stop()
        last = _repeated(service, settings, units, copies=decisions // units)
        _move(barriers, snapshots, last - TAIL)
    return units


async def ask_each(port: int, units: int) -> None:
    """Have one decision made for each of so many units, in whole batches of a hundred.

    Raises:
        RuntimeError: a decision was not made.
    """
    connection = HttpConnection("127.0.0.1", port)
    for first in range(0, units, _BATCH):
        asks = [
            {
                "experiment": EXPERIMENT,
                "unit": f"unit-{unit}",
                "decision_id": decision_id(_FIRST + unit),
            }
            for unit in range(first, first + _BATCH)
        ]
        reply = await connection.send(post_bytes("/v1/decisions:batch", {"decisions": asks}))
        statuses = {one["status"] for one in reply.json()["results"]}
        if statuses != {200}:
            raise RuntimeError(f"a batch was answered with {statuses}")
    await connection.close()


def _repeated(service: LiveService, settings: ServiceSettings, units: int, *, copies: int) -> int:
    if settings.database == "sqlite":
        with closing(sqlite3.connect(service.data / "events.sqlite", isolation_level=None)) as log:
            return repeat(log, units, copies=copies)
    engine = open_events(service.data, settings.database)
    with engine.begin() as connection:
        last = repeat_on_postgresql(connection, units, copies=copies)
    # As the server would by itself, a minute later.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()
    return last


def repeat(log: sqlite3.Connection, units: int, *, copies: int) -> int:
    """Add copies of all rows; the last place of the log."""
    # A log that is lost half-made is made anew. Indexes are quicker built than kept.
    log.execute("PRAGMA journal_mode = OFF")
    log.execute("PRAGMA synchronous = OFF")
    log.execute("PRAGMA cache_size = -500000")
    indexes = log.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    ).fetchall()
    block = units + units // _REWARD_EVERY
    start = round(1_000 * time.time()) - copies * block * _GAP_MS
    log.execute("BEGIN")
    for name, _ in indexes:
        log.execute(f"DROP INDEX {name}")
    # No rewards yet, and no gaps: places are 1 to `units`.
    log.execute("UPDATE decisions SET decided_at = ? + seq * ?", (start, _GAP_MS))
    others = ", ".join(
        name for name in DECISION_COLUMNS if name not in ("seq", "decision_id", "decided_at")
    )
    insert = (
        f"INSERT INTO decisions (seq, decision_id, decided_at, {others}) "  # noqa: S608
        f"SELECT seq + :places, random(), decided_at + :later, {others} "
        "FROM decisions WHERE seq <= :units"
    )
    for copy in range(1, copies):
        places = copy * block
        log.execute(insert, {"places": places, "later": places * _GAP_MS, "units": units})
    log.execute(
        "INSERT INTO rewards (seq, reward_key, body_digest, decision_id, component, slot, value, "
        "received_at, occurred_at) SELECT (seq - 1) / :block * :block + :units + "
        "((seq - 1) % :block) / :every + 1, randomblob(16), randomblob(16), decision_id, 0, 0, "
        "1.0, decided_at + 1000, NULL FROM decisions WHERE ((seq - 1) % :block) % :every = 0 "
        "AND ((seq - 1) % :block) / :every < :block - :units",
        {"block": block, "units": units, "every": _REWARD_EVERY},
    )
    last = copies * block
    log.execute("UPDATE seq SET last = ?", (last,))
    for _, statement in indexes:
        log.execute(statement)
    log.execute("COMMIT")
    log.execute("PRAGMA journal_mode = WAL")
    return last


def repeat_on_postgresql(log: Connection, units: int, *, copies: int) -> int:
    """The same on PostgreSQL, within a transaction of the caller's; the last place of the log."""
    block = units + units // _REWARD_EVERY
    start = round(1_000 * time.time()) - copies * block * _GAP_MS
    log.execute(
        text("UPDATE decisions SET decided_at = :start + seq * :gap"),
        {"start": start, "gap": _GAP_MS},
    )
    others = ", ".join(
        name for name in DECISION_COLUMNS if name not in ("seq", "decision_id", "decided_at")
    )
    log.execute(
        text(
            f"INSERT INTO decisions (seq, decision_id, decided_at, {others}) "  # noqa: S608
            "SELECT seq + copy * :block, hashint8extended(seq, copy), "
            f"decided_at + copy * :block * :gap, {others} "
            "FROM generate_series(CAST(1 AS bigint), :copies) AS copy, decisions "
            "WHERE seq <= :units ORDER BY copy, seq"
        ),
        {"block": block, "gap": _GAP_MS, "copies": copies - 1, "units": units},
    )
    log.execute(
        text(
            "INSERT INTO rewards (seq, reward_key, body_digest, decision_id, component, slot, "
            "value, received_at, occurred_at) SELECT (seq - 1) / :block * :block + :units + "
            "((seq - 1) % :block) / :every + 1, uuid_send(gen_random_uuid()), "
            "uuid_send(gen_random_uuid()), decision_id, 0, 0, 1.0, decided_at + 1000, NULL "
            "FROM decisions WHERE ((seq - 1) % :block) % :every = 0 "
            "AND ((seq - 1) % :block) / :every < :block - :units ORDER BY seq"
        ),
        {"block": block, "units": units, "every": _REWARD_EVERY},
    )
    last = copies * block
    log.execute(text("UPDATE seq SET last = :last"), {"last": last})
    return last


@contextmanager
def _learned(settings: ServiceSettings) -> Iterator[tuple[SqlBarrierStore, SnapshotStore]]:
    """Barriers and snapshots of a service."""
    keys = Secrets.load(settings).signing
    engine = open_engine(control_url(settings.data_dir, settings.database))
    snapshots: SnapshotStore = SqlSnapshotStore(engine, keys=keys)
    if settings.database == "sqlite":
        snapshots = FolderSnapshotStore(settings.data_dir / SNAPSHOTS, keys=keys)
    try:
        yield SqlBarrierStore(engine, clock=SystemClock()), snapshots
    finally:
        engine.dispose()


def _wait_for(barriers: SqlBarrierStore) -> None:
    """Wait until the learner made the first barrier of every arm.

    Raises:
        RuntimeError: it took too long.
    """
    until = time.monotonic() + _LEARNER_SECONDS
    while any(barriers.last(EXPERIMENT, arm) is None for arm in ARMS):
        if time.monotonic() > until:
            raise RuntimeError(f"the learner made no barriers within {_LEARNER_SECONDS:g} s")
        time.sleep(0.1)


def _move(barriers: SqlBarrierStore, snapshots: SnapshotStore, place: int) -> None:
    """A barrier at a place, with the same state as the one before."""
    now = SystemClock().now_ms()
    for arm in ARMS:
        before = barriers.last(EXPERIMENT, arm)
        if before is None:
            raise RuntimeError(f"{arm} has no barrier")
        version = before.version + 1
        snapshots.save(EXPERIMENT, arm, version, snapshots.load(EXPERIMENT, arm, before.version))
        barriers.append(
            Barrier(
                experiment=EXPERIMENT,
                arm=arm,
                version=version,
                seq=max(place, before.seq),
                time_ms=now,
                snapshot_hash=before.snapshot_hash,
                created_at=now,
            )
        )
