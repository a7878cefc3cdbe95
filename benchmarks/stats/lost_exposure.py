"""S5: an arm that loses one exposure in twenty is found out; arms that lose none are left alone.

30,000 users are those of both arms together, so that one arm loses 750 of 15,000: the harder of the
two readings. The gate is the chi-square test at the declared end, and before it the sequence, at an
alarm of 1 / 1,000 each; a false alarm of either has a chance of at most 1 / 500. Beside it the
sequence alone at 1 / 500, as of one who declares no end.
"""

import numpy as np

from matinee_platform.analysis.inference.sequential_srm import sequential_srm
from matinee_platform.analysis.srm import SRM_ALARM, srm_p_value
from matinee_platform.assignment import UnitCodes, bucket_ranges, choose_arms
from promises import Promise
from stats.effort import Effort

USERS = 30_000
LOST = 0.05
LOOKS = 600
WEIGHTS = (0.5, 0.5)
FALSE_ALARMS = 0.002
FOUND = 0.8

GATES = (
    "at the end",
    f"at any of {LOOKS} looks or at the end",
    f"at any of {LOOKS} looks, alarm at 1/500",
)


def measure(effort: Effort) -> list[Promise]:
    """Each way of looking."""
    ids = UnitCodes([f"user-{number}" for number in range(USERS)])
    ranges = bucket_ranges(WEIGHTS)
    alarms = np.zeros((2, len(GATES)), dtype=np.int64)
    for split in range(effort.splits):
        arms = choose_arms(ids.buckets(f"split-{split}"), ranges)
        kept = np.random.default_rng([5, split]).random(USERS) >= LOST * (arms == 1)
        for row, seen in enumerate((np.ones(USERS, dtype=np.bool_), kept)):
            alarms[row] += _alarms(np.where(seen, arms, -1))
    n = effort.splits
    promises = []
    for gate, false, true in zip(GATES, *(alarms / n).tolist(), strict=True):
        promises.append(
            Promise(
                name=f"S5 nothing lost, {gate}",
                measured=f"{false:.2%} of {n:,}",
                asked=f"at most {FALSE_ALARMS:.1%}",
                kept=effort.at_most(false, FALSE_ALARMS, trials=n),
            )
        )
        promises.append(
            Promise(
                name=f"S5 {LOST:.0%} of an arm lost, {gate}",
                measured=f"{true:.1%} of {n:,}",
                asked=f"at least {FOUND:.0%}",
                kept=effort.at_least(true, FOUND, trials=n),
            )
        )
    return promises


def _alarms(arms: np.ndarray) -> tuple[bool, bool, bool]:
    """Whether each of `GATES` raises one."""
    looks = _running_counts(arms)
    end = srm_p_value(looks[-1].tolist(), WEIGHTS) < SRM_ALARM
    so_far = float(sequential_srm(looks, WEIGHTS).p_value[-1])
    return end, end or so_far < SRM_ALARM, so_far < FALSE_ALARMS


def _running_counts(arms: np.ndarray) -> np.ndarray:
    """Units of each arm so far, at each look, `int64 [LOOKS, 2]`."""
    by_look = arms.reshape(LOOKS, -1)
    return np.stack([(by_look == arm).sum(axis=1).cumsum() for arm in (0, 1)], axis=1)
