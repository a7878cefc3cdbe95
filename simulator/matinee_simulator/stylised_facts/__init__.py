"""Stylised facts: what is known of real services, as claims that simulated users are held to.

Each fact is a claim (`FACTS`) and a function that computes the figures of simulated users, beside
those of real data or of the literature, and gives its verdict.

    simulated = [simulated_sample(world, parameters, seed=seed, ratings=100_000) for seed in (1, 2)]
    zipf(simulated, RatingSample.of_interactions(interactions)).verdict
"""

from matinee_simulator.stylised_facts.beta_geometric import BetaGeometric, fit_beta_geometric
from matinee_simulator.stylised_facts.consumption import consume
from matinee_simulator.stylised_facts.examination import fitted_persistence, position_curve
from matinee_simulator.stylised_facts.fact import FACTS, Claim, fact
from matinee_simulator.stylised_facts.finding import (
    Figure,
    Finding,
    Line,
    Plot,
    Verdict,
    judge,
    mean_and_error,
    near,
    told,
    within,
)
from matinee_simulator.stylised_facts.personalisation import (
    Breadth,
    Consumption,
    Effect,
    diverse_stay,
    effects_are_small,
    personalisation,
    sign_figure,
)
from matinee_simulator.stylised_facts.popularity import (
    popularity_and_quality,
    popularity_inequality,
    single_ratings,
    tail,
    zipf,
)
from matinee_simulator.stylised_facts.ratings import activity, rating_biases, rating_shape
from matinee_simulator.stylised_facts.sample import RatingSample, simulated_sample
from matinee_simulator.stylised_facts.taste import spectrum_of_population, taste_spectrum
from matinee_simulator.stylised_facts.visits import (
    Visits,
    churn,
    come_once,
    depth_and_return,
    retention_curve,
    session_ends,
)

__all__ = [
    "FACTS",
    "BetaGeometric",
    "Breadth",
    "Claim",
    "Consumption",
    "Effect",
    "Figure",
    "Finding",
    "Line",
    "Plot",
    "RatingSample",
    "Verdict",
    "Visits",
    "activity",
    "churn",
    "come_once",
    "consume",
    "depth_and_return",
    "diverse_stay",
    "effects_are_small",
    "fact",
    "fit_beta_geometric",
    "fitted_persistence",
    "judge",
    "mean_and_error",
    "near",
    "personalisation",
    "popularity_and_quality",
    "popularity_inequality",
    "position_curve",
    "rating_biases",
    "rating_shape",
    "retention_curve",
    "session_ends",
    "sign_figure",
    "simulated_sample",
    "single_ratings",
    "spectrum_of_population",
    "tail",
    "taste_spectrum",
    "told",
    "within",
    "zipf",
]
