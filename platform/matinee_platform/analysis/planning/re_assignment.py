"""A/A: assign the units of one log again and again, and count how often an analysis cries wolf.

No salt changes what a unit did, so every alarm is false. The arms come from the assignment of the
product and the p-values from its inference; only the sums in between are made for many salts at
once (`moment_sums`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from matinee_platform.analysis.inference.cuped import cuped
from matinee_platform.analysis.inference.ratio import ratio
from matinee_platform.analysis.inference.welch import welch
from matinee_platform.analysis.planning.moment_sums import MomentSums
from matinee_platform.analysis.srm import srm_p_value
from matinee_platform.analysis.unit_metrics import UnitMetric
from matinee_platform.assignment import UnitCodes, bucket_ranges, choose_arms
from matinee_policies.arrays import AnyArray, FloatArray
from matinee_policies.config import check_range, check_whole
from matinee_policies.errors import ConfigError, ContextError

SPLIT = "split"
"""Name of the test of the sample ratio."""

_UNITS_AT_ONCE = 65_536
_SALTS_AT_ONCE = 64


@dataclass(frozen=True, slots=True, eq=False)
class FalseAlarms:
    """What became of one test under many salts.

    Attributes:
        metric: its name, or `SPLIT`.
        method: which test.
        p_values: under each salt, NaN where there was none, `float64 [salts]`.
        level: that alarms were counted at.
    """

    metric: str
    method: str
    p_values: FloatArray
    level: float

    @property
    def tested(self) -> int:
        """Salts with a p-value."""
        return int((~np.isnan(self.p_values)).sum())

    @property
    def alarms(self) -> int:
        """p-values below the level."""
        return int((self.p_values < self.level).sum())

    @property
    def share(self) -> float:
        """Alarms by salt, NaN without a p-value."""
        return self.alarms / self.tested if self.tested else float("nan")

    @property
    def binomial_p(self) -> float:
        """Two-sided exact p-value of the alarms, if each salt has a chance of `level`."""
        if not self.tested:
            return float("nan")
        return float(stats.binomtest(self.alarms, self.tested, self.level).pvalue)

    def to_json(self) -> dict[str, Any]:
        """JSON values, without the p-values of the salts."""
        return {
            "metric": self.metric,
            "method": self.method,
            "salts": self.tested,
            "alarms": self.alarms,
            "share": self.share if self.tested else None,
            "binomial_p": self.binomial_p if self.tested else None,
        }


def re_assigned(
    units: Sequence[str],
    metrics: Sequence[UnitMetric],
    *,
    salts: Sequence[str],
    covariates: Mapping[str, FloatArray] | None = None,
    weights: tuple[float, float] = (0.5, 0.5),
    level: float = 0.05,
    report: Callable[[int], None] = lambda done: None,
) -> list[FalseAlarms]:
    """Test every metric under every salt.

    Args:
        units: ids as the assignment hashes them, `n` of them.
        metrics: of the same units.
        salts: each gives an assignment.
        covariates: known before exposure, by name, `float64 [n]`, NaN for none; with any, every
            metric is tested adjusted as well.
        weights: of the two arms, control first.
        level: of alarms.
        report: told how many of the units are done.

    Returns:
        The split first, then each metric, plain and adjusted.

    Raises:
        ConfigError: on weights or a level that break their rule, or no salts.
        ContextError: on metrics or covariates of other units.
    """
    check_range("level", level, low=0, high=1, low_open=True, high_open=True)
    check_whole("salts", len(salts), low=1)
    ranges = bucket_ranges(weights)
    if len(weights) != 2:
        raise ConfigError(f"an A/A test has two arms, got {len(weights)} weights")
    for metric in metrics:
        if metric.units.size != len(units):
            raise ContextError(
                f"metrics must be of the {len(units)} units, got {metric.units.size} in "
                f"{metric.name!r}"
            )
    tests = [MomentSums(metric, covariates or {}) for metric in metrics]
    sums = np.zeros((2, len(salts), 1 + sum(test.width for test in tests)))
    for some, codes in _chunks(units):
        block = np.concatenate(
            [np.ones((len(codes), 1)), *(test.rows(some) for test in tests)], axis=1
        )
        for first in range(0, len(salts), _SALTS_AT_ONCE):
            turn = slice(first, first + _SALTS_AT_ONCE)
            arms = np.stack([choose_arms(codes.buckets(salt), ranges) for salt in salts[turn]])
            for arm in (0, 1):
                sums[arm, turn] += (arms == arm).astype(np.float64) @ block
        report(some.stop)
    found = [_split(sums[:, :, 0], weights, level=level)]
    start = 1
    for test in tests:
        found += _alarms(test, sums[:, :, start : start + test.width], level=level)
        start += test.width
    return found


def _alarms(test: MomentSums, sums: FloatArray, *, level: float) -> list[FalseAlarms]:
    """The tests of one metric, from the sums of both arms, `float64 [2, salts, width]`."""
    is_ratio = test.metric.denominators is not None
    plain, adjusted = [], []
    for control, treatment in zip(sums[0], sums[1], strict=True):
        arms = test.moments(treatment), test.moments(control)
        alone = [arm.select(*range(test.own)) for arm in arms]
        plain.append((ratio if is_ratio else welch)(alone[0], alone[1]).p_value)
        if test.has_covariates:
            adjusted.append(cuped(*arms, ratios=int(is_ratio)).p_value)
    method = "ratio" if is_ratio else "welch"
    found = [FalseAlarms(test.metric.name, method, np.array(plain), level)]
    if adjusted:
        found.append(FalseAlarms(test.metric.name, "cuped", np.array(adjusted), level))
    return found


def _chunks(units: Sequence[str]) -> Iterator[tuple[slice, UnitCodes]]:
    for start in range(0, len(units), _UNITS_AT_ONCE):
        some = slice(start, min(start + _UNITS_AT_ONCE, len(units)))
        yield some, UnitCodes(units[some])


def _split(counts: AnyArray, weights: Sequence[float], *, level: float) -> FalseAlarms:
    p_values = [srm_p_value([round(float(one)) for one in pair], weights) for pair in counts.T]
    return FalseAlarms(SPLIT, "chi-square", np.array(p_values), level)
