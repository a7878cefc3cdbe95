"""S6: arms get their shares, layers do not know of each other, and a ramp moves nobody."""

import numpy as np
from scipy import stats

from matinee_platform.assignment import (
    NO_ARM,
    Int16Array,
    UnitCodes,
    bucket_ranges,
    choose_arms,
)
from matinee_platform.experiments.definition import LiveExperiment
from matinee_platform.experiments.layers import Assigner
from matinee_platform.service.settings import Holdout
from promises import Promise
from stats.effort import Effort

WEIGHTS = {
    "halves": (0.5, 0.5),
    "a tenth": (0.9, 0.1),
    "five arms": (0.2, 0.2, 0.2, 0.2, 0.2),
    "one in a hundred": (0.99, 0.01),
}
SALTS = ("spring", "summer", "7")
COVERAGE = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
SIGMA = 4.0
CHANCE = 1e-4


def measure(effort: Effort) -> list[Promise]:
    """Shares, layers, ramp."""
    names = [f"user-{number}" for number in range(effort.crowd)]
    ids = UnitCodes(names)
    return [
        *(_shares(ids, name, weights) for name, weights in WEIGHTS.items()),
        _layers(names),
        _salts(ids),
        _ramp(ids),
    ]


def _shares(ids: UnitCodes, name: str, weights: tuple[float, ...]) -> Promise:
    n, worst = len(ids), 0.0
    for salt in SALTS:
        arms = choose_arms(ids.buckets(salt), bucket_ranges(weights))
        for arm, weight in enumerate(weights):
            error = (weight * (1 - weight) * n) ** 0.5
            worst = max(worst, abs(float((arms == arm).sum()) - weight * n) / error)
    return Promise(
        name=f"S6 {name}, {n:,} users",
        measured=f"worst arm of {len(SALTS)} salts {worst:.1f} sigma off",
        asked=f"within {SIGMA:g} sigma",
        kept=worst <= SIGMA,
    )


def _layers(names: list[str]) -> Promise:
    """Two experiments of different layers, through the assigner of the service."""
    arms = [{"name": "old", "bundle": "old"}, {"name": "new", "bundle": "new"}]
    running = [
        LiveExperiment.model_validate(
            {"key": key, "salt": f"salt-{key}", "layer": layer, "arms": arms}
        )
        for key, layer in (("one", "first"), ("two", "second"))
    ]
    assigner = Assigner(running, Holdout())
    first, second = (assigner.assign_batch(key, names)[1] for key in ("one", "two"))
    return _independent("S6 two layers", first, second)


def _salts(ids: UnitCodes) -> Promise:
    ranges = bucket_ranges([0.25, 0.25, 0.5])
    first, second = (choose_arms(ids.buckets(salt), ranges) for salt in ("before", "after"))
    return _independent("S6 an experiment and its restart", first, second)


def _independent(name: str, first: Int16Array, second: Int16Array) -> Promise:
    inside = (first >= 0) & (second >= 0)
    table = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(table, (first[inside], second[inside]), 1)
    chance = float(stats.chi2_contingency(table, correction=False).pvalue)
    return Promise(
        name=name,
        measured=f"independent with p {chance:.2g}",
        asked=f"p above {CHANCE:g}",
        kept=chance > CHANCE,
    )


def _ramp(ids: UnitCodes) -> Promise:
    """Coverage from 1 to 100 %: who has an arm keeps it."""
    weights, moved, left = (0.3, 0.3, 0.4), 0, 0
    buckets = ids.buckets("ramp")
    before = np.full(len(ids), NO_ARM, dtype=np.int16)
    for coverage in COVERAGE:
        after = choose_arms(buckets, bucket_ranges(weights, coverage=coverage))
        had = before != NO_ARM
        moved += int((had & (after != before)).sum())
        left = int((after == NO_ARM).sum())
        before = after
    return Promise(
        name="S6 ramp 1 to 100 %",
        measured=f"{moved:,} of {len(ids):,} moved, {left:,} left outside at the end",
        asked="nobody moves, all are in",
        kept=moved == 0 and left == 0,
    )
