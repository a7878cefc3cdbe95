"""`matinee drive`: simulated users at a live service."""

import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from matinee_platform.drive.driver import Driven, DriveOptions
    from matinee_platform.drive.plan import DrivePlan

_TOLD_AFTER = 3.0
"""Seconds without an answer after which it is told who is waited for."""


def drive(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="Folder of a finished run: its world and its users."),
    ],
    url: Annotated[str, typer.Option("--url", metavar="URL", help="Address of the service.")],
    experiment: Annotated[
        str | None,
        typer.Option(
            "--experiment", metavar="KEY", help="Key of the experiment; the name of the run else."
        ),
    ] = None,
    bundles: Annotated[
        list[str] | None,
        typer.Option(
            "--bundle", metavar="ARM=NAME", help="Bundle of an arm, if not of its name; repeatable."
        ),
    ] = None,
    users: Annotated[
        int | None, typer.Option("--users", metavar="N", help="The first N users of the run only.")
    ] = None,
    days: Annotated[
        int | None, typer.Option("--days", metavar="D", min=1, help="Days; those of the run else.")
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(
            "--speed",
            metavar="X",
            help="Days a second, or part of one; as fast as the service answers else.",
        ),
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", metavar="R", help="Decisions a second at most.")
    ] = None,
    connections: Annotated[
        int, typer.Option("--connections", min=1, max=256, help="Requests at once.")
    ] = 4,
    batch: Annotated[
        int, typer.Option("--batch", min=1, max=10_000, help="Decisions in a request.")
    ] = 100,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="Hold every slate, propensity and snapshot to those of RUN, bitwise."
        ),
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state", metavar="FILE", help="How far it has come; RUN/drive/KEY.npz if not given."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on after the last whole day of an older drive.")
    ] = False,
    patience: Annotated[
        float,
        typer.Option("--patience", metavar="SECONDS", help="Longest wait for service or learner."),
    ] = 120.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress line.")] = False,
) -> None:
    """Let the simulated users of a run live with a service, in their own time.

    The experiment is created and started if the service does not have it. Its arms need bundles as
    they were before the run's first day: matinee deploy RUN:ARM --first-day --to DATA_DIR.
    An API key is taken from MATINEE_API_KEY; it needs all scopes.
    Exit status: 1 if anything was refused, or differs with --compare.
    Example: matinee drive runs/demo --url http://127.0.0.1:8400 --users 500 --days 7 --compare
    """
    from matinee_platform.drive.driver import DriveOptions, check_options
    from matinee_platform.drive.plan import drive_plan
    from matinee_platform.report.drive import DriveProgress, drive_json, drive_text
    from matinee_platform.serving.deploy import finished_run

    _place(url)
    plan = drive_plan(run, key=experiment, users=users, days=days, bundles=_bundles(bundles or []))
    results, settings = finished_run(run)
    hashes = None
    if compare:
        _check_comparable(plan, settings.users, settings.days)
        hashes = {arm: one["snapshots"] for arm, one in results["arm_runs"].items()}
    options = DriveOptions(
        state=state or run / "drive" / f"{plan.experiment.key}.npz",
        resume=resume,
        batch=batch,
        connections=connections,
        rate=rate,
        speed=speed,
        patience=patience,
        hashes=hashes,
    )
    check_options(plan, options)
    try:
        with DriveProgress(quiet=quiet) as progress:
            done = asyncio.run(_drive(url, plan, options, progress.report, quiet=quiet))
    except KeyboardInterrupt:
        how = "with --resume goes on" if options.state.exists() else "begins its first day again"
        typer.echo(f"interrupted; the same command {how}", err=True)
        raise typer.Exit(130) from None
    found: dict[str, Any] = drive_json(plan, done)
    print(json.dumps(found, indent=2) if as_json else drive_text(found))
    if done.failed:
        raise typer.Exit(1)


async def _drive(
    url: str, plan: "DrivePlan", options: "DriveOptions", report: Any, *, quiet: bool
) -> "Driven":
    from matinee_platform.client.async_client import AsyncClient
    from matinee_platform.client.errors import UnavailableError
    from matinee_platform.client.retries import Retries
    from matinee_platform.drive.driver import drive as drive_all
    from matinee_platform.drive.driver import ensure_experiment
    from matinee_platform.drive.errors import DriveError

    retries = Retries(attempts=1_000, seconds=options.patience)
    key = os.environ.get("MATINEE_API_KEY")
    async with AsyncClient(url, key=key, timeout=options.patience, retries=retries) as client:
        waits = f"waiting for {_place(url)}, {options.patience:g} s at most"
        telling = asyncio.get_running_loop().call_later(
            _TOLD_AFTER, lambda: None if quiet else typer.echo(waits, err=True)
        )
        try:
            await ensure_experiment(client, plan)
        except UnavailableError as error:
            raise DriveError(f"{_place(url)}: {error}") from error
        finally:
            telling.cancel()
        return await drive_all(client, plan, options, report=report)


def _place(url: str) -> str:
    """The address of a service as it may be shown: without a name and password."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise typer.BadParameter("--url must begin with http:// or https://")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _bundles(given: list[str]) -> dict[str, str]:
    found = {}
    for one in given:
        arm, equals, name = one.partition("=")
        if not (arm and equals and name):
            raise typer.BadParameter(f"--bundle must be ARM=NAME, got {one!r}")
        found[arm] = name
    return found


def _check_comparable(plan: "DrivePlan", users: int, days: int) -> None:
    from matinee_policies.errors import ConfigError

    settings = plan.settings
    if settings.users != users or settings.days > days:
        raise ConfigError(
            f"--compare needs all {users} users of the run and at most its {days} days, got "
            f"{settings.users} and {settings.days}: what others teach shows in every slate"
        )
