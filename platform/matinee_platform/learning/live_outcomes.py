"""Outcomes of logged decisions: rewards joined, judged and weighed, ready to be learned.

Pure functions over records. Which decisions have matured is for `matured.py`; the states follow
the rules of `storage/reward_states.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from matinee_platform.join import engagement_rewards, event_values, slot_values
from matinee_platform.learning.live_contexts import LiveContexts
from matinee_platform.learning.live_rows import LiveRows
from matinee_platform.lesson_rewards import RATING, RETURN_VISIT, JoinedEvents, lesson_rewards
from matinee_platform.lessons import ENGAGEMENT, Lesson
from matinee_platform.log_rows import COMPONENTS, WHOLE_PAGE
from matinee_platform.reward_events import EventCounts, Events
from matinee_platform.reward_settings import RewardSettings
from matinee_platform.storage.records import LoggedReward
from matinee_policies.arrays import AnyArray, FloatArray, Int64Array
from matinee_policies.records import OutcomeBatch
from matinee_policies.weighted_outcomes import weighted

DAY_MS = 86_400_000

_COMPONENTS_OF: Mapping[str, tuple[str, ...]] = {
    ENGAGEMENT: ("click", "watch"),
    RATING: ("rating",),
    RETURN_VISIT: ("return_visit",),
}
_RETURN_CODE = COMPONENTS.index("return_visit")


@dataclass(frozen=True, slots=True)
class DayCount:
    """How an arm counts days, for policies that forget: days of 24 hours from its start.

    Attributes:
        start_ms: time of the arm's first barrier.
        first_day: number of the first day, after those that its first snapshot has learned.
    """

    start_ms: int
    first_day: int = 0

    def days(self, decided_at: Int64Array) -> Int64Array:
        """Day of each decision; one before the start counts as of the first day, `int64 [n]`."""
        days: Int64Array = self.first_day + np.maximum(0, (decided_at - self.start_ms) // DAY_MS)
        return days


@dataclass(slots=True)
class Judged:
    """Rewards of some decisions, by the name of their component.

    Attributes:
        joined: events that stand, each decision and slot once.
        counts: what became of all of them.
    """

    joined: dict[str, Events] = field(default_factory=dict)
    counts: dict[str, EventCounts] = field(default_factory=dict)


def judge(
    rows: LiveRows,
    rewards: Sequence[LoggedReward],
    *,
    components: Sequence[str],
    windows_ms: Sequence[int],
) -> Judged:
    """Tell rewards that stand from those that are late, doubled, or of a slot that held nothing.

    Args:
        rows: `n` decisions.
        rewards: all that name them, in log order; those of other decisions are left out.
        components: names of the components to judge.
        windows_ms: window of each of `log_rows.COMPONENTS`.
    """
    if not len(rows) or not rewards:
        return Judged(
            dict.fromkeys(components, Events.empty()),
            {name: EventCounts() for name in components},
        )
    records = [one.record for one in rewards]
    ids = np.array([one.decision_id for one in records], dtype=np.uint64)
    codes = np.array([one.component for one in records], dtype=np.int8)
    slots = np.array([one.slot for one in records], dtype=np.int64)
    values = np.array([one.value for one in records], dtype=np.float32)
    received = np.array([one.received_at for one in records], dtype=np.int64)
    order = np.argsort(rows.ids)
    at = order[np.minimum(np.searchsorted(rows.ids[order], ids), len(rows) - 1)]
    own = rows.ids[at] == ids
    early = own & (np.array([one.seq for one in rewards], dtype=np.int64) < rows.seq[at])
    shown = _shown_at(rows, at, slots)
    judged = Judged()
    for name in components:
        code = COMPONENTS.index(name)
        mine = own & (codes == code)
        there = mine & ((slots == WHOLE_PAGE) if code == _RETURN_CODE else shown)
        late = there & (received > rows.decided_at[at] + windows_ms[code])
        standing = np.flatnonzero(there & ~late)
        # Stable: of several of one slot, the first in the log stands.
        standing = standing[np.lexsort((slots[standing], ids[standing]))]
        new = np.ones(standing.size, dtype=np.bool_)
        new[1:] = (np.diff(ids[standing]) != 0) | (np.diff(slots[standing]) != 0)
        kept = standing[new]
        judged.joined[name] = Events(ids[kept], slots[kept], values[kept])
        judged.counts[name] = EventCounts(
            joined=int(kept.size),
            late=int(late.sum()),
            duplicate=int(standing.size - kept.size),
            orphan=int((mine & ~there).sum()),
            early=int((mine & early).sum()),
        )
    return judged


def components_of(lesson: Lesson) -> list[str]:
    """Components of the log whose events a lesson learns."""
    return [code for name in lesson.names for code in _COMPONENTS_OF[name]]


def lesson_outcomes(
    lesson: Lesson,
    rows: LiveRows,
    rewards: Sequence[LoggedReward],
    *,
    contexts: LiveContexts,
    settings: RewardSettings,
    windows_ms: Sequence[int],
    days: DayCount,
) -> tuple[OutcomeBatch, dict[str, EventCounts]]:
    """What a policy learns of matured decisions.

    Args:
        lesson: components that are learned together.
        rows: `n` decisions in log order.
        rewards: all that name them, up to the barrier, in log order.
        contexts: of the arm.
        settings: weights of the components, and position bias.
        windows_ms: window of each of `log_rows.COMPONENTS`.
        days: of the arm.

    Returns:
        The outcomes, and what became of the events of each component.
    """
    judged = judge(rows, rewards, components=components_of(lesson), windows_ms=windows_ms)
    shown = rows.shown
    theta = _examined(settings, slots=shown.shape[1])
    values, taught = lesson_rewards(
        lesson,
        _joined_events(lesson, rows, judged.joined, settings),
        shown,
        settings=settings,
        examined=np.ones(shown.shape[1]) if theta is None else theta,
    )
    outcomes = OutcomeBatch(
        component=lesson.component,
        first=lesson.first,
        features=contexts.shown(rows),
        rewards=values,
        shown=taught,
        propensities=rows.propensities,
        shards=rows.shards,
        items=rows.slate,
        days=days.days(rows.decided_at),
        base=rows.base,
        base_propensity=rows.base_propensity,
    )
    if theta is not None:
        outcomes = weighted(outcomes, np.broadcast_to(theta, taught.shape))
    return outcomes, judged.counts


def page_rewards(
    rows: LiveRows,
    rewards: Sequence[LoggedReward],
    *,
    settings: RewardSettings,
    windows_ms: Sequence[int],
) -> FloatArray:
    """What each slot of matured decisions earned over all components, `float64 [n, L]`.

    Arguments as `lesson_outcomes`; slots without an item earn nothing, and no slot is corrected for
    how often it is examined.
    """
    lesson = Lesson((ENGAGEMENT, *settings.later_windows()), 0, first=True)
    judged = judge(rows, rewards, components=components_of(lesson), windows_ms=windows_ms)
    earned, _ = lesson_rewards(
        lesson,
        _joined_events(lesson, rows, judged.joined, settings),
        rows.shown,
        settings=settings,
        examined=np.ones(rows.shown.shape[1]),
    )
    return np.where(rows.shown, earned, 0.0)


def _joined_events(
    lesson: Lesson, rows: LiveRows, joined: Mapping[str, Events], settings: RewardSettings
) -> JoinedEvents:
    engagement, stars, returned = None, None, None
    if ENGAGEMENT in lesson.names:
        clicks = slot_values(rows.ids, rows.shown, joined["click"])
        watch = slot_values(rows.ids, rows.shown, joined["watch"])
        watched = ~np.isnan(watch)
        # Who watched has clicked, whether or not the click was told.
        engagement = engagement_rewards(
            (clicks > 0.0) | watched,
            np.where(watched, watch, np.float32(0.0)),
            settings.engagement,
        )
    if RATING in lesson.names:
        stars = slot_values(rows.ids, rows.shown, joined["rating"])
    if RETURN_VISIT in lesson.names:
        events = joined["return_visit"]
        back = (events.values > 0.0).astype(np.float64)
        returned = event_values(rows.ids, events.ids, back)
    return JoinedEvents(engagement=engagement, stars=stars, returned=returned)


def _examined(settings: RewardSettings, *, slots: int) -> FloatArray | None:
    bias = settings.engagement.position_bias
    if isinstance(bias, str):
        return None
    return np.array(bias, dtype=np.float64)[:slots]


def _shown_at(rows: LiveRows, at: AnyArray, slots: AnyArray) -> AnyArray:
    """Whether an item was shown at a slot of a decision, `bool [e]`."""
    if not rows.shown.shape[1]:
        return np.zeros(slots.size, dtype=np.bool_)
    inside = np.clip(slots, 0, rows.shown.shape[1] - 1)
    found: AnyArray = rows.shown[at, inside] & (inside == slots)
    return found
