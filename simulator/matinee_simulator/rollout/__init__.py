"""Whole lives of simulated users under rankers that do not learn, in compiled code, without a log.

    sight = Sight.of_data(world, interactions, seed=1)
    played = play(world, sight, relevance_order(), users=3_000, days=90, seed=1,
                  parameters=Parameters())
    played.day_share(28), played.sessions_per_user(), played.ctr()

The users are those of `Simulation` with the same seed and parameters, draw by draw, and candidates
come from the platform's view of them; two rankers, or two sets of parameters, meet the same luck.
"""

from matinee_simulator.rollout.estimate import Estimate, paired_difference
from matinee_simulator.rollout.play import play
from matinee_simulator.rollout.played import Played, Sessions
from matinee_simulator.rollout.rankers import (
    Ranker,
    click_order,
    index_order,
    mmr_order,
    popularity_order,
    random_order,
    relevance_order,
    satisfaction_order,
)
from matinee_simulator.rollout.sight import Audience, Sight

__all__ = [
    "Audience",
    "Estimate",
    "Played",
    "Ranker",
    "Sessions",
    "Sight",
    "click_order",
    "index_order",
    "mmr_order",
    "paired_difference",
    "play",
    "popularity_order",
    "random_order",
    "relevance_order",
    "satisfaction_order",
]
