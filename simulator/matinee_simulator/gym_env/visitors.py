"""Simulated users who each live on a day of their own: the latent side of the environments.

The equations and the random numbers are those of `Simulation`: a user who is shown the same slates
does the same, whichever of the two simulates. Nothing here may reach an observation.
"""

from typing import NamedTuple

import numpy as np

from matinee_policies.arrays import BoolArray, Float32Array, FloatArray, IndexArray, Int64Array
from matinee_policies.compiled import kernel
from matinee_simulator.catalogue_calendar import CatalogueCalendar
from matinee_simulator.daily import close_visit, open_visit
from matinee_simulator.draws import Streams, streams
from matinee_simulator.item_boost import ItemBoost, truth_on
from matinee_simulator.page import PageArrays, PageWeights, empty_page, page_weights, serve_pages
from matinee_simulator.parameters import Parameters
from matinee_simulator.population import Population
from matinee_simulator.retention import RetentionWeights, retention_weights
from matinee_simulator.taste_drift import TasteDrift, drift_taste, taste_drift
from matinee_simulator.truth import ItemTruth, item_truth
from matinee_simulator.user_state import UserState, fresh_state
from matinee_simulator.world import World


class Clocks(NamedTuple):
    """Where each of `n` users is in time.

    Attributes:
        day: of the simulation, `int64 [n]`.
        end: first day that is not simulated any more, `int64 [n]`.
        visiting: whether the user waits for a page, `bool [n]`.
    """

    day: Int64Array
    end: Int64Array
    visiting: BoolArray


class Lived(NamedTuple):
    """What a step brought to `b` users.

    Attributes:
        page: what was observed of the page; nothing for users who did not visit.
        passed: days that went by, `int64 [b]`.
        gap: days from one visit to the next one if it began in this step, else 0, `int64 [b]`.
        churned: who never comes back, `bool [b]`.
    """

    page: PageArrays
    passed: Int64Array
    gap: Int64Array
    churned: BoolArray


class Visitors:
    """Places for `n` users of a world.

    Args:
        world: the truth.
        population: the first users, one for each place.
        seed: of their luck.
        days: days to simulate of each user, from the first visit.
        most_days: days that one step may pass at most.
    """

    def __init__(
        self, world: World, population: Population, *, seed: int, days: int, most_days: int
    ) -> None:
        n = len(population)
        self._truth = item_truth(world)
        self._boosts = _boosts(world, population.parameters, seed=seed, days=days)
        self._drift = taste_drift(world, population.parameters, seed=seed)
        self._weights = page_weights(population.parameters)
        self._retention = retention_weights(population.parameters)
        self._keys = streams(seed)
        self._days = days
        self._most_days = most_days
        self._state = _fresh(world, population)
        self._world = world
        self.clocks = Clocks(
            np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.bool_)
        )
        self.replace(np.arange(n, dtype=np.int32), population)

    def replace(self, places: IndexArray, population: Population) -> None:
        """Let new users make their first visit.

        Args:
            places: distinct places, `int32 [b]`.
            population: the users who take them, `b` of them.
        """
        fresh = _fresh(self._world, population)
        for name, mine in self._state._asdict().items():
            mine[places] = getattr(fresh, name)
        self.clocks.day[places] = fresh.arrival
        self.clocks.end[places] = fresh.arrival + self._days
        begin_visits(self._state, self._retention, self._keys.visit, places, self.clocks)

    def live(self, places: IndexArray, slates: IndexArray) -> Lived:
        """Show a page to those who visit, and let time pass for those who are away then.

        Args:
            places: distinct places whose user has not churned nor reached the end, `int32 [b]`.
            slates: item rows, distinct within a row, -1 for empty slots, `int32 [b, L]`.
        """
        n = places.size
        lived = Lived(
            empty_page(n, slates.shape[1]),
            np.zeros(n, dtype=np.int64),
            np.zeros(n, dtype=np.int64),
            np.zeros(n, dtype=np.bool_),
        )
        live_step(
            self._truth,
            self._boosts,
            self._state,
            self._weights,
            self._retention,
            self._drift,
            self._keys,
            places,
            slates,
            self.clocks,
            self._most_days,
            lived,
        )
        return lived

    def day_of_episode(self) -> Int64Array:
        """Days since each user's first visit, `int64 [n]`."""
        return np.asarray(self.clocks.day - self._state.arrival)

    def goodwill(self) -> FloatArray:
        """S, `float64 [n]`."""
        return self._state.goodwill.copy()

    def session_satisfaction(self) -> FloatArray:
        """Sum of y over the clicks of the last session, `float64 [n]`."""
        return self._state.satisfaction.copy()

    def examined(self) -> Int64Array:
        """Ranks examined on the last page, `int64 [n]`."""
        return self._state.depth.astype(np.int64)

    def satiation(self) -> FloatArray:
        """Satiation h with each topic now, in clicks, `float64 [n, G]`."""
        days = self.clocks.day - self._state.satiation_day
        share = np.exp2(-days / self._weights.satiation.half_life)
        return np.asarray(share[:, None] * self._state.satiation)


