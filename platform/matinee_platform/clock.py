"""Time as a port: UTC milliseconds that never run backwards within a process."""

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now_ms(self) -> int:
        """UTC milliseconds since 1970; never less than what it said before."""


class SystemClock:
    """The machine's clock, held where it steps backwards.

    A server whose clock is set back by a minute repeats the latest time for that minute, so that
    no window opens again and no two rows of a log contradict their order.

    Example:
        >>> clock = SystemClock()
        >>> clock.now_ms() <= clock.now_ms()
        True
    """

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def now_ms(self) -> int:
        """UTC milliseconds since 1970."""
        with self._lock:
            self._last = max(self._last, time.time_ns() // 1_000_000)
            return self._last


class FakeClock:
    """A clock for tests that stands still until it is moved.

    Args:
        now_ms: first time.

    Example:
        >>> clock = FakeClock(1_000)
        >>> clock.advance(seconds=2.5)
        >>> clock.now_ms()
        3500
    """

    def __init__(self, now_ms: int = 1_767_225_600_000) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """The time that it was given."""
        return self._now_ms

    def advance(self, *, seconds: float) -> None:
        """Move on; never back, as the port promises.

        Raises:
            ValueError: on less than 0 seconds.
        """
        if seconds < 0:
            raise ValueError(f"seconds must be >= 0, got {seconds}")
        self._now_ms += round(seconds * 1_000)
