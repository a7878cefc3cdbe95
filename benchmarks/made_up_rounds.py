"""Rounds for the linear bandits, as many as measure well at each size, and their limits."""

from dataclasses import dataclass

import numpy as np

from harness import Effort, Size
from matinee_policies.arrays import Float32Array, FloatArray
from peers.made_up import disjoint_rounds, shared_rounds

SEED = 1


@dataclass(frozen=True, slots=True)
class Game:
    """Features and rewards of rounds, drawn as the peers draw theirs, in our type."""

    features: Float32Array
    rewards: FloatArray


def disjoint_game(size: Size, effort: Effort) -> Game:
    """One context a round: features `[T, d]`."""
    n = 20 if effort.tiny else max(40_000_000 // (size.K * size.d**2), 500)
    contexts, rewards = disjoint_rounds(SEED, n=n, d=size.d, K=size.K)
    return Game(contexts.astype(np.float32), rewards)


def cheap_game(size: Size, effort: Effort) -> Game:
    """As `disjoint_game`, more rounds: for those whose work does not grow with K d^2."""
    work = size.K * size.d + size.d**2
    n = 20 if effort.tiny else min(max(40_000_000 // work, 1_000), 20_000)
    contexts, rewards = disjoint_rounds(SEED, n=n, d=size.d, K=size.K)
    return Game(contexts.astype(np.float32), rewards)


def shared_game(size: Size, effort: Effort) -> Game:
    """Features of every arm in every round, `[T, K, d]`."""
    n = 20 if effort.tiny else max(4_000_000 // (size.K * size.d), 100)
    features, rewards = shared_rounds(SEED, n=n, d=size.d, K=size.K)
    return Game(features.astype(np.float32), rewards)


def peer_settings(size: Size, effort: Effort, **more: int | str) -> dict[str, int | str]:
    """What the peers read; fewer rounds, since they take longer for each."""
    rounds = 3 if effort.tiny else max(100_000 // (size.K * size.d), 5)
    return {"d": size.d, "K": size.K, "seed": SEED, "rounds": rounds, **more}
