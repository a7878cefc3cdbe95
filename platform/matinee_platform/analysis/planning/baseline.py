"""What a plan starts from: a metric's value, its variance by unit, and what CUPED would remove."""

from dataclasses import dataclass

import numpy as np

from matinee_platform.analysis.inference.confidence_sequence import Tuning
from matinee_platform.analysis.inference.cuped import adjusted, with_missing_indicator
from matinee_platform.analysis.inference.moments import Moments
from matinee_platform.analysis.inference.power import Design, Spread
from matinee_platform.analysis.inference.ratio import linearise
from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_platform.analysis.unit_metrics import unit_metric
from matinee_policies.config import check_range, check_whole
from matinee_policies.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """One metric as it is without treatment.

    Attributes:
        metric: its name.
        value: of the metric; for a mean per unit, a ratio of sums, or a share of units.
        variance: of one unit, of a ratio that of its linearised value, > 0.
        reduction: share of the variance that CUPED removes, in [0, 1).
        window_days: whole days after exposure until a unit counts.
        proportion: whether it is a share of units.
        units: that it was measured on; 0 if it was given.

    Raises:
        ConfigError: with the value and the rule.
    """

    metric: str
    value: float
    variance: float
    reduction: float = 0.0
    window_days: int = 0
    proportion: bool = False
    units: int = 0

    def __post_init__(self) -> None:
        check_range("value of the metric", self.value)
        check_range("variance of the metric", self.variance, low=0, low_open=True)
        check_range("reduction", self.reduction, low=0, high=1, high_open=True)
        check_whole("window_days", self.window_days, low=0)

    @property
    def spread(self) -> Spread:
        """How treatment's variance follows from its value: as for what is counted or timed."""
        if self.proportion:
            return "share"
        return "scaled" if self.value else "same"

    def design(self, *, treatment_share: float, alpha: float, tuning: Tuning | None) -> Design:
        """The comparison of two arms on this metric; arguments as `Design`."""
        return Design(
            value=self.value,
            variance=self.variance,
            spread=self.spread,
            treatment_share=treatment_share,
            reduction=self.reduction,
            alpha=alpha,
            tuning=tuning,
        )


def given_baseline(
    *,
    metric: str = "metric",
    value: float | None = None,
    sd: float | None = None,
    rate: float | None = None,
    correlation: float = 0.0,
    window_days: int = 0,
) -> Baseline:
    """A baseline of plain numbers: a mean with its standard deviation, or a share of units.

    Args:
        metric: a name.
        value: mean by unit.
        sd: standard deviation between units, > 0.
        rate: share of units, within (0, 1), instead of both.
        correlation: of the metric with what is known of a unit before, in (-1, 1).
        window_days: whole days after exposure until a unit counts.

    Raises:
        ConfigError: on another choice of numbers, or with the value and the rule.

    Example:
        >>> given_baseline(rate=0.4, correlation=0.5).reduction
        0.25
    """
    check_range("correlation", correlation, low=-1, high=1, low_open=True, high_open=True)
    variance, mean = None, rate
    if rate is not None:
        if value is not None or sd is not None:
            raise ConfigError("a baseline is a rate, or a value and an sd; got both")
        check_range("rate", rate, low=0, high=1, low_open=True, high_open=True)
        variance = rate * (1 - rate)
    elif value is not None and sd is not None:
        check_range("sd", sd, low=0, low_open=True)
        mean, variance = value, sd**2
    if mean is None or variance is None:
        raise ConfigError("a baseline needs a run, a rate, or a value and an sd; got none of them")
    return Baseline(
        metric=metric,
        value=mean,
        variance=variance,
        reduction=correlation**2,
        window_days=window_days,
        proportion=rate is not None,
    )


def measured_baseline(
    days: UnitDays, metric: str, *, arm: str | None = None, adjust: bool = True
) -> Baseline:
    """A metric as it was in one arm of past data, with what CUPED would have removed there.

    Args:
        days: of a log.
        metric: one of `unit_metrics.METRICS`.
        arm: which arm; all units if None.
        adjust: whether to take covariates out.

    Raises:
        ConfigError: on an arm or a metric that is not there, or one that no unit has matured for.
    """
    found = unit_metric(days, metric)
    chosen = np.ones(len(days), dtype=np.bool_)
    if arm is not None:
        if arm not in days.arms:
            raise ConfigError(f"arm must be one of {', '.join(days.arms)}, got {arm!r}")
        chosen = days.arm == days.arms.index(arm)
    among = chosen[found.units]
    columns = [column[among] for column in found.columns]
    ratios = int(found.denominators is not None)
    own = Moments.of(*columns)
    if own.n < 2:
        raise ConfigError(
            f"metric {metric!r} waits {found.window_days} days, and {own.n} units have so many"
        )
    moments = linearise(own) if ratios else own
    if not moments.variance > 0:
        raise ConfigError(f"metric {metric!r} is {moments.value:g} for every unit: nothing to plan")
    reduction = 0.0
    if adjust and days.covariates:
        known = [
            part
            for covariate in days.covariates.values()
            for part in with_missing_indicator(covariate[found.units & chosen])
        ]
        whole = Moments.of(*columns, *known)
        # The same units as both arms: theta and the share removed are those of the sample.
        reduction = min(max(adjusted(whole, whole, ratios=ratios).reduction, 0.0), 1 - 1e-9)
    return Baseline(
        metric=metric,
        value=moments.value,
        variance=moments.variance,
        reduction=reduction,
        window_days=found.window_days,
        proportion=found.proportion,
        units=own.n,
    )
