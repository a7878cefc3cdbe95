"""Thompson sampling on ridge regressions that decides and learns every round, beside peers.

Ours draws the score of each arm, widths in float32; peers draw coefficients or scores, whichever of
theirs is faster. Limits are those of LinUCB, which has the same widths to compute.

    python benchmarks/thompson.py [--quick] [--json]
"""

import numpy as np

from harness import Bars, Effort, Limit, Peer, Row, Size, Work, compare, main
from limits import product, reading
from made_up_rounds import disjoint_game, peer_settings, shared_game
from matinee_policies.rounds import (
    DisjointState,
    PosteriorDraws,
    SharedState,
    play_disjoint,
    play_shared,
)

EXPLORE = PosteriorDraws(scale=1.0)


def disjoint(size: Size, effort: Effort) -> Row:
    """Arms with a regression each."""
    game = disjoint_game(size, effort)
    prior = DisjointState.prior(arms=size.K, dimension=size.d)

    def play() -> None:
        play_disjoint(prior, game.features, game.rewards, EXPLORE, precision="float32")

    return compare(
        "Thompson, disjoint, decide + learn",
        size=size,
        unit="rounds/s",
        ours=Work(play, units=len(game.rewards)),
        peer=Peer(
            "contextualbandits",
            "contextualbandits_lin_ts",
            "contextualbandits",
            peer_settings(size, effort),
        ),
        limit=Limit("read K d^2 numbers of float32 once", reading(4 * size.K * size.d**2)),
        bars=Bars(peer=30.0),
        effort=effort,
    )


def shared(size: Size, effort: Effort) -> Row:
    """One regression for all arms."""
    game = shared_game(size, effort)
    prior = SharedState.prior(dimension=size.d)

    def play() -> None:
        play_shared(prior, game.features, game.rewards, EXPLORE, precision="float32")

    return compare(
        "Thompson, shared, decide + learn",
        size=size,
        unit="rounds/s",
        ours=Work(play, units=len(game.rewards)),
        peer=Peer("coba", "coba_linear", "coba", peer_settings(size, effort, policy="lin_ts")),
        limit=Limit(
            "product [K, d] x [d, d] in float32", product(size.K, size.d, size.d, dtype=np.float32)
        ),
        bars=Bars(peer=150.0),
        effort=effort,
    )


def measure(effort: Effort) -> list[Row]:
    """Two rows for every size."""
    return [form(size, effort) for size in effort.sizes for form in (disjoint, shared)]


if __name__ == "__main__":
    main(__doc__, measure)
