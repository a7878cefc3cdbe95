"""Before an experiment: what it can find, and how many units that takes.

Normal approximation, for arms of a hundred units or more. A ratio enters by the variance of its
linearised values, CUPED by the share of variance that it removes.
"""

import math
from dataclasses import dataclass
from typing import Literal

from scipy import optimize, special

from matinee_platform.analysis.inference.confidence_sequence import Tuning, critical_values
from matinee_policies.config import check_range
from matinee_policies.errors import ConfigError

Spread = Literal["same", "scaled", "share"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A comparison of two arms.

    Attributes:
        value: of the metric under control.
        variance: of one unit's value there, > 0; before CUPED.
        spread: how treatment's variance follows from its value. `share`: the metric is 0 or 1 for
            each unit, so that it is `p (1 - p)` at its own `p`. `scaled`: a rise multiplies every
            unit's value, hence the variance by the square of that; a fall is taken to leave it.
            `same`: it is that of control.
        treatment_share: of all units, within (0, 1).
        reduction: share of the variance that CUPED removes, within [0, 1).
        alpha: false alarms that are accepted, within (0, 1).
        two_sided: whether a change either way is looked for.
        tuning: given, the experiment is read by this confidence sequence, whenever one likes: its
            power is that at the end, looking earlier only adds.

    Raises:
        ConfigError: with the value and the rule.
    """

    value: float
    variance: float
    spread: Spread = "same"
    treatment_share: float = 0.5
    reduction: float = 0.0
    alpha: float = 0.05
    two_sided: bool = True
    tuning: Tuning | None = None

    def __post_init__(self) -> None:
        check_range("value of the metric", self.value)
        check_range("variance of the metric", self.variance, low=0, low_open=True)
        check_range(
            "treatment_share", self.treatment_share, low=0, high=1, low_open=True, high_open=True
        )
        check_range("reduction", self.reduction, low=0, high=1, high_open=True)
        check_range("alpha", self.alpha, low=0, high=1, low_open=True, high_open=True)
        if self.spread == "share" and not 0 < self.value < 1:
            raise ConfigError(f"a share of units must be within 0 and 1, got {self.value!r}")
        if self.spread == "scaled" and not self.value:
            raise ConfigError("a metric of value 0 has no rise that multiplies it")

    def critical(self, units: float) -> float:
        """How many standard errors an estimate of so many units must lie from 0 to count."""
        if self.tuning is not None:
            t = 4 * units * self.treatment_share * (1 - self.treatment_share)
            return float(
                critical_values(t, tuning=self.tuning, two_sided=self.two_sided, alpha=self.alpha)
            )
        return float(-special.ndtri(self.alpha / 2 if self.two_sided else self.alpha))

    def unit_variance(self, effect: float) -> float:
        """Squared standard error of the difference times all units, at a true `effect`."""
        other = self.variance
        if self.spread == "share":
            rate = self.value + effect
            other = rate * (1 - rate)
        elif self.spread == "scaled":
            other *= max(1 + effect / self.value, 1.0) ** 2
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
    _check_effect(design, effect)
    shift = abs(effect) / math.sqrt(design.unit_variance(effect) / units)
    return _found(shift, critical=design.critical(units), two_sided=design.two_sided)


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
        >>> design = Design(value=0.4, variance=0.24, spread="share")
        >>> round(sample_size(design, effect=0.02))
        18979
    """
    check_range("wanted power", wanted, low=0, high=1, low_open=True, high_open=True)
    _check_effect(design, effect)
    if not effect:
        raise ConfigError(f"effect to size for must not be 0, got {effect!r}")
    if design.tuning is not None:
        return _size_of_sequence(design, effect=effect, wanted=wanted)
    shift = _shift(design, wanted, critical=design.critical(1.0))
    return shift**2 * design.unit_variance(effect) / effect**2


def minimum_detectable_effect(design: Design, *, units: float, wanted: float = 0.8) -> float:
    """Smallest rise that is found with the wanted power; arguments as `power`, `sample_size`.

    Returns:
        In the metric's unit, > 0; NaN where no rise is found: of a share up to 1, or because
        spread grows with it. A fall may be found a little sooner or later.

    Example:
        >>> design = Design(value=10.0, variance=4.0)
        >>> round(minimum_detectable_effect(design, units=12_560), 3)
        0.1
    """
    check_range("units", units, low=0, low_open=True)
    check_range("wanted power", wanted, low=0, high=1, low_open=True, high_open=True)
    shift = _shift(design, wanted, critical=design.critical(units))
    error = math.sqrt(design.unit_variance(0.0) / units)
    if design.spread == "same":
        return shift * error

    def room(effect: float) -> float:
        return effect - shift * math.sqrt(design.unit_variance(effect) / units)

    if design.spread == "share":
        highest = 1 - design.value
    else:
        # Beyond, spread grows as fast as the effect.
        highest = shift * error
        while room(highest) < 0 and highest < 1e9 * shift * error:
            highest *= 2
    if room(highest) < 0:
        return math.nan
    return float(optimize.brentq(room, 0.0, highest, xtol=1e-15, rtol=8.9e-16))


def _check_effect(design: Design, effect: float) -> None:
    check_range("effect", effect)
    if design.spread == "share":
        check_range("rate with the effect", design.value + effect, low=0, high=1)


def _size_of_sequence(design: Design, *, effect: float, wanted: float) -> float:
    """Units at which a sequence, whose width depends on them, has the wanted power."""

    def short(log_units: float) -> float:
        return power(design, effect=effect, units=math.exp(log_units)) - wanted

    high = 0.0
    while short(high) < 0:
        high += 1.0
    low = high - 1.0
    while short(low) > 0:
        low -= 1.0
    return math.exp(float(optimize.brentq(short, low, high, xtol=1e-13, rtol=8.9e-16)))


def _found(shift: float, *, critical: float, two_sided: bool) -> float:
    """Chance that an estimate lies beyond `critical` standard errors, its mean at `shift`."""
    found = float(special.ndtr(shift - critical))
    return found + float(special.ndtr(-shift - critical)) if two_sided else found


def _shift(design: Design, wanted: float, *, critical: float) -> float:
    """Standard errors between 0 and an effect that is found with the wanted power."""
    least = _found(0.0, critical=critical, two_sided=design.two_sided)
    if wanted <= least:
        raise ConfigError(f"wanted power must be above {least:g}, got {wanted!r}")
    one_tail = critical + float(special.ndtri(wanted))
    if not design.two_sided:
        return one_tail

    def short(shift: float) -> float:
        return _found(shift, critical=critical, two_sided=True) - wanted

    high = max(one_tail, 0.0) + 1e-6
    return float(optimize.brentq(short, 0.0, high, xtol=1e-14, rtol=8.9e-16))
