"""Epsilon-greedy on ridge regressions that decides and learns every round, beside obp's.

The limit reads all coefficients once and passes over the matrices of one arm: the inverse once to
read and once to change, half of the sums once to change. Where arms share nothing, ours keeps half
of the inverse.

    python benchmarks/epsilon_greedy.py [--quick] [--json]
"""

from harness import Bars, Effort, Limit, Peer, Row, Size, Work, compare, main
from limits import reading
from made_up_rounds import cheap_game, peer_settings, shared_game
from matinee_policies.rounds import (
    DisjointState,
    EpsilonDraws,
    SharedState,
    play_disjoint,
    play_shared,
)

EXPLORE = EpsilonDraws(epsilon=0.1)


def disjoint(size: Size, effort: Effort) -> Row:
    """Arms with a regression each."""
    game = cheap_game(size, effort)
    prior = DisjointState.prior(arms=size.K, dimension=size.d)
    settings = peer_settings(size, effort, policy="lin_epsilon_greedy")
    return compare(
        "epsilon-greedy, disjoint, decide + learn",
        size=size,
        unit="rounds/s",
        ours=Work(
            lambda: play_disjoint(prior, game.features, game.rewards, EXPLORE),
            units=len(game.rewards),
        ),
        peer=Peer("obp", "obp_linear", "obp", settings),
        limit=Limit(
            "read K d + 2.5 d^2 numbers of float64 once",
            reading(8 * size.K * size.d + 20 * size.d**2),
        ),
        bars=Bars(peer=50.0, peer_goal=300.0),
        effort=effort,
    )


def shared(size: Size, effort: Effort) -> Row:
    """One regression for all arms; no peer has it."""
    game = shared_game(size, effort)
    prior = SharedState.prior(dimension=size.d)
    return compare(
        "epsilon-greedy, shared, decide + learn",
        size=size,
        unit="rounds/s",
        ours=Work(
            lambda: play_shared(prior, game.features, game.rewards, EXPLORE),
            units=len(game.rewards),
        ),
        limit=Limit(
            "read K d numbers of float32 and 2.5 d^2 of float64 once",
            reading(4 * size.K * size.d + 20 * size.d**2),
        ),
        effort=effort,
    )


def measure(effort: Effort) -> list[Row]:
    """Two rows for every size."""
    return [form(size, effort) for size in effort.sizes for form in (disjoint, shared)]


if __name__ == "__main__":
    main(__doc__, measure)
