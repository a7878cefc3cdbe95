"""Shocks: for some days, one genre is more attractive than its items are otherwise.

Shocks begin as a Poisson process, from before day 0 on, so that those that are under way then are
as many as on any other day. Each has a genre, drawn uniformly from those in the world, and adds its
size times the item's topic weight to the logit of attractiveness: all of it for items of that genre
alone, 1 / sqrt(2) of it for items of two. Shocks of one genre add up.
"""

import numpy as np

from matinee_policies.arrays import FloatArray, IndexArray
from matinee_policies.errors import ConfigError
from matinee_policies.philox import stream_key
from matinee_simulator.draws import uniforms
from matinee_simulator.parameters import Parameters
from matinee_simulator.poisson import poisson_counts
from matinee_simulator.world import World

_BEFORE = 365
"""Longest shock, in days: counters of the random numbers start so many days before day 0."""


class Shocks:
    """The shocks of one seed, by day.

    Args:
        world: whose genres.
        parameters: of the shocks.
        seed: of the run; what happens depends on nothing but these three.

    Raises:
        ConfigError: shocks are wanted in a world whose items have no genres.
    """

    def __init__(self, world: World, parameters: Parameters, *, seed: int) -> None:
        self._genres = np.flatnonzero(world.topics.any(axis=0))
        self._n_topics = world.n_topics
        self._parameters = parameters
        self._count_key = stream_key(seed, "shocks", "count")
        self._genre_key = stream_key(seed, "shocks", "genre")
        if parameters.shock_rate > 0 and not self._genres.size:
            raise ConfigError(
                f"shock_rate must be 0 in a world without genres, got {parameters.shock_rate!r}"
            )

    def beginning(self, first: int, last: int) -> tuple[IndexArray, IndexArray]:
        """Shocks that begin on days `first` to `last`.

        Args:
            first: at least -364.
            last: the last of the days.

        Returns:
            Day and genre of each, `int32 [k]` both, by day.
        """
        rate = self._parameters.shock_rate
        counters = np.arange(first + _BEFORE, last + _BEFORE + 1, dtype=np.uint64)
        counts = poisson_counts(rate, uniforms(self._count_key, counters, 1)[:, 0])
        most = int(counts.max(initial=0))
        draws = uniforms(self._genre_key, counters, most)[np.arange(most) < counts[:, None]]
        places = np.minimum((draws * self._genres.size).astype(np.int64), self._genres.size - 1)
        days = np.repeat(np.arange(first, last + 1), counts)
        return days.astype(np.int32), self._genres[places].astype(np.int32)

    def by_genre(self, day: int) -> FloatArray:
        """Logit that the shocks of a day add to an item of each genre alone, `float64 [G]`."""
        _, genres = self.beginning(day - self._parameters.shock_days + 1, day)
        counts = np.bincount(genres, minlength=self._n_topics)
        return np.asarray(self._parameters.shock_size * counts)
