"""Tell one process of the rows of all of them, in log order, each once.

Rows that this process committed right after what it told of last are told at once; others are read
from the log, a tenth of a second later at most. A look at the log costs milliseconds however few
its rows are: where several processes commit in turns, no commit may have a look of its own. What
this process committed is never read again: it waits until the rows before it were told.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from operator import attrgetter
from traceback import format_exc
from typing import Protocol, TypeVar

import structlog

from matinee_platform.storage.append_plan import Plan
from matinee_platform.storage.errors import LogUnavailableError
from matinee_platform.storage.ports import Published, Skipped
from matinee_platform.storage.records import LoggedDecision, LoggedReward

_LOG = structlog.get_logger(__name__)
_CHUNK = 5_000
_T = TypeVar("_T")
_seq = attrgetter("seq")

MOST_OWN = 1_000
"""Own commits that wait for rows of others; further ones are read from the log."""


class TailReader(Protocol):
    """What a tail asks; see `PostgresReader`."""

    def last_seq(self) -> int:
        """See `ports.EventReader`."""

    def between(
        self, *, after: int, upto: int, without: Sequence[int]
    ) -> tuple[list[LoggedDecision], list[LoggedReward]]:
        """See `PostgresReader`."""

    def close(self) -> None:
        """See `ports.EventReader`."""


class PostgresTail:
    """Follows a log.

    Args:
        reader: of the log, for this tail alone.
        published: told of rows, on the event loop.
        skipped: told when the place is known from which on it is told of rows.
        poll_seconds: time between two looks.
    """

    def __init__(
        self,
        reader: TailReader,
        *,
        published: Published,
        skipped: Skipped | None = None,
        poll_seconds: float = 0.1,
    ) -> None:
        self._reader = reader
        self._published, self._skipped = published, skipped
        self._poll_seconds = poll_seconds
        self._told: int | None = None
        self._own: deque[Plan] = deque()
        self._reading = False
        self._newest_own = 0
        self._closed = False
        self._waiting: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="matinee-tail")

    async def start(self) -> None:
        """Follow the log from its present end, or from the one that it has when it is back."""
        await self._look()
        self._task = asyncio.create_task(self._follow())

    def committed(self, plan: Plan) -> None:
        """This process committed some rows."""
        before = plan.before
        if before == plan.last_seq:
            return
        self._newest_own = max(self._newest_own, plan.last_seq)
        if self._told is None:
            self._begin(before)
        if self._told == before and not self._reading:
            self._publish(plan)
        elif len(self._own) < MOST_OWN:
            self._own.append(plan)

    async def settled(self) -> None:
        """Return once every row that this process committed before was told."""
        upto = self._newest_own
        while not self._closed and self._told is not None and self._told < upto:
            told = asyncio.get_running_loop().create_future()
            self._waiting.append(told)
            await told

    async def close(self) -> None:
        """Stop following."""
        self._closed = True
        self._let_go()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        # After a look that was cancelled: its thread would open the connection again.
        await self._in_thread(self._reader.close)
        self._thread.shutdown()

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        """The result of a call of the reader; one comes after another, whoever still waits."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._poll_seconds)
            await self._look()

    async def _look(self) -> None:
        """Tell of what the log has beyond what was told."""
        self._reading = True
        try:
            last = await self._in_thread(self._reader.last_seq)
            told = self._begin(last) if self._told is None else self._told
            while told < last:
                upto = min(last, told + _CHUNK)
                await self._tell(told, upto)
                told = self._told = upto
                self._let_go()
            self._drop_told()
            while self._own and self._own[0].before == self._told:
                self._publish(self._own.popleft())
        except LogUnavailableError as error:
            _LOG.debug("tail_away", error=str(error))
        except Exception:
            _LOG.error("tail_failed", traceback=format_exc())
        finally:
            self._reading = False

    def _begin(self, place: int) -> int:
        """Follow from a place on; units may have been read from the log before it was known."""
        self._told = place
        if self._skipped is not None:
            self._skipped()
        return place

    def _drop_told(self) -> None:
        """Forget own rows that were read: a look may come between a commit and `committed`."""
        while self._own and self._own[0].before < (self._told or 0):
            self._own.popleft()

    def _publish(self, plan: Plan) -> None:
        self._published(plan.decisions, plan.rewards)
        self._told = plan.last_seq
        self._let_go()

    def _let_go(self) -> None:
        """Let those look again who wait for more to be told."""
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(None)

    async def _tell(self, after: int, upto: int) -> None:
        """Tell of the rows between two places: own ones, and the others as the log has them."""
        self._drop_told()
        decisions: list[LoggedDecision] = []
        rewards: list[LoggedReward] = []
        while self._own and self._own[0].last_seq <= upto:
            plan = self._own.popleft()
            decisions += plan.decisions
            rewards += plan.rewards
        own = [one.seq for one in decisions] + [one.seq for one in rewards]
        if len(own) < upto - after:
            others = await self._in_thread(
                partial(self._reader.between, after=after, upto=upto, without=own)
            )
            decisions = sorted(decisions + others[0], key=_seq)
            rewards = sorted(rewards + others[1], key=_seq)
        if decisions or rewards:
            self._published(decisions, rewards)
