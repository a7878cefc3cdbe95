"""What the simulated users rated before the run, a part of the users at a time.

    RUN/world/past_ratings/part-00000.npz    ratings of users 0 to 16,383, and so on

All histories together may be larger than memory: a run draws and writes them part by part, and
reads a part when it comes to its users.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from matinee_policies.array_file import read_arrays, write_arrays
from matinee_policies.arrays import Float32Array, IndexArray, Int64Array
from matinee_simulator.history import initial_interactions
from matinee_simulator.parameters import Parameters
from matinee_simulator.population import Population
from matinee_simulator.world import World

USERS_PER_PART = 16_384
"""Users whose ratings are in memory at once."""

_KIND = "past ratings"
_NAMES = ("users", "items", "ratings", "times")


@dataclass(frozen=True, slots=True)
class PastRatings:
    """Ratings of some users, oldest first within a user.

    Attributes:
        users: whose, `int32 [n]`, rising.
        items: catalogue row, `int32 [n]`.
        ratings: stars, `float32 [n]`.
        times: unix seconds, `int64 [n]`.
    """

    users: IndexArray
    items: IndexArray
    ratings: Float32Array
    times: Int64Array


class Past(Protocol):
    """The ratings of all users of a run."""

    @property
    def n_users(self) -> int:
        """Number of users; they are called 0, 1, ..."""

    def of(self, users: Int64Array) -> Iterator[PastRatings]:
        """Ratings of some users, in parts of rising users.

        Args:
            users: numbers of the users, distinct and rising, `int64 [n]`.

        Returns:
            Parts whose `users` are places among the given ones.
        """


class DrawnPast:
    """Ratings that are drawn when they are asked for: a pure function of (seed, user).

    Args:
        world: the truth.
        parameters: of the users.
        n_users: number of users.
        seed: of the run.
    """

    def __init__(self, world: World, parameters: Parameters, *, n_users: int, seed: int) -> None:
        self.n_users = n_users
        self._world = world
        self._parameters = parameters
        self._seed = seed

    def of(self, users: Int64Array) -> Iterator[PastRatings]:
        """See `Past.of`."""
        for first in range(0, users.size, USERS_PER_PART):
            population = Population.draw(
                self._world,
                users[first : first + USERS_PER_PART],
                seed=self._seed,
                parameters=self._parameters,
            )
            places, items, ratings, times = initial_interactions(
                self._world, population, seed=self._seed
            )
            yield PastRatings(places + np.int32(first), items, ratings, times)


class StoredPast:
    """Ratings that `save_past` wrote.

    Args:
        folder: where they are.
        n_users: number of users.
    """

    def __init__(self, folder: Path, *, n_users: int) -> None:
        self.n_users = n_users
        self._folder = folder

    def of(self, users: Int64Array) -> Iterator[PastRatings]:
        """See `Past.of`.

        Raises:
            DataError: a part is missing or damaged.
        """
        part_of = users // USERS_PER_PART
        for part in np.unique(part_of):
            first, last = np.searchsorted(part_of, [part, part + 1])
            arrays, _ = read_arrays(_path(self._folder, int(part)), kind=_KIND, names=_NAMES)
            yield _selected(PastRatings(**arrays), users[first:last], first=int(first))


def save_past(past: Past, folder: Path) -> None:
    """Write all ratings under `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, first in enumerate(range(0, past.n_users, USERS_PER_PART)):
        numbers = np.arange(first, min(first + USERS_PER_PART, past.n_users), dtype=np.int64)
        (drawn,) = past.of(numbers)
        arrays = {
            "users": drawn.users + np.int32(first),
            "items": drawn.items,
            "ratings": drawn.ratings,
            "times": drawn.times,
        }
        write_arrays(_path(folder, part), kind=_KIND, arrays=arrays, header={})


def all_ratings(past: Past) -> PastRatings:
    """All ratings in one piece."""
    parts = list(past.of(np.arange(past.n_users, dtype=np.int64)))
    return PastRatings(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in _NAMES)
    )


def popularity(past: Past, *, items: int) -> tuple[Int64Array, int]:
    """How many of the users rated each item, `int64 [items]`, and how many rated any."""
    counts = np.zeros(items, dtype=np.int64)
    raters = 0
    for part in past.of(np.arange(past.n_users, dtype=np.int64)):
        counts += np.bincount(part.items, minlength=items)
        raters += np.unique(part.users).size
    return counts, raters


def _path(folder: Path, part: int) -> Path:
    return folder / f"part-{part:05d}.npz"


def _selected(part: PastRatings, users: Int64Array, *, first: int) -> PastRatings:
    """Ratings of some users of a part, renumbered by their places, which begin at `first`."""
    place = np.searchsorted(users, part.users)
    inside = (place < users.size) & (users[np.minimum(place, users.size - 1)] == part.users)
    return PastRatings(
        (place[inside] + first).astype(np.int32),
        part.items[inside],
        part.ratings[inside],
        part.times[inside],
    )
