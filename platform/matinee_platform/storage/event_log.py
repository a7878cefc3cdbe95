"""The event log that settings name: its appender and its reader."""

from pathlib import Path

from matinee_platform.storage.append_plan import REWARDS_PER_DECISION, Plan
from matinee_platform.storage.group_commit import QUEUE_ROWS, Committed, GroupCommit
from matinee_platform.storage.ports import Published, Windows
from matinee_platform.storage.spool import Spool
from matinee_platform.storage.sqlite_appender import SqliteStore


async def sqlite_appender(
    path: Path,
    *,
    windows: Windows,
    published: Published | None = None,
    spool: Spool | None = None,
    queue_rows: int = QUEUE_ROWS,
    rewards_per_decision: int = REWARDS_PER_DECISION,
) -> GroupCommit:
    """The appender of a log in a SQLite file, at work.

    Raises:
        LogHeldError: another process writes this file.
    """
    store = SqliteStore(path, windows=windows, rewards_per_decision=rewards_per_decision)
    appender = GroupCommit(store, committed=_direct(published), spool=spool, queue_rows=queue_rows)
    return await appender.start()


def _direct(published: Published | None) -> Committed:
    def committed(plan: Plan) -> None:
        if published is not None and (plan.decisions or plan.rewards):
            published(plan.decisions, plan.rewards)

    return committed
