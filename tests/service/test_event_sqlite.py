"""The event log in a SQLite file."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from matinee_platform.storage import sqlite_appender as appender_module
from matinee_platform.storage.event_log import sqlite_appender
from matinee_platform.storage.ports import EventAppender, EventReader
from matinee_platform.storage.records import Outcome
from matinee_platform.storage.sqlite_appender import SqliteStore
from matinee_platform.storage.sqlite_reader import SqliteReader
from matinee_platform.storage.sqlite_statements import known_of
from matinee_platform.storage.testing_events import (
    EventLogContract,
    asynchronous,
    example_decision,
    windows,
)


class TestSqliteLog(EventLogContract):
    rewards = 10_000

    @pytest.fixture(autouse=True)
    def new_log(self, tmp_path: Path) -> None:
        self.path = tmp_path / "events.sqlite"

    async def open_appender(self, **options: Any) -> EventAppender:
        options = {"rewards_per_decision": 1_000, **options}
        return await sqlite_appender(self.path, windows=windows, **options)

    def open_reader(self) -> EventReader:
        return SqliteReader(self.path)


@asynchronous
async def test_new_decisions_are_added_without_a_look_at_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []

    def looked(connection: sqlite3.Connection, batch: Any) -> Any:
        looks.append(len(batch))
        return known_of(connection, batch)

    monkeypatch.setattr(appender_module, "known_of", looked)
    path = tmp_path / "events.sqlite"
    store = SqliteStore(path, windows=windows)
    await store.open()
    await store.write([example_decision(1)])
    assert looks == [1], "where the log ends is not known yet"
    plan = await store.write([example_decision(n) for n in (4, 2, 3)])
    assert looks == [1]
    assert [(one.seq, one.record.decision_id) for one in plan.decisions] == [(2, 4), (3, 2), (4, 3)]
    # Some are in the log: what was added before they were met goes back, no place is lost.
    plan = await store.write([*(example_decision(n) for n in range(10, 20)), example_decision(3)])
    assert looks == [1, 11]
    assert [one.seq for one in plan.receipts] == [*range(5, 15), 4]
    assert plan.receipts[-1].outcome is Outcome.REPEATED
    # Twice in one batch.
    plan = await store.write([example_decision(30), example_decision(30)])
    assert [one.outcome for one in plan.receipts] == [Outcome.STORED, Outcome.REPEATED]
    # The log ends elsewhere than was thought.
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("UPDATE seq SET last = 20")
    plan = await store.write([example_decision(40)])
    assert plan.last_seq == 21
    await store.close()
    with closing(SqliteReader(path)) as reader:
        assert reader.last_seq() == 21
        assert [one.seq for one in reader.decisions(upto=99)] == [*range(1, 16), 21]
