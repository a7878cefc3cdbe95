"""Calibrate a world to targets and judge the result on seeds that the fit never saw."""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from matinee_policies.arrays import AnyArray
from matinee_policies.config import Config, check_seed, check_whole
from matinee_policies.datasets.dataset import Dataset
from matinee_policies.errors import ConfigError
from matinee_simulator.calibration.fit import Fit, FitSettings, Report, check_start, fit
from matinee_simulator.calibration.journal import Journal
from matinee_simulator.calibration.moment_names import DEPTHS, RETURN_DAYS, days_needed
from matinee_simulator.calibration.moments import (
    back_soon,
    over_worlds,
    played_moments,
    returned_by_depth,
)
from matinee_simulator.calibration.rating_check import rating_check
from matinee_simulator.calibration.record import (
    Calibration,
    Curve,
    FittedMoment,
    FittedParameter,
)
from matinee_simulator.calibration.service import Service
from matinee_simulator.calibration.target import Target, check_targets
from matinee_simulator.parameters import Parameters
from matinee_simulator.rollout.estimate import Estimate

_DECIMALS = 4


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationSettings(Config):
    """How a calibration is run.

    Raises:
        ConfigError: on a number out of its range, or seeds that are not distinct.
    """

    users: int = 3_000
    """Users per training seed."""
    seeds: tuple[int, ...] = (1, 2)
    """Training seeds: each a world of its own, with users of its own."""
    fresh_users: int = 6_000
    """Users per fresh seed."""
    fresh_seeds: tuple[int, ...] = (101, 102, 103, 104)
    """Seeds on which the result is judged."""
    search: FitSettings = dataclasses.field(default_factory=FitSettings)
    """Of the search."""

    def __post_init__(self) -> None:
        check_whole("users", self.users, low=10, high=10_000_000)
        check_whole("fresh_users", self.fresh_users, low=10, high=10_000_000)
        for name in ("seeds", "fresh_seeds"):
            seeds = getattr(self, name)
            if not seeds:
                raise ConfigError(f"{name} must not be empty")
            for seed in seeds:
                check_seed(name, seed)
        every = (*self.seeds, *self.fresh_seeds)
        if len(set(every)) != len(every):
            raise ConfigError(f"seeds and fresh_seeds must all be distinct, got {list(every)}")


QUICK = CalibrationSettings(
    users=600,
    seeds=(1,),
    fresh_users=1_500,
    fresh_seeds=(101, 102),
    search=FitSettings(budget=120, restarts=0),
)
"""A few minutes: a look at what a calibration does, not a result."""


