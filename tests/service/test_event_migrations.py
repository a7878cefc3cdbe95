"""Schemas of the event log: the newest is what the tables say, former ones open."""

import io
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from matinee_platform.storage.event_log import sqlite_appender
from matinee_platform.storage.event_migrations import (
    VERSION_TABLE,
    check,
    newest,
    postgres_url,
    sqlite_url,
    upgrade,
)
from matinee_platform.storage.event_tables import EVENT_METADATA
from matinee_platform.storage.records import LoggedDecision, LoggedReward, Outcome
from matinee_platform.storage.schema_version import NEWEST
from matinee_platform.storage.sqlite_reader import SqliteReader
from matinee_platform.storage.testing_events import (
    asynchronous,
    example_decision,
    example_reward,
    windows,
)

REVISION_1 = Path(__file__).parent / "events_revision_1.sql"


def test_the_newest_sqlite_schema_is_what_the_tables_say(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "events.sqlite")
    upgrade(url)
    check(url)
    upgrade(url)
    with closing(sqlite3.connect(tmp_path / "events.sqlite")) as connection:
        found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        assert {name for (name,) in found} == {*EVENT_METADATA.tables, VERSION_TABLE}


def test_the_newest_postgres_schema_is_what_the_tables_say(postgres_address: str) -> None:
    with psycopg.connect(postgres_address, autocommit=True) as connection:
        connection.execute("CREATE TABLE of_another_tree (one bigint)")
    upgrade(postgres_url(postgres_address))
    check(postgres_url(postgres_address))


def test_the_output_of_a_command_that_is_over_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = sqlite_url(tmp_path / "events.sqlite")
    upgrade(url)
    output = io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    check(url)
    assert "No new upgrade operations" in output.getvalue()


def test_the_newest_step_is_the_last_one() -> None:
    assert NEWEST["events"] == newest()


def test_check_sees_a_difference(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "events.sqlite")
    upgrade(url)
    with closing(sqlite3.connect(tmp_path / "events.sqlite")) as connection:
        connection.execute("DROP INDEX ix_items_item_id")
    with pytest.raises(Exception, match="ix_items_item_id"):
        check(url)


@asynchronous
async def test_a_database_of_revision_1_opens_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(REVISION_1.read_text())
        assert connection.execute(f"SELECT * FROM {VERSION_TABLE}").fetchall() == [("0001",)]  # noqa: S608
    appender = await sqlite_appender(path, windows=windows)
    with closing(SqliteReader(path)) as reader:
        assert reader.last_seq() == 4
        decisions = [
            LoggedDecision(1, example_decision(1)),
            LoggedDecision(3, example_decision(2, features=b"\x00\x01", base=1)),
        ]
        assert reader.decisions(upto=4) == decisions
        assert reader.rewards(upto=4) == [
            LoggedReward(2, example_reward(1, decision=1)),
            LoggedReward(4, example_reward(2, decision=9, occurred_at=7, value=0.1)),
        ]
        assert reader.items([0, 1]) == ["a", "é"]
        assert (await appender.append_decision(example_decision(1))).outcome is Outcome.REPEATED
        assert (await appender.append_decision(example_decision(3))).seq == 5
    await appender.close()
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(f"SELECT * FROM {VERSION_TABLE}").fetchall()  # noqa: S608
    assert found == [(newest(),)]
    check(sqlite_url(path))
