"""Guardrails: has an arm lost less than a margin that was agreed on before?

One-sided. A guardrail that shows no significant loss may merely be noisy; this asks for evidence
that the loss is small.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy import special

from matinee_platform.analysis.inference.confidence_sequence import (
    Tuning,
    critical_values,
    effective_units,
    p_values,
)
from matinee_platform.analysis.inference.effect import (
    NO_VARIANCE,
    check_confidence,
    no_interval,
)
from matinee_platform.analysis.inference.moments import Moments
from matinee_platform.analysis.inference.relative import welch_freedom
from matinee_policies.config import check_range


class Verdict(StrEnum):
    """What a guardrail says."""

    HELD = "held"
    BROKEN = "broken"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class NonInferiority:
    """A guardrail after the test.

    Attributes:
        loss: how much worse treatment is than control, in the metric's unit; negative for a gain.
        margin: the largest loss that is accepted, in the metric's unit.
        loss_high: upper confidence bound of the loss; NaN where there is none.
        loss_low: lower one; each holds by itself at the confidence.
        p_value: of a loss of the margin or more: small says that the guardrail holds.
        verdict: held (`loss_high` < margin), broken (`loss_low` > margin) or open.
        reason: why there is no bound; empty if there is one.
    """

    loss: float
    margin: float
    loss_high: float
    loss_low: float
    p_value: float
    verdict: Verdict
    reason: str = ""


def non_inferiority(
    treatment: Moments,
    control: Moments,
    *,
    margin: float,
    relative: bool = False,
    higher_is_better: bool = True,
    confidence: float = 0.95,
    tuning: Tuning | None = None,
    fewest: int = 2,
) -> NonInferiority:
    """Test that treatment is not worse than control by `margin` or more.

    With a relative margin `m` the test is of `mean_t - (1 - m) mean_c > 0` (higher better) or
    `(1 + m) mean_c - mean_t > 0`, linear in both means, so that the error of the control's mean
    counts as well. Bounds are then those of the loss at that control.

    Args:
        treatment: moments of the treatment, first column.
        control: moments of the control, first column.
        margin: largest accepted loss, >= 0; with `relative` a share of the control's mean.
        relative: whether the margin is a share.
        higher_is_better: whether a fall is the loss.
        confidence: of each one-sided bound, within (0, 1); Welch's test at the declared end.
        tuning: given, the bounds hold at every look instead, at the tuning's own confidence.
        fewest: units that each arm must have for bounds.

    Raises:
        ConfigError: on a margin or a confidence outside its range.
    """
    check_range("margin of a guardrail", margin, low=0)
    check_confidence(confidence)
    sign = 1.0 if higher_is_better else -1.0
    loss = sign * (control.value - treatment.value)
    # A negative mean grows worse by growing in size where higher is better.
    scaled = abs(control.value) * margin if relative else margin
    weight = math.copysign(margin, control.value) * sign if relative else 0.0
    reason = no_interval(treatment, control, fewest=fewest)
    error2 = treatment.error2, (1 - weight) ** 2 * control.error2
    if not reason and not sum(error2):
        reason = NO_VARIANCE
    if reason:
        bounds = (math.nan, math.nan, math.nan)
        return NonInferiority(loss, scaled, *bounds, Verdict.OPEN, reason)
    error = math.sqrt(sum(error2))
    critical, p_value = _one_sided(
        scaled - loss,
        error2=error2,
        units=(treatment.n, control.n),
        confidence=confidence,
        tuning=tuning,
    )
    low, high = loss - critical * error, loss + critical * error
    verdict = Verdict.HELD if high < scaled else Verdict.BROKEN if low > scaled else Verdict.OPEN
    return NonInferiority(loss, scaled, high, low, p_value, verdict)


def _one_sided(
    room: float,
    *,
    error2: tuple[float, float],
    units: tuple[int, int],
    confidence: float,
    tuning: Tuning | None,
) -> tuple[float, float]:
    """Critical value, and p-value of `room` <= 0."""
    z = room / math.sqrt(sum(error2))
    if tuning is None:
        freedom = welch_freedom(error2, units)
        return float(special.stdtrit(freedom, confidence)), float(special.stdtr(freedom, -z))
    t = effective_units(np.float64(units[0]), np.float64(units[1]))
    critical = float(critical_values(t, tuning=tuning, two_sided=False))
    return critical, float(p_values(z, t, tuning=tuning, two_sided=False))
