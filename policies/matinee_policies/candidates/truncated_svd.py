"""Truncated singular value decomposition of the ratings, a missing rating being 0.

With R ~ U S Q', the ranking of a user with ratings r is that of Q Q' r, so p_u = Q' r (PureSVD:
Cremonesi, Koren and Turrin 2010, "Performance of recommender algorithms on top-n recommendation
tasks", section 4.2).
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import svds
from threadpoolctl import threadpool_limits

from matinee_policies.arrays import FloatArray
from matinee_policies.candidates.factor_model import FactorModel, FoldInRule, ObservationWeights
from matinee_policies.candidates.ratings_matrix import check_ratings
from matinee_policies.candidates.training_users import with_population_prior, with_score_constants
from matinee_policies.config import Config, check_range, check_whole
from matinee_policies.errors import ConfigError
from matinee_policies.interactions import Interactions, Ratings

KIND = "svd"


@dataclass(frozen=True, slots=True, kw_only=True)
class TruncatedSVDConfig(Config):
    """Settings; the defaults were chosen on MovieLens ratings held out by time.

    Attributes:
        factors: singular vectors to keep, at least 1 and below both sides of the matrix.
        ridge: weight of the mean user in a user's vector, at least 0.
    """

    factors: int = 32
    ridge: float = 0.1

    def __post_init__(self) -> None:
        check_whole("factors", self.factors, low=1)
        check_range("ridge", self.ridge, low=0.0)


def fit_truncated_svd(
    interactions: Interactions, config: TruncatedSVDConfig, *, seed: int
) -> FactorModel:
    """Fit item factors: the right singular vectors, largest singular value first.

    Args:
        interactions: ratings above 0.
        config: settings.
        seed: seed of the vector that the iteration starts from.

    Raises:
        ContextError: there is no rating, or one is not above 0.
        ConfigError: more factors than the matrix allows.
    """
    matrix = interactions.matrix
    check_ratings(matrix, positive=True)
    if config.factors >= min(matrix.shape):
        raise ConfigError(
            f"factors must be < {min(matrix.shape)}, the shorter side of the matrix, "
            f"got {config.factors}"
        )
    f = config.factors
    item_factors = right_singular_vectors(matrix, factors=f, seed=seed).astype(np.float32)
    model = FactorModel(
        kind=KIND,
        feedback="implicit",
        item_factors=item_factors,
        item_offset=np.zeros(len(item_factors), dtype=np.float32),
        prior=np.zeros(f, dtype=np.float32),
        rule=FoldInRule(
            base=np.eye(f),
            ridge=np.full(f, float(config.ridge)),
            ridge_per_observation=np.zeros(f),
            weights=ObservationWeights(pull_slope=1.0),
        ),
    )
    return with_score_constants(with_population_prior(model, matrix), matrix)


def right_singular_vectors(matrix: Ratings, *, factors: int, seed: int) -> FloatArray:
    """The leading right singular vectors, `float64 [M, factors]`, by falling singular value.

    The largest component of each vector is positive, so that the sign is settled.

    Args:
        matrix: `[N, M]`.
        factors: how many, below both N and M.
        seed: seed of the vector that the iteration starts from.
    """
    start = np.random.default_rng(seed).normal(size=min(matrix.shape))
    # One thread: sums would otherwise depend on how work was shared out.
    with threadpool_limits(limits=1, user_api="blas"):
        _, values, rows = svds(matrix.astype(np.float64), k=factors, v0=start)
    rows = rows[np.argsort(-values, kind="stable")]
    largest = rows[np.arange(factors), np.abs(rows).argmax(axis=1)]
    return np.ascontiguousarray((rows * np.sign(largest)[:, None]).T)
