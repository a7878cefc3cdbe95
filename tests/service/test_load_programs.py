"""The programs of `make load` measure what they say; their figures are theirs to judge."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from load import long_log, retention
from load.asks import decision_id, decision_or_clicks
from load.learner_lag import first_after
from matinee_platform.maintenance.removal import Removed, SqlEventEraser, open_events
from matinee_platform.storage.log_store import LogStore
from matinee_platform.storage.postgres_appender import PostgresStore
from matinee_platform.storage.postgres_reader import PostgresReader
from matinee_platform.storage.records import Barrier, LoggedDecision
from matinee_platform.storage.sql_reader import SqlReader
from matinee_platform.storage.sqlite_appender import SqliteStore
from matinee_platform.storage.sqlite_reader import SqliteReader
from matinee_platform.storage.testing_events import example_decision, windows

UNITS, COPIES = 100, 3


def one_decision_each(store: LogStore) -> None:
    async def write() -> None:
        await store.open()
        await store.write([example_decision(number, unit=number) for number in range(UNITS)])
        await store.close()

    asyncio.run(write())


def on_sqlite(path: Path) -> None:
    one_decision_each(SqliteStore(path, windows=windows))


def check_long_log(reader: SqlReader, last: int) -> None:
    rows = reader.decisions(upto=last)
    clicks = reader.rewards_of([row.record.decision_id for row in rows])
    assert reader.last_seq() == last == COPIES * UNITS * 5 // 4
    assert len(rows) == len({row.record.decision_id for row in rows}) == COPIES * UNITS
    assert {row.record.unit for row in rows} == set(range(UNITS))
    places = sorted([row.seq for row in rows] + [one.seq for one in clicks])
    # The last block has its places of rewards too.
    assert places == list(range(1, last + 1))
    times = [row.record.decided_at for row in rows]
    assert times == sorted(times)
    assert {one.record.received_at - 1_000 for one in clicks} <= set(times)


def test_a_long_log_has_no_gaps_and_a_click_for_every_fourth_decision(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    on_sqlite(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as log:
        last = long_log.repeat(log, UNITS, copies=COPIES)
    with closing(SqliteReader(path)) as reader:
        check_long_log(reader, last)


def test_a_long_log_is_the_same_on_postgresql(
    tmp_path: Path, new_postgres_database: Callable[[], str]
) -> None:
    address = new_postgres_database()
    one_decision_each(PostgresStore(address, windows=windows))
    engine = open_events(tmp_path, address)
    with engine.begin() as connection:
        last = long_log.repeat_on_postgresql(connection, UNITS, copies=COPIES)
    engine.dispose()
    with closing(PostgresReader(address)) as reader:
        check_long_log(reader, last)


def test_old_rows_are_as_a_service_would_have_left_them(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    on_sqlite(path)
    engine = open_events(tmp_path, "sqlite")
    with engine.begin() as connection:
        last = retention.add_old_rows(connection, units=UNITS, copies=COPIES, age_ms=1_000_000)
    assert last == COPIES * UNITS * 5 // 4
    with closing(SqliteReader(path)) as reader:
        rows = reader.decisions(upto=last)
        clicks = reader.rewards_of([row.record.decision_id for row in rows])
        assert reader.last_seq() == last
    assert len({row.record.decision_id for row in rows}) == COPIES * UNITS
    times = {row.record.decided_at for row in rows}
    assert times == {example_decision(n).decided_at - 1_000_000 for n in range(UNITS)}
    places = sorted([row.seq for row in rows] + [one.seq for one in clicks])
    assert places == list(range(1, last + 1))
    # What is as old goes, all of it.
    eraser = SqlEventEraser(engine, pause=lambda _: None)
    removed = sum((eraser.erase_before(*arm, max(times) + 1) for arm in eraser.arms()), Removed())
    engine.dispose()
    assert (removed.decisions, removed.rewards) == (len(rows), len(clicks))


def test_the_mix_is_four_decisions_to_five_rewards_of_decisions_that_were_asked_for() -> None:
    requests = [decision_or_clicks(number) for number in range(2_000)]
    asked = b"".join(one for one in requests if b"/v1/decisions" in one).decode()
    rewards = [one for one in requests if b"/v1/rewards" in one]
    assert len(rewards) == (2_000 - 500) / 5
    assert all(one.count(b'"component":"click"') == 5 for one in rewards)
    named = {decision_id(number) for number in range(2_000) if decision_id(number) in asked}
    for one in rewards[:20]:
        assert sum(name.encode() in one for name in named) == 4


def test_a_decision_is_learned_by_the_first_barrier_that_has_its_row_and_its_window() -> None:
    row = LoggedDecision(10, example_decision(1))
    closed = row.record.decided_at + 500

    def barrier(version: int, seq: int, time_ms: int) -> Barrier:
        return Barrier(
            experiment="home",
            arm="new",
            version=version,
            seq=seq,
            time_ms=time_ms,
            snapshot_hash="",
            created_at=time_ms,
        )

    made = [barrier(0, 0, closed), barrier(1, 10, closed - 1), barrier(2, 9, closed)]
    assert first_after(made, row, 500) is None
    right = barrier(3, 10, closed)
    assert first_after([*made, right], row, 500) is right
