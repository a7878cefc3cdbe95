"""What a platform knows of items and users: the candidates that a rollout ranks.

Never the true user vectors. Item factors and popularity are fitted on the ratings that the platform
knows, a random four fifths of the data; a user's vector is folded in from that user's own history,
before the run and in it. This is what `platform/offline/prepare.py` does for the arms of a run.
"""

from dataclasses import dataclass
from typing import Self

from matinee_policies.arrays import Float32Array, FloatArray, Int64Array, UInt64Array
from matinee_policies.candidates.factor_model import FactorModel
from matinee_policies.interactions import Interactions
from matinee_simulator.parameters import Parameters
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
        raise NotImplementedError

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
        raise NotImplementedError

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
        raise NotImplementedError


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
