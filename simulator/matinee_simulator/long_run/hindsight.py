"""What could be reached if each user's luck were known: a reference for small worlds.

A user's draws are fixed by seed, user and moment, so a life can be played again with other pages
and the same luck. One ranker is chosen for each visit: starting from the ranker that is best for
the whole life, each visit in turn is given the ranker after which the rest of the life, played out
with the actual draws, is best (a rollout: Bertsekas and Castanon 1999, with the future known). The
value never falls, so it is at least that of the best single ranker *for each user*.

It is no bound: better pages than those of the rankers may exist. And it is no policy: knowing the
luck of each user, it picks what happens to go well, so it lies above what anyone can reach who does
not know the future.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import IndexArray
from matinee_policies.config import check_whole
from matinee_policies.errors import ConfigError
from matinee_simulator.parameters import Parameters
from matinee_simulator.rollout.play import Act, check_sizes, play_shard, set_stage
from matinee_simulator.rollout.rankers import POPULARITY, Ranker
from matinee_simulator.rollout.sight import Sight
from matinee_simulator.world import World

MOST_USERS = 50
"""Users whose lives are searched at most: each takes visits x rankers whole lives."""


@dataclass(frozen=True, slots=True, eq=False)
class Hindsight:
    """The best found for each of `n` users.

    Attributes:
        sessions: by user, `int32 [n]`.
        clicks: by user, `int32 [n]`.
        single: sessions under the best single ranker of each user, `int32 [n]`.
        by_ranker: sessions under each ranker, `int32 [n, R]`.
        choices: names of the rankers by visit, for each user.
        lives: lives played.
    """

    sessions: IndexArray
    clicks: IndexArray
    single: IndexArray
    by_ranker: IndexArray
    choices: tuple[tuple[str, ...], ...]
    lives: int


def hindsight(
    world: World,
    sight: Sight,
    rankers: tuple[Ranker, ...],
    *,
    users: int,
    days: int,
    seed: int,
    parameters: Parameters,
    slots: int = 10,
    candidates: int = 100,
) -> Hindsight:
    """Search for a ranker per visit; sessions count, then clicks.

    Args:
        world: the truth.
        sight: what the platform knows.
        rankers: to choose from; none by popularity, whose candidates are others.
        users: number of users, at most `MOST_USERS`; other arguments as `play`.
        days: see `play`.
        seed: see `play`.
        parameters: see `play`.
        slots: see `play`.
        candidates: see `play`.

    Raises:
        ConfigError: too many users, no rankers, or as `play`.
    """
    check_sizes(world, users=users, days=days, slots=slots, candidates=candidates)
    check_whole("rankers", len(rankers), low=1)
    if users > MOST_USERS:
        raise ConfigError(
            f"hindsight plays each user's life for every visit and ranker again, so users must be "
            f"at most {MOST_USERS}, got {users}"
        )
    if any(ranker.code == POPULARITY for ranker in rankers):
        raise ConfigError("rankers must share the platform's candidates, got popularity")
    lives = 0

    def live(user: int, schedule: list[Ranker]) -> tuple[int, int]:
        nonlocal lives
        lives += 1
        stage = set_stage(
            world,
            sight,
            tuple(schedule),
            days=days,
            seed=seed,
            parameters=parameters,
            candidates=candidates,
        )
        act: Act = play_shard(
            stage,
            range(user, user + 1),
            slots=slots,
            candidates=candidates,
            audience=None,
            keep=False,
        )
        counts = act.tally.counts[0]
        return int(counts[0]), int(counts[4])

    found = [_search(user, rankers, live) for user in range(users)]
    return Hindsight(
        sessions=np.array([value[0] for value, _, _ in found], dtype=np.int32),
        clicks=np.array([value[1] for value, _, _ in found], dtype=np.int32),
        single=np.array([max(singles) for _, singles, _ in found], dtype=np.int32),
        by_ranker=np.array([singles for _, singles, _ in found], dtype=np.int32),
        choices=tuple(names for _, _, names in found),
        lives=lives,
    )


def _search(
    user: int,
    rankers: tuple[Ranker, ...],
    live: Callable[[int, list[Ranker]], tuple[int, int]],
) -> tuple[tuple[int, int], list[int], tuple[str, ...]]:
    """The best sessions and clicks found, sessions under each ranker alone, and the choices."""
    alone = [live(user, [ranker]) for ranker in rankers]
    best = max(alone)
    base = rankers[alone.index(best)]
    schedule: list[Ranker] = []
    # The life of the schedule: what is chosen so far, then the base ranker. Visits that never come
    # need no choice.
    while len(schedule) < best[0]:
        chosen = base
        for ranker in rankers:
            if ranker == base:
                continue
            value = live(user, [*schedule, ranker, base])
            if value > best:
                best, chosen = value, ranker
        schedule.append(chosen)
    return best, [sessions for sessions, _ in alone], tuple(ranker.name for ranker in schedule)
