"""The event log in a SQLite file: one process, one writer thread, durable at each commit."""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, TypeVar

from sqlalchemy.exc import DBAPIError

from matinee_platform.storage.append_plan import (
    REWARDS_PER_DECISION,
    Known,
    Plan,
    Record,
    plan_append,
)
from matinee_platform.storage.errors import LogHeldError, LogUnavailableError
from matinee_platform.storage.event_migrations import sqlite_url, upgrade
from matinee_platform.storage.event_rows import decision_row, reward_row
from matinee_platform.storage.ports import Windows
from matinee_platform.storage.private_files import private_file, private_folder
from matinee_platform.storage.records import DecisionRecord
from matinee_platform.storage.sqlite_checkpoints import ROWS, Checkpoints
from matinee_platform.storage.sqlite_statements import (
    insert_decisions,
    insert_rewards,
    intern,
    known_of,
)

_T = TypeVar("_T")

_AWAY = frozenset({
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
})  # fmt: skip
"""Primary result codes that speak of the file, not of a row."""

_CHECKPOINT_PAGES = 100_000
"""Length at which the journal is moved within a commit, where it could not be moved before."""

_CACHE_KIB = 32_768
_PROBE_BYTES = 65_536
"""What must fit into the file, and on its disk, for the log to count as well: a small batch."""


class SqliteStore:
    """A `LogStore` over a SQLite file; this process is the only one that appends to it.

    Args:
        path: the file; made if it is not there, with a lock file beside it.
        windows: of rewards, by the key of an experiment.
        rewards_per_decision: most rewards of one decision.
        busy_ms: patience with another process that holds the file, e.g. to delete old rows.
        journal_rows: after which the journal is moved into the file.
    """

    def __init__(
        self,
        path: Path,
        *,
        windows: Windows,
        rewards_per_decision: int = REWARDS_PER_DECISION,
        busy_ms: int = 500,
        journal_rows: int = ROWS,
    ) -> None:
        self._path = path
        self._windows = windows
        self._cap = rewards_per_decision
        self._busy_ms = busy_ms
        self._lock: BinaryIO | None = None
        self._connection: sqlite3.Connection | None = None
        self._upgraded = False
        # The last place, where no transaction failed since it was seen.
        self._last: int | None = None
        self._checkpoints = Checkpoints(self._connect, rows=journal_rows)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="matinee-log")

    async def open(self) -> None:
        """Take the lock, then connect."""
        private_folder(self._path.parent)
        self._lock = _hold(self._path)
        await self.probe()

    async def write(self, batch: Sequence[Record]) -> Plan:
        """Store a batch in one transaction."""
        plan = await self._in_thread(lambda: self._written(batch))
        if self._checkpoints.most_is_moved:
            # The answer does not wait for it.
            self._thread.submit(self._move_journal)
        return plan

    async def intern(self, ids: Sequence[str]) -> list[int]:
        """Rows of items, made where new."""
        return await self._in_thread(lambda: self._transaction(lambda it: intern(it, ids)))

    async def probe(self) -> None:
        """Write a page that stays as it was, and see whether file and disk have room for more."""
        await self._in_thread(self._probe)

    async def close(self) -> None:
        """Close the file, then let the lock go."""
        await asyncio.to_thread(self._checkpoints.close)
        await self._in_thread(self._disconnect)
        self._thread.shutdown()
        self._checkpoints.let_go()
        if self._lock is not None:
            self._lock.close()

    def _probe(self) -> None:
        self._transaction(_touch)
        try:
            _find_room(self._path.parent)
        except OSError as error:
            raise LogUnavailableError(f"{self._path} has no room to grow: {error}") from error

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def _written(self, batch: Sequence[Record]) -> Plan:
        plan = self._transaction(lambda it: self._write(it, batch))
        self._last = plan.last_seq
        self._checkpoints.committed(len(plan.decisions) + len(plan.rewards))
        return plan

    def _move_journal(self) -> None:
        if self._connection is not None:
            self._checkpoints.finish(self._connection)

    def _transaction(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        try:
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except (sqlite3.Error, DBAPIError) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
            if code not in _AWAY:
                raise
            self._disconnect()
            raise LogUnavailableError(f"{self._path} cannot be written: {cause}") from error
        return result

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            if not self._upgraded:
                with suppress(OSError):  # SQLite says better what is wrong
                    private_file(self._path)
                upgrade(sqlite_url(self._path))
                self._upgraded = True
            self._connection = self._connect()
            for pragma in (
                "journal_mode = WAL",
                "synchronous = FULL",
                f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
                f"cache_size = -{_CACHE_KIB}",
            ):
                self._connection.execute(f"PRAGMA {pragma}")
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        # A file that went away is not made anew: its rows were acknowledged.
        return sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=self._busy_ms / 1_000,
            isolation_level=None,
            check_same_thread=False,
        )

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _write(self, connection: sqlite3.Connection, batch: Sequence[Record]) -> Plan:
        last, self._last = self._last, None
        plan = None if last is None else self._add(connection, batch, last)
        if plan is None:
            plan = self._add_unknown(connection, batch)
        return plan

    def _add(
        self, connection: sqlite3.Connection, batch: Sequence[Record], last: int
    ) -> Plan | None:
        """Add decisions without a look at the log; None, and nothing added, if one is there.

        Each step of a statement lets other threads run, and then waits for its turn again.
        """
        decisions = {one.decision_id: one for one in batch if isinstance(one, DecisionRecord)}
        if len(decisions) < len(batch):
            return None
        plan = plan_append(
            batch, Known(last), windows=self._windows, rewards_per_decision=self._cap
        )
        try:
            moved = connection.execute(
                "UPDATE seq SET last = ? WHERE last = ?", (plan.last_seq, last)
            ).rowcount
            if moved == 1:
                insert_decisions(connection, [decision_row(one) for one in plan.decisions])
                return plan
        except sqlite3.IntegrityError:
            connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
        return None

    def _add_unknown(self, connection: sqlite3.Connection, batch: Sequence[Record]) -> Plan:
        """Add what is new of a batch."""
        plan = plan_append(
            batch,
            known_of(connection, batch),
            windows=self._windows,
            rewards_per_decision=self._cap,
        )
        insert_decisions(connection, [decision_row(one) for one in plan.decisions])
        insert_rewards(connection, [reward_row(one) for one in plan.rewards])
        if plan.decisions or plan.rewards:
            connection.execute("UPDATE seq SET last = ?", (plan.last_seq,))
        return plan


