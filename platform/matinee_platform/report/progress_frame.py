"""A line of progress on standard error: a bar on a terminal, plain lines now and then elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


class ProgressFrame:
    """What every line of progress shares; each says in its own words how far it is.

    Args:
        quiet: whether to show nothing.
        plain_seconds: at least so long between two plain lines.
    """

    def __init__(self, *, quiet: bool, plain_seconds: float) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._plain_seconds = plain_seconds
        self._last_plain = time.perf_counter()
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
        """Print a line above the progress."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def show(self, text: str, *, completed: int, total: int) -> None:
        """Say how far it is.

        Args:
            text: beside the bar, or the plain line.
            completed: parts that are done.
            total: parts that there are.
        """
        if self._task is None:
            self._task = self._bar.add_task("")
        self._bar.update(self._task, completed=completed, total=total, description=text)
        now = time.perf_counter()
        if not self._console.is_terminal and now - self._last_plain >= self._plain_seconds:
            self._last_plain = now
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)
