"""Count an arm's key figures while it runs, equal at every day's end to an analysis of its log.

Struct of arrays over the arm's units, of fixed shape, so that a checkpoint can be copied into them.
A page costs O(L); a day's end costs O(active units), but for one sum over the units' engagement,
which is taken anew in the analysis' own order of summation.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from matinee_platform.analysis.slate_metrics import EXPLORED_BELOW, intra_list_diversity
from matinee_platform.kpis.figures import (
    COHORT_WINDOWS,
    RETENTION_DAYS,
    WINDOWS,
    WITHIN_DAY,
    Activity,
    Drawn,
    KpiFigures,
    Returns,
)
from matinee_platform.log_rows import COMPONENTS
from matinee_platform.metrics import LEARNER_UPDATES
from matinee_policies.arrays import (
    AnyArray,
    BoolArray,
    Float32Array,
    FloatArray,
    IndexArray,
    Int64Array,
    UInt64Array,
)
from matinee_policies.compiled import lean_kernel
from matinee_policies.features import ItemFeatures
from matinee_policies.records import PAD, SlateBatch

JOINED, LATE = "joined", "late"
_REWARDS = (*((name, JOINED) for name in COMPONENTS), ("return_visit", LATE))
_NEVER = -1
# 1 - x has no bit below 2^-53 for a float64 x within [-1, 2], so sums of diversities are exact in
# integers of that unit, kept in two halves against overflow.
_DIVERSITY_UNIT = 2**53
_HALF_BITS = 27


@dataclass(frozen=True, slots=True)
class ArmFigures:
    """An arm's figures since the start of the run, as of the end of a day.

    Attributes:
        completed_days: days that are over.
        kpis: its key figures.
        exploration_cost: expected value given up per page by exploration, in the policy's own
            estimates; None if it cannot tell or no decision was sampled.
        rewards: events by component and outcome.
        update_counts: learner updates by bucket of their time, the last one open.
        update_seconds: their wall time.
        snapshot: version of the policy.
    """

    completed_days: int
    kpis: KpiFigures
    exploration_cost: float | None
    rewards: dict[tuple[str, str], int]
    update_counts: tuple[int, ...]
    update_seconds: float
    snapshot: int

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        rewards = [[*key, events] for key, events in self.rewards.items()]
        return {
            **{one.name: getattr(self, one.name) for one in fields(self)},
            "kpis": self.kpis.to_json(),
            "rewards": rewards,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(
            **{
                **value,
                "kpis": KpiFigures.from_json(value["kpis"]),
                "rewards": {(name, word): events for name, word, events in value["rewards"]},
                "update_counts": tuple(value["update_counts"]),
            }
        )


class KpiCounter:
    """Figures of one arm.

    Args:
        pseudonyms: of the arm's units, `uint64 [n]`.
        days: length of the run.
        items: of the catalogue, `M` of them.
    """

    def __init__(self, pseudonyms: UInt64Array, *, days: int, items: ItemFeatures) -> None:
        self._order: IndexArray = np.argsort(pseudonyms).astype(np.int32)
        self._embeddings = items.embeddings
        self._novelty = items.novelty.astype(np.float64)
        units, updates = pseudonyms.size, len(LEARNER_UPDATES.buckets) + 1
        self._first: NDArray[np.int16] = np.full(units, _NEVER, dtype=np.int16)
        self._last: NDArray[np.int16] = np.full(units, _NEVER, dtype=np.int16)
        self._watched: FloatArray = np.zeros(units)
        self._cost: FloatArray = np.zeros(units)
        self._costed: IndexArray = np.zeros(units, dtype=np.int32)
        self._weights: FloatArray = np.zeros((2, units))
        self._shown: Int64Array = np.zeros(len(items), dtype=np.int64)
        self._exposures: Int64Array = np.zeros(days, dtype=np.int64)
        self._active: Int64Array = np.zeros(days, dtype=np.int64)
        self._last_active: Int64Array = np.zeros(days, dtype=np.int64)
        self._within: Int64Array = np.zeros(days, dtype=np.int64)
        self._returned: Int64Array = np.zeros(len(RETENTION_DAYS), dtype=np.int64)
        self._cohorts: Int64Array = np.zeros((len(COHORT_WINDOWS), days), dtype=np.int64)
        self._pages: Int64Array = np.zeros(4, dtype=np.int64)
        self._rewards: Int64Array = np.zeros(len(_REWARDS), dtype=np.int64)
        self._diversity: Int64Array = np.zeros(3, dtype=np.int64)
        self._updates: Int64Array = np.zeros(updates, dtype=np.int64)
        self._sums: FloatArray = np.zeros(2)

    def arrays(self) -> dict[str, AnyArray]:
        """All state, live and of fixed shape: a checkpoint is copied into these arrays."""
        return {
            "first": self._first,
            "last": self._last,
            "watched": self._watched,
            "cost": self._cost,
            "costed": self._costed,
            "weights": self._weights,
            "shown": self._shown,
            "exposures": self._exposures,
            "active": self._active,
            "last_active": self._last_active,
            "within": self._within,
            "returned": self._returned,
            "cohorts": self._cohorts,
            "pages": self._pages,
            "rewards": self._rewards,
            "diversity": self._diversity,
            "updates": self._updates,
            "sums": self._sums,
        }

    def observe_pages(
        self,
        units: IndexArray,
        slates: SlateBatch,
        clicks: BoolArray,
        watch: Float32Array,
        *,
        candidates: IndexArray,
    ) -> None:
        """Count one page of each of some units.

        Args:
            units: index among the arm's units, distinct, `int32 [n]`.
            slates: what was shown.
            candidates: what it was chosen from, padded with `PAD`, `int32 [n, K]`.
            clicks: `bool [n, L]`.
            watch: watched fraction where clicked, `float32 [n, L]`.
        """
        found = np.zeros(4, dtype=np.int64)
        _count_pages(
            units,
            slates.items,
            slates.propensities,
            (candidates != PAD).sum(axis=1),
            clicks,
            watch,
            self._shown,
            self._watched,
            self._weights,
            found,
        )
        impressions, explored, clicked, drawn = found.tolist()
        self._pages += (len(slates), impressions, explored, drawn)
        self._count("click", clicked)
        self._count("watch", clicked)
        diversity = intra_list_diversity(slates.items, self._embeddings)
        exact = (diversity[~np.isnan(diversity)] * _DIVERSITY_UNIT).astype(np.int64)
        high = exact >> _HALF_BITS
        self._diversity += (exact.size, high.sum(), (exact - (high << _HALF_BITS)).sum())

    def observe_exploration(self, units: IndexArray, costs: FloatArray) -> None:
        """Count what exploration cost sampled decisions.

        Args:
            units: index among the arm's units, `int32 [n]`.
            costs: expected value given up, `float64 [n]`.
        """
        # Unit by unit in the order of the log, so that batches do not show in the sums.
        np.add.at(self._cost, units, costs)
        np.add.at(self._costed, units, 1)

    def observe_returns(self, *, joined: int, late: int) -> None:
        """Count return visits, by the decisions they are credited to or came too late for."""
        self._count("return_visit", joined)
        self._count("return_visit", late, LATE)

    def observe_ratings(self, count: int) -> None:
        """Count ratings that have arrived."""
        self._count("rating", count)

    def observe_update(self, seconds: float) -> None:
        """Count a learner update that gave a new snapshot."""
        self._updates[bisect_left(LEARNER_UPDATES.buckets, seconds)] += 1
        self._sums[1] += seconds

    def close_day(self, active: IndexArray, day: int) -> None:
        """Count the units that were active on `day`, distinct, `int32 [a]`, once its pages are."""
        first, last = self._first[active], self._last[active]
        new = first == _NEVER
        self._exposures[day] = new.sum()
        self._active[day] = active.size
        for place, after in enumerate(RETENTION_DAYS):
            if day >= after:
                self._returned[place] += (first == day - after).sum()
        back = first[~new & (first == last) & (day - first <= WITHIN_DAY)]
        self._within += np.bincount(back, minlength=self._within.size)
        self._last_active -= np.bincount(last[~new], minlength=self._last_active.size)
        self._last_active[day] += active.size
        self._first[active[new]] = day
        self._last[active] = day
        since = self._first[active]
        for place, window in enumerate(COHORT_WINDOWS):
            early = since[day - since < window]
            self._cohorts[place] += np.bincount(early, minlength=self._within.size)
        exposed = self._first[self._order] != _NEVER
        # A counter never falls, not even by a rounding when users without plays change the sum.
        self._sums[0] = max(self._sums[0], self._watched[self._order][exposed].sum())

    def figures(self, day: int, *, snapshot: int) -> ArmFigures:
        """The figures after `day`, the last one closed, or -1 before the first."""
        return ArmFigures(
            completed_days=day + 1,
            kpis=self._kpis(day),
            exploration_cost=self._mean_cost(),
            rewards=dict(zip(_REWARDS, self._rewards.tolist(), strict=True)),
            update_counts=tuple(self._updates.tolist()),
            update_seconds=float(self._sums[1]),
            snapshot=snapshot,
        )

    def _kpis(self, day: int) -> KpiFigures:
        pages, impressions, exploratory, drawn = self._pages.tolist()
        slates, high, low = self._diversity.tolist()
        weights, squares = self._weights.sum(axis=1).tolist()
        return KpiFigures(
            exposed=self._matured(day, 0),
            activity={window: self._activity(day, window) for window in WINDOWS},
            cohorts={
                window: Activity(
                    self._matured(day, window - 1),
                    int(self._cohorts[place, : max(0, day + 2 - window)].sum()),
                )
                for place, window in enumerate(COHORT_WINDOWS)
            },
            retention={
                after: Returns(self._matured(day, after), int(self._returned[place]))
                for place, after in enumerate(RETENTION_DAYS)
            },
            returned_within=int(self._within[: max(0, day + 1 - WITHIN_DAY)].sum()),
            sessions=int(self._active.sum()),
            pages=pages,
            fallback_pages=0,
            impressions=impressions,
            exploratory=exploratory,
            clicks=int(self._rewards[_REWARDS.index(("click", JOINED))]),
            engagement=float(self._sums[0]),
            diversity=((high << _HALF_BITS) + low) / _DIVERSITY_UNIT,
            diversity_pages=slates,
            coverage=float((self._shown > 0).mean()),
            novelty=float((self._shown * self._novelty).sum()),
            novelty_impressions=impressions,
            drawn=Drawn(drawn, weights, squares),
        )

    def _count(self, component: str, events: int, outcome: str = JOINED) -> None:
        self._rewards[_REWARDS.index((component, outcome))] += events

    def _mean_cost(self) -> float | None:
        pages = int(self._costed.sum())
        return float(self._cost.sum()) / pages if pages else None

    def _matured(self, day: int, after: int) -> int:
        """Exposed units whose day `after` since exposure is over."""
        return int(self._exposures[: max(0, day + 1 - after)].sum())

    def _activity(self, day: int, window: int) -> Activity:
        days = slice(max(0, day + 1 - window), day + 1)
        return Activity(int(self._last_active[days].sum()), int(self._active[days].sum()))


@lean_kernel
def _count_pages(
    units: IndexArray,
    items: IndexArray,
    propensities: FloatArray,
    candidates: Int64Array,
    clicks: BoolArray,
    watch: Float32Array,
    shown: Int64Array,
    watched: FloatArray,
    weights: FloatArray,
    found: Int64Array,
) -> None:
    """Count items shown and what was watched; add up impressions, explored and drawn slots, clicks.

    Event by event, as the analysis adds: the same order gives the same bits.
    """
    for row in range(items.shape[0]):
        left = candidates[row]
        for slot in range(items.shape[1]):
            item = items[row, slot]
            propensity = propensities[row, slot]
            if item != PAD:
                shown[item] += 1
                found[0] += 1
                if propensity < 1.0:
                    weight = 1.0 / (propensity * left)
                    weights[0, units[row]] += weight
                    weights[1, units[row]] += weight * weight
                    found[3] += 1
                left -= 1
            if propensity < EXPLORED_BELOW:
                found[1] += 1
            if clicks[row, slot]:
                watched[units[row]] += np.float64(watch[row, slot])
                found[2] += 1
