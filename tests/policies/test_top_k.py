from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matinee_policies.arrays import Float32Array
from matinee_policies.candidates.factor_model import FactorModel, FoldInRule, ObservationWeights
from matinee_policies.candidates.item_scores import score_pair, score_pair_reference
from matinee_policies.candidates.ordered_keys import (
    CLOSED,
    GROUP,
    append_above,
    close_masked,
    flip,
    lower_bound,
    sort_keys,
)
from matinee_policies.candidates.seen import (
    empty_seen,
    is_seen,
    mark_seen,
    mark_seen_reference,
)
from matinee_policies.candidates.top_k import rank, rank_reference
from matinee_policies.compiled import kernel
from matinee_policies.errors import ConfigError, ContextError
from matinee_policies.records import PAD


def model(factors: Any, offset: Any, **changes: Any) -> FactorModel:
    item_factors = np.ascontiguousarray(factors, dtype=np.float32)
    f = item_factors.shape[1]
    return FactorModel(
        kind="svd",
        feedback="implicit",
        item_factors=item_factors,
        item_offset=np.asarray(offset, dtype=np.float32),
        prior=np.zeros(f, dtype=np.float32),
        rule=FoldInRule(
            base=np.eye(f),
            ridge=np.zeros(f),
            ridge_per_observation=np.zeros(f),
            weights=ObservationWeights(),
        ),
        **changes,
    )


def random_model(M: int, f: int, seed: int = 0, **changes: Any) -> FactorModel:
    rng = np.random.default_rng(seed)
    return model(rng.normal(size=(M, f)), rng.normal(size=M), **changes)


def random_units(B: int, f: int, seed: int = 1) -> Float32Array:
    return np.random.default_rng(seed).normal(size=(B, f)).astype(np.float32)


def seen_share(B: int, M: int, share: float, seed: int = 2) -> Any:
    units, items = np.nonzero(np.random.default_rng(seed).random((B, M)) < share)
    seen = empty_seen(B, M)
    mark_seen(seen, units.astype(np.int32), items.astype(np.int32))
    return seen


@pytest.mark.parametrize(
    ("M", "f", "k", "share"),
    [
        (1, 1, 1, 0.0),
        (63, 3, 5, 0.3),
        (64, 4, 64, 0.0),
        (200, 17, 190, 0.5),
        (300, 5, 400, 0.1),
        (3650, 17, 190, 0.05),
        (4097, 6, 10, 0.01),
        (9742, 33, 100, 0.02),
        (9000, 2, 5000, 0.1),
    ],
)
def test_candidates_are_those_of_a_full_sort(M: int, f: int, k: int, share: float) -> None:
    m, users, seen = random_model(M, f), random_units(9, f), seen_share(9, M, share)
    got, expected = rank(m, users, seen, k), rank_reference(m, users, seen, k)
    np.testing.assert_array_equal(got.items, expected.items)
    np.testing.assert_allclose(got.scores, expected.scores, rtol=1e-6)
    assert got.items.dtype == np.int32
    assert got.scores.dtype == np.float32


