"""What is driven: the world and the users of a run, and the experiment that they are units of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.offline.prepare import (
    Roster,
    catalogue_calendar,
    draw_roster,
    load_prepared,
    world_parameters,
)
from matinee_platform.serving.deploy import finished_run, item_names
from matinee_platform.settings import ExperimentSettings
from matinee_platform.simulated_keys import assignment_salt
from matinee_policies.errors import ConfigError
from matinee_simulator.history import RUN_START
from matinee_simulator.parameters import Parameters
from matinee_simulator.world import World

START_MS = RUN_START * 1_000
"""When the first day begins, UTC milliseconds."""


@dataclass(frozen=True, slots=True)
class DrivePlan:
    """Who asks what.

    Attributes:
        run: folder of the run whose world it is.
        settings: of the run, with as many users and days as are driven.
        world: the truth.
        parameters: of the users.
        roster: of the users.
        items: the items as the service names them, by catalogue row.
        experiment: what the service is asked for.
    """

    run: Path
    settings: ExperimentSettings
    world: World
    parameters: Parameters
    roster: Roster
    items: Sequence[str]
    experiment: LiveExperiment


def drive_plan(
    run: Path,
    *,
    key: str | None = None,
    users: int | None = None,
    days: int | None = None,
    bundles: Mapping[str, str] | None = None,
) -> DrivePlan:
    """The plan of a drive.

    Args:
        run: folder of a finished run.
        key: of the experiment; the name of the run if not given.
        users: the first so many users of the run; all if not given.
        days: how many; those of the run if not given.
        bundles: names of bundles by arm, where they are not the arm's.

    Raises:
        DataError: it is no finished run.
        ConfigError: the run has what no service has, or more users are wanted than it knows.
    """
    _, settings = finished_run(run)
    if users is not None and not 1 <= users <= settings.users:
        raise ConfigError(f"--users must be within 1 and those of {run}, {settings.users}: {users}")
    settings = settings.model_copy(
        update={"users": users or settings.users, "days": days or settings.days}
    )
    prepared = load_prepared(run)
    _check(settings, moves=catalogue_calendar(settings, prepared.world) is not None)
    return DrivePlan(
        run=run,
        settings=settings,
        world=prepared.world,
        parameters=world_parameters(settings),
        roster=draw_roster(settings),
        items=item_names(settings, prepared.model.catalogue),
        experiment=_experiment(settings, key or settings.name, bundles or {}),
    )


def _check(settings: ExperimentSettings, *, moves: bool) -> None:
    """Refuse what the users of a live service cannot have."""
    if settings.design == "paired":
        raise ConfigError(
            "a run that is driven must split its users between the arms (design: ab), got "
            "paired: a service assigns each user to one arm"
        )
    if moves:
        raise ConfigError("a run that is driven must have a catalogue that stands still")
    for arm in settings.arms:
        if arm.reference:
            raise ConfigError(
                f"arm {arm.name!r} ranks by the simulator's truth ({arm.policy['kind']}), which no "
                "service has"
            )


def _experiment(
    settings: ExperimentSettings, key: str, bundles: Mapping[str, str]
) -> LiveExperiment:
    unknown = sorted(set(bundles) - {arm.name for arm in settings.arms})
    if unknown:
        raise ConfigError(f"--bundle must name an arm of the run, got {unknown[0]!r}")
    try:
        return LiveExperiment.model_validate(
            {
                "key": key,
                "salt": assignment_salt(settings.name, settings.seed),
                "control": settings.control,
                "slots": settings.slots,
                "candidates": settings.candidates,
                "rest": settings.rest,
                "reward": settings.reward.model_dump(),
                "simulated": {
                    "run": settings.name,
                    "seed": settings.seed,
                    "start_ms": START_MS,
                },
                "arms": [
                    {
                        "name": arm.name,
                        "weight": arm.weight,
                        "bundle": bundles.get(arm.name, arm.name),
                    }
                    for arm in settings.arms
                ],
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "experiment"
        raise ConfigError(f"this run makes no live experiment: {where}: {first['msg']}") from None
