"""The biased factorization of ratings as a candidate source.

A unit's own bias is one more factor, whose item side is 1 throughout:

    raw(u, i) = (global_mean + item_bias[i]) + [user_bias[u], p_u] . [1, q_i]

so raw is the expected rating in stars.
"""

import numpy as np

from matinee_policies.candidates.biased_als import BiasedALSConfig, BiasedFactors, fit_biased_als
from matinee_policies.candidates.factor_model import FactorModel, FoldInRule, ObservationWeights
from matinee_policies.candidates.training_users import with_score_constants
from matinee_policies.interactions import Interactions

KIND = "biased_als"


def biased_als_model(
    interactions: Interactions, config: BiasedALSConfig, *, seed: int
) -> FactorModel:
    """Fit the factorization and keep its item side.

    Args:
        interactions: ratings in stars.
        config: settings.
        seed: seed of the item factors at the start.

    Raises:
        ContextError: there is no rating, or one is not finite.
    """
    fitted = fit_biased_als(interactions.matrix, config, seed=seed)
    return with_score_constants(rating_model(fitted, config), interactions.matrix)


def rating_model(fitted: BiasedFactors, config: BiasedALSConfig) -> FactorModel:
    """The item side of a fitted factorization; its score constants are still 0 and 1.

    Args:
        fitted: what `fit_biased_als` gave for `config`.
        config: settings, whose ridge also folds units in.
    """
    ridge = config.penalty()
    f = ridge.fixed.size
    ones = np.ones((len(fitted.item_bias), 1))
    return FactorModel(
        kind=KIND,
        feedback="explicit",
        item_factors=np.hstack([ones, fitted.item_factors]).astype(np.float32),
        item_offset=(fitted.global_mean + fitted.item_bias).astype(np.float32),
        prior=np.zeros(f, dtype=np.float32),
        rule=FoldInRule(
            base=np.zeros((f, f)),
            ridge=ridge.fixed,
            ridge_per_observation=ridge.per_rating,
            weights=ObservationWeights(gram_constant=1.0, pull_slope=1.0),
        ),
    )
