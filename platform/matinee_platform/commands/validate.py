"""`matinee validate`: hold the simulated users to what is known of real ones, and to their laws."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

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

RESULTS = "validation.json"
"""File of the findings."""


def validate(
    data: DataArgument = None,
    users: UsersColumn = None,
    items: ItemsColumn = None,
    ratings: RatingsColumn = None,
    timestamps: TimestampsColumn = None,
    feedback: Feedback = None,
    metadata: Metadata = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Small populations: under a minute, larger errors."),
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="CHECKS",
            help="Facts by number, tests as T5, 'facts' or 'tests'; repeatable, or with commas.",
        ),
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option("--scenario", metavar="NAME", help="Take the users of a scenario."),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            "--calibration",
            metavar="NAME|FILE",
            help="Take calibrated users; a scenario changes them.",
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a parameter of the users, e.g. retention_sensitivity=0; repeatable.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="Of world and populations.")
    ] = 1,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="Folder for validation.html and .json."),
    ] = Path("runs/validation"),
    results: Annotated[
        Path | None,
        typer.Option(
            "--results",
            metavar="FILE",
            help="Markdown page whose validation section is replaced.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", metavar="N", help="Processes; default one per core. Findings are the same."
        ),
    ] = None,
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Exit with 0 even if a gated check fails.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress lines.")] = False,
) -> None:
    """Check the simulated users against stylised facts and acceptance tests.

    Writes one HTML page with a plot for each. Exit status: 0 if all gated checks that could be
    judged pass, 1 if one fails (unless --report-only), 2 for wrong usage.

    Example: matinee validate --quick --out runs/validation
    """
    from matinee_platform.json_file import write_json
    from matinee_platform.offline.run import default_workers
    from matinee_platform.report.validation import PAGE, headline, render_page, replace_table
    from matinee_platform.report.validation_progress import ValidationProgress
    from matinee_platform.validation.request import make_request
    from matinee_platform.validation.runner import run_validation

    columns = data_changes(
        path=data,
        users=users,
        items=items,
        ratings=ratings,
        timestamps=timestamps,
        feedback=feedback,
        metadata=metadata,
    )
    request = make_request(
        data=columns,
        scenario=scenario,
        calibration=calibration,
        changes=overrides or [],
        seed=seed,
        quick=quick,
    )
    _make_folder(out)
    progress = ValidationProgress(quiet=quiet)
    try:
        found = run_validation(
            request,
            only=only or (),
            workers=workers if workers is not None else default_workers(),
            announce=progress.announce,
            report=progress.report,
        )
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    write_json(out / RESULTS, found)
    (out / PAGE).write_text(render_page(found), encoding="utf-8")
    if results is not None:
        replace_table(results, found, command=_command())
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        _print_findings(found)
        print(f"\n{headline(found)}\nPage: {out / PAGE}")
    if not (found["passed"] or report_only):
        raise typer.Exit(1)


def _print_findings(found: dict[str, Any]) -> None:
    for finding in found["findings"]:
        verdict = finding["verdict"].upper() if finding["verdict"] == "fail" else finding["verdict"]
        print(f"{finding['key']:8} {verdict:15} {finding['title']}")
        if finding["verdict"] == "fail":
            print(f"{'':24} {finding['reason']}")


def _make_folder(out: Path) -> None:
    from matinee_policies.errors import ConfigError

    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out must name a folder, {out} is a file")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {out} cannot be made: {error.strerror}") from None


def _command() -> str:
    """What was typed, its paths by their last part: a page tells no folders of a machine."""
    words = [Path(word).name if "/" in word else word for word in sys.argv[1:]]
    return " ".join(["matinee", *words])
