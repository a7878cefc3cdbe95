"""Before an experiment: what it can find, and how many units that takes.

Normal approximation, for arms of a hundred units or more. A ratio enters by the variance of its
linearised values, CUPED by the share of variance that it removes.
"""

import math
from dataclasses import dataclass

from scipy import optimize, special

from matinee_platform.analysis.inference.confidence_sequence import Tuning, critical_values
from matinee_platform.analysis.inference.moments import Moments
from matinee_policies.config import check_range
from matinee_policies.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A comparison of two arms.

    Attributes:
        value: of the metric under control.
        variance: of one unit's value, > 0; before CUPED. For a proportion it is
            `value (1 - value)`, see `of_proportion`.
        proportion: whether the metric is 0 or 1 for each unit: then treatment's variance follows
            from its own share.
        treatment_share: of all units, within (0, 1).
        reduction: share of the variance that CUPED removes, within [0, 1).
        alpha: false alarms that are accepted, within (0, 1).
        two_sided: whether a change either way is looked for.
        always_valid: whether the experiment is read by a confidence sequence that is tightest at
            its end, which may be read daily: its power at the end, looking earlier only adds.

    Raises:
        ConfigError: with the value and the rule.
    """

    value: float
    variance: float
    proportion: bool = False
    treatment_share: float = 0.5
    reduction: float = 0.0
    alpha: float = 0.05
    two_sided: bool = True
    always_valid: bool = False

    def __post_init__(self) -> None:
        check_range("value of the metric", self.value)
        check_range("variance of the metric", self.variance, low=0, low_open=True)
        check_range(
            "treatment_share", self.treatment_share, low=0, high=1, low_open=True, high_open=True
        )
        check_range("reduction", self.reduction, low=0, high=1, high_open=True)
        check_range("alpha", self.alpha, low=0, high=1, low_open=True, high_open=True)
        if self.proportion and not 0 < self.value < 1:
            raise ConfigError(f"a proportion must be within 0 and 1, got {self.value!r}")

    @classmethod
    def of_proportion(
        cls,
        rate: float,
        *,
        treatment_share: float = 0.5,
        reduction: float = 0.0,
        alpha: float = 0.05,
        two_sided: bool = True,
        always_valid: bool = False,
    ) -> "Design":
        """For a share of units, such as a retention rate."""
        check_range("rate", rate, low=0, high=1, low_open=True, high_open=True)
        return cls(
            value=rate,
            variance=rate * (1 - rate),
            proportion=True,
            treatment_share=treatment_share,
            reduction=reduction,
            alpha=alpha,
            two_sided=two_sided,
            always_valid=always_valid,
        )

    @classmethod
    def of_moments(
        cls,
        moments: Moments,
        *,
        treatment_share: float = 0.5,
        reduction: float = 0.0,
        alpha: float = 0.05,
        two_sided: bool = True,
        always_valid: bool = False,
    ) -> "Design":
        """For a mean of past data, or a ratio (`ratio.linearise`): its first column."""
        return cls(
            value=moments.value,
            variance=moments.variance,
            treatment_share=treatment_share,
            reduction=reduction,
            alpha=alpha,
            two_sided=two_sided,
            always_valid=always_valid,
        )

    @property
    def critical(self) -> float:
        """How many standard errors an estimate must lie from 0 to count."""
        if self.always_valid:
            tuning = Tuning(1.0, 1 - self.alpha)
            return float(critical_values(1.0, tuning=tuning, two_sided=self.two_sided))
        return float(-special.ndtri(self.alpha / 2 if self.two_sided else self.alpha))

    def unit_variance(self, effect: float) -> float:
        """Squared standard error of the difference times all units, at a true `effect`."""
        other = self.variance
        if self.proportion:
            rate = self.value + effect
            other = rate * (1 - rate)
        share = self.treatment_share
        return (1 - self.reduction) * (other / share + self.variance / (1 - share))


def power(design: Design, *, effect: float, units: float) -> float:
    """Chance that an experiment finds an effect.

    `Phi(|effect| / se - z)`, and the other tail if two-sided, with unpooled variances.

    Args:
        design: of the comparison.
        effect: true difference, in the metric's unit; one-sided designs look for its sign.
        units: in both arms together, > 0.

    Raises:
        ConfigError: on no units, or a proportion that the effect takes out of 0 to 1.

    Example:
        >>> design = Design(value=10.0, variance=4.0)
        >>> round(power(design, effect=0.1, units=12_560), 3)
        0.8
    """
    check_range("units", units, low=0, low_open=True)
    check_range("effect", effect)
    if design.proportion:
        check_range("rate with the effect", design.value + effect, low=0, high=1)
    shift = abs(effect) / math.sqrt(design.unit_variance(effect) / units)
    found = float(special.ndtr(shift - design.critical))
    if design.two_sided:
        found += float(special.ndtr(-shift - design.critical))
    return found


def sample_size(design: Design, *, effect: float, wanted: float = 0.8) -> float:
    """Units in both arms together that find an effect with the wanted power.

    Args:
        design: of the comparison.
        effect: true difference, not 0.
        wanted: power, above what no effect at all gives and below 1.

    Returns:
        A number to be rounded up.

    Raises:
        ConfigError: on an effect of 0, a power out of its range, or as `power`.

    Example:
        >>> round(sample_size(Design.of_proportion(0.4), effect=0.02))
        18979
    """
    check_range("wanted power", wanted, low=0, high=1, low_open=True, high_open=True)
    check_range("effect", effect)
    if not effect:
        raise ConfigError(f"effect to size for must not be 0, got {effect!r}")
    shift = _shift(design, wanted)
    if design.proportion:
        check_range("rate with the effect", design.value + effect, low=0, high=1)
    return shift**2 * design.unit_variance(effect) / effect**2


def minimum_detectable_effect(design: Design, *, units: float, wanted: float = 0.8) -> float:
    """Smallest rise that is found with the wanted power; arguments as `power`, `sample_size`.

    Returns:
        In the metric's unit, > 0; NaN for a proportion that no rise up to 1 is found for. A fall
        of a proportion may be found a little sooner or later.

    Example:
        >>> design = Design(value=10.0, variance=4.0)
        >>> round(minimum_detectable_effect(design, units=12_560), 3)
        0.1
    """
    check_range("units", units, low=0, low_open=True)
    check_range("wanted power", wanted, low=0, high=1, low_open=True, high_open=True)
    shift = _shift(design, wanted)
    if not design.proportion:
        return shift * math.sqrt(design.unit_variance(0.0) / units)

    def room(effect: float) -> float:
        return effect - shift * math.sqrt(design.unit_variance(effect) / units)

    highest = 1 - design.value
    if room(highest) < 0:
        return math.nan
    return float(optimize.brentq(room, 0.0, highest, xtol=1e-15, rtol=8.9e-16))


def _shift(design: Design, wanted: float) -> float:
    """Standard errors between 0 and an effect that is found with the wanted power."""
    critical = design.critical
    one_tail = critical + float(special.ndtri(wanted))
    if not design.two_sided:
        least = float(special.ndtr(-critical))
        if wanted <= least:
            raise ConfigError(f"wanted power must be above {least:g}, got {wanted!r}")
        return one_tail
    least = 2 * float(special.ndtr(-critical))
    if wanted <= least:
        raise ConfigError(f"wanted power must be above {least:g}, got {wanted!r}")

    def short(shift: float) -> float:
        return float(special.ndtr(shift - critical) + special.ndtr(-shift - critical)) - wanted

    high = max(one_tail, 0.0) + 1e-6
    return float(optimize.brentq(short, 0.0, high, xtol=1e-14, rtol=8.9e-16))
