"""The event log that settings name: its appender, at work, and its reader."""

from pathlib import Path
from typing import NamedTuple

from matinee_platform.service.settings import ServiceSettings
from matinee_platform.storage.append_plan import REWARDS_PER_DECISION
from matinee_platform.storage.direct_tail import DirectTail
from matinee_platform.storage.group_commit import QUEUE_ROWS, Committed, GroupCommit
from matinee_platform.storage.ports import EventReader, Published, Skipped, Windows
from matinee_platform.storage.spool import Spool
from matinee_platform.storage.spool_drain import ForgottenAt
from matinee_platform.storage.sqlite_appender import SqliteStore
from matinee_platform.storage.sqlite_reader import SqliteReader

SQLITE_FILE = "events.sqlite"
"""Name of the log within the data folder."""
SPOOL_FOLDER = "spool"
"""Name of the folder of spools within the data folder."""


class EventLog(NamedTuple):
    """The two sides of a log."""

    appender: GroupCommit
    reader: EventReader


async def make_event_log(
    settings: ServiceSettings,
    *,
    windows: Windows,
    published: Published | None = None,
    skipped: Skipped | None = None,
    forgotten_at: ForgottenAt | None = None,
) -> EventLog:
    """Open the log that settings name; call it on the event loop that appends.

    A database that is away is no error: the appender says so in `state`, and recovers by itself.

    Args:
        settings: of the service.
        windows: of rewards.
        published: told of rows.
        skipped: told where nobody is told of rows.
        forgotten_at: when units were forgotten; asked before rows leave the spool.

    Raises:
        LogHeldError: another process writes this SQLite log.
    """
    spool = None
    if settings.on_database_loss == "spool":
        spool = Spool(settings.data_dir / SPOOL_FOLDER)
    rewards = settings.limits.rewards_per_decision
    if settings.database == "sqlite":
        appender = await sqlite_appender(
            settings.data_dir / SQLITE_FILE,
            windows=windows,
            published=published,
            skipped=skipped,
            spool=spool,
            queue_rows=settings.queue_rows,
            rewards_per_decision=rewards,
            forgotten_at=forgotten_at,
        )
    else:
        appender = await postgres_appender(
            settings.database,
            windows=windows,
            published=published,
            skipped=skipped,
            spool=spool,
            queue_rows=settings.queue_rows,
            rewards_per_decision=rewards,
            forgotten_at=forgotten_at,
        )
    return EventLog(appender, event_reader(settings))


def event_reader(settings: ServiceSettings) -> EventReader:
    """A reader of the log that settings name, from any process."""
    if settings.database == "sqlite":
        return SqliteReader(settings.data_dir / SQLITE_FILE)
    from matinee_platform.storage.postgres_reader import PostgresReader

    return PostgresReader(settings.database)


async def sqlite_appender(
    path: Path,
    *,
    windows: Windows,
    published: Published | None = None,
    skipped: Skipped | None = None,
    spool: Spool | None = None,
    queue_rows: int = QUEUE_ROWS,
    rewards_per_decision: int = REWARDS_PER_DECISION,
    forgotten_at: ForgottenAt | None = None,
) -> GroupCommit:
    """The appender of a log in a SQLite file, at work.

    Raises:
        LogHeldError: another process writes this file.
    """
    store = SqliteStore(path, windows=windows, rewards_per_decision=rewards_per_decision)
    appender = GroupCommit(
        store,
        committed=_direct(published, skipped),
        spool=spool,
        queue_rows=queue_rows,
        forgotten_at=forgotten_at,
    )
    return await appender.start()


async def postgres_appender(
    address: str,
    *,
    windows: Windows,
    published: Published | None = None,
    skipped: Skipped | None = None,
    spool: Spool | None = None,
    queue_rows: int = QUEUE_ROWS,
    rewards_per_decision: int = REWARDS_PER_DECISION,
    forgotten_at: ForgottenAt | None = None,
    patience_seconds: float = 0.8,
) -> GroupCommit:
    """The appender of a log in PostgreSQL, at work; `published` hears of every process's rows."""
    from matinee_platform.storage.postgres_appender import PostgresStore
    from matinee_platform.storage.postgres_reader import PostgresReader
    from matinee_platform.storage.postgres_tail import PostgresTail

    store = PostgresStore(
        address,
        windows=windows,
        rewards_per_decision=rewards_per_decision,
        patience_seconds=patience_seconds,
    )
    if published is None:
        appender = GroupCommit(
            store,
            committed=_direct(None, None),
            spool=spool,
            queue_rows=queue_rows,
            forgotten_at=forgotten_at,
        )
        return await appender.start()
    tail = PostgresTail(PostgresReader(address), published=published, skipped=skipped)
    appender = GroupCommit(
        store,
        committed=tail.committed,
        spool=spool,
        queue_rows=queue_rows,
        forgotten_at=forgotten_at,
        started=tail.start,
        closed=tail.close,
        settled=tail.settled,
    )
    return await appender.start()


def _direct(published: Published | None, skipped: Skipped | None) -> Committed:
    if published is None:
        return lambda _: None
    return DirectTail(published=published, skipped=skipped).committed
