"""Removed content leaves the files of the database, at once or when a reader lets it."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import event

from matinee_platform.clock import FakeClock
from matinee_platform.maintenance.removal import SqlEventEraser
from matinee_platform.maintenance.testing_place import ADA, Place, opened, some_rows
from matinee_platform.service.settle_removed import RemovedCollector
from matinee_platform.storage.audit_log import AuditLog
from matinee_platform.storage.testing_events import START_MS, example_decision

DAY_MS = 86_400_000
CANARY = b"canary-state-of-ada-0123456789abcdef"


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    database = "sqlite"
    if request.param == "postgres":
        database = request.getfixturevalue("postgres_address")
    yield from opened(tmp_path, database, FakeClock(START_MS + 100 * DAY_MS))


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Place]:
    yield from opened(tmp_path, "sqlite", FakeClock(START_MS + 100 * DAY_MS))


def append_canary(place: Place, key: str) -> None:
    decisions, rewards = some_rows(key)
    place.append(
        [replace(one, unit_state=CANARY) if one.unit == ADA else one for one in decisions], rewards
    )


def test_a_slow_disk_does_not_make_a_removal_endless(local: Place) -> None:
    rows = [example_decision(number, experiment="home", arm="new") for number in range(600)]
    local.append(rows, [])
    event.listen(local.events, "commit", lambda _: time.sleep(0.03))
    pauses: list[float] = []
    eraser = SqlEventEraser(local.events, pause=pauses.append)
    removed = eraser.erase_before("home", "new", START_MS + DAY_MS)
    assert removed.decisions == 600
    assert len(pauses) <= 600 / 25


def files_with_canary(place: Place) -> list[str]:
    folder = place.settings.data_dir
    return [path.name for path in folder.glob("events.*") if CANARY in path.read_bytes()]


def actions(place: Place) -> list[str]:
    return [one.action for one in AuditLog(place.control, clock=place.clock).entries()]


def age(place: Place, caretaker: object) -> float:
    (family,) = RemovedCollector(caretaker, clock=place.clock).collect()  # type: ignore[arg-type]
    return float(family.samples[0].value)


@contextmanager
def open_snapshot(place: Place) -> Iterator[None]:
    """A transaction that sees the log as it is now; over, for the server too, when this is left."""
    if place.settings.database == "sqlite":
        with closing(
            sqlite3.connect(place.settings.data_dir / "events.sqlite", isolation_level=None)
        ) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM decisions").fetchone()
            yield
        return
    with closing(psycopg.connect(place.settings.database)) as other:
        other.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        other.execute("SELECT count(*) FROM decisions").fetchone()
        yield
        # A server notices the end of a connection in its own time.
        other.rollback()


def test_forgotten_bytes_are_gone_from_the_files(local: Place) -> None:
    append_canary(local, "bytes")
    assert files_with_canary(local)
    assert local.caretaker().forget("ada", who="officer").settled
    assert files_with_canary(local) == []


def test_what_a_reader_keeps_in_files_goes_when_it_ends(place: Place) -> None:
    append_canary(place, f"long-{place.settings.database[:4]}")
    caretaker = place.caretaker()
    with open_snapshot(place):
        removed = caretaker.forget("ada", who="officer")
        assert removed.decisions > 0
        assert not removed.settled
        place.clock.advance(seconds=30)
        assert not caretaker.settle()
        assert actions(place)[-1] == "data.forget"
        assert age(place, caretaker) == 30.0
        if place.settings.database == "sqlite":
            assert files_with_canary(place)
    assert caretaker.settle()
    assert actions(place)[-2:] == ["data.forget", "data.settle"]
    assert age(place, caretaker) == 0.0
    if place.settings.database == "sqlite":
        assert files_with_canary(place) == []
    assert caretaker.settle(), "there is nothing left to do"
    assert actions(place)[-2:] == ["data.forget", "data.settle"]


def test_who_comes_after_a_restart_goes_on(place: Place) -> None:
    append_canary(place, f"after-{place.settings.database[:4]}")
    with open_snapshot(place):
        assert not place.caretaker().forget("ada", who="officer").settled
        after = place.caretaker()
        assert not after.settle()
        assert after.unsettled_since is not None
    assert after.settle()
    assert actions(place)[-1] == "data.settle"


def test_one_more_removal_waits_for_its_own_readers(place: Place) -> None:
    key = f"twice-{place.settings.database[:4]}"
    append_canary(place, key)
    caretaker = place.caretaker()
    with open_snapshot(place):
        assert not caretaker.forget("ada", who="officer").settled
        with open_snapshot(place):
            assert not caretaker.forget("bo", who="officer").settled
        assert not caretaker.settle()
    assert caretaker.settle()


def test_a_reader_that_stays_holds_no_writer_up(local: Place) -> None:
    """Emptying the write-ahead log waits for readers; decisions must not wait with it."""
    local.append(*some_rows("reader"))
    path = local.settings.data_dir / "events.sqlite"
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        writer.execute("UPDATE seq SET last = last + 1")
        if len(pauses) == 3:
            reader.execute("COMMIT")

    with (
        closing(sqlite3.connect(path, isolation_level=None)) as reader,
        closing(sqlite3.connect(path, isolation_level=None, timeout=0.0)) as writer,
    ):
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM decisions").fetchone()
        writer.execute("UPDATE seq SET last = last + 1")
        eraser = SqlEventEraser(local.events, pause=pause)
        assert not eraser.settle(since=eraser.mark(), tries=2)
        assert len(pauses) == 1
        assert eraser.settle(since=eraser.mark(), tries=20)
    assert len(pauses) == 3
    assert path.with_name("events.sqlite-wal").stat().st_size == 0