def _touch(connection: sqlite3.Connection) -> None:
    """Take as many new pages as a small batch and give them back, then commit a page.

    A page whose row did not change is not written, so the row is changed, and changed back.
    """
    connection.execute("SAVEPOINT probe")
    connection.execute("CREATE TABLE probe (content BLOB)")
    connection.execute("INSERT INTO probe VALUES (zeroblob(?))", (_PROBE_BYTES,))
    connection.execute("ROLLBACK TO probe")
    connection.execute("RELEASE probe")
    connection.execute("UPDATE seq SET last = last + 1")
    connection.execute("UPDATE seq SET last = last - 1")


def _find_room(folder: Path) -> None:
    """Store as much as a small batch, and delete it.

    A page of the database is no proof: the journal is written from its beginning again and again,
    and what a transaction takes back never leaves memory.

    Raises:
        OSError: there is no room.
    """
    with TemporaryFile(dir=folder, prefix=".room-", buffering=0) as file:
        left = memoryview(bytes(_PROBE_BYTES))
        while left:
            left = left[file.write(left) :]
        os.fsync(file.fileno())


def _hold(path: Path) -> Any:
    """Lock a log for this process.

    Raises:
        LogHeldError: another process has it.
    """
    lock = path.with_suffix(".lock")
    file = os.fdopen(os.open(lock, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = file.read(32).decode(errors="replace").strip() or "unknown"
        file.close()
        raise LogHeldError(
            f"{path} is written by process {holder}, and SQLite takes one: for several processes "
            "set database to the address of a PostgreSQL, postgresql://USER@HOST/NAME"
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()).encode())
    return file
