"""`matinee plan`: how many units and days an experiment takes, and what it can find."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from matinee_platform.commands.past_units import DatabaseOption, ExperimentOption, past_units

if TYPE_CHECKING:
    from matinee_platform.analysis.planning.baseline import Baseline
    from matinee_platform.analysis.planning.plan import Plan, Question, Stage
    from matinee_platform.analysis.unit_days.records import UnitDays

_DEFAULT_METRICS = "ctr,engagement_7,sessions_7,returned_within_7,d7,d28"


def plan(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]",
            help="A finished run, or the data of a service, to measure; else give numbers.",
        ),
    ] = None,
    database: DatabaseOption = None,
    experiment: ExperimentOption = None,
    metrics: Annotated[
        str | None, typer.Option("--metrics", metavar="LIST", help="Of the run, as ctr,d7.")
    ] = None,
    arm: Annotated[
        str | None, typer.Option("--arm", metavar="NAME", help="Of the run; default its control.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", metavar="X", help="Share of units, as 0.4.")
    ] = None,
    value: Annotated[
        float | None, typer.Option("--value", metavar="X", help="Mean by unit, with --sd.")
    ] = None,
    sd: Annotated[
        float | None, typer.Option("--sd", metavar="X", help="Standard deviation between units.")
    ] = None,
    correlation: Annotated[
        float, typer.Option("--correlation", metavar="R", help="With what is known before.")
    ] = 0.0,
    window: Annotated[
        int, typer.Option("--window", metavar="DAYS", min=0, help="Until a unit counts.")
    ] = 0,
    effect: Annotated[
        float | None,
        typer.Option("--effect", metavar="X", help="Change to find, as a share: 0.02 for 2 %."),
    ] = None,
    units: Annotated[
        int | None, typer.Option("--units", metavar="N", min=1, help="Units in both arms.")
    ] = None,
    days: Annotated[
        int | None, typer.Option("--days", metavar="N", min=1, help="Days, with --traffic.")
    ] = None,
    traffic: Annotated[
        float | None,
        typer.Option("--traffic", metavar="N", help="New units a day, both arms together."),
    ] = None,
    share: Annotated[
        float, typer.Option("--share", metavar="X", help="Of treatment, within 0 and 1.")
    ] = 0.5,
    alpha: Annotated[
        float, typer.Option("--alpha", metavar="X", help="False alarms accepted in all.")
    ] = 0.05,
    comparisons: Annotated[
        int,
        typer.Option("--comparisons", metavar="N", min=1, help="Primary metrics x treatment arms."),
    ] = 1,
    wanted: Annotated[
        float, typer.Option("--power", metavar="X", help="Chance to find the change.")
    ] = 0.8,
    always_valid: Annotated[
        bool, typer.Option("--always-valid", help="Results are read while it runs.")
    ] = False,
    tuned_for: Annotated[
        int | None,
        typer.Option(
            "--tuned-for",
            metavar="N",
            min=10,
            help="tuned_for_units of the experiment; that of the past data, else 10000.",
        ),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--no-cuped", help="Leave what is known before aside.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Plan an experiment: units and days for a change, or the change that they find.

    Give one of --effect, --units and --days. Of a run, the variance of each metric and the share
    that CUPED removes are measured in one arm.

    Example: matinee plan runs/demo --effect 0.02 --traffic 5000
    """
    from matinee_platform.analysis.planning.plan import Question, ramp
    from matinee_policies.errors import ConfigError

    if sum(one is not None for one in (effect, units, days)) != 1:
        raise ConfigError("give one of --effect, --units and --days")
    if days is not None and traffic is None:
        raise ConfigError("--days needs --traffic, new units a day")
    question = Question(
        treatment_share=share,
        alpha=alpha,
        comparisons=comparisons,
        power=wanted,
        always_valid=always_valid,
    )
    if tuned_for is not None:
        question = replace(question, tuned_for_units=tuned_for)
    if run is not None or database is not None:
        if any(one is not None for one in (rate, value, sd)):
            raise ConfigError("--rate, --value and --sd stand in for past data, which were given")
        past = past_units(run, database=database, experiment=experiment)
        if tuned_for is None:
            question = replace(question, tuned_for_units=past.settings.tuned_for_units)
        baselines = _measured(past.units, past.control, metrics=metrics, arm=arm, adjust=not plain)
    else:
        from matinee_platform.analysis.planning.baseline import given_baseline

        if metrics is not None or arm is not None or experiment is not None:
            raise ConfigError(
                "--metrics, --arm and --experiment speak of past data, which were not given"
            )
        baselines = [
            given_baseline(
                value=value, sd=sd, rate=rate, correlation=correlation, window_days=window
            )
        ]
    plans = [
        _plan(one, question, effect=effect, units=units, days=days, traffic=traffic)
        for one in baselines
    ]
    stages = None
    if traffic is not None:
        # Harm is looked for where it shows first.
        soonest = min(baselines, key=lambda one: one.window_days)
        most = max(one.units for one in plans)
        stages = ramp(soonest, units=most, question=question, traffic=traffic)
    if as_json:
        print(json.dumps(_json(plans, stages, question, traffic), indent=2))
    else:
        print("\n".join(_lines(plans, stages, question)))


