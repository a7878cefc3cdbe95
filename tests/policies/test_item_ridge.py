from dataclasses import replace

import numpy as np
import pytest

from matinee_policies.item_ridge import ItemRidge, item_moments_reference
from matinee_policies.item_sums import ItemIndex, ItemSums, item_sums_reference
from matinee_policies.records import OutcomeBatch
from matinee_policies.testing_data import example_contexts, example_outcomes


def ids(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int32)


def test_an_index_finds_what_a_dictionary_finds() -> None:
    rng = np.random.default_rng(0)
    index, places = ItemIndex.of(ids()), dict[int, int]()
    for _ in range(30):
        items = np.unique(rng.integers(0, 500, size=rng.integers(0, 20))).astype(np.int32)
        index = index.extended(items)
        for item in items.tolist():
            places.setdefault(item, len(places))
        asked = rng.integers(-1, 600, size=(4, 25)).astype(np.int32)
        expected = [[places.get(item, -1) for item in row] for row in asked.tolist()]
        np.testing.assert_array_equal(index.find(asked), expected)
        assert len(index) == len(places)
        assert (np.diff(index.ids) > 0).all()


def test_nothing_is_found_in_an_empty_index() -> None:
    np.testing.assert_array_equal(ItemIndex.of(ids()).find(ids(-1, 0, 7)), [-1, -1, -1])


@pytest.mark.parametrize("columns", [[0, 1, 2, 3, 4], [3, 0]])
def test_sums_are_those_of_each_item(columns: list[int]) -> None:
    sums = ItemSums(5, np.array(columns))
    for first in (True, False):
        part = example_outcomes(3, slates=70, dimension=5, first=first)
        changed = sums.changed(part)
        assert changed.rows == first * part.shown.sum()
        sums.take(changed)
        if first:
            firsts = part
    for item in range(40):
        cross, moments = item_sums_reference(firsts, item, np.array(columns))
        _, later = item_sums_reference(part, item, np.array(columns))
        slot = int(sums.index.find(ids(item))[0])
        np.testing.assert_allclose(sums.cross[slot], cross, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(sums.moments[slot], [moments, later], rtol=1e-12, atol=1e-12)


def test_a_table_grows_by_doubling_and_keeps_what_it_holds() -> None:
    """One slate at a time, as a service learns: the same bits as all at once."""
    part = example_outcomes(3, slates=200, dimension=3)
    part = replace(part, items=np.arange(600, dtype=np.int32).reshape(200, 3)[::-1].copy())
    whole, pieces = ItemRidge(3, l2=1.0), ItemRidge(3, l2=1.0)
    whole.learn(part)
    copied = 0
    for n in range(200):
        table = pieces.sums.cross
        pieces.learn(part.rows(np.arange(n, n + 1)))
        copied += pieces.sums.cross is not table
    assert copied < 14
    for name, array in whole.arrays().items():
        np.testing.assert_array_equal(pieces.arrays()[name], array)


@pytest.mark.parametrize("dimension", [1, 2, 3, 4, 5, 8, 17, 64])
def test_moments_equal_their_twin(dimension: int) -> None:
    part = example_outcomes(1, slates=60, dimension=dimension)
    items = np.asarray(part.items)
    items[items >= 30] = 3
    model = ItemRidge(dimension, l2=0.3)
    model.learn(part)
    contexts = example_contexts(2, decisions=4, candidates=15, dimension=dimension)
    mean, width = model.moments(contexts)
    for b in range(4):
        for k in range(15):
            mine = part.shown & (items == contexts.candidates[b, k])
            expected = item_moments_reference(
                part.features[mine].astype(float),
                part.rewards[mine],
                contexts.features[b, k].astype(float),
                l2=0.3,
            )
            np.testing.assert_allclose((mean[b, k], width[b, k]), expected, rtol=0, atol=1e-10)
    only_mean, none = model.moments(contexts, widths=False)
    np.testing.assert_array_equal(only_mean, mean)
    assert none.size == 0


def test_an_item_never_shown_has_the_prior() -> None:
    model = ItemRidge(4, l2=16.0)
    contexts = example_contexts(2, decisions=2, candidates=6, dimension=4)
    mean, width = model.moments(contexts)
    np.testing.assert_array_equal(mean, 0.0)
    lengths = np.linalg.norm(contexts.features.astype(float), axis=2)
    np.testing.assert_allclose(width, lengths / 4.0, rtol=1e-14)
    np.testing.assert_array_equal(model.item_theta(ids(3, 9)), np.zeros((2, 4)))


def test_coefficients_are_those_of_the_item() -> None:
    part = example_outcomes(1, slates=60, dimension=4)
    model = ItemRidge(4, l2=0.3)
    model.learn(part)
    mine = part.shown & (np.asarray(part.items) == 11)
    X = part.features[mine].astype(float)
    expected = np.linalg.solve(0.3 * np.eye(4) + X.T @ X, X.T @ part.rewards[mine])
    np.testing.assert_allclose(model.item_theta(ids(11, 99)), [expected, np.zeros(4)], atol=1e-12)
    np.testing.assert_array_equal(model.theta, np.zeros(4))


def test_nothing_shown_changes_nothing() -> None:
    model = ItemRidge(4, l2=1.0)
    for slates in (0, 5):
        part = example_outcomes(1, slates=slates, dimension=4)
        nothing = OutcomeBatch(
            component="engagement",
            first=True,
            features=part.features,
            rewards=part.rewards,
            shown=np.zeros_like(part.shown),
            propensities=part.propensities,
            shards=part.shards,
            items=part.items,
        )
        model.learn(nothing)
    assert model.rows == 0
    assert len(model.sums.index) == 0
