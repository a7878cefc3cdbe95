"""The peers of linear policies, with the settings that make their rounds the size of ours."""

from harness import Size
from peer_process import Peer

SEED = 7
"""Of the made-up data (peers/made_up.py); draw ours from the same."""


def obp(policy: str, size: Size) -> Peer:
    """Open Bandit Pipeline, rounds: `lin_ucb`, `lin_epsilon_greedy` or `lin_ts`, disjoint."""
    return Peer("obp", "obp_linear", "obp", {"policy": policy} | _game(size))


def mabwiser(size: Size, *, batch: int) -> Peer:
    """MABWiser's disjoint LinUCB, contexts scored in batches."""
    settings = {"d": size.d, "K": size.K, "batch": batch, "seed": SEED}
    return Peer("mabwiser", "mabwiser_lin_ucb", "mabwiser", settings)


def coba(policy: str, size: Size) -> Peer:
    """Coba, rounds: `lin_ucb` or `lin_ts`, shared."""
    return Peer("coba", "coba_linear", "coba", {"policy": policy} | _game(size))


def contextualbandits(size: Size) -> Peer:
    """Disjoint Thompson sampling of contextualbandits, rounds."""
    name = "contextualbandits"
    return Peer(name, "contextualbandits_lin_ts", name, dict(_game(size)))


def rounds_of(size: Size) -> int:
    """Rounds that a peer plays between two looks at the clock: some 10 to 500 ms."""
    return min(max(200_000 // (size.d * size.K), 5), 200)


def _game(size: Size) -> dict[str, int | str]:
    return {"d": size.d, "K": size.K, "rounds": rounds_of(size), "seed": SEED}
