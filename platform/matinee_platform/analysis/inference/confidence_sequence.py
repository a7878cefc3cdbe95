"""Intervals and p-values that hold at every look at once, for views of a running experiment.

An asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, 2103.06476): a
95 % sequence misses the truth at *any* look in at most 5 % of experiments, however often and
whatever for one looks. It asks for a hundred units or so in each arm before the first look. A unit
counts once, with a value that no longer changes (its window has closed).

The clock is the effective number of units, `t = 4 / (1 / n_t + 1 / n_c)`: all units where the arms
are equal. Two sample means stand to each other as two Brownian motions in the clock of the inverse
of their squared error, on any path of allocation; that is `t` over a constant where the arms are
about equally noisy, so a ramp that changes the arms' shares leaves the sequence valid.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from matinee_platform.analysis.inference.effect import (
    Effect,
    check_confidence,
    effect_of,
    no_effect,
    no_interval,
)
from matinee_platform.analysis.inference.moments import Moments
from matinee_policies.arrays import AnyArray, FloatArray, Int64Array
from matinee_policies.config import check_range
from matinee_policies.errors import ContextError


@dataclass(frozen=True, slots=True)
class Tuning:
    """When a sequence is narrowest.

    It holds at all times; ten times earlier than at `units` it is a quarter wider than one tuned
    to that time, ten times later by a fourteenth.

    Attributes:
        units: effective units at which the interval is as narrow as it can be, > 0.
        confidence: of the whole sequence, within (0, 1).

    Raises:
        ConfigError: with the value and the rule.
    """

    units: float
    confidence: float = 0.95

    def __post_init__(self) -> None:
        check_range("units of a confidence sequence", self.units, low=0, low_open=True)
        check_confidence(self.confidence)

    @property
    def alpha(self) -> float:
        """Chance that the sequence ever misses the truth."""
        return 1 - self.confidence

    @property
    def rho2(self) -> float:
        """Variance of the mixture that is tightest at `units`.

        `(-W_{-1}(-alpha^2 / e) - 1) / units`, `W_{-1}` the lower branch of Lambert's function
        (2103.06476, appendix B.2).
        """
        lower = special.lambertw(-(self.alpha**2) * math.exp(-1), k=-1)
        return float(-lower.real - 1) / self.units

    @classmethod
    def for_days(
        cls,
        *,
        units_per_day: float,
        days: float,
        treatment_share: float = 0.5,
        confidence: float = 0.95,
    ) -> "Tuning":
        """Tightest after `days` at `units_per_day` new units in both arms together.

        Raises:
            ConfigError: on a rate, days or share outside of their range.
        """
        check_range("units_per_day", units_per_day, low=0, low_open=True)
        check_range("days", days, low=0, low_open=True)
        check_range(
            "treatment_share", treatment_share, low=0, high=1, low_open=True, high_open=True
        )
        units = units_per_day * days * 4 * treatment_share * (1 - treatment_share)
        return cls(units, confidence)


@dataclass(frozen=True, slots=True, eq=False)
class EffectSequence:
    """An effect at each look, with intervals that hold at all looks together.

    Attributes:
        units: in both arms so far, `int64 [looks]`.
        treatment: value in the treatment arm, `float64 [looks]`.
        control: value in the control arm, `float64 [looks]`.
        low: lower ends, NaN at looks with less than two units in an arm or without any variance,
            `float64 [looks]`.
        high: upper ends, `float64 [looks]`.
        standard_error: of the difference at that look alone, `float64 [looks]`.
        p_value: smallest so far: below alpha from the first look on whose interval leaves 0 out;
            1 before there is an interval, `float64 [looks]`.
    """

    units: Int64Array
    treatment: FloatArray
    control: FloatArray
    low: FloatArray
    high: FloatArray
    standard_error: FloatArray
    p_value: FloatArray


def effective_units(treatment: AnyArray | float, control: AnyArray | float) -> FloatArray:
    """The clock of a comparison, `4 / (1 / n_t + 1 / n_c)`, elementwise; 0 for an empty arm."""
    first = np.asarray(treatment, dtype=np.float64)
    second = np.asarray(control, dtype=np.float64)
    return 4 * first * second / np.maximum(first + second, 1.0)


def critical_values(
    t: AnyArray | float, *, tuning: Tuning, two_sided: bool = True, alpha: float | None = None
) -> FloatArray:
    """How many standard errors the sequence reaches to each side at time `t`, elementwise.

    Two-sided, with `x = t rho^2` (2103.06476, theorem 2.2):
    `sqrt(2 (x + 1) / x log(sqrt(x + 1) / alpha))`. One-sided, from a mixture over one half of the
    line: `sqrt(2 (x + 1) / x log(1 / 2 + sqrt(x + 1) / (2 alpha)))`; see `p_values`.

    Args:
        t: effective units, > 0; infinity at 0.
        tuning: of the sequence.
        two_sided: whether both ends have to hold.
        alpha: chance to miss the truth, if it is not the tuning's: what a corrected `p_values` is
            held against.
    """
    x = np.asarray(t, dtype=np.float64) * tuning.rho2
    root = np.sqrt(x + 1)
    level = tuning.alpha if alpha is None else alpha
    odds = root / level if two_sided else 0.5 + root / (2 * level)
    with np.errstate(divide="ignore"):
        found: FloatArray = np.sqrt(2 * (x + 1) / x * np.log(odds))
    return found


def p_values(
    z: AnyArray | float, t: AnyArray | float, *, tuning: Tuning, two_sided: bool = True
) -> FloatArray:
    """Anytime-valid p-values: the smallest alpha whose sequence, at this rho, leaves 0 out.

    Two-sided it is one over the mixture `E = exp(u) / sqrt(x + 1)`, `u = z^2 x / (2 (x + 1))`.
    One-sided (large `z` speaks against the hypothesis) the mixture over positive effects alone is
    `2 E Phi(sqrt(2 u)) >= (2 exp(u) - 1) / sqrt(x + 1)`, and the right side is taken, 0 for z <= 0.

    Args:
        z: estimate over its standard error at that look.
        t: effective units at that look, > 0.
        tuning: of the sequence; alpha enters by rho alone.
        two_sided: whether either sign speaks against the hypothesis.

    Returns:
        Elementwise, at most 1. The smallest over the looks so far is valid as well.
    """
    x = np.asarray(t, dtype=np.float64) * tuning.rho2
    ratio = np.asarray(z, dtype=np.float64)
    if not two_sided:
        ratio = np.maximum(ratio, 0.0)
    exponent = ratio * ratio * x / (2 * (x + 1))
    root = np.sqrt(x + 1)
    with np.errstate(over="ignore"):
        if two_sided:
            found = root * np.exp(-exponent)
        else:
            found = root * np.exp(-exponent) / (2 - np.exp(-exponent))
    bounded: FloatArray = np.minimum(found, 1.0)
    return bounded


def always_valid(treatment: Moments, control: Moments, *, tuning: Tuning) -> Effect:
    """Difference of the first columns' means, valid whenever one looks.

    Ratios and adjusted means come as their own moments (`ratio.linearise`, `cuped.adjusted`).

    Returns:
        The effect, its interval of the sequence and its p-value at this look; without an interval,
        but with the reason, where an arm has less than two units.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> arms = [Moments.of(rng.normal(centre, size=2_000)) for centre in (0.2, 0.0)]
        >>> found = always_valid(*arms, tuning=Tuning(4_000))
        >>> found.low < 0.2 < found.high, found.p_value < 0.05
        (True, True)
    """
    reason = no_interval(treatment, control)
    if reason:
        return no_effect(treatment.value, control.value, method="always valid", reason=reason)
    t = effective_units(treatment.n, control.n)
    error2 = treatment.error2 + control.error2
    z = (treatment.value - control.value) / math.sqrt(error2) if error2 else 0.0
    return effect_of(
        treatment.value,
        control.value,
        error2=error2,
        control_error2=control.error2,
        critical=float(critical_values(t, tuning=tuning)),
        p_value=float(p_values(z, t, tuning=tuning)),
        method="always valid",
    )


def sequence_of(
    treatment: Sequence[Moments], control: Sequence[Moments], *, tuning: Tuning
) -> EffectSequence:
    """The effect at each look of a running experiment.

    Args:
        treatment: of all units up to and with each look (`moments.cumulative`).
        control: likewise.
        tuning: of the sequence, fixed before the first look.

    Raises:
        ContextError: on another number of looks in each arm.
    """
    if len(treatment) != len(control):
        raise ContextError(
            f"a sequence needs as many looks in both arms, got {len(treatment)} and {len(control)}"
        )
    units = [np.array([part.n for part in arm], dtype=np.int64) for arm in (treatment, control)]
    value = [np.array([part.value for part in arm]) for arm in (treatment, control)]
    error2 = [np.array([part.error2 for part in arm]) for arm in (treatment, control)]
    error = np.sqrt(error2[0] + error2[1])
    t = effective_units(units[0], units[1])
    difference = value[0] - value[1]
    # Equal units tell no error, hence no interval.
    error = np.where(error > 0, error, np.nan)
    half = critical_values(t, tuning=tuning) * error
    p_value = p_values(difference / error, t, tuning=tuning)
    return EffectSequence(
        units=units[0] + units[1],
        treatment=value[0],
        control=value[1],
        low=difference - half,
        high=difference + half,
        standard_error=error,
        p_value=np.minimum.accumulate(np.where(np.isnan(p_value), 1.0, p_value)),
    )
