import numpy as np
import pytest
from scipy.stats import chisquare

from matinee_policies.errors import ContextError
from matinee_simulator.parameters import Parameters
from matinee_simulator.population import Population, history_lengths, smoothed
from matinee_simulator.world import World

N = 20_000
FIELDS = (
    "taste",
    "rating_bias",
    "watch_bias",
    "leave_frailty",
    "return_frailty",
    "arrival_day",
    "is_new",
    "history_length",
)


@pytest.fixture(scope="module")
def population(world: World) -> Population:
    return Population.draw(world, np.arange(N), seed=9, parameters=Parameters())


def test_a_user_is_a_function_of_seed_and_number(world: World, population: Population) -> None:
    chosen = np.array([19_000, 3, 777])
    few = Population.draw(world, chosen, seed=9, parameters=Parameters())
    other = Population.draw(world, chosen, seed=10, parameters=Parameters())
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(few, name), getattr(population, name)[chosen])
    assert not np.array_equal(few.taste, other.taste)


def test_bootstrap_keeps_mean_and_covariance(world: World, population: Population) -> None:
    pool = world.user_factors.astype(np.float64) / world.relevance_sd
    drawn = population.taste.astype(np.float64)
    sd = pool.std(axis=0)
    assert np.all(np.abs(drawn.mean(axis=0) - pool.mean(axis=0)) < 4 * sd / np.sqrt(N))
    centred = drawn - pool.mean(axis=0)
    products = centred[:, :, None] * centred[:, None, :]
    error = 4 * products.std(axis=0) / np.sqrt(N)
    assert np.all(np.abs(products.mean(axis=0) - np.cov(pool.T, bias=True)) < error)


def test_smoothing_shares_the_variance() -> None:
    rng = np.random.default_rng(1)
    pool = rng.normal(size=(50, 3)).astype(np.float32)
    source = np.arange(50, dtype=np.int32)
    noise = rng.normal(size=(50, 3))
    np.testing.assert_allclose(smoothed(pool, source, noise, share=0.0), pool, atol=1e-6)
    fresh = smoothed(pool, source, noise, share=1.0) - pool.mean(axis=0)
    root = np.linalg.lstsq(noise, fresh, rcond=None)[0]
    np.testing.assert_allclose(root.T @ root, np.cov(pool.T, bias=True), atol=1e-5)


def test_traits_have_their_spread(population: Population) -> None:
    parameters = population.parameters
    for trait, sd in (
        (population.watch_bias, parameters.watch_bias_sd),
        (population.leave_frailty, parameters.leave_frailty_sd),
        (population.return_frailty, parameters.return_frailty_sd),
    ):
        assert abs(trait.mean()) < 4 * sd / np.sqrt(N)
        assert abs(trait.std() - sd) < 4 * sd / np.sqrt(2 * N)
    traits = np.corrcoef([population.watch_bias, population.leave_frailty, population.taste[:, 0]])
    assert np.abs(traits[np.triu_indices(3, 1)]).max() < 4 / np.sqrt(N)


def test_arrivals_are_uniform_and_new_users_a_share(population: Population) -> None:
    arrivals = np.bincount(population.arrival_day, minlength=7)
    assert arrivals.size == 7
    assert chisquare(arrivals).pvalue > 1e-4
    assert abs(population.is_new.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / N)
    assert np.array_equal(population.history_length == 0, population.is_new)
    # Who is new says nothing about when they come or what they like.
    told = np.stack([population.is_new, population.arrival_day, population.taste[:, 0]]).astype(
        float
    )
    assert np.abs(np.corrcoef(told)[np.triu_indices(3, 1)]).max() < 4 / np.sqrt(N)


def test_history_lengths_follow_the_real_counts(world: World) -> None:
    parameters = Parameters(history_mean=30.0, history_least=4, history_most=120)
    lengths = history_lengths(world, parameters)
    assert lengths.mean() == pytest.approx(30.0, abs=0.5)
    assert lengths.min() >= 4
    assert lengths.max() <= 120
    assert np.all(np.diff(lengths[np.argsort(world.user_counts)]) >= 0)
    assert history_lengths(world, Parameters(history_most=100_000)).max() <= world.n_items // 2


def test_impossible_user_numbers_are_refused(world: World) -> None:
    with pytest.raises(ContextError, match="users must be >= 0, got -5"):
        Population.draw(world, np.array([2, -5]), seed=1, parameters=Parameters())
    with pytest.raises(ContextError, match="users must be int64"):
        Population.draw(world, np.array([2], np.int32), seed=1, parameters=Parameters())
