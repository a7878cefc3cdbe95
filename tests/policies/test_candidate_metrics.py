"""Metrics of candidates against brute force in plain Python, by hand, and against a bootstrap."""

import math

import numpy as np
import pytest

from matinee_policies.candidates.metrics import (
    Z95,
    Estimate,
    catalogue_coverage,
    hits,
    mean_estimate,
    ndcg,
    novelty,
    ratio_estimate,
    recall,
    root_estimate,
)
from matinee_policies.errors import ContextError
from matinee_policies.interactions import Interactions
from matinee_policies.records import PAD


def held_out(users: list[int], items: list[int], *, n_users: int, n_items: int) -> Interactions:
    return Interactions.from_triplets(
        *(np.array(users), np.array(items), np.full(len(users), 4.0), np.arange(len(users))),
        n_users=n_users,
        n_items=n_items,
        rating_range=(0.5, 5.0),
    )


def plain_recall(ranked: list[int], wanted: set[int]) -> float:
    return len(wanted & set(ranked)) / len(wanted)


def plain_ndcg(ranked: list[int], wanted: set[int]) -> float:
    gained = sum(1 / math.log2(rank + 1) for rank, i in enumerate(ranked, 1) if i in wanted)
    best = sum(1 / math.log2(rank + 1) for rank in range(1, min(len(ranked), len(wanted)) + 1))
    return gained / best


@pytest.mark.parametrize("k", [1, 3, 10])
def test_recall_and_ndcg_equal_plain_python(k: int) -> None:
    rng = np.random.default_rng(k)
    n_users, n_items = 30, 40
    pairs = rng.permutation(n_users * n_items)[:150]
    test = held_out(
        (pairs // n_items).tolist(), (pairs % n_items).tolist(), n_users=n_users, n_items=n_items
    )
    items = rng.permuted(np.tile(np.arange(n_items, dtype=np.int32), (n_users, 1)), axis=1)[:, :k]
    found, counts = hits(items, test.matrix), test.user_counts()
    for user in range(n_users):
        wanted = set(test.matrix.indices[test.matrix.indptr[user] : test.matrix.indptr[user + 1]])
        if not wanted:
            assert math.isnan(recall(found, counts)[user])
            assert math.isnan(ndcg(found, counts)[user])
            continue
        ranked = items[user].tolist()
        assert recall(found, counts)[user] == pytest.approx(plain_recall(ranked, wanted))
        assert ndcg(found, counts)[user] == pytest.approx(plain_ndcg(ranked, wanted))


def test_edge_cases_by_hand() -> None:
    test = held_out([0, 0, 2], [1, 3, 2], n_users=4, n_items=5)
    items = np.array([[3, 0], [1, 2], [2, PAD], [PAD, PAD]], dtype=np.int32)
    found, counts = hits(items, test.matrix), test.user_counts()
    assert found.tolist() == [[True, False], [False, False], [True, False], [False, False]]
    np.testing.assert_allclose(recall(found, counts), [0.5, np.nan, 1.0, np.nan])
    # User 0: a gain of 1 out of 1 + 1 / log2(3); user 2 has all there is.
    np.testing.assert_allclose(
        ndcg(found, counts), [1 / (1 + 1 / math.log2(3)), np.nan, 1.0, np.nan]
    )
    assert catalogue_coverage(items, 5) == pytest.approx(4 / 5)
    # Two of four users know item 3, nobody knows the others, who count as known by one.
    bits = novelty(items, np.array([0, 1, 1, 2, 0]), users=4)
    np.testing.assert_allclose(bits, [(1 + 2) / 2, 2.0, 2.0, np.nan])
    with pytest.raises(ContextError, match="one row for each of 4 users, got 3"):
        hits(items[:3], test.matrix)


def test_padding_is_never_a_hit_of_another_user() -> None:
    # Row 1 asks for item -1, which must not be read as the last item of user 0.
    test = held_out([0], [4], n_users=2, n_items=5)
    assert not hits(np.array([[PAD], [PAD]], dtype=np.int32), test.matrix).any()


def test_an_interval_is_that_of_a_bootstrap_over_users() -> None:
    rng = np.random.default_rng(4)
    b = rng.integers(1, 30, size=400).astype(np.float64)
    a = b * rng.gamma(2.0, 0.5, size=400)
    estimate = ratio_estimate(a, b)
    draws = rng.integers(0, 400, size=(4000, 400))
    resampled = a[draws].sum(axis=1) / b[draws].sum(axis=1)
    assert estimate.value == pytest.approx(a.sum() / b.sum())
    half = (estimate.high - estimate.low) / 2
    # The standard deviation of 4,000 draws is known to 1 / sqrt(8000) = 1.1 %; four of those.
    assert half / Z95 == pytest.approx(resampled.std(), rel=0.045)
    root = root_estimate(estimate)
    assert root.value == pytest.approx(estimate.value**0.5)
    assert (root.high - root.low) / 2 / Z95 == pytest.approx(np.sqrt(resampled).std(), rel=0.05)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(2000):
        estimate = mean_estimate(rng.exponential(size=200))
        covered += estimate.low <= 1.0 <= estimate.high
    # 4 sigma of a binomial around .95, and .01 for the skew of 200 exponentials.
    assert abs(covered / 2000 - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 2000) + 0.01


def test_users_who_do_not_count_and_too_few_users() -> None:
    assert mean_estimate(np.array([np.nan, 1.0, 3.0])).value == 2.0
    lone = mean_estimate(np.array([np.nan, 1.0]))
    assert (lone.value, lone.users) == (1.0, 1)
    assert math.isnan(lone.low)
    with pytest.raises(ContextError, match="at least one user who counts"):
        mean_estimate(np.array([np.nan]))
    exact = root_estimate(Estimate(0.0, 0.0, 0.0, 3))
    assert (exact.low, exact.value, exact.high) == (0.0, 0.0, 0.0)
