"""A few threads for work that may wait for a database, so that it holds up nothing else."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from matinee_platform.service.errors import OverloadedError
from matinee_platform.storage.ports import EventReader

T = TypeVar("T")

THREADS = 4
MOST_WAITING = 64


class DatabaseThreads:
    """Runs calls in threads; more than `MOST_WAITING` at once are refused.

    Args:
        reader: makes a reader of the log.
    """

    def __init__(self, reader: Callable[[], EventReader]) -> None:
        self._make = reader
        self._idle: list[EventReader] = []
        self._waiting = 0
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="database")

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work`, called in a thread.

        Raises:
            OverloadedError: too much waits already.
        """
        if self._waiting >= MOST_WAITING:
            raise OverloadedError("too many requests wait for the database, try again")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    async def read(self, work: Callable[[EventReader], T]) -> T:
        """The result of `work`, called in a thread with a reader of its own."""

        def call() -> T:
            try:
                reader = self._idle.pop()
            except IndexError:
                reader = self._make()
            try:
                result = work(reader)
            except BaseException:
                # Its connection may be broken.
                reader.close()
                raise
            self._idle.append(reader)
            return result

        return await self.run(call)

    def close(self) -> None:
        """Wait for what runs, then let go of the readers."""
        self._pool.shutdown(wait=True)
        while self._idle:
            self._idle.pop().close()
