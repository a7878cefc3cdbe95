"""The command line: `matinee simulate`, `matinee show`, `matinee verify`.

Tables go to people, `--json` to machines, progress to standard error. Exit status: 0 done,
1 failed, 2 wrong usage, 130 interrupted.
"""

import json
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from matinee_platform.commands import (
    candidates,
    index,
    keys,
    maintain,
    policy,
    scenarios,
    snapshot,
    study,
)
from matinee_platform.commands import data as data_command
from matinee_platform.commands.aa import aa
from matinee_platform.commands.analyze import analyze
from matinee_platform.commands.calibrate import calibrate
from matinee_platform.commands.data_options import (
    DataOption,
    Feedback,
    ItemsColumn,
    Metadata,
    RatingsColumn,
    TimestampsColumn,
    UsersColumn,
    data_changes,
)
from matinee_platform.commands.deploy import deploy
from matinee_platform.commands.drift import drift
from matinee_platform.commands.drive import drive
from matinee_platform.commands.examination import examination
from matinee_platform.commands.explain import explain
from matinee_platform.commands.export import export
from matinee_platform.commands.interleave import interleave
from matinee_platform.commands.learn import learn
from matinee_platform.commands.learn_from import learn_from
from matinee_platform.commands.learning_curve import learning_curve
from matinee_platform.commands.ope import ope
from matinee_platform.commands.plan import plan
from matinee_platform.commands.promote import promote
from matinee_platform.commands.replay import replay
from matinee_platform.commands.report import report
from matinee_platform.commands.sensitivity import (
    SENSITIVITY_HELP,
    SENSITIVITY_OPTION,
    WithSensitivity,
    run_and_print_grid,
)
from matinee_platform.commands.serve import serve
from matinee_platform.commands.tradeoff import tradeoff
from matinee_platform.commands.validate import validate
from matinee_policies.errors import MatineeError

app = typer.Typer(
    name="matinee",
    help="Bandit experiments for recommendation slates: who watches more, who comes back?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(data_command.app, name="data")
app.add_typer(policy.app, name="policy")
app.add_typer(candidates.app, name="candidates")
app.add_typer(scenarios.app, name="scenarios")
app.add_typer(index.app, name="index")
app.add_typer(snapshot.app, name="snapshot")
app.add_typer(study.app, name="study")
app.add_typer(keys.app, name="keys")
app.add_typer(maintain.app, name="maintain")
app.command()(analyze)
app.command()(report)
app.command()(export)
app.command()(replay)
app.command()(explain)
app.command()(examination)
app.command()(learn)
app.command()(learn_from)
app.command()(tradeoff)
app.command()(calibrate)
app.command()(validate)
app.command()(drift)
app.command()(interleave)
app.command()(plan)
app.command()(aa)
app.command()(ope)
app.command()(promote)
app.command()(serve)
app.command()(deploy)
app.command()(drive)
app.command("learning-curve")(learning_curve)

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def main() -> None:
    """Run the command line; a mistake of the user ends in one line, never in a traceback."""
    try:
        app()
    except SystemExit as end:
        # A service that was told to end has closed what it opened, and somebody waits for it.
        if end.code == 0 and sys.argv[1:2] in (["serve"], ["learn"]):
            from matinee_platform.quick_exit import quick_exit

            quick_exit(0)
        raise
    except MatineeError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except OSError as error:
        print(f"error: {error.filename or 'file'}: {error.strerror or error}", file=sys.stderr)
        raise SystemExit(1) from None


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"matinee {version('matinee')}")
        raise typer.Exit


