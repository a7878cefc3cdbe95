"""In which order the lessons of a barrier are learned: sums of the last bits depend on it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

import numpy as np

from matinee_platform.learning.learning_arm import LiveLesson
from matinee_platform.learning.live_outcomes import DayCount
from matinee_platform.storage.records import LoggedDecision


def in_turn(
    lessons: Sequence[LiveLesson],
    closed: Callable[[LiveLesson], Iterable[LoggedDecision]],
    *,
    days: DayCount | None,
) -> Iterator[tuple[LiveLesson, Iterator[LoggedDecision]]]:
    """Lessons with the decisions that are closed for them, in the order in which they are learned.

    Args:
        lessons: the first one first.
        closed: gives the decisions that are closed for a lesson, in log order; asked in turn.
        days: for arms of simulated users: lessons after the first come by the day of their
            decisions, those of one day as given, as in an offline run. Else lesson by lesson.
    """
    if days is None:
        for one in lessons:
            yield one, iter(closed(one))
        return
    first, *later = lessons
    yield first, iter(closed(first))
    parts: list[tuple[int, int, list[LoggedDecision]]] = []
    for place, one in enumerate(later):
        by_day = groupby(closed(one), key=lambda row: _day(row, days))
        parts += [(day, place, list(rows)) for day, rows in by_day]
    # Stable: decisions of one day that others lie between stay in the order of the log.
    for _, place, rows in sorted(parts, key=lambda part: part[:2]):
        yield later[place], iter(rows)


def _day(row: LoggedDecision, days: DayCount) -> int:
    return int(days.days(np.array([row.record.decided_at], dtype=np.int64))[0])
