"""Move rows from a spool into the database that came back, but for those of forgotten units.

A unit may be forgotten while its rows wait in the spool of another process. What was decided before
it was is dropped here, with the rewards of those decisions that wait in the same spool; the clocks
of the machines tell what was before. A reward whose decision was removed elsewhere names nobody.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from traceback import format_exc
from typing import Any, Protocol

import structlog

from matinee_platform.storage.append_counts import AppendCounts
from matinee_platform.storage.append_plan import Receipt, Record
from matinee_platform.storage.errors import LogUnavailableError
from matinee_platform.storage.records import DecisionRecord, Outcome, RewardReceipt
from matinee_platform.storage.spool import Spool, name_of

_LOG = structlog.get_logger(__name__)

DRAIN_ROWS = 1_000
"""Rows that leave a spool at a time."""

ForgottenAt = Callable[[Collection[int]], Mapping[int, int]]
"""When units were forgotten last, UTC milliseconds, by pseudonym; may ask a database."""


class InThread(Protocol):
    """Makes a call in the spool's thread."""

    def __call__(self, call: Callable[..., Any], *args: Any) -> Awaitable[Any]:
        """What the call gives."""


class SpoolDrain:
    """Moves rows; on the event loop.

    Args:
        write: stores rows in the database.
        in_thread: makes a call in the spool's thread.
        counts: what happened.
        forgotten_at: when units were forgotten; without it, none was.
    """

    def __init__(
        self,
        *,
        write: Callable[[Sequence[Record]], Awaitable[list[Receipt]]],
        in_thread: InThread,
        counts: AppendCounts,
        forgotten_at: ForgottenAt | None = None,
    ) -> None:
        self._write = write
        self._in_thread = in_thread
        self._counts = counts
        self._forgotten_at = forgotten_at
        self._dropped: set[int] = set()

    async def some(self, spool: Spool) -> None:
        """Move the next rows of a spool.

        Raises:
            LogUnavailableError: a database is away; the rows are still in the spool.
        """
        found, place = await self._in_thread(spool.peek, DRAIN_ROWS)
        records = await self._kept(found)
        receipts = await self._stored(records)
        for record, receipt in zip(records, receipts, strict=True):
            if receipt.outcome is Outcome.REPEATED:
                self._counts.drained_repeats += 1
            elif receipt.outcome is not Outcome.STORED:
                self._counts.drained_conflicts += 1
                _LOG.error("spooled_row_refused", outcome=receipt.outcome.name, row=name_of(record))
        gone = len(found) - len(records)
        if gone:
            self._counts.drained_forgotten += gone
            _LOG.warning("spooled_rows_of_forgotten_units_dropped", rows=gone)
        self._counts.drained += len(found)
        await self._in_thread(spool.taken, len(found), place)
        if spool.rows == 0:
            self._dropped.clear()

    async def _kept(self, records: list[Record]) -> list[Record]:
        """All but what was decided for a unit before it was forgotten, and rewards of that."""
        units = {one.unit for one in records if isinstance(one, DecisionRecord)}
        forgotten: Mapping[int, int] = {}
        if self._forgotten_at is not None and units:
            forgotten = await asyncio.to_thread(self._forgotten_at, units)
        if not forgotten and not self._dropped:
            return records
        self._dropped.update(
            one.decision_id
            for one in records
            if isinstance(one, DecisionRecord)
            and one.unit in forgotten
            and one.decided_at <= forgotten[one.unit]
        )
        return [one for one in records if one.decision_id not in self._dropped]

    async def _stored(self, records: list[Record]) -> list[Receipt]:
        if not records:
            return []
        try:
            return await self._write(records)
        except LogUnavailableError:
            raise
        except Exception:
            return [await self._stored_alone(record) for record in records]

    async def _stored_alone(self, record: Record) -> Receipt:
        try:
            (receipt,) = await self._write([record])
        except LogUnavailableError:
            raise
        except Exception:
            _LOG.error("spooled_row_failed", row=name_of(record), traceback=format_exc())
            return RewardReceipt(Outcome.CONFLICT, -1)
        return receipt
