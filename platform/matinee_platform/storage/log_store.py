"""The port between group commit and a database: one batch, one transaction."""

from collections.abc import Sequence
from typing import Protocol

from matinee_platform.storage.append_plan import Plan, Record


class LogStore(Protocol):
    """Writes batches to a database; used by one coroutine at a time."""

    async def open(self) -> None:
        """Connect, and bring the schema up to date.

        Raises:
            LogUnavailableError: the database is away; later calls try again.
            LogHeldError: another process writes this log.
        """

    async def write(self, batch: Sequence[Record]) -> Plan:
        """Store a batch in one transaction; durable when it returns.

        Raises:
            LogUnavailableError: the database is away or full. Nothing was stored, or, if the
                connection broke during the commit, everything or nothing.
        """

    async def intern(self, ids: Sequence[str]) -> list[int]:
        """Rows of items, made in one transaction where new.

        Raises:
            LogUnavailableError: the database is away or full.
        """

    async def probe(self) -> None:
        """Write something that changes nothing.

        Raises:
            LogUnavailableError: the database is away or full.
        """

    async def close(self) -> None:
        """Let go of files and connections."""
