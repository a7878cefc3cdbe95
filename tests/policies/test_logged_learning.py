"""What is learned from another policy's choices, against a regression on all candidates."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

from matinee_policies.arrays import FloatArray
from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.linear import (
    RidgeSums,
    normal_equations,
    ridge_accumulate,
    ridge_solve,
)
from matinee_policies.logged_learning import (
    ESTIMATORS,
    LoggedSlates,
    RewardModel,
    WeightTally,
    estimated_outcomes,
    importance_weights,
    remaining_counts,
)
from matinee_policies.records import PAD

K, L, D = 6, 2, 3


class World(NamedTuple):
    """A log of `n` decisions, and the reward that every candidate would have brought."""

    slates: LoggedSlates
    rewards: FloatArray


def _world(seed: int, n: int, *, taste: float) -> World:
    """A law that draws by exp(taste * first feature); the reward bends in that very feature."""
    rng = np.random.default_rng(seed)
    features = np.ones((n, K, D), dtype=np.float32)
    features[:, :, 1:] = rng.normal(size=(n, K, D - 1))
    x = features.astype(np.float64)
    # No line fits this reward, so what a regression finds depends on how candidates are weighed.
    rewards = 0.3 + 0.2 * x[:, :, 2] + 0.4 * x[:, :, 1] ** 2 + 0.1 * rng.normal(size=(n, K))
    left = np.ones((n, K), dtype=np.bool_)
    positions = np.empty((n, L), dtype=np.int32)
    propensities = np.empty((n, L))
    for slot in range(L):
        law = np.where(left, np.exp(taste * x[:, :, 1]), 0.0)
        law /= law.sum(axis=1, keepdims=True)
        at = (law.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=K - 1)
        positions[:, slot] = at
        propensities[:, slot] = law[np.arange(n), at]
        left[np.arange(n), at] = False
    return World(
        LoggedSlates(
            features=features,
            candidates=np.tile(np.arange(K, dtype=np.int32), (n, 1)),
            open=np.ones((n, K), dtype=np.bool_),
            positions=positions,
            chosen=np.ones((n, L), dtype=np.bool_),
            propensities=propensities,
            rewards=np.take_along_axis(rewards, positions, axis=1),
            shards=rng.integers(0, 64, size=n).astype(np.uint8),
            days=np.zeros(n, dtype=np.int64),
        ),
        rewards,
    )


def _sums(world: World, estimator: str, *, clip: float = 1e6) -> tuple[FloatArray, FloatArray]:
    """A and b without the prior, as a policy would have them."""
    model: RewardModel | None = None
    if estimator == "dr":
        model = RewardModel(D)
        for outcomes in estimated_outcomes(world.slates, estimator="mtr", clip=clip):
            model.learn(outcomes)
    sums = RidgeSums.empty(D)
    for outcomes in estimated_outcomes(world.slates, estimator=estimator, clip=clip, model=model):
        sums = ridge_accumulate(sums, outcomes)
    A, b = normal_equations(sums, l2=1.0)
    return A - np.eye(D), b


def _full_information(world: World) -> tuple[FloatArray, FloatArray]:
    """The same sums from the rewards of all candidates that remained: a loop over the formula."""
    A, b = np.zeros((D, D)), np.zeros(D)
    x = world.slates.features.astype(np.float64)
    for n in range(len(world.slates)):
        left = np.ones(K, dtype=np.bool_)
        for slot in range(L):
            rows = x[n, left]
            A += rows.T @ rows / left.sum()
            b += rows.T @ world.rewards[n, left] / left.sum()
            left[world.slates.positions[n, slot]] = False
    return A, b


def _theta(sums: tuple[FloatArray, FloatArray]) -> FloatArray:
    theta: FloatArray = np.linalg.solve(sums[0], sums[1]).astype(np.float64)
    return theta


@pytest.mark.parametrize("taste", [0.0, 1.0])
def test_every_estimator_converges_to_the_regression_on_full_information(taste: float) -> None:
    world = _world(1, 8_000, taste=taste)
    truth = _theta(_full_information(world))
    # Largest standard deviation over eight other logs of this size.
    error = 0.0144 if taste == 0.0 else 0.0451
    for estimator in ("mtr", "ips", "dr"):
        np.testing.assert_allclose(_theta(_sums(world, estimator)), truth, atol=4 * error)
    gap = np.abs(_theta(_sums(world, "plain")) - truth).max()
    assert gap < 4 * error if taste == 0.0 else gap > 10 * error


def test_ips_and_dr_have_no_bias_and_dr_less_variance() -> None:
    gaps: dict[str, list[FloatArray]] = {"ips": [], "dr": []}
    for seed in range(120):
        world = _world(1_000 + seed, 300, taste=1.0)
        A, b = _full_information(world)
        for estimator, found in gaps.items():
            own_A, own_b = _sums(world, estimator)
            np.testing.assert_allclose(own_A, A, rtol=1e-5)
            found.append((own_b - b) / len(world.slates))
    spread = {}
    for estimator, found in gaps.items():
        draws = np.array(found)
        error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
        assert (np.abs(draws.mean(axis=0)) < 4 * error).all()
        spread[estimator] = draws.var(axis=0).sum()
    # The model explains a part of the reward: a variance ratio of about .66 on equal draws.
    assert spread["dr"] < 0.8 * spread["ips"]


def test_clipping_takes_from_ips_and_leaves_the_matrix() -> None:
    world = _world(3, 2_000, taste=1.0)
    whole, clipped = _sums(world, "ips"), _sums(world, "ips", clip=1.0)
    np.testing.assert_array_equal(whole[0], clipped[0])
    assert (clipped[1][0]) < whole[1][0]


def test_uniform_choices_weigh_one_and_slots_with_pins_are_left_out() -> None:
    slates = _world(4, 50, taste=0.0).slates
    remaining = remaining_counts(slates.open, slates.positions, slates.chosen)
    assert remaining.tolist() == [[K, K - 1]] * 50
    np.testing.assert_allclose(
        importance_weights(slates.propensities, remaining, slates.chosen), 1.0, rtol=1e-12
    )
    chosen = slates.chosen.copy()
    chosen[:, 0] = False
    open_ = slates.open.copy()
    open_[np.arange(50), slates.positions[:, 0]] = False
    remaining = remaining_counts(open_, slates.positions, chosen)
    assert remaining[:, 1].tolist() == [K - 1] * 50
    assert (importance_weights(slates.propensities, remaining, chosen)[:, 0] == 0.0).all()


def test_a_slot_tells_its_place_in_the_column_for_it() -> None:
    slates = _world(5, 40, taste=0.5).slates
    told = replace(slates, slot_column=1, slot_values=np.array([7.0, 9.0], dtype=np.float32))
    (plain,) = estimated_outcomes(told, estimator="plain", clip=1.0)
    assert plain.features[:, :, 1].tolist() == [[7.0, 9.0]] * 40
    (full,) = estimated_outcomes(told, estimator="ips", clip=1.0)
    seen = full.features[:, :, 1][full.shown] / full.features[:, :, 0][full.shown]
    np.testing.assert_allclose(np.unique(seen.round(4)), [7.0, 9.0])


def test_the_tally_adds_up() -> None:
    tally = WeightTally()
    weights = np.array([[0.5, 4.0], [0.5, 0.0]])
    tally.add(weights, weights > 0.0, clip=2.0)
    assert (tally.slots, tally.clipped) == (3, 1)
    assert tally.clipped_share == pytest.approx(1 / 3)
    assert tally.mean_weight == pytest.approx(5 / 3)
    assert tally.kept_weight == pytest.approx(1.0)
    assert tally.effective == pytest.approx(9.0 / 4.5)
    assert WeightTally().effective == 0.0


def test_rows_do_not_depend_on_how_the_log_is_cut() -> None:
    world = _world(6, 64, taste=0.7)
    for estimator in ESTIMATORS[:3]:
        sums = RidgeSums.empty(D)
        for start in range(0, 64, 16):
            part = world.slates.rows(slice(start, start + 16))
            for outcomes in estimated_outcomes(part, estimator=estimator, clip=5.0):
                sums = ridge_accumulate(sums, outcomes)
        A, b = normal_equations(sums, l2=1.0)
        np.testing.assert_array_equal(A - np.eye(D), _sums(world, estimator, clip=5.0)[0])
        np.testing.assert_array_equal(b, _sums(world, estimator, clip=5.0)[1])


def test_a_model_does_not_predict_what_it_has_seen() -> None:
    slates = _world(7, 200, taste=0.0).slates
    model = RewardModel(D, l2=0.5)
    for outcomes in estimated_outcomes(slates, estimator="plain", clip=1.0):
        model.learn(outcomes)
    for half in (0, 1):
        others = slates.shards % 2 != half
        x = np.take_along_axis(slates.features, slates.positions[:, :, None], axis=1)[others]
        x = x.reshape(-1, D).astype(np.float64)
        theta = np.linalg.solve(x.T @ x + 0.5 * np.eye(D), x.T @ slates.rewards[others].reshape(-1))
        wanted = slates.features[:5].astype(np.float64) @ theta
        found = model.predictions(slates.features[:5], np.full(5, half, dtype=np.uint8))
        np.testing.assert_allclose(found, wanted, rtol=1e-10)


def test_what_is_no_choice_is_refused() -> None:
    slates = _world(8, 4, taste=0.0).slates
    closed = slates.open.copy()
    closed[0, slates.positions[0, 0]] = False
    with pytest.raises(ContextError, match="among the open candidates"):
        remaining_counts(closed, slates.positions, slates.chosen)
    with pytest.raises(ContextError, match=r"in \(0, 1\], got 0.0"):
        importance_weights(np.zeros((4, L)), np.full((4, L), K), slates.chosen)
    with pytest.raises(ConfigError, match="clip must be > 0"):
        list(estimated_outcomes(slates, estimator="mtr", clip=0.0))


def test_empty_slots_are_no_rows() -> None:
    slates = _world(9, 3, taste=0.0).slates
    positions = slates.positions.copy()
    positions[1, 1] = PAD
    gap = replace(slates, positions=positions, chosen=positions != PAD)
    for estimator, rows in (("plain", 5), ("mtr", 5), ("ips", 3 * K + 2 * (K - 1))):
        outcomes = list(estimated_outcomes(gap, estimator=estimator, clip=9.0))
        assert sum(int(one.shown.sum()) for one in outcomes) == rows


def test_solutions_of_weighted_rows_are_those_of_weighted_least_squares() -> None:
    world = _world(10, 500, taste=0.8)
    sums = RidgeSums.empty(D)
    for outcomes in estimated_outcomes(world.slates, estimator="mtr", clip=3.0):
        sums = ridge_accumulate(sums, outcomes)
    slates = world.slates
    x = np.take_along_axis(slates.features, slates.positions[:, :, None], axis=1)
    x = x.reshape(-1, D).astype(np.float64)
    w = np.minimum(1.0 / (slates.propensities * np.array([K, K - 1])), 3.0).reshape(-1)
    wanted = np.linalg.solve(
        (x * w[:, None]).T @ x + 2.0 * np.eye(D), x.T @ (w * slates.rewards.reshape(-1))
    )
    np.testing.assert_allclose(ridge_solve(sums, l2=2.0).theta, wanted, rtol=1e-5)


def test_slots_that_are_examined_less_weigh_less() -> None:
    slates = replace(_world(11, 200, taste=0.5).slates, examined=np.array([1.0, 0.25]))
    remaining = np.array([K, K - 1])
    x = np.take_along_axis(slates.features, slates.positions[:, :, None], axis=1).astype(np.float64)
    weights = {
        "plain": np.tile([1.0, 0.25], (200, 1)),
        "mtr": np.array([1.0, 0.25]) / (slates.propensities * remaining),
    }
    for estimator, w in weights.items():
        A = np.einsum("nl,nli,nlj->ij", w, x, x)
        b = np.einsum("nl,nl,nli->i", w, slates.rewards, x)
        found = _sums(World(slates, np.zeros((200, K))), estimator)
        np.testing.assert_allclose(found[0], A, rtol=1e-5)
        np.testing.assert_allclose(found[1], b, rtol=1e-5)
        if estimator == "mtr":
            ips = _sums(World(slates, np.zeros((200, K))), "ips")
            np.testing.assert_allclose(ips[1], b, rtol=1e-5)
            assert ips[0][0, 0] == pytest.approx(200 * 1.25, rel=1e-6)