@app.callback()
def _root(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Bandit experiments for recommendation slates: who watches more, who comes back?"""


@app.command(cls=WithSensitivity)
def simulate(
    config: Annotated[
        Path, typer.Option("--config", metavar="FILE", help="Experiment settings in YAML.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="New folder for the log and the results.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a setting, e.g. users=2000 or arms.lin_ucb.policy.alpha=0.3; repeatable.",
        ),
    ] = None,
    data: DataOption = None,
    users: UsersColumn = None,
    items: ItemsColumn = None,
    ratings: RatingsColumn = None,
    timestamps: TimestampsColumn = None,
    feedback: Feedback = None,
    metadata: Metadata = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", metavar="N", help="Processes; default one per core. Results are the same."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an older run in DIR.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with an interrupted run in DIR, or start a new one."),
    ] = False,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            "--metrics-port",
            metavar="PORT",
            min=0,
            max=65_535,
            help="Serve Prometheus metrics on 127.0.0.1 during the run; 0 takes a free port.",
        ),
    ] = None,
    openmetrics: Annotated[
        Path | None,
        typer.Option(
            "--export-openmetrics",
            metavar="FILE",
            help="Write the run's metrics day by day, for a backfill of Prometheus.",
        ),
    ] = None,
    sensitivity: Annotated[
        str | None, typer.Option(SENSITIVITY_OPTION, metavar="LIST", help=SENSITIVITY_HELP)
    ] = None,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress line.")] = False,
) -> None:
    """Run an experiment against simulated users and compare its arms.

    Example: matinee simulate --config examples/demo.yaml --out runs/demo --set users=2000
    """
    # Imported here, and the runner after the settings, so that --help and mistakes answer at once.
    from matinee_platform.settings import load_settings

    columns = data_changes(
        path=data,
        users=users,
        items=items,
        ratings=ratings,
        timestamps=timestamps,
        feedback=feedback,
        metadata=metadata,
    )
    settings = load_settings(config, overrides or [], data=columns)
    from matinee_platform.offline.metrics_history import check_file, export_openmetrics
    from matinee_platform.offline.run import default_workers, run_experiment
    from matinee_platform.report.progress import ProgressLine

    if openmetrics is not None:
        check_file(openmetrics)
    line = ProgressLine(arms=len(settings.arms), days=settings.days, quiet=quiet)
    try:
        if sensitivity is not None:
            run_and_print_grid(
                settings,
                out,
                grid=sensitivity,
                workers=workers,
                overwrite=overwrite,
                resume=resume,
                as_json=as_json,
                quiet=quiet,
            )
            return
        with line:
            results = run_experiment(
                settings,
                out,
                workers=workers if workers is not None else default_workers(),
                overwrite=overwrite,
                resume=resume,
                metrics_port=metrics_port,
                announce=line.announce,
                report=line.report,
            )
            if openmetrics is not None:
                line.announce(f"Metrics: {export_openmetrics(out, openmetrics):,} samples")
    except KeyboardInterrupt:
        print("interrupted; the same command with --resume goes on", file=sys.stderr)
        raise typer.Exit(130) from None
    _print_results(results, out, as_json=as_json)


@app.command()
def show(run: RunFolder, as_json: AsJson = False) -> None:
    """Print the results of a finished run again."""
    from matinee_platform.offline.results import read_results

    _print_results(read_results(run), run, as_json=as_json)


@app.command()
def verify(run: RunFolder, as_json: AsJson = False) -> None:
    """Re-score every logged slot from the snapshots on disk: each ratio must be exactly 1."""
    from matinee_platform.verify import check_run

    checks = check_run(run)
    if as_json:
        print(json.dumps([{**asdict(check), "passed": check.passed} for check in checks], indent=2))
    else:
        for check in checks:
            word = "ok" if check.passed else "FAILED"
            word += "" if check.complete else ", not the log that the results speak of"
            print(
                f"{check.arm}: {word}: {check.slots:,} slots re-scored by {check.snapshots} "
                f"snapshots, {check.unequal:,} with a ratio other than 1 "
                f"({check.neighbour_unequal:,} under the neighbouring snapshot); "
                f"{check.features_compared:,} feature blocks compared, "
                f"{check.features_unequal:,} unequal"
            )
    if not all(check.passed for check in checks):
        raise typer.Exit(1)


def _print_results(results: dict[str, Any], run: Path, *, as_json: bool) -> None:
    from matinee_platform.report.table import print_summary

    if as_json:
        print(json.dumps(results, indent=2))
    else:
        print_summary(results, run)


if __name__ == "__main__":
    main()
