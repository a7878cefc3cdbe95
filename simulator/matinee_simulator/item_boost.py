"""What a day adds to the logit of attractiveness of each item: freshness and shocks.

boost_it = a5 2^(-age / F) + sum over genres g of shock_gt g_ig
"""

import numpy as np

from matinee_policies.arrays import Float32Array
from matinee_policies.compiled import kernel
from matinee_simulator.catalogue_calendar import CatalogueCalendar
from matinee_simulator.parameters import Parameters
from matinee_simulator.shocks import Shocks
from matinee_simulator.truth import ItemTruth
from matinee_simulator.world import World


class ItemBoost:
    """The boosts of a world's `M` items, by day; the same in every arm.

    Args:
        world: whose items.
        parameters: of freshness and shocks.
        calendar: of the same world, parameters and seed.
        seed: of the run.

    Attributes:
        is_on: whether any item ever has a boost.

    Raises:
        ConfigError: as `Shocks`.
    """

    def __init__(
        self, world: World, parameters: Parameters, calendar: CatalogueCalendar, *, seed: int
    ) -> None:
        self._topics = world.topics
        self._parameters = parameters
        self._calendar = calendar
        self._shocks = Shocks(world, parameters, seed=seed)
        self._has_fresh = parameters.click_freshness > 0 and parameters.catalogue_moves
        self._has_shocks = parameters.shock_rate > 0 and parameters.shock_size != 0
        self.is_on = self._has_fresh or self._has_shocks

    def on(self, day: int) -> Float32Array:
        """The boosts of one day, `float32 [M]`."""
        boost = np.zeros(len(self._topics))
        if self._has_fresh:
            half_life = self._parameters.freshness_half_life
            fresh = self._calendar.freshness(day, half_life=half_life)
            boost += self._parameters.click_freshness * fresh
        if self._has_shocks:
            by_genre = self._shocks.by_genre(day)
            for genre in np.flatnonzero(by_genre):
                boost += by_genre[genre] * self._topics[:, genre]
        return boost.astype(np.float32)

    def table(self, days: int) -> Float32Array:
        """The boosts of days 0 to `days - 1`, `float32 [days, M]`; one row of zeros if off."""
        if not self.is_on:
            return np.zeros((1, len(self._topics)), dtype=np.float32)
        return np.stack([self.on(day) for day in range(days)])


@kernel
def truth_on(truth: ItemTruth, table: Float32Array, day: int) -> ItemTruth:
    """`truth` on a day, for kernels in which users live on days of their own.

    Args:
        truth: of the items.
        table: of `ItemBoost.table`.
        day: the day; with a table of one row every day has that row.
    """
    row = day if table.shape[0] > 1 else 0
    return ItemTruth(
        truth.quality,
        truth.factors,
        truth.appeal,
        truth.topics,
        truth.similarity,
        truth.levels,
        truth.cuts,
        truth.mean,
        truth.sd,
        truth.rating_noise,
        table[row],
    )
