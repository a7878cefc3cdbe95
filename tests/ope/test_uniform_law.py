"""The uniform policy draws from what could be shown, as uniform logs do: every weight is 1."""

import numpy as np
import pandas as pd
import pytest

from matinee_platform.ope import evaluate_actions
from matinee_platform.ope.inputs.action_log import ActionLog
from matinee_platform.ope.inputs.obp_arrays import obp_log
from matinee_platform.ope.inputs.propensities import with_propensities
from matinee_platform.ope.inputs.table import table_log
from matinee_platform.ope.inputs.target_law import logged_stream, uniform_law

N, L, K = 1_500, 3, 10


def pages_of_distinct_items() -> ActionLog:
    rng = np.random.default_rng(3)
    logged = np.tile(1.0 / np.array([K, K - 1, K - 2]), (N, 1))
    return obp_log(
        {
            "n_rounds": N,
            "n_actions": K,
            "slate_id": np.repeat(np.arange(N), L),
            "position": np.tile(np.arange(L), N),
            "action": np.argsort(rng.random((N, K)), axis=1)[:, :L].ravel(),
            "reward": (rng.random(N * L) < 0.3).astype(float),
            "pscore_cascade": np.cumprod(logged, axis=1).ravel(),
            "pscore_slot": logged.ravel(),
        },
        distinct=True,
    )


def rows_with_offers() -> ActionLog:
    rng = np.random.default_rng(4)
    offered = [rng.choice(K, size=rng.integers(2, 6), replace=False).tolist() for _ in range(N)]
    table = pd.DataFrame(
        {
            "item": [int(rng.choice(one)) for one in offered],
            "click": (rng.random(N) < 0.3).astype(float),
            "p": [1.0 / len(one) for one in offered],
            "offered": offered,
        }
    )
    columns = {"action": "item", "reward": "click", "propensity": "p", "offered": "offered"}
    return table_log(table, columns)


@pytest.mark.parametrize("log", [pages_of_distinct_items(), rows_with_offers()])
def test_a_uniform_log_has_weight_1_under_the_uniform_policy(log: ActionLog) -> None:
    for known in (log, with_propensities(log, "uniform")):
        for part in logged_stream(known, uniform_law(known))():
            assert (part.target == part.logged).all()
            assert (part.unreachable == 0.0).all()
    found = evaluate_actions(log, "uniform", estimators=["iips"] if log.slots > 1 else ["ips"],
                             reward_model="none")  # fmt: skip
    earned = np.concatenate([part.rewards for part in log.stream()])
    assert found.headline.refused == ()
    assert found.headline.value == pytest.approx(earned.sum(axis=1).mean(), rel=1e-12)
