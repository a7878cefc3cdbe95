"""The references side by side: what pages by each ranker do to clicks and visits, over seeds.

Every seed is another set of users with another luck, the same for all rankers. A figure is the
mean over seeds; its standard error is over seeds and needs two.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from matinee_policies.arrays import FloatArray
from matinee_policies.config import check_whole
from matinee_policies.errors import ConfigError
from matinee_simulator.long_run.frozen_index import FrozenIndex
from matinee_simulator.parameters import Parameters
from matinee_simulator.rollout import (
    Estimate,
    Played,
    Ranker,
    Sight,
    click_order,
    index_order,
    mmr_order,
    play,
    popularity_order,
    random_order,
    relevance_order,
    satisfaction_order,
)
from matinee_simulator.rollout.estimate import mean_of
from matinee_simulator.world import World

TABLE_RANKERS: tuple[Ranker, ...] = (
    random_order(),
    popularity_order(),
    relevance_order(),
    mmr_order(0.8),
    mmr_order(0.6),
    mmr_order(0.2),
    mmr_order(0.05),
    click_order(),
    satisfaction_order(),
    index_order(0.5, 0.0),
    index_order(1.0, 0.1),
    index_order(2.0, 0.3),
    index_order(4.0, 0.5),
)
"""The rows of the table; the frozen index comes last."""

FIGURES: dict[str, Callable[[Played], float]] = {
    "CTR": lambda played: played.ctr().value,
    "CTR per examined": lambda played: played.ctr_examined().value,
    "clicks/user": lambda played: played.clicks_per_user().value,
    "satisfaction per click": lambda played: played.satisfaction_per_click().value,
    "D1": lambda played: played.day_share(1).value,
    "D7": lambda played: played.smoothed(7).value,
    "D28": lambda played: played.smoothed(28).value,
    "D28 classic": lambda played: played.day_share(28).value,
    "sessions/user": lambda played: played.sessions_per_user().value,
    "ILD": lambda played: played.ild,
    "Gini": lambda played: played.gini(),
}
"""Columns. D7 and D28 are smoothed: means of the day and its two neighbours. D1 is not, as day 0 is
everyone's first."""

LEAST_DAYS = 37
"""Days after which D28 smoothed is known of users who arrive within a week."""


@dataclass(frozen=True, slots=True)
class ReferenceRow:
    """One ranker.

    Attributes:
        ranker: its name.
        figures: by column, with standard errors over seeds.
        by_seed: of each column, in the order of the seeds.
        pages: pages played.
        seconds: CPU seconds in compiled code.
    """

    ranker: str
    figures: dict[str, Estimate]
    by_seed: dict[str, FloatArray]
    pages: int
    seconds: float


def reference_rows(
    world: World,
    sight: Sight,
    *,
    parameters: Parameters,
    seeds: Sequence[int],
    users: int,
    days: int,
    index: FrozenIndex,
    slots: int = 10,
    candidates: int = 100,
    report: Callable[[str], None] = lambda name: None,
) -> list[ReferenceRow]:
    """Play every ranker of `TABLE_RANKERS`, and the frozen index, on every seed.

    Args:
        world: the truth.
        sight: what the platform knows.
        parameters: of the users.
        seeds: distinct, none that the index was tuned on.
        users: per seed.
        days: per seed, at least `LEAST_DAYS`.
        index: the frozen index.
        slots: of a page.
        candidates: of a page.
        report: called with the name of each ranker once it is played.

    Raises:
        ConfigError: a number is out of its range, or a seed was trained on.
    """
    check_whole("days", days, low=max(LEAST_DAYS, parameters.arrival_days + 30))
    if not seeds or len(set(seeds)) != len(seeds):
        raise ConfigError(f"seeds must be distinct, one at least, got {tuple(seeds)}")
    index.check_seeds(seeds)
    audiences = [sight.meet(world, users=users, seed=seed, parameters=parameters) for seed in seeds]
    rows = []
    for ranker in (*TABLE_RANKERS, index.ranker()):
        runs = [
            play(
                world,
                sight,
                ranker,
                users=users,
                days=days,
                seed=seed,
                parameters=parameters,
                slots=slots,
                candidates=candidates,
                audience=audience,
                keep_sessions=False,
            )
            for seed, audience in zip(seeds, audiences, strict=True)
        ]
        by_seed = {
            name: np.array([figure(run) for run in runs]) for name, figure in FIGURES.items()
        }
        rows.append(
            ReferenceRow(
                ranker=ranker.name,
                figures={name: mean_of(values) for name, values in by_seed.items()},
                by_seed=by_seed,
                pages=sum(int(run.user_pages.sum()) for run in runs),
                seconds=sum(run.seconds for run in runs),
            )
        )
        report(ranker.name)
    return rows
