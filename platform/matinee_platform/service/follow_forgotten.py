"""Let go of units that some process of the service forgot: each process looks at the list itself.

A look of its own, so that nothing else that is looked for (bundles, snapshots) holds it up.
"""

import asyncio
from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from matinee_platform.maintenance.caretaker import LOOK_SECONDS
from matinee_platform.service.background_task import BackgroundTask
from matinee_platform.service.in_thread import in_thread
from matinee_platform.storage.forgotten_units import ForgottenUnits


class FollowForgotten(BackgroundTask):
    """Follows the list from a place on; belongs to the event loop.

    Args:
        units: the list.
        forget: told of each unit, and of the place in the log up to which its rows count no more.
        after: number of the last entry that counts for nothing here.
        log: takes lines.
    """

    def __init__(
        self,
        units: ForgottenUnits,
        *,
        forget: Callable[[int, int], None],
        after: int,
        log: FilteringBoundLogger,
    ) -> None:
        super().__init__()
        self._units = units
        self._forget = forget
        self._after = after
        self._log = log

    async def look(self) -> None:
        """Look once.

        Raises:
            LogUnavailableError: the list cannot be read.
        """
        for one in await in_thread(self._units.after, self._after):
            self._forget(one.unit, one.seq)
            self._after = one.number

    async def _run(self) -> None:
        failed = False
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
                failed = False
            except Exception as error:  # whatever it is, the next look may do better
                if not failed:
                    self._log.warning("forgotten_units_not_read", error=type(error).__name__)
                failed = True
