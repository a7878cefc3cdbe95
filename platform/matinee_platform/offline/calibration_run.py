"""Calibrate simulated users from a user's data: read everything, fit, write the files.

OUT.json      the calibration, for `calibration: OUT.json` in the settings of an experiment
OUT.svg       targets against what was simulated before and after
OUT.journal   every simulation of the search; `resume` goes on from it
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matinee_platform.data_settings import DataSettings
from matinee_platform.data_source import open_data
from matinee_platform.report.calibration import save_calibration_plot
from matinee_platform.versions import versions
from matinee_policies.errors import ConfigError
from matinee_simulator.calibration import (
    QUICK,
    CalibrationSettings,
    Target,
    calibrate,
    literature_targets,
    load_calibration,
    merged,
    rating_return_targets,
    read_session_log,
    read_targets,
    session_targets,
    write_calibration,
)
from matinee_simulator.parameters import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRequest:
    """What a calibration is asked to do; None keeps what `quick` or the defaults say.

    Attributes:
        out: file to write, ending in .json.
        data: of the ratings, None as `open_data`.
        sessions: log of sessions, or None.
        targets: file of targets that come before all others, or None.
        ratings_are_visits: whether returns are read from the times of ratings.
        start: calibration to start from, a file or a name; None for the defaults.
        world: parameters to change in the start, by name.
        quick: whether to take a few minutes only.
        users: per training seed.
        seeds: training seeds.
        fresh_users: per fresh seed.
        fresh_seeds: fresh seeds.
        budget: simulations of the search.
        restarts: of each stage.
        resume: whether to go on with an interrupted calibration.
        overwrite: whether an older file may go.
    """

    out: Path
    data: DataSettings | None = None
    sessions: Path | None = None
    targets: Path | None = None
    ratings_are_visits: bool = False
    start: str | None = None
    world: dict[str, Any] | None = None
    quick: bool = False
    users: int | None = None
    seeds: tuple[int, ...] | None = None
    fresh_users: int | None = None
    fresh_seeds: tuple[int, ...] | None = None
    budget: int | None = None
    restarts: int | None = None
    resume: bool = False
    overwrite: bool = False


def run_calibration(
    request: CalibrationRequest,
    *,
    workers: int = 1,
    announce: Callable[[str], None] = lambda line: None,
    report: Callable[[str, int, int, float], None] = lambda stage, done, budget, loss: None,
) -> dict[str, Any]:
    """Calibrate, and write the files beside `request.out`.

    Args:
        request: what to do.
        workers: threads; the result does not depend on them.
        announce: told what the calibration does, a line at a time.
        report: told of every simulation: stage, how many of it, of how many, least loss.

    Returns:
        The calibration as JSON values.

    Raises:
        MatineeError: before anything is written, on files, settings or data that do not do.
    """
    _check_out(request)
    settings = calibration_settings(request)
    start = _start(request)
    files: dict[str, str] = {}
    own: tuple[Target, ...] = ()
    if request.targets is not None:
        own = read_targets(request.targets)
        files[f"sha256 of {request.targets.name}"] = _digest(request.targets)
    if request.sessions is not None:
        log = read_session_log(request.sessions)
        announce(f"Sessions: {log.n_sessions:,} of {log.n_users:,} users")
        own = merged(own, session_targets(log, source=request.sessions.name))
        files[f"sha256 of {request.sessions.name}"] = _digest(request.sessions)
    dataset = open_data(request.data)
    announce(f"Data: {dataset.description}")
    observed = rating_return_targets(dataset.interactions, source=dataset.name)
    if request.ratings_are_visits:
        if not observed:
            raise ConfigError(
                "--ratings-are-visits needs times that vary, and users seen for long enough; "
                f"{dataset.name} tells no returns"
            )
        own, observed = merged(own, observed), ()
    targets = merged(own, literature_targets())
    announce(_origins(targets))
    calibration = calibrate(
        dataset,
        targets,
        settings=settings,
        start=start,
        journal=request.out.with_suffix(".journal"),
        resume=request.resume,
        observed=observed,
        files=files,
        versions=versions(),
        workers=workers,
        announce=announce,
        report=report,
    )
    write_calibration(request.out, calibration)
    values = calibration.to_json()
    save_calibration_plot(values, request.out.with_suffix(".svg"))
    return values


def calibration_settings(request: CalibrationRequest) -> CalibrationSettings:
    """The settings that a request amounts to; raises ConfigError on a bad one."""
    base = QUICK if request.quick else CalibrationSettings()
    search = base.search
    changes = {
        name: getattr(request, name)
        for name in ("users", "seeds", "fresh_users", "fresh_seeds")
        if getattr(request, name) is not None
    }
    moved = {
        name: getattr(request, name)
        for name in ("budget", "restarts")
        if getattr(request, name) is not None
    }
    shallow = {name: getattr(base, name) for name in CalibrationSettings.__dataclass_fields__}
    inner = type(search)(**{**search.to_json(), **moved})
    return CalibrationSettings(**{**shallow, **changes, "search": inner})


def _check_out(request: CalibrationRequest) -> None:
    out = request.out
    if out.suffix != ".json":
        raise ConfigError(f"--out must end in .json, got {out}")
    if out.exists() and not request.overwrite:
        raise ConfigError(f"--out {out} is there already; give another name, or --overwrite")
    journal = out.with_suffix(".journal")
    if journal.exists() and not (request.resume or request.overwrite):
        raise ConfigError(
            f"{journal} holds an interrupted calibration; go on with --resume, or --overwrite it"
        )
    if not out.parent.is_dir():
        raise ConfigError(f"--out must be in a folder that exists, got {out}")


def _start(request: CalibrationRequest) -> Parameters:
    base = load_calibration(request.start).parameters if request.start else Parameters()
    return Parameters.from_json({**base.to_json(), **(request.world or {})})


def _origins(targets: tuple[Target, ...]) -> str:
    counts: dict[str, int] = {}
    for target in targets:
        counts[target.kind] = counts.get(target.kind, 0) + 1
    told = ", ".join(f"{count} from {kind}" for kind, count in counts.items())
    return f"Targets: {told}"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
