"""The event log in a SQLite file."""

import asyncio
import functools
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from matinee_platform.storage import sqlite_appender as appender_module
from matinee_platform.storage.errors import LogUnavailableError
from matinee_platform.storage.event_log import sqlite_appender
from matinee_platform.storage.ports import EventAppender, EventReader
from matinee_platform.storage.records import Outcome
from matinee_platform.storage.spool import Spool
from matinee_platform.storage.sqlite_appender import SqliteStore
from matinee_platform.storage.sqlite_checkpoints import Checkpoints, EarlyFlush
from matinee_platform.storage.sqlite_reader import SqliteReader
from matinee_platform.storage.sqlite_statements import known_of
from matinee_platform.storage.testing_event_log import EventLogContract
from matinee_platform.storage.testing_events import (
    Told,
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


async def store_of(path: Path, *, journal_rows: int) -> SqliteStore:
    """A store with 1,200 decisions in batches of ten."""
    store = SqliteStore(path, windows=windows, journal_rows=journal_rows)
    await store.open()
    for at in range(0, 1_200, 10):
        await store.write([example_decision(at + n) for n in range(10)])
        moving = store._checkpoints._moving
        if moving is not None:
            await asyncio.wrap_future(moving)
    return store


@asynchronous
async def test_the_journal_is_moved_beside_the_commits(tmp_path: Path) -> None:
    other = await store_of(tmp_path / "other.sqlite", journal_rows=10_000)
    path = tmp_path / "events.sqlite"
    store = await store_of(path, journal_rows=20)
    whole = (tmp_path / "other.sqlite-wal").stat().st_size
    assert (tmp_path / "events.sqlite-wal").stat().st_size < whole / 10, "it starts again"
    await other.close()
    # The rows are in the file alone, without the journal.
    await store._in_thread(store._move_journal)
    alone = tmp_path / "alone.sqlite"
    alone.write_bytes(path.read_bytes())
    with closing(SqliteReader(alone)) as reader:
        assert len(reader.decisions(upto=9_999)) >= 1_180
    await store.close()
    with closing(SqliteReader(path)) as reader:
        assert [one.seq for one in reader.decisions(upto=9_999)] == list(range(1, 1_201))


def test_commits_while_the_journal_is_moved_do_not_make_it_grow(tmp_path: Path) -> None:
    path = tmp_path / "one.sqlite"
    writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("PRAGMA wal_autocheckpoint = 0")
    writer.execute("CREATE TABLE one (value BLOB)")

    class Overtaken(sqlite3.Connection):
        """Cannot move what is added while it works, as if that came while it wrote pages."""

        def execute(self, *asked: Any) -> sqlite3.Cursor:
            with closing(sqlite3.connect(path, isolation_level=None)) as before:
                before.execute("BEGIN")
                before.execute("SELECT count(*) FROM one").fetchone()
                writer.execute("INSERT INTO one VALUES (zeroblob(9000))")
                return super().execute(*asked)

    checkpoints = Checkpoints(lambda: sqlite3.connect(path, factory=Overtaken), rows=1)
    for _ in range(50):
        writer.execute("INSERT INTO one VALUES (zeroblob(9000))")
        checkpoints.committed(1)
        moving = checkpoints._moving
        assert moving is not None
        moving.result()
        assert checkpoints.most_is_moved
        checkpoints.finish(writer)
    assert (tmp_path / "one.sqlite-wal").stat().st_size < 100_000
    checkpoints.close()
    writer.close()


@asynchronous
async def test_what_was_moved_is_flushed_before_the_writer_moves_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite alone flushes nothing while commits go on, and all of it in the writer's thread."""
    path = tmp_path / "events.sqlite"
    flushed: list[tuple[int, str]] = []
    flush = os.fsync

    def fsync(descriptor: int) -> None:
        flushed.append((os.fstat(descriptor).st_ino, threading.current_thread().name))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    store = await store_of(path, journal_rows=20)
    await store.close()
    moved = [name for inode, name in flushed if inode == path.stat().st_ino]
    assert len(moved) >= 20
    links = [one.resolve() for one in Path("/dev/fd").iterdir()]
    assert path.resolve() not in links, "nothing stays open"
    assert all(name.startswith("matinee-checkpoint") for name in moved)


def held_by(flush: EarlyFlush) -> int | None:
    return flush._descriptor


def test_flushing_a_file_leaves_the_locks_of_its_connections(tmp_path: Path) -> None:
    path = tmp_path / "one.sqlite"
    flush = EarlyFlush()
    flush.of(path)
    assert held_by(flush) is None, "there is no file yet"
    # SQLite's shared lock lies on these bytes; only another process is stopped by it.
    take = (
        "import fcntl, sys; file = open(sys.argv[1], 'r+b'); "
        "fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)"
    )

    def others_can_lock() -> bool:
        done = subprocess.run([sys.executable, "-c", take, str(path)], stderr=subprocess.DEVNULL)
        return done.returncode == 0

    path.touch()
    assert others_can_lock()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE one (value BLOB)")
        assert not others_can_lock()
        flush.of(path)
        flush.of(path)
        kept = held_by(flush)
        assert kept is not None
        flush.close()
        assert not others_can_lock(), "a connection is open, so the descriptor is too"
        os.fstat(kept)
    os.close(kept)
    path.touch()
    flush.of(path)
    own = held_by(flush)
    assert own is not None
    flush.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(own)


def test_a_file_that_was_replaced_is_flushed_anew(tmp_path: Path) -> None:
    path, other = tmp_path / "one.sqlite", tmp_path / "other.sqlite"
    path.touch()
    other.touch()
    flush = EarlyFlush()
    flush.of(path)
    other.replace(path)
    flush.of(path)
    own = held_by(flush)
    assert own is not None
    assert os.path.samestat(os.fstat(own), path.stat())
    flush.close()


@asynchronous
async def test_a_journal_that_cannot_be_moved_stops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    store = SqliteStore(path, windows=windows, journal_rows=1)
    await store.open()

    def refused() -> sqlite3.Connection:
        raise sqlite3.OperationalError("disk I/O error")

    store._checkpoints._connect = refused
    for number in range(5):
        plan = await store.write([example_decision(number)])
        assert plan.last_seq == number + 1
    await store.close()


class Unsure(sqlite3.Connection):
    """Tells of an error when a commit is done, once."""

    fails = False

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        cursor = super().execute(statement, *values)
        if statement == "COMMIT" and Unsure.fails:
            Unsure.fails = False
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        return cursor


@pytest.mark.parametrize("spooled", [True, False])
@asynchronous
async def test_rows_of_a_commit_that_failed_are_known_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spooled: bool
) -> None:
    """They are in the log, and nobody was told of them: memory must be read anew."""
    monkeypatch.setattr(sqlite3, "connect", functools.partial(sqlite3.connect, factory=Unsure))
    told, skipped = Told(), list[int]()
    log = await sqlite_appender(
        tmp_path / "events.sqlite",
        windows=windows,
        published=told,
        skipped=lambda: skipped.append(told.places[-1] if told.places else 0),
        spool=Spool(tmp_path / "spool") if spooled else None,
    )
    await log.append_decision(example_decision(1))
    assert (skipped, told.places) == ([0], [1])
    Unsure.fails = True
    if spooled:
        await log.append_decision(example_decision(2))
    else:
        with pytest.raises(LogUnavailableError):
            await log.append_decision(example_decision(2))
    while log.state != "ok":
        await asyncio.sleep(0.01)
    assert (await log.append_decision(example_decision(3))).seq == 3
    assert (skipped, told.places) == ([0, 1], [1, 3])
    await log.close()
