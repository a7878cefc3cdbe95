import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from matinee_policies.arrays import FloatArray
from matinee_policies.candidates.implicit_als import ImplicitALSConfig, fit_implicit_als
from matinee_policies.candidates.training_users import fold_in_training_users
from matinee_policies.errors import ConfigError, ContextError, MatineeError
from matinee_policies.interactions import Interactions

CONFIG = ImplicitALSConfig(factors=4, iterations=30, ridge=2.0, confidence_slope=0.8)


def plays(seed: int = 0, *, low: float = 0.5) -> Interactions:
    """60 users of three groups who play the 45 items of their own group more often."""
    rng = np.random.default_rng(seed)
    own = np.arange(60)[:, None] % 3 == np.arange(45) % 3
    users, items = np.nonzero(rng.random(own.shape) < np.where(own, 0.5, 0.1))
    return Interactions.from_triplets(
        *(users, items, rng.uniform(low, 5.0, size=users.size), np.arange(users.size)),
        n_users=60,
        n_items=45,
        rating_range=(low, 5.0),
    )


def least_objective(strength: FloatArray, config: ImplicitALSConfig) -> float:
    """Eq. 3 of Hu, Koren and Volinsky after 300 dense alternating steps from another start."""
    C, liked = 1.0 + config.confidence_slope * strength, (strength > 0).astype(np.float64)
    X = np.zeros((len(strength), config.factors))
    Y = np.random.default_rng(9).normal(scale=0.1, size=(strength.shape[1], config.factors))
    ridge = config.ridge * np.eye(config.factors)
    for _ in range(300):
        for u in range(len(X)):
            X[u] = np.linalg.solve((Y.T * C[u]) @ Y + ridge, Y.T @ (C[u] * liked[u]))
        for i in range(len(Y)):
            Y[i] = np.linalg.solve((X.T * C[:, i]) @ X + ridge, X.T @ (C[:, i] * liked[:, i]))
    return objective(strength, X, Y, config)


def objective(strength: FloatArray, X: Any, Y: Any, config: ImplicitALSConfig) -> float:
    C, liked = 1.0 + config.confidence_slope * strength, (strength > 0).astype(np.float64)
    fit = float((C * (liked - X @ Y.T) ** 2).sum())
    return fit + config.ridge * float((X**2).sum() + (Y**2).sum())


def test_the_fit_reaches_the_least_objective_of_the_paper() -> None:
    interactions = plays()
    strength = interactions.matrix.toarray().astype(np.float64)
    model = fit_implicit_als(interactions, CONFIG, seed=0)
    Y = model.item_factors.astype(np.float64)
    C = 1.0 + CONFIG.confidence_slope * strength
    X = np.array(
        [
            np.linalg.solve((Y.T * c) @ Y + CONFIG.ridge * np.eye(4), Y.T @ (c * (row > 0)))
            for c, row in zip(C, strength, strict=True)
        ]
    )
    reached, least = objective(strength, X, Y, CONFIG), least_objective(strength, CONFIG)
    assert reached < 1.005 * least
    assert reached < 0.8 * objective(strength, 0.0 * X, 0.0 * Y, CONFIG)


def test_the_prior_is_the_mean_user_and_scores_centre_on_played_pairs() -> None:
    interactions = plays()
    model = fit_implicit_als(interactions, CONFIG, seed=0)
    matrix = interactions.matrix
    vectors = fold_in_training_users(model, matrix)
    # Drawing each user a little towards the mean leaves the mean nearly where it is.
    np.testing.assert_allclose(vectors.mean(axis=0), model.prior, rtol=0.1, atol=0.02)
    raw = (vectors[interactions.user_rows()] * model.item_factors[matrix.indices]).sum(axis=1)
    assert model.score_mean == pytest.approx(raw.mean(), rel=1e-5)
    assert model.score_scale == pytest.approx(raw.std(), rel=1e-4)


def test_the_fit_follows_from_the_seed_and_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    first, again, other = (fit_implicit_als(plays(), CONFIG, seed=s) for s in (3, 3, 4))
    assert first.version == again.version
    assert first.version != other.version
    assert capfd.readouterr() == ("", "")


def test_thread_limits_end_with_the_fit() -> None:
    before = [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()]
    fit_implicit_als(plays(), CONFIG, seed=0)
    after = [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()]
    assert set(before) <= set(after)


def test_items_and_users_without_plays_stay_finite_and_modest() -> None:
    interactions = Interactions.from_triplets(
        *(np.array([0, 0, 1]), np.array([0, 1, 0]), np.ones(3), np.arange(3)),
        n_users=3,
        n_items=4,
        rating_range=(0.5, 5.0),
    )
    model = fit_implicit_als(interactions, ImplicitALSConfig(factors=2, ridge=0.1), seed=0)
    assert np.abs(model.item_factors[2:]).max() < 0.1 * np.abs(model.item_factors[:2]).max()
    vectors = fold_in_training_users(model, interactions.matrix)
    assert vectors[2].tobytes() == model.prior.tobytes()


def test_users_without_plays_do_not_count_in_the_prior() -> None:
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((30, 20)) < 0.4)
    assert np.unique(users).size == 30
    strengths = rng.uniform(0.5, 5.0, size=users.size)
    model = fit_implicit_als(
        Interactions.from_triplets(
            *(2 * users, items, strengths, np.arange(users.size)),
            n_users=60,
            n_items=20,
            rating_range=(0.5, 5.0),
        ),
        CONFIG,
        seed=0,
    )
    Y = model.item_factors.astype(np.float64)
    vectors = np.zeros((30, 4))
    for user in range(30):
        own = users == user
        c = np.ones(20)
        c[items[own]] += CONFIG.confidence_slope * strengths[own]
        vectors[user] = np.linalg.solve(
            (Y.T * c) @ Y + CONFIG.ridge * np.eye(4), Y.T @ np.where(c > 1.0, c, 0.0)
        )
    np.testing.assert_allclose(model.prior, vectors.mean(axis=0), rtol=1e-4)


def test_strengths_of_0_are_refused() -> None:
    interactions = Interactions.from_triplets(
        *(np.array([0, 1]), np.array([0, 1]), np.array([0.0, 2.0]), np.arange(2)),
        n_users=2,
        n_items=2,
        rating_range=(0.0, 5.0),
    )
    with pytest.raises(ContextError, match=r"strengths must be > 0, got 0\.0"):
        fit_implicit_als(interactions, CONFIG, seed=0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"factors": 0}, "factors must be >= 1, got 0"),
        ({"iterations": 0}, "iterations must be >= 1, got 0"),
        ({"ridge": 0.0}, "ridge must be > 0, got 0.0"),
        ({"confidence_slope": 0.0}, "confidence_slope must be > 0, got 0.0"),
        ({"alpha": 1.0}, "ImplicitALSConfig has no setting 'alpha'"),
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ImplicitALSConfig.from_json(setting)


def test_a_library_that_cannot_be_loaded_is_an_error_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "implicit.cpu.als", None)
    with pytest.raises(MatineeError, match=r"implicit.*libgomp1"):
        fit_implicit_als(plays(), CONFIG, seed=0)


def test_the_library_is_loaded_by_a_fit_alone() -> None:
    program = (
        "import sys, matinee_policies.candidates.registry\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'implicit']"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
