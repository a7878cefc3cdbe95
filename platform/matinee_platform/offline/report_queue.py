"""Pass on the day reports that arms in other processes put into a queue."""

import queue
from collections.abc import Callable
from multiprocessing.queues import Queue
from typing import TypeAlias

from matinee_platform.offline.arm_run import DayReport

ReportQueue: TypeAlias = "Queue[DayReport | None]"
"""Reports of several arms, each in the order of its days; None follows the last one of an arm."""

_PATIENCE_SECONDS = 30.0


def pass_on(days: ReportQueue, report: Callable[[DayReport], None], *, until: int = 0) -> int:
    """Pass on the reports that are there, and wait for more until so many arms have ended.

    Args:
        days: the queue.
        report: called with each report.
        until: arms whose last report must still come; a process that dies after its arm's end can
            swallow it, so the wait has a limit.

    Returns:
        How many arms have ended.
    """
    ended = 0
    while True:
        try:
            day = days.get(timeout=_PATIENCE_SECONDS if ended < until else 0.0)
        except queue.Empty:
            return ended
        if day is None:
            ended += 1
        else:
            report(day)
