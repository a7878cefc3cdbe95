"""The progress line of an offline run: day, active users, pages per second, time left."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from matinee_platform.offline.arm_run import DayReport

_PLAIN_SECONDS = 10.0


class ProgressLine:
    """Shows a run's progress on standard error; plain lines where there is no terminal.

    Args:
        arms: number of arms.
        days: days of each arm.
        quiet: whether to show nothing.
    """

    def __init__(self, *, arms: int, days: int, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._total = arms * days
        self._days = days
        self._done = 0
        self._pages = 0
        self._start = time.perf_counter()
        self._last_plain = self._start
        self._latest: dict[str, DayReport] = {}
        self._bar = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def announce(self, line: str) -> None:
        """Print a line above the progress; the time of what follows counts from here."""
        self._start = time.perf_counter()
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def report(self, day: DayReport) -> None:
        """Count one finished day of one arm."""
        if self._task is None:
            self._task = self._bar.add_task("", total=self._total)
        self._done += 1
        self._pages += day.pages
        self._latest[day.arm] = day
        text = self._text()
        self._bar.update(self._task, completed=self._done, description=text)
        now = time.perf_counter()
        if not self._console.is_terminal and now - self._last_plain >= _PLAIN_SECONDS:
            self._last_plain = now
            self._console.print(text, highlight=False, soft_wrap=True)

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
