"""Logs with tables over actions give what a batch made of them gives."""

import numpy as np
import pytest

from matinee_platform.ope.action_rows import gather
from matinee_platform.ope.action_sums import ActionTables, add_actions, gather_reference
from matinee_platform.ope.estimates import estimates
from matinee_platform.ope.records import LoggedBatch
from matinee_platform.ope.slot_sums import EstimatorPlan, SlotSums
from matinee_platform.ope.weight_grid import default_grid
from matinee_policies.errors import ContextError


def action_log(seed: int, *, n: int = 3700, K: int = 5, model: bool = True) -> ActionTables:
    rng = np.random.default_rng(seed)
    law = rng.dirichlet(np.ones(K), n)
    return ActionTables(
        actions=rng.integers(0, K, n),
        rewards=(rng.random(n) < 0.2).astype(float),
        logged=np.full(n, 1.0 / K),
        law=law,
        predictions=rng.random((n, K)) if model else None,
    )


def part(log: ActionTables, first: int, last: int) -> ActionTables:
    rows = slice(first, last)
    predictions = None if log.predictions is None else log.predictions[rows]
    return ActionTables(
        log.actions[rows], log.rewards[rows], log.logged[rows], log.law[rows], predictions
    )


@pytest.mark.parametrize("model", [True, False])
@pytest.mark.parametrize("K", [1, 4, 5, 20])
def test_tables_give_what_a_batch_gives(K: int, *, model: bool) -> None:
    log = action_log(K, K=K, model=model)
    target, predicted, expected = gather_reference(log)
    n = log.actions.size
    batch = LoggedBatch(
        np.zeros(n, np.uint64),
        np.arange(n),
        log.rewards[:, None],
        log.logged[:, None],
        target,
        np.zeros((n, 1)),
        predicted,
        expected,
    )
    plan = EstimatorPlan("slot", default_grid(model=model))
    ours, plain = SlotSums(plan), SlotSums(plan)
    # Less than a block, one that it fills and two whole ones, the rest.
    for first, last in ((0, 700), (700, 3000), (3000, 3700)):
        add_actions(ours, part(log, first, last))
    plain.add(batch)
    for left, right in zip(estimates(ours), estimates(plain), strict=True):
        assert left.name == right.name
        assert left.value == pytest.approx(right.value, rel=1e-12)
        assert left.standard_error == pytest.approx(right.standard_error, rel=1e-9, abs=1e-15)


def test_the_compiled_look_up_is_that_of_numpy() -> None:
    log = action_log(2)
    assert log.predictions is not None
    room = np.zeros((3, 100))
    vectors = log.rewards, log.logged
    gather(log.actions, log.law, log.predictions, *vectors, 50, room[0], room[1], room[2])
    for ours, plain in zip(room, gather_reference(log), strict=True):
        assert plain is not None
        np.testing.assert_allclose(ours, plain[50:150, 0], rtol=1e-14)


def test_the_first_action_out_of_range_is_named_wherever_it_lies() -> None:
    for place in (0, 1_030, 3_699):
        log = action_log(2)
        log.actions[place] = 77
        with pytest.raises(ContextError, match=r"actions must lie in \[0, 5\), got 77"):
            add_actions(SlotSums(EstimatorPlan()), log)


def test_logs_that_do_not_fit_are_refused() -> None:
    good, sums = action_log(3, n=10), SlotSums(EstimatorPlan())
    for actions in (good.actions + 5, good.actions - 5):
        with pytest.raises(ContextError, match=r"actions must lie in \[0, 5\)"):
            add_actions(sums, ActionTables(actions, good.rewards, good.logged, good.law))
    with pytest.raises(ContextError, match="tables must be"):
        add_actions(sums, ActionTables(good.actions, good.rewards, good.logged, good.law[:5]))
    with pytest.raises(ContextError, match="arrays must be"):
        add_actions(sums, ActionTables(good.actions, good.rewards[:4], good.logged, good.law))
    with pytest.raises(ContextError, match="contiguous"):
        add_actions(sums, ActionTables(good.actions, good.rewards, good.logged, good.law[:, ::-1]))
