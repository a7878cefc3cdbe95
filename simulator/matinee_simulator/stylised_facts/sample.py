"""Ratings of many users on many items, counted: of real data, and of simulated histories."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from matinee_policies.arrays import AnyArray, FloatArray, Int64Array
from matinee_policies.interactions import Interactions
from matinee_simulator.history import initial_interactions
from matinee_simulator.parameters import Parameters
from matinee_simulator.population import Population
from matinee_simulator.world import World

MOST_USERS = 20_000
"""Most users that a simulated sample draws."""


@dataclass(frozen=True, slots=True, eq=False)
class RatingSample:
    """What the facts about ratings need of a collection; users and items with a rating only.

    Attributes:
        user_counts: ratings of each user, >= 1, `int64 [U]`.
        user_means: mean rating of each, `float64 [U]`.
        item_counts: ratings of each item, >= 1, `int64 [M]`.
        item_means: mean rating of each, `float64 [M]`.
        levels: ratings that occur, ascending, `float64 [R]`.
        level_counts: how often, `int64 [R]`.
    """

    user_counts: Int64Array
    user_means: FloatArray
    item_counts: Int64Array
    item_means: FloatArray
    levels: FloatArray
    level_counts: Int64Array

    @classmethod
    def of(cls, users: AnyArray, items: AnyArray, ratings: AnyArray) -> Self:
        """Count ratings.

        Args:
            users: number of the user of each rating, `[nnz]`.
            items: number of the item, `[nnz]`.
            ratings: `[nnz]`, at least one.
        """
        levels, level_counts = np.unique(ratings, return_counts=True)
        user_counts, user_means = _counts_and_means(users, ratings)
        item_counts, item_means = _counts_and_means(items, ratings)
        return cls(
            user_counts, user_means, item_counts, item_means, levels.astype(float), level_counts
        )

    @classmethod
    def of_interactions(cls, interactions: Interactions) -> Self:
        """Count the ratings of a data set."""
        matrix = interactions.matrix
        return cls.of(interactions.user_rows(), matrix.indices, matrix.data)

    @property
    def size(self) -> int:
        """Number of ratings."""
        return int(self.level_counts.sum())

    def shares(self, levels: FloatArray) -> FloatArray:
        """Share of the ratings at each of the given levels, `float64 [n]`."""
        found = dict(zip(self.levels.tolist(), self.level_counts.tolist(), strict=True))
        return np.array([found.get(level, 0) for level in levels.tolist()]) / self.size


def simulated_sample(
    world: World, parameters: Parameters, *, seed: int, ratings: int
) -> RatingSample:
    """The histories of as many simulated users as have about `ratings` ratings between them.

    Singletons, tails and inequality depend on the size of a collection, so a simulated one is
    compared with a real one of its size; with at most `MOST_USERS` users.

    Args:
        world: the truth.
        parameters: of the users.
        seed: of the population.
        ratings: number of ratings to aim at.
    """
    probe = Population.draw(world, np.arange(500), seed=seed, parameters=parameters)
    mean = max(float(probe.history_length.mean()), 1.0)
    n = int(np.clip(round(ratings / mean), 100, MOST_USERS))
    population = Population.draw(world, np.arange(n), seed=seed, parameters=parameters)
    users, items, stars, _ = initial_interactions(world, population, seed=seed)
    return RatingSample.of(users, items, stars)


def _counts_and_means(groups: AnyArray, ratings: AnyArray) -> tuple[Int64Array, FloatArray]:
    counts = np.bincount(groups)
    sums = np.bincount(groups, weights=ratings)
    kept = counts > 0
    return counts[kept].astype(np.int64), sums[kept] / counts[kept]
