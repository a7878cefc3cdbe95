"""LinUCB with one theta for all arms that decides and learns every round, beside Coba's.

The limit is the matrix product of all rows with A^-1. Ours does half of its products, since A^-1 is
symmetric, so the limit can be passed.

    python benchmarks/shared_lin_ucb.py [--quick] [--json]
"""

from typing import get_args

import numpy as np

from harness import Bars, Effort, Limit, Peer, PeerFigure, Row, Size, Work, compare, main
from limits import product
from made_up_rounds import peer_settings, shared_game
from matinee_policies.rounds import Optimism, Precision, SharedState, play_shared


def row(size: Size, effort: Effort, precision: Precision, peer: Peer | PeerFigure | None) -> Row:
    """Ours with widths of one precision; everything else is float64 in both."""
    game = shared_game(size, effort)
    prior = SharedState.prior(dimension=size.d)

    def play() -> None:
        play_shared(prior, game.features, game.rewards, Optimism(alpha=1.0), precision=precision)

    bars = Bars(peer=50.0, limit=0.6, peer_goal=350.0, limit_goal=0.85)
    note = ""
    if precision == "float32":
        bars = Bars(peer=50.0, peer_goal=350.0)
        note = "Values and learning stay in float64, so only the widths gain: no bar on the limit."
    return compare(
        f"shared LinUCB, decide + learn, widths in {precision}",
        size=size,
        unit="rounds/s",
        ours=Work(play, units=len(game.rewards)),
        peer=peer,
        limit=Limit(
            f"product [K, d] x [d, d] in {precision}",
            product(size.K, size.d, size.d, dtype=np.dtype(precision).type),
        ),
        bars=bars,
        effort=effort,
        note=note,
    )


def measure(effort: Effort) -> list[Row]:
    """Two rows for every size; the peer knows no precisions, so it is measured once."""
    rows = []
    for size in effort.sizes:
        peer: Peer | PeerFigure | None = Peer(
            "coba", "coba_linear", "coba", peer_settings(size, effort, policy="lin_ucb")
        )
        for precision in get_args(Precision):
            rows.append(row(size, effort, precision, peer))
            peer = rows[-1].peer
    return rows


if __name__ == "__main__":
    main(__doc__, measure)
