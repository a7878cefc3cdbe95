"""Several policies on one log: refused ones beside others, and by which bounds they are ranked."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from matinee_platform.ope.action_evaluation import (
    ActionPolicy,
    compare_actions,
    evaluate_actions,
)
from matinee_platform.ope.estimates import estimates
from matinee_platform.ope.evaluator import Method
from matinee_platform.ope.inputs.action_log import ActionLog
from matinee_platform.ope.inputs.obp_arrays import obp_log
from matinee_platform.ope.inputs.target_law import table_law
from matinee_platform.ope.refusal import Reason, Verdict
from matinee_platform.ope.selection import rank_by_draws
from matinee_platform.ope.slot_sums import EstimatorPlan, SlotSums
from matinee_platform.ope.testing_logs import make_log

N, K, SLOTS = 4_000, 5, 3
REFUSED = Verdict((Reason("positives", 3.0, 30.0, "3 positive rewards, 30 are needed"),))


def law(name: str, *shares: float, slots: int = 1) -> Any:
    found: Any = table_law(np.repeat(np.array(shares)[:, None], slots, axis=1))
    found.__name__ = name
    return found


def four_of_five() -> ActionLog:
    """A log that never shows the last item."""
    rng = np.random.default_rng(0)
    action = rng.integers(0, K - 1, N)
    reward = (rng.random(N) < 0.3 + 0.05 * action).astype(float)
    return obp_log(
        {
            "n_rounds": N,
            "n_actions": K,
            "action": action,
            "reward": reward,
            "pscore": np.full(N, 1 / (K - 1)),
            "position": None,
            "context": None,
        }
    )


def pages() -> ActionLog:
    """Pages of items drawn evenly, with repeats."""
    rng = np.random.default_rng(1)
    action = rng.integers(0, K, N * SLOTS)
    return obp_log(
        {
            "n_rounds": N,
            "n_actions": K,
            "slate_id": np.repeat(np.arange(N), SLOTS),
            "position": np.tile(np.arange(SLOTS), N),
            "action": action,
            "reward": (rng.random(N * SLOTS) < 0.2 + 0.05 * action).astype(float),
            "pscore_cascade": np.tile(np.cumprod(np.full(SLOTS, 1 / K)), N),
            "context": None,
        }
    )


def test_a_refused_policy_leaves_the_bounds_of_the_others_as_they_are() -> None:
    how = Method(estimators=["ips"], intervals=("bootstrap",), reward_model="none", replicates=100)
    two: list[ActionPolicy] = [
        law("late", 0.2, 0.2, 0.3, 0.3, 0),
        law("early", 0.3, 0.3, 0.2, 0.2, 0),
    ]
    blind = law("blind", 0.1, 0.1, 0.3, 0.4, 0.1)
    alone = compare_actions(four_of_five(), two, how).ranking
    beside = compare_actions(four_of_five(), [two[0], blind, two[1]], how).ranking
    assert alone is not None
    assert beside is not None
    assert alone.rows[0].high - alone.rows[0].low < 0.2
    assert beside.rows[:2] == alone.rows
    assert (beside.rows[2].name, beside.rows[2].place, beside.rows[2].value) == ("blind", 0, None)
    assert beside.words().endswith("Refused: blind.")


def test_draws_of_a_refused_policy_are_not_read() -> None:
    draws = np.random.default_rng(2).normal(0.5, 0.1, size=(500, 3))
    verdicts = [Verdict(), REFUSED, Verdict()]
    names, values = ["a", "blind", "b"], np.array([0.5, np.nan, 0.4])
    broken = draws.copy()
    broken[3, 1] = np.nan
    found = rank_by_draws(names, values, broken, verdicts=verdicts)
    assert found.rows[:2] == rank_by_draws(["a", "b"], values[[0, 2]], draws[:, [0, 2]]).rows
    nobody = rank_by_draws(names, values * np.nan, draws * np.nan, verdicts=[REFUSED] * 3)
    assert nobody.first is None


def test_pages_are_ranked_by_shared_resamples_unless_told_otherwise() -> None:
    policies: list[ActionPolicy] = [
        law("late", 0.1, 0.1, 0.2, 0.3, 0.3, slots=SLOTS),
        law("even", 0.2, 0.2, 0.2, 0.2, 0.2, slots=SLOTS),
    ]
    made = {
        kind: compare_actions(
            pages(), policies, Method(intervals=(kind,), reward_model="none", replicates=100)
        ).ranking
        for kind in ("default", "cressie_read")
    }
    methods = {kind: one.method for kind, one in made.items() if one is not None}
    assert methods == {"default": "max-t over shared resamples", "cressie_read": "Bonferroni"}


@pytest.mark.parametrize("estimator", ["dm", "clipped"])
def test_a_difference_whose_bias_is_unknown_has_an_interval_only_if_asked_for(
    estimator: str,
) -> None:
    asked: dict[str, Any] = {"estimators": [estimator], "reward_model": "empirical"}
    late = law("late", 0.05, 0.1, 0.2, 0.65, 0.0)
    found = evaluate_actions(four_of_five(), late, replicates=100, **asked)
    tuned = found.headline.tuned
    assert tuned is None or tuned.chosen is not None
    assert found.current is not None
    assert found.current.difference is not None
    assert found.headline.interval is found.current.difference_interval is None
    noise = evaluate_actions(
        four_of_five(), late, replicates=100, intervals=("bootstrap",), **asked
    )
    assert noise.current is not None
    assert noise.current.difference_interval is not None


def test_a_negative_reward_is_no_positive_one_in_any_slot() -> None:
    """Rows in pairs and a last one by itself, which the sums take one by one."""
    rng = np.random.default_rng(3)
    plan = EstimatorPlan("slot")
    for rows in (1, 2, 301):
        log = make_log(3, n=rows)
        log = replace(log, rewards=rng.choice([-1.0, 0.0, 1.0], log.rewards.shape))
        sums = SlotSums(plan)
        sums.add(log)
        told = (log.rewards > 0) & (log.target > 0)
        found = [one for one in estimates(sums) if one.name == "ips" and one.slot is not None]
        assert [one.positives for one in found] == told.sum(axis=0).tolist()
