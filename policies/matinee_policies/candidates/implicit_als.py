"""Matrix factorization of implicit feedback, by the alternating least squares of `implicit`.

An observed pair of strength v is liked with confidence c = 1 + confidence_slope v, every other pair
is not liked with confidence 1, and sum c_ui (liked_ui - p_u . q_i)^2 + ridge (|p|^2 + |q|^2) is
least: Hu, Koren and Volinsky 2008, "Collaborative filtering for implicit feedback datasets", eq. 3.
The normal equations of a user are eq. 4 there.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from matinee_policies.candidates.factor_model import FactorModel, FoldInRule, ObservationWeights
from matinee_policies.candidates.ratings_matrix import check_ratings
from matinee_policies.candidates.training_users import with_population_prior, with_score_constants
from matinee_policies.config import Config, check_range, check_whole
from matinee_policies.errors import MatineeError
from matinee_policies.interactions import Interactions

KIND = "implicit_als"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImplicitALSConfig(Config):
    """Settings; the defaults were chosen on MovieLens ratings held out by time.

    Attributes:
        factors: length of p_u and q_i, at least 1.
        iterations: passes over users and items, at least 1.
        ridge: penalty of each squared factor, above 0.
        confidence_slope: confidence added per unit of strength, above 0.
    """

    factors: int = 32
    iterations: int = 15
    ridge: float = 10.0
    confidence_slope: float = 1.0

    def __post_init__(self) -> None:
        check_whole("factors", self.factors, low=1)
        check_whole("iterations", self.iterations, low=1)
        check_range("ridge", self.ridge, low=0.0, low_open=True)
        check_range("confidence_slope", self.confidence_slope, low=0.0, low_open=True)


def fit_implicit_als(
    interactions: Interactions, config: ImplicitALSConfig, *, seed: int
) -> FactorModel:
    """Fit item factors; ratings serve as strengths.

    Args:
        interactions: ratings above 0.
        config: settings.
        seed: seed of the factors at the start, at least 0.

    Raises:
        ContextError: there is no rating, or one is not above 0.
        MatineeError: the library cannot be loaded.
    """
    solver = _solver()
    matrix = interactions.matrix
    check_ratings(matrix, positive=True)
    confidence = np.float32(1.0) + np.float32(config.confidence_slope) * matrix.data
    liked = sparse.csr_matrix((confidence, matrix.indices, matrix.indptr), shape=matrix.shape)
    # One thread everywhere: sums would otherwise depend on how work was shared out.
    with threadpool_limits(limits=1, user_api="blas"):
        library = solver(
            factors=config.factors,
            regularization=config.ridge,
            iterations=config.iterations,
            num_threads=1,
            random_state=seed,
        )
        library.fit(liked, show_progress=False)
        item_factors = np.ascontiguousarray(library.item_factors, dtype=np.float32)
        wide = item_factors.astype(np.float64)
        base = wide.T @ wide
    f = config.factors
    model = FactorModel(
        kind=KIND,
        feedback="implicit",
        item_factors=item_factors,
        item_offset=np.zeros(len(item_factors), dtype=np.float32),
        prior=np.zeros(f, dtype=np.float32),
        rule=FoldInRule(
            base=(base + base.T) / 2.0,
            ridge=np.full(f, float(config.ridge)),
            ridge_per_observation=np.zeros(f),
            weights=ObservationWeights(
                gram_slope=config.confidence_slope,
                pull_constant=1.0,
                pull_slope=config.confidence_slope,
            ),
        ),
    )
    return with_score_constants(with_population_prior(model, matrix), matrix)


def _solver() -> Any:
    """The library's class, loaded by the first fit: nothing else asks for it."""
    try:
        from implicit.cpu.als import AlternatingLeastSquares
    except ImportError as failed:
        raise MatineeError(
            f"candidates {KIND!r} are fitted by the package implicit, which cannot be loaded "
            f"({failed}); it needs the system's libgomp.so.1 (Debian: apt install libgomp1)"
        ) from failed
    return AlternatingLeastSquares