def calibrate(
    dataset: Dataset,
    targets: Sequence[Target],
    *,
    settings: CalibrationSettings,
    start: Parameters,
    journal: Path,
    resume: bool,
    observed: Sequence[Target] = (),
    files: dict[str, str] | None = None,
    versions: dict[str, str] | None = None,
    workers: int = 1,
    announce: Callable[[str], None] = lambda line: None,
    report: Report = lambda stage, done, budget, loss: None,
) -> Calibration:
    """Fit, then simulate the fresh seeds before and after.

    The same arguments give the same result, interrupted or not.

    Args:
        dataset: catalogue and ratings.
        targets: distinct moments, at least one.
        settings: of users, seeds and search.
        start: parameters before, and those that are not fitted.
        journal: file that keeps every simulation.
        resume: whether to go on with what the journal holds.
        observed: targets of the data that are kept in the record, and not used.
        files: SHA-256 of files that targets came from, by name.
        versions: of packages, for the record.
        workers: threads.
        announce: told what begins.
        report: told of every simulation of the search.

    Raises:
        MatineeError: before anything is simulated, on targets, data or settings that do not do.
    """
    check_targets(targets)
    check_start(start)
    service = Service.build(
        dataset.catalogue,
        dataset.interactions,
        seeds=settings.seeds,
        users=settings.users,
        parameters=start,
        workers=workers,
        report=announce,
    )
    data = {"description": dataset.description, "sha256": data_digest(dataset), **(files or {})}
    identity = {
        "data": data,
        "worlds": [room.world.version for room in service.rooms],
        "settings": {"users": settings.users, "seeds": list(settings.seeds)},
        "versions": versions or {},
    }
    names = tuple(target.name for target in targets)
    days = max(days_needed(name) for name in names)
    with Journal(service, journal, identity=identity, resume=resume) as simulate:
        if resume and len(simulate):
            announce(f"Resuming with {len(simulate)} simulations")
        announce("Fitting the users")
        found = fit(simulate, targets, start=start, settings=settings.search, report=report)
        found = found._replace(parameters=rounded(found))
        training = simulate(found.parameters, names, days)
    announce("Judging on fresh seeds")
    before, after = _fresh(dataset, settings, names, days, start, found.parameters, workers)
    return Calibration(
        parameters=found.parameters,
        fitted=tuple(
            FittedParameter(
                name=free.name,
                symbol=free.symbol,
                start=getattr(start, free.name),
                value=getattr(found.parameters, free.name),
                error=error,
                low=free.low,
                high=free.high,
            )
            for free, error in zip(found.free, found.errors.tolist(), strict=True)
        ),
        moments=tuple(
            FittedMoment(
                target, before[0][target.name], training[target.name], after[0][target.name]
            )
            for target in targets
        ),
        depth_curve=tuple(
            Curve(depth, one, other)
            for depth, one, other in zip(DEPTHS, before[1], after[1], strict=True)
        ),
        rating_check=tuple(
            {k: _known(v) for k, v in moment._asdict().items()}
            for moment in rating_check(
                service.rooms[0].world, dataset.interactions, seed=settings.seeds[0]
            )
        ),
        observed=tuple(observed),
        stages=tuple(stage._asdict() | {"fitted": list(stage.fitted)} for stage in found.stages),
        search=_plain(settings.to_json()) | {"ranking": "relevance", "days": days},
        data=data,
        versions=versions or {},
    )


def rounded(found: Fit) -> Parameters:
    """The fitted parameters with as many decimals as people read; what is judged are these."""
    values = {f.name: round(getattr(found.parameters, f.name), _DECIMALS) for f in found.free}
    return dataclasses.replace(found.parameters, **values)


def data_digest(dataset: Dataset) -> str:
    """SHA-256 of everything that a world is fitted on."""
    ratings, catalogue = dataset.interactions, dataset.catalogue
    arrays: list[AnyArray] = [
        ratings.matrix.data,
        ratings.matrix.indices,
        ratings.matrix.indptr,
        ratings.times,
        catalogue.ids,
        catalogue.years,
        catalogue.genres,
    ]
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


_Judged = tuple[dict[str, Estimate], list[Estimate]]


def _fresh(
    dataset: Dataset,
    settings: CalibrationSettings,
    names: Sequence[str],
    days: int,
    start: Parameters,
    fitted: Parameters,
    workers: int,
) -> tuple[_Judged, _Judged]:
    """Moments and returns by depth of both sets of parameters, on fresh worlds one by one."""
    found: list[list[_Judged]] = [[], []]
    for seed in settings.fresh_seeds:
        service = Service.build(
            dataset.catalogue,
            dataset.interactions,
            seeds=(seed,),
            users=settings.fresh_users,
            parameters=start,
            workers=workers,
        )
        for place, parameters in enumerate((start, fitted)):
            found[place].append(_judge(service, parameters, names, max(days, RETURN_DAYS + 1)))
    return _mean(found[0]), _mean(found[1])


def _judge(service: Service, parameters: Parameters, names: Sequence[str], days: int) -> _Judged:
    played = service.play(service.rooms[0], parameters, days)
    first = np.unique(played.sessions.user, return_index=True)[1]
    back = back_soon(played.visits[played.sessions.user[first]])
    return played_moments(played, names), returned_by_depth(played.sessions.pages[first] + 1, back)


def _mean(judged: list[_Judged]) -> _Judged:
    names = judged[0][0]
    moments = {name: over_worlds([one[0][name] for one in judged]) for name in names}
    curve = [over_worlds([one[1][place] for one in judged]) for place in range(len(DEPTHS))]
    return moments, curve


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _plain(value: Any) -> Any:
    """Tuples as lists, as JSON has them."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value
