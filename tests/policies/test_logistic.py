import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq, minimize

from matinee_policies import ContextError, OutcomeBatch
from matinee_policies.arrays import FloatArray
from matinee_policies.logistic import (
    REFRESH,
    LogisticState,
    logistic_learn,
    logistic_learn_reference,
    ordered_sigmoid,
    ordered_sigmoid_reference,
    posterior_draws,
    sigmoid,
)
from matinee_policies.testing_data import example_outcomes


def outcomes_of(X: FloatArray, rewards: FloatArray) -> OutcomeBatch:
    """One slate of one slot per row."""
    n = len(X)
    return OutcomeBatch(
        component="engagement",
        first=True,
        features=X[:, None, :].astype(np.float32),
        rewards=rewards[:, None].astype(np.float64),
        shown=np.ones((n, 1), dtype=np.bool_),
        propensities=np.ones((n, 1)),
        shards=np.zeros(n, dtype=np.uint8),
    )


def simulated(seed: int, *, rows: int, dimension: int) -> tuple[FloatArray, OutcomeBatch]:
    """Coefficients from the prior, and clicks that follow them."""
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=dimension)
    X = rng.normal(size=(rows, dimension)).astype(np.float32).astype(np.float64)
    clicks = rng.random(rows) < 1.0 / (1.0 + np.exp(-X @ theta))
    return theta, outcomes_of(X, clicks.astype(np.float64))


def full_map(outcomes: OutcomeBatch, *, l2: float) -> FloatArray:
    """Mode of the exact posterior of all rows, by scipy."""
    X = outcomes.features[outcomes.shown].astype(np.float64)
    r = outcomes.rewards[outcomes.shown]

    def loss(theta: FloatArray) -> tuple[float, FloatArray]:
        z = X @ theta
        value = 0.5 * l2 * theta @ theta + np.sum(np.logaddexp(0.0, z) - r * z)
        return float(value), l2 * theta + X.T @ (1.0 / (1.0 + np.exp(-z)) - r)

    def hessian(theta: FloatArray) -> FloatArray:
        p = 1.0 / (1.0 + np.exp(-X @ theta))
        return np.asarray(l2 * np.eye(X.shape[1]) + (X * (p * (1.0 - p))[:, None]).T @ X)

    start = np.zeros(X.shape[1])
    result = minimize(
        loss, start, jac=True, hess=hessian, method="trust-exact", options={"gtol": 1e-11}
    )
    return np.asarray(result.x)


def hessian_at(theta: FloatArray, outcomes: OutcomeBatch, *, l2: float) -> FloatArray:
    X = outcomes.features[outcomes.shown].astype(np.float64)
    p = 1.0 / (1.0 + np.exp(-X @ theta))
    return np.asarray(l2 * np.eye(X.shape[1]) + (X * (p * (1.0 - p))[:, None]).T @ X)


@pytest.mark.parametrize("curvature", [None, 0.25, 0.05])
@pytest.mark.parametrize("dimension", [1, 2, 7])
def test_it_equals_its_readable_twin(dimension: int, curvature: float | None) -> None:
    outcomes = example_outcomes(1, slates=120, dimension=dimension)
    prior = LogisticState.prior(dimension, l2=0.7)
    got = logistic_learn(prior, outcomes, curvature=curvature)
    expected = logistic_learn_reference(prior, outcomes, curvature=curvature)
    for name in ("theta", "inverse", "precision"):
        np.testing.assert_allclose(
            getattr(got, name), getattr(expected, name), rtol=1e-11, atol=1e-13
        )
    assert got.rows == expected.rows == outcomes.shown.sum()
    np.testing.assert_array_equal(got.inverse, got.inverse.T)


