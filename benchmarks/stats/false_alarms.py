"""S1: a log assigned anew under many salts raises false alarms at 5 %, as often as it says."""

from matinee_platform.analysis.planning.re_assignment import re_assigned
from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_platform.analysis.unit_metrics import METRICS, unit_metric
from promises import Promise
from stats.effort import Effort

NOT_BINOMIAL = 0.001


def measure(days: UnitDays, effort: Effort) -> list[Promise]:
    """Every metric, plain and adjusted, and the split."""
    found = re_assigned(
        [f"{unit:016x}" for unit in days.unit.tolist()],
        [unit_metric(days, name) for name in METRICS],
        salts=[f"stats-{number}" for number in range(effort.salts)],
        covariates=days.covariates,
    )
    return [
        Promise(
            name=f"S1 {test.metric}, {test.method}",
            measured=f"{test.share:.1%} of {test.tested:,} (binomial p {test.binomial_p:.2g})",
            asked="5 %, binomial p above .001",
            kept=test.binomial_p > NOT_BINOMIAL,
        )
        for test in found
    ]
