"""What a platform knows of items and users: the candidates that a rollout ranks.

Never the true user vectors. Item factors and popularity are fitted on the ratings that the platform
knows, a random four fifths of the data; a user's vector is folded in from that user's own history,
before the run and in it. This is what `platform/offline/prepare.py` does for the arms of a run.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from matinee_policies.arrays import Float32Array, FloatArray, Int64Array, UInt64Array
from matinee_policies.candidates.factor_model import FactorModel
from matinee_policies.candidates.fold_in import FoldInStatistics
from matinee_policies.candidates.registry import fit_candidates
from matinee_policies.candidates.seen import empty_seen, mark_seen
from matinee_policies.catalogue import similarity_embeddings
from matinee_policies.config import check_whole
from matinee_policies.errors import ContextError
from matinee_policies.interactions import Interactions
from matinee_simulator.history import initial_interactions
from matinee_simulator.parameters import Parameters
from matinee_simulator.population import Population
from matinee_simulator.world import World

KNOWN_SHARE = 0.8
"""Share of the data's ratings that the platform knows."""

REST = 50
"""Impressions after which an item that was shown and not watched is a candidate again."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Sight:
    """A platform's models of the items of one world.

    Attributes:
        taste: item factors and offsets; folds users in.
        popularity: offsets log(1 + known ratings).
        embeddings: by which similarity within a slate is measured, `float32 [M, m]`.
        star_mean: mean of the known ratings, which a play half watched stands for.
        star_sd: sd of the known ratings.
        star_range: least and largest known rating.
        rest: impressions for which an item shown and not watched is no candidate.
    """

    taste: FactorModel
    popularity: FactorModel
    embeddings: Float32Array
    star_mean: float
    star_sd: float
    star_range: tuple[float, float]
    rest: int = REST

    @classmethod
    def of_data(
        cls, world: World, interactions: Interactions, *, seed: int, rest: int = REST
    ) -> Self:
        """What a platform learns from `KNOWN_SHARE` of the ratings that the world was built from.

        Args:
            world: the truth, of which only the items' rows and topics are read.
            interactions: all ratings of the data, aligned with the catalogue.
            seed: of the choice of known ratings and of the fit.
            rest: see the class.
        """
        if interactions.n_items <= int(world.item_rows[-1]):
            raise ContextError(
                f"interactions must be of the data's catalogue, of at least "
                f"{int(world.item_rows[-1]) + 1} items, got {interactions.n_items}"
            )
        _, known = interactions.subset_items(world.item_rows).split_random(KNOWN_SHARE, seed=seed)
        return cls.fit(world, known, seed=seed, rest=rest)

    @classmethod
    def fit(cls, world: World, known: Interactions, *, seed: int, rest: int = REST) -> Self:
        """Fit the models.

        Args:
            world: the truth, of which only the items' topics are read.
            known: known ratings of the world's items, `[N, M]`.
            seed: of the fit.
            rest: see the class.

        Raises:
            ContextError: the ratings are not of the world's items.
        """
        check_whole("rest", rest, low=0)
        if known.n_items != world.n_items:
            raise ContextError(
                f"known must have the {world.n_items} items of the world, got {known.n_items}"
            )
        taste = fit_candidates("biased_als", known, seed=seed)
        # The column of ones, which carries a user's bias, says nothing of likeness.
        factors = taste.item_factors[:, np.ptp(taste.item_factors, axis=0) > 0]
        stars = known.matrix.data
        return cls(
            taste=taste,
            popularity=fit_candidates("popularity", known, seed=seed),
            embeddings=similarity_embeddings(factors, world.topics),
            star_mean=float(stars.mean(dtype=np.float64)),
            star_sd=float(stars.std(dtype=np.float64)),
            star_range=(float(stars.min()), float(stars.max())),
            rest=rest,
        )

    def meet(self, world: World, *, users: int, seed: int, parameters: Parameters) -> "Audience":
        """What the platform knows of users before their first visit.

        Worth keeping where the same users are played several times: their past ratings cost as
        much as a few pages.

        Args:
            world: the truth, from which past ratings are drawn.
            users: number of users; they are 0 to `users - 1`.
            seed: of the run.
            parameters: of the users.
        """
        check_whole("users", users, low=1)
        numbers = np.arange(users, dtype=np.int64)
        return self.meet_drawn(
            world, Population.draw(world, numbers, seed=seed, parameters=parameters), seed=seed
        )

    def meet_drawn(self, world: World, population: Population, *, seed: int) -> "Audience":
        """As `meet`, of users that are drawn already."""
        users, items, ratings, _ = initial_interactions(world, population, seed=seed)
        sums = FoldInStatistics(self.taste, len(population))
        sums.add(users, items, ratings)
        seen = empty_seen(len(population), world.n_items)
        mark_seen(seen, users, items)
        return Audience(
            seed=seed,
            gram=sums.gram,
            pull=sums.pull,
            counts=sums.counts,
            vectors=sums.solve(np.arange(len(population), dtype=np.int32)),
            seen=seen,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Audience:
    """Users as the platform knows them before the run; about 2 KB each.

    Attributes:
        seed: of the run.
        gram: sums of `FoldInStatistics`, `float64 [n, f (f + 1) / 2]`.
        pull: likewise, `float64 [n, f]`.
        counts: past ratings of each user, `int64 [n]`.
        vectors: folded in from them, `float32 [n, f]`.
        seen: items rated, one bit each, `uint64 [n, W]`.
    """

    seed: int
    gram: FloatArray
    pull: FloatArray
    counts: Int64Array
    vectors: Float32Array
    seen: UInt64Array

    def __len__(self) -> int:
        return int(self.counts.size)
