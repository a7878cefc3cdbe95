"""Hold decisions until their windows close, then let the policy learn each component once."""

from collections import deque
from collections.abc import Iterator, Mapping

import numpy as np

from matinee_platform.engine import Decisions
from matinee_platform.examination_tally import ExaminationTally
from matinee_platform.join import event_values, slot_values
from matinee_platform.lesson_rewards import (
    RATING,
    RETURN_VISIT,
    JoinedEvents,
    lesson_rewards,
)
from matinee_platform.lessons import ENGAGEMENT, Lesson, lessons
from matinee_platform.log_rows import WHOLE_PAGE
from matinee_platform.page_files import PageFiles, WaitingPages
from matinee_platform.reward_events import EventBook, EventCounts, Events
from matinee_platform.reward_rows import LateRatings
from matinee_platform.reward_settings import RewardSettings
from matinee_policies.arrays import AnyArray, BoolArray, FloatArray, UInt8Array, UInt64Array
from matinee_policies.errors import ContextError
from matinee_policies.policy import Policy
from matinee_policies.records import PAD, OutcomeBatch
from matinee_policies.weighted_outcomes import weighted


class ArmLearner:
    """Learner of one arm; it works at day barriers, where all snapshots change.

    Engagement matures at the barrier of its own day. A rating and a return visit mature when their
    windows have closed: then no return is an explicit zero, while an item that nobody rated is left
    out. Each component of a page is learned once; `lessons.py` says which are learned together.
    Pages wait on disk for the longest window, about `L (4 d + 21)` bytes each, and for one day only
    when nothing but engagement carries weight. A policy learns some of them at a time: what it
    learns does not depend on that.

    With `position_bias`, a slot that is examined with probability theta counts as a row of weight
    theta, and what was earned at it as 1 / theta times as much: A grows by theta x x', b by x r.
    That is the estimate of clicks per expected examination (Lagree, Vernade and Cappe 2016,
    "Multiple-play bandits in the position-based model", section 4), for linear values. All
    components of a page take the theta of its own day.

    Args:
        policy: the arm's policy.
        rewards: components, weights and windows.
        pages: where pages wait.
    """

    def __init__(self, policy: Policy, rewards: RewardSettings, *, pages: PageFiles) -> None:
        self.policy = policy
        self._rewards = rewards
        self._pages = pages
        self._lessons = lessons(policy, rewards)
        self._last = max(lesson.window_days for lesson in self._lessons)
        self._waiting: deque[int] = deque()
        self._spent: list[int] = []
        self._closed_day = -1
        self._slots = 0
        self._books = {name: EventBook(days) for name, days in rewards.later_windows().items()}
        bias = rewards.engagement.position_bias
        self._tally = ExaminationTally() if bias == "estimated" else None
        self._known = None if isinstance(bias, str) else np.array(bias, dtype=np.float64)
        self._curves: dict[int, FloatArray] = {}

    @property
    def counts(self) -> dict[str, EventCounts]:
        """What became of the events of every later component that is learned, by its name."""
        return {name: book.counts for name, book in self._books.items()}

    @property
    def waiting_events(self) -> int:
        """Events whose windows are open."""
        return sum(book.held for book in self._books.values())

    def observe_page(
        self,
        decisions: Decisions,
        engagement: FloatArray,
        shards: UInt8Array,
        *,
        clicks: BoolArray | None = None,
    ) -> None:
        """Take in pages of the current day.

        Args:
            decisions: as decided by the policy as it is now, in the order of the log.
            engagement: weighted engagement of each slot, `float64 [n, L]`.
            shards: shard of each unit, `uint8 [n]`.
            clicks: `bool [n, L]`; must be given to estimate position bias.
        """
        if not (self.policy.learns and decisions.ids.size):
            return
        self._slots = decisions.slates.positions.shape[1]
        if self._tally is not None:
            if clicks is None:
                raise ContextError("clicks must be given to estimate position bias, got None")
            self._tally.add(self.policy, decisions, clicks)
        self._pages.append(
            WaitingPages(
                ids=decisions.ids,
                features=decisions.shown,
                shown=decisions.slates.positions != PAD,
                propensities=decisions.slates.propensities,
                shards=shards,
                items=decisions.slates.items,
                engagement=engagement,
                base=decisions.slates.base,
                base_propensity=decisions.slates.base_propensity,
            )
        )

    def observe_returns(self, session_day: int, decision_ids: UInt64Array) -> None:
        """Take in return visits, by the day and the decisions of the session before."""
        n = decision_ids.size
        whole = np.full(n, WHOLE_PAGE, dtype=np.int16)
        events = Events(decision_ids, whole, np.ones(n, dtype=np.float32))
        self._observe(RETURN_VISIT, session_day, events)

    def observe_ratings(self, ratings: LateRatings) -> None:
        """Take in the ratings that arrive today, of pages of any day."""
        events = Events(ratings.ids, ratings.slots, ratings.stars)
        for day in np.unique(ratings.days):
            self._observe(RATING, int(day), events.take(ratings.days == day))

    def _observe(self, component: str, day: int, events: Events) -> None:
        book = self._books.get(component)
        if self.policy.learns and book is not None and len(events):
            book.observe(day, events, closed_day=self._closed_day)

    def close_day(self, day: int) -> bool:
        """Learn what matures at the end of `day`.

        Returns:
            Whether the policy learned anything, so that a new snapshot is due.
        """
        if self._pages.close_day(day):
            self._waiting.append(day)
            if self._tally is not None:
                self._curves[day] = self._tally.curve(self._slots)
        # Features first: a later component may be the first that an item's own state hears of.
        due = list(self._due(day))
        for session_day, lesson in due:
            self._learn(session_day, lesson)
        while self._waiting and self._waiting[0] + self._last <= day:
            self._curves.pop(self._waiting[0], None)
            self._spent.append(self._waiting.popleft())
        for lesson in self._lessons:
            for name in lesson.names[1:] if lesson.first else lesson.names:
                self._books[name].close(day, window_days=lesson.window_days)
        self._closed_day = day
        return bool(due)

    def forget(self) -> None:
        """Delete the pages that were learned for good, once a checkpoint says so."""
        self._pages.drop(self._spent)
        self._spent = []

    def arrays(self) -> dict[str, AnyArray]:
        """What waits at a day barrier, for a checkpoint: days with pages, and events."""
        days = list(self._waiting)
        curves = sorted(self._curves.items())
        arrays: dict[str, AnyArray] = {
            "page_day": np.array(days, dtype=np.int64),
            "page_marks": self._pages.marks(days),
            "closed_day": np.array([self._closed_day], dtype=np.int64),
            "curve_day": np.array([day for day, _ in curves], dtype=np.int64),
            "curves": np.stack([curve for _, curve in curves]) if curves else np.empty((0, 0)),
        }
        for name, book in self._books.items():
            arrays |= {f"{name}.{key}": value for key, value in book.arrays().items()}
        if self._tally is not None:
            arrays |= {f"tally.{key}": value for key, value in self._tally.arrays().items()}
        return arrays

    def restore(self, arrays: Mapping[str, AnyArray]) -> None:
        """Take over what `arrays` gave, in place of everything held.

        Raises:
            DataError: the pages of a day are not there.
        """
        days = arrays["page_day"].tolist()
        self._pages.restore(days, arrays["page_marks"])
        self._waiting = deque(days)
        self._spent = []
        self._closed_day = int(arrays["closed_day"][0])
        self._curves = {
            int(day): curve.copy()
            for day, curve in zip(arrays["curve_day"], arrays["curves"], strict=True)
        }
        for name, book in self._books.items():
            book.restore(_named(f"{name}.", arrays))
        if self._tally is not None:
            self._tally.restore(_named("tally.", arrays))

    def _due(self, day: int) -> Iterator[tuple[int, Lesson]]:
        """What matures by the end of `day` and has not before: day of the pages, and lesson."""
        for first in (True, False):
            for session_day in self._waiting:
                for lesson in self._lessons:
                    end = session_day + lesson.window_days
                    is_new = self._closed_day < end <= day
                    if lesson.first == first and is_new:
                        yield session_day, lesson

    def _learn(self, day: int, lesson: Lesson) -> None:
        events = {name: self._books[name].take(day) for name in lesson.names if name != ENGAGEMENT}
        joined = dict.fromkeys(events, 0)
        theta = self._curves.get(day) if self._known is None else self._known
        for pages in self._pages.read(day):
            shown = pages.shown
            examined = np.ones(shown.shape[1]) if theta is None else theta[: shown.shape[1]]
            stars, returned = None, None
            if RATING in events:
                stars = slot_values(pages.ids, shown, events[RATING])
                joined[RATING] += int((~np.isnan(stars)).sum())
            if RETURN_VISIT in events:
                ids = events[RETURN_VISIT].ids
                returned = event_values(pages.ids, ids, np.ones(ids.size))
                joined[RETURN_VISIT] += int(returned.sum())
            found = JoinedEvents(
                engagement=pages.engagement if ENGAGEMENT in lesson.names else None,
                stars=stars,
                returned=returned,
            )
            rewards, shown = lesson_rewards(
                lesson, found, shown, settings=self._rewards, examined=examined
            )
            outcomes = _outcomes(pages, rewards, shown=shown, day=day, lesson=lesson)
            if theta is not None:
                outcomes = weighted(outcomes, np.broadcast_to(examined, shown.shape))
            self.policy.learn(outcomes)
        for name, taken in events.items():
            self._books[name].settle(taken, joined=joined[name])


def _outcomes(
    pages: WaitingPages, rewards: FloatArray, *, shown: BoolArray, day: int, lesson: Lesson
) -> OutcomeBatch:
    return OutcomeBatch(
        component=lesson.component,
        first=lesson.first,
        features=pages.features,
        rewards=rewards,
        shown=shown,
        propensities=pages.propensities,
        shards=pages.shards,
        items=pages.items,
        days=np.full(pages.ids.size, day, dtype=np.int64),
        base=pages.base,
        base_propensity=pages.base_propensity,
    )


def _named(prefix: str, arrays: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
