"""What an experiment found, in words."""

from dataclasses import dataclass
from typing import Any

from matinee_platform.analysis.srm import SRM_ALARM
from matinee_platform.offline.prepare import world_parameters
from matinee_platform.report.formats import listed, number, percent, signed
from matinee_platform.settings import ExperimentSettings

_FEW_USERS = 100
_SHORT_DAYS = 7
_DAYS = ("d28", "d7", "d1")


@dataclass(frozen=True, slots=True)
class Phrase:
    """One difference of one arm to control.

    Attributes:
        metric: its name for people.
        text: the difference and its interval.
        clear: whether the interval excludes 0.
    """

    metric: str
    text: str
    clear: bool


@dataclass(frozen=True, slots=True)
class ArmHeadline:
    """What one arm did against control."""

    name: str
    number: int
    reference: bool
    phrases: tuple[Phrase, ...]


@dataclass(frozen=True, slots=True)
class Headline:
    """The top of the page.

    Attributes:
        findings: sentences, the most important first.
        arms: one entry per arm but control.
        gate: what the sample ratio says.
        alarm: whether the differences should not be read at all.
        cautions: sentences to know before believing.
    """

    findings: tuple[str, ...]
    arms: tuple[ArmHeadline, ...]
    gate: str
    alarm: bool
    cautions: tuple[str, ...]


def headline(settings: ExperimentSettings, results: dict[str, Any]) -> Headline:
    """Put the results of a run into words."""
    day = retention_metric(results)
    metrics = [(day, day.upper()), ("engagement_per_user", "engagement per user"), ("ctr", "CTR")]
    alarm = results["srm_p_value"] is not None and results["srm_p_value"] < SRM_ALARM
    return Headline(
        findings=tuple(_finding(results, key, name) for key, name in metrics)
        if len(results["arms"]) > 1
        else ("One arm only: there is nothing to compare it with.",),
        arms=tuple(
            ArmHeadline(
                name, place, arm["reference"], tuple(_phrase(arm, *metric) for metric in metrics)
            )
            for place, (name, arm) in enumerate(results["arms"].items())
            if arm["difference"] is not None
        ),
        gate=_gate(results, alarm),
        alarm=alarm,
        cautions=tuple(_cautions(settings, results, day)),
    )


def retention_metric(results: dict[str, Any]) -> str:
    """The latest of D28, D7 and D1 for which every arm has matured users."""
    for day in _DAYS:
        if all(arm[day]["rate"] is not None for arm in results["arms"].values()):
            return day
    return _DAYS[-1]


def excludes_zero(found: dict[str, float | None]) -> bool:
    """Whether the interval of a difference lies on one side of 0."""
    low, high = found["low"], found["high"]
    return low is not None and high is not None and (low > 0.0 or high < 0.0)


def _finding(results: dict[str, Any], metric: str, name: str) -> str:
    """Who is clearly above or below control; real arms only, references cannot be run."""
    up: list[str] = []
    down: list[str] = []
    for arm_name, arm in results["arms"].items():
        if arm["difference"] is None or arm["reference"]:
            continue
        found = arm["difference"][metric]
        if excludes_zero(found):
            (up if found["low"] > 0.0 else down).append(arm_name)
    what = f"{name[:1].upper()}{name[1:]} against {results['control']}"
    parts = [
        f"{word} for {listed(arms)}" for word, arms in (("higher", up), ("lower", down)) if arms
    ]
    if not parts:
        return f"{what}: no arm differs clearly."
    rest = "" if up else "; higher for none"
    return f"{what}: clearly {' and clearly '.join(parts)}{rest}."


def _phrase(arm: dict[str, Any], metric: str, name: str) -> Phrase:
    found = arm["difference"][metric]
    low, high, difference = found["low"], found["high"], found["difference"]
    if low is None or high is None or difference is None:
        return Phrase(name, "no interval yet", False)
    if metric == "engagement_per_user":
        text = f"{signed(difference)} ({signed(low)} to {signed(high)})"
        if found["relative"] is not None:
            text = f"{signed(100 * found['relative'], 1)} %, {text}"
    else:
        text = f"{signed(100 * difference)} pp ({signed(100 * low)} to {signed(100 * high)})"
    return Phrase(name, text, excludes_zero(found))


def _gate(results: dict[str, Any], alarm: bool) -> str:
    p_value = results["srm_p_value"]
    if results["paired"]:
        return "Every user went through every arm (paired design): there is no split to check."
    if p_value is None:
        return "Sample ratio: not to be told."
    if alarm:
        return (
            f"ALARM: the users are not split as declared (sample ratio p = {p_value:.2g}, below "
            f"{SRM_ALARM:g}). Something is broken; do not read the differences."
        )
    return f"The users are split as declared (sample ratio p = {p_value:.3f})."


def _cautions(settings: ExperimentSettings, results: dict[str, Any], day: str) -> list[str]:
    arms = results["arms"]
    level = f"{results['confidence']:.0%}".replace("%", " %")
    lines = [
        "This is a simulation, not your users: how strongly satisfaction drives returns is an "
        f"assumption (retention_sensitivity = "
        f"{number(float(world_parameters(settings).retention_sensitivity), 2)}).",
        f"“Clearly” means that the {level} interval by user excludes 0. Intervals hold one by "
        "one: with many arms and metrics, expect about one in twenty to exclude 0 by chance.",
    ]
    if any(arm["reference"] for arm in arms.values()):
        names = listed([name for name, arm in arms.items() if arm["reference"]])
        lines.append(f"Reference ({names}): knows the simulator's truth; no service could run it.")
    matured = min((arm[day]["matured"] or 0.0) for arm in arms.values())
    if matured < 1.0:
        lines.append(
            f"{day.upper()} counts users whose day has passed, in the least matured arm "
            f"{percent(matured, 0)} of them."
        )
    if day != "d28":
        lines.append("No user's day 28 has passed in every arm; an earlier day stands in.")
    few = [name for name, arm in arms.items() if arm["users"] < _FEW_USERS]
    if few:
        lines.append(f"Few users: {listed(few)} had fewer than {_FEW_USERS}.")
    if settings.days < _SHORT_DAYS:
        lines.append(f"Short: {settings.days} days do not hold a full week.")
    return lines
