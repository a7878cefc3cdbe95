"""Does the event log stay fast while it grows? Appends and every read at rising lengths.

    python benchmarks/service/log_growth.py --decisions 10000 100000 1000000
    python benchmarks/service/log_growth.py --decisions 10000 100000 --database postgresql://USER@HOST/NAME

Each line is the median of some calls, in milliseconds, at one length of the log; decisions have 100
candidates and 10 slots. Then: durable decisions a second through group commit, by the number of
callers, against the rate at which bare SQL stores the same rows in batches of the same size.
"""

import argparse
import asyncio
import contextlib
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from matinee_platform.storage.event_log import postgres_appender, sqlite_appender
from matinee_platform.storage.event_migrations import sqlite_url, upgrade
from matinee_platform.storage.event_rows import decision_row
from matinee_platform.storage.event_tables import DECISION_COLUMNS
from matinee_platform.storage.group_commit import GroupCommit
from matinee_platform.storage.log_store import LogStore
from matinee_platform.storage.ports import EventReader
from matinee_platform.storage.postgres_appender import PostgresStore
from matinee_platform.storage.postgres_reader import PostgresReader
from matinee_platform.storage.records import DecisionRecord, LoggedDecision, RewardRecord
from matinee_platform.storage.sqlite_appender import SqliteStore
from matinee_platform.storage.sqlite_reader import SqliteReader
from matinee_platform.storage.testing_events import (
    START_MS,
    example_decision,
    example_reward,
    windows,
)

K, L, STATE = 100, 10, 42
UNITS = 50_000
_BATCH = 2_000
_PER_SECOND = 200
_MIX = 0x9E37_79B9_7F4A_7C15


def decision(number: int) -> DecisionRecord:
    """A decision of the usual size; ids are spread over 64 bits, times are 200 a second."""
    return replace(
        _TEMPLATE,
        decision_id=number * _MIX % 2**64,
        arm=("new", "old")[number % 2],
        unit=number * 7_919 % UNITS,
        decided_at=START_MS + number * 1_000 // _PER_SECOND,
    )


_DRAWS = np.random.default_rng(0)
_TEMPLATE = example_decision(
    0,
    unit_state=_DRAWS.random(STATE, dtype=np.float32).tobytes(),
    candidates=np.arange(K, dtype="<i4").tobytes(),
    scores=_DRAWS.random(K, dtype=np.float32).tobytes(),
    slate=np.arange(L, dtype="<i4").tobytes(),
    propensities=_DRAWS.random(L).tobytes(),
)


def reward(number: int) -> RewardRecord:
    """A click of a decision."""
    one = decision(number)
    return example_reward(number, decision=one.decision_id, received_at=one.decided_at + 60_000)


async def grow(store: LogStore, first: int, last: int) -> None:
    """Append decisions `first` to `last`, and a reward of every fourth."""
    for at in range(first, last, _BATCH):
        numbers = range(at, min(at + _BATCH, last))
        await store.write([*map(decision, numbers), *map(reward, numbers[::4])])


async def measure(store: LogStore, reader: EventReader, length: int) -> dict[str, float]:
    """Median milliseconds of appends and reads at one length."""
    draws = np.random.default_rng(length)
    upto = reader.last_seq()
    numbers = draws.integers(0, length, 2_000).tolist()
    found = {}
    for name, size, times in (("append 1", 1, 30), ("append 32", 32, 30)):
        taken = []
        for turn in range(times):
            first = 10**9 + length * 100 + size * 10**4 + turn * size
            batch = [decision(n) for n in range(first, first + size)]
            # Such times are far ahead: reads by time below are not disturbed.
            started = time.perf_counter()
            await store.write(batch)
            taken.append(time.perf_counter() - started)
        found[name] = statistics.median(taken) * 1_000
    at = iter(numbers)
    end = START_MS + length * 1_000 // _PER_SECOND
    reads: dict[str, Callable[[], object]] = {
        "last_seq": reader.last_seq,
        "decision by id": lambda: reader.decision(decision(next(at)).decision_id),
        "rewards of 100 decisions": lambda: reader.rewards_of(
            [decision(next(at)).decision_id for _ in range(100)]
        ),
        "1,000 rows from a place": lambda: reader.decisions(
            after=int(draws.integers(0, max(1, upto - 2_000))), upto=upto, limit=1_000
        ),
        "an arm's last 5 seconds": lambda: list(
            reader.decided_within("home", "new", after_ms=end - 5_000, upto_ms=end, upto=upto)
        ),
        "a unit's last 20 decisions": lambda: reader.unit_decisions(
            "home", "new", decision(next(at)).unit, upto=upto, limit=20
        ),
    }
    for name, read in reads.items():
        found[name] = statistics.median(_seconds(read) for _ in range(15)) * 1_000
    return found


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


