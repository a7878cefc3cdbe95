import numpy as np
import pytest

from matinee_policies import ConfigError
from matinee_policies.hybrid_ridge import HybridRidge, hybrid_moments_reference
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