@settings(max_examples=60, deadline=None)
@given(
    M=st.integers(1, 150),
    k=st.integers(1, 40),
    levels=st.integers(1, 4),
    share=st.floats(0.0, 1.0),
    seed=st.integers(0, 10_000),
)
def test_ties_go_to_the_lowest_row(M: int, k: int, levels: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    m = model(np.zeros((M, 1)), rng.integers(0, levels, size=M) - 1.0)
    users, seen = np.zeros((2, 1), dtype=np.float32), seen_share(2, M, share, seed)
    got, expected = rank(m, users, seen, k), rank_reference(m, users, seen, k)
    np.testing.assert_array_equal(got.items, expected.items)


def test_many_ties_across_blocks_go_to_the_lowest_row() -> None:
    offset = np.zeros(9000)
    offset[8999] = 1.0
    got = rank(
        model(np.zeros((9000, 1)), offset),
        np.zeros((1, 1), dtype=np.float32),
        empty_seen(1, 9000),
        6,
    )
    assert got.items.tolist() == [[8999, 0, 1, 2, 3, 4]]


def test_zero_and_minus_zero_are_equal() -> None:
    m = model([[-1.0], [1.0], [-1.0]], [-0.0, 0.0, -0.0])
    got = rank(m, np.zeros((1, 1), dtype=np.float32), empty_seen(1, 3), 3)
    assert got.items.tolist() == [[0, 1, 2]]


def test_a_block_of_better_items_replaces_all_before() -> None:
    m = model(np.zeros((12_000, 1)), np.arange(12_000.0))
    got = rank(m, np.zeros((1, 1), dtype=np.float32), empty_seen(1, 12_000), 50)
    assert got.items[0].tolist() == list(range(11_999, 11_949, -1))


@pytest.mark.parametrize("M", [500, 9000])
def test_a_unit_has_the_same_bits_in_any_batch(M: int) -> None:
    m, users, seen = random_model(M, 17), random_units(21, 17), seen_share(21, M, 0.1)
    together = rank(m, users, seen, 30)
    for size in (1, 2, 13):
        for start in range(0, 21, size):
            some = slice(start, start + size)
            part = rank(m, users[some], seen[some], 30)
            assert part.items.tobytes() == together.items[some].tobytes()
            assert part.scores.tobytes() == together.scores[some].tobytes()


def test_what_is_seen_is_left_out_and_what_is_missing_is_padding() -> None:
    m, users = random_model(100, 4), random_units(3, 4)
    seen = empty_seen(3, 100)
    most = np.arange(97, dtype=np.int32)
    mark_seen(seen, np.ones(97, dtype=np.int32), most)
    mark_seen(seen, np.full(100, 2, dtype=np.int32), np.arange(100, dtype=np.int32))
    got = rank(m, users, seen, 10)
    assert PAD not in got.items[0]
    assert sorted(got.items[1].tolist()) == [PAD] * 7 + [97, 98, 99]
    assert got.items[1, 3:].tolist() == [PAD] * 7
    assert got.scores[1, 3:].tolist() == [0.0] * 7
    assert got.items[2].tolist() == [PAD] * 10
    assert len(got) == 3


def test_scores_are_the_fixed_map_of_raw() -> None:
    m = model([[1.0], [0.5], [-2.0]], [1.0, 0.0, 3.0], score_mean=0.5, score_scale=2.0)
    users = np.array([[1.0], [-1.0]], dtype=np.float32)
    got = rank(m, users, empty_seen(2, 3), 3)
    raw = np.array([[2.0, 1.0, 0.5], [5.0, 0.0, -0.5]])
    assert got.items.tolist() == [[0, 2, 1], [2, 0, 1]]
    np.testing.assert_allclose(got.scores, 1.0 / (1.0 + np.exp(-(raw - 0.5) / 2.0)), rtol=1e-6)


def test_extreme_raws_keep_their_order_and_scores_within_0_and_1() -> None:
    offset = np.array([1e30, -1e30, 1e-30, -1e-30, 0.0, 3e38, -3e38])
    got = rank(
        model(np.zeros((7, 1)), offset), np.zeros((1, 1), dtype=np.float32), empty_seen(1, 7), 7
    )
    assert got.items.tolist() == [[5, 0, 2, 4, 3, 1, 6]]
    assert (got.scores > 0.0).all()
    assert (got.scores < 1.0).all()
    assert (np.diff(got.scores[0]) <= 0.0).all()


def test_an_empty_batch_has_no_candidates() -> None:
    got = rank(random_model(70, 3), random_units(0, 3), empty_seen(0, 70), 5)
    assert got.items.shape == (0, 5)


def test_arrays_that_do_not_fit_the_model_are_refused() -> None:
    m, users, seen = random_model(70, 3), random_units(2, 3), empty_seen(2, 70)
    with pytest.raises(ContextError, match=r"user_factors must be float32 \[B, 3\], got float64"):
        rank(m, users.astype(np.float64), seen, 5)
    with pytest.raises(ContextError, match=r"user_factors must be .* shape \(2, 4\)"):
        rank(m, random_units(2, 4), seen, 5)
    with pytest.raises(ContextError, match=r"seen must be uint64 of shape \(2, 2\), got uint64"):
        rank(m, users, empty_seen(2, 64), 5)
    with pytest.raises(ContextError, match=r"seen must be uint64 of shape \(2, 2\)"):
        rank(m, users, empty_seen(3, 70), 5)
    users[1, 2] = np.nan
    with pytest.raises(ContextError, match="user_factors must be finite, got nan"):
        rank(m, users, seen, 5)
    with pytest.raises(ConfigError, match="k must be >= 1, got 0"):
        rank(m, random_units(2, 3), seen, 0)


@settings(max_examples=40, deadline=None)
@given(
    numbers=st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=300),
    k=st.integers(1, 60),
)
def test_keys_order_select_and_sort_as_the_numbers_do(numbers: list[float], k: int) -> None:
    values = np.array(numbers, dtype=np.float32) + np.float32(0.0)
    keys = values.view(np.int32).copy()
    flip(keys, keys.size)
    rows = np.arange(keys.size, dtype=np.int32)
    for columns in (0, 64):
        bound = lower_bound(keys, keys.size, k, np.empty(columns, dtype=np.int32))
        assert bound == CLOSED or int((keys > bound).sum()) >= k
    above = sum(number > bound for number in keys.tolist())
    places = np.empty(keys.size + GROUP, dtype=np.int32)
    passed = places_above(
        np.resize(keys, -(-keys.size // GROUP) * GROUP), keys.size, int(bound), places
    )
    assert places[:passed].tolist() == np.flatnonzero(keys > bound).tolist()
    assert passed == above
    sort_keys(keys, rows, keys.size, np.empty(keys.size + GROUP, np.int32), np.empty_like(rows))
    assert rows.tolist() == np.argsort(-values, kind="stable").tolist()
    flip(keys, keys.size)
    assert keys.view(np.float32).tobytes() == values[rows].tobytes()


@kernel
def places_above(keys: Any, size: int, bound: int, places: Any) -> int:
    """Places of the keys above `bound`, by groups; those beyond `size` are not kept."""
    count = 0
    for first in range(0, keys.shape[0], GROUP):
        count = append_above(keys, first, np.int32(bound), places, count)
    while count > 0 and places[count - 1] >= size:
        count -= 1
    return count


@kernel
def close_all(keys: Any, words: Any) -> None:
    for word in range(words.shape[0]):
        close_masked(keys, 64 * word, words[word])


@pytest.mark.parametrize(("columns", "slack"), [(0, 0.25), (1024, 0.6)])
def test_the_bound_lets_few_more_than_k_pass(columns: int, slack: float) -> None:
    values = np.random.default_rng(0).normal(size=4096).astype(np.float32)
    keys = values.view(np.int32).copy()
    flip(keys, keys.size)
    for k in (1, 10, 190, 2000):
        bound = lower_bound(keys, keys.size, k, np.empty(columns, dtype=np.int32))
        assert k <= int((keys > bound).sum()) <= k * (1.0 + slack)


def test_long_lists_of_equal_keys_keep_their_order_when_sorted() -> None:
    for size in (500, 700):
        keys = np.random.default_rng(size).integers(0, 5, size=size).astype(np.int32)
        rows, expected = np.arange(size, dtype=np.int32), np.argsort(-keys, kind="stable")
        sort_keys(keys, rows, size, np.empty(size + GROUP, np.int32), np.empty_like(rows))
        np.testing.assert_array_equal(rows, expected)


def test_masked_keys_are_closed() -> None:
    rng = np.random.default_rng(3)
    words = rng.integers(0, 2**64, size=3, dtype=np.uint64)
    keys = rng.integers(0, 100, size=3 * 64).astype(np.int32)
    bits = np.unpackbits(words.view(np.uint8), bitorder="little").astype(np.bool_)
    expected = np.where(bits, CLOSED, keys)
    close_all(keys, words)
    np.testing.assert_array_equal(keys, expected)


@pytest.mark.parametrize("f", [1, 4, 17])
def test_scores_of_pairs_have_the_bits_of_a_sum_in_order(f: int) -> None:
    rng = np.random.default_rng(f)
    factors = rng.normal(size=(f, 256)).astype(np.float32)
    offset, users = rng.normal(size=256).astype(np.float32), random_units(3, f)
    for one, other, at in [(0, 1, 0), (2, 2, 64), (1, 0, 128)]:
        raw = np.full((2, 328), 7.0, dtype=np.float32)
        score_pair(offset, factors, users, one, other, 64, 192, raw, at)
        expected = score_pair_reference(offset, factors, users[[one, other]], 64, 192)
        assert raw[:, at : at + 192].tobytes() == expected.tobytes()
        assert (np.delete(raw, slice(at, at + 192), axis=1) == 7.0).all()


def test_bits_are_set_as_numpy_does_and_read_back() -> None:
    rng = np.random.default_rng(0)
    units = rng.integers(0, 5, size=300).astype(np.int32)
    items = rng.integers(0, 130, size=300).astype(np.int32)
    seen, expected = empty_seen(5, 130), empty_seen(5, 130)
    assert seen.shape == (5, 3)
    mark_seen(seen, units, items)
    mark_seen_reference(expected, units, items)
    np.testing.assert_array_equal(seen, expected)
    dense = np.zeros((5, 130), dtype=np.bool_)
    dense[units, items] = True
    all_units, all_items = np.indices(dense.shape)
    got = is_seen(seen, all_units.ravel(), all_items.ravel())
    np.testing.assert_array_equal(got, dense.ravel())


@pytest.mark.parametrize(
    ("units", "items", "message"),
    [
        ([5], [0], "units must be within 0 and 4, got 5"),
        ([0], [192], "items must be within 0 and 191, got 192"),
        ([0], [-1], "items must be within 0 and 191, got -1"),
        ([0, 1], [0], "units and items must be of one length"),
    ],
)
def test_pairs_that_do_not_exist_are_refused(
    units: list[int], items: list[int], message: str
) -> None:
    seen = empty_seen(5, 130)
    with pytest.raises(ContextError, match=message):
        mark_seen(seen, np.array(units, dtype=np.int32), np.array(items, dtype=np.int32))
    assert not seen.any()


def test_bitsets_of_another_type_are_refused() -> None:
    one = np.zeros(1, dtype=np.int32)
    with pytest.raises(ContextError, match="seen must be contiguous uint64"):
        mark_seen(np.zeros((2, 2), dtype=np.int64), one, one)
    with pytest.raises(ContextError, match="units and items must be int32, got int64"):
        mark_seen(empty_seen(2, 2), one.astype(np.int64), one)
