"""Removing rows of the event log for good, a few at a time.

A running service goes on writing meanwhile: each step is a short transaction, and between two steps
the appender has its turn. On SQLite only the process that appends may call this, or whoever holds
`events.lock` in its place; on PostgreSQL any process may.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, delete, select
from sqlalchemy.exc import DBAPIError

from matinee_platform.storage.control_database import BUSY_SECONDS, open_engine
from matinee_platform.storage.errors import LogUnavailableError
from matinee_platform.storage.event_log import SQLITE_FILE
from matinee_platform.storage.event_tables import EVENT_METADATA
from matinee_platform.storage.int64 import to_signed

_STEP_ROWS = 200
_STEP_SECONDS = 0.02
"""A step that takes longer is followed by a smaller one: on SQLite decisions wait meanwhile."""
_LEAST_STEP_ROWS = 25
"""A commit alone takes longer than a step should where the disk is slow: smaller steps would not
be shorter, and a removal of a million rows would never end."""
_PAUSE_SECONDS = 0.01

_SETTLE_WAIT_MS = 20
"""How long the appender may be held up by a reader that the emptying of a file waits for."""

_DECISIONS = EVENT_METADATA.tables["decisions"]
_REWARDS = EVENT_METADATA.tables["rewards"]
_SEQ = EVENT_METADATA.tables["seq"]

_OLDER_READERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
  AND age(backend_xmin) > age(CAST(%(since)s AS xid))
"""
"""Transactions that see the log as it was before a place: a vacuum leaves them what they see."""


@dataclass(frozen=True, slots=True)
class Removed:
    """Rows that were removed.

    Attributes:
        decisions: of them.
        rewards: of them.
        settled: whether their content has left the files of the database too.

    Example:
        >>> Removed(1, 5) + Removed(2, 0)
        Removed(decisions=3, rewards=5, settled=True)
    """

    decisions: int = 0
    rewards: int = 0
    settled: bool = True

    def __add__(self, other: "Removed") -> "Removed":
        return Removed(
            self.decisions + other.decisions,
            self.rewards + other.rewards,
            self.settled and other.settled,
        )


class EventEraser(Protocol):
    """Removes rows of the event log; decisions take their rewards with them."""

    def last_seq(self) -> int:
        """Last place of the log."""

    def arms(self) -> list[tuple[str, str]]:
        """Experiment and arm of every decision in the log."""

    def has_unit(self, experiment: str, arm: str, unit: int) -> bool:
        """Whether an arm decided for a unit."""

    def has_before(self, experiment: str, arm: str, before_ms: int) -> bool:
        """Whether an arm has decisions from before a time."""

    def erase_unit(self, experiment: str, arm: str, unit: int) -> Removed:
        """Remove an arm's decisions for a unit."""

    def erase_before(self, experiment: str, arm: str, before_ms: int) -> Removed:
        """Remove an arm's decisions from before a time."""

    def erase_stray_rewards(self, before_ms: int) -> Removed:
        """Remove rewards from before a time whose decision is not in the log."""

    def mark(self) -> str:
        """What names this moment to `settle`: all removals so far came before."""

    def settle(self, *, since: str, tries: int) -> bool:
        """Have what was removed before a moment leave the files of the database; whether it has."""


