"""`matinee scenarios`: worlds with a name: list them, describe one, run one against its claims."""

import json
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from matinee_platform.commands.sensitivity import (
    SENSITIVITY_HELP,
    SENSITIVITY_OPTION,
    WithSensitivity,
    run_and_print_grid,
)

if TYPE_CHECKING:
    from matinee_platform.settings import ExperimentSettings

app = typer.Typer(
    help="Scenarios: worlds with a name, what is known of them, and what a run should show.",
    no_args_is_help=True,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A scenario that `list` names.")]

_WIDTH = 100


@app.command("list")
def list_scenarios(as_json: AsJson = False) -> None:
    """Print every scenario in one line each."""
    from matinee_platform.offline.scenario_run import scenario_list

    found = scenario_list()
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for one in found:
        print(f"{one['name']:<12}{one['regime']}  {one['title']}")
    print("`matinee scenarios describe NAME` tells all of one; T0, T1, T2: how much is known.")


@app.command()
def describe(name: Name, as_json: AsJson = False) -> None:
    """Print what a scenario is for, what is known exactly, its parameters and its expectations."""
    from matinee_platform.offline.scenario_run import described

    facts = described(name)
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    print(f"{facts['name']}: {facts['title']}\n")
    print(textwrap.fill(facts["purpose"], _WIDTH))
    print(f"\nRegime {facts['regime']}, {facts['regime_means']}. Known exactly, or not:")
    for line in facts["known"]:
        print(f"  - {line}")
    print(
        "\nParameters that differ from the defaults:" if facts["world"] else "\nDefault parameters"
    )
    for key, value in facts["world"].items():
        print(f"  {key}: {value}   (default {facts['defaults'][key]})")
    size = "" if facts["regime"] == "T0" else f" x {facts['days']} days"
    print(f"\nSuggested: {facts['users']:,} users{size}", end="")
    print(f", fresh_candidates: {facts['fresh_candidates']}" * bool(facts["fresh_candidates"]))
    print("\nExpected of a run:")
    for expectation in facts["expectations"]:
        print(f"  - {expectation['claim']} [{expectation_text(expectation)}]")


@app.command(cls=WithSensitivity)
def run(
    name: Name,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of the run; runs/NAME if not given."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "--arms",
            metavar="FILE",
            help="Settings in YAML, such as arms and rewards of your own.",
        ),
    ] = None,
    users: Annotated[int | None, typer.Option("--users", metavar="N", help="Users.")] = None,
    days: Annotated[int | None, typer.Option("--days", metavar="N", help="Days.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="Seed.")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; repeatable."),
    ] = None,
    sensitivity: Annotated[
        str | None, typer.Option(SENSITIVITY_OPTION, metavar="LIST", help=SENSITIVITY_HELP)
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", help="Processes; default one per core.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an older run in DIR.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run, or start a new one.")
    ] = False,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress line.")] = False,
) -> None:
    """Run a scenario: every user meets every arm; then say which of its expectations hold.

    `tabular` is solved by one process in seconds: of the options it knows --out, --users, --seed,
    --json and --quiet.

    Example: matinee scenarios run boredom --users 1000 --sensitivity
    """
    from matinee_platform.offline.scenario_run import (
        check_grid_allowed,
        load_scenario,
        scenario_settings,
    )

    scenario = load_scenario(name)
    folder = Path("runs") / name if out is None else out
    if sensitivity is not None:
        check_grid_allowed(scenario)
    if scenario.tabular:
        refused = {"--config": config, "--days": days, "--set": overrides, "--workers": workers}
        _refuse_options(name, refused | {"--overwrite": overwrite, "--resume": resume})
        _run_tabular(name, folder, users=users, seed=seed, as_json=as_json, quiet=quiet)
        return
    settings = scenario_settings(
        scenario, config=config, overrides=overrides or [], users=users, days=days, seed=seed
    )
    try:
        if sensitivity is None:
            _run_once(
                name,
                settings,
                folder,
                workers=workers,
                overwrite=overwrite,
                resume=resume,
                as_json=as_json,
                quiet=quiet,
            )
        else:
            run_and_print_grid(
                settings,
                folder,
                grid=sensitivity,
                workers=workers,
                overwrite=overwrite,
                resume=resume,
                as_json=as_json,
                quiet=quiet,
            )
    except KeyboardInterrupt:
        print("interrupted; the same command with --resume goes on", file=sys.stderr)
        raise typer.Exit(130) from None


