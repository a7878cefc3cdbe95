"""Sums of weights and rewards: their rows, in parts, by page and from another pass."""

import numpy as np
import pytest

from matinee_platform.ope.cressie_read import cressie_read, cressie_read_bounds
from matinee_platform.ope.interval import RewardRange
from matinee_platform.ope.weighted_sums import WeightedSums
from matinee_policies.errors import ContextError


def test_few_distinct_pairs_with_counts_are_their_rows() -> None:
    rng = np.random.default_rng(3)
    weights, rewards = rng.choice([0.0, 2.0, 7.0], size=(2, 3, 500)) / [[[1]], [[7]]]
    pairs, counts = np.unique(np.stack([weights[0], rewards[0]]), axis=1, return_counts=True)
    short, long = WeightedSums.of(*pairs, counts=counts), WeightedSums.of(weights[0], rewards[0])
    halves = [
        WeightedSums.of(weights[0, part], rewards[0, part]) for part in (slice(99), slice(99, None))
    ]
    merged = halves[0].merged(halves[1])
    whole = WeightedSums.of(weights, rewards)
    for name in WeightedSums.__slots__:
        expected = getattr(long, name)
        np.testing.assert_allclose(getattr(short, name), expected, rtol=1e-12)
        np.testing.assert_allclose(getattr(merged, name), expected, rtol=1e-12)
        np.testing.assert_allclose(getattr(whole, name)[0], expected, rtol=1e-12)


def test_a_page_is_a_row_whose_value_is_the_sum_over_its_slots() -> None:
    rng = np.random.default_rng(4)
    weights, rewards = rng.exponential(size=(200, 3)), rng.random((200, 3))
    weights[:5] = 0
    sums = WeightedSums.of_pages(weights, rewards)
    assert float(sums.value) == pytest.approx((weights * rewards).sum(axis=1).mean())
    assert float(sums.weight) == pytest.approx(weights.mean(axis=1).sum())
    assert float(sums.reward_high) <= 3
    held = cressie_read(sums, largest=20, rewards=RewardRange().times(3))
    assert held.low < float(sums.value) < held.high
    one = WeightedSums.of_pages(weights[:, :1], rewards[:, :1])
    single = WeightedSums.of(weights[:, 0], rewards[:, 0])
    assert float(one.weight_gain) == pytest.approx(float(single.weight_gain))


def test_totals_of_another_pass_give_the_same_intervals() -> None:
    rng = np.random.default_rng(15)
    weights, rewards = rng.exponential(size=(400, 3)), rng.random((400, 3))
    gains = weights * rewards
    slots = WeightedSums.from_totals(
        400,
        weight=weights.sum(axis=0),
        weight2=(weights**2).sum(axis=0),
        gain=gains.sum(axis=0),
        weight_gain=(weights * gains).sum(axis=0),
        gain2=(gains**2).sum(axis=0),
        largest=weights.max(axis=0),
        positives=np.full(3, 400),
    )
    pages = WeightedSums.pages_from_products(
        400,
        weight=weights.sum(axis=0),
        gain=gains.sum(axis=0),
        weight2=weights.T @ weights,
        weight_gain=weights.T @ gains,
        gain2=gains.T @ gains,
        largest=weights.max(axis=0),
        positives=400,
    )
    for found, expected in (
        (slots, WeightedSums.of(weights.T, rewards.T)),
        (pages, WeightedSums.of_pages(weights, rewards)),
    ):
        bounds, same = (
            cressie_read_bounds(sums, largest=20.0, rewards=RewardRange().times(3), confidence=0.95)
            for sums in (found, expected)
        )
        np.testing.assert_allclose(bounds, same, rtol=1e-9)
        np.testing.assert_allclose(found.effective, expected.effective, rtol=1e-9)
        assert (found.largest >= expected.largest).all()
        assert (found.positives == expected.positives).all()
    with pytest.raises(ContextError, match="totals need one shape"):
        WeightedSums.from_totals(
            400,
            weight=np.ones(3),
            weight2=np.ones(3),
            gain=np.ones(2),
            weight_gain=np.ones(3),
            gain2=np.ones(3),
            largest=np.ones(3),
            positives=np.ones(3),
        )
    with pytest.raises(ContextError, match=r"products need \[L\] and \[L, L\]"):
        WeightedSums.pages_from_products(
            400,
            weight=np.ones(3),
            gain=np.ones(3),
            weight2=np.ones(3),
            weight_gain=np.ones((3, 3)),
            gain2=np.ones((3, 3)),
            largest=np.ones(3),
            positives=1,
        )
