"""The weights of a band: single steps against oracles, their floor, and what they are for."""

import math

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, minimize

from matinee_policies.arrays import FloatArray
from matinee_policies.corral import (
    CorralState,
    corral_steps,
    corral_steps_reference,
    log_barrier_step,
    log_barrier_step_reference,
    mixed_weights,
)

GAMMA, BETA = 0.02, 1.1


def made_up(seed: int, *, bases: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weights, rates and losses of the base drawn alone, from mild to extreme."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(bases, 0.3)) * 0.999 + 0.001 / bases
    losses = np.zeros(bases)
    losses[rng.integers(bases)] = 10.0 ** rng.uniform(-3, 4)
    return weights, 10.0 ** rng.uniform(-4, 0, size=bases), losses


@pytest.mark.parametrize("bases", [2, 3, 16])
def test_a_step_equals_its_twin(bases: int) -> None:
    for seed in range(100):
        weights, rates, losses = made_up(seed, bases=bases)
        moved = log_barrier_step(weights, rates, losses)
        expected = log_barrier_step_reference(weights, rates, losses)
        np.testing.assert_allclose(moved, expected, rtol=1e-8, atol=0)
        assert abs(moved.sum() - 1.0) < 1e-12
        assert (moved > 0.0).all()
        drawn = int(np.argmax(losses))
        assert moved[drawn] < weights[drawn]


def test_a_step_of_two_equal_bases_has_a_closed_form() -> None:
    """1/a = 2 + l - x and 1/(1-a) = 2 - x give a quadratic for a, with loss l of the first."""
    for loss in (0.1, 1.0, 50.0):
        moved = log_barrier_step(np.full(2, 0.5), np.ones(2), np.array([loss, 0.0]))
        # 1/a - 1/(1-a) = l, so l a^2 - (l + 2) a + 1 = 0.
        first = ((loss + 2.0) - math.sqrt((loss + 2.0) ** 2 - 4.0 * loss)) / (2.0 * loss)
        np.testing.assert_allclose(moved, [first, 1.0 - first], rtol=1e-11)


def test_a_step_minimises_loss_plus_divergence() -> None:
    """Mirror descent: <p', l> + the Bregman divergence of the log barrier is least over all p'."""
    weights = np.array([0.2, 0.5, 0.3])
    rates = np.array([0.5, 0.1, 0.3])
    losses = np.array([0.0, 4.0, 0.0])

    def objective(point: FloatArray) -> float:
        ratio = point / weights
        return float((point * losses + (ratio - 1.0 - np.log(ratio)) / rates).sum())

    found = minimize(
        objective,
        weights,
        bounds=[(1e-6, 1.0)] * 3,
        constraints=LinearConstraint(np.ones((1, 3)), 1.0, 1.0),
        options={"ftol": 1e-14, "maxiter": 500},
    )
    moved = log_barrier_step(weights, rates, losses)
    np.testing.assert_allclose(moved, found.x, atol=1e-5)
    assert objective(moved) <= found.fun + 1e-12


def test_equal_losses_move_nothing() -> None:
    weights = np.array([0.2, 0.3, 0.5])
    moved = log_barrier_step(weights, np.array([0.1, 0.2, 0.3]), np.full(3, 7.0))
    np.testing.assert_array_equal(moved, weights)


def test_steps_equal_their_twin_and_leave_the_state_alone() -> None:
    rng = np.random.default_rng(3)
    state = CorralState.start(4, rate=0.2)
    losses = rng.random(400)
    base = rng.choice(4, size=400, p=[0.1, 0.2, 0.3, 0.4]).astype(np.int8)
    chance = np.array([0.1, 0.2, 0.3, 0.4])[base]
    moved = corral_steps(state, losses, base=base, base_propensity=chance, gamma=GAMMA, beta=BETA)
    expected = corral_steps_reference(
        state, losses, base=base, base_propensity=chance, gamma=GAMMA, beta=BETA
    )
    for name in ("weights", "rates", "thresholds"):
        np.testing.assert_allclose(getattr(moved, name), getattr(expected, name), rtol=1e-9)
    assert moved.steps == expected.steps == 400
    assert abs(moved.weights.sum() - 1.0) < 1e-12
    # Some weight has fallen below its threshold and some rate has grown.
    assert (moved.rates > 0.2).any()
    assert (state.rates == 0.2).all()
    assert (state.weights == 0.25).all()


def test_batching_changes_no_bit() -> None:
    rng = np.random.default_rng(4)
    losses = rng.random(90)
    base = rng.integers(0, 3, size=90).astype(np.int8)
    chance = rng.uniform(0.1, 1.0, size=90)
    whole = corral_steps(
        CorralState.start(3, rate=0.1),
        losses,
        base=base,
        base_propensity=chance,
        gamma=GAMMA,
        beta=BETA,
    )
    state = CorralState.start(3, rate=0.1)
    for start in range(0, 90, 7):
        part = slice(start, start + 7)
        state = corral_steps(
            state,
            losses[part],
            base=base[part],
            base_propensity=chance[part],
            gamma=GAMMA,
            beta=BETA,
        )
    for name in ("weights", "rates", "thresholds"):
        np.testing.assert_array_equal(getattr(state, name), getattr(whole, name))


def simulated(seed: int, *, means: list[float], slates: int, per_day: int) -> list[CorralState]:
    """States after each day of a bandit whose bases earn 0 or 1, by their means."""
    rng = np.random.default_rng(seed)
    states = [CorralState.start(len(means), rate=0.01)]
    for _ in range(slates // per_day):
        weights = states[-1].mixed(GAMMA)
        base = rng.choice(len(means), size=per_day, p=weights).astype(np.int8)
        losses = 1.0 - (rng.random(per_day) < np.array(means)[base]).astype(np.float64)
        states.append(
            corral_steps(
                states[-1],
                losses,
                base=base,
                base_propensity=weights[base],
                gamma=GAMMA,
                beta=BETA,
            )
        )
    return states


def test_weights_gather_on_the_better_base() -> None:
    """30 seeds: after 20,000 slates in days of 500, the mean weight of the better base of two.

    The error is that of the mean over seeds.
    """
    last = np.array(
        [
            simulated(seed, means=[0.4, 0.6], slates=20_000, per_day=500)[-1].mixed(GAMMA)
            for seed in range(30)
        ]
    )
    error = last[:, 1].std(ddof=1) / math.sqrt(len(last))
    assert last[:, 1].mean() - 4.0 * error > 0.9
    assert (last[:, 1] > 0.5).all()


def test_equal_bases_are_not_told_apart() -> None:
    """Neither of two equal bases is favoured: the mean weight is 1/2 within 4 errors."""
    last = np.array(
        [
            simulated(seed, means=[0.5, 0.5], slates=2_000, per_day=100)[-1].mixed(GAMMA)[0]
            for seed in range(60)
        ]
    )
    error = last.std(ddof=1) / math.sqrt(len(last))
    assert abs(last.mean() - 0.5) < 4.0 * error


def test_no_weight_falls_below_its_floor() -> None:
    for state in simulated(0, means=[0.0, 1.0, 0.0], slates=30_000, per_day=1000):
        mixed = state.mixed(GAMMA)
        assert mixed.min() >= GAMMA / 3
        assert abs(mixed.sum() - 1.0) < 1e-12
    assert mixed.min() < 2.0 * GAMMA / 3


def test_mixed_weights_are_a_law() -> None:
    np.testing.assert_allclose(mixed_weights(np.array([0.7, 0.3]), 0.1), [0.68, 0.32], rtol=1e-15)
