"""Places for new items: kernels against their twins, equal chances, nothing hidden."""

import numpy as np
import pytest
from scipy import stats

from matinee_platform.fresh_candidates import (
    draw_fresh,
    draw_fresh_reference,
    fresh_key,
    insert_fresh,
    insert_fresh_reference,
)
from matinee_policies.arrays import IndexArray, UInt64Array
from matinee_policies.candidates.seen import empty_seen, is_seen, mark_seen
from matinee_policies.candidates.top_k import Candidates
from matinee_policies.records import PAD

N_ITEMS = 200


def _hidden(rng: np.random.Generator, n: int, share: float) -> UInt64Array:
    hidden = empty_seen(n, N_ITEMS)
    rows, items = np.nonzero(rng.random((n, N_ITEMS)) < share)
    mark_seen(hidden, rows.astype(np.int32), items.astype(np.int32))
    return hidden


def _some(rng: np.random.Generator, n: int) -> IndexArray:
    return np.sort(rng.choice(N_ITEMS, n, replace=False)).astype(np.int32)


@pytest.mark.parametrize(("n_fresh", "share", "places"), [(40, 0.3, 10), (6, 0.5, 10), (0, 0, 3)])
def test_drawing_is_its_plain_twin(n_fresh: int, share: float, places: int) -> None:
    rng = np.random.default_rng(1)
    n = 50
    units = rng.integers(0, 2**63, n).astype(np.uint64)
    fresh, hidden = _some(rng, n_fresh), _hidden(rng, n, share)
    drawn = draw_fresh(fresh_key(3), units, 9, fresh=fresh, hidden=hidden, places=places)
    for row in range(n):
        expected = draw_fresh_reference(
            fresh_key(3), int(units[row]), 9, fresh=fresh, hidden=hidden[row], places=places
        )
        assert drawn[row, : len(expected)].tolist() == expected
        assert (drawn[row, len(expected) :] == PAD).all()
        assert len(set(expected)) == len(expected)
        assert set(expected) <= set(fresh.tolist())
        assert not is_seen(hidden, np.full(len(expected), row), drawn[row, : len(expected)]).any()
        left = int((~is_seen(hidden, np.full(fresh.size, row), fresh)).sum())
        assert len(expected) == min(places, left)


def test_every_item_has_the_same_chance_whatever_its_row() -> None:
    fresh = np.arange(0, 200, 8, dtype=np.int32)
    units = np.arange(20_000, dtype=np.uint64)
    drawn = draw_fresh(
        fresh_key(1), units, 4, fresh=fresh, hidden=empty_seen(units.size, N_ITEMS), places=5
    )
    # First places are independent draws; so are second ones. Items within a row are not.
    for place in range(5):
        counts = np.bincount(drawn[:, place], minlength=N_ITEMS)[fresh]
        assert counts.sum() == units.size
        assert stats.chisquare(counts).pvalue > 1e-4


def test_other_days_and_seeds_draw_others_and_batches_do_not_show() -> None:
    rng = np.random.default_rng(2)
    units = rng.integers(0, 2**63, 30).astype(np.uint64)
    fresh, hidden = _some(rng, 60), _hidden(rng, 30, 0.2)

    def draw(seed: int, day: int) -> IndexArray:
        return draw_fresh(fresh_key(seed), units, day, fresh=fresh, hidden=hidden, places=5)

    whole = draw(1, 4)
    assert (draw(1, 4) == whole).all()
    assert (draw(1, 5) != whole).mean() > 0.8
    assert (draw(2, 4) != whole).mean() > 0.8
    for row in range(30):
        one = draw_fresh(
            fresh_key(1), units[row : row + 1], 4, fresh=fresh, hidden=hidden[[row]], places=5
        )
        assert (one[0] == whole[row]).all()


@pytest.mark.parametrize("seed", range(40))
def test_inserting_is_its_plain_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, depth = 12, int(rng.integers(5, 30))
    k = int(rng.integers(1, depth + 1))
    places = int(rng.integers(1, k + 1))
    items = np.full((n, depth), PAD, dtype=np.int32)
    fresh = np.full((n, places), PAD, dtype=np.int32)
    for row in range(n):
        length = int(rng.integers(0, depth + 1))
        items[row, :length] = rng.permutation(40)[:length]
        given = int(rng.integers(0, places + 1))
        fresh[row, :given] = rng.permutation(40)[:given]
    scores = np.where(items == PAD, 0.0, items / 100).astype(np.float32)
    got = insert_fresh(Candidates(items, scores), fresh, (fresh / 100).astype(np.float32), k=k)
    for row in range(n):
        ranked, new = _real(items[row]), _real(fresh[row])
        expected = insert_fresh_reference(ranked, new, k)[:depth]
        assert _real(got.items[row]) == expected
        assert set(new) <= set(expected[:k])
        # What was ranked keeps its order.
        kept = [item for item in expected if item not in new]
        assert kept == [item for item in ranked if item not in new][: len(kept)]
        found = got.items[row] != PAD
        assert np.array_equal(got.scores[row][found], (got.items[row][found] / 100).astype("f4"))
        assert (got.scores[row][~found] == 0).all()


def _real(row: IndexArray) -> list[int]:
    return [int(item) for item in row if item != PAD]
