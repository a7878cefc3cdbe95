"""Simulated users of one arm, with their own clock: days, pages, and what may be observed of them.

    world = World.from_interactions(...)
    simulation = Simulation(world, users, seed=1, parameters=Parameters())
    for day in range(days):
        units = simulation.begin_day(day)
        for page in range(parameters.max_pages):
            feedback = simulation.step_page(units, slates, page)
            units = units[~feedback.left]
        simulation.end_day()

The latent state is private; `oracle()` shows it to reference arms and tests. Two simulations with
the same world, seed and users give the same users the same luck, whatever they are shown.
"""

from collections.abc import Callable

import numpy as np

from matinee_policies.arrays import AnyArray, BoolArray, IndexArray, Int64Array
from matinee_policies.errors import ContextError
from matinee_policies.row_storage import InMemory, RowStorage
from matinee_simulator.catalogue_calendar import CatalogueCalendar
from matinee_simulator.daily import close_day, open_day
from matinee_simulator.draws import streams
from matinee_simulator.feedback import PageFeedback
from matinee_simulator.item_boost import ItemBoost
from matinee_simulator.oracle import Oracle
from matinee_simulator.page import empty_page, page_weights, serve_pages
from matinee_simulator.page_check import PageCheck
from matinee_simulator.parameters import Parameters
from matinee_simulator.population import Population
from matinee_simulator.retention import retention_weights
from matinee_simulator.stored_state import stored_state
from matinee_simulator.taste_drift import drift_tastes, taste_drift
from matinee_simulator.truth import item_truth
from matinee_simulator.user_state import CHANGING, DRIFTING, UserState, fresh_state
from matinee_simulator.world import World

LAST_DAY = 32_767
"""Largest day: days of impressions are kept as int16."""


class Simulation:
    """`n` users of a world.

    Results depend on the world, the seed, the parameters and each user's own slates; not on which
    other users are simulated, nor on how pages are batched.

    Args:
        world: the truth.
        users: user numbers, distinct and >= 0, `int64 [n]`; all else is given by index into it.
        seed: of the run.
        parameters: of the users.
        start_day: first day that will be simulated.
        storage: where the latent state is kept; one that is not fresh holds a state already.

    Raises:
        ContextError: users are not distinct numbers >= 0, or `start_day` is out of range.
        ConfigError: the parameters do not fit the world, as `CatalogueCalendar` and `Shocks`.
    """

    def __init__(
        self,
        world: World,
        users: Int64Array,
        *,
        seed: int,
        parameters: Parameters,
        start_day: int = 0,
        storage: RowStorage | None = None,
    ) -> None:
        if not 0 <= start_day <= LAST_DAY:
            raise ContextError(f"start_day must be within 0 and {LAST_DAY}, got {start_day}")
        if np.unique(users).size != users.size:
            raise ContextError("users must be distinct, got one twice")
        self._calendar = CatalogueCalendar(world, parameters, seed=seed, days=LAST_DAY + 1)
        self._moves = parameters.catalogue_moves
        self._boost = ItemBoost(world, parameters, self._calendar, seed=seed)
        self._drift = taste_drift(world, parameters, seed=seed)
        self._truth = item_truth(world)

        def state_of(first: int, last: int) -> UserState:
            return fresh_state(
                Population.draw(world, users[first:last], seed=seed, parameters=parameters),
                topics=world.n_topics,
                capacity=parameters.fatigue_capacity,
                start_day=start_day,
            )

        self._users = stored_state(storage or InMemory(), users.size, state_of=state_of)
        self._weights = page_weights(parameters)
        self._retention = retention_weights(parameters)
        self._keys = streams(seed)
        self._check = PageCheck(users.size, world.n_items)
        self._open = False
        self._come_to(start_day)

    def __len__(self) -> int:
        return int(self._users.numbers.size)

    @property
    def day(self) -> int:
        """The day that is going on, or the next one to begin."""
        return self._day

    def begin_day(
        self, day: int, *, announce: Callable[[IndexArray], None] = lambda units: None
    ) -> IndexArray:
        """Begin a day.

        Args:
            day: the first day, then the day after the one that ended last.
            announce: told who visits; until it returns, only arrays of one number per user have
                changed. No others change from here to the end of the day than rows of these users.

        Returns:
            Indices of the users who visit today, ascending, `int32 [a]`.

        Raises:
            ContextError: another day is due, or a day is still going on.
        """
        if self._open:
            raise ContextError(f"day {self._day} must end before a day begins, got day {day}")
        if day != self._day or day > LAST_DAY:
            raise ContextError(f"day must be {self._day} and at most {LAST_DAY}, got {day}")
        visits = np.empty(len(self), dtype=np.bool_)
        open_day(self._users, self._retention, self._keys.visit, day, visits)
        self._open = True
        units = np.flatnonzero(visits).astype(np.int32)
        announce(units)
        if self._drift.is_on:
            drift_tastes(self._users, self._drift, units, day)
        return units

    def step_page(self, units: IndexArray, items: IndexArray, page: int) -> PageFeedback:
        """Show one page to some of the users who are browsing.

        Users may be split over several calls for the same page, in any order.

        Args:
            units: distinct indices of users who visit today and have not left, `int32 [n]`.
            items: item rows of the world in the order shown, distinct within a row and available
                today, -1 for an empty slot, `int32 [n, L]`.
            page: page within the session, from 0.

        Returns:
            What may be observed. After `max_pages` pages everyone leaves.

        Raises:
            ContextError: the arrays break a rule; nothing has changed then.
        """
        if not self._open:
            raise ContextError(f"day {self._day} must begin before a page is shown")
        units, items = np.ascontiguousarray(units), np.ascontiguousarray(items)
        self._check.check(
            units, items, page, browsing=self._users.browsing, pages=self._users.pages
        )
        if self._moves:
            self._check.check_available(items, self._calendar, self._day)
        out = empty_page(units.size, items.shape[1])
        serve_pages(
            self._truth,
            self._users,
            self._weights,
            self._keys,
            units,
            items,
            self._day,
            page,
            out,
        )
        return PageFeedback(*out)

    def end_day(self) -> None:
        """End the day and every session of it.

        Raises:
            ContextError: no day is going on.
        """
        if not self._open:
            raise ContextError(f"day {self._day} must begin before it ends")
        close_day(self._users, self._retention, self._keys.churn, self._day)
        self._open = False
        self._come_to(self._day + 1)

    def available(self, day: int) -> BoolArray:
        """Which items can be shown on a day, `bool [M]`; all of them unless the catalogue moves."""
        return self._calendar.available(day)

    def arrays(self) -> dict[str, AnyArray]:
        """Every array that changes as days go by, live, for a checkpoint between days.

        The latent state is among them: they are for the disk, not for a policy.
        """
        changing = CHANGING + DRIFTING if self._drift.is_on else CHANGING
        return {name: getattr(self._users, name) for name in changing}

    def resume(self, day: int) -> None:
        """Let `day` be the next to begin, after `arrays` were overwritten with a checkpoint.

        Raises:
            ContextError: a day is going on, or `day` is out of range.
        """
        if self._open or not 0 <= day <= LAST_DAY:
            raise ContextError(f"day must be within 0 and {LAST_DAY} between days, got {day}")
        self._come_to(day)

    def oracle(self) -> Oracle:
        """The truth about these users, for reference arms and tests only."""
        return Oracle(self._truth, self._users, self._weights, self._drift, lambda: self._day)

    def _come_to(self, day: int) -> None:
        self._day = day
        if self._boost.is_on:
            self._truth.boost[:] = self._boost.on(day)
