"""Gates: what must hold before any metric of an experiment is believed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from matinee_platform.analysis.inference.sequential_srm import sequential_srm
from matinee_platform.analysis.srm import SRM_ALARM, srm_p_value
from matinee_policies.config import check_range, check_whole

LARGEST_SHARE_IN_SEVERAL_ARMS = 0.01
FEWEST_UNITS = 100
FEWEST_DAYS = 7


class Outcome(StrEnum):
    """What a gate says: go on, go on with a visible word, or show no result."""

    PASSED = "passed"
    WARNED = "warned"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate.

    Attributes:
        name: of the gate.
        outcome: what it says.
        value: what was measured, NaN where there was nothing to measure.
        limit: what it was held against.
        words: value and rule in a sentence.
    """

    name: str
    outcome: Outcome
    value: float
    limit: float
    words: str


def split_gate(
    counts: Sequence[Sequence[int]],
    weights: Sequence[float],
    *,
    running: bool,
    end: int | None = None,
    alarm: float = SRM_ALARM,
) -> Gate:
    """Whether the arms got the units that their weights promise.

    Args:
        counts: units of each arm so far, by look, `[looks, arms]`.
        weights: declared share of each arm.
        running: whether one may look again: then the sequential test, else chi-square at the end.
        end: looks up to the declared end, once it is reached; then a running experiment is held
            against chi-square on the counts of that look as well, and fails by either.
        alarm: p-values below it fail, within (0, 1).
    """
    check_range("alarm of the split", alarm, low=0, high=1, low_open=True, high_open=True)
    if not len(counts) or not sum(counts[-1]):
        return Gate("split", Outcome.FAILED, math.nan, alarm, "no unit was exposed")
    told = {}
    if running:
        told["at any look"] = float(sequential_srm(counts, weights).p_value[-1])
        then = counts[min(end or 1, len(counts)) - 1]
        if end is not None and any(then):
            told["at the end"] = srm_p_value(then, weights)
    else:
        told["at the end"] = srm_p_value(counts[-1], weights)
    p_value = min(told.values())
    p_values = " and ".join(f"{one:.2g} {kind}" for kind, one in told.items())
    failed = p_value < alarm
    got = " : ".join(f"{units:,}" for units in counts[-1])
    declared = " : ".join(f"{weight:g}" for weight in weights)
    return Gate(
        "split",
        Outcome.FAILED if failed else Outcome.PASSED,
        p_value,
        alarm,
        f"{got} units for declared {declared}, p = {p_values}"
        + (f"; below {alarm:g}: exposure differs between arms" if failed else ""),
    )


def several_arms_gate(several: int, units: int) -> Gate:
    """Whether less than one unit in a hundred was seen in more than one arm.

    Args:
        several: units seen in more than one arm.
        units: all exposed units, those included.
    """
    check_whole("units in several arms", several, low=0)
    check_whole("units", units, low=several)
    share = several / units if units else math.nan
    failed = not share < LARGEST_SHARE_IN_SEVERAL_ARMS
    outcome = Outcome.FAILED if failed else Outcome.WARNED if several else Outcome.PASSED
    words = f"{several:,} of {units:,} units were in several arms or buckets; they are left out"
    return Gate("several arms", outcome, share, LARGEST_SHARE_IN_SEVERAL_ARMS, words)


def units_gate(units: Sequence[int], arms: Sequence[str], *, fewest: int = FEWEST_UNITS) -> Gate:
    """Whether every arm has enough units, a hundred by default."""
    check_whole("fewest units", fewest, low=1)
    least = min(units) if len(units) else 0
    arm = arms[list(units).index(least)] if len(units) else "no arm"
    outcome = Outcome.PASSED if least >= fewest else Outcome.FAILED
    words = f"smallest arm {arm} has {least:,} units, {fewest:,} are needed"
    return Gate("units", outcome, float(least), float(fewest), words)


def days_gate(days: float, *, fewest: int = FEWEST_DAYS) -> Gate:
    """Whether the experiment ran for a full week, or so many days; a shorter one is flagged."""
    check_range("days of an experiment", days, low=0)
    check_whole("fewest days", fewest, low=1)
    full = math.floor(days)
    outcome = Outcome.PASSED if full >= fewest else Outcome.WARNED
    words = f"{full} full days" + ("" if full >= fewest else f", short: {fewest} are needed")
    return Gate("days", outcome, float(full), float(fewest), words)
