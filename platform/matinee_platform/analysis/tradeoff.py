"""Paired runs over several seeds, put together: what each arm trades for what.

In a paired run every user goes through every arm with the same luck, so differences are within
users. The mean difference over seeds has the standard error sqrt(sum se_s^2) / seeds, where se_s is
that of seed s, read off the half-width of its interval by the normal quantile (for 1,000 users at
most .2 % too large). It speaks of users within these worlds. Worlds differ too, and the users of an
arm share one learner: `seed_error`, from the spread of the seeds' differences, has all of that in
it, and few degrees of freedom.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import Any

from scipy.special import ndtr, ndtri

from matinee_policies.errors import ContextError

METRICS = ("ctr", "engagement_per_user", "sessions_per_user", "d7", "d28", "d28_smoothed")
"""Metrics put together, by their names in the scorecard."""

SLATE_METRICS = ("ild", "coverage", "gini")
"""Metrics of slates: averaged, without an error by user."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """One metric of one arm over all seeds.

    Attributes:
        value: mean over seeds.
        difference: mean paired difference to control; NaN for the control itself.
        standard_error: of the difference, over users; NaN for the control itself.
        seed_error: of the difference, over seeds; NaN for less than two.
    """

    value: float
    difference: float
    standard_error: float
    seed_error: float = math.nan

    @property
    def p_value(self) -> float:
        """Two-sided, of no difference, by the normal law; NaN for the control itself."""
        if math.isnan(self.standard_error):
            return math.nan
        if self.standard_error == 0.0:
            return 1.0 if self.difference == 0.0 else 0.0
        return float(2.0 * ndtr(-abs(self.difference) / self.standard_error))


def combine(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Estimate]]:
    """Estimates by arm and metric.

    Args:
        runs: scorecards of paired runs that differ in their seed alone.

    Raises:
        ContextError: if there is none, one is not paired, or they have other arms.
    """
    if not runs:
        raise ContextError("runs must hold at least one scorecard, got none")
    first = runs[0]
    for run in runs:
        if not run["paired"] or run["control"] != first["control"]:
            raise ContextError("runs must be paired and have one control")
        if run["data"] != first["data"]:
            raise ContextError(
                f"runs must have the same data, got {first['data']!r} and {run['data']!r}"
            )
        if list(run["arms"]) != list(first["arms"]):
            raise ContextError(
                f"runs must have the same arms, got {list(first['arms'])} and {list(run['arms'])}"
            )
    return {
        name: {
            **{metric: _estimate(runs, name, metric) for metric in METRICS},
            **{metric: _plain(runs, name, metric) for metric in SLATE_METRICS},
        }
        for name in first["arms"]
    }


def _estimate(runs: Sequence[Mapping[str, Any]], arm: str, metric: str) -> Estimate:
    value = _mean([_value(run["arms"][arm][metric]) for run in runs])
    found = [run["arms"][arm]["difference"] for run in runs]
    if any(difference is None for difference in found):
        return Estimate(value, math.nan, math.nan)
    width = {run["confidence"] for run in runs}
    z = float(ndtri(0.5 + width.pop() / 2))
    differences = [_number(difference[metric]["difference"]) for difference in found]
    errors = [
        (_number(difference[metric]["high"]) - _number(difference[metric]["low"])) / (2 * z)
        for difference in found
    ]
    error = math.sqrt(math.fsum(e * e for e in errors)) / len(runs)
    spread = stdev(differences) / math.sqrt(len(runs)) if len(runs) > 1 else math.nan
    return Estimate(value, _mean(differences), error, spread)


def _plain(runs: Sequence[Mapping[str, Any]], arm: str, metric: str) -> Estimate:
    return Estimate(_mean([_number(run["arms"][arm][metric]) for run in runs]), math.nan, math.nan)


def _value(value: Any) -> float:
    return _number(value["rate"] if isinstance(value, dict) else value)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
