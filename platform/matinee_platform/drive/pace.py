"""When the next page may be asked for: by a schedule that does not wait for the service.

The schedule is made at the start and kept (an open loop): a service that falls behind is asked as
fast as it answers until it has caught up, and by how much it was behind is told.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from matinee_policies.errors import ConfigError


class Pace:
    """A schedule of days and of pages.

    Args:
        rate: pages a second; None for as fast as the service answers.
        speed: days of simulated users a second; None likewise.
        now: monotonic seconds.
        sleep: waits.

    Attributes:
        behind: seconds by which the schedule was missed at most.

    Raises:
        ConfigError: on a pace that is not above 0.
    """

    def __init__(
        self,
        *,
        rate: float | None = None,
        speed: float | None = None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        for name, value in (("--rate", rate), ("--speed", speed)):
            if value is not None and not value > 0.0:
                raise ConfigError(f"{name} must be > 0, got {value:g}")
        self.behind = 0.0
        self._rate, self._speed = rate, speed
        self._now, self._sleep = now, sleep
        self.begin()

    def begin(self) -> None:
        """Let the schedule begin now."""
        self._start = self._next_page = self._now()

    async def day(self, day: int) -> None:
        """Wait until a day is due, counted from the first one that is driven.

        None of its pages is due before it is: who rests between two days is not behind.
        """
        if self._speed is not None:
            due = self._start + day / self._speed
            self._next_page = max(self._next_page, due)
            await self._wait(due)

    async def pages(self, count: int) -> None:
        """Wait until so many more pages are due."""
        if self._rate is None:
            return
        due = self._next_page
        self._next_page = due + count / self._rate
        await self._wait(due)

    async def _wait(self, due: float) -> None:
        left = due - self._now()
        if left > 0.0:
            await self._sleep(left)
        else:
            self.behind = max(self.behind, -left)
