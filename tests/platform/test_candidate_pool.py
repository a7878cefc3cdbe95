import numpy as np
import pytest

from matinee_platform.candidate_pool import CandidatePool, take_reference
from matinee_policies.candidates.top_k import Candidates
from matinee_policies.errors import ContextError
from matinee_policies.records import PAD


def _pool(seed: int, visits: int, depth: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    items = np.argsort(rng.random((visits, 3 * depth)), axis=1)[:, :depth].astype(np.int32)
    items[0, depth // 2 :] = PAD
    scores = -np.sort(-rng.random((visits, depth))).astype(np.float32)
    return items, scores


def test_pages_show_each_item_once_and_best_first() -> None:
    items, scores = _pool(1, visits=5, depth=20)
    pool = CandidatePool(Candidates(items, scores))
    shown: list[set[int]] = [set() for _ in range(5)]
    is_shown = items == PAD
    rng = np.random.default_rng(2)
    for _ in range(4):
        visits = np.array([0, 2, 3], dtype=np.int32)
        page = pool.take(visits, 8)
        assert page.items.tolist() == take_reference(visits, items, is_shown, 8).tolist()
        positions = np.array([rng.permutation(8)[:3] for _ in visits], dtype=np.int32)
        positions[page.items[np.arange(3)[:, None], positions] == PAD] = PAD
        pool.mark_shown(visits, page, positions)
        for row, visit in enumerate(visits):
            for position in positions[row][positions[row] != PAD]:
                item = int(page.items[row, position])
                assert item not in shown[visit]
                shown[visit].add(item)
                is_shown[visit, items[visit] == item] = True
    assert not shown[1]
    assert not shown[4]


def test_scores_stay_beside_their_items() -> None:
    items, scores = _pool(3, visits=4, depth=12)
    page = CandidatePool(Candidates(items, scores)).take(np.array([1, 3], dtype=np.int32), 12)
    np.testing.assert_array_equal(page.items, items[[1, 3]])
    np.testing.assert_array_equal(page.scores, scores[[1, 3]])


def test_an_exhausted_pool_pads_on_the_right() -> None:
    items, scores = _pool(4, visits=2, depth=6)
    page = CandidatePool(Candidates(items, scores)).take(np.array([0], dtype=np.int32), 6)
    assert page.items[0, 3:].tolist() == [PAD] * 3
    assert page.scores[0, 3:].tolist() == [0.0] * 3


def test_items_shown_leave_the_pool_wherever_they_stand() -> None:
    items, scores = _pool(7, visits=3, depth=12)
    pool = CandidatePool(Candidates(items, scores))
    visits = np.array([1, 2], dtype=np.int32)
    # The last of one pool, one that no pool holds, and no item at all.
    shown = np.array([[items[1, 11], 99, PAD], [items[2, 4], items[2, 0], PAD]], dtype=np.int32)
    pool.mark_items(visits, shown)
    page = pool.take(np.arange(3, dtype=np.int32), 12)
    for row, gone in enumerate(([], [11], [4, 0])):
        left = np.delete(items[row], gone)
        left = left[left != PAD]
        assert page.items[row, : left.size].tolist() == left.tolist()
        assert (page.items[row, left.size :] == PAD).all()


def test_a_deeper_pool_goes_on_where_the_first_one_ended() -> None:
    items, scores = _pool(5, visits=6, depth=24)
    shallow = CandidatePool(Candidates(items[:, :14].copy(), scores[:, :14].copy()))
    whole = CandidatePool(Candidates(items, scores))
    visits = np.array([0, 1, 2, 4, 5], dtype=np.int32)
    for pool in (shallow, whole):
        page = pool.take(visits, 10)
        positions = np.tile(np.array([2, 7, 0, PAD], dtype=np.int32), (visits.size, 1))
        pool.mark_shown(visits, page, positions)
    rest = np.array([4, 1], dtype=np.int32)
    deeper = shallow.deepened(rest, Candidates(items[rest], scores[rest]))
    found, expected = deeper.take(np.arange(2, dtype=np.int32), 20), whole.take(rest, 20)
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_array_equal(found.scores, expected.scores)
    np.testing.assert_array_equal(found.places, expected.places)


def test_a_deeper_ranking_of_other_items_is_refused() -> None:
    items, scores = _pool(6, visits=2, depth=9)
    pool = CandidatePool(Candidates(items[:, :4].copy(), scores[:, :4].copy()))
    other = items.copy()
    other[1, [0, 3]] = other[1, [3, 0]]
    with pytest.raises(ContextError, match="must begin with the items of the first one"):
        pool.deepened(np.arange(2, dtype=np.int32), Candidates(other, scores))
