"""The analyses of a running service: asked for, held for a while, and renewed for its metrics.

None is made on the event loop, and at most one at a time.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from structlog.typing import FilteringBoundLogger

from matinee_platform.clock import Clock
from matinee_platform.service.background_task import BackgroundTask
from matinee_platform.service.in_thread import in_thread
from matinee_policies.errors import MatineeError

HOLD_SECONDS = 10.0
"""How long an analysis, or why there is none, is given to whoever asks for it again; at least as
long as it took to make, so that a log that is asked for all the time is read half of it at most."""

PATIENCE_SECONDS = 3.0
"""How long a caller is kept waiting for an analysis."""

RETRY_AFTER_SECONDS = 5
"""After which one that was not ready is asked for again."""

_REST = 20.0
"""A pass over all experiments is followed by a pause of at least so many times its length."""


class AnalysisError(MatineeError):
    """There is no analysis; the message says why."""


class AnalysisPendingError(AnalysisError):
    """The analysis is being made."""


Analyse = Callable[[str, int], Mapping[str, Any]]
"""Makes the analysis of an experiment, by its key, up to a time; may take long."""


class LiveAnalyses:
    """Analyses by experiment.

    Args:
        analyse: makes one; called in a thread.
        close: ends what `analyse` does.
        clock: tells up to when.
        hold_seconds: how long one is held, or longer if it took longer.
        patience_seconds: how long `soon` waits.
    """

    def __init__(
        self,
        analyse: Analyse,
        *,
        close: Callable[[], None] = lambda: None,
        clock: Clock,
        hold_seconds: float = HOLD_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._analyse, self._close, self._clock = analyse, close, clock
        self._hold, self._patience = hold_seconds, patience_seconds
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="analysis")
        self._asked: dict[str, asyncio.Task[_Found]] = {}
        self._held: dict[str, tuple[float, _Found]] = {}
        self._shown: dict[str, Mapping[str, Any]] = {}

    @property
    def shown(self) -> Mapping[str, Mapping[str, Any]]:
        """The newest analysis of each experiment that runs, for metrics."""
        return dict(self._shown)

    async def analysis(self, key: str) -> Mapping[str, Any]:
        """The analysis of an experiment, some seconds old at most beyond what it took.

        Raises:
            AnalysisError: with the reason why there is none.
        """
        found = self._found(key)
        # Whoever asked first may go away; the others still wait.
        return _told(await asyncio.shield(found) if isinstance(found, asyncio.Task) else found)

    async def soon(self, key: str) -> Mapping[str, Any]:
        """As `analysis`, for callers who do not wait for long; it goes on being made.

        Raises:
            AnalysisPendingError: it was not ready in time.
            AnalysisError: with the reason why there is none.
        """
        found = self._found(key)
        if not isinstance(found, asyncio.Task):
            return _told(found)
        done, _ = await asyncio.wait([found], timeout=self._patience)
        if not done:
            raise AnalysisPendingError("the analysis is being made: ask again")
        return _told(found.result())

    async def renew(self, keys: Sequence[str]) -> None:
        """Make the analyses that metrics show anew; those of other experiments are let go."""
        # One that begins meanwhile, and is asked for, is shown already.
        gone = self._shown.keys() - set(keys)
        for key in keys:
            try:
                self._shown[key] = await self.analysis(key)
            except AnalysisError:
                self._shown.pop(key, None)
        for key in gone:
            self._shown.pop(key, None)

    async def close(self) -> None:
        """End what runs."""
        self._close()
        for task in [*self._asked.values()]:
            task.cancel()
            with suppress(asyncio.CancelledError, AnalysisError):
                await task
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)

    def _found(self, key: str) -> "_Found | asyncio.Task[_Found]":
        """What is held, else who makes it."""
        held = self._held.get(key)
        if held is not None and time.monotonic() < held[0]:
            return held[1]
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.create_task(self._make(key))
            task.add_done_callback(lambda _: self._asked.pop(key, None))
        return task

    async def _make(self, key: str) -> "_Found":
        found: _Found
        start = time.monotonic()
        loop = asyncio.get_running_loop()
        try:
            made = await loop.run_in_executor(self._pool, self._analyse, key, self._clock.now_ms())
            found = made
            if made["running"]:
                # Whoever asked for it: the next pass may be a long rest away.
                self._shown[key] = made
        except Exception as error:  # held too: the next caller would have it made in vain
            found = error
        now = time.monotonic()
        self._held[key] = (now + max(self._hold, now - start), found)
        return found


_Found = Mapping[str, Any] | Exception
"""An analysis, or why there is none."""


def _told(found: _Found) -> Mapping[str, Any]:
    if isinstance(found, AnalysisError):
        raise AnalysisError(str(found))
    if isinstance(found, Exception):
        raise found
    return found


class AnalysisRenewal(BackgroundTask):
    """Renews the analyses of running experiments again and again.

    Args:
        analyses: to renew.
        keys: experiments that run; called in a thread.
        every_seconds: between passes, at least; longer where a pass takes long.
        log: takes lines.
    """

    def __init__(
        self,
        analyses: LiveAnalyses,
        *,
        keys: Callable[[], Sequence[str]],
        every_seconds: float,
        log: FilteringBoundLogger,
    ) -> None:
        super().__init__()
        self._analyses, self._keys, self._log = analyses, keys, log
        self._every = every_seconds

    async def _run(self) -> None:
        pause = self._every
        while True:
            await asyncio.sleep(pause)
            start = time.monotonic()
            try:
                await self._analyses.renew(await in_thread(self._keys))
            except Exception as error:  # whatever it is, the next pass may do better
                self._log.warning("analysis_failed", error=type(error).__name__)
            pause = max(self._every, _REST * (time.monotonic() - start))
