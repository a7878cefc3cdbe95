"""Reward models of logs of actions, against ratios and least squares written out."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from matinee_platform.ope.examples import FOLDS, fold_of
from matinee_platform.ope.inputs.action_log import ActionBatch, ActionLog
from matinee_platform.ope.inputs.item_rewards import fit_item_rewards
from matinee_platform.ope.inputs.target_law import logged_stream, table_law
from matinee_platform.ope.slot_sums import EstimatorPlan, SlotSums
from matinee_policies.arrays import FloatArray

N, K, P = 4_000, 3, 2


def made_up_log(*, features: bool = False) -> tuple[ActionLog, ActionBatch]:
    """Single actions at two positions; rewards are linear in what a model sees, without noise."""
    rng = np.random.default_rng(0)
    actions, positions = rng.integers(0, K, (N, 1)), rng.integers(0, P, (N, 1))
    context, of_items = rng.normal(size=(N, 2)), rng.normal(size=(N, K, 2)).astype(np.float32)
    own = np.take_along_axis(of_items, actions[:, :, None], axis=1)[:, 0].astype(np.float64)
    rewards = context @ [0.5, -0.25] + actions[:, 0] * 0.125 + positions[:, 0] * (1 + context[:, 0])
    if features:
        rewards = rewards + own @ [0.75, -1.0]
    order = rng.permuted(np.tile(np.arange(K), (N, 1)), axis=1)
    batch = ActionBatch(
        first=0,
        unit=rng.integers(0, 1_000, N).astype(np.uint64),
        time=np.arange(N),
        actions=actions,
        rewards=rewards[:, None],
        logged=np.full((N, 1), 1 / K),
        positions=positions,
        context=context,
        offered=order if features else None,
        features=np.take_along_axis(of_items, order[:, :, None], axis=1) if features else None,
    )

    def stream() -> Iterator[ActionBatch]:
        yield batch.rows(0, 1_500)
        yield batch.rows(1_500, N)

    log = ActionLog(
        stream=stream,
        rows=N,
        items=tuple("abc"),
        positions=P,
        slots=1,
        contexts=("x", "y"),
        features=("f", "g") if features else (),
        has_units=True,
    )
    return log, batch


@pytest.mark.parametrize("features", [False, True])
def test_a_linear_model_finds_a_linear_reward_for_every_item(features: bool) -> None:
    log, batch = made_up_log(features=features)
    found = fit_item_rewards(log, "ridge")(batch)
    assert found.shape == (N, 1, K)
    position, context = batch.positions[:, 0], batch.context
    assert context is not None
    base = context @ [0.5, -0.25] + position * (1 + context[:, 0])
    wanted = base[:, None] + np.arange(K) * 0.125
    if features:
        assert batch.features is not None
        assert batch.offered is not None
        by_item = np.zeros((N, K, 2))
        np.put_along_axis(by_item, batch.offered[:, :, None], batch.features, axis=1)
        wanted = wanted + by_item @ [0.75, -1.0]
    # The prior takes about 1 / 800 of each coefficient, an item's rows of a fold and a position.
    np.testing.assert_allclose(found[:, 0], wanted, atol=0.03)


@pytest.mark.parametrize("said", [{}, {"by_position": False}, {"by_position": True}])
def test_an_empirical_model_is_a_ratio_over_the_other_folds(said: dict[str, Any]) -> None:
    log, batch = made_up_log()
    found = fit_item_rewards(log, "empirical", **said)(batch)
    folds = fold_of(batch.unit, FOLDS)
    reward, item, position = batch.rewards[:, 0], batch.actions[:, 0], batch.positions[:, 0]
    for row in range(0, N, 397):
        # Single actions of a page that was taken apart: by item, at whatever position.
        others = folds != folds[row]
        if said.get("by_position"):
            others &= position == position[row]
        mean = reward[others].mean()
        for k in range(K):
            rows = others & (item == k)
            wanted = (reward[rows].sum() + 100 * mean) / (rows.sum() + 100)
            assert found[row, 0, k] == pytest.approx(wanted, rel=1e-9)


def test_a_doubly_robust_value_of_a_perfect_model_is_exact() -> None:
    log, batch = made_up_log()
    table: FloatArray = np.array([[1.0, 0.0], [0.0, 0.5], [0.0, 0.5]])
    sums = SlotSums(EstimatorPlan())
    for part in logged_stream(log, table_law(table), rewards=fit_item_rewards(log, "ridge"))():
        sums.add(part)
    totals = sums.totals()
    value = (totals.sums["e"] + totals.sums["y"])[0] / N
    assert batch.context is not None
    item = np.where(batch.positions[:, 0] == 0, 0.0, 1.5)
    base = batch.context @ [0.5, -0.25] + batch.positions[:, 0] * (1 + batch.context[:, 0])
    assert value == pytest.approx((base + item * 0.125).mean(), abs=2e-3)
