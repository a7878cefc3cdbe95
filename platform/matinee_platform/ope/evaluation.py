"""What a log says of a policy: values with intervals, or the reasons why there are none."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from matinee_platform.ope.calibration import Calibration, VersionDraws
from matinee_platform.ope.diagnostics import Diagnostics
from matinee_platform.ope.estimator_list import ESTIMATORS
from matinee_platform.ope.interval import Interval
from matinee_platform.ope.refusal import Reason, Verdict


@dataclass(frozen=True, slots=True)
class Tuned:
    """How a hyper-parameter was chosen (SLOPE).

    Attributes:
        chosen: its value; None for the untamed end of the grid.
        grid: values, from the most biased on; None for the untamed end.
        estimates: of the page at each.
        errors: their standard errors.
        accepted: those whose intervals agree with all less biased ones.
    """

    chosen: float | None
    grid: tuple[float | None, ...]
    estimates: tuple[float, ...]
    errors: tuple[float, ...]
    accepted: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Valued:
    """One estimator of the page, or of one slot of it.

    Attributes:
        estimator: its name.
        slot: from 0; None for the page.
        value: None with the reasons in `refused`.
        standard_error: by unit; None without a value, or below two units.
        interval: None with the reason in `no_interval`.
        more: further intervals that were asked for, by name.
        effective: sample size of its own weights; of the page, the least of its slots.
        tuned: of an estimator with a hyper-parameter.
        refused: why there is no value.
        no_interval: why there is no interval; empty if there is one.
    """

    estimator: str
    slot: int | None
    value: float | None
    standard_error: float | None
    interval: Interval | None
    more: dict[str, Interval]
    effective: float
    tuned: Tuned | None = None
    refused: tuple[str, ...] = ()
    no_interval: str = ""


@dataclass(frozen=True, slots=True)
class Weighing:
    """Diagnostics and verdict of one kind of weights.

    Attributes:
        weights: kind.
        slots: of each slot; none for weights of whole pages.
        page: of the pages' own weights.
        possible: largest weight that any draw could have had, by slot; infinity if unknown.
        verdict: whether values that are made of them are shown.
    """

    weights: str
    slots: tuple[Diagnostics, ...]
    page: Diagnostics
    possible: tuple[float, ...]
    verdict: Verdict

    @property
    def effective_share(self) -> float:
        """Effective sample size as a share of the rows, at the worst slot."""
        return min(one.effective_share for one in self.slots or (self.page,))


@dataclass(frozen=True, slots=True)
class Current:
    """The policy that logged, by the mean of what its pages earned.

    Attributes:
        value: page reward.
        standard_error: by unit.
        interval: at the level of the evaluation.
        difference: value of the target (its headline) less this one; None if it is refused.
        difference_error: by unit, of the same pages; None without.
        difference_interval: from intervals of both that hold together.
    """

    value: float
    standard_error: float | None
    interval: Interval | None
    difference: float | None
    difference_error: float | None
    difference_interval: Interval | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a log says of a policy: the expected page reward at the logged contexts.

    Attributes:
        policy: its name.
        log: whose pages.
        component: of the reward that is counted.
        model: of the rewards; empty without.
        decisions: that were weighed.
        unit_groups: that units were hashed into for errors, those that have any rows.
        adaptive: whether the policy that logged changed as it did.
        values: of the page, the headline first.
        by_slot: of each slot.
        weighings: by kind of weights.
        current: the policy that logged; None without rows.
        rescored: what re-scoring the log by its own policy found; None where it is not known.
        notes: what else to know.
        in_sample: whether the policy learned from the very log.
        calibration: whether propensities are the law of the draws; None where it is not known.
    """

    policy: str
    log: str
    component: str
    model: str
    decisions: int
    unit_groups: int
    adaptive: bool
    values: tuple[Valued, ...]
    by_slot: tuple[Valued, ...]
    weighings: tuple[Weighing, ...]
    current: Current | None
    rescored: dict[str, Any] | None
    notes: tuple[str, ...]
    in_sample: bool = False
    calibration: Calibration | None = None

    @property
    def headline(self) -> Valued:
        """The first estimator that was asked for."""
        return self.values[0]

    def value(self, estimator: str) -> Valued:
        """The page's value by an estimator."""
        return next(one for one in self.values if one.estimator == estimator)

    def weighing(self, weights: str) -> Weighing:
        """Diagnostics of a kind of weights."""
        return next(one for one in self.weighings if one.weights == weights)

    @property
    def verdict(self) -> Verdict:
        """Of the weights that the headline is made of, of itself, and of the draws."""
        own = self.weighing(ESTIMATORS[self.headline.estimator].weights).verdict
        return own.with_estimator(self.headline.refused).with_draws(self.calibration)

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values; what is refused or not finite is null."""
        document = {
            "policy": self.policy,
            "log": self.log,
            "component": self.component,
            "reward_model": self.model or None,
            "decisions": self.decisions,
            "unit_groups": self.unit_groups,
            "adaptive": self.adaptive,
            "value": self.headline.value,
            "interval": _interval(self.headline.interval),
            "estimator": self.headline.estimator,
            "refused": [_reason(reason) for reason in self.verdict.refused],
            "warned": [_reason(reason) for reason in self.verdict.warned],
            "estimates": [_valued(one) for one in self.values],
            "slots": [_valued(one) for one in self.by_slot],
            "diagnostics": {one.weights: _weighing(one) for one in self.weighings},
            "current": None if self.current is None else _current(self.current),
            "rescored": self.rescored,
            "calibration": None if self.calibration is None else _calibration(self.calibration),
            "notes": list(self.notes),
            "in_sample": self.in_sample,
        }
        found: dict[str, Any] = plain_json(document)
        return found


def _valued(one: Valued) -> dict[str, Any]:
    return {
        "estimator": one.estimator,
        "slot": one.slot,
        "value": one.value,
        "reasons": list(one.refused),
        "standard_error": one.standard_error,
        "interval": _interval(one.interval),
        "no_interval": one.no_interval or None,
        "intervals": {name: _interval(more) for name, more in one.more.items()},
        "effective_size": one.effective,
        "hyper_parameter": None if one.tuned is None else asdict(one.tuned),
    }


def _weighing(one: Weighing) -> dict[str, Any]:
    return {
        "page": asdict(one.page),
        "slots": [asdict(slot) for slot in one.slots],
        "largest_possible": list(one.possible),
        "refused": [_reason(reason) for reason in one.verdict.refused],
        "warned": [_reason(reason) for reason in one.verdict.warned],
    }


def _calibration(one: Calibration) -> dict[str, Any]:
    return {
        "method": one.method,
        "p_value": one.p_value,
        "pooled": None if one.pooled is None else _draws(one.pooled),
        "versions": [_draws(version) for version in one.versions],
        "even_weights": {
            "slots": one.even.slots,
            "mean": one.even.mean,
            "standard_error": one.even.error,
            "p_value": one.even.p_value,
        },
    }


def _draws(one: VersionDraws) -> dict[str, Any]:
    told: dict[str, Any] = {"version": None if one.version < 0 else one.version}
    told |= {"draws": one.draws, "p_value": one.p_value}
    for name, test in (("by_propensity", one.by_propensity), ("by_place", one.by_place)):
        told[name] = {
            "statistic": test.statistic,
            "freedom": test.freedom,
            "p_value": test.p_value,
            "expected": test.expected.tolist(),
            "observed": test.observed.tolist(),
        }
    return told


def _current(one: Current) -> dict[str, Any]:
    return {
        "value": one.value,
        "standard_error": one.standard_error,
        "interval": _interval(one.interval),
        "difference": one.difference,
        "difference_error": one.difference_error,
        "difference_interval": _interval(one.difference_interval),
    }


def _interval(one: Interval | None) -> dict[str, Any] | None:
    return None if one is None else asdict(one)


def _reason(one: Reason) -> dict[str, Any]:
    return asdict(one)


def plain_json(value: Any) -> Any:
    """Numbers that JSON has; NaN and infinities are null."""
    if isinstance(value, dict):
        return {name: plain_json(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
