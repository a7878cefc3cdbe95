"""From the sums of a log to what it says of a policy: values, diagnostics, verdicts, comparison."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from matinee_platform.ope.bootstrap_interval import bootstrap_interval
from matinee_platform.ope.calibration import Calibration
from matinee_platform.ope.diagnostics import Diagnostics
from matinee_platform.ope.estimates import Estimate
from matinee_platform.ope.estimator_list import Estimator
from matinee_platform.ope.estimators import slot_gradient
from matinee_platform.ope.evaluation import Current, Evaluation, Tuned, Valued, Weighing
from matinee_platform.ope.interval import Interval, RewardRange
from matinee_platform.ope.interval_choice import (
    FamilyFigures,
    Intervals,
    Made,
    weighted_sums,
)
from matinee_platform.ope.interval_kinds import withheld
from matinee_platform.ope.log_sums import LogSums
from matinee_platform.ope.promotion import difference_of
from matinee_platform.ope.refusal import Verdict, judge, judge_slots
from matinee_platform.ope.row_columns import U, Weights
from matinee_platform.ope.selection import Candidate
from matinee_platform.ope.slope import slope
from matinee_platform.ope.unit_sums import influence_error
from matinee_platform.ope.weight_grid import GridPoint
from matinee_policies.arrays import FloatArray


@dataclass(frozen=True, slots=True)
class About:
    """What an evaluation is of, told on every output.

    Attributes:
        policy: its name.
        log: name.
        component: of the reward.
        model: kind of the reward model; empty without.
        adaptive: whether the policy that logged changed as it did.
        unmatched: rows left out for want of a matching propensity.
        rescored: what re-scoring the log found; None where it is not known.
        notes: what else to know.
        in_sample: whether the policy learned from the very log.
        calibration: whether propensities are the law of the draws; None where it is not known.
    """

    policy: str
    log: str
    component: str
    model: str
    adaptive: bool
    unmatched: int
    rescored: dict[str, Any] | None
    notes: tuple[str, ...]
    in_sample: bool = False
    calibration: Calibration | None = None


class Valuation:
    """A log under a target, ready to be told or compared.

    Args:
        sums: of the log.
        about: what it is of.
        estimators: wanted, the headline first.
        intervals: kinds, the first for every value and the others besides.
        confidence: of each interval.
        rewards: what a slot can earn.
    """

    def __init__(
        self,
        sums: LogSums,
        about: About,
        *,
        estimators: Sequence[Estimator],
        intervals: Sequence[str],
        confidence: float,
        rewards: RewardRange,
    ) -> None:
        self._sums, self._about = sums, about
        self._wanted, self._kinds, self._confidence = tuple(estimators), intervals, confidence
        self._figures: dict[Weights, FamilyFigures] = {}
        if sums.rows:
            self._figures = {name: FamilyFigures(one) for name, one in sums.families.items()}
        self._intervals = Intervals(sums, self._figures, rewards=rewards, adaptive=about.adaptive)
        self._weighings = {name: self._weighing(name) for name in sums.families}
        self._tuned = {one.name: self._tune(one) for one in self._wanted if one.grid}

    @property
    def headline(self) -> Estimator:
        """The first estimator."""
        return self._wanted[0]

    def evaluation(self) -> Evaluation:
        """Everything that is told."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._evaluation()

    def _evaluation(self) -> Evaluation:
        slots = range(self._sums.largest.size)
        return Evaluation(
            policy=self._about.policy,
            log=self._about.log,
            component=self._about.component,
            model=self._about.model,
            decisions=self._sums.rows,
            unit_groups=0 if not self._figures else self._figures["slot"].units.rows.size,
            adaptive=self._about.adaptive,
            values=tuple(self._valued(one, None) for one in self._wanted),
            by_slot=tuple(self._valued(one, slot) for one in self._wanted for slot in slots),
            weighings=tuple(self._weighings.values()),
            current=self._current(),
            rescored=self._about.rescored,
            notes=self._about.notes,
            in_sample=self._about.in_sample,
            calibration=self._about.calibration,
        )

    def candidate(self) -> Candidate:
        """The headline, to be ranked with others."""
        valued = self._valued(self.headline, None)

        def interval(confidence: float) -> Interval:
            made = self.interval(confidence)
            return _nothing(confidence) if made is None else made

        value = math.nan if valued.value is None else valued.value
        return Candidate(self._about.policy, value, interval, self.headline_verdict)

    @property
    def headline_verdict(self) -> Verdict:
        """Whether the headline is shown."""
        own = self._weighings[self.headline.weights].verdict
        if self._figures:
            found = self._estimate(self.headline, None)
            own = own.with_estimator((found.reason,) if found.value is None else ())
        return own.with_draws(self._about.calibration)

    def interval(self, confidence: float) -> Interval | None:
        """Of the headline, at any confidence."""
        return self._made(self._kinds[0], self.headline, None, confidence)[0]

    def draws(self) -> FloatArray | None:
        """Of the headline in resamples of units; None without a bootstrap."""
        if not self._figures:
            return None
        return self._intervals.draws(self.headline, tuned=self._chosen)

    @property
    def resampled(self) -> bool:
        """Whether the headline's interval is the bootstrap's."""
        kind, estimator = self._kinds[0], self.headline
        if withheld(kind, estimator, tuned=self._chosen):
            return False
        return self._intervals.resolved(kind, estimator) == "bootstrap"

    @property
    def _chosen(self) -> float | None:
        """Hyper-parameter of the headline; None without one, or where nothing is tamed."""
        tuned = self._tuned.get(self.headline.name)
        return None if tuned is None else tuned.chosen

    def _valued(self, estimator: Estimator, slot: int | None) -> Valued:
        refused = self._refusals(estimator, slot)
        if not self._figures:
            return Valued(estimator.name, slot, None, None, None, {}, 0.0, None, refused)
        tuned = self._tuned.get(estimator.name)
        found = self._estimate(estimator, slot)
        effective = found.effective_size
        if refused or found.value is None:
            why = refused or (found.reason,)
            return Valued(estimator.name, slot, None, None, None, {}, effective, tuned, why)
        interval, reason = self._made(self._kinds[0], estimator, slot, self._confidence)
        more = {
            kind: made
            for kind in self._kinds[1:]
            if (made := self._made(kind, estimator, slot, self._confidence)[0]) is not None
        }
        return Valued(
            estimator=estimator.name,
            slot=slot,
            value=found.value,
            standard_error=_error(found),
            interval=interval,
            more=more,
            effective=effective,
            tuned=tuned,
            no_interval=reason,
        )

    def _made(
        self, kind: str, estimator: Estimator, slot: int | None, confidence: float
    ) -> tuple[Interval | None, str]:
        tuned = self._tuned.get(estimator.name)
        made = self._intervals.make(
            kind,
            estimator,
            confidence=confidence,
            slot=slot,
            tuned=None if tuned is None else tuned.chosen,
        )
        return made.interval, made.reason

    def _refusals(self, estimator: Estimator, slot: int | None) -> tuple[str, ...]:
        weighing = self._weighings[estimator.weights]
        verdict = weighing.verdict
        if slot is not None and weighing.slots:
            verdict = judge(weighing.slots[slot])
        return tuple(reason.words for reason in verdict.refused)

    def _estimate(self, estimator: Estimator, slot: int | None) -> Estimate:
        figures = self._figures[estimator.weights]
        tuned = self._tuned.get(estimator.name)
        if tuned is None:
            return figures.estimate(estimator.base, slot=slot)
        if tuned.chosen is None:
            return figures.estimate(estimator.limit, slot=slot)
        return figures.estimate(estimator.base, slot=slot, value=tuned.chosen)

    def _tune(self, estimator: Estimator) -> Tuned | None:
        """The hyper-parameter by SLOPE on the page, its untamed end included."""
        if not self._figures:
            return None
        figures = self._figures[estimator.weights]
        grid: list[GridPoint] = [
            point for point in figures.totals.plan.grid if point.name == estimator.base
        ]
        found = [figures.estimate(point.name, value=point.value) for point in grid]
        found.append(figures.estimate(estimator.limit))
        values = [one.value for one in found]
        errors = [_error(one) for one in found]
        if None in values or None in errors:
            return Tuned(None, (None,), (), (), ())
        choice = slope(np.array(values, dtype=np.float64), np.array(errors, dtype=np.float64))
        settings: list[float | None] = [*(point.value for point in grid), None]
        return Tuned(
            chosen=settings[choice.index],
            grid=tuple(settings),
            estimates=tuple(float(one) for one in values if one is not None),
            errors=tuple(one for one in errors if one is not None),
            accepted=tuple(choice.accepted.tolist()),
        )

    def _weighing(self, weights: Weights) -> Weighing:
        sums, unmatched = self._sums, self._about.unmatched
        if not self._figures:
            nothing = Diagnostics(
                rows=0,
                effective=0.0,
                largest=np.nan,
                largest_share=np.nan,
                mean=np.nan,
                mean_error=np.nan,
                positives=0,
                unreachable=np.nan,
                unmatched=unmatched,
            )
            return Weighing(weights, (), nothing, (), judge(nothing))
        figures = self._figures[weights]
        slots = figures.totals.slots
        page = Diagnostics.from_sums(
            weighted_sums(figures, residual=False, slot=None, positives=figures.family.positives),
            unreachable=sums.unreachable_page / sums.rows,
            unmatched=unmatched,
            mean_error=_mean_error(figures, None),
        )
        possible = tuple(self._intervals.largest(weights).tolist())
        if slots == 1 or weights == "slate":
            return Weighing(weights, (), page, possible, judge(page))
        by_slot = [
            Diagnostics.from_sums(
                weighted_sums(figures, residual=False, slot=slot),
                unreachable=float(sums.unreachable[slot]) / sums.rows,
                unmatched=unmatched,
                mean_error=_mean_error(figures, slot),
            )
            for slot in range(slots)
        ]
        named = {f"slot {slot + 1}": one for slot, one in enumerate(by_slot)}
        return Weighing(weights, tuple(by_slot), page, possible, judge_slots(named, page=page))

    def _current(self) -> Current | None:
        if not self._figures:
            return None
        kind = self._kinds[0]
        figures = FamilyFigures(self._sums.current)
        mean = figures.estimate("ips")
        value = 0.0 if mean.value is None else mean.value
        interval = self._intervals.current(kind, confidence=self._confidence).interval
        target = self._valued(self.headline, None)
        if target.value is None:
            return Current(value, _error(mean), interval, None, None, None)
        return Current(
            value=value,
            standard_error=_error(mean),
            interval=interval,
            difference=target.value - value,
            difference_error=self._difference_error(figures),
            difference_interval=self.difference(self._confidence).interval,
        )

    def _difference_error(self, current: FamilyFigures) -> float | None:
        """By unit, of the two values on the same pages."""
        estimator = self.headline
        figures = self._figures[estimator.weights]
        own = _influence(figures, estimator.base, self._tuned.get(estimator.name), estimator)
        return influence_error(own - _influence(current, "ips", None, estimator))

    def difference(self, confidence: float) -> Made:
        """Of the headline's value less the mean of the policy that logged, or why there is none."""
        if not self._figures:
            return Made(None, "there are no rows")
        kind, estimator = self._kinds[0], self.headline
        if self.resampled:
            draws, bootstrap = self.draws(), self._sums.current.bootstrap
            if draws is None or bootstrap is None:
                return Made(None, "no bootstrap was asked for")
            return Made(bootstrap_interval(draws - bootstrap.draws("ips"), confidence=confidence))
        error = self._difference_error(FamilyFigures(self._sums.current))
        made = self._intervals.difference(
            kind, estimator, confidence=confidence, error=error, tuned=self._chosen
        )
        if made.interval is not None:
            return made
        # Both hold at once where each misses at most half the time that is allowed.
        each = (1 + confidence) / 2
        own, why = self._made(kind, estimator, None, each)
        theirs = self._intervals.current(kind, confidence=each).interval
        if own is None or theirs is None:
            return Made(None, why or made.reason)
        return Made(difference_of(own, theirs))


def _nothing(confidence: float) -> Interval:
    """The interval of a value of which nothing is known."""
    return Interval(-math.inf, math.inf, confidence, "none")


def _influence(
    figures: FamilyFigures, name: str, tuned: Tuned | None, estimator: Estimator
) -> FloatArray:
    if tuned is not None and tuned.chosen is not None:
        points = [(one.name, one.value) for one in figures.totals.plan.grid]
        return figures.units.point_influence(points.index((name, tuned.chosen)))
    plain = name if tuned is None else estimator.limit
    weights = figures.totals.plan.weights
    gradient = slot_gradient(plain, figures.totals.means(), weights=weights)
    return figures.units.influence(gradient.slopes.sum(axis=0))


def _mean_error(figures: FamilyFigures, slot: int | None) -> float | None:
    """Standard error by unit of a slot's mean weight, or of the pages'; None for that by row."""
    slots = figures.totals.slots
    slopes = np.zeros((4, slots))
    slopes[U, slice(None) if slot is None else slot] = 1.0 / slots if slot is None else 1.0
    return figures.units.error(slopes)


def _error(found: Estimate) -> float | None:
    return found.standard_error if found.unit_error is None else found.unit_error
