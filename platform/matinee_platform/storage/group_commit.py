"""Appends of many callers in few transactions, through any store, with a spool behind it.

No timer: while one commit runs, the next batch gathers. In the three modes:

- `ok`: batches go to the store;
- `spooling`: the store failed and there is a spool; batches go there, and a second task moves the
  spool into the store, in order, as soon as it answers. The last rows are moved while no batch
  runs, so that order and idempotency hold over the change back. What the log has is not spooled
  again: of what this process stored lately, repeats and conflicts are known (`recent_rows.py`);
- `away`: the store failed and there is no spool; appends fail at once, and a second task asks the
  store until it answers.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from traceback import format_exc
from typing import Any, Literal, Self, TypeVar, cast

import structlog

from matinee_platform.storage.append_counts import AppendCounts
from matinee_platform.storage.append_plan import Plan, Receipt, Record
from matinee_platform.storage.errors import (
    LogBusyError,
    LogUnavailableError,
    SpoolFullError,
)
from matinee_platform.storage.log_store import LogStore
from matinee_platform.storage.recent_rows import RecentRows
from matinee_platform.storage.records import (
    DecisionReceipt,
    DecisionRecord,
    Outcome,
    RewardReceipt,
    RewardRecord,
)
from matinee_platform.storage.spool import Spool
from matinee_platform.storage.spool_drain import DRAIN_ROWS, ForgottenAt, SpoolDrain

_LOG = structlog.get_logger(__name__)

QUEUE_ROWS = 10_000
"""Rows that may wait, unless told otherwise."""
_BATCH_ROWS = 2_000
_TURNS = 10
_ITEMS_REMEMBERED = 200_000

_T = TypeVar("_T")

Hook = Callable[[], Awaitable[None]]
Committed = Callable[[Plan], None]
"""Told of each commit of this process, in order, on the event loop."""


@dataclass(slots=True)
class _Waiting:
    """One append that waits: its records, and who is told of their receipts."""

    records: Sequence[Record]
    told: asyncio.Future[list[Receipt]]


@dataclass(slots=True)
class _NewItems:
    """Items that wait for rows, and who is told of them."""

    ids: dict[str, None]
    told: asyncio.Future[dict[str, int]]


class GroupCommit:
    """An `EventAppender` over a store.

    Args:
        store: the database.
        committed: told of each commit.
        spool: holds rows while the database is away; without one, appends fail then.
        queue_rows: rows that may wait.
        retry_seconds: time between two questions whether the database is back.
        started: awaited when the store is open, before the first commit.
        closed: awaited after the last commit.
        settled: awaited by `settled`.
        recent: what is asked before the spool.
        forgotten_at: when units were forgotten; asked before rows leave the spool.

    Attributes:
        counts: what happened since the start.
    """

    def __init__(
        self,
        store: LogStore,
        *,
        committed: Committed,
        spool: Spool | None = None,
        queue_rows: int = QUEUE_ROWS,
        retry_seconds: float = 0.25,
        started: Hook | None = None,
        closed: Hook | None = None,
        settled: Hook | None = None,
        recent: RecentRows | None = None,
        forgotten_at: ForgottenAt | None = None,
    ) -> None:
        self.counts = AppendCounts()
        self._store = store
        self._spool = spool
        self._committed = committed
        self._queue_rows = queue_rows
        self._retry_seconds = retry_seconds
        self._started = started
        self._closed = closed
        self._settled = settled
        self._recent = RecentRows() if recent is None else recent
        self._mode: Literal["ok", "spooling", "away"] = "ok"
        self._spool_fails = False
        self._waiting: deque[_Waiting] = deque()
        self._queued = 0
        self._items: dict[str, int] = {}
        self._new_items: _NewItems | None = None
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self._closing = False
        self._committing: asyncio.Task[None] | None = None
        self._recovering: asyncio.Task[None] | None = None
        self._spool_thread = ThreadPoolExecutor(1, thread_name_prefix="matinee-spool")
        self.counts.drained_conflicts += 0 if spool is None else spool.conflicts
        self._drain = SpoolDrain(
            write=self._write,
            in_thread=self._in_spool_thread,
            counts=self.counts,
            forgotten_at=forgotten_at,
        )

    async def start(self) -> Self:
        """Open the store and begin to commit; a store that is away is no error.

        Raises:
            LogHeldError: another process writes this log.
        """
        try:
            await self._store.open()
        except LogUnavailableError as error:
            self._lose(error)
        if self._started is not None:
            await self._started()
        if self._spool is not None and self._spool.rows and self._mode == "ok":
            self._mode = "spooling"
            self._recovering = asyncio.create_task(self._recover())
        self._committing = asyncio.create_task(self._commit_forever())
        return self

    async def append_decision(self, record: DecisionRecord) -> DecisionReceipt:
        """Append one decision."""
        (receipt,) = await self._append([record])
        return cast("DecisionReceipt", receipt)

    async def append_rewards(self, records: Sequence[RewardRecord]) -> list[RewardReceipt]:
        """Append rewards; each has a receipt of its own."""
        return cast("list[RewardReceipt]", await self._append(records) if records else [])

    async def intern_items(self, ids: Sequence[str]) -> list[int]:
        """Rows of items, made when new; new ones need the database."""
        try:
            return [self._items[one] for one in ids]
        except KeyError:
            rows = {one: self._items.get(one) for one in ids}
        made = await self._intern([one for one, row in rows.items() if row is None])
        if len(self._items) + len(made) > _ITEMS_REMEMBERED:
            self._items = {}
        self._items.update(made)
        return [made[one] if row is None else row for one in ids for row in (rows[one],)]

    async def settled(self) -> None:
        """See `ports.EventAppender`."""
        if self._settled is not None:
            await self._settled()

    @property
    def state(self) -> str:
        """`ok`, `spooling` or `away`."""
        return "away" if self._mode == "spooling" and self._spool_fails else self._mode

    @property
    def queued(self) -> int:
        """Rows that wait for a commit."""
        return self._queued

    @property
    def spooled(self) -> int:
        """Rows that wait in the spool."""
        return 0 if self._spool is None else self._spool.rows

    def forget(self, unit: int) -> None:
        """A unit was forgotten: what is remembered of it for repeats goes."""
        self._recent.forget(unit)

    async def close(self) -> None:
        """Store what waits, then let go of everything; the spool keeps what it has."""
        if self._closing:
            return
        self._closing = True
        self._wake.set()
        if self._committing is not None:
            await self._committing
        if self._recovering is not None:
            self._recovering.cancel()
            with suppress(asyncio.CancelledError):
                await self._recovering
        if self._closed is not None:
            await self._closed()
        await self._store.close()
        if self._spool is not None:
            self._spool.close()
        self._spool_thread.shutdown()

    async def _append(self, records: Sequence[Record]) -> list[Receipt]:
        if self._closing:
            raise LogUnavailableError("the log is closed")
        if self._queued + len(records) > self._queue_rows:
            self.counts.busy += 1
            raise LogBusyError(
                f"the queue of appends is full: {self._queued} rows wait, at most "
                f"{self._queue_rows} may"
            )
        told: asyncio.Future[list[Receipt]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(records, told))
        self._queued += len(records)
        self._wake.set()
        return await told

    async def _intern(self, ids: Sequence[str]) -> dict[str, int]:
        if self._closing:
            raise LogUnavailableError("the log is closed")
        if self._new_items is None:
            self._new_items = _NewItems({}, asyncio.get_running_loop().create_future())
        waiting = self._new_items
        waiting.ids.update(dict.fromkeys(ids))
        self._wake.set()
        made = await asyncio.shield(waiting.told)
        return {one: made[one] for one in ids}

    async def _commit_forever(self) -> None:
        while not (self._closing and not self._waiting):
            await self._wake.wait()
            self._wake.clear()
            while self._waiting or self._new_items:
                async with self._turn:
                    await self._gather()
                    await self._name_items()
                    await self._commit(self._take())

    async def _gather(self) -> None:
        """Let callers that are under way add rows, as long as each turn of the loop brings some.

        A transaction costs as much as ten rows: a busy service spends a fifth less of its core so,
        an idle one waits for one turn. Turns are few, so that those who wait are not kept waiting
        by an endless stream of others.
        """
        for _ in range(_TURNS):
            before = self._queued
            await asyncio.sleep(0)
            if self._queued == before:
                return

    def _take(self) -> list[_Waiting]:
        """Appends of the next batch, in the order in which they came."""
        batch, rows = [], 0
        while self._waiting and rows < _BATCH_ROWS:
            batch.append(self._waiting.popleft())
            rows += len(batch[-1].records)
        self._queued -= rows
        return batch

    async def _name_items(self) -> None:
        waiting, self._new_items = self._new_items, None
        if waiting is None:
            return
        ids = list(waiting.ids)
        try:
            if self._mode != "ok":
                raise LogUnavailableError("new items cannot be named while the database is away")
            rows = await self._store.intern(ids)
        except Exception as error:
            if isinstance(error, LogUnavailableError) and self._mode == "ok":
                self._lose(error)
            waiting.told.set_exception(error)
            waiting.told.exception()  # nobody may be waiting any more
        else:
            waiting.told.set_result(dict(zip(ids, rows, strict=True)))

    async def _commit(self, batch: list[_Waiting]) -> None:
        if not batch:
            return
        try:
            receipts = await self._store_or_spool([one for each in batch for one in each.records])
        except (LogUnavailableError, LogBusyError) as error:
            for each in batch:
                _fail(each, error)
        except Exception as error:  # one record that the store cannot take fails no other
            if len(batch) == 1:
                _LOG.error("append_failed", traceback=format_exc())
                _fail(batch[0], error)
                return
            for each in batch:
                await self._commit([each])
        else:
            at = 0
            for each in batch:
                size = len(each.records)
                if not each.told.done():
                    each.told.set_result(receipts[at : at + size])
                at += size

    async def _store_or_spool(self, records: list[Record]) -> list[Receipt]:
        if self._mode == "ok":
            try:
                return await self._write(records)
            except LogUnavailableError as error:
                self._lose(error)
                if self._spool is None:
                    raise
        if self._spool is None:
            raise LogUnavailableError("the database is away")
        told = [self._recent.answer(record) for record in records]
        new = [record for record, known in zip(records, told, strict=True) if known is None]
        spooled = iter(await self._spool_new(self._spool, new) if new else [])
        return [next(spooled) if known is None else known for known in told]

    async def _spool_new(self, spool: Spool, records: list[Record]) -> list[Receipt]:
        """Spool what the log is not known to have."""
        try:
            receipts = await self._in_spool_thread(spool.append, records)
        except (OSError, SpoolFullError) as error:
            self._spool_fails = True
            _LOG.warning("spool_failed", error=str(error))
            raise LogUnavailableError(
                f"the database is away and the spool cannot take rows: {error}"
            ) from error
        self._spool_fails = False
        self.counts.spooled += sum(one.outcome is Outcome.STORED for one in receipts)
        return receipts

    async def _write(self, records: Sequence[Record]) -> list[Receipt]:
        plan = await self._store.write(records)
        self.counts.commits += 1
        self.counts.rows += len(plan.decisions) + len(plan.rewards)
        if self._spool is not None:
            self._recent.note(records, plan.receipts)
        try:
            self._committed(plan)
        except Exception:
            _LOG.error("published_failed", traceback=format_exc())
        return plan.receipts

    def _lose(self, error: LogUnavailableError) -> None:
        self._mode = "away" if self._spool is None else "spooling"
        self.counts.losses += 1
        _LOG.warning("log_away", mode=self._mode, error=str(error))
        self._recovering = asyncio.create_task(self._recover())

    async def _recover(self) -> None:
        """Ask until the store answers and the spool is empty, then change back."""
        while True:
            try:
                if self._spool is None or self._spool.rows == 0:
                    await self._store.probe()
                while self._spool is not None and self._spool.rows > DRAIN_ROWS:
                    await self._drain.some(self._spool)
                async with self._turn:
                    while self._spool is not None and self._spool.rows > 0:
                        await self._drain.some(self._spool)
                    self._mode = "ok"
            except LogUnavailableError:
                await asyncio.sleep(self._retry_seconds)
            except Exception:
                _LOG.error("recovery_failed", traceback=format_exc())
                await asyncio.sleep(self._retry_seconds)
            else:
                self._spool_fails = False
                _LOG.info("log_back")
                return

    async def _in_spool_thread(self, call: Callable[..., _T], *args: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._spool_thread, call, *args)


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.told.done():
        waiting.told.set_exception(error)
