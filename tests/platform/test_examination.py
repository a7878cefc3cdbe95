"""The curve of examination, from worlds whose curve is known."""

import numpy as np
import pytest

from matinee_platform.examination import (
    Examination,
    estimate_examination,
    swap_weights,
    swapped,
)
from matinee_policies.arrays import BoolArray, FloatArray, UInt64Array
from matinee_policies.errors import ContextError
from matinee_policies.records import PAD, ContextBatch, SlateBatch
from matinee_policies.registry import build_policy
from matinee_policies.testing_data import example_contexts, example_keys
from matinee_policies.value_policy import ValuePolicy

L, K = 4, 6
CURVE = np.array([1.0, 0.8, 0.5, 0.45])
N = 12_000


@pytest.fixture(scope="module")
def contexts() -> ContextBatch:
    return example_contexts(1, decisions=N, candidates=K, dimension=2)


def _slates(kind: str, contexts: ContextBatch, **settings: float) -> tuple[SlateBatch, FloatArray]:
    """Slates of a policy over scores, and the weights of all pairs."""
    policy = build_policy(kind, settings, dimension=2)
    slates = policy.decide(contexts, slots=L, keys=example_keys(len(contexts)))
    chosen = slates.positions != PAD
    weights = [
        swap_weights(
            policy,
            contexts,
            slates.positions,
            slates.propensities,
            pair=np.full(len(contexts), pair),
            chosen=chosen,
        )
        for pair in range(L - 1)
    ]
    return slates, np.stack(weights, axis=1)


def _clicks(seed: int, contexts: ContextBatch, slates: SlateBatch) -> BoolArray:
    """Items are liked by their score, by which they were ranked: slots hold unlike items."""
    liked = np.take_along_axis(contexts.scores, slates.positions, axis=1).astype(np.float64) ** 2
    clicks: BoolArray = np.random.default_rng(seed).random(liked.shape) < CURVE * liked
    return clicks


def _units(n: int = N) -> UInt64Array:
    return (np.arange(n) // 4).astype(np.uint64)


def test_a_ranking_that_explores_tells_the_curve_within_four_errors(contexts: ContextBatch) -> None:
    slates, weights = _slates("softmax", contexts, temperature=0.3)
    clicks = _clicks(3, contexts, slates)
    found = estimate_examination(weights, clicks, _units())
    assert (np.abs(found.curve - CURVE) < 4 * found.curve_error + 1e-12).all()
    assert (found.curve_error[1:] < 0.03).all()
    # Click rates alone take the better items of the upper slots for examination.
    naive = clicks.mean(axis=0) / clicks[:, 0].mean()
    assert (np.abs(naive - CURVE)[1:] > 4 * found.curve_error[1:]).all()
    assert found.units == N // 4
    assert found.pages == N


def test_errors_are_as_large_as_the_estimates_scatter(contexts: ContextBatch) -> None:
    slates, weights = _slates("softmax", contexts, temperature=0.3)
    draws: list[Examination] = [
        estimate_examination(weights, _clicks(100 + seed, contexts, slates), _units())
        for seed in range(60)
    ]
    curves = np.array([draw.curve for draw in draws])
    gammas = np.array([draw.persistence for draw in draws])
    told = np.mean([draw.curve_error for draw in draws], axis=0)
    # The standard deviation of 60 draws is known to 9 %.
    np.testing.assert_allclose(curves.std(axis=0, ddof=1)[1:], told[1:], rtol=4 * 0.092)
    told_gamma = np.mean([draw.persistence_error for draw in draws])
    assert abs(gammas.std(ddof=1) / told_gamma - 1.0) < 4 * 0.092
    assert (np.abs(curves.mean(axis=0) - CURVE)[1:] < 4 * told[1:] / np.sqrt(60)).all()


def test_uniform_slates_weigh_one_half(contexts: ContextBatch) -> None:
    _, weights = _slates("uniform", contexts)
    np.testing.assert_allclose(weights, 0.5, rtol=1e-12)


def test_weights_balance_the_two_orders(contexts: ContextBatch) -> None:
    """Of each pair of items, the weighted chances of both orders are equal: P w = P' w'."""
    policy = build_policy("softmax", {"temperature": 0.3}, dimension=2)
    assert isinstance(policy, ValuePolicy)
    few = contexts.rows(np.arange(50))
    slates = policy.decide(few, slots=L, keys=example_keys(50))
    pair = np.arange(50) % (L - 1)
    chosen = np.ones((50, L), dtype=np.bool_)
    own = swap_weights(policy, few, slates.positions, slates.propensities, pair=pair, chosen=chosen)
    turned = swapped(slates.positions, pair)
    chances = policy.propensities(few, turned)
    other = swap_weights(policy, few, turned, chances, pair=pair, chosen=chosen)
    rows = np.arange(50)
    law = slates.propensities[rows, pair] * slates.propensities[rows, pair + 1]
    law_turned = chances[rows, pair] * chances[rows, pair + 1]
    np.testing.assert_allclose(law * own, law_turned * other, rtol=1e-9)
    np.testing.assert_allclose(own + other, 1.0, rtol=1e-9)


def test_a_law_without_exploration_tells_nothing(contexts: ContextBatch) -> None:
    few = contexts.rows(np.arange(200))
    slates, weights = _slates("score_order", few, epsilon=0.0)
    assert not weights.any()
    found = estimate_examination(weights, _clicks(3, few, slates), _units(200))
    assert np.isnan(found.curve[1:]).all()
    assert np.isnan(found.persistence)
    assert found.pages == 0


def test_slots_without_a_choice_weigh_nothing(contexts: ContextBatch) -> None:
    policy = build_policy("uniform", {}, dimension=2)
    few = contexts.rows(np.arange(3))
    slates = policy.decide(few, slots=L, keys=example_keys(3))
    chosen = np.ones((3, L), dtype=np.bool_)
    chosen[0, 1] = chosen[1, 3] = False
    pair = np.array([1, 2, 0])
    weights = swap_weights(
        policy, few, slates.positions, slates.propensities, pair=pair, chosen=chosen
    )
    np.testing.assert_allclose(weights, [0.0, 0.0, 0.5])


def test_ratios_are_those_of_sums_by_hand() -> None:
    weights = np.array([[0.5, 1.0], [0.5, 0.0], [0.25, 0.5]])
    clicks = np.array([[1, 0, 1], [1, 1, 0], [0, 1, 0]], dtype=np.bool_)
    found = estimate_examination(weights, clicks, np.array([7, 7, 9], dtype=np.uint64))
    np.testing.assert_allclose(found.ratio, [0.75 / 1.0, 1.0 / 0.5])
    np.testing.assert_allclose(found.curve, [1.0, 0.75, 1.5])
    assert found.persistence == pytest.approx(2.0)
    # Units 7 and 9 add .5/.75 - 1 and .25/.75 - 0 to the logarithm of the first ratio.
    np.testing.assert_allclose(found.ratio_error[0], 0.75 * np.hypot(-1 / 3, 1 / 3))


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ContextError, match=r"shapes \(3, 3\) and \(3,\)"):
        estimate_examination(
            np.zeros((3, 2)), np.zeros((3, 2), dtype=np.bool_), np.zeros(3, dtype=np.uint64)
        )
