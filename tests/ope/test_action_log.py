"""Logs of actions under evaluated policies, against sums written out by hand."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from matinee_platform.ope.estimates import estimates
from matinee_platform.ope.inputs.action_log import (
    ActionBatch,
    ActionLog,
    parts_within,
    shown_counts,
)
from matinee_platform.ope.inputs.target_law import logged_stream, matrix_law, table_law
from matinee_platform.ope.slot_sums import EstimatorPlan, SlotSums
from matinee_policies.arrays import FloatArray
from matinee_policies.errors import ConfigError, ContextError

N, K = 60, 5


def made_up_batch(seed: int = 0, *, slots: int = 2) -> ActionBatch:
    """Pages of distinct items, some with an empty last slot; item 4 is offered and never shown."""
    rng = np.random.default_rng(seed)
    actions = np.argsort(rng.random((N, K - 1)), axis=1)[:, :slots].astype(np.int64)
    logged = rng.uniform(0.1, 1.0, (N, slots))
    actions[::7, -1] = -1
    logged[::7, -1] = 1.0
    return ActionBatch(
        first=0,
        unit=np.arange(N, dtype=np.uint64),
        time=np.arange(N),
        actions=actions,
        rewards=rng.normal(size=(N, slots)),
        logged=logged,
        positions=np.tile(np.arange(slots), (N, 1)),
    )


def log_of(batch: ActionBatch, *, distinct: bool = False) -> ActionLog:
    return ActionLog(
        stream=lambda: iter([batch.rows(0, 25), batch.rows(25, N)]),
        rows=N,
        items=tuple("abcde"),
        positions=batch.slots,
        slots=batch.slots,
        distinct=distinct,
    )


def pmfs(seed: int, *shape: int) -> FloatArray:
    """Laws over the last axis."""
    rng = np.random.default_rng(seed)
    raw = rng.uniform(0.0, 1.0, shape) * (rng.random(shape) < 0.7)
    raw[..., 0] += 0.1
    law: FloatArray = raw / raw.sum(axis=-1, keepdims=True)
    return law


def test_a_table_of_a_policy_weighs_every_slot_by_its_position() -> None:
    batch, table = made_up_batch(), pmfs(1, 2, K).T
    (whole,) = [list(logged_stream(log_of(batch), table_law(table))())]
    for row in range(N):
        part = whole[0] if row < 25 else whole[1]
        at = row if row < 25 else row - 25
        for slot in range(2):
            action = batch.actions[row, slot]
            wanted = 1.0 if action < 0 else table[action, slot]
            assert part.target[at, slot] == wanted
            # Item 4 never stands anywhere; every other item stands at both positions.
            outside = 0.0 if action < 0 else table[4, slot]
            assert part.unreachable[at, slot] == pytest.approx(outside, abs=1e-15)


def test_items_above_a_slot_are_out_of_reach_in_pages_of_distinct_items() -> None:
    batch, table = made_up_batch(), pmfs(2, 2, K).T
    parts = list(logged_stream(log_of(batch, distinct=True), table_law(table))())
    unreachable = np.concatenate([part.unreachable for part in parts])
    for row in range(N):
        first, second = batch.actions[row]
        if second >= 0:
            assert unreachable[row, 1] == pytest.approx(table[4, 1] + table[first, 1])


def test_offered_items_are_in_reach_though_never_shown() -> None:
    batch = made_up_batch(slots=1)
    offered = np.where(np.arange(N)[:, None] % 2, np.arange(K), -1)
    offered[:, :2] = [4, 0]
    batch = replace(batch, offered=offered, features=np.zeros((N, K, 3), dtype=np.float32))
    table = pmfs(3, 1, K).T
    parts = list(logged_stream(log_of(batch), table_law(table))())
    unreachable = np.concatenate([part.unreachable for part in parts])[:, 0]
    shown = batch.actions[:, 0] >= 0
    in_reach = [set(row[row >= 0].tolist()) for row in offered]
    wanted = [sum(table[k, 0] for k in range(K) if k not in could) for could in in_reach]
    np.testing.assert_allclose(unreachable[shown], np.array(wanted)[shown], atol=1e-15)


def test_the_largest_weight_is_known_of_a_log_that_drew_uniformly() -> None:
    batch, law = made_up_batch(), pmfs(7, N, 2, K)
    # Four items that are shown at all, the one above a slot not again.
    drawn = np.where(batch.shown, np.array([1 / 5, 1 / 4]), 1.0)
    log = log_of(replace(batch, logged=drawn), distinct=True)
    parts = list(logged_stream(log, matrix_law(law))())
    largest = np.concatenate([part.largest for part in parts if part.largest is not None])
    for row in range(N):
        first, second = batch.actions[row]
        assert largest[row, 0] == pytest.approx(5 * law[row, 0, :4].max())
        left = [k for k in range(4) if k != first]
        wanted = 4 * law[row, 1, left].max() if second >= 0 else 1.0
        assert largest[row, 1] == pytest.approx(wanted)
    weights = np.concatenate([part.target / part.logged for part in parts])
    assert (weights <= largest * (1 + 1e-12)).all()
    (part, _) = logged_stream(log_of(batch), matrix_law(law))()
    assert part.largest is None


def test_a_law_of_each_row_and_a_reward_model_give_the_doubly_robust_value() -> None:
    batch = made_up_batch()
    law, model = pmfs(4, N, 2, K), np.random.default_rng(5).normal(size=(N, 2, K))
    stream = logged_stream(
        log_of(batch), matrix_law(law), rewards=lambda b: model[b.first : b.first + len(b)]
    )
    sums = SlotSums(EstimatorPlan())
    for part in stream():
        sums.add(part)
    found = {e.name: e.value for e in estimates(sums) if e.slot is None}
    ips = dr = 0.0
    for row in range(N):
        for slot in range(2):
            action, reward = batch.actions[row, slot], batch.rewards[row, slot]
            if action < 0:
                ips, dr = ips + reward, dr + reward
                continue
            weight = law[row, slot, action] / batch.logged[row, slot]
            ips += weight * reward
            dr += law[row, slot] @ model[row, slot]
            dr += weight * (reward - model[row, slot, action])
    assert found["ips"] == pytest.approx(ips / N, rel=1e-12)
    assert found["dr"] == pytest.approx(dr / N, rel=1e-12)


def test_parts_keep_to_their_cells_and_say_where_they_begin() -> None:
    batch = made_up_batch()
    parts = list(parts_within(log_of(batch), 70))
    assert [len(part) for part in parts] == [7, 7, 7, 4, 7, 7, 7, 7, 7]
    assert [part.first for part in parts] == [0, 7, 14, 21, 25, 32, 39, 46, 53]
    assert np.concatenate([part.actions for part in parts]).tolist() == batch.actions.tolist()


def test_counts_of_what_the_log_shows() -> None:
    batch = made_up_batch()
    counts = shown_counts(log_of(batch))
    for item in range(K):
        for slot in range(2):
            assert counts[item, slot] == (batch.actions[:, slot] == item).sum()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p.__setitem__((30, 1, 2), -0.1), r"row 31, slot 2.*at least 0, got -0.1"),
        (lambda p: p.__setitem__((30, 1, 2), 7.0), r"row 31, slot 2.*sum to 1, got [78]\."),
        (lambda p: p.__setitem__((30, 1, 2), np.nan), r"row 31, slot 2.*got nan"),
    ],
)
def test_what_is_no_law_is_refused_with_its_row(
    change: Callable[[FloatArray], None], words: str
) -> None:
    law = pmfs(6, N, 2, K)
    change(law)
    with pytest.raises(ContextError, match=words):
        list(logged_stream(log_of(made_up_batch()), matrix_law(law))())


def test_what_does_not_fit_is_refused() -> None:
    batch = made_up_batch()
    with pytest.raises(ContextError, match="rewards must be"):
        replace(batch, rewards=batch.rewards[:, :1])
    with pytest.raises(ContextError, match=r"context must be \[60, 2\], got \[59, 2\]"):
        replace(batch, context=np.zeros((N - 1, 2)))
    with pytest.raises(ConfigError, match="propensities must be one of logged, uniform"):
        replace(log_of(batch), propensities="guessed")  # type: ignore[arg-type]
    with pytest.raises(
        ContextError, match=r"position 1 of the policy's table: probabilities must sum to 1"
    ):
        table_law(np.full((K, 2), 0.3))
    with pytest.raises(ContextError, match="no position 2"):
        list(logged_stream(log_of(batch), table_law(pmfs(1, 1, K).T))())
    with pytest.raises(ContextError, match="must be"):
        list(logged_stream(log_of(batch), table_law(pmfs(1, 2, K - 1).T))())
    with pytest.raises(ContextError, match="no column of the evaluated policy"):
        list(logged_stream(log_of(batch), None)())
    with pytest.raises(ContextError, match="whole law"):
        logged_stream(log_of(batch), None, rewards=lambda b: np.zeros((len(b), 2, K)))
    with pytest.raises(ContextError, match="laws are given for 59 rows"):
        list(logged_stream(log_of(batch), matrix_law(pmfs(1, N - 1, 2, K)))())


def test_estimated_propensities_are_flagged() -> None:
    log = replace(log_of(made_up_batch()), has_units=True)
    assert log.flags == ()
    (alone,) = replace(log, has_units=False).flags
    assert alone.startswith("no units are named, so each row counts as one of its own")
    (flag,) = replace(log, propensities="empirical").flags
    assert "estimated (empirical)" in flag
