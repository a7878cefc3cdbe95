"""The least that makes an answer wait for a durable row: the floor of a route that logs.

Rows of the service's own size go into its own tables, one made-up row for each request. While one
commit runs the next batch gathers. Nothing is looked up: no repeats are known, no order is kept
between processes, nobody is told.
"""

import asyncio
import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, Self

import asyncpg
import numpy as np

from matinee_platform.storage.event_migrations import postgres_url, sqlite_url, upgrade
from matinee_platform.storage.event_rows import Row, decision_row
from matinee_platform.storage.event_tables import DECISION_COLUMNS
from matinee_platform.storage.records import DecisionRecord, LoggedDecision, ServedBy

UNIT_STATE_BYTES = 56
K = 100
SLOTS = 10


class Store(Protocol):
    """Where rows become durable."""

    async def open(self) -> None:
        """Connect."""

    async def write(self, rows: list[Row]) -> None:
        """Store rows in one transaction."""


class SqliteFloor:
    """A SQLite file: WAL, flushed at each commit, a thread of its own.

    No commit moves the journal into the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1)
        marks = ", ".join("?" * len(DECISION_COLUMNS))
        self._insert = f"INSERT INTO decisions VALUES ({marks})"  # noqa: S608

    async def open(self) -> None:
        """Make the tables."""
        upgrade(sqlite_url(self._path))
        self._connection = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False
        )
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 100000"):
            self._connection.execute(f"PRAGMA {pragma}")

    async def write(self, rows: list[Row]) -> None:
        """Store rows in one transaction."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, rows)

    def _write(self, rows: list[Row]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(self._insert, rows)
        self._connection.execute("COMMIT")


class PostgresFloor:
    """A PostgreSQL: COPY, then commit."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def open(self) -> None:
        """Make the tables."""
        await asyncio.to_thread(upgrade, postgres_url(self._address))
        self._connection = await asyncpg.connect(self._address)

    async def write(self, rows: list[Row]) -> None:
        """Store rows in one transaction."""
        await self._connection.copy_records_to_table(
            "decisions", columns=DECISION_COLUMNS, records=rows
        )


class BareLog:
    """Group commit without a timer.

    Args:
        store: where rows go.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seq = 0
        self._rows: list[Row] = []
        self._told: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()

    async def start(self) -> Self:
        """Connect, and begin to commit."""
        await self._store.open()
        self._task = asyncio.get_running_loop().create_task(self._commit_forever())
        return self

    async def append(self) -> None:
        """One row; durable when this returns."""
        self._seq += 1
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._rows.append(made_up_row(self._seq))
        self._told.append(told)
        self._wake.set()
        await told

    async def _commit_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._rows:
                rows, told = self._rows, self._told
                self._rows, self._told = [], []
                await self._store.write(rows)
                for one in told:
                    one.set_result(None)


def bare_log(kind: str, where: str) -> BareLog:
    """The log of a kind: `sqlite` in a file, or `postgresql` at an address."""
    return BareLog(SqliteFloor(Path(where)) if kind == "sqlite" else PostgresFloor(where))


def made_up_row(seq: int) -> Row:
    """A row of the size that a page of 100 candidates and 10 slots has."""
    noise = os.urandom(16)
    return decision_row(
        LoggedDecision(
            seq,
            DecisionRecord(
                decision_id=int.from_bytes(noise[:8], "little"),
                body_digest=noise,
                experiment="home",
                arm="lin_ucb",
                unit=int.from_bytes(noise[8:], "little"),
                bucket=17,
                decided_at=int(time.time() * 1_000),
                page=1,
                snapshot=3,
                feature_version=1,
                catalogue_version=12_345,
                served_by=ServedBy.POLICY,
                last_watched=-1,
                unit_state=_STATE,
                candidates=_CANDIDATES,
                scores=_SCORES,
                slate=_SLATE,
                propensities=_PROPENSITIES,
            ),
        )
    )


_DRAW = np.random.default_rng(1)
_STATE = _DRAW.bytes(UNIT_STATE_BYTES)
_CANDIDATES = _DRAW.integers(0, 60_000, size=K, dtype=np.int32).tobytes()
_SCORES = _DRAW.random(K, dtype=np.float32).tobytes()
_SLATE = _CANDIDATES[: 4 * SLOTS]
_PROPENSITIES = _DRAW.random(SLOTS).tobytes()