@pytest.mark.parametrize("reward", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("size", [0.1, 3.0, 300.0])
def test_one_row_gives_the_exact_mode_and_curvature(size: float, reward: float) -> None:
    rng = np.random.default_rng(4)
    outcomes = outcomes_of(size * rng.normal(size=(1, 5)), np.array([reward]))
    state = logistic_learn(LogisticState.prior(5, l2=2.0), outcomes)
    # The gradient of the posterior is 0 along x alone, and theta is a multiple of x.
    x = outcomes.features[0, 0].astype(np.float64)
    score = brentq(
        lambda z: z - (x @ x) / 2.0 * (reward - 1.0 / (1.0 + math.exp(-z))), -40, 40, xtol=1e-14
    )
    share = score / (x @ x)
    np.testing.assert_allclose(state.theta, share * x, rtol=1e-12, atol=1e-15)
    if size < 10.0:
        np.testing.assert_allclose(state.theta, full_map(outcomes, l2=2.0), rtol=1e-7)
    hessian = hessian_at(state.theta, outcomes, l2=2.0)
    np.testing.assert_allclose(state.precision, hessian, rtol=1e-9)
    np.testing.assert_allclose(state.inverse, np.linalg.inv(hessian), rtol=1e-8, atol=1e-12)


def test_the_mode_is_close_to_that_of_all_rows_together() -> None:
    """In 30 worlds of 600 rows: by 0.4 standard deviations in the mean, by 2 at worst.

    Standard deviations are those of the exact posterior's Hessian. Its own are 5 % smaller in the
    mean, and 30 % at worst, where predictions are near 0 or 1.
    """
    distances, ratios = [], []
    for seed in range(30):
        _, outcomes = simulated(seed, rows=600, dimension=4)
        state = logistic_learn(LogisticState.prior(4, l2=1.0), outcomes)
        mode = full_map(outcomes, l2=1.0)
        deviation = np.sqrt(np.diag(np.linalg.inv(hessian_at(mode, outcomes, l2=1.0))))
        distances.append(np.abs(state.theta - mode) / deviation)
        ratios.append(np.sqrt(np.diag(state.inverse)) / deviation)
    assert np.mean(distances) < 0.4
    assert np.max(distances) < 2.0
    assert 0.9 < np.mean(ratios) < 1.0
    assert 0.65 < np.min(ratios) < np.max(ratios) < 1.1


@pytest.mark.parametrize(("curvature", "excess"), [(None, 0.002), (0.1, 0.004)])
def test_predictions_are_nearly_as_good_as_those_of_the_mode_of_all_rows(
    curvature: float | None, excess: float
) -> None:
    """Expected log loss on new rows, in 30 worlds."""
    losses = []
    rng = np.random.default_rng(77)
    for seed in range(30):
        theta, outcomes = simulated(seed, rows=600, dimension=4)
        state = logistic_learn(LogisticState.prior(4, l2=1.0), outcomes, curvature=curvature)
        X = rng.normal(size=(4000, 4))
        truth = 1.0 / (1.0 + np.exp(-X @ theta))
        pair = [
            float(np.mean(np.logaddexp(0.0, X @ some) - truth * (X @ some)))
            for some in (state.theta, full_map(outcomes, l2=1.0))
        ]
        losses.append(pair[0] - pair[1])
    error = np.std(losses, ddof=1) / np.sqrt(len(losses))
    assert np.mean(losses) + 4.0 * error < excess


def test_the_law_covers_the_truth() -> None:
    """Nominal 95 % intervals hold it in 89 to 96 %: they are a little narrow.

    200 worlds with coefficients from the prior; the share has a standard error of 0.8 to 1 %.
    """
    inside = []
    for seed in range(200):
        theta, outcomes = simulated(1000 + seed, rows=400, dimension=4)
        state = logistic_learn(LogisticState.prior(4, l2=1.0), outcomes)
        inside.append(np.abs(theta - state.theta) <= 1.96 * np.sqrt(np.diag(state.inverse)))
    share = float(np.mean(inside))
    assert 0.89 < share < 0.96


def test_predictions_are_calibrated() -> None:
    """Of new rows in five classes of prediction, as many click as predicted, to 0.03."""
    theta, outcomes = simulated(5, rows=20_000, dimension=4)
    state = logistic_learn(LogisticState.prior(4, l2=1.0), outcomes)
    X = np.random.default_rng(6).normal(size=(20_000, 4))
    truth, predicted = sigmoid(X @ theta), sigmoid(X @ state.theta)
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        here = (predicted >= low) & (predicted < low + 0.2)
        assert abs(float(truth[here].mean() - predicted[here].mean())) < 0.03


def test_batches_leave_no_trace_across_a_refresh() -> None:
    _, outcomes = simulated(3, rows=REFRESH + 500, dimension=6)
    for curvature in (None, 0.1):
        whole = logistic_learn(LogisticState.prior(6, l2=1.0), outcomes, curvature=curvature)
        for cuts in ([1, 4095], [4096], [100, 4097, 4400]):
            state = LogisticState.prior(6, l2=1.0)
            for rows in np.split(np.arange(len(outcomes)), cuts):
                state = logistic_learn(state, outcomes.rows(rows), curvature=curvature)
            assert state.rows == whole.rows
            for name in ("theta", "inverse", "precision"):
                np.testing.assert_array_equal(getattr(state, name), getattr(whole, name))


def test_the_inverse_stays_that_of_the_precision() -> None:
    """Between refreshes to 1e-10; at a refresh anew, whatever it had become."""
    _, outcomes = simulated(8, rows=3 * REFRESH + 4000, dimension=12)
    end = logistic_learn(LogisticState.prior(12, l2=1e-3), outcomes)
    np.testing.assert_allclose(end.inverse @ end.precision, np.eye(12), atol=1e-10)
    start = LogisticState.prior(12, l2=1e-3)
    spoiled = replace(start, inverse=start.inverse * 1.0001)
    for state in (start, spoiled):
        after = logistic_learn(state, outcomes.rows(np.arange(REFRESH)))
        np.testing.assert_allclose(after.inverse, np.linalg.inv(after.precision), rtol=1e-12)
        np.testing.assert_array_equal(after.inverse, after.inverse.T)


def test_zero_rows_leave_the_prior() -> None:
    for slates in (0, 20):
        outcomes = example_outcomes(1, slates=slates, dimension=5)
        outcomes.shown[:] = False
        outcomes.features[:] = np.nan
        outcomes.rewards[:] = 7.0
        state = logistic_learn(LogisticState.prior(5, l2=4.0), outcomes)
        np.testing.assert_array_equal(state.theta, np.zeros(5))
        np.testing.assert_array_equal(state.inverse, np.eye(5) / 4.0)
        np.testing.assert_array_equal(state.precision, np.eye(5) * 4.0)
        assert state.rows == 0


def test_rows_of_zeros_teach_nothing() -> None:
    prior = LogisticState.prior(3, l2=2.0)
    state = logistic_learn(prior, outcomes_of(np.zeros((4, 3)), np.ones(4)))
    np.testing.assert_array_equal(state.theta, prior.theta)
    np.testing.assert_array_equal(state.inverse, prior.inverse)
    assert state.rows == 4


def test_states_are_not_changed_in_place() -> None:
    prior = LogisticState.prior(5, l2=2.0)
    logistic_learn(prior, example_outcomes(1, slates=30, dimension=5))
    np.testing.assert_array_equal(prior.theta, np.zeros(5))
    np.testing.assert_array_equal(prior.inverse, np.eye(5) / 2.0)
    np.testing.assert_array_equal(prior.precision, np.eye(5) * 2.0)


def test_draws_have_the_mean_and_covariance_of_the_law() -> None:
    """Of 200,000 draws, within five standard errors of each entry."""
    _, outcomes = simulated(2, rows=50, dimension=3)
    state = logistic_learn(LogisticState.prior(3, l2=1.0), outcomes)
    n = 200_000
    g = np.random.default_rng(9).normal(size=(n, 3))
    thetas = posterior_draws(state, scale=0.5, draws=g)
    covariance = 0.25 * np.linalg.inv(state.precision)
    spread = np.diag(covariance)
    assert (np.abs(thetas.mean(axis=0) - state.theta) < 5.0 * np.sqrt(spread / n)).all()
    error = np.sqrt((np.outer(spread, spread) + covariance**2) / n)
    assert (np.abs(np.cov(thetas.T) - covariance) < 5.0 * error).all()
    still = posterior_draws(state, scale=0.0, draws=g[:2])
    np.testing.assert_array_equal(still, np.tile(state.theta, (2, 1)))


def test_sigmoid_of_any_number() -> None:
    values = np.array([[0.0, 3.0, -3.0], [1e308, -np.inf, np.nan]])
    kept = values.copy()
    s3 = 1.0 / (1.0 + math.exp(-3.0))
    expected = [[0.5, s3, 1.0 - s3], [1.0, 0.0, np.nan]]
    np.testing.assert_allclose(sigmoid(values), expected, rtol=1e-14)
    np.testing.assert_array_equal(values, kept)
    np.testing.assert_allclose(sigmoid(values.T), np.array(expected).T, rtol=1e-14)


def test_bad_outcomes_are_refused() -> None:
    outcomes = example_outcomes(1, slates=30, dimension=5)
    prior = LogisticState.prior(5, l2=1.0)
    outcomes.shown[:] = True
    for bad in (1.25, -0.5):
        rewards = outcomes.rewards.copy()
        rewards[4, 1] = bad
        with pytest.raises(ContextError, match=rf"must be in \[0, 1\], got {bad}"):
            logistic_learn(prior, replace(outcomes, rewards=rewards))
    with pytest.raises(ContextError, match="features must have dimension 5, got 2"):
        logistic_learn(prior, example_outcomes(1, slates=3, dimension=2))
    huge = replace(outcomes, features=outcomes.features * np.float32(1e30))
    with pytest.raises(ContextError, match="features must be of moderate size, got values up to"):
        logistic_learn(prior, huge)
    outcomes.features[7, 1, 2] = np.inf
    with pytest.raises(ContextError, match="features of shown slots must be finite, got inf"):
        logistic_learn(prior, outcomes)


def test_the_ordered_sigmoid_is_the_sigmoid_with_longer_tails() -> None:
    middle = np.linspace(-700.0, 20.0, 5001)
    np.testing.assert_array_equal(ordered_sigmoid(middle), sigmoid(middle))
    steps = np.concatenate([np.linspace(15.0, 45.0, 301), np.logspace(1.7, 300, 2000)])
    for values in (steps, -steps[::-1]):
        got = ordered_sigmoid(values)
        assert (np.diff(got) > 0.0).all()
        assert ((got > 0.0) & (got < 1.0)).all()
        np.testing.assert_allclose(got, ordered_sigmoid_reference(values), rtol=1e-12, atol=1e-16)
        assert np.abs(got - sigmoid(values)).max() < 2.1e-9
    assert np.isnan(ordered_sigmoid(np.array([np.inf, -np.inf, np.nan]))).all()
    grid = np.array([[1.0, 30.0], [-3.0, 40.0]])
    np.testing.assert_array_equal(ordered_sigmoid(grid.T), ordered_sigmoid(grid).T)
