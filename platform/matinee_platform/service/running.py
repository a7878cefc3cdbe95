"""What routes share: the parts once they are there, and how far the service has come."""

import asyncio
from collections.abc import Mapping

from structlog.typing import FilteringBoundLogger

from matinee_platform.clock import Clock
from matinee_platform.service.access import Gate
from matinee_platform.service.database_threads import DatabaseThreads
from matinee_platform.service.errors import NotReadyError, Problem
from matinee_platform.service.parts import ServiceParts
from matinee_platform.service.readiness import Phase, Verdict, judge
from matinee_platform.service.service_metrics import ServiceMetrics
from matinee_platform.service.settings import ServiceSettings


class Service:
    """One running service.

    Args:
        settings: of the service.
        clock: tells the time.
        log: takes its lines.

    Attributes:
        metrics: counts what it does.
        phase: how far it has come.
    """

    def __init__(
        self, settings: ServiceSettings, *, clock: Clock, log: FilteringBoundLogger
    ) -> None:
        self.settings = settings
        self.limits = settings.limits
        self.clock = clock
        self.log = log
        self.metrics = ServiceMetrics()
        self.phase: Phase = "starting"
        self._parts: ServiceParts | None = None
        self._gate: Gate | None = None
        self._threads: DatabaseThreads | None = None

    @property
    def parts(self) -> ServiceParts:
        """What routes call.

        Raises:
            NotReadyError: they are not there yet, or no longer.
        """
        if self._parts is None:
            raise NotReadyError("the service is starting or stopping")
        return self._parts

    @property
    def more_problems(self) -> Mapping[type[BaseException], Problem]:
        """Kinds of problems that the parts add to the table."""
        return {} if self._parts is None else self._parts.problems

    @property
    def gate(self) -> Gate:
        """Lets requests in; raises like `parts`."""
        if self._gate is None:
            raise NotReadyError("the service is starting or stopping")
        return self._gate

    @property
    def threads(self) -> DatabaseThreads:
        """Runs what may wait for a database; raises like `parts`."""
        if self._threads is None:
            raise NotReadyError("the service is starting or stopping")
        return self._threads

    def run(self, parts: ServiceParts) -> None:
        """Take requests from now on."""
        self._parts = parts
        self._gate = Gate(parts.keys, limits=self.limits, clock=self.clock)
        self._threads = DatabaseThreads(parts.reader)
        self.metrics.watch(parts, self.settings)
        self.phase = "running"

    def leave(self) -> None:
        """Tell those who ask that requests should go elsewhere; those that come are answered."""
        self.phase = "stopping"

    async def stop(self) -> None:
        """Take no more requests and let go of the parts, the log last."""
        self.phase = "stopping"
        parts, self._parts, self._gate = self._parts, None, None
        if self._threads is not None:
            await asyncio.to_thread(self._threads.close)
        if parts is not None:
            await parts.close()

    def verdict(self) -> Verdict:
        """What readiness says."""
        conditions = None if self._parts is None else self._parts.conditions()
        return judge(self.phase, conditions)
