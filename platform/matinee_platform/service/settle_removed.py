"""Go on until removed content has left the files of the database, and show how old it is there."""

import asyncio
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from structlog.typing import FilteringBoundLogger

from matinee_platform.clock import Clock
from matinee_platform.maintenance.caretaker import Caretaker
from matinee_platform.metrics import REMOVED_IN_FILES
from matinee_platform.service.background_task import BackgroundTask
from matinee_platform.service.in_thread import in_thread

AGAIN_SECONDS = 10.0
"""Between two tries: each may hold a writer up for some hundredths of a second on SQLite."""


class SettleRemoved(BackgroundTask):
    """Tries again and again; also what another process removed, and what a former one left.

    Args:
        caretaker: of the service's data.
        log: takes lines.
        every_seconds: between two tries.
    """

    def __init__(
        self,
        caretaker: Caretaker,
        *,
        log: FilteringBoundLogger,
        every_seconds: float = AGAIN_SECONDS,
    ) -> None:
        super().__init__()
        self._caretaker, self._log, self._every = caretaker, log, every_seconds

    async def _run(self) -> None:
        failed, gone = False, True
        while True:
            await asyncio.sleep(self._every)
            try:
                before, gone = gone, await in_thread(self._caretaker.settle)
                failed = False
                if before and not gone:
                    self._log.warning("removed_content_is_in_files", reason="a reader or the spool")
                elif gone and not before:
                    self._log.info("removed_content_is_gone")
            except Exception as error:  # whatever it is, the next try may do better
                if not failed:
                    self._log.warning("settling_failed", error=type(error).__name__)
                failed = True


class RemovedCollector(Collector):
    """Shows the age of the oldest removal whose content is in files.

    Args:
        caretaker: of the service's data.
        clock: tells the time.
    """

    def __init__(self, caretaker: Caretaker, *, clock: Clock) -> None:
        self._caretaker, self._clock = caretaker, clock

    def collect(self) -> Iterator[Family]:
        """The gauge."""
        since = self._caretaker.unsettled_since
        age = 0.0 if since is None else max(0.0, (self._clock.now_ms() - since) / 1_000)
        yield GaugeMetricFamily(REMOVED_IN_FILES.name, REMOVED_IN_FILES.help, value=age)
