"""Predicted effective sample sizes against closed forms and real policies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee_platform.analysis.logged_sample import LoggedSample
from matinee_platform.analysis.overlap import (
    effective_share,
    overlap_of_weights,
    predict_overlap,
)
from matinee_policies.errors import ContextError
from matinee_policies.features import UnitStateBatch
from matinee_policies.policy import Policy
from matinee_policies.records import ContextBatch
from matinee_policies.score_order import ScoreOrder, ScoreOrderConfig
from matinee_policies.uniform import Uniform, UniformConfig

N, K, L = 40_000, 5, 2


def log_of(policy: Policy, *, n: int = N, seed: int = 0) -> LoggedSample:
    """A log in which `policy` showed 2 of 5 candidates to `n` units."""
    rng = np.random.default_rng(seed)
    candidates = np.tile(np.arange(K, dtype=np.int32), (n, 1))
    contexts = ContextBatch(
        candidates=candidates,
        features=np.zeros((n, K, 1), dtype=np.float32),
        scores=rng.random((n, K), dtype=np.float32),
        embeddings=np.eye(K, dtype=np.float32),
    )
    keys = rng.integers(0, 2**63, n).astype(np.uint64)
    slates = policy.decide(contexts, slots=L, keys=keys)
    return LoggedSample(
        arm="logging",
        logged=n,
        ids=keys,
        unit=keys,
        day=np.zeros(n, dtype=np.int16),
        page=np.zeros(n, dtype=np.int16),
        state=UnitStateBatch(
            genre_history=np.zeros((n, 1), dtype=np.float32),
            genre_exposure=np.zeros((n, 1), dtype=np.float32),
            last_watched=np.full(n, -1, dtype=np.int32),
            activity=np.zeros(n, dtype=np.float32),
            days_since_visit=np.zeros(n, dtype=np.float32),
        ),
        contexts=contexts,
        positions=slates.positions,
        propensities=slates.propensities,
    )


def greedy() -> Policy:
    return ScoreOrder(ScoreOrderConfig())


def uniform() -> Policy:
    return Uniform(UniformConfig())


def test_a_policy_on_its_own_log_keeps_all_of_it() -> None:
    for policy in (greedy(), uniform(), ScoreOrder(ScoreOrderConfig(epsilon=0.3))):
        found = predict_overlap(log_of(policy, n=500), policy)
        assert found.slate_share == pytest.approx(1.0)
        np.testing.assert_allclose(found.slot_share, 1.0)
        assert found.verdict == "good"


def test_greedy_on_a_uniform_log_keeps_one_slate_in_k_times_k_minus_one() -> None:
    found = predict_overlap(log_of(uniform()), greedy())
    # Weights are K(K-1) where the greedy slate was drawn and 0 elsewhere: the share is 1/(K(K-1)).
    share = 1 / (K * (K - 1))
    assert abs(found.slate_share - share) < 4 * np.sqrt(share * (1 - share) / N)
    # Whatever stands above, the greedy next item is one of those left.
    for slot, expected in enumerate((1 / K, 1 / (K - 1))):
        share = found.slot_share[slot]
        assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / N)
    assert found.covered
    # 5 % of the log is below the 10 % that whole slates need, 20 % of each slot is not.
    assert found.verdict == "thin"


def test_epsilon_greedy_on_a_uniform_log_has_the_share_of_its_second_moment() -> None:
    target = ScoreOrder(ScoreOrderConfig(epsilon=0.5))
    found = predict_overlap(log_of(uniform()), target)
    spread = 1 - np.sqrt(1 - 0.5)
    law = np.full(K, spread / K)
    law[0] += 1 - spread
    # E_A[w^2] = sum p_B^2 / p_A = K sum p_B^2, and E_A[w] = 1.
    assert found.slot_share[0] == pytest.approx(1 / (K * (law**2).sum()), rel=0.02)
    np.testing.assert_allclose(found.slot_mean, 1.0, atol=0.03)


def test_a_log_without_exploration_is_blind_however_even_its_weights() -> None:
    found = predict_overlap(log_of(greedy(), n=5_000), uniform())
    # All weights of a slot are equal, so the effective share is 1 and says nothing.
    assert found.slate_share == pytest.approx(1.0)
    assert found.slot_mean[0] == pytest.approx(1 / K)
    assert not found.covered
    assert found.verdict == "blind"


def test_a_small_log_is_blind_though_a_good_share_of_it_is_left() -> None:
    weights = np.zeros((150, 3))
    assert overlap_of_weights(weights, decisions=150).verdict == "blind"
    assert overlap_of_weights(weights, decisions=250).verdict == "good"


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=50))
def test_effective_share_is_the_formula_and_stays_within_its_bounds(weights: list[float]) -> None:
    values = np.array(weights)
    share = effective_share(np.log(values))
    expected = values.sum() ** 2 / (values.size * (values**2).sum())
    assert share == pytest.approx(expected, rel=1e-9)
    assert 1 / values.size - 1e-12 <= share <= 1.0


def test_products_of_many_tiny_propensities_do_not_underflow() -> None:
    log_weights = np.full((300, 400), -20.0)
    assert overlap_of_weights(log_weights, decisions=300).slate_share == pytest.approx(1.0)


def test_weights_that_are_all_zero_leave_nothing() -> None:
    found = overlap_of_weights(np.full((10, 2), -np.inf), decisions=10_000)
    assert found.slate_share == 0.0
    assert found.verdict == "blind"


@pytest.mark.parametrize("weights", [np.zeros((0, 2)), np.zeros((3, 0)), np.full((2, 2), np.nan)])
def test_no_weights_or_no_numbers_are_refused(weights: np.ndarray) -> None:
    with pytest.raises(ContextError, match="weights must be"):
        overlap_of_weights(weights, decisions=10)
