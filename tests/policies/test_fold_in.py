from typing import Any

import numpy as np
import pytest

from matinee_policies.arrays import Float32Array, IndexArray
from matinee_policies.candidates.biased_als import BiasedALSConfig, fit_biased_als
from matinee_policies.candidates.factor_model import FactorModel, FoldInRule, ObservationWeights
from matinee_policies.candidates.fold_in import FoldInStatistics, fold_in_reference
from matinee_policies.candidates.implicit_als import ImplicitALSConfig, fit_implicit_als
from matinee_policies.candidates.rating_model import rating_model
from matinee_policies.candidates.training_users import fold_in_training_users
from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.interactions import Interactions

ITEMS = 30
UNITS = 12

WEIGHTS = {
    "explicit": ObservationWeights(gram_constant=1.0, pull_slope=1.0),
    "implicit": ObservationWeights(gram_slope=0.7, pull_constant=1.0, pull_slope=0.7),
    "projection": ObservationWeights(pull_slope=1.0),
}


def model(weights: str, *, f: int = 4, seed: int = 0) -> FactorModel:
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(f, f))
    base = half @ half.T
    return FactorModel(
        kind="svd",
        feedback="explicit" if weights == "explicit" else "implicit",
        item_factors=rng.normal(size=(ITEMS, f)).astype(np.float32),
        item_offset=rng.normal(3.0, 0.3, size=ITEMS).astype(np.float32),
        prior=rng.normal(size=f).astype(np.float32),
        rule=FoldInRule(
            base=(base + base.T) / 2.0,
            ridge=rng.uniform(0.5, 1.0, size=f),
            ridge_per_observation=rng.uniform(0.0, 0.2, size=f),
            weights=WEIGHTS[weights],
        ),
    )


def observations(n: int = 200, seed: int = 1) -> tuple[IndexArray, IndexArray, Float32Array]:
    """Of all units but the last two."""
    rng = np.random.default_rng(seed)
    return (
        rng.integers(0, UNITS - 2, size=n).astype(np.int32),
        rng.integers(0, ITEMS, size=n).astype(np.int32),
        rng.uniform(0.5, 5.0, size=n).astype(np.float32),
    )


def everyone() -> IndexArray:
    return np.arange(UNITS, dtype=np.int32)


def grouped_ratings(seed: int = 0) -> Interactions:
    """120 users of four groups who mostly rate, and like, the films of their own group."""
    rng = np.random.default_rng(seed)
    own = np.arange(120)[:, None] % 4 == np.arange(100) % 4
    rated = rng.random(own.shape) < np.where(own, 0.5, 0.1)
    users, items = np.nonzero(rated)
    stars = np.clip(np.where(own, 4.0, 2.5)[rated] + rng.normal(size=users.size), 0.5, 5.0)
    return Interactions.from_triplets(
        *(users, items, stars, np.arange(users.size)),
        n_users=120,
        n_items=100,
        rating_range=(0.5, 5.0),
    )


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("f", [1, 4, 17])
def test_vectors_solve_the_normal_equations(weights: str, f: int) -> None:
    m = model(weights, f=f)
    units, items, values = observations()
    statistics = FoldInStatistics(m, UNITS)
    statistics.add(units, items, values)
    vectors = statistics.solve(everyone())
    for unit in everyone():
        own = units == unit
        expected = fold_in_reference(m, items[own], values[own])
        np.testing.assert_allclose(vectors[unit], expected, rtol=1e-5, atol=1e-6)


def test_explicit_vectors_minimise_the_stated_sum() -> None:
    m = model("explicit")
    _, items, values = observations(9)
    statistics = FoldInStatistics(m, 1)
    statistics.add(np.zeros(9, dtype=np.int32), items, values)
    best = statistics.solve(np.zeros(1, dtype=np.int32))[0].astype(np.float64)
    ridge = m.rule.ridge + 9 * m.rule.ridge_per_observation

    def cost(p: Any) -> float:
        left = values - m.item_offset[items] - m.item_factors[items] @ p
        pull = p - m.prior
        return float((left**2).sum() + pull @ (ridge * pull) + p @ m.rule.base @ p)

    rng = np.random.default_rng(0)
    for _ in range(20):
        step = rng.normal(size=4)
        assert cost(best) < cost(best + 0.01 * step)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_vectors_do_not_depend_on_how_observations_or_units_are_batched(weights: str) -> None:
    m = model(weights)
    units, items, values = observations()
    at_once = FoldInStatistics(m, UNITS)
    at_once.add(units, items, values)
    one_by_one = FoldInStatistics(m, UNITS)
    for t in range(units.size):
        one_by_one.add(units[t : t + 1], items[t : t + 1], values[t : t + 1])
    by_unit = FoldInStatistics(m, UNITS)
    order = np.argsort(units, kind="stable")
    by_unit.add(units[order], items[order], values[order])
    together = at_once.solve(everyone())
    for other in (one_by_one, by_unit):
        assert other.gram.tobytes() == at_once.gram.tobytes()
        assert other.pull.tobytes() == at_once.pull.tobytes()
    backwards = at_once.solve(everyone()[::-1])
    assert backwards[::-1].tobytes() == together.tobytes()
    for unit in everyone():
        assert at_once.solve(everyone()[unit : unit + 1]).tobytes() == together[unit].tobytes()


