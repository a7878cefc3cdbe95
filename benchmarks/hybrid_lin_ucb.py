"""Hybrid LinUCB that decides and learns every round, beside the paper's algorithm in numpy.

No library that we know has it, so the peer is a plain program of Li et al. 2010, algorithm 2, with
inverses kept between rounds. As many features are shared as are the arm's own.

    python benchmarks/hybrid_lin_ucb.py [--quick] [--json]
"""

import numpy as np

from harness import Bars, Effort, Limit, Peer, Row, Size, Work, compare, main
from limits import reading
from made_up_rounds import SEED, peer_settings, shared_game
from matinee_policies.rounds import HybridState, Optimism, play_hybrid


def row(size: Size, effort: Effort) -> Row:
    """The context of a round is made of its first arm's features."""
    game = shared_game(size, effort)
    contexts = np.ascontiguousarray(game.features[:, 0])
    prior = HybridState.prior(arms=size.K, dimension=size.d, shared_dimension=size.d)
    settings = peer_settings(size, effort)
    return compare(
        "hybrid LinUCB, decide + learn",
        size=size,
        unit="rounds/s",
        ours=Work(
            lambda: play_hybrid(
                prior, contexts, game.features, game.rewards, Optimism(alpha=1.0), key=SEED
            ),
            units=len(game.rewards),
        ),
        peer=Peer("the paper in numpy", "numpy_hybrid", None, settings),
        limit=Limit("read 1.5 K d^2 numbers of float64 once", reading(12 * size.K * size.d**2)),
        bars=Bars(),
        effort=effort,
        note="Half of each A_k^-1 and the whole of each A_k^-1 B_k are read once.",
    )


def measure(effort: Effort) -> list[Row]:
    """One row for every size."""
    return [row(size, effort) for size in effort.sizes]


if __name__ == "__main__":
    main(__doc__, measure)
