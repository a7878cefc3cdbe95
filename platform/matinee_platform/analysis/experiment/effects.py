"""One metric of two arms: every interval that it may be shown with, and the one it is judged by."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from matinee_platform.analysis.inference.confidence_sequence import Tuning, always_valid
from matinee_platform.analysis.inference.cuped import Cuped, adjusted
from matinee_platform.analysis.inference.effect import Effect, no_effect, too_few
from matinee_platform.analysis.inference.moments import Moments
from matinee_platform.analysis.inference.non_inferiority import NonInferiority, non_inferiority
from matinee_platform.analysis.inference.ratio import linearise
from matinee_platform.analysis.inference.welch import welch

LEAST_REDUCTION = 0.01
"""Share of the variance that covariates must take out for the adjusted difference to be shown."""

_UNITS_PER_COVARIATE = 20


@dataclass(frozen=True, slots=True)
class Estimate:
    """A difference with its intervals.

    Attributes:
        anytime: interval that holds at every look.
        fixed: interval of the declared end; None before it.
    """

    anytime: Effect
    fixed: Effect | None

    @property
    def shown(self) -> Effect:
        """The one to judge by: of the declared end if that is reached."""
        return self.anytime if self.fixed is None else self.fixed


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric of one arm against control.

    Attributes:
        plain: the difference as it is.
        cuped: the difference without what covariates foretell; None where they foretell little.
        reduction: share of the variance that covariates take out; NaN without any.
        guardrail: the test of a guardrail, None for other metrics.
        corrected: p-value after correction for the comparisons made with it, NaN without a test.
        correction: which one, in one word.
    """

    plain: Estimate
    cuped: Estimate | None
    reduction: float
    guardrail: NonInferiority | None = None
    corrected: float = math.nan
    correction: str = ""

    @property
    def judged(self) -> Estimate:
        """The estimate that is judged."""
        return self.plain if self.cuped is None else self.cuped

    @property
    def p_value(self) -> float:
        """Of the judged estimate, before correction."""
        return self.judged.shown.p_value

    def with_correction(self, corrected: float, correction: str) -> "Comparison":
        """The same with a corrected p-value."""
        return replace(self, corrected=corrected, correction=correction)

    def significant(self, alpha: float) -> bool:
        """Whether the corrected p-value is at most alpha."""
        return self.corrected <= alpha


Pair = tuple[Moments, Moments]
"""Moments of treatment and control: of value, or numerator and denominator, then of covariates."""


def compare_arms(
    now: Pair,
    *,
    at_end: Pair | None,
    tuning: Tuning,
    ratio: bool,
    fewest: int,
    margin: float | None = None,
    higher_is_better: bool = True,
) -> Comparison:
    """Compare one metric of an arm with that of control.

    Args:
        now: all units.
        at_end: units as they were at the declared end, None before it; then the interval of the
            fixed horizon is given, and judged by.
        tuning: of confidence sequences; its confidence is that of all intervals.
        ratio: whether the first two columns are a ratio.
        fewest: units that must count in each arm for an interval, at either time.
        margin: of a guardrail, as a share of control's value; None for other metrics.
        higher_is_better: which sign is a loss.
    """
    taken, end_taken = _taken_out(now, ratio=ratio), None
    if at_end is not None and taken is not None:
        end_taken = _taken_out(at_end, ratio=ratio)
        # Judged alike at both times, or not at all.
        taken = None if end_taken is None else taken
    plain_now, plain_end = _plain_pair(now, ratio=ratio), None
    if at_end is not None:
        plain_end = _plain_pair(at_end, ratio=ratio)
    method = "ratio" if ratio else "welch"
    plain = _estimate(plain_now, plain_end, tuning=tuning, method=method, fewest=fewest)
    cuped = None
    if taken is not None:
        cuped = _estimate(
            (taken.treatment, taken.control),
            None if end_taken is None else (end_taken.treatment, end_taken.control),
            tuning=tuning,
            method="cuped",
            fewest=fewest,
        )
    shown = end_taken or taken
    held = plain_end or plain_now if shown is None else (shown.treatment, shown.control)
    guardrail = None
    if margin is not None:
        guardrail = non_inferiority(
            *held,
            margin=margin,
            relative=True,
            higher_is_better=higher_is_better,
            confidence=tuning.confidence,
            tuning=tuning if at_end is None else None,
            fewest=fewest,
        )
    return Comparison(plain, cuped, math.nan if shown is None else shown.reduction, guardrail)


def effects_by_day(
    treatment: Sequence[Moments],
    control: Sequence[Moments],
    *,
    tuning: Tuning,
    ratio: bool,
    adjust: bool,
    fewest: int,
) -> list[Effect]:
    """The difference at the end of each day, with the interval that holds on all of them.

    Args:
        treatment: moments at the end of each day, covariates included.
        control: likewise.
        tuning: of the sequence.
        ratio: whether the first two columns are a ratio.
        adjust: whether to take covariates out.
        fewest: units that each arm must have for an interval.
    """
    found = []
    for pair in zip(treatment, control, strict=True):
        taken = _taken_out(pair, ratio=ratio) if adjust else None
        arms = _plain_pair(pair, ratio=ratio)
        if taken is not None:
            arms = taken.treatment, taken.control
        found.append(_finite(always_valid, arms, tuning=tuning, fewest=fewest))
    return found


def effects_of_each_day(
    treatment: Sequence[Moments], control: Sequence[Moments], *, confidence: float, ratio: bool
) -> list[Effect]:
    """The difference of each day alone, with an interval for that day alone."""
    return [
        _finite(welch, _plain_pair(pair, ratio=ratio), confidence=confidence)
        for pair in zip(treatment, control, strict=True)
    ]


def _plain_pair(pair: Pair, *, ratio: bool) -> Pair:
    """Moments of a mean each, covariates left out; a ratio by the delta method."""
    treatment, control = (linearise(arm.select(0, 1)) if ratio else arm.select(0) for arm in pair)
    return treatment, control


def _taken_out(pair: Pair, *, ratio: bool) -> Cuped | None:
    """The arms without what covariates foretell; None where that is too little, or too few."""
    values = 2 if ratio else 1
    covariates = pair[0].mean.size - values
    least = _UNITS_PER_COVARIATE * (covariates + 1)
    if not covariates or min(arm.n for arm in pair) < least:
        return None
    if ratio and not all(arm.mean[1] for arm in pair):
        return None
    found = adjusted(*pair, ratios=values - 1)
    return found if found.reduction >= LEAST_REDUCTION else None


def _estimate(
    now: Pair, at_end: Pair | None, *, tuning: Tuning, method: str, fewest: int
) -> Estimate:
    fixed = None
    if at_end is not None:
        fixed = _finite(welch, at_end, fewest=fewest, confidence=tuning.confidence, method=method)
    return Estimate(_finite(always_valid, now, fewest=fewest, tuning=tuning), fixed)


def _finite(
    compare: Callable[..., Effect], pair: Pair, *, fewest: int = 2, **options: Any
) -> Effect:
    """The effect, or the reason why there is none: an arm without a value, or with few units."""
    if any(arm.n and not math.isfinite(arm.value) for arm in pair):
        reason = "an arm has no value: its denominators sum to 0"
        return no_effect(pair[0].value, pair[1].value, method="none", reason=reason)
    reason = too_few(pair[0].n, pair[1].n, fewest=fewest)
    if reason:
        return no_effect(pair[0].value, pair[1].value, method="none", reason=reason)
    return compare(*pair, **options)
