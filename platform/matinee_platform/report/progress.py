"""The progress line of an offline run: day, active users, pages per second, time left."""

import time

from matinee_platform.offline.arm_run import DayReport
from matinee_platform.report.progress_frame import ProgressFrame

_MEASURED_SECONDS = 1.0
"""Less than this tells nothing of the time that is left."""


class ProgressLine(ProgressFrame):
    """Shows a run's progress.

    What is left is told by what was done since the first report: what comes before it is the start
    of processes and the loading of kernels, which happens once.

    Args:
        arms: number of arms.
        days: days of each arm.
        quiet: whether to show nothing.
    """

    def __init__(self, *, arms: int, days: int, quiet: bool = False) -> None:
        super().__init__(quiet=quiet, plain_seconds=10.0)
        self._total = arms * days
        self._days = days
        self._over = 0
        self._latest: dict[str, DayReport] = {}
        self._since: float | None = None
        self._done = 0
        self._pages = 0

    def announce(self, line: str) -> None:
        """Print a line above the progress; what follows is timed anew."""
        self._since = None
        super().announce(line)

    def report(self, day: DayReport) -> None:
        """Count one finished day of one arm."""
        before = self._latest.get(day.arm)
        # Arms of a resumed run do not start at their first day; those of a grid start again.
        begins = before is None or day.day <= before.day
        self._over += day.day + 1 if begins else 1
        self._latest[day.arm] = day
        if self._since is None:
            self._since, self._done, self._pages = time.perf_counter(), 0, 0
        else:
            self._done += 1
            self._pages += day.pages
        self.show(self._text(self._since), completed=self._over, total=self._total)

    def _text(self, since: float) -> str:
        running = [day for day in self._latest.values() if day.day + 1 < self._days]
        days = ", ".join(f"{day.arm} day {day.day + 1}/{self._days}" for day in running) or "done"
        active = sum(day.active for day in running)
        text = f"{days} · {active:,} active"
        elapsed = time.perf_counter() - since
        if elapsed < _MEASURED_SECONDS:
            return text
        left = elapsed * (self._total - self._over) / max(self._done, 1)
        return f"{text} · {self._pages / elapsed:,.0f} pages/s · {_clock(left)} left"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
