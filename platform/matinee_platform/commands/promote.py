"""`matinee promote`: how far a candidate may be ramped up, and what holds it there."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from matinee_platform.commands.ope_options import (
    ComponentOption,
    ConfidenceOption,
    ConfigOption,
    EstimatorsOption,
    ExperimentOption,
    IntervalOption,
    LargestOption,
    LogArgument,
    ModelOption,
    PolicyOption,
    method_of,
    progress_bar,
    the_log,
)


def promote(
    log: LogArgument = None,
    policies: PolicyOption = None,
    config: ConfigOption = None,
    arm: Annotated[
        str | None, typer.Option("--arm", metavar="ARM", help="That runs now, whose log it is.")
    ] = None,
    experiment: ExperimentOption = None,
    analysis: Annotated[
        Path | None,
        typer.Option(
            "--analysis", metavar="FILE", help="What matinee analyze --json said: guardrails."
        ),
    ] = None,
    candidate: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="ARM", help="Arm of --analysis that runs the policy; RUN:ARM says so."
        ),
    ] = None,
    now: Annotated[
        float, typer.Option("--now", metavar="SHARE", help="Share of units that have it now.")
    ] = 0.0,
    budget: Annotated[
        float,
        typer.Option(
            "--budget", metavar="SHARE", help="Largest loss of all traffic, of its value now."
        ),
    ] = 0.01,
    estimators: EstimatorsOption = None,
    intervals: IntervalOption = None,
    reward_model: ModelOption = "ridge",
    confidence: ConfidenceOption = 0.95,
    component: ComponentOption = "value",
    largest_weight: LargestOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Say which step of a ramp (1, 5, 20, 50, 100 %) a policy may take, or why none.

    Three limits, the least counts: overlap (can the log tell its value?), bound (what may it lose,
    at worst, of all traffic?) and guardrails (did they hold in the experiment?). Without guardrails
    that held, 20 % is the most. Exit status 1 if no step is allowed for any policy. Examples:
    matinee promote runs/demo:mf_explored --policy softer.yaml;
    matinee analyze service --json > now.json;
    matinee promote service --arm old --policy new.npz --analysis now.json --as new --now 0.05
    """
    from matinee_platform.ope.comparison import advise_on
    from matinee_platform.ope.guardrail_file import read_guardrails
    from matinee_platform.ope.inputs.components import check_component
    from matinee_platform.ope.inputs.open_log import open_log
    from matinee_platform.report.ope_text import print_comparison
    from matinee_policies.errors import ConfigError

    check_component(component)
    given = policies or []
    if (candidate is not None or now) and len(given) != 1:
        raise ConfigError(f"--as and --now are of one policy, got {len(given)}")
    if candidate is not None and analysis is None:
        raise ConfigError("--as names an arm of --analysis FILE, got none")
    runs = {name: candidate or _arm_of(name) for name in given} if analysis is not None else {}
    how = method_of(
        estimators,
        intervals,
        reward_model=reward_model,
        confidence=confidence,
        largest_weight=largest_weight,
    )
    with (
        open_log(
            the_log(log, config), arm=arm, experiment=experiment, component=component
        ) as opened,
        progress_bar() as progress,
    ):
        guardrails: dict[str, Any] = {}
        if analysis is not None:
            guardrails = {
                name: read_guardrails(analysis, arm, log=opened) for name, arm in runs.items()
            }
        if intervals is None:
            # Bounds of a step hold at any time where the policy learned while it logged.
            kind = "anytime" if opened.adaptive else "cressie_read"
            how = replace(how, intervals=(kind,))
        found = advise_on(
            opened,
            given,
            how,
            guardrails=guardrails,
            now={name: now for name in given if now},
            budget=budget,
            progress=progress,
        )
    if as_json:
        print(json.dumps(found.to_json(), indent=2, allow_nan=False))
    else:
        print_comparison(found)
    if not any(one.allowed for one in found.advice.values()):
        raise typer.Exit(1)


def _arm_of(policy: str) -> str:
    """The arm that a policy given as RUN:ARM is of."""
    from matinee_policies.errors import ConfigError

    _, colon, arm = policy.rpartition(":")
    if not colon or Path(policy).is_file():
        raise ConfigError(f"--as must say which arm of the analysis runs {policy}")
    return arm.partition("@")[0]
