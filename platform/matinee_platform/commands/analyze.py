"""`matinee analyze`: what an experiment says, of a finished run or of a service."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer


def analyze(
    target: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER", help="Folder of a run, or data folder of a service (or --database)."
        ),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            "--database", metavar="URL", help="PostgreSQL of a service: postgresql://USER@HOST/NAME"
        ),
    ] = None,
    experiment: Annotated[
        str | None,
        typer.Option(
            "--experiment", metavar="KEY", help="Which one of a service; needed if it has several."
        ),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="Look at this metric besides those declared; repeatable.",
        ),
    ] = None,
    until: Annotated[
        int | None,
        typer.Option(
            "--until", metavar="MS", help="End of a service's data, UTC ms since 1970; default now."
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write one HTML page that needs no network."),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Print comparisons that show nothing as well.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Print the verdict, the gates, and every declared metric with its interval.

    Exit status 1 where a log cannot be read or breaks a rule. Examples: matinee analyze runs/demo;
    matinee analyze service --experiment home --json
    """
    from matinee_policies.errors import ConfigError

    if (target is None) == (database is None):
        raise ConfigError("analyze needs a folder, or the database of a service: --database URL")
    if html is not None and (html.is_dir() or not html.parent.is_dir()):
        raise ConfigError(f"--html must name a file in a folder that exists, got {html}")
    document = _document(
        target, database, experiment=experiment, metrics=metrics or [], until_ms=until
    )
    if html is not None:
        from matinee_platform.report.analysis_page import write_analysis_page

        write_analysis_page(document, html)
    if as_json:
        print(json.dumps(document, indent=2, allow_nan=False))
    else:
        from matinee_platform.report.analysis_text import print_analysis

        print_analysis(document, every=every)


def _document(
    target: Path | None,
    database: str | None,
    *,
    experiment: str | None,
    metrics: list[str],
    until_ms: int | None,
) -> dict[str, Any]:
    from matinee_platform.service.settings_file import is_service_folder
    from matinee_policies.errors import ConfigError

    if target is not None and not is_service_folder(target):
        from matinee_platform.analysis.experiment.of_run import analyse_run

        if experiment is not None or until_ms is not None:
            raise ConfigError("--experiment and --until are for services; a run has one experiment")
        return analyse_run(target, metrics=metrics)
    from matinee_platform.analysis.experiment.of_service import analyse_service
    from matinee_platform.clock import SystemClock

    data_dir = Path() if target is None else target
    name = "sqlite" if database is None else database
    return analyse_service(
        data_dir,
        name,
        key=experiment,
        until_ms=SystemClock().now_ms() if until_ms is None else until_ms,
        metrics=metrics,
    )
