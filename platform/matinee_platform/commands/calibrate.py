"""`matinee calibrate`: parameters of simulated users from figures of a real service."""

import json
from pathlib import Path
from typing import Annotated

import typer

from matinee_platform.commands.data_options import (
    DataArgument,
    Feedback,
    ItemsColumn,
    Metadata,
    RatingsColumn,
    TimestampsColumn,
    UsersColumn,
    data_changes,
)


def calibrate(
    data: DataArgument = None,
    users: UsersColumn = None,
    items: ItemsColumn = None,
    ratings: RatingsColumn = None,
    timestamps: TimestampsColumn = None,
    feedback: Feedback = None,
    metadata: Metadata = None,
    sessions: Annotated[
        Path | None,
        typer.Option(
            "--sessions",
            metavar="FILE",
            help="Log of sessions: CSV of user, time and optionally session, position, clicked.",
        ),
    ] = None,
    targets: Annotated[
        Path | None,
        typer.Option("--targets", metavar="FILE", help="Targets of your own, in YAML."),
    ] = None,
    ratings_are_visits: Annotated[
        bool,
        typer.Option(
            "--ratings-are-visits", help="Read returns from the times of ratings or plays."
        ),
    ] = False,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Calibration file to write.")
    ] = Path("calibration.json"),
    start: Annotated[
        str | None,
        typer.Option(
            "--start", metavar="FILE", help="Calibration to start from; default the defaults."
        ),
    ] = None,
    world: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a parameter of the start; repeatable."
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A few minutes: a look, not a result.")
    ] = False,
    simulated_users: Annotated[
        int | None,
        typer.Option("--simulated-users", metavar="N", help="Users per training seed."),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option("--seeds", metavar="LIST", help="Training seeds, comma-separated."),
    ] = None,
    fresh_users: Annotated[
        int | None, typer.Option("--fresh-users", metavar="N", help="Users per fresh seed.")
    ] = None,
    fresh_seeds: Annotated[
        str | None,
        typer.Option("--fresh-seeds", metavar="LIST", help="Seeds that judge the result."),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option("--budget", metavar="N", help="Simulations of the search, the polish aside."),
    ] = None,
    restarts: Annotated[
        int | None,
        typer.Option("--restarts", metavar="N", help="Restarts of each stage but the last."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", help="Threads; default one per core."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted calibration.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an older file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress line.")] = False,
) -> None:
    """Fit how simulated users click, leave and return; judge the fit on fresh seeds.

    Example: matinee calibrate ml-latest-small --sessions visits.csv --out mine.json
    """
    from matinee_platform.data_settings import parse_data
    from matinee_platform.offline.calibration_run import CalibrationRequest, run_calibration
    from matinee_platform.offline.run import default_workers
    from matinee_platform.report.calibration import calibration_text
    from matinee_platform.report.calibration_progress import CalibrationProgress
    from matinee_platform.settings import key_values

    columns = data_changes(
        path=data,
        users=users,
        items=items,
        ratings=ratings,
        timestamps=timestamps,
        feedback=feedback,
        metadata=metadata,
    )
    request = CalibrationRequest(
        out=out,
        data=parse_data(columns) if columns else None,
        sessions=sessions,
        targets=targets,
        ratings_are_visits=ratings_are_visits,
        start=start,
        world=key_values(world or []),
        quick=quick,
        users=simulated_users,
        seeds=_seeds("--seeds", seeds),
        fresh_users=fresh_users,
        fresh_seeds=_seeds("--fresh-seeds", fresh_seeds),
        budget=budget,
        restarts=restarts,
        resume=resume,
        overwrite=overwrite,
    )
    with CalibrationProgress(quiet=quiet) as line:
        calibration = run_calibration(
            request,
            workers=default_workers() if workers is None else workers,
            announce=line.announce,
            report=line.report,
        )
    if as_json:
        print(json.dumps(calibration, indent=2, allow_nan=False))
        return
    print(calibration_text(calibration), end="")
    print(f"Calibration: {out}; plot: {out.with_suffix('.svg')}")


def _seeds(option: str, text: str | None) -> tuple[int, ...] | None:
    from matinee_policies.errors import ConfigError

    if text is None:
        return None
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words):
        raise ConfigError(f"{option} must be whole numbers, comma-separated, got {text!r}")
    return tuple(int(word) for word in words)
