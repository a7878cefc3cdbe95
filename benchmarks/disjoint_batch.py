"""Best arms of 512 contexts at once under disjoint LinUCB, beside MABWiser's `predict`.

The limit is K matrix products of all contexts with A_k^-1. Ours is one product with half as many
multiplications (see `arm_scores.py`), so the limit can be passed.

    python benchmarks/disjoint_batch.py [--quick] [--json]
"""

from typing import get_args

import numpy as np

from harness import Bars, Effort, Limit, Peer, Row, Size, Work, compare, main
from limits import product
from made_up_rounds import SEED
from matinee_policies.arm_scores import ArmScores
from matinee_policies.rounds import DisjointState, EpsilonDraws, Precision, play_disjoint
from peers.made_up import disjoint_rounds


def row(size: Size, effort: Effort, precision: Precision) -> Row:
    """Ours in one precision; the peer computes in float64."""
    batch = 8 if effort.tiny else 512
    contexts, rewards = disjoint_rounds(SEED, n=batch, d=size.d, K=size.K)
    X = contexts.astype(np.float32)
    prior = DisjointState.prior(arms=size.K, dimension=size.d)
    state, _ = play_disjoint(prior, X, rewards, EpsilonDraws(epsilon=1.0))
    scores = ArmScores.of(state.inverse, state.theta, precision=precision)
    calls = 1 if effort.tiny else max(20_000_000 // (batch * size.K * size.d), 1)

    def score() -> None:
        for _ in range(calls):
            scores.best_arms(X, alpha=1.0)

    single = precision == "float32"
    return compare(
        f"disjoint LinUCB, {batch} contexts at once, {precision}",
        size=size,
        unit="contexts/s",
        ours=Work(score, units=calls * batch),
        peer=Peer(
            "mabwiser",
            "mabwiser_lin_ucb",
            "mabwiser",
            {"d": size.d, "K": size.K, "seed": SEED, "batch": batch},
        ),
        limit=Limit(
            f"K products [{batch}, d] x [d, d] in {precision}",
            product(batch, size.d, size.d, dtype=np.dtype(precision).type),
            scale=batch / size.K,
        ),
        bars=Bars(peer=2.0 if single else None, limit=0.6, peer_goal=2.8 if single else None),
        effort=effort,
    )


def measure(effort: Effort) -> list[Row]:
    """Two rows for every size."""
    return [
        row(size, effort, precision) for size in effort.sizes for precision in get_args(Precision)
    ]


if __name__ == "__main__":
    main(__doc__, measure)
