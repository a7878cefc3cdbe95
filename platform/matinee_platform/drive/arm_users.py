"""The users of one arm: who comes, what they do with a page, what they tell later.

The order of everything is that of an offline run: day, block of sessions, page, user.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from matinee_platform.client.calls import Event
from matinee_platform.decision_ids import decision_ids
from matinee_platform.drive.moments import moment
from matinee_platform.drive.plan import START_MS, DrivePlan
from matinee_platform.log_rows import COMPONENTS, WHOLE_PAGE, RewardRows
from matinee_platform.offline.arm_process import users_of
from matinee_platform.offline.checkpoint import restore_into
from matinee_platform.offline.late_ratings import RatingQueue
from matinee_platform.offline.sessions import (
    DAY_MS,
    PAGE_MS,
    SESSION_BLOCK,
    page_time,
    pages_returned_to,
)
from matinee_platform.reward_rows import page_rewards, rating_rewards, return_rewards
from matinee_platform.simulated_keys import draw_key
from matinee_platform.unit_state import NEVER
from matinee_policies.arrays import AnyArray, BoolArray, IndexArray, UInt64Array
from matinee_simulator.simulation import Simulation

_QUEUE = "ratings."
_USERS = "users."


@dataclass(frozen=True, slots=True)
class PageAsk:
    """Pages that are asked for together, of `n` users.

    Attributes:
        units: places of the users in the arm, `int32 [n]`.
        ids: of the decisions, `uint64 [n]`.
        day: of the run.
        page: of their sessions.
    """

    units: IndexArray
    ids: UInt64Array
    day: int
    page: int

    @property
    def at_ms(self) -> int:
        """When, UTC milliseconds."""
        return page_time(self.day, self.page, start_ms=START_MS)


class ArmUsers:
    """Users of one arm, with all that they carry from day to day.

    Args:
        plan: of the drive.
        arm: number of the arm.
    """

    def __init__(self, plan: DrivePlan, arm: int) -> None:
        settings = plan.settings
        self.name = settings.arms[arm].name
        self.numbers = users_of(settings, plan.roster, arm)
        key = draw_key(settings.name, settings.seed, self.name)
        self._id_seed = np.uint64(int.from_bytes(key[:8], "little"))
        self._window = settings.reward.return_visit.window_days
        self._last_page = plan.parameters.max_pages
        self._simulation = Simulation(
            plan.world, self.numbers, seed=settings.seed, parameters=plan.parameters
        )
        self._ratings = RatingQueue()
        self._last_visit: IndexArray = np.full(self.numbers.size, NEVER, dtype=np.int32)
        self._pages: IndexArray = np.zeros(self.numbers.size, dtype=np.int32)

    def begin_day(self, day: int) -> IndexArray:
        """Who visits on a day, rising, `int32 [a]`."""
        return self._simulation.begin_day(day)

    def returns(self, active: IndexArray, day: int) -> list[Event]:
        """What the visits of a day tell of the sessions before."""
        last = self._last_visit[active]
        within = (last != NEVER) & (day - last <= self._window)
        back = active[within]
        at_ms = page_time(day, 0, start_ms=START_MS)
        found: list[Event] = []
        for _, ids in pages_returned_to(
            self.numbers[back],
            last_visit=last[within],
            pages=self._pages[back],
            id_seed=self._id_seed,
        ):
            found += events(return_rewards(ids, day), at_ms=at_ms)
        return found

    def blocks(self, active: IndexArray, day: int) -> Iterator[IndexArray]:
        """Sessions that are served together."""
        for start in range(0, active.size, SESSION_BLOCK):
            block = active[start : start + SESSION_BLOCK]
            self._pages[block] = 0
            self._last_visit[block] = day
            yield block

    def ask(self, units: IndexArray, *, day: int, page: int) -> PageAsk:
        """The next page of some sessions."""
        ids = decision_ids(self._id_seed, self.numbers[units], day, page)
        return PageAsk(units, ids, day, page)

    def see(self, ask: PageAsk, slates: IndexArray) -> tuple[list[Event], BoolArray]:
        """Show pages.

        Args:
            ask: as it was asked.
            slates: catalogue rows shown, `int32 [n, L]`, -1 for empty slots.

        Returns:
            What the users did, and who leaves, `bool [n]`.
        """
        feedback = self._simulation.step_page(ask.units, slates, ask.page)
        self._pages[ask.units] += 1
        self._ratings.hold(ask.units, ids=ask.ids, slates=slates, feedback=feedback, day=ask.day)
        rows = page_rewards(ask.ids, feedback.clicks, feedback.watch, ask.day)
        return events(rows, at_ms=ask.at_ms + PAGE_MS // 2), feedback.left

    def end_day(self, day: int) -> list[Event]:
        """End a day; the ratings that arrive on it, those of its own pages last in time."""
        self._simulation.end_day()
        ratings = self._ratings.deliver(day)
        start = page_time(day, 0, start_ms=START_MS)
        # Days after its page a rating comes, and not a minute more: windows are whole days.
        own = page_time(day, self._last_page, start_ms=START_MS)
        rows = rating_rewards(ratings, day)
        times = np.where(ratings.days == day, own, start).tolist()
        return [
            one
            for place, at_ms in enumerate(times)
            for one in events(rows, at_ms=at_ms, only=slice(place, place + 1))
        ]

    def arrays(self) -> dict[str, AnyArray]:
        """Everything that changes from day to day, between two days."""
        return {**self._whole(), **_prefixed(_QUEUE, self._ratings.arrays())}

    def restore(self, arrays: Mapping[str, AnyArray], *, next_day: int) -> None:
        """Take over what `arrays` gave before a day.

        Raises:
            DataError: it does not fit.
        """
        restore_into(self._whole(), arrays)
        self._ratings.restore(
            {
                name.removeprefix(_QUEUE): array
                for name, array in arrays.items()
                if name.startswith(_QUEUE)
            }
        )
        self._simulation.resume(next_day)

    def _whole(self) -> dict[str, AnyArray]:
        return {
            **_prefixed(_USERS, self._simulation.arrays()),
            "last_visit": self._last_visit,
            "pages": self._pages,
        }


def days_end(day: int) -> int:
    """When a day is over and learning may go on, UTC milliseconds."""
    return START_MS + (day + 1) * DAY_MS


def events(rows: RewardRows, *, at_ms: int, only: slice = slice(None)) -> list[Event]:
    """Rows of the reward log as the service is told of them.

    Args:
        rows: of one moment.
        at_ms: that moment, UTC milliseconds.
        only: which of them.
    """
    at = moment(at_ms)
    return [
        Event(
            event_id=f"{decision:016x} {component} {slot}",
            decision_id=f"{decision:016x}",
            component=COMPONENTS[component],
            slot=None if slot == WHOLE_PAGE else slot,
            value=value,
            at=at,
        )
        for decision, component, slot, value in zip(
            rows.decision_id[only].tolist(),
            rows.component[only].tolist(),
            rows.slot[only].tolist(),
            rows.value[only].tolist(),
            strict=True,
        )
    ]


def _prefixed(prefix: str, arrays: Mapping[str, AnyArray]) -> dict[str, AnyArray]:
    return {prefix + name: array for name, array in arrays.items()}
