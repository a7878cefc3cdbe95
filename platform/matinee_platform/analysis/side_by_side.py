"""Take independent parts of an analysis at the same time, where many units make it worth it.

Each part is reckoned whole by one thread, so that its numbers do not depend on how many there are.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

THREADS = 2
MANY_UNITS = 50_000
"""Units from which on threads gain more than they cost."""


def side_by_side(parts: Sequence[Callable[[], T]], *, units: int) -> list[T]:
    """What the parts give, in their order; the largest should come first.

    Args:
        parts: functions that share nothing that one of them changes.
        units: that each goes over.
    """
    if units < MANY_UNITS:
        return [part() for part in parts]
    with ThreadPoolExecutor(THREADS) as threads:
        waiting = [threads.submit(part) for part in parts]
        return [one.result() for one in waiting]
