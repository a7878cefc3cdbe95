"""Whole runs of linear bandits over fixed arms, compiled: choose and learn, round after round.

For research and for replaying tables of rewards, where every round learns at once. Serving decides
on slates and learns later (`lin_ucb.py` and its like).

    >>> import numpy as np
    >>> from matinee_policies.rounds import DisjointState, Optimism, play_disjoint
    >>> rng = np.random.default_rng(0)
    >>> contexts = rng.normal(size=(500, 4)).astype(np.float32)
    >>> rewards = contexts @ rng.normal(size=(4, 3)) + 0.1 * rng.normal(size=(500, 3))
    >>> state = DisjointState.prior(arms=3, dimension=4)
    >>> state, rounds = play_disjoint(state, contexts, rewards, Optimism(alpha=0.5))
    >>> bool(rounds.rewards[-100:].mean() > 0.95 * rewards[-100:].max(axis=1).mean())
    True
"""

from matinee_policies.rounds.disjoint import play_disjoint
from matinee_policies.rounds.exploration import (
    EpsilonDraws,
    Exploration,
    Optimism,
    PosteriorDraws,
)
from matinee_policies.rounds.hybrid import play_hybrid
from matinee_policies.rounds.inputs import Precision
from matinee_policies.rounds.records import DisjointState, HybridState, Rounds, SharedState
from matinee_policies.rounds.shared import play_shared

__all__ = [
    "DisjointState",
    "EpsilonDraws",
    "Exploration",
    "HybridState",
    "Optimism",
    "PosteriorDraws",
    "Precision",
    "Rounds",
    "SharedState",
    "play_disjoint",
    "play_hybrid",
    "play_shared",
]
