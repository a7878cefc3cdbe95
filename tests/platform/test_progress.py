"""The progress line of an offline run: what it says of the time that is left."""

from types import SimpleNamespace
from typing import Any

import pytest

from matinee_platform.report import progress, progress_frame
from matinee_platform.report.progress import ProgressLine


class Clock:
    now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    monkeypatch.setattr(progress_frame, "time", clock)
    return clock


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    lines: list[tuple[str, int, int]] = []
    monkeypatch.setattr(
        ProgressLine,
        "show",
        lambda self, text, *, completed, total: lines.append((text, completed, total)),
    )
    return lines


def day(arm: str, number: int) -> Any:
    return SimpleNamespace(arm=arm, day=number, active=5, pages=50)


def test_what_happens_once_is_not_in_the_estimate(
    clock: Clock, shown: list[tuple[str, int, int]]
) -> None:
    line = ProgressLine(arms=2, days=10)
    line.announce("Running")
    clock.now = 60.0  # Processes have started and kernels are loaded.
    line.report(day("a", 0))
    clock.now = 60.5
    line.report(day("b", 0))
    assert [text for text, _, _ in shown] == [
        "a day 1/10 · 5 active",
        "a day 1/10, b day 1/10 · 10 active",
    ]
    clock.now = 62.0
    line.report(day("a", 1))
    # Two days in two seconds since the first report, and 17 of 20 are left.
    assert shown[-1] == ("a day 2/10, b day 1/10 · 10 active · 50 pages/s · 0:17 left", 3, 20)


def test_a_resumed_run_and_a_grid_count_what_is_over(
    clock: Clock, shown: list[tuple[str, int, int]]
) -> None:
    line = ProgressLine(arms=2, days=4)
    line.report(day("a", 2))
    clock.now = 2.0
    line.report(day("a", 3))
    assert shown[-1][1:] == (4, 8)
    assert shown[-1][0].endswith("0:08 left")
    # The next point of a grid: the same arm from its first day, timed anew.
    line.announce("retention_sensitivity 2")
    for number in range(4):
        clock.now += 1.0
        line.report(day("a", number))
    assert shown[-1][1:] == (8, 8)
    assert shown[-1][0] == "done · 0 active · 50 pages/s · 0:00 left"
