"""The progress line of an offline run: day, active users, pages per second, time left."""

import time

from matinee_platform.offline.arm_run import DayReport
from matinee_platform.report.progress_frame import ProgressFrame


class ProgressLine(ProgressFrame):
    """Shows a run's progress.

    Args:
        arms: number of arms.
        days: days of each arm.
        quiet: whether to show nothing.
    """

    def __init__(self, *, arms: int, days: int, quiet: bool = False) -> None:
        super().__init__(quiet=quiet, plain_seconds=10.0)
        self._total = arms * days
        self._days = days
        self._done = 0
        self._pages = 0
        self._start = time.perf_counter()
        self._latest: dict[str, DayReport] = {}

    def announce(self, line: str) -> None:
        """Print a line above the progress; the time of what follows counts from here."""
        self._start = time.perf_counter()
        super().announce(line)

    def report(self, day: DayReport) -> None:
        """Count one finished day of one arm."""
        self._done += 1
        self._pages += day.pages
        self._latest[day.arm] = day
        self.show(self._text(), completed=self._done, total=self._total)

    def _text(self) -> str:
        elapsed = max(time.perf_counter() - self._start, 1e-9)
        # Arms of a resumed run do not start at their first day.
        over = sum(day.day + 1 for day in self._latest.values())
        left = elapsed * (self._total - over) / self._done
        running = [day for day in self._latest.values() if day.day + 1 < self._days]
        days = ", ".join(f"{day.arm} day {day.day + 1}/{self._days}" for day in running) or "done"
        active = sum(day.active for day in running)
        rate = self._pages / elapsed
        return f"{days} · {active:,} active · {rate:,.0f} pages/s · {_clock(left)} left"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
