"""Which items are available on which day: arrivals, retirements and ages.

A share of the world's items is held back at the start and arrives as a Poisson process, in random
order: items of the data with the truth that was fitted on their ratings. Items drawn from
a model of items would be new in number, but quality, appeal, genres and factors hang together in
ways that such a model would have to guess; a random part of the real ones is by construction as
good, as varied and as appealing as the rest. When all have arrived, no more arrive.

With a life of L days, an item retires L days after its arrival. Items there at the start have an
age drawn uniformly from 0 to L - 1, the stationary law of ages under steady arrivals, so that
retirements begin at once and not all on one day; the catalogue then tends to A L items (Little
1961). Items that live for ever have been there long before the start: they are never fresh.

Everything is a pure function of world, parameters and seed: every arm has the same calendar.
"""

import numpy as np

from matinee_policies.arrays import BoolArray, FloatArray, IndexArray, Int64Array
from matinee_policies.errors import ConfigError
from matinee_policies.philox import stream_key
from matinee_simulator.draws import uniforms
from matinee_simulator.parameters import Parameters
from matinee_simulator.poisson import poisson_counts
from matinee_simulator.world import World

LONG_AGO = -(2**30)
"""Arrival of items that have always been there."""

NEVER = 2**31 - 1
"""Arrival of items that do not arrive, and retirement of those that stay for ever."""

_HORIZON = 32_768
"""Days for which arrivals are drawn: the longest simulation."""


class CatalogueCalendar:
    """When each of the `M` items of a world comes and goes.

    Args:
        world: whose items.
        parameters: of arrivals and life.
        seed: of the run.
        days: days 0 to `days - 1` that `counts` and `require` speak of; it changes nothing else.

    Attributes:
        arrival: first day on which an item is available, `int32 [M]`: at most 0 for those there at
            the start, `LONG_AGO` if they live for ever.
        retirement: first day on which it is not available any more, `int32 [M]`, or `NEVER`.
        days: as given.

    Raises:
        ConfigError: items arrive, but none of so small a world is held back; or none is there at
            the start.
    """

    def __init__(self, world: World, parameters: Parameters, *, seed: int, days: int) -> None:
        life = parameters.item_life_days
        present = at_start(world, parameters, seed=seed)
        arrival = np.full(world.n_items, LONG_AGO, dtype=np.int64)
        retirement = np.full(world.n_items, NEVER, dtype=np.int64)
        if life > 0:
            arrival = -np.floor(life * _draws(world, "age", seed=seed)).astype(np.int64)
        waiting = np.flatnonzero(~present)
        waiting = waiting[np.argsort(_draws(world, "order", seed=seed)[waiting], kind="stable")]
        arrival[waiting] = _arrival_days(parameters.item_arrivals, waiting.size, seed=seed)
        if life > 0:
            retirement = np.minimum(arrival + life, NEVER)
        self.arrival: IndexArray = arrival.astype(np.int32)
        self.retirement: IndexArray = retirement.astype(np.int32)
        self.days = days

    def available(self, day: int) -> BoolArray:
        """Which items can be shown on a day, `bool [M]`."""
        return np.asarray((self.arrival <= day) & (day < self.retirement))

    def freshness(self, day: int, *, half_life: float) -> FloatArray:
        """2^(-age / F) of each item, 0 where it is not available, `float64 [M]`."""
        age = day - self.arrival.astype(np.int64)
        fresh = np.exp2(-np.maximum(age, 0) / half_life)
        return np.where(self.available(day), fresh, 0.0)

    def counts(self) -> Int64Array:
        """Number of items available on each of the days, `int64 [days]`."""
        change = np.zeros(self.days + 1, dtype=np.int64)
        for sign, when in ((1, self.arrival), (-1, self.retirement)):
            np.add.at(change, np.clip(when, 0, self.days), sign)
        return np.cumsum(change[: self.days])

    def require(self, needed: int) -> None:
        """Refuse a catalogue that becomes too small.

        Args:
            needed: items that must be available on every day.

        Raises:
            ConfigError: naming the first day with fewer, and how many are left then.
        """
        counts = self.counts()
        short = np.flatnonzero(counts < needed)
        if short.size:
            day = int(short[0])
            raise ConfigError(
                f"item_life_days and item_arrivals must leave at least {needed} items available "
                f"on every day, got {int(counts[day])} on day {day}"
            )


def n_at_start(world: World, parameters: Parameters) -> int:
    """Number of items there at the start; raises ConfigError as `CatalogueCalendar`."""
    held = round(parameters.arriving_share * world.n_items)
    if parameters.item_arrivals > 0 and held == 0:
        raise ConfigError(
            f"arriving_share must hold back at least one of {world.n_items} items, "
            f"got {parameters.arriving_share!r}"
        )
    if held == world.n_items:
        raise ConfigError(
            f"arriving_share must leave at least one of {world.n_items} items at the start, "
            f"got {parameters.arriving_share!r}"
        )
    return world.n_items - held


def at_start(world: World, parameters: Parameters, *, seed: int) -> BoolArray:
    """Which items are there on day 0, `bool [M]`; raises ConfigError as `CatalogueCalendar`."""
    n = n_at_start(world, parameters)
    present = np.ones(world.n_items, dtype=np.bool_)
    if n < world.n_items:
        order = np.argsort(_draws(world, "held", seed=seed), kind="stable")
        present[order[n:]] = False
    return present


def _arrival_days(rate: float, n: int, *, seed: int) -> Int64Array:
    """Rising arrival days of `n` items, from day 1 on, `int64 [n]`."""
    key = stream_key(seed, "catalogue", "arrivals")
    days = np.arange(1, _HORIZON, dtype=np.int64)
    counts = poisson_counts(rate, uniforms(key, days.astype(np.uint64), 1)[:, 0])
    arrived = np.repeat(days, counts)[:n]
    return np.concatenate([arrived, np.full(n - arrived.size, NEVER, dtype=np.int64)])


def _draws(world: World, purpose: str, *, seed: int) -> FloatArray:
    """One uniform draw for each item, by its row in the catalogue, `float64 [M]`."""
    key = stream_key(seed, "catalogue", purpose)
    return uniforms(key, world.item_rows.astype(np.uint64), 1)[:, 0]