class SqlEventEraser:
    """An `EventEraser` over the tables of the event log.

    Args:
        engine: of the database of events.
        pause: waits so many seconds between two steps.
    """

    def __init__(self, engine: Engine, *, pause: Callable[[float], None] = time.sleep) -> None:
        self._engine = engine
        self._pause = pause

    def last_seq(self) -> int:
        """Last place of the log."""
        with self._reading() as connection:
            return int(connection.execute(select(_SEQ.c.last)).scalar_one())

    def arms(self) -> list[tuple[str, str]]:
        """Experiment and arm of every decision in the log."""
        query = select(_DECISIONS.c.experiment, _DECISIONS.c.arm).distinct()
        with self._reading() as connection:
            return sorted((experiment, arm) for experiment, arm in connection.execute(query))

    def has_unit(self, experiment: str, arm: str, unit: int) -> bool:
        """Whether an arm decided for a unit."""
        return self._any(_of_unit(experiment, arm, unit))

    def has_before(self, experiment: str, arm: str, before_ms: int) -> bool:
        """Whether an arm has decisions from before a time."""
        return self._any(_of_before(experiment, arm, before_ms))

    def erase_unit(self, experiment: str, arm: str, unit: int) -> Removed:
        """Remove an arm's decisions for a unit."""
        return self._erase(_of_unit(experiment, arm, unit))

    def erase_before(self, experiment: str, arm: str, before_ms: int) -> Removed:
        """Remove an arm's decisions from before a time."""
        return self._erase(_of_before(experiment, arm, before_ms))

    def erase_stray_rewards(self, before_ms: int) -> Removed:
        """Remove rewards from before a time whose decision is not in the log.

        Places rise with time but for the order within a moment, so that the walk ends soon after
        the time is reached.
        """
        removed, after = 0, 0
        while True:
            known = select(_DECISIONS.c.seq).where(
                _DECISIONS.c.decision_id == _REWARDS.c.decision_id
            )
            query = (
                select(_REWARDS.c.seq, _REWARDS.c.received_at, ~known.exists())
                .where(_REWARDS.c.seq > after)
                .order_by(_REWARDS.c.seq)
                .limit(_STEP_ROWS)
            )
            with self._transaction() as connection:
                rows = connection.execute(query).all()
                stray = [seq for seq, at, alone in rows if alone and at < before_ms]
                if stray:
                    connection.execute(delete(_REWARDS).where(_REWARDS.c.seq.in_(stray)))
            removed += len(stray)
            if len(rows) < _STEP_ROWS or all(at >= before_ms for _, at, _ in rows):
                return Removed(0, removed)
            after = rows[-1][0]
            if stray:
                self._pause(_PAUSE_SECONDS)

    def mark(self) -> str:
        """What names this moment to `settle`: all removals so far came before."""
        if self._engine.dialect.name == "sqlite":
            return "now"
        with _unavailable(), self._engine.begin() as connection:
            query = "SELECT CAST(CAST(pg_current_xact_id() AS xid) AS text)"
            return str(connection.exec_driver_sql(query).scalar_one())

    def settle(self, *, since: str, tries: int) -> bool:
        """Have what was removed before a moment leave the files of the database.

        SQLite overwrote it (`secure_delete`), and the write-ahead log is emptied if no reader
        stands in the way; PostgreSQL reclaims what no transaction sees any more.

        Args:
            since: of `mark`.
            tries: at most, on SQLite.

        Returns:
            Whether nothing is left; else a reader stands in the way.
        """
        with _unavailable(), self._engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                return self._empty_write_ahead_log(connection.connection, tries)
            plain = connection.execution_options(isolation_level="AUTOCOMMIT")
            older = plain.exec_driver_sql(_OLDER_READERS, {"since": since}).scalar_one()
            plain.exec_driver_sql("VACUUM decisions, rewards")
            return int(older) == 0

    def _empty_write_ahead_log(self, connection: Any, tries: int) -> bool:
        """No writer gets in while SQLite waits for readers: short waits, the work before."""
        connection.execute(f"PRAGMA busy_timeout = {_SETTLE_WAIT_MS}")
        try:
            for attempt in range(tries):
                if attempt:
                    self._pause(5 * _SETTLE_WAIT_MS / 1_000)
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
                ((busy, *_),) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                if not busy:
                    return True
        finally:
            connection.execute(f"PRAGMA busy_timeout = {round(1_000 * BUSY_SECONDS)}")
        return False

    def _any(self, which: Sequence[Any]) -> bool:
        query = select(_DECISIONS.c.seq).where(*which).limit(1)
        with self._reading() as connection:
            return connection.execute(query).first() is not None

    def _erase(self, which: Sequence[Any]) -> Removed:
        query = select(_DECISIONS.c.seq, _DECISIONS.c.decision_id).where(*which)
        removed, step = Removed(), _STEP_ROWS
        while True:
            with self._transaction() as connection:
                begun = time.perf_counter()
                rows = connection.execute(query.limit(step)).all()
                if not rows:
                    return removed
                places, ids = [row[0] for row in rows], [row[1] for row in rows]
                rewards = connection.execute(
                    delete(_REWARDS).where(_REWARDS.c.decision_id.in_(ids))
                )
                connection.execute(delete(_DECISIONS).where(_DECISIONS.c.seq.in_(places)))
                removed += Removed(len(rows), rewards.rowcount)
            held = time.perf_counter() - begun
            step = next_step(step, held)
            # Whoever waits looks again after some milliseconds, and must find a turn.
            self._pause(max(_PAUSE_SECONDS, 2.0 * held))

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """Holds no writer up: a walk over a long log takes longer than the appender waits."""
        with _unavailable(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        engine = self._engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")
        with _unavailable(), engine.begin() as connection:
            yield connection


def next_step(rows: int, seconds: float) -> int:
    """Rows of the next step, after one of so many rows took so long.

    Example:
        >>> next_step(200, 0.08), next_step(25, 0.001), next_step(200, 0.001)
        (50, 50, 200)
        >>> next_step(200, 10.0)
        25
    """
    wanted = rows * _STEP_SECONDS / max(seconds, 1e-9)
    return max(_LEAST_STEP_ROWS, min(round(wanted), 2 * rows, _STEP_ROWS))


def open_events(data_dir: Path, database: str) -> Engine:
    """The database of events, opened for removal; its tables must be there.

    Args:
        data_dir: `ServiceSettings.data_dir`.
        database: `ServiceSettings.database`.

    Raises:
        LogUnavailableError: there is no such file.
    """
    if database != "sqlite":
        from matinee_platform.storage.control_database import control_url

        return open_engine(control_url(data_dir, database))
    path = data_dir / SQLITE_FILE
    if not path.is_file():
        raise LogUnavailableError(f"{path} cannot be read: there is none")
    return open_engine(f"sqlite:///{path.absolute()}", secure_delete=True)


def _of_unit(experiment: str, arm: str, unit: int) -> list[Any]:
    return [
        _DECISIONS.c.experiment == experiment,
        _DECISIONS.c.arm == arm,
        _DECISIONS.c.unit == to_signed(unit),
    ]


def _of_before(experiment: str, arm: str, before_ms: int) -> list[Any]:
    return [
        _DECISIONS.c.experiment == experiment,
        _DECISIONS.c.arm == arm,
        _DECISIONS.c.decided_at < before_ms,
    ]


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise LogUnavailableError(f"the database of events is away: {error.orig}") from None
