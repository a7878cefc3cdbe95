"""The progress line of a calibration: stage, simulations of it, least loss."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

_PLAIN_SECONDS = 20.0


class CalibrationProgress:
    """Shows progress on standard error; plain lines where there is no terminal.

    Args:
        quiet: whether to show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._bar = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._last_plain = time.perf_counter()

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

    def report(self, stage: str, done: int, budget: int, loss: float) -> None:
        """Count one simulation of a stage."""
        if self._task is None:
            self._task = self._bar.add_task("")
        text = f"{stage}: {done} of at most {budget} simulations, loss {loss:.3g}"
        self._bar.update(self._task, completed=done, total=budget, description=text)
        now = time.perf_counter()
        if not self._console.is_terminal and now - self._last_plain >= _PLAIN_SECONDS:
            self._last_plain = now
            self._console.print(text, highlight=False, soft_wrap=True)
