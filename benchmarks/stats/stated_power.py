"""S4: an experiment of the size that the plan asks for finds the lift it was sized for.

The plan sees a pilot of made-up units without any lift; then experiments of exactly its size are
made up, with the lift. A plan of an experiment that is read as it runs states what the look at its
end finds, by the sequence that the product reads it by; it is held to that, and to what any of
`LOOKS` looks find, the last of them at the end.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cache

import numpy as np

from matinee_platform.analysis.inference.confidence_sequence import Tuning, always_valid
from matinee_platform.analysis.inference.cuped import adjusted, with_missing_indicator
from matinee_platform.analysis.inference.moments import Moments
from matinee_platform.analysis.inference.ratio import linearise
from matinee_platform.analysis.inference.welch import welch
from matinee_platform.analysis.planning.baseline import Baseline
from matinee_platform.analysis.planning.plan import Plan, Question, size_for
from matinee_platform.analysis_settings import AnalysisSettings
from promises import Promise
from stats.effort import Effort
from stats.made_up_units import Units, made_up

PILOT = 200_000
LOOKS = 20
SLACK = 0.05
LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Case:
    """What one experiment looks for, and how."""

    name: str
    lift: float
    columns: Callable[[Units], tuple[np.ndarray, ...]]
    ratios: int = 0
    adjusts: bool = False
    proportion: bool = False
    always_valid: bool = False
    share: float = 0.5
    power: float = 0.8


CASES = (
    Case("clicks per user", 0.10, lambda units: (units.clicks,)),
    Case("clicks per user, adjusted", 0.10, lambda units: (units.clicks,), adjusts=True),
    Case("ctr", 0.05, lambda units: (units.clicks, units.impressions), ratios=1),
    Case("ctr, a tenth in treatment", 0.05, lambda u: (u.clicks, u.impressions), 1, share=0.1),
    Case("returned", 0.08, lambda units: (units.stayed,), proportion=True),
    Case("returned, 90 %", 0.08, lambda units: (units.stayed,), proportion=True, power=0.9),
    Case("ctr, read as it runs", 0.05, lambda u: (u.clicks, u.impressions), 1, always_valid=True),
    Case(
        "clicks per user, adjusted, read as it runs",
        0.10,
        lambda units: (units.clicks,),
        adjusts=True,
        always_valid=True,
    ),
    Case(
        "returned, read as it runs",
        0.08,
        lambda units: (units.stayed,),
        proportion=True,
        always_valid=True,
    ),
)


def measure(effort: Effort) -> list[Promise]:
    """Every case."""
    return [_promise(case, effort, seed=number) for number, case in enumerate(CASES)]


def plan_of(case: Case) -> Plan:
    """What `matinee plan` says of a case, from the pilot."""
    question = Question(
        treatment_share=case.share, power=case.power, always_valid=case.always_valid
    )
    return size_for(_baseline(case), relative=case.lift, question=question)


def _promise(case: Case, effort: Effort, *, seed: int) -> Promise:
    plan = plan_of(case)
    treated = round(plan.units * case.share)
    # As the product reads it, not tuned to the size that is planned.
    tuning = Tuning(float(AnalysisSettings().tuned_for_units))
    at_end = ever = 0
    for number in range(effort.experiments):
        rng = np.random.default_rng([4, seed, number])
        treatment = made_up(rng, treated, lift=case.lift)
        control = made_up(rng, plan.units - treated)
        if case.always_valid:
            looks = _found_as_it_runs(case, treatment, control, tuning)
            last = next(looks)
            at_end += last
            ever += last or any(looks)
        else:
            at_end += welch(*moments_of(case, treatment, control)).p_value < LEVEL
    n = effort.experiments
    shares = [at_end / n, ever / n] if case.always_valid else [at_end / n]
    low, high = case.power - SLACK, case.power + SLACK
    measured = f"{_with_error(shares[0], n)} of {n:,} with {plan.units:,} units"
    if case.always_valid:
        measured += f"; at any look {_with_error(shares[1], n)}"
    return Promise(
        name=f"S4 {case.name}",
        measured=measured,
        asked=f"{case.power:.0%} +- 5 points",
        kept=all(
            effort.at_least(share, low, trials=n) and effort.at_most(share, high, trials=n)
            for share in shares
        ),
    )


def _with_error(share: float, trials: int) -> str:
    """A share and its standard error."""
    return f"{share:.1%} +- {(share * (1 - share) / trials) ** 0.5:.1%}"


@cache
def _pilot() -> Units:
    return made_up(np.random.default_rng(4), PILOT)


def _baseline(case: Case) -> Baseline:
    pilot = _pilot()
    own = Moments.of(*case.columns(pilot))
    moments = linearise(own) if case.ratios else own
    reduction = 0.0
    if case.adjusts:
        whole = Moments.of(*case.columns(pilot), *with_missing_indicator(pilot.before))
        reduction = adjusted(whole, whole, ratios=case.ratios).reduction
    return Baseline(
        metric=case.name,
        value=moments.value,
        variance=moments.variance,
        reduction=reduction,
        proportion=case.proportion,
    )


def _found_as_it_runs(
    case: Case, treatment: Units, control: Units, tuning: Tuning
) -> Iterator[bool]:
    """Whether each look leaves 0 out, the end first, since most are found there."""
    for part in range(LOOKS, 0, -1):
        arms = [_first(arm, part / LOOKS) for arm in (treatment, control)]
        yield always_valid(*moments_of(case, *arms), tuning=tuning).p_value < LEVEL


def _first(arm: Units, share: float) -> Units:
    upto = round(arm.clicks.size * share)
    return Units(**{field.name: getattr(arm, field.name)[:upto] for field in fields(arm)})


def moments_of(case: Case, treatment: Units, control: Units) -> tuple[Moments, Moments]:
    """What both arms are compared by: linearised where it is a ratio, adjusted if asked for."""
    if case.adjusts:
        both = with_missing_indicator(np.concatenate([treatment.before, control.before]))
        cut = treatment.before.size
        first = Moments.of(*case.columns(treatment), *(column[:cut] for column in both))
        second = Moments.of(*case.columns(control), *(column[cut:] for column in both))
        found = adjusted(first, second, ratios=case.ratios)
        return found.treatment, found.control
    plain = [Moments.of(*case.columns(arm)) for arm in (treatment, control)]
    first, second = [linearise(arm) for arm in plain] if case.ratios else plain
    return first, second