async def throughput(appender: GroupCommit, *, callers: int, first: int, seconds: float) -> float:
    """Durable decisions a second, each caller waiting for its receipt."""
    end = time.perf_counter() + seconds
    done = 0

    async def call(number: int) -> None:
        nonlocal done
        while time.perf_counter() < end:
            await appender.append_decision(decision(number))
            number += callers
            done += 1

    started = time.perf_counter()
    await asyncio.gather(*(call(first + caller) for caller in range(callers)))
    return done / (time.perf_counter() - started)


def raw_limit(path: Path, *, batch: int, seconds: float) -> float:
    """Decisions a second of `executemany` and COMMIT alone, `batch` to a transaction."""
    upgrade(sqlite_url(path))
    marks = ", ".join("?" * len(DECISION_COLUMNS))
    rows = [decision_row(LoggedDecision(n + 1, decision(n))) for n in range(200_000 // 8)]
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        started, done = time.perf_counter(), 0
        while time.perf_counter() - started < seconds and done + batch <= len(rows):
            connection.execute("BEGIN IMMEDIATE")
            insert = f"INSERT INTO decisions VALUES ({marks})"  # noqa: S608
            connection.executemany(insert, rows[done : done + batch])
            connection.execute("COMMIT")
            done += batch
        return done / (time.perf_counter() - started)


async def run(database: str, folder: Path, lengths: Sequence[int], seconds: float) -> None:
    """Print the tables."""
    path = folder / "events.sqlite"
    sqlite = database == "sqlite"
    store: LogStore = (
        SqliteStore(path, windows=windows)
        if sqlite
        else PostgresStore(database, windows=windows, patience_seconds=60.0)
    )
    reader: EventReader = SqliteReader(path) if sqlite else PostgresReader(database)
    await store.open()
    table: dict[int, dict[str, float]] = {}
    before = 0
    for length in lengths:
        started = time.perf_counter()
        await grow(store, before, length)
        rate = (length - before) / (time.perf_counter() - started)
        print(f"{length:,} decisions, appended at {rate:,.0f} a second", file=sys.stderr)
        table[length] = await measure(store, reader, length)
        before = length
    await store.close()
    reader.close()
    print("milliseconds".ljust(28), *(f"{length:>10,}" for length in table))
    for name in next(iter(table.values())):
        print(name.ljust(28), *(f"{found[name]:10.3f}" for found in table.values()))
    make = sqlite_appender(path, windows=windows) if sqlite else None
    appender = await (make or postgres_appender(database, windows=windows))
    print("\ncallers  decisions/s  rows per commit" + ("  raw executemany/s" if sqlite else ""))
    for callers in (1, 8, 32, 128):
        commits, rows = appender.counts.commits, appender.counts.rows
        first = 2 * 10**9 + callers * 10**7
        rate = await throughput(appender, callers=callers, first=first, seconds=seconds)
        batch = (appender.counts.rows - rows) / max(1, appender.counts.commits - commits)
        raw = ""
        if sqlite:
            limit = raw_limit(folder / f"raw{callers}.sqlite", batch=round(batch), seconds=seconds)
            raw = f"{limit:12,.0f}"
        print(f"{callers:7}  {rate:11,.0f}  {batch:15.1f}  {raw}")
    await appender.close()


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--decisions", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--database", default="sqlite", help="sqlite, or an empty PostgreSQL")
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="matinee-log-") as folder:
        asyncio.run(run(options.database, Path(folder), sorted(options.decisions), options.seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