def _run_once(
    name: str,
    settings: "ExperimentSettings",
    out: Path,
    *,
    workers: int | None,
    overwrite: bool,
    resume: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    from matinee_platform.offline.run import default_workers, run_experiment
    from matinee_platform.offline.scenario_run import load_scenario, verdicts_of, write_verdicts
    from matinee_platform.report.progress import ProgressLine
    from matinee_platform.report.table import print_summary

    with ProgressLine(arms=len(settings.arms), days=settings.days, quiet=quiet) as line:
        results = run_experiment(
            settings,
            out,
            workers=default_workers() if workers is None else workers,
            overwrite=overwrite,
            resume=resume,
            announce=line.announce,
            report=line.report,
        )
    scenario = load_scenario(name)
    verdicts = verdicts_of(scenario, results)
    write_verdicts(verdicts, scenario, out)
    if as_json:
        print(
            json.dumps({"scenario": name, "expectations": verdicts, "results": results}, indent=2)
        )
        return
    print_summary(results, out)
    print()
    _print_verdicts(verdicts)


def _run_tabular(
    name: str, out: Path, *, users: int | None, seed: int | None, as_json: bool, quiet: bool
) -> None:
    from matinee_platform.offline.scenario_run import load_scenario, verdicts_json
    from matinee_platform.offline.tabular_run import run_tabular, write_tabular

    scenario = load_scenario(name)
    found = run_tabular(
        scenario,
        users=scenario.users if users is None else users,
        seed=1 if seed is None else seed,
        announce=lambda line: None if quiet else print(line, file=sys.stderr),
    )
    verdicts = verdicts_json(found.verdicts)
    values = {"scenario": name, "expectations": verdicts, "results": found.to_json()}
    path = write_tabular(values, out)
    if as_json:
        print(json.dumps(values, indent=2))
        return
    print(f"V* of a new user: {found.optimum:.3f} discounted clicks in a lifetime, exactly\n")
    print(f"{'policy':<22}{'value':>8}{'share of V*':>18}{'simulated':>20}")
    for law in found.policies:
        error = f" ± {law.share_error:.4f}" if law.share_error else ""
        lives = "" if law.simulated != law.simulated else f"{law.simulated:.3f}"
        lives += f" ± {law.simulated_error:.3f}" * bool(lives)
        print(f"{law.name:<22}{law.value:>8.3f}{f'{law.share:.4f}{error}':>18}{lives:>20}")
    print(
        f"\nValues are exact, by the equations of each policy; q-learning: mean of {found.seeds} "
        f"seeds ± standard error.\nSimulated: mean of {found.users:,} lifetimes ± standard error.\n"
    )
    _print_verdicts(verdicts)
    print(f"All numbers: {path}")


def _refuse_options(name: str, given: Mapping[str, object]) -> None:
    from matinee_policies.errors import ConfigError

    for option, value in given.items():
        if value:
            raise ConfigError(f"{option} has no meaning for scenario {name}; leave it out")


def _print_verdicts(verdicts: Sequence[Mapping[str, Any]]) -> None:
    print("What the scenario expects:" if verdicts else "The scenario expects nothing.")
    for verdict in verdicts:
        found = verdict["figure"]
        shown = "" if found is None else f"; found {_found(verdict['relation'], found)}"
        print(
            f"  {verdict['outcome']:<10} {verdict['claim']} "
            f"[{verdict['arm']}: {expectation_text(verdict)}{shown}]"
        )


def _found(relation: str, figure: Mapping[str, float | None]) -> str:
    within = relation == "within"
    value = figure["value" if within else "difference"]
    error = figure["standard_error" if within else "difference_error"]
    if value is None or error is None:
        return "nothing"
    return f"{value:.4g} ± {error:.2g}" if within else f"{value:+.4g} ± {error:.2g}"


def expectation_text(expectation: Mapping[str, Any]) -> str:
    """Metric, relation and bounds of an expectation.

    Example:
        >>> expectation_text({"metric": "d28", "relation": "equal", "low": None, "high": None})
        'd28 equal to the control'
    """
    metric, relation = expectation["metric"], expectation["relation"]
    if relation != "within":
        of = {"equal": "equal to", "above": "above", "below": "below"}[relation]
        return f"{metric} {of} the control"
    low, high = expectation["low"], expectation["high"]
    if low is None:
        return f"{metric} at most {high:g}"
    if high is None:
        return f"{metric} at least {low:g}"
    return f"{metric} {low:g}" if low == high else f"{metric} within {low:g} and {high:g}"
