"""Terms of whole pages as weighted rewards of one row, so that every interval holds for them.

Any term `T` of a page can be read as `v (T / v)` with a weight `v` > 0 of mean 1, if `T / v` is
bounded. With slot weights `w`, cascade weights `W` and those of the slots above `A` (all of mean 1,
and `A` of the first slot is 1), predictions `q`, `e` and rewards within a range of largest size `R`
and width `D`, sums and means over the `L` slots of a page:

| term | of | v | bound of T / v |
|---|---|---|---|
| `rips` | sum W r | mean W | L times the range |
| `cascade_dr` | sum A e + W (r - q) | (mean A + mean W) / 2 | 2 L max(R, D) |
| `ips` less what was earned | sum (w - 1) r | mean (w + 1) / 2 | 2 L R |
| `dr` less it | sum (e - q) + (w - 1) (r - q) | mean (w + 1) / 2 | 4 L D |
| `rips` less it | sum (W - 1) r | mean (W + 1) / 2 | 2 L R |
| `cascade_dr` less it | sum A e + W (r - q) - r | (its v + 1) / 2 | 4 L max(R, D) + 2 L R |

Differences are of the same pages: what the two policies have in common cancels. Terms with
predictions have no sums in the order of time: predictions come from the whole log, later rows
included, and what is added at a time has to be known then.
"""

from dataclasses import dataclass

import numpy as np

from matinee_platform.ope.anytime import AnytimeSums
from matinee_platform.ope.interval import RewardRange
from matinee_platform.ope.records import LoggedBatch
from matinee_platform.ope.row_columns import weights_reference
from matinee_platform.ope.weighted_sums import WeightedSums
from matinee_policies.arrays import FloatArray

VALUES = ("rips", "cascade_dr")
DIFFERENCES = ("ips", "dr", "rips", "cascade_dr")


@dataclass(slots=True)
class TermSums:
    """Sums of one term.

    Attributes:
        rewards: what `T / v` can be.
        sums: of pages; None without rows.
        anytime: the same in the order of time; None of terms with predictions.
    """

    rewards: RewardRange
    sums: WeightedSums | None
    anytime: AnytimeSums | None

    @classmethod
    def empty(cls, rewards: RewardRange, *, largest: float, model: bool) -> "TermSums":
        """No rows; whether the term has predictions."""
        ordered = None if model else AnytimeSums.none(largest=largest, rewards=rewards)
        return cls(rewards, None, ordered)

    def add(self, weights: FloatArray, terms: FloatArray) -> None:
        """Add pages: weights and terms of each, `float64 [n]`."""
        rewards = np.divide(terms, weights, out=np.zeros_like(terms), where=weights > 0)
        new = WeightedSums.of(weights, rewards)
        self.sums = new if self.sums is None else self.sums.merged(new)
        if self.anytime is not None:
            self.anytime = self.anytime.then(weights, rewards)


class PageTerms:
    """Sums of every term of the table that a log allows.

    Args:
        rewards: what a slot can earn.
        slots: of a page.
        cascade: whether those of cascade weights are wanted.
        largest: known largest weight of a slot, before the log was seen; infinity if unknown.

    Attributes:
        values: by name of `VALUES`.
        differences: from what the policy that logged earned, by name of `DIFFERENCES`.
    """

    def __init__(self, rewards: RewardRange, *, slots: int, cascade: bool, largest: float) -> None:
        self.values: dict[str, TermSums] = {}
        self.differences: dict[str, TermSums] = {}
        self._rewards, self._slots, self._cascade = rewards, slots, cascade
        self._largest = largest

    def add(self, batch: LoggedBatch) -> None:
        """Add a part of the log."""
        r, earned = batch.rewards, batch.rewards.sum(axis=1)
        model = batch.predicted is not None and batch.expected is not None
        w, _ = weights_reference(batch.logged, batch.target, "slot")
        half = (w.mean(axis=1) + 1.0) / 2.0
        self._add(self.differences, "ips", half, ((w - 1.0) * r).sum(axis=1))
        if batch.predicted is not None and batch.expected is not None:
            apart = batch.expected - batch.predicted + (w - 1.0) * (r - batch.predicted)
            self._add(self.differences, "dr", half, apart.sum(axis=1))
        if not self._cascade:
            return
        own, above = weights_reference(batch.logged, batch.target, "cascade")
        page = own.mean(axis=1)
        value = (own * r).sum(axis=1)
        self._add(self.values, "rips", page, value)
        self._add(self.differences, "rips", (page + 1.0) / 2.0, value - earned)
        if model and batch.predicted is not None and batch.expected is not None:
            rest = (above * batch.expected + own * (r - batch.predicted)).sum(axis=1)
            both = (page + above.mean(axis=1)) / 2.0
            self._add(self.values, "cascade_dr", both, rest)
            self._add(self.differences, "cascade_dr", (both + 1.0) / 2.0, rest - earned)

    def _add(
        self, among: dict[str, TermSums], name: str, weights: FloatArray, terms: FloatArray
    ) -> None:
        if name not in among:
            paired = among is self.differences
            largest = self._largest
            if name in ("rips", "cascade_dr"):
                largest = float((largest ** np.arange(1, self._slots + 1)).mean())
            among[name] = TermSums.empty(
                self._bound(name, paired=paired),
                largest=(largest + 1.0) / 2.0 if paired else largest,
                model=name in ("dr", "cascade_dr"),
            )
        among[name].add(weights, terms)

    def _bound(self, name: str, *, paired: bool) -> RewardRange:
        slots, rewards = self._slots, self._rewards
        size, wide = max(abs(rewards.low), abs(rewards.high)), rewards.width
        if not paired and name == "rips":
            return rewards.times(slots)
        most = {
            "ips": 2 * size,
            "rips": 2 * size,
            "dr": 4 * wide,
            "cascade_dr": 4 * max(size, wide) + 2 * size if paired else 2 * max(size, wide),
        }[name]
        return RewardRange(-most, most).times(slots)


def rest_range(rewards: RewardRange) -> RewardRange:
    """What a reward less its prediction can be, both within the rewards' range."""
    return RewardRange(-rewards.width, rewards.width)
