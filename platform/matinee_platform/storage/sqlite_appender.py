"""The event log in a SQLite file: one process, one writer thread, durable at each commit."""

import asyncio
import fcntl
import json
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
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
from matinee_platform.storage.event_rows import (
    decision_from_row,
    decision_row,
    reward_from_row,
    reward_row,
)
from matinee_platform.storage.event_tables import DECISION_COLUMNS, REWARD_COLUMNS
from matinee_platform.storage.int64 import to_signed, to_unsigned
from matinee_platform.storage.ports import Windows
from matinee_platform.storage.records import DecisionRecord
from matinee_platform.storage.reward_states import Mark, Shown

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

_CHECKPOINT_PAGES = 4_000
_CACHE_KIB = 32_768


def _columns(table: str, names: Sequence[str]) -> tuple[str, str]:
    """`SELECT ... FROM` and `INSERT` of a whole row; the names are ours, the values are bound."""
    listed = ", ".join(names)
    marks = ", ".join("?" * len(names))
    return f"SELECT {listed} FROM {table} ", f"INSERT INTO {table} ({listed}) VALUES ({marks})"  # noqa: S608


_SELECT_DECISION, _INSERT_DECISION = _columns("decisions", DECISION_COLUMNS)
_SELECT_REWARD, _INSERT_REWARD = _columns("rewards", REWARD_COLUMNS)
_SELECT_DECISIONS = f"{_SELECT_DECISION} WHERE decision_id IN (SELECT value FROM json_each(?))"


class SqliteStore:
    """A `LogStore` over a SQLite file; this process is the only one that appends to it.

    Args:
        path: the file; made if it is not there, with a lock file beside it.
        windows: of rewards, by the key of an experiment.
        rewards_per_decision: most rewards of one decision.
        busy_ms: patience with another process that holds the file, e.g. to delete old rows.
    """

    def __init__(
        self,
        path: Path,
        *,
        windows: Windows,
        rewards_per_decision: int = REWARDS_PER_DECISION,
        busy_ms: int = 500,
    ) -> None:
        self._path = path
        self._windows = windows
        self._cap = rewards_per_decision
        self._busy_ms = busy_ms
        self._lock: BinaryIO | None = None
        self._connection: sqlite3.Connection | None = None
        self._upgraded = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="matinee-log")

    async def open(self) -> None:
        """Take the lock, then connect."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _hold(self._path)
        await self.probe()

    async def write(self, batch: Sequence[Record]) -> Plan:
        """Store a batch in one transaction."""
        return await self._in_thread(lambda: self._transaction(lambda it: self._write(it, batch)))

    async def intern(self, ids: Sequence[str]) -> list[int]:
        """Rows of items, made where new."""
        return await self._in_thread(lambda: self._transaction(lambda it: _intern(it, ids)))

    async def probe(self) -> None:
        """Write the last place again."""
        await self._in_thread(lambda: self._transaction(_touch))

    async def close(self) -> None:
        """Close the file, then let the lock go."""
        await self._in_thread(self._disconnect)
        self._thread.shutdown()
        if self._lock is not None:
            self._lock.close()

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

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
                upgrade(sqlite_url(self._path))
                self._upgraded = True
            # A file that went away is not made anew: its rows were acknowledged.
            self._connection = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode=rw",
                uri=True,
                timeout=self._busy_ms / 1_000,
                isolation_level=None,
                check_same_thread=False,
            )
            for pragma in (
                "journal_mode = WAL",
                "synchronous = FULL",
                f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
                f"cache_size = -{_CACHE_KIB}",
            ):
                self._connection.execute(f"PRAGMA {pragma}")
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _write(self, connection: sqlite3.Connection, batch: Sequence[Record]) -> Plan:
        plan = plan_append(
            batch,
            _known(connection, batch),
            windows=self._windows,
            rewards_per_decision=self._cap,
        )
        if plan.decisions:
            connection.executemany(_INSERT_DECISION, map(decision_row, plan.decisions))
        if plan.rewards:
            connection.executemany(_INSERT_REWARD, map(reward_row, plan.rewards))
        if plan.decisions or plan.rewards:
            connection.execute("UPDATE seq SET last = ?", (plan.last_seq,))
        return plan


def _known(connection: sqlite3.Connection, batch: Sequence[Record]) -> Known:
    (last,) = connection.execute("SELECT last FROM seq").fetchone()
    known = Known(last)
    decided, named = [], set()
    for record in batch:
        if isinstance(record, DecisionRecord):
            decided.append(to_signed(record.decision_id))
            continue
        named.add(record.decision_id)
        there = connection.execute(
            _SELECT_REWARD + "WHERE reward_key = ?", (record.reward_key,)
        ).fetchone()
        if there is not None:
            known.rewards[record.reward_key] = reward_from_row(there)
    for row in connection.execute(_SELECT_DECISIONS, (json.dumps(decided),)):
        there = decision_from_row(row)
        known.decisions[there.record.decision_id] = there
    if named:
        ids = json.dumps([to_signed(one) for one in named])
        _look_up_named(connection, ids, known)
    return known


def _look_up_named(connection: sqlite3.Connection, ids: str, known: Known) -> None:
    """Decisions that rewards name, and the rewards that these have already."""
    for decision_id, experiment, *shown in connection.execute(
        "SELECT decision_id, experiment, seq, decided_at, slate FROM decisions "
        "WHERE decision_id IN (SELECT value FROM json_each(?))",
        (ids,),
    ):
        known.shown[to_unsigned(decision_id)] = (experiment, Shown(*shown))
    for decision_id, *mark in connection.execute(
        "SELECT decision_id, seq, component, slot, received_at FROM rewards "
        "WHERE decision_id IN (SELECT value FROM json_each(?))",
        (ids,),
    ):
        known.marks.setdefault(to_unsigned(decision_id), []).append(Mark(*mark))


def _intern(connection: sqlite3.Connection, ids: Sequence[str]) -> list[int]:
    (free,) = connection.execute("SELECT coalesce(max(item_row) + 1, 0) FROM items").fetchone()
    rows = []
    for one in ids:
        there = connection.execute(
            "SELECT item_row FROM items WHERE item_id = ?", (one,)
        ).fetchone()
        if there is None:
            there = (free,)
            connection.execute("INSERT INTO items (item_row, item_id) VALUES (?, ?)", (free, one))
            free += 1
        rows.append(there[0])
    return rows


def _touch(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE seq SET last = last")


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
