"""S2: who looks again and again at an any-time view is alarmed in vain at most once in twenty.

The same log assigned anew under many salts, so that alarms are false. Settled metrics are looked at
fifty times, units in the order of their exposure; metrics that still grow once a day, as the view
of every day shows them: every unit exposed so far with what it has done so far. Beside it the
fixed-horizon test read as often, which is what the view is there to replace.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from matinee_platform.analysis.experiment.activity import Activity
from matinee_platform.analysis.inference.confidence_sequence import Tuning
from matinee_platform.analysis.planning.moment_sums import MomentSums
from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_platform.analysis.unit_metrics import UnitMetric, unit_metric
from matinee_platform.analysis_settings import AnalysisSettings
from matinee_platform.assignment import UnitCodes, bucket_ranges, choose_arms
from matinee_policies.arrays import BoolArray, FloatArray
from promises import Promise
from stats.effort import Effort
from stats.many_looks import looks_at

LOOKS = 50
LEVEL = 0.05
FIXED = 1.96
"""Standard errors that are an alarm at `LEVEL` to who looks once."""

FEWEST = AnalysisSettings().minimum_units
"""Units of an arm that must count before it is judged, as the product asks of every metric."""

SETTLED = ("ctr", "engagement_per_user", "sessions_7", "d7")
"""Values of a unit that are those of the whole log from its first look on."""


def measure(days: UnitDays, effort: Effort) -> list[Promise]:
    """Settled metrics and growing ones, plain and adjusted."""
    treated = _treated(days, salts=effort.sequences)
    promises: list[Promise] = []
    for name in SETTLED:
        columns = MomentSums(unit_metric(days, name), days.covariates)
        sums = _sums_by_look(days, columns, treated)
        promises += _promises(name, f"{LOOKS} looks", columns, sums, effort)
    for name, growing in GROWING.items():
        columns, sums = _sums_by_day(days, growing, treated)
        looks = f"{sums.shape[2]} days"
        promises += _promises(f"{name} so far", looks, columns, sums, effort)
    return promises


def _promises(
    name: str, looks: str, columns: MomentSums, sums: FloatArray, effort: Effort
) -> Iterator[Promise]:
    n = sums.shape[1]
    # As the product reads it, whatever the size of this log.
    tuning = Tuning(float(AnalysisSettings().tuned_for_units))
    early = (sums[:, :, :, 0] < FEWEST).any(axis=0)
    for adjusts in (False, True) if columns.has_covariates else (False,):
        seen = looks_at(columns, sums, tuning=tuning, adjusts=adjusts)
        alarms = (seen.p_value < LEVEL) & ~early
        fixed = (np.abs(seen.z) > FIXED) & ~early
        share = float(alarms.any(axis=1).mean())
        yield Promise(
            name=f"S2 {name}, any time{', adjusted' if adjusts else ''}",
            measured=f"{share:.1%} of {n:,}; fixed horizon {fixed.any(axis=1).mean():.1%}",
            asked=f"at most 5 % over {looks}",
            kept=effort.at_most(share, LEVEL, trials=n),
        )


def _treated(days: UnitDays, *, salts: int) -> BoolArray:
    """Who is in the second arm, by the product's own assignment, `bool [salts, n]`."""
    ids = UnitCodes([f"{unit:016x}" for unit in days.unit.tolist()])
    ranges = bucket_ranges([0.5, 0.5])
    return np.stack(
        [choose_arms(ids.buckets(f"looks-{salt}"), ranges) == 1 for salt in range(salts)]
    )


def _sums_by_look(days: UnitDays, columns: MomentSums, treated: BoolArray) -> FloatArray:
    """Running sums of both arms at each look, `float64 [2, salts, LOOKS, width]`."""
    order = np.lexsort((days.unit, days.exposed_at))
    sums = np.empty((2, len(treated), LOOKS, columns.width))
    for look, some in enumerate(np.array_split(order, LOOKS)):
        sums[:, :, look] = _sums(columns, some, treated)
    return sums.cumsum(axis=2)


def _sums(columns: MomentSums, units: np.ndarray, treated: BoolArray) -> FloatArray:
    """Sums over some units of both arms, `float64 [2, salts, width]`."""
    rows = columns.rows(units)
    treatment = treated[:, units].astype(np.float64) @ rows
    return np.stack([rows.sum(axis=0) - treatment, treatment])


def _sums_by_day(
    days: UnitDays, growing: "_Growing", treated: BoolArray
) -> tuple[MomentSums, FloatArray]:
    """Sums of both arms at the end of each day, of all that was done until then.

    Columns are centred alike on all days, at what the last one has.
    """
    last = MomentSums(growing.so_far(days), days.covariates)
    sums = np.empty((2, len(treated), days.days, last.width))
    for day in range(days.days):
        units = np.flatnonzero(days.exposed_on + growing.waits <= day)
        metric = growing.so_far(_until(days, day))
        sums[:, :, day] = _sums(last.of(metric), units, treated)
    return last, sums


def _until(days: UnitDays, day: int) -> UnitDays:
    """The same units, and what they did up to and with a day."""
    rows = days.row_calendar_day <= day
    names = (
        "row_unit",
        "row_day",
        "row_calendar_day",
        "sessions",
        "pages",
        "impressions",
        "clicks",
        "engagement",
        "fallbacks",
    )
    return replace(days, **{name: getattr(days, name)[rows] for name in names})


def _rolling_d7(days: UnitDays) -> UnitMetric:
    """Whether a unit has come back on day 7 or later so far."""
    back = Activity(days).active_days(7, None) > 0
    everyone = np.ones(len(days), dtype=np.bool_)
    return UnitMetric("rolling_d7", everyone, back.astype(np.float64), proportion=True)


@dataclass(frozen=True, slots=True)
class _Growing:
    """A metric whose values still change.

    Attributes:
        so_far: of all units, from what they have done.
        waits: days since its exposure until a unit is shown.
    """

    so_far: Callable[[UnitDays], UnitMetric]
    waits: int = 0


GROWING = {
    "ctr": _Growing(lambda days: unit_metric(days, "ctr")),
    "engagement_per_user": _Growing(lambda days: unit_metric(days, "engagement_per_user")),
    "rolling_d7": _Growing(_rolling_d7, waits=7),
}
"""Ratio, mean and retention of all units so far."""
