"""Disjoint LinUCB that decides and learns every round, beside Open Bandit Pipeline's.

The limit reads a d x d matrix of every arm once per round. Ours reads half of each, since they are
symmetric, so the limit can be passed.

    python benchmarks/disjoint_lin_ucb.py [--quick] [--json]
"""

from typing import get_args

from harness import Bars, Effort, Limit, Peer, PeerFigure, Row, Size, Work, compare, main
from limits import reading
from made_up_rounds import disjoint_game, peer_settings
from matinee_policies.rounds import DisjointState, Optimism, Precision, play_disjoint

TIMES_PEER = {16: 80.0, 64: 12.0, 128: 8.0}


def row(size: Size, effort: Effort, precision: Precision, peer: Peer | PeerFigure | None) -> Row:
    """Ours with widths of one precision; everything else is float64 in both."""
    game = disjoint_game(size, effort)
    prior = DisjointState.prior(arms=size.K, dimension=size.d)

    def play() -> None:
        play_disjoint(prior, game.features, game.rewards, Optimism(alpha=1.0), precision=precision)

    width = 8 if precision == "float64" else 4
    return compare(
        f"disjoint LinUCB, decide + learn, widths in {precision}",
        size=size,
        unit="rounds/s",
        ours=Work(play, units=len(game.rewards)),
        peer=peer,
        limit=Limit(f"read K d^2 numbers of {precision} once", reading(width * size.K * size.d**2)),
        bars=Bars(
            peer=TIMES_PEER.get(size.d),
            limit=0.5,
            peer_goal=25.0 if size.d == 64 else None,
            limit_goal=0.8,
        ),
        effort=effort,
    )


def measure(effort: Effort) -> list[Row]:
    """Two rows for every size; the peer knows no precisions, so it is measured once."""
    rows = []
    for size in effort.sizes:
        peer: Peer | PeerFigure | None = Peer(
            "obp", "obp_linear", "obp", peer_settings(size, effort, policy="lin_ucb")
        )
        for precision in get_args(Precision):
            rows.append(row(size, effort, precision, peer))
            peer = rows[-1].peer
    return rows


if __name__ == "__main__":
    main(__doc__, measure)
