"""What an experiment declares of its arms, and which units contradict it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from matinee_platform.analysis.unit_days.bad_log import BadLog
from matinee_platform.assignment import bucket_ranges, choose_arms
from matinee_policies.arrays import AnyArray, BoolArray, UInt64Array


@dataclass(frozen=True, slots=True)
class DeclaredArms:
    """Arms as declared.

    Attributes:
        names: of the arms, those with a share first.
        weights: share of each of the first arms, summing to one; arms beyond, such as a holdout,
            take no part in the split.
    """

    names: tuple[str, ...]
    weights: tuple[float, ...]


def check_units(
    found: BadLog,
    declared: DeclaredArms,
    *,
    unit: UInt64Array,
    arm: AnyArray,
    bucket: AnyArray,
    several: BoolArray,
    empty_arms: bool = False,
) -> None:
    """Find arms without units, and units that the declared split puts into another arm.

    Args:
        found: takes what is wrong.
        declared: arms.
        unit: pseudonyms, `uint64 [n]`.
        arm: index of the arm of each, `int16 [n]`.
        bucket: assignment bucket of each, `int16 [n]`.
        several: whether a unit was seen in several arms; nothing is asked of those, `bool [n]`.
        empty_arms: whether an arm may be without units.
    """
    counts = np.bincount(arm, minlength=len(declared.names))
    empty = [
        name
        for name, weight, count in zip(declared.names, declared.weights, counts, strict=False)
        if weight > 0 and not count and not empty_arms
    ]
    found.add(
        "every arm with a share must have units, empty arms", len(empty), [repr(e) for e in empty]
    )
    inside = (bucket >= 0) & (bucket < 10_000)
    wanted = choose_arms(np.where(inside, bucket, 0), bucket_ranges(declared.weights))
    split = (arm < len(declared.weights)) & ~several
    found.add_rows(
        "the arm of a unit must own its bucket (or rows of several experiments are mixed), units",
        split & (~inside | (wanted != arm)),
        names=[
            ("unit", unit),
            ("of bucket", bucket),
            ("in arm", np.array(declared.names)[arm] if arm.size else arm),
        ],
    )


def undeclared(found: BadLog, declared: Sequence[str], seen: dict[str, int], *, what: str) -> None:
    """Find arms of a log that the experiment does not declare.

    Args:
        found: takes what is wrong.
        declared: names of arms.
        seen: how often each arm is in the log.
        what: is counted.
    """
    strange = {name: count for name, count in seen.items() if name not in declared}
    found.add(
        f"every arm of the log must be one of {', '.join(declared)}, {what} of others",
        sum(strange.values()),
        [f"{count:,} of {name!r}" for name, count in sorted(strange.items())],
    )
