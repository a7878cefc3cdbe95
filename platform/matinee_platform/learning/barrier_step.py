"""One barrier: from a snapshot and the log between two places to the next snapshot.

A pure function of its arguments and of the log; the live learner and replay both call it, so that
what was learned live is what replay learns. The state between two barriers is the snapshot alone:
each step starts from a policy restored from it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from matinee_platform.experiments.definition import HOLDOUT_ARM
from matinee_platform.learning.learn_what_fits import largest_features, learn_what_fits
from matinee_platform.learning.learning_arm import LearningArm, LiveLesson, live_lessons
from matinee_platform.learning.lesson_order import in_turn
from matinee_platform.learning.live_outcomes import DayCount, lesson_outcomes
from matinee_platform.learning.live_rows import live_rows
from matinee_platform.learning.matured import Place, latecomers, matured
from matinee_platform.learning.refused_decisions import RefusedDecisions
from matinee_platform.reward_events import EventCounts
from matinee_platform.storage.ports import EventReader
from matinee_platform.storage.records import LoggedDecision, ServedBy
from matinee_policies.policy import Policy
from matinee_policies.snapshot import Snapshot

BLOCK = 256
"""Decisions that a policy learns at a time, counted in log order: sums depend on it."""


@dataclass(slots=True)
class Step:
    """What a barrier did.

    Attributes:
        snapshot: the state at this barrier.
        policy: in that state.
        matured: decisions that were closed for a lesson, by its name.
        learned: of these, those learned; the others were a fallback's, or refused.
        refused: of these, those that the policy refused to learn, or whose first lesson it had.
        refusal: why, of the last ones.
        noted: decisions whose later lessons are left out, one by one.
        ranges: of places of the log where those with large features are left out.
        counts: what became of the events, by component.
        oldest_close: earliest end of a window that was learned, UTC milliseconds; None if none was.
    """

    snapshot: Snapshot
    policy: Policy
    matured: dict[str, int] = field(default_factory=dict)
    learned: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    refusal: str = ""
    noted: int = 0
    ranges: int = 0
    counts: dict[str, EventCounts] = field(default_factory=dict)
    oldest_close: int | None = None

    @property
    def is_due(self) -> bool:
        """Whether anything matured, so that the barrier is worth its name."""
        return any(self.matured.values())


def barrier_step(
    arm: LearningArm,
    snapshot: Snapshot,
    *,
    reader: EventReader,
    before: Place,
    now: Place,
    days: DayCount,
    scanned: int = 0,
) -> Step:
    """Learn what is closed at `now` and was not at `before`.

    Lessons come as `lesson_order.py` says, and the decisions of each in the order of the log,
    `BLOCK` at a time, with the rewards that the log holds up to `now`. What a fallback served and
    what the holdout saw is not learned; what the policy refuses is left out
    (`learn_what_fits.py`), in all of its lessons.

    Args:
        arm: what to learn for.
        snapshot: the state at `before`.
        reader: of the log.
        before: the barrier before.
        now: this barrier.
        days: of the arm.
        scanned: see `matured.latecomers`.

    Raises:
        MatineeError: if a row cannot be learned: of another catalogue, say.
    """
    policy = arm.restored(snapshot)
    step = Step(snapshot, policy)
    if not arm.learns(policy):
        return step
    taught = live_lessons(policy, arm)
    refused = RefusedDecisions.of(snapshot)
    open_ms = max(one.window_ms for one in taught)
    late = latecomers(
        reader,
        arm.experiment,
        arm.name,
        window_ms=min(one.window_ms for one in taught),
        before=before,
        now=now,
        scanned=scanned,
    )

    def closed(one: LiveLesson) -> Iterator[LoggedDecision]:
        return matured(
            reader,
            arm.experiment,
            arm.name,
            window_ms=one.window_ms,
            before=before,
            now=now,
            latecomers=late,
        )

    for one in taught:
        name = one.lesson.component
        step.matured[name] = step.learned[name] = step.refused[name] = 0
    by_day = arm.simulated_start_ms is not None
    for one, rows in in_turn(taught, closed, days=days if by_day else None):
        left_out = _learn(
            arm, step, one, rows, refused=refused, reader=reader, upto=now.seq, days=days
        )
        if one.lesson.first and len(taught) > 1:
            for row, size in left_out:
                refused.add(row.seq, until_ms=row.record.decided_at + open_ms, size=size)
    refused.close(now.time_ms)
    step.noted, step.ranges = len(refused), len(refused.ranges)
    if any(step.learned.values()):
        step.snapshot = refused.noted_in(policy.snapshot())
    elif any(step.refused.values()):
        step.snapshot = refused.noted_in(snapshot)
    return step


def is_learned(decision: LoggedDecision) -> bool:
    """Whether a decision teaches: its policy or, of an apprentice, the default order served it."""
    record = decision.record
    return record.served_by != ServedBy.FALLBACK and record.arm != HOLDOUT_ARM


def _learn(
    arm: LearningArm,
    step: Step,
    one: LiveLesson,
    rows: Iterator[LoggedDecision],
    *,
    refused: RefusedDecisions,
    reader: EventReader,
    upto: int,
    days: DayCount,
) -> list[tuple[LoggedDecision, float]]:
    """Learn a lesson of some decisions; those that were left out, with their largest features."""
    name = one.lesson.component
    left_out: list[tuple[LoggedDecision, float]] = []
    for matured_now in _blocks(rows, step, name):
        block = [row for row in matured_now if row.seq not in refused]
        step.refused[name] += len(matured_now) - len(block)
        if not block:
            continue
        learned = live_rows(block)
        arm.contexts.check(learned)
        outcomes, counts = lesson_outcomes(
            one.lesson,
            learned,
            reader.rewards_of([row.record.decision_id for row in block], upto=upto),
            contexts=arm.contexts,
            settings=arm.rewards,
            windows_ms=arm.windows_ms,
            days=days,
        )
        sizes = largest_features(outcomes.features, learned.shown)
        covered = refused.covers([row.seq for row in block], sizes)
        fresh = np.flatnonzero(~covered)
        out, reason = np.empty(0, dtype=np.int64), ""
        if fresh.size:
            some = outcomes if fresh.size == len(block) else outcomes.rows(fresh)
            out, reason = learn_what_fits(step.policy, some)
        step.refusal = reason or step.refusal
        gone = [*np.flatnonzero(covered).tolist(), *fresh[out].tolist()]
        left_out += [(block[n], float(sizes[n])) for n in gone]
        step.refused[name] += len(gone)
        step.learned[name] += len(block) - len(gone)
        close = int(learned.decided_at.min()) + one.window_ms
        step.oldest_close = close if step.oldest_close is None else min(step.oldest_close, close)
        for component, found in counts.items():
            step.counts[component] = step.counts.get(component, EventCounts()) + found
    return left_out


def _blocks(
    rows: Iterator[LoggedDecision], step: Step, name: str
) -> Iterator[list[LoggedDecision]]:
    """The decisions that teach, `BLOCK` at a time; all are counted as matured."""
    block: list[LoggedDecision] = []
    for row in rows:
        step.matured[name] += 1
        if is_learned(row):
            block.append(row)
        if len(block) == BLOCK:
            yield block
            block = []
    if block:
        yield block
