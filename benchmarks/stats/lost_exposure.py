"""S5: an arm that loses one exposure in twenty is found out; arms that lose none are left alone."""

import numpy as np

from matinee_platform.analysis.inference.sequential_srm import sequential_srm
from matinee_platform.analysis.srm import SRM_ALARM, srm_p_value
from matinee_platform.assignment import UnitCodes, bucket_ranges, choose_arms
from promises import Promise
from stats.effort import Effort

USERS = 30_000
LOST = 0.05
LOOKS = 50
WEIGHTS = (0.5, 0.5)


def measure(effort: Effort) -> list[Promise]:
    """The gate at the end, and the one that is read at every look."""
    ids = UnitCodes([f"user-{number}" for number in range(USERS)])
    ranges = bucket_ranges(WEIGHTS)
    alarms = np.zeros((2, 2), dtype=np.int64)
    for split in range(effort.splits):
        arms = choose_arms(ids.buckets(f"split-{split}"), ranges)
        kept = np.random.default_rng([5, split]).random(USERS) >= LOST * (arms == 1)
        for row, seen in enumerate((np.ones(USERS, dtype=np.bool_), kept)):
            looks = _running_counts(np.where(seen, arms, -1))
            alarms[row, 0] += srm_p_value(looks[-1].tolist(), WEIGHTS) < SRM_ALARM
            alarms[row, 1] += sequential_srm(looks, WEIGHTS).p_value[-1] < SRM_ALARM
    n = effort.splits
    shares = alarms / n
    promises = []
    for column, gate in enumerate(("at the end", f"at any of {LOOKS} looks")):
        false, true = float(shares[0, column]), float(shares[1, column])
        promises.append(
            Promise(
                name=f"S5 nothing lost, {gate}",
                measured=f"{false:.2%} of {n:,}",
                asked="at most 0.2 %",
                kept=effort.at_most(false, 0.002, trials=n),
            )
        )
        # The promise of power is that of the end; what is read early waits for more evidence.
        bar = 0.8 if column == 0 else 0.6
        promises.append(
            Promise(
                name=f"S5 5 % of an arm lost, {gate}",
                measured=f"{true:.1%} of {n:,}",
                asked=f"at least {bar:.0%}",
                kept=effort.at_least(true, bar, trials=n),
            )
        )
    return promises


def _running_counts(arms: np.ndarray) -> np.ndarray:
    """Units of each arm so far, at each look, `int64 [LOOKS, 2]`."""
    by_look = arms.reshape(LOOKS, -1)
    return np.stack([(by_look == arm).sum(axis=1).cumsum() for arm in (0, 1)], axis=1)
