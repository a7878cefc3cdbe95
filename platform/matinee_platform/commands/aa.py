"""`matinee aa`: does the analysis keep its word on a log in which there is nothing to find?"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from matinee_platform.commands.past_units import DatabaseOption, ExperimentOption, past_units


def aa(
    run: Annotated[
        Path | None,
        typer.Argument(metavar="FOLDER", help="Of a finished run, or the data of a service."),
    ] = None,
    database: DatabaseOption = None,
    experiment: ExperimentOption = None,
    salts: Annotated[
        int, typer.Option("--salts", metavar="N", min=1, max=1_000_000, help="Assignments.")
    ] = 1_000,
    share: Annotated[
        float, typer.Option("--share", metavar="X", help="Of the second arm, within 0 and 1.")
    ] = 0.5,
    metrics: Annotated[
        str | None, typer.Option("--metrics", metavar="LIST", help="Some metrics only, as ctr,d7.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Assign the units of a log again under many salts, and count false alarms at 5 %.

    Exit status 1 if a test raises them at a rate other than 5 % (exact binomial p < .001).

    Example: matinee aa runs/demo --salts 1000
    """
    from matinee_platform.analysis.planning.re_assignment import re_assigned
    from matinee_platform.analysis.unit_metrics import METRICS, unit_metric

    names = list(METRICS) if metrics is None else [name.strip() for name in metrics.split(",")]
    days = past_units(run, database=database, experiment=experiment).units
    chosen = [unit_metric(days, name) for name in names]
    matured = [metric for metric in chosen if metric.values.size >= 2]

    def report(done: int) -> None:
        if not quiet:
            print(f"{done:,} of {len(days):,} units", file=sys.stderr)

    found = re_assigned(
        [f"{unit:016x}" for unit in days.unit.tolist()],
        matured,
        salts=[f"aa-{number}" for number in range(salts)],
        covariates=days.covariates,
        weights=(1.0 - share, share),
        report=report,
    )
    values: dict[str, Any] = {
        "units": len(days),
        "salts": salts,
        "level": 0.05,
        "tests": [test.to_json() for test in found],
        "not_matured": [one.name for one in chosen if one.values.size < 2],
        "passed": all(not test.binomial_p < 0.001 for test in found),
    }
    if as_json:
        print(json.dumps(values, indent=2))
    else:
        print("\n".join(_lines(values)))
    if not values["passed"]:
        raise typer.Exit(1)


def _lines(values: dict[str, Any]) -> list[str]:
    lines = [
        f"{values['units']:,} units assigned under {values['salts']:,} salts; false alarms at "
        f"{values['level']:.0%}, and whether so many are chance:",
        f"{'metric':<24}{'test':<12}{'alarms':>8}{'p':>8}",
    ]
    for test in values["tests"]:
        if test["share"] is None:
            lines.append(f"{test['metric']:<24}{test['method']:<12}{'none':>8}")
            continue
        wrong = "  not 5 %" if test["binomial_p"] < 0.001 else ""
        lines.append(
            f"{test['metric']:<24}{test['method']:<12}{test['share']:>8.1%}"
            f"{test['binomial_p']:>8.3f}{wrong}"
        )
    if values["not_matured"]:
        lines.append(f"too short a log for {', '.join(values['not_matured'])}")
    return lines
