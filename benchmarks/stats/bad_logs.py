"""S10: logs that cannot tell the value of a policy are refused, each for its own reason.

Every log is drawn good, and then spoiled in one way, a little beyond the rule's limit; a good log
must pass, and one a little within the limit must not be refused by that rule.
"""

from collections.abc import Callable

import numpy as np

from matinee_platform.ope.diagnostics import Diagnostics
from matinee_platform.ope.records import LoggedBatch
from matinee_platform.ope.refusal import judge
from matinee_platform.ope.slot_sums import EstimatorPlan, SlotSums
from matinee_platform.ope.weighted_sums import WeightedSums
from matinee_policies.arrays import FloatArray
from matinee_policies.errors import MatineeError
from promises import Promise
from stats.effort import Effort

ROWS = 20_000
ACTIONS = 10
RATE = 0.1

Log = tuple[FloatArray, FloatArray, float, int]
"""Weights, rewards, target mass that could not be logged, rows without a propensity."""


def good(rng: np.random.Generator) -> Log:
    """Uniform draws of actions, a target that leans to some of them."""
    law = np.linspace(1, 3, ACTIONS)
    weights = (law / law.mean())[rng.integers(ACTIONS, size=ROWS)]
    return weights, (rng.random(ROWS) < RATE).astype(np.float64), 0.0, 0


def few(log: Log, *, effective: float) -> Log:
    """Weights of 0 but on so many rows, of equal weight: mean 1, and few speak of the target."""
    weights = np.zeros(ROWS)
    weights[: round(effective)] = ROWS / round(effective)
    rewards = np.zeros(ROWS)
    rewards[: round(effective)] = np.arange(round(effective)) % 2
    return weights, rewards, *log[2:]


def rare(log: Log, *, positives: int) -> Log:
    """So many rewards above 0 where the weight is."""
    rewards = np.zeros(ROWS)
    rewards[:positives] = 1.0
    return log[0], rewards, *log[2:]


def forged(log: Log, *, errors: float) -> Log:
    """Propensities that are wrong by a factor: the mean weight is so many errors off 1."""
    weights = log[0]
    middle = weights / weights.mean()
    spread = float(middle.std(ddof=1)) / np.sqrt(ROWS)
    # The error grows with the factor: (f - 1) = errors f spread.
    return middle / (1 - errors * spread), *log[1:]


def unlogged(log: Log, *, mass: float) -> Log:
    """So much of the target on actions that could not be drawn."""
    return log[0], log[1], mass, log[3]


def unmatched(log: Log, *, share: float) -> Log:
    """So many rows without a propensity."""
    return *log[:3], round(share * ROWS / (1 - share))


SPOILED: dict[str, tuple[Callable[[Log], Log], Callable[[Log], Log]]] = {
    "effective sample size": (
        lambda log: few(log, effective=199),
        lambda log: few(log, effective=201),
    ),
    "positives": (lambda log: rare(log, positives=29), lambda log: rare(log, positives=30)),
    "mean weight": (lambda log: forged(log, errors=4.01), lambda log: forged(log, errors=3.99)),
    "unlogged items": (
        lambda log: unlogged(log, mass=0.0101),
        lambda log: unlogged(log, mass=0.0099),
    ),
    "missing propensities": (
        lambda log: unmatched(log, share=0.0012),
        lambda log: unmatched(log, share=0.0008),
    ),
}
"""By the rule's name: beyond its limit, and within it."""

IMPOSSIBLE: dict[str, tuple[str, float]] = {
    "a reward that is no number": ("rewards", np.nan),
    "an infinite reward": ("rewards", np.inf),
    "a propensity of 0": ("logged", 0.0),
    "a propensity above 1": ("logged", 1.5),
    "a negative propensity": ("logged", -0.1),
    "a propensity that is no number": ("logged", np.nan),
    "a negative probability of the target": ("target", -0.1),
    "a prediction that is no number": ("predicted", np.nan),
}


def measure(effort: Effort) -> list[Promise]:
    """Every rule, at its limit, and numbers that cannot be."""
    logs = max(effort.logs, 16)
    said = [_rule(rule, logs) for rule in SPOILED]
    rng = np.random.default_rng(100)
    passed = sum(not _rules(good(rng)) for _ in range(logs))
    said.append(
        Promise(
            name="S10 good logs",
            measured=f"{passed} of {logs} pass",
            asked="all",
            kept=passed == logs,
        )
    )
    return [*said, _large_log(), _impossible()]


def _rule(rule: str, logs: int) -> Promise:
    rng = np.random.default_rng(101)
    beyond, within = SPOILED[rule]
    pairs = [(_rules(beyond(log)), _rules(within(log))) for log in (good(rng) for _ in range(logs))]
    refused = sum(bad == {rule} for bad, _ in pairs)
    spared = sum(rule not in fine for _, fine in pairs)
    return Promise(
        name=f"S10 {rule}",
        measured=f"{refused} of {logs} refused for it alone, {spared} of {logs} within it are not",
        asked="all",
        kept=refused == spared == logs,
    )


def _large_log() -> Promise:
    """0.1 % of the rows binds before 200 where the log is large; a log of few distinct rows."""
    weights, rewards, rows = np.array([1_000.1, 0.0]), np.array([1.0, 0.0]), 1_000_000
    found = {}
    for effective in (999, 1_001):
        counts = np.array([effective, rows - effective], dtype=np.float64)
        weights[0] = rows / effective
        sums = WeightedSums.of(weights, rewards, counts=counts)
        verdict = judge(Diagnostics.from_sums(sums, unreachable=0.0))
        found[effective] = {reason.rule for reason in verdict.refused}
    return Promise(
        name="S10 effective share of a million rows",
        measured=f"at 999: {', '.join(found[999]) or 'passes'}; "
        f"at 1,001: {', '.join(found[1_001]) or 'passes'}",
        asked="refused for it below 0.1 %",
        kept=found == {999: {"effective share"}, 1_001: set()},
    )


def _impossible() -> Promise:
    refused = [name for name, (column, value) in IMPOSSIBLE.items() if _is_refused(column, value)]
    return Promise(
        name="S10 numbers that cannot be",
        measured=f"{len(refused)} of {len(IMPOSSIBLE)} refused",
        asked="all, with the rule",
        kept=len(refused) == len(IMPOSSIBLE),
    )


def _is_refused(column: str, value: float) -> bool:
    columns = {name: np.full((2_000, 2), 0.5) for name in COLUMNS}
    columns[column][1_234, 1] = value
    unit = np.arange(2_000)
    log = LoggedBatch(unit.astype(np.uint64), unit, unreachable=np.zeros((2_000, 2)), **columns)
    sums = SlotSums(EstimatorPlan())
    try:
        sums.add(log)
        sums.totals()
    except MatineeError:
        return True
    return False


COLUMNS = ("rewards", "logged", "target", "predicted", "expected")


def _rules(log: Log) -> set[str]:
    weights, rewards, mass, missing = log
    found = Diagnostics.of(weights, rewards, unreachable=mass, unmatched=missing)
    return {reason.rule for reason in judge(found).refused}