def _measured(
    found: "UnitDays", control: str, *, metrics: str | None, arm: str | None, adjust: bool
) -> "list[Baseline]":
    from matinee_platform.analysis.planning.baseline import measured_baseline
    from matinee_platform.analysis.unit_metrics import unit_metric

    names = [name.strip() for name in (metrics or _DEFAULT_METRICS).split(",")]
    if metrics is None:
        names = [name for name in names if unit_metric(found, name).values.size >= 2]
    return [measured_baseline(found, name, arm=arm or control, adjust=adjust) for name in names]


def _plan(
    baseline: "Baseline",
    question: "Question",
    *,
    effect: float | None,
    units: int | None,
    days: int | None,
    traffic: float | None,
) -> "Plan":
    from matinee_platform.analysis.planning.plan import detectable, detectable_in, size_for

    if effect is not None:
        return size_for(baseline, relative=effect, question=question, traffic=traffic)
    if units is not None:
        return detectable(baseline, units=units, question=question, traffic=traffic)
    return detectable_in(baseline, days=days or 0, question=question, traffic=traffic or 0.0)


def _json(
    plans: "list[Plan]",
    stages: "list[Stage] | None",
    question: "Question",
    traffic: float | None,
) -> dict[str, Any]:
    from dataclasses import asdict

    def known(number: float | None) -> float | None:
        return None if number is None or number != number else number

    return {
        "question": asdict(question),
        "traffic": traffic,
        "metrics": [
            {
                **asdict(one.baseline),
                "effect": known(one.effect),
                "relative": known(one.relative),
                "chance": known(one.power),
                "units_needed": one.units,
                "enrol_days": one.enrol_days,
                "days": one.days,
                "whole_weeks": one.whole_weeks,
            }
            for one in plans
        ],
        "ramp": None
        if stages is None
        else [{**asdict(stage), "finds": known(stage.finds)} for stage in stages],
    }


def _lines(plans: "list[Plan]", stages: "list[Stage] | None", question: "Question") -> list[str]:
    kind = "read at its end"
    if question.always_valid:
        kind = f"read while it runs, tuned for {question.tuned_for_units:,} units"
    lines = [
        f"Two arms, {question.treatment_share:.0%} in treatment, alpha {question.alpha:g} over "
        f"{question.comparisons} comparison{'s' if question.comparisons > 1 else ''}, power "
        f"{question.power:.0%}, {kind}",
        f"{'metric':<24}{'value':>10}{'sd':>10}{'CUPED':>8}{'change':>10}{'units':>14}"
        f"{'waits':>7}{'days':>7}{'weeks':>7}",
    ]
    for one in plans:
        base = one.baseline
        lines.append(
            f"{base.metric:<24}{base.value:>10.4g}{base.variance**0.5:>10.4g}"
            f"{base.reduction:>8.0%}{one.relative:>+10.2%}{one.units:>14,}"
            f"{base.window_days:>7}{one.days if one.days is not None else '-':>7}"
            f"{one.whole_weeks if one.whole_weeks is not None else '-':>7}"
        )
    if any(one.baseline.units and not one.baseline.window_days for one in plans):
        lines.append("Metrics that wait for nothing: as long as the data observed their units.")
    if stages:
        lines.append("Ramp, both arms alike, nobody changes arm:")
        for stage in stages:
            seen = "" if stage.finds != stage.finds else f"; a loss of {stage.finds:.1%} is found"
            lines.append(
                f"  {stage.coverage:.0%} for {stage.days:,} day{'s' if stage.days > 1 else ''}: "
                f"{stage.units:,} units by then{seen}"
            )
    return lines
