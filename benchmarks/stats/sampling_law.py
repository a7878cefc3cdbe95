"""S8: what is logged as propensity is the law of the draw, and re-scores to a ratio of exactly 1.

Every kind of policy draws slates of a frozen context; chi-square compares each slot with its law
given the slots above, and whole slates with the products. Then a run is made, and a fresh process
re-scores its log by the snapshots that chose.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from matinee_platform.offline.run import run_experiment
from matinee_platform.settings import parse_settings
from matinee_policies.arrays import FloatArray, IndexArray
from matinee_policies.policy import Policy
from matinee_policies.registry import POLICY_KINDS, build_policy
from matinee_policies.testing import all_slates, conditional_p_value
from matinee_policies.testing_data import example_contexts, example_keys, example_outcomes
from promises import Promise
from stats.effort import Effort

CANDIDATES, SLOTS, DIMENSION = 5, 3, 4
LEAST = 1e-4

BASES = (
    {"kind": "softmax", "policy": {"temperature": 0.2, "floor": 0.1}},
    {"kind": "lin_ucb", "policy": {"floor": 0.2}},
)
LAWS: dict[str, dict[str, Any]] = {
    "uniform": {},
    "score_order": {"epsilon": 0.4, "diversity": 0.2},
    "softmax": {"temperature": 0.3, "floor": 0.1, "diversity": 0.2},
    "new_items": {"power": 2.0, "floor": 0.1},
    "epsilon_greedy": {"epsilon": 0.3, "diversity": 0.2},
    "lin_ucb": {"floor": 0.2, "diversity": 0.2},
    "thompson": {"floor": 0.1, "diversity": 0.2},
    "square_cb": {"floor": 0.05, "diversity": 0.2},
    "linear_softmax": {"floor": 0.1},
    "logistic": {"epsilon": 0.3},
    "discounted_lin_ucb": {"floor": 0.2},
    "sliding_window_lin_ucb": {"floor": 0.2},
    "vowpal_wabbit": {"epsilon": 0.3, "diversity": 0.2, "actions": CANDIDATES, "bits": 10},
    "vowpal_wabbit_per_slot": {"floor": 0.05, "actions": CANDIDATES, "bits": 10},
    "mixture": {"bases": [{**BASES[0], "weight": 0.6}, {**BASES[1], "weight": 0.4}]},
    "corral": {"bases": list(BASES)},
}
"""Settings under which each kind explores."""

SLOW = ("vowpal_wabbit_per_slot",)
"""Kinds that ask another library for every slot, some 1,000 a second: quick forms draw less."""

ARMS = ("softmax", "epsilon_greedy", "lin_ucb", "thompson", "square_cb", "linear_softmax")
"""Kinds of the run that is re-scored, with five candidates or more."""


def measure(effort: Effort) -> list[Promise]:
    """Both parts."""
    if missing := set(POLICY_KINDS) - set(LAWS):
        raise ValueError(f"every kind needs settings here, got none for {', '.join(missing)}")
    draws = [law_of_the_draw(kind, draws=_draws(kind, effort)) for kind in POLICY_KINDS]
    return [*draws, re_scored(effort)]


def law_of_the_draw(kind: str, *, draws: int) -> Promise:
    """Draws of one kind against its propensities."""
    policy = build_policy(kind, LAWS[kind], dimension=DIMENSION)
    for first in (True, False):
        policy.learn(example_outcomes(1, slates=150, dimension=DIMENSION, first=first))
    values = p_values(policy, draws=draws)
    return Promise(
        name=f"S8 draws of {kind}",
        measured=f"least p {values.min():.2g} of {SLOTS} slots and the slate, {draws:,} draws",
        asked=f"p above {LEAST:g}",
        kept=bool(values.min() > LEAST),
    )


def p_values(policy: Policy, *, draws: int) -> FloatArray:
    """Chi-square of each slot given those above it, and of the whole slate, `float64 [L + 1]`."""
    context = example_contexts(5, decisions=1, candidates=CANDIDATES, dimension=DIMENSION)
    possible = all_slates(CANDIDATES, SLOTS)
    laws = policy.propensities(context.rows(np.zeros(len(possible), dtype=np.int64)), possible)
    many = context.rows(np.zeros(draws, dtype=np.int64))
    drawn = policy.decide(many, slots=SLOTS, keys=example_keys(draws)).positions
    found = [conditional_p_value(drawn, possible, laws, slot=slot) for slot in range(SLOTS)]
    return np.array([*found, _slate_p_value(drawn, possible, laws.prod(axis=1))])


def _slate_p_value(drawn: IndexArray, possible: IndexArray, law: FloatArray) -> float:
    digits = CANDIDATES ** np.arange(SLOTS)
    codes, wanted = drawn @ digits, possible @ digits
    observed = (codes[:, None] == wanted).sum(axis=0)
    if observed.sum() < len(drawn) or observed[law <= 0].any():
        return 0.0
    order = np.argsort(law)[::-1]
    expected = law[order] * len(drawn)
    # Rare slates share a cell.
    cells = np.cumsum(expected >= 5.0) - 1
    cells = np.where(expected >= 5.0, cells, cells.max(initial=0))
    sums = [np.bincount(cells, weights=some) for some in (observed[order], expected)]
    statistic = float(((sums[0] - sums[1]) ** 2 / sums[1]).sum())
    return float(stats.chi2.sf(statistic, max(sums[0].size - 1, 1)))


def re_scored(effort: Effort) -> Promise:
    """A run whose arms learn, re-scored from disk by a process of its own."""
    settings = parse_settings(
        {
            "name": "re_scored",
            "users": effort.log_users,
            "days": 4,
            "slots": SLOTS,
            "candidates": 20,
            "arms": [
                {"name": kind, "policy": {"kind": kind, **LAWS[kind]}, "weight": 1 / len(ARMS)}
                for kind in ARMS
            ],
        }
    )
    with tempfile.TemporaryDirectory(prefix="matinee-stats-") as folder:
        run = Path(folder) / "run"
        run_experiment(settings, run, workers=1)
        command = [sys.executable, "-m", "matinee_platform.cli", "verify", str(run), "--json"]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
    checks = json.loads(said.stdout)
    slots = sum(check["slots"] for check in checks)
    unequal = sum(check["unequal"] for check in checks)
    blind = [c["arm"] for c in checks if c["snapshots"] > 1 and not c["neighbour_unequal"]]
    learned = sum(check["snapshots"] > 1 for check in checks)
    return Promise(
        name=f"S8 log of {len(checks)} arms re-scored by the snapshots that chose",
        measured=f"{slots - unequal:,} of {slots:,} ratios exactly 1; another snapshot differs "
        f"in {learned - len(blind)} of {learned} arms that learn",
        asked="all, in a fresh process",
        kept=said.returncode == 0 and slots > 0 and not unequal and not blind,
    )


def _draws(kind: str, effort: Effort) -> int:
    return effort.draws // 10 if kind in SLOW and not effort.strict else effort.draws
