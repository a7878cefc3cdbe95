"""The form between any log and any analysis: sums by unit and by day since the unit's exposure."""

from collections.abc import Mapping
from dataclasses import dataclass

from matinee_policies.arrays import AnyArray, FloatArray, IndexArray, Int64Array, UInt64Array


@dataclass(frozen=True, slots=True)
class UnitDays:
    """The exposed units of one experiment: `n` units, and `m` days on which one of them came.

    A unit is exposed by its first decision; its day 0 begins there. In the log of a run, whose
    users come once a day, a day is a day of the run; in that of a service, 24 hours. A day has
    matured when all of it lies before the end of the data.

    Attributes:
        arms: names of the arms.
        unit: pseudonyms, ascending, `uint64 [n]`.
        arm: index into `arms`, `int16 [n]`. Units seen in several arms are not among the `n`.
        exposed_at: time of the first decision, UTC, milliseconds since 1970, `int64 [n]`.
        exposed_on: day of the experiment of the first decision, from 0, `int32 [n]`.
        observed: whole days since exposure that the data hold, `int32 [n]`: day `k` has matured if
            `k < observed`.
        covariates: what was known of each unit before its exposure, by name, `float64 [n]`, NaN
            where nothing was (new units).
        segments: pre-declared groups by name, each an index into its own labels, `int16 [n]`, -1
            for none.
        segment_labels: names of the groups of each segment.
        row_unit: index into `unit` of each row, ascending, `int32 [m]`.
        row_day: day since the unit's exposure, ascending within a unit, `int16` or `int32 [m]`.
        row_calendar_day: day of the experiment, from 0, `int16` or `int32 [m]`.
        sessions: visits begun, `[m]`; like all counts of an integer kind that holds them, since
            most are small, so that one widens them before it reckons.
        pages: slates shown, `[m]`.
        impressions: items shown, `[m]`.
        clicks: distinct slots clicked, `[m]`.
        engagement: sum of watched fractions, `float64 [m]`.
        fallbacks: pages that the fallback answered, `[m]`.
        days: days of the experiment that the data hold.
        several_arms: units that were seen in more than one arm or bucket, `uint64`.
        orphan_rewards: rewards without a decision in the log of a run; at a slot that showed
            nothing, in the log of a service.
        rewarded: whole days since exposure whose rewards can come no more, since the window of the
            last decision of each is over as well, `int32 [n]`; None where they come at once, so
            that these are the days `observed`.
    """

    arms: tuple[str, ...]
    unit: UInt64Array
    arm: AnyArray
    exposed_at: Int64Array
    exposed_on: IndexArray
    observed: IndexArray
    covariates: Mapping[str, FloatArray]
    segments: Mapping[str, AnyArray]
    segment_labels: Mapping[str, tuple[str, ...]]
    row_unit: IndexArray
    row_day: AnyArray
    row_calendar_day: AnyArray
    sessions: AnyArray
    pages: AnyArray
    impressions: AnyArray
    clicks: AnyArray
    engagement: FloatArray
    fallbacks: AnyArray
    days: int
    several_arms: UInt64Array
    orphan_rewards: int = 0
    rewarded: IndexArray | None = None

    def __len__(self) -> int:
        return int(self.unit.size)
