"""Work that goes on beside the requests, on their event loop, from a start to a stop."""

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress


class BackgroundTask(ABC):
    """A coroutine that runs until it is told to stop."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End, wherever it is; nothing happens if it never began."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    @abstractmethod
    async def _run(self) -> None:
        """Go on for ever; whatever fails once is tried again."""
