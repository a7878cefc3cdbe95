"""Play users' whole lives under a ranker that does not learn."""

from matinee_simulator.parameters import Parameters
from matinee_simulator.rollout.played import Played
from matinee_simulator.rollout.rankers import Ranker
from matinee_simulator.rollout.sight import Audience, Sight
from matinee_simulator.world import World


def play(
    world: World,
    sight: Sight,
    ranker: Ranker,
    *,
    users: int,
    days: int,
    seed: int,
    parameters: Parameters,
    slots: int = 10,
    candidates: int = 100,
    audience: Audience | None = None,
    keep_sessions: bool = True,
    workers: int = 1,
) -> Played:
    """Play users 0 to `users - 1` from day 0 on.

    Results equal those of `Simulation` with the same slates, bit for bit, and do not depend on
    `workers`.

    Args:
        world: the truth.
        sight: what the platform knows.
        ranker: how a page is made.
        users: number of users, at least 1.
        days: number of days, at least 1.
        seed: of the run: who the users are, and their luck.
        parameters: of the users.
        slots: of a page, `L`.
        candidates: among which a page is chosen, `K` >= `L`.
        audience: what `sight.meet` gave for these users, to spare working it out again.
        keep_sessions: whether to keep a row for each session (44 bytes).
        workers: threads.

    Raises:
        ConfigError: a number is out of its range, or the catalogue has fewer items than
            `candidates`; nothing has run then.
    """
    raise NotImplementedError
