import tracemalloc

import numpy as np
import pytest

from matinee_policies import ConfigError
from matinee_policies.hybrid_ridge import HybridRidge, hybrid_moments_reference
from matinee_policies.records import ContextBatch, OutcomeBatch
from matinee_policies.testing_data import example_contexts, example_outcomes


@pytest.mark.parametrize("columns", [(), (0,), (6, 1, 3)])
@pytest.mark.parametrize("dimension", [7, 8, 33])
def test_moments_equal_one_stacked_regression(columns: tuple[int, ...], dimension: int) -> None:
    """Also for items that were never shown."""
    part = example_outcomes(1, slates=40, dimension=dimension)
    items = np.asarray(part.items)
    items[items >= 8] = 3
    model = HybridRidge(dimension, l2=0.4, item_features=columns)
    model.learn(part)
    contexts = example_contexts(2, decisions=2, candidates=12, dimension=dimension)
    mean, width = model.moments(contexts)
    for b in range(2):
        for k in range(12):
            expected = hybrid_moments_reference(
                part.features[part.shown].astype(float),
                items[part.shown],
                part.rewards[part.shown],
                z=contexts.features[b, k].astype(float),
                item=int(contexts.candidates[b, k]),
                columns=np.array(columns or range(dimension)),
                l2=0.4,
            )
            np.testing.assert_allclose((mean[b, k], width[b, k]), expected, rtol=0, atol=1e-10)
    only_mean, none = model.moments(contexts, widths=False)
    np.testing.assert_array_equal(only_mean, mean)
    assert none.size == 0


def test_before_any_row_it_has_the_prior_of_both_parts() -> None:
    model = HybridRidge(4, l2=4.0, item_features=(1, 2))
    contexts = example_contexts(2, decisions=2, candidates=6, dimension=4)
    mean, width = model.moments(contexts)
    X = contexts.features.astype(float)
    squares = (X**2).sum(axis=2) + (X[:, :, 1:3] ** 2).sum(axis=2)
    np.testing.assert_array_equal(mean, 0.0)
    np.testing.assert_allclose(width, np.sqrt(squares / 4.0), rtol=1e-14)
    np.testing.assert_array_equal(model.item_theta(np.array([5], np.int32)), np.zeros((1, 2)))


def test_large_features_beside_the_prior_keep_nine_digits() -> None:
    """A_0 is a difference of sums: what it loses must stay below what anyone can see."""
    part = example_outcomes(1, slates=300, dimension=3)
    part.features[:] *= 60.0
    model = HybridRidge(3, l2=1.0)
    model.learn(part)
    contexts = example_contexts(2, decisions=1, candidates=12, dimension=3)
    mean, width = model.moments(contexts)
    items = np.asarray(part.items)
    expected = [
        hybrid_moments_reference(
            part.features[part.shown].astype(float),
            items[part.shown],
            part.rewards[part.shown],
            z=contexts.features[0, k].astype(float),
            item=int(contexts.candidates[0, k]),
            columns=np.arange(3),
            l2=1.0,
        )
        for k in range(12)
    ]
    np.testing.assert_allclose(np.stack([mean[0], width[0]], axis=1), expected, atol=1e-9)


def test_columns_beyond_the_dimension_are_refused() -> None:
    with pytest.raises(ConfigError, match="item_features must be below the dimension 3, got 5"):
        HybridRidge(3, l2=1.0, item_features=(0, 5))


def many_items(count: int, *, rows: int, dimension: int) -> OutcomeBatch:
    rng = np.random.default_rng(0)
    return OutcomeBatch(
        component="engagement",
        first=True,
        features=rng.normal(size=(rows, 1, dimension)).astype(np.float32),
        rewards=rng.random((rows, 1)),
        shown=np.ones((rows, 1), dtype=np.bool_),
        propensities=np.ones((rows, 1)),
        shards=rng.integers(0, 64, size=rows).astype(np.uint8),
        items=rng.permutation(np.arange(rows) % count)[:, None].astype(np.int32),
    )


def test_more_items_than_one_block_give_the_same_solution_in_any_batches() -> None:
    outcomes = many_items(600, rows=900, dimension=2)
    model, pieces = HybridRidge(2, l2=0.4), HybridRidge(2, l2=0.4)
    model.learn(outcomes)
    for start in range(0, 900, 225):
        pieces.learn(outcomes.rows(np.arange(start, start + 225)))
    rng = np.random.default_rng(1)
    contexts = ContextBatch(
        candidates=np.array([[0, 5, 300, 599]], dtype=np.int32),
        features=rng.normal(size=(1, 4, 2)).astype(np.float32),
        scores=np.zeros((1, 4), dtype=np.float32),
        embeddings=np.zeros((600, 1), dtype=np.float32),
    )
    mean, width = model.moments(contexts)
    for got, expected in zip(pieces.moments(contexts), (mean, width), strict=True):
        np.testing.assert_array_equal(got, expected)
    for k, item in enumerate(contexts.candidates[0].tolist()):
        expected_moments = hybrid_moments_reference(
            outcomes.features[:, 0].astype(float),
            np.asarray(outcomes.items)[:, 0],
            outcomes.rewards[:, 0],
            z=contexts.features[0, k].astype(float),
            item=item,
            columns=np.arange(2),
            l2=0.4,
        )
        np.testing.assert_allclose((mean[0, k], width[0, k]), expected_moments, atol=1e-10)


def test_learning_a_row_copies_no_table() -> None:
    outcomes = many_items(2000, rows=2000, dimension=16)
    model = HybridRidge(16, l2=1.0)
    model.learn(outcomes)
    row = outcomes.rows(np.array([0]))
    model.learn(row)
    tracemalloc.start()
    try:
        model.learn(row)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    table = 8 * 2000 * 16 * 16
    assert peak < table
