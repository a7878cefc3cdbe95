"""`matinee drift`: look for drift in the log of a finished run."""

import json
from pathlib import Path
from typing import Annotated

import typer


def drift(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            metavar="X",
            help="Sum of departures, in standard errors, that raises the alarm over all items.",
        ),
    ] = None,
    genre_threshold: Annotated[
        float | None,
        typer.Option("--genre-threshold", metavar="X", help="The same for each genre."),
    ] = None,
    allowance: Annotated[
        float | None,
        typer.Option("--allowance", metavar="X", help="Daily departure that is never counted."),
    ] = None,
    settle_days: Annotated[
        int | None,
        typer.Option("--settle-days", metavar="N", help="First days that are not looked at."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Print on which days the users of each arm responded otherwise than they had before.

    Example: matinee drift runs/demo --threshold 6
    """
    from matinee_platform.analysis.drift import read_drift
    from matinee_platform.drift_detector import DriftConfig
    from matinee_platform.json_file import read_json
    from matinee_platform.offline.results import read_results
    from matinee_platform.serving_model import load_serving_model
    from matinee_platform.settings import parse_settings

    given = {
        "threshold": threshold,
        "genre_threshold": genre_threshold,
        "allowance": allowance,
        "settle_days": settle_days,
    }
    config = DriftConfig.from_json({k: v for k, v in given.items() if v is not None})
    read_results(run)
    settings = parse_settings(read_json(run / "settings.json"), origin=str(run / "settings.json"))
    model = load_serving_model(run / "model")
    found = {
        arm.name: read_drift(
            run,
            arm.name,
            days=settings.days,
            model=model,
            engagement=settings.reward.engagement,
            config=config,
        )
        for arm in settings.arms
    }
    if as_json:
        print(json.dumps({name: one.to_json() for name, one in found.items()}, indent=2))
        return
    for name, one in found.items():
        print(f"{name}: {len(one.alarms)} alarms")
        for alarm in one.alarms:
            print(f"  day {alarm.day + 1}: {alarm.what}, {alarm.departure:+.1f} standard errors")
