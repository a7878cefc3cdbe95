"""Show simulated users interleaved pages of two sides, and credit each click to the side behind it.

Both sides remember every page, whoever picked its items, under their own candidate models. Neither
learns meanwhile.
"""

import hashlib
from collections import defaultdict

import numpy as np

from matinee_platform.decision_ids import decision_ids
from matinee_platform.decision_keys import DecisionKeys
from matinee_platform.offline.interleaved_side import Side
from matinee_platform.offline.prepare import Prepared, world_parameters
from matinee_platform.settings import ExperimentSettings
from matinee_policies.arrays import Float32Array, IndexArray, Int64Array, UInt64Array
from matinee_policies.interleaving import interleave, team_credit
from matinee_simulator.feedback import PageFeedback
from matinee_simulator.simulation import Simulation

_BLOCK = 1_024
"""Visits served together; results do not depend on it."""


class InterleavedPages:
    """Users on interleaved pages, day by day.

    Args:
        settings: of the experiment.
        sides: the two rankings, of the same users.
        numbers: of the users, rising, `int64 [n]`.
        shared: what the arms share.

    Attributes:
        clicks: of each user so far, to each side, `float64 [n, 2]`.
        watched: watched fractions, likewise.
        pages: seen by each user, `int64 [n]`.
    """

    def __init__(
        self,
        settings: ExperimentSettings,
        sides: tuple[Side, Side],
        numbers: Int64Array,
        shared: Prepared,
    ) -> None:
        parameters = world_parameters(settings)
        secret = _secret(settings, sides)
        self._sides = sides
        self._numbers = numbers
        self._slots = settings.slots
        self._max_pages = parameters.max_pages
        self._keys = DecisionKeys(secret)
        self._id_seed = np.uint64(int.from_bytes(secret[:8], "little"))
        self._plays = shared.plays
        self._ratings: defaultdict[int, list[tuple[IndexArray, IndexArray, Float32Array]]]
        self._ratings = defaultdict(list)
        self._simulation = Simulation(
            shared.world, numbers, seed=settings.seed, parameters=parameters
        )
        self.clicks = np.zeros((numbers.size, 2))
        self.watched = np.zeros((numbers.size, 2))
        self.pages = np.zeros(numbers.size, dtype=np.int64)

    def play(self, day: int) -> None:
        """One day, from the first visit to the refreshed vectors at its end."""
        active = self._simulation.begin_day(day)
        for side in self._sides:
            side.shelf.open_day(day)
        for start in range(0, active.size, _BLOCK):
            self._serve(active[start : start + _BLOCK], day)
        self._simulation.end_day()
        for units, items, stars in self._ratings.pop(day, []):
            for side in self._sides:
                side.units.observe_ratings(units, items, stars)
        for side in self._sides:
            side.units.refresh_vectors()

    def _serve(self, block: IndexArray, day: int) -> None:
        for side in self._sides:
            side.units.open_sessions(block, day)
        pools = [side.pool(block, pages=self._max_pages) for side in self._sides]
        visits: IndexArray = np.arange(block.size, dtype=np.int32)
        page = 0
        while visits.size:
            units = block[visits]
            oracle = self._simulation.oracle()
            first, second = (
                side.ranking(pool, visits, units, oracle)
                for side, pool in zip(self._sides, pools, strict=True)
            )
            mixed = interleave(
                first, second, slots=self._slots, keys=self._decision_keys(units, day, page)
            )
            for pool in pools:
                pool.mark_items(visits, mixed.items)
            feedback = self._simulation.step_page(units, mixed.items, page)
            self.clicks[units] += team_credit(mixed.teams, feedback.clicks)
            self.watched[units] += team_credit(mixed.teams, feedback.watch)
            self.pages[units] += 1
            self._observe(units, mixed.items, feedback, day)
            visits, page = visits[~feedback.left], page + 1
        for side in self._sides:
            side.units.close_sessions(block, day)

    def _decision_keys(self, units: IndexArray, day: int, page: int) -> UInt64Array:
        return self._keys.of(decision_ids(self._id_seed, self._numbers[units], day, page))

    def _observe(
        self, units: IndexArray, items: IndexArray, feedback: PageFeedback, day: int
    ) -> None:
        rows, slots = np.nonzero(feedback.clicks)
        watched = units[rows], items[rows, slots]
        stars = self._plays.stars(feedback.watch[rows, slots])
        for side in self._sides:
            side.units.observe_page(units, items, feedback.clicks)
            side.units.observe_ratings(*watched, stars)
        rows, slots = np.nonzero(~np.isnan(feedback.ratings))
        due = day + np.floor(feedback.rating_delay[rows, slots]).astype(np.int64)
        for arrival in np.unique(due):
            here = rows[due == arrival], slots[due == arrival]
            rated = units[here[0]], items[here], feedback.ratings[here]
            self._ratings[int(arrival)].append(rated)


def _secret(settings: ExperimentSettings, sides: tuple[Side, Side]) -> bytes:
    names = "\x1f".join(side.arm.name for side in sides)
    text = f"{settings.name}\x1f{settings.seed}\x1f{names}"
    return hashlib.blake2b(text.encode(), digest_size=16, person=b"matinee-teams").digest()
