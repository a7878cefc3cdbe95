"""The answer of every comparison of two arms, and how an estimate and its error become one."""

import math
from dataclasses import dataclass

from matinee_platform.analysis.inference.moments import Moments
from matinee_platform.analysis.inference.relative import fieller
from matinee_policies.config import check_range

NO_VARIANCE = "the units of each arm are all alike, so that nothing tells the error"
"""Why values that do not vary have no interval."""


@dataclass(frozen=True, slots=True)
class Effect:
    """Treatment minus control, in the metric's own unit.

    Attributes:
        treatment: value in the treatment arm.
        control: value in the control arm.
        low: lower end of the interval, NaN where there is none (`reason` says why).
        high: its upper end.
        p_value: two-sided, of no difference; NaN as `low`.
        standard_error: of the difference, NaN as `low`.
        relative_low: lower end of the interval of `relative`, NaN also where the control's value
            cannot be told from 0.
        relative_high: its upper end.
        method: which made it, in one word.
        reason: why there is no interval; empty if there is one.
    """

    treatment: float
    control: float
    low: float
    high: float
    p_value: float
    standard_error: float = math.nan
    relative_low: float = math.nan
    relative_high: float = math.nan
    method: str = ""
    reason: str = ""

    @property
    def difference(self) -> float:
        """Treatment minus control."""
        return self.treatment - self.control

    @property
    def relative(self) -> float:
        """The difference as a share of the control's value, NaN where that is 0."""
        return self.difference / self.control if self.control else math.nan


def no_effect(treatment: float, control: float, *, method: str, reason: str) -> Effect:
    """Two values that no interval can be given for, with the reason."""
    return Effect(treatment, control, math.nan, math.nan, math.nan, method=method, reason=reason)


def effect_of(
    treatment: float,
    control: float,
    *,
    error2: float,
    control_error2: float,
    critical: float,
    p_value: float,
    method: str,
    covariance: float | None = None,
) -> Effect:
    """An effect with intervals of `critical` standard errors to each side.

    Args:
        treatment: value in the treatment arm.
        control: value in the control arm.
        error2: squared standard error of the difference.
        control_error2: squared standard error of the control's value.
        critical: half the interval's width in standard errors, >= 0.
        p_value: of no difference.
        method: which made it.
        covariance: of the difference and the control's value; that of arms of different units,
            `-control_error2`, by default.

    The relative interval is Fieller's at the same critical value: it leaves 0 out exactly when
    that of the difference does. Without a variance there is no interval: two units a side that
    agree are no proof.
    """
    if error2 == 0.0:
        return no_effect(treatment, control, method=method, reason=NO_VARIANCE)
    error, difference = math.sqrt(error2), treatment - control
    low, high = fieller(
        difference,
        control,
        error2=(error2, control_error2),
        covariance=-control_error2 if covariance is None else covariance,
        critical=critical,
    )
    return Effect(
        treatment,
        control,
        difference - critical * error,
        difference + critical * error,
        p_value,
        standard_error=error,
        relative_low=low,
        relative_high=high,
        method=method,
    )


def no_interval(treatment: Moments, control: Moments, *, fewest: int = 2) -> str:
    """Why the first columns of two arms give no interval; empty if they do."""
    reason = too_few(treatment.n, control.n, fewest=fewest)
    if not reason and not math.isfinite(treatment.error2 + control.error2):
        name = "control" if math.isfinite(treatment.error2) else "treatment"
        reason = f"{name} has no value: its denominators sum to 0"
    return reason


def too_few(treatment: int, control: int, *, fewest: int = 2) -> str:
    """Why arms of so many units give no interval, which needs `fewest`; empty if they do."""
    for name, units in (("treatment", treatment), ("control", control)):
        if units < fewest:
            told = f"{units:,} unit{'' if units == 1 else 's'}"
            return f"{name} has {told}, an interval needs {fewest:,}"
    return ""


def check_confidence(confidence: float) -> None:
    """Refuse a confidence that is not within 0 and 1, both left out.

    Raises:
        ConfigError: with the value and the rule.
    """
    check_range("confidence", confidence, low=0, high=1, low_open=True, high_open=True)
