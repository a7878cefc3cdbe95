"""Popularity: every unit gets the most rated items, the fallback of all other sources."""

from dataclasses import dataclass

import numpy as np

from matinee_policies.candidates.factor_model import FactorModel, FoldInRule, ObservationWeights
from matinee_policies.candidates.ratings_matrix import check_ratings
from matinee_policies.candidates.training_users import with_score_constants
from matinee_policies.config import Config
from matinee_policies.interactions import Interactions

KIND = "popularity"


@dataclass(frozen=True, slots=True, kw_only=True)
class PopularityConfig(Config):
    """Popularity has nothing to set."""


def fit_popularity(
    interactions: Interactions, config: PopularityConfig, *, seed: int
) -> FactorModel:
    """A model of one factor, zero throughout, whose offsets are log(1 + ratings of the item).

    Args:
        interactions: ratings; their values do not matter.
        config: settings.
        seed: not used, popularity draws nothing.

    Raises:
        ContextError: there is no rating.
    """
    del config, seed
    check_ratings(interactions.matrix)
    counts = interactions.item_counts()
    model = FactorModel(
        kind=KIND,
        feedback="explicit",
        item_factors=np.zeros((counts.size, 1), dtype=np.float32),
        item_offset=np.log1p(counts).astype(np.float32),
        prior=np.zeros(1, dtype=np.float32),
        rule=FoldInRule(
            base=np.eye(1),
            ridge=np.zeros(1),
            ridge_per_observation=np.zeros(1),
            weights=ObservationWeights(),
        ),
    )
    return with_score_constants(model, interactions.matrix)
