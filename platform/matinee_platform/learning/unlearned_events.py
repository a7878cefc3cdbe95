"""Rewards that came too late to the log to be learned, though not too late to be joined.

One that was received in its window and waited in a spool until after the barrier that closed the
window stands in the log, and what its policy learned did not know it. It is counted.
"""

from collections.abc import Sequence

from matinee_platform.learning.barrier_step import BLOCK, is_learned
from matinee_platform.learning.learning_arm import LearningArm, LiveLesson
from matinee_platform.learning.live_outcomes import components_of, judge
from matinee_platform.learning.live_rows import live_rows
from matinee_platform.learning.matured import Place
from matinee_platform.storage.ports import EventReader
from matinee_platform.storage.records import LoggedDecision, LoggedReward

_ROWS_AT_ONCE = 10_000


def unlearned_events(
    arm: LearningArm,
    lessons: Sequence[LiveLesson],
    *,
    reader: EventReader,
    last: Place,
    after: int,
    upto: int,
) -> dict[str, int]:
    """Events of a part of the log that join decisions whose lesson was over.

    Args:
        arm: whose decisions to look at.
        lessons: that it is taught.
        reader: of the log.
        last: the newest barrier.
        after: place of the log, at or after that barrier's, up to which they were counted.
        upto: place of the log.

    Returns:
        Their number by component; those without any are left out.
    """
    found: dict[str, int] = {}
    while after < upto:
        rows = reader.rewards(after=after, upto=upto, limit=_ROWS_AT_ONCE)
        end = rows[-1].seq if len(rows) == _ROWS_AT_ONCE else upto
        decisions = _named(arm, reader, rows, last=last)
        for lesson in lessons:
            over = [one for one in decisions if last.closes(one, lesson.window_ms)]
            for at in range(0, len(over), BLOCK):
                _count(arm, lesson, over[at : at + BLOCK], found, reader=reader, part=(after, end))
        after = end
    return {name: n for name, n in found.items() if n}


def _named(
    arm: LearningArm, reader: EventReader, rewards: Sequence[LoggedReward], *, last: Place
) -> list[LoggedDecision]:
    """Decisions of an arm, known at the last barrier, that new rewards name.

    Only what was received before the time of that barrier can be within a window that it closed.
    """
    records = [one.record for one in rewards]
    ids = dict.fromkeys(one.decision_id for one in records if one.received_at <= last.time_ms)
    found = [reader.decision(one) for one in ids]
    return [
        one
        for one in found
        if one is not None
        and (one.record.experiment, one.record.arm) == (arm.experiment, arm.name)
        and one.seq <= last.seq
        and is_learned(one)
    ]


def _count(
    arm: LearningArm,
    lesson: LiveLesson,
    decisions: list[LoggedDecision],
    found: dict[str, int],
    *,
    reader: EventReader,
    part: tuple[int, int],
) -> None:
    """Add what joined since the begin of a part of the log.

    What comes later never takes the place of what stands, so the difference is what is new.
    """
    rows, ids = live_rows(decisions), [one.record.decision_id for one in decisions]
    for sign, place in zip((-1, 1), part, strict=True):
        judged = judge(
            rows,
            reader.rewards_of(ids, upto=place),
            components=components_of(lesson.lesson),
            windows_ms=arm.windows_ms,
        )
        for name, counts in judged.counts.items():
            found[name] = found.get(name, 0) + sign * counts.joined
