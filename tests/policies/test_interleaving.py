"""Team-draft interleaving: the plain twin, fair teams, credit."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee_policies.arrays import IndexArray, UInt64Array
from matinee_policies.errors import ContextError
from matinee_policies.interleaving import (
    coins,
    interleave,
    interleave_reference,
    team_credit,
)
from matinee_policies.records import PAD


def _keys(n: int, seed: int = 0) -> UInt64Array:
    return np.random.default_rng(seed).integers(0, 2**63, n).astype(np.uint64)


def _rankings(rng: np.random.Generator, n: int, length: int, items: int) -> IndexArray:
    return np.stack([rng.permutation(items)[:length] for _ in range(n)]).astype(np.int32)


def test_every_slate_is_that_of_the_paper() -> None:
    rng = np.random.default_rng(1)
    for slots, length in ((1, 1), (4, 4), (5, 9), (10, 10), (10, 4), (150, 200)):
        n = 40
        first, second = (_rankings(rng, n, length, length + length // 2) for _ in range(2))
        keys = _keys(n, seed=slots)
        mixed = interleave(first, second, slots=slots, keys=keys)
        tossed = coins(keys, rounds=slots)
        for row in range(n):
            items, teams = interleave_reference(
                first[row].tolist(), second[row].tolist(), slots=slots, coins=tossed[row].tolist()
            )
            empty = [PAD] * (slots - len(items))
            assert mixed.items[row].tolist() == items + empty
            assert mixed.teams[row].tolist() == teams + empty


def test_padding_of_a_ranking_is_its_end() -> None:
    first = np.array([[3, 1, PAD, PAD]], dtype=np.int32)
    second = np.array([[1, 3, 2, 0]], dtype=np.int32)
    mixed = interleave(first, second, slots=4, keys=_keys(1))
    assert sorted(mixed.items[0, :2].tolist()) == [1, 3]
    assert mixed.items[0, 2:].tolist() == [PAD, PAD]
    assert mixed.teams[0, 2:].tolist() == [PAD, PAD]


@given(st.data())
def test_slates_hold_distinct_items_and_teams_of_one_size(data: st.DataObject) -> None:
    slots = data.draw(st.integers(1, 12))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    first, second = (_rankings(rng, 8, slots, 20) for _ in range(2))
    mixed = interleave(first, second, slots=slots, keys=_keys(8, seed=slots))
    for items, teams, one, other in zip(mixed.items, mixed.teams, first, second, strict=True):
        assert len(set(items.tolist())) == slots
        assert PAD not in items
        sizes = [(teams == team).sum() for team in (0, 1)]
        assert abs(sizes[0] - sizes[1]) == slots % 2
        assert np.isin(items[teams == 0], one).all()
        assert np.isin(items[teams == 1], other).all()


def test_each_team_stands_first_half_of_the_time_and_has_equal_counts_at_each_slot() -> None:
    n, slots = 200_000, 10
    ranking = np.broadcast_to(np.arange(slots, dtype=np.int32), (n, slots)).copy()
    # Even one secret's consecutive numbers, the worst keys there are, must not show.
    mixed = interleave(
        ranking, ranking[:, ::-1].copy(), slots=slots, keys=np.arange(n).astype("u8")
    )
    share = (mixed.teams == 0).mean(axis=0)
    assert np.abs(share - 0.5).max() < 4 * math.sqrt(0.25 / n)
    assert ((mixed.teams == 0).sum(axis=1) == slots // 2).all()
    # Rounds are independent coins.
    leads = (mixed.teams[:, ::2] == 0).astype(np.float64) - 0.5
    covariance = leads.T @ leads / n - np.diag([0.25] * (slots // 2))
    assert np.abs(covariance).max() < 4 * 0.25 / math.sqrt(n)


def test_a_slate_does_not_depend_on_its_batch() -> None:
    rng = np.random.default_rng(3)
    first, second, keys = _rankings(rng, 50, 10, 15), _rankings(rng, 50, 10, 15), _keys(50)
    whole = interleave(first, second, slots=10, keys=keys)
    some = interleave(first[7:9], second[7:9], slots=10, keys=keys[7:9])
    assert (whole.items[7:9] == some.items).all()
    assert (whole.teams[7:9] == some.teams).all()


def test_credit_goes_to_who_picked() -> None:
    teams = np.array([[0, 1, 1, 0], [1, 0, PAD, PAD]], dtype=np.int8)
    watched = np.array([[0.5, np.nan, 0.25, 1.0], [1.0, np.nan, np.nan, np.nan]])
    assert team_credit(teams, watched).tolist() == [[1.5, 0.25], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([[1, 1]], [[1, 2]], "first must not rank an item twice, got 1"),
        ([[1, 2]], [[-2, 2]], "second must hold catalogue rows or -1, got -2"),
        ([[1, 2], [1, 2]], [[1, 2]], r"first must be int32 \[1, P\]"),
    ],
)
def test_bad_rankings_are_refused(
    first: list[list[int]], second: list[list[int]], message: str
) -> None:
    with pytest.raises(ContextError, match=message):
        interleave(
            np.array(first, dtype=np.int32),
            np.array(second, dtype=np.int32),
            slots=2,
            keys=_keys(1),
        )


def test_credit_of_another_shape_is_refused() -> None:
    with pytest.raises(ContextError, match="shape of teams"):
        team_credit(np.zeros((1, 2), dtype=np.int8), np.zeros((1, 3)))
