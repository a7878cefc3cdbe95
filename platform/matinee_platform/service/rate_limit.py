"""Token buckets: how many requests each API key may send."""

import math
from collections import OrderedDict
from collections.abc import Hashable

from matinee_platform.clock import Clock

MOST_KEYS = 10_000
"""Buckets that are kept; the one that was used least lately goes first, and starts full again."""


class TokenBuckets:
    """One bucket per key, filled at a steady rate up to its burst.

    Args:
        rate: tokens per second.
        burst: tokens that a full bucket holds.
        clock: tells the time.

    Example:
        >>> from matinee_platform.clock import FakeClock
        >>> clock = FakeClock()
        >>> buckets = TokenBuckets(rate=2.0, burst=1, clock=clock)
        >>> buckets.take("a", 1), buckets.take("a", 1)
        (0.0, 0.5)
        >>> clock.advance(seconds=0.5)
        >>> buckets.take("a", 1)
        0.0
    """

    def __init__(self, *, rate: float, burst: int, clock: Clock) -> None:
        self._rate = rate / 1_000.0
        self._burst = float(burst)
        self._clock = clock
        self._buckets: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def take(self, key: Hashable, count: int) -> float:
        """Take tokens, if they are there.

        Args:
            key: whose bucket.
            count: tokens; more than a bucket holds count as a full one.

        Returns:
            0 if they were taken, else the seconds after which they will be there.
        """
        now = self._clock.now_ms()
        wanted = min(float(count), self._burst)
        held, then = self._buckets.get(key, (self._burst, now))
        held = min(self._burst, held + (now - then) * self._rate)
        enough = held >= wanted
        self._buckets[key] = (held - wanted if enough else held, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > MOST_KEYS:
            self._buckets.popitem(last=False)
        return 0.0 if enough else (wanted - held) / self._rate / 1_000.0


def retry_after(seconds: float) -> int:
    """Whole seconds for the `Retry-After` header, at least 1 and at most an hour."""
    return min(3_600, max(1, math.ceil(seconds)))
