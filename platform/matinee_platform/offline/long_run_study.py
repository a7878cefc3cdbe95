"""Long-run references on the data and parameters of an experiment: tuning, table and hindsight."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from matinee_platform.data_source import open_data
from matinee_platform.offline.prepare import world_parameters
from matinee_platform.settings import ExperimentSettings
from matinee_simulator.long_run import (
    CrossEntropy,
    FrozenIndex,
    Training,
    frozen_index,
    hindsight,
    reference_rows,
    tune_index,
)
from matinee_simulator.long_run.index_tuning import HIGH, LOW
from matinee_simulator.parameters import Parameters
from matinee_simulator.rollout import (
    Sight,
    click_order,
    index_order,
    mmr_order,
    random_order,
    relevance_order,
    satisfaction_order,
)
from matinee_simulator.rollout.estimate import mean_of, paired_difference
from matinee_simulator.world import World


@dataclass(frozen=True, slots=True)
class Study:
    """A world and a platform's view of it.

    Attributes:
        data: one plain line that says which data.
        world: the truth.
        sight: what a platform knows.
        parameters: of the users.
        slots: of a page.
        candidates: of a page.
    """

    data: str
    world: World
    sight: Sight
    parameters: Parameters
    slots: int
    candidates: int


def open_study(settings: ExperimentSettings) -> Study:
    """Fit world and platform to the data of `settings`, by its seed."""
    parameters = world_parameters(settings)
    dataset = open_data(settings.data)
    world = World.from_interactions(dataset.catalogue, dataset.interactions, seed=settings.seed)
    sight = Sight.of_data(world, dataset.interactions, seed=settings.seed, rest=settings.rest)
    return Study(dataset.description, world, sight, parameters, settings.slots, settings.candidates)


def tune(
    study: Study,
    *,
    users: int,
    days: int,
    generations: int,
    draws: int,
    seed: int,
    checkpoint: Path | None,
    report: Callable[[int, dict[str, Any]], None],
) -> FrozenIndex:
    """Tune the index; arguments as `Training` and `CrossEntropy`.

    Args:
        study: world and platform.
        users: per training seed.
        days: per training seed.
        generations: of the search.
        draws: points per generation.
        seed: of the search.
        checkpoint: file to go on from.
        report: called after each generation with its number and what it found.
    """
    return tune_index(
        study.world,
        study.sight,
        parameters=study.parameters,
        training=Training(users=users, days=days, slots=study.slots, candidates=study.candidates),
        search=CrossEntropy(
            low=LOW,
            high=HIGH,
            draws=draws,
            elite=max(2, draws // 4),
            generations=generations,
            seed=seed,
        ),
        data=study.data,
        checkpoint=checkpoint,
        report=lambda found: report(len(found), asdict(found[-1])),
    )


def table(
    study: Study,
    *,
    seeds: list[int],
    users: int,
    days: int,
    index: FrozenIndex | None = None,
    report: Callable[[str], None],
) -> dict[str, Any]:
    """The references side by side, and the index against the click oracle; arguments as the rows'.

    Returns:
        JSON values: `rows` by ranker with value and error of each figure, and `tests`, paired by
        seed, of the frozen index minus the click oracle.
    """
    rows = reference_rows(
        study.world,
        study.sight,
        parameters=study.parameters,
        seeds=seeds,
        users=users,
        days=days,
        index=index or frozen_index(),
        slots=study.slots,
        candidates=study.candidates,
        report=report,
    )
    by_name = {row.ranker: row for row in rows}
    first, second = by_name["index (frozen)"].by_seed, by_name["click oracle"].by_seed
    return {
        "rows": {
            row.ranker: {
                name: {"value": figure.value, "error": figure.error}
                for name, figure in row.figures.items()
            }
            for row in rows
        },
        "tests": {
            name: paired_difference(first[name], second[name])._asdict()
            for name in ("D28", "CTR", "CTR per examined", "sessions/user")
        },
        "pages_per_second": sum(row.pages for row in rows) / sum(row.seconds for row in rows),
    }


def bounds(study: Study, *, seed: int, users: int, days: int) -> dict[str, Any]:
    """Random, matrix factorization, index and hindsight on one small set of users.

    Returns:
        JSON values: sessions per user with its error by row, and lives played.
    """
    index = frozen_index()
    index.check_seeds([seed])
    rankers = (
        random_order(),
        relevance_order(),
        index.ranker(),
        mmr_order(0.8),
        click_order(),
        satisfaction_order(),
        index_order(0.5, 0.0),
        index_order(4.0, 0.5),
    )
    found = hindsight(
        study.world,
        study.sight,
        rankers,
        users=users,
        days=days,
        seed=seed,
        parameters=study.parameters,
        slots=study.slots,
        candidates=study.candidates,
    )
    sessions = {
        "random": found.by_ranker[:, 0],
        "matrix factorization": found.by_ranker[:, 1],
        "index (frozen)": found.by_ranker[:, 2],
        "best single ranker per user, in hindsight": found.single,
        "hindsight per visit": found.sessions,
    }
    return {
        "sessions_per_user": {
            name: mean_of(values.astype(float))._asdict() for name, values in sessions.items()
        },
        "lives": found.lives,
    }
