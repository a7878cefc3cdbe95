"""A SQLite log that can be locked, full or broken, for tests of what becomes of its rows."""

# ruff: noqa: D102, D103, S101 -- names say what they are for; they assert

import asyncio
import resource
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from matinee_platform.storage.append_plan import Plan
from matinee_platform.storage.group_commit import GroupCommit
from matinee_platform.storage.spool import Spool
from matinee_platform.storage.sqlite_appender import SqliteStore
from matinee_platform.storage.sqlite_reader import SqliteReader
from matinee_platform.storage.testing_events import (
    Told,
    example_decision,
    example_reward,
    windows,
)


class FullStore(SqliteStore):
    """A store whose file may not grow while `full` is set."""

    full = False

    def _connected(self) -> sqlite3.Connection:
        connection = super()._connected()
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        most = pages if self.full else 2**30
        connection.execute(f"PRAGMA max_page_count = {most}")
        return connection


def file_of(folder: Path) -> Path:
    return folder / "events.sqlite"


async def open_log(
    folder: Path, *, spool: bool, told: Told | None = None, busy_ms: int = 20
) -> tuple[GroupCommit, FullStore]:
    store = FullStore(file_of(folder), windows=windows, busy_ms=busy_ms)

    def committed(plan: Plan) -> None:
        if told is not None:
            told(plan.decisions, plan.rewards)

    appender = GroupCommit(
        store,
        committed=committed,
        spool=Spool(folder / "spool") if spool else None,
        retry_seconds=0.02,
    )
    return await appender.start(), store


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not condition():
            await asyncio.sleep(0.005)


class Locked:
    """The file is held by another process's transaction."""

    def __init__(self, folder: Path, store: FullStore) -> None:
        self._other = sqlite3.connect(file_of(folder), isolation_level=None)

    def begin(self) -> None:
        self._other.execute("BEGIN IMMEDIATE")

    def end(self) -> None:
        self._other.close()


class Full:
    """The database may not grow."""

    def __init__(self, folder: Path, store: FullStore) -> None:
        self._store = store

    def begin(self) -> None:
        self._store.full = True

    def end(self) -> None:
        self._store.full = False


class Broken:
    """Writes beyond the present size of the write-ahead log fail."""

    def __init__(self, folder: Path, store: FullStore) -> None:
        self._path = file_of(folder).with_name("events.sqlite-wal")
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def begin(self) -> None:
        # Nor may the database take in a long write-ahead log, which would then begin anew.
        most = min(self._path.stat().st_size + 1_000, 600_000)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, self._before[1]))

    def end(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)


FEATURES = b"x" * 9_000


async def append_many(
    appender: GroupCommit, numbers: Sequence[int], *, features: bytes = FEATURES
) -> list[Any]:
    async def one(number: int) -> Any:
        decision = await appender.append_decision(example_decision(number, features=features))
        (reward,) = await appender.append_rewards([example_reward(number, decision=number)])
        return decision, reward

    return await asyncio.gather(*map(one, numbers), return_exceptions=True)


def check_log(folder: Path, decisions: set[int], rewards: set[int]) -> None:
    """Every row once, every place once, a sound file."""
    with closing(SqliteReader(file_of(folder))) as reader:
        last = reader.last_seq()
        stored = reader.decisions(upto=last)
        events = reader.rewards(upto=last)
    assert sorted(one.record.decision_id for one in stored) == sorted(decisions)
    assert sorted(int.from_bytes(one.record.reward_key, "big") for one in events) == sorted(rewards)
    places = [one.seq for one in stored] + [one.seq for one in events]
    assert sorted(places) == list(range(1, last + 1))
    with closing(sqlite3.connect(file_of(folder))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