def _boosts(world: World, parameters: Parameters, *, seed: int, days: int) -> Float32Array:
    last = parameters.arrival_days + days
    calendar = CatalogueCalendar(world, parameters, seed=seed, days=last)
    return ItemBoost(world, parameters, calendar, seed=seed).table(last)


def _fresh(world: World, population: Population) -> UserState:
    return fresh_state(
        population,
        topics=world.n_topics,
        capacity=population.parameters.fatigue_capacity,
        start_day=0,
    )


@kernel
def begin_visits(
    users: UserState,
    weights: RetentionWeights,
    key: np.uint64,
    places: IndexArray,
    clocks: Clocks,
) -> None:
    """Open the visit of everyone in `places` on the day of their clocks."""
    for row in range(places.shape[0]):
        unit = places[row]
        clocks.visiting[unit] = open_visit(users, weights, key, unit, clocks.day[unit])


@kernel
def live_step(
    truth: ItemTruth,
    boosts: Float32Array,
    users: UserState,
    weights: PageWeights,
    retention: RetentionWeights,
    drift: TasteDrift,
    keys: Streams,
    places: IndexArray,
    slates: IndexArray,
    clocks: Clocks,
    most_days: int,
    lived: Lived,
) -> None:
    """One step of `Visitors.live`, user by user; `lived` receives what it brought."""
    page = lived.page
    for row in range(places.shape[0]):
        unit = places[row]
        if clocks.visiting[unit]:
            serve_pages(
                truth_on(truth, boosts, clocks.day[unit]),
                users,
                weights,
                keys,
                places[row : row + 1],
                slates[row : row + 1],
                clocks.day[unit],
                users.pages[unit],
                PageArrays(
                    page.clicks[row : row + 1],
                    page.watch[row : row + 1],
                    page.ratings[row : row + 1],
                    page.rating_delay[row : row + 1],
                    page.left[row : row + 1],
                ),
            )
            if users.browsing[unit]:
                continue
            close_visit(users, retention, keys.churn, unit, clocks.day[unit])
            clocks.visiting[unit] = False
            lived.churned[row] = users.churned[unit]
            if users.churned[unit]:
                continue
        last = users.last_visit[unit]
        while lived.passed[row] < most_days and clocks.day[unit] < clocks.end[unit]:
            clocks.day[unit] += 1
            lived.passed[row] += 1
            if clocks.day[unit] == clocks.end[unit]:
                break
            if open_visit(users, retention, keys.visit, unit, clocks.day[unit]):
                drift_taste(users, drift, unit, clocks.day[unit])
                clocks.visiting[unit] = True
                lived.gap[row] = clocks.day[unit] - last
                break
