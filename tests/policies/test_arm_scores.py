import numpy as np
import pytest

from matinee_policies import arm_scores
from matinee_policies.arm_scores import ArmScores, upper_bounds_reference
from matinee_policies.arrays import Float32Array, FloatArray
from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.rounds import DisjointState, EpsilonDraws, play_disjoint


def solved(arms: int, d: int) -> DisjointState:
    """Regressions of arms that were each played some times, the last one never."""
    rng = np.random.default_rng(d)
    contexts = rng.normal(size=(40 * arms, d)).astype(np.float32)
    rewards = rng.normal(size=(40 * arms, arms - 1))
    prior = DisjointState.prior(arms=arms - 1, dimension=d)
    state, _ = play_disjoint(prior, contexts, rewards, EpsilonDraws(epsilon=1.0))
    return DisjointState(
        inverse=np.concatenate([state.inverse, np.eye(d)[None]]),
        theta=np.concatenate([state.theta, np.zeros((1, d))]),
        gram=np.concatenate([state.gram, np.zeros((1, d, d))]),
        moments=np.concatenate([state.moments, np.zeros((1, d))]),
        counts=np.append(state.counts, 0),
        rounds=state.rounds,
        l2=state.l2,
        refresh_every=state.refresh_every,
    )


def contexts_of(count: int, d: int) -> Float32Array:
    return np.random.default_rng(count).normal(size=(count, d)).astype(np.float32)


def forms_of_moduli(inverse: FloatArray, contexts: Float32Array) -> FloatArray:
    moduli = abs(contexts.astype(np.float64))
    forms: FloatArray = np.einsum("bi,kij,bj->bk", moduli, abs(inverse), moduli)
    return forms


@pytest.mark.parametrize("alpha", [0.0, 0.7])
@pytest.mark.parametrize(("arms", "d"), [(2, 1), (5, 16), (9, 21)])
def test_bounds_equal_their_readable_twin(arms: int, d: int, alpha: float) -> None:
    state, contexts = solved(arms, d), contexts_of(333, d)
    scores = ArmScores.of(state.inverse, state.theta)
    got = scores.upper_bounds(contexts, alpha=alpha)
    expected = upper_bounds_reference(state.inverse, state.theta, contexts, alpha=alpha)
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(scores.best_arms(contexts, alpha=alpha), got.argmax(axis=1))


@pytest.mark.parametrize("d", [1, 16, 21])
def test_single_precision_keeps_its_bound(d: int) -> None:
    state, contexts = solved(5, d), contexts_of(200, d)
    scores = ArmScores.of(state.inverse, state.theta, precision="float32")
    got = scores.upper_bounds(contexts, alpha=1.0).astype(np.float64)
    exact = upper_bounds_reference(state.inverse, state.theta, contexts, alpha=1.0)
    values = contexts @ state.theta.T
    unit = 2.0**-24
    form = (exact - values) ** 2
    form_error = (d * (d + 1) / 2 + 3) * unit * forms_of_moduli(state.inverse, contexts)
    # |sqrt(a) - sqrt(b)| = |a - b| / (sqrt(a) + sqrt(b)); the mean has d terms of three roundings.
    width_error = form_error / np.sqrt(form)
    value_error = (d + 3) * unit * (abs(contexts) @ abs(state.theta.T))
    assert (abs(got - exact) <= width_error + value_error + 4.0 * unit * abs(exact)).all()
    assert got.shape == (200, 5)
    assert scores.theta.dtype == np.float32


def test_blocks_give_the_same_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    state, contexts = solved(4, 7), contexts_of(50, 7)
    scores = ArmScores.of(state.inverse, state.theta)
    whole = scores.upper_bounds(contexts, alpha=0.3)
    best = scores.best_arms(contexts, alpha=0.3)
    monkeypatch.setattr(arm_scores, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(arm_scores, "_LEAST_ROWS", 8)
    np.testing.assert_allclose(
        scores.upper_bounds(contexts, alpha=0.3), whole, rtol=1e-12, atol=1e-13
    )
    np.testing.assert_array_equal(scores.best_arms(contexts, alpha=0.3), best)
    assert scores.upper_bounds(contexts[:0], alpha=0.3).shape == (0, 4)
    assert scores.best_arms(contexts[:0], alpha=0.3).shape == (0,)


def test_the_first_of_equal_arms_is_best() -> None:
    scores = ArmScores.of(np.tile(np.eye(2), (3, 1, 1)), np.zeros((3, 2)))
    assert scores.best_arms(np.ones((4, 2), np.float32), alpha=1.0).tolist() == [0] * 4


def test_what_does_not_fit_is_refused() -> None:
    inverse, theta = np.tile(np.eye(2), (3, 1, 1)), np.zeros((3, 2))
    scores = ArmScores.of(inverse, theta)
    for wrong in (np.ones((4, 3), np.float32), np.ones((4, 2)), np.ones(2, np.float32)):
        with pytest.raises(ContextError, match=r"contexts must be float32 \[B, 2\], got"):
            scores.best_arms(wrong, alpha=1.0)  # type: ignore[arg-type]
    for bad in (np.nan, np.inf):
        with pytest.raises(ContextError, match="contexts must be finite"):
            scores.upper_bounds(np.full((1, 2), bad, np.float32), alpha=1.0)
        with pytest.raises(ContextError, match="inverse and theta must be finite"):
            ArmScores.of(inverse, np.full((3, 2), bad))
    with pytest.raises(ContextError, match="inverse and theta must have shapes"):
        ArmScores.of(inverse[:2], theta)
    with pytest.raises(ConfigError, match="alpha must be >= 0, got -1"):
        scores.best_arms(np.ones((1, 2), np.float32), alpha=-1.0)
    with pytest.raises(ConfigError, match="precision must be 'float64' or 'float32'"):
        ArmScores.of(inverse, theta, precision="half")  # type: ignore[arg-type]