@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_unit_without_history_has_exactly_the_prior(weights: str) -> None:
    m = model(weights)
    statistics = FoldInStatistics(m, UNITS)
    statistics.add(*observations())
    vectors = statistics.solve(everyone())
    assert vectors[-2:].tobytes() == np.tile(m.prior, (2, 1)).tobytes()
    assert (statistics.counts[-2:] == 0).all()
    assert statistics.solve(np.empty(0, dtype=np.int32)).shape == (0, 4)


def test_a_long_ridge_keeps_units_at_the_prior() -> None:
    m = model("explicit")
    stiff = FoldInRule(
        base=np.zeros((4, 4)),
        ridge=np.full(4, 1e9),
        ridge_per_observation=np.zeros(4),
        weights=m.rule.weights,
    )
    statistics = FoldInStatistics(
        FactorModel(
            kind=m.kind,
            feedback=m.feedback,
            item_factors=m.item_factors,
            item_offset=m.item_offset,
            prior=m.prior,
            rule=stiff,
        ),
        UNITS,
    )
    statistics.add(*observations())
    np.testing.assert_allclose(
        statistics.solve(everyone()), np.tile(m.prior, (UNITS, 1)), atol=1e-6
    )


def test_memory_is_as_stated() -> None:
    assert FoldInStatistics(model("explicit", f=17), 10).nbytes == 10 * 8 * (17 * 18 // 2 + 18)
    assert FoldInStatistics(model("projection", f=17), 10).nbytes == 10 * 8 * 18


@pytest.mark.parametrize(
    ("units", "items", "values", "message"),
    [
        ([UNITS], [0], [1.0], f"units must be within 0 and {UNITS - 1}, got {UNITS}"),
        ([-1], [0], [1.0], "units must be within 0"),
        ([0], [ITEMS], [1.0], f"items must be within 0 and {ITEMS - 1}, got {ITEMS}"),
        ([0], [-1], [1.0], "items must be within 0"),
        ([0, 1], [0], [1.0, 1.0], "values must be float32 of the shape"),
        ([0, 1], [0, 1], [1.0], "values must be float32 of the shape"),
        ([0, 1], [0, 1], [1.0, np.nan], "values must be finite, got nan"),
        ([0, 1], [0, 1], [1.0, np.inf], "values must be finite, got inf"),
        ([0, 1], [0, 1], [1.0, 0.0], "strengths must be > 0, got 0.0"),
    ],
)
def test_bad_observations_are_refused_before_any_is_added(
    units: list[int], items: list[int], values: list[float], message: str
) -> None:
    statistics = FoldInStatistics(model("implicit"), UNITS)
    with pytest.raises(ContextError, match=message):
        statistics.add(
            np.array(units, dtype=np.int32),
            np.array(items, dtype=np.int32),
            np.array(values, dtype=np.float32),
        )
    assert not statistics.counts.any()
    assert not statistics.gram.any()
    assert not statistics.pull.any()


def test_rows_of_another_type_or_shape_are_refused() -> None:
    statistics = FoldInStatistics(model("explicit"), UNITS)
    with pytest.raises(ContextError, match="units must be int32 of one dimension, got int64"):
        statistics.solve(np.arange(UNITS))  # type: ignore[arg-type]
    with pytest.raises(ContextError, match="with 2"):
        statistics.solve(np.zeros((2, 2), dtype=np.int32))
    with pytest.raises(ConfigError, match="n_units must be >= 0, got -1"):
        FoldInStatistics(model("explicit"), -1)


def test_negative_stars_are_taken_by_explicit_feedback() -> None:
    statistics = FoldInStatistics(model("explicit"), 1)
    zero = np.zeros(1, dtype=np.int32)
    statistics.add(zero, zero, np.array([-1.0], dtype=np.float32))
    assert statistics.counts.tolist() == [1]


def test_training_users_of_the_biased_model_get_their_fitted_vectors() -> None:
    matrix = grouped_ratings().matrix
    config = BiasedALSConfig(factors=4)
    fitted = fit_biased_als(matrix, config, seed=0)
    folded = fold_in_training_users(rating_model(fitted, config), matrix)
    expected = np.column_stack([fitted.user_bias, fitted.user_factors])
    # What is left is how far the last of the centring steps still moved users.
    assert np.abs(folded - expected).max() < 2e-4 * expected.std(axis=0).max()


def test_training_users_of_implicit_als_get_the_equations_of_the_paper() -> None:
    interactions = grouped_ratings()
    m = fit_implicit_als(interactions, ImplicitALSConfig(factors=5, ridge=2.0), seed=0)
    dense = interactions.matrix.toarray().astype(np.float64)
    Y = m.item_factors.astype(np.float64)
    folded = fold_in_training_users(m, interactions.matrix)
    for user in range(0, 120, 10):
        C = np.diag(1.0 + dense[user])
        liked = (dense[user] > 0).astype(np.float64)
        # Eq. 4 of Hu, Koren and Volinsky, with the ridge drawing towards the mean user.
        expected = np.linalg.solve(Y.T @ C @ Y + 2.0 * np.eye(5), Y.T @ C @ liked + 2.0 * m.prior)
        np.testing.assert_allclose(folded[user], expected, rtol=1e-4, atol=1e-5)
