"""How many units and days an experiment takes, what it can find, and how to let traffic in."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from matinee_platform.analysis.inference.confidence_sequence import Tuning
from matinee_platform.analysis.inference.gates import FEWEST_DAYS, FEWEST_UNITS
from matinee_platform.analysis.inference.power import (
    Design,
    minimum_detectable_effect,
    power,
    sample_size,
)
from matinee_platform.analysis.planning.baseline import Baseline
from matinee_platform.analysis_settings import AnalysisSettings
from matinee_policies.config import check_range, check_whole
from matinee_policies.errors import ConfigError

STAGES = (0.01, 0.1, 0.5, 1.0)
"""Coverage of a ramp: each stage is there to find a larger harm before a larger share sees it."""

WEEK = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of an experiment.

    Attributes:
        treatment_share: of the units of both arms, within (0, 1).
        alpha: false alarms that are accepted over all comparisons, within (0, 1).
        comparisons: primary metrics times treatment arms, each tested at `alpha` over their number
            (what Holm's correction grants at least).
        power: wanted, within (0, 1).
        always_valid: whether results are read while it runs.
        tuned_for_units: where its confidence sequences are narrowest, as it declares.

    Raises:
        ConfigError: with the value and the rule.
    """

    treatment_share: float = 0.5
    alpha: float = 0.05
    comparisons: int = 1
    power: float = 0.8
    always_valid: bool = False
    tuned_for_units: int = AnalysisSettings.model_fields["tuned_for_units"].default

    def __post_init__(self) -> None:
        for name in ("treatment_share", "alpha", "power"):
            check_range(name, getattr(self, name), low=0, high=1, low_open=True, high_open=True)
        check_whole("comparisons", self.comparisons, low=1)
        check_whole("tuned_for_units", self.tuned_for_units, low=1)

    @property
    def tuning(self) -> Tuning:
        """Of every confidence sequence of the experiment."""
        return Tuning(float(self.tuned_for_units), confidence=1 - self.alpha)

    def design(self, baseline: Baseline) -> Design:
        """The comparison of two arms on one metric."""
        return baseline.design(
            treatment_share=self.treatment_share,
            alpha=self.alpha / self.comparisons,
            tuning=self.tuning if self.always_valid else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One metric's part of a plan.

    Attributes:
        baseline: what it starts from.
        effect: looked for, in the metric's unit.
        power: to find it with so many units.
        units: of both arms together, whose window has closed.
        enrol_days: in which units enter; None without traffic.
        days: until the last of them has matured; None without traffic.
        whole_weeks: `days` rounded up to weeks, at least one: each weekday counts alike.
    """

    baseline: Baseline
    effect: float
    power: float
    units: int
    enrol_days: int | None = None
    days: int | None = None
    whole_weeks: int | None = None

    @property
    def relative(self) -> float:
        """The effect as a share of the value, NaN where that is 0."""
        return self.effect / self.baseline.value if self.baseline.value else math.nan


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a ramp.

    Attributes:
        coverage: share of each arm's units that take part.
        days: that it lasts; of the last stage, until units enough have entered.
        units: in both arms by its end.
        finds: largest harm, as a share of the metric's value, that might stay unseen until its end
            with the plan's power, read as it runs and one-sided; NaN where the stage is too short
            for any unit to mature, or no fall can be found.
    """

    coverage: float
    days: int
    units: int
    finds: float


def size_for(
    baseline: Baseline, *, relative: float, question: Question, traffic: float | None = None
) -> Plan:
    """Units and days that find a relative change.

    Args:
        baseline: of the metric.
        relative: change as a share of its value, not 0.
        question: that is asked.
        traffic: new units a day for both arms together; None if it is not known.

    Raises:
        ConfigError: on a change or traffic out of range, or a metric of value 0.
    """
    check_range("relative change", relative)
    if not relative or not baseline.value:
        raise ConfigError(
            f"relative change and value of {baseline.metric} must not be 0, got {relative:g} and "
            f"{baseline.value:g}"
        )
    effect = relative * baseline.value
    design = question.design(baseline)
    least = sample_size(design, effect=effect, wanted=question.power)
    smaller = min(question.treatment_share, 1 - question.treatment_share)
    units = max(math.ceil(least), math.ceil(FEWEST_UNITS / smaller))
    return _planned(baseline, effect, units, design, traffic)


def detectable(
    baseline: Baseline, *, units: int, question: Question, traffic: float | None = None
) -> Plan:
    """The smallest rise that so many matured units find; arguments as `size_for`.

    Raises:
        ConfigError: on no units.
    """
    check_whole("units", units, low=1)
    design = question.design(baseline)
    effect = minimum_detectable_effect(design, units=units, wanted=question.power)
    return _planned(baseline, effect, units, design, traffic)


def detectable_in(baseline: Baseline, *, days: int, question: Question, traffic: float) -> Plan:
    """The smallest rise that an experiment of so many days finds; other arguments as `size_for`.

    Raises:
        ConfigError: if no unit matures within the days.
    """
    check_whole("days", days, low=1)
    _check_traffic(traffic)
    units = math.floor(traffic * (days - _wait(baseline)))
    if units < 1:
        raise ConfigError(
            f"days must be above the {_wait(baseline)} that {baseline.metric} waits for, got {days}"
        )
    return detectable(baseline, units=units, question=question, traffic=traffic)


def ramp(
    baseline: Baseline,
    *,
    units: int,
    question: Question,
    traffic: float,
    stages: Sequence[float] = STAGES,
) -> list[Stage]:
    """How to let traffic in.

    A stage lasts for whole days, at least one, until the smaller arm has the hundred units that its
    gates ask for; one that would take more than three days is left out. Coverage only grows, so
    that nobody changes arm, and all units count, whenever they entered.

    Args:
        baseline: of the metric that must not be harmed.
        units: that the plan asks for.
        question: that is asked.
        traffic: new units a day at full coverage.
        stages: rising coverage, the last of them 1.

    Raises:
        ConfigError: on stages that do not rise to 1, or traffic out of range.
    """
    _check_traffic(traffic)
    rises = all(low < high for low, high in pairwise(stages))
    if not stages or not stages[0] > 0 or stages[-1] != 1.0 or not rises:
        raise ConfigError(f"stages must rise from above 0 to 1, got {list(stages)}")
    smaller = min(question.treatment_share, 1 - question.treatment_share)
    found: list[Stage] = []
    entered = elapsed = 0.0
    matured_by: list[tuple[float, float]] = []
    for coverage in stages:
        rate = coverage * traffic
        if coverage < 1.0:
            days = max(1, math.ceil((FEWEST_UNITS / smaller - entered) / rate))
            if days > LONGEST_STAGE or entered + rate * days >= units:
                continue
        else:
            days = max(1, math.ceil((units - entered) / rate))
        matured_by.append((rate, days))
        entered += rate * days
        elapsed += days
        matured = _matured(matured_by, wait=_wait(baseline))
        loss = _unseen_loss(baseline, question, units=matured)
        found.append(Stage(coverage, days, math.floor(entered), loss))
    return found


LONGEST_STAGE = 3
"""Days after which a stage of a ramp is not worth its wait."""


def _planned(
    baseline: Baseline, effect: float, units: int, design: Design, traffic: float | None
) -> Plan:
    chance = math.nan if math.isnan(effect) else power(design, effect=effect, units=units)
    if traffic is None:
        return Plan(baseline=baseline, effect=effect, power=chance, units=units)
    _check_traffic(traffic)
    enrol = max(1, math.ceil(units / traffic))
    days = enrol + _wait(baseline)
    return Plan(
        baseline=baseline,
        effect=effect,
        power=chance,
        units=units,
        enrol_days=enrol,
        days=days,
        whole_weeks=math.ceil(max(days, FEWEST_DAYS) / WEEK),
    )


def _wait(baseline: Baseline) -> int:
    """Days after the day of its exposure until the last unit counts: the window holds that day."""
    return max(baseline.window_days - 1, 0)


def _matured(stages: Sequence[tuple[float, float]], *, wait: int) -> float:
    """Units whose window has closed by the end of stages of so many units a day, for so long."""
    left = sum(days for _, days in stages) - wait
    found = 0.0
    for rate, days in stages:
        here = min(max(left, 0.0), days)
        found += rate * here
        left -= here
    return found


def _unseen_loss(baseline: Baseline, question: Question, *, units: float) -> float:
    """Smallest fall, as a share of the value, that is found with the wanted power, one-sided."""
    if units < 1 or not baseline.value:
        return math.nan
    design = Design(
        value=baseline.value,
        variance=baseline.variance,
        treatment_share=question.treatment_share,
        reduction=baseline.reduction,
        alpha=question.alpha,
        two_sided=False,
        tuning=question.tuning,
    )
    return abs(minimum_detectable_effect(design, units=units, wanted=question.power)) / abs(
        baseline.value
    )


def _check_traffic(traffic: float) -> None:
    check_range("traffic", traffic, low=0, low_open=True)
