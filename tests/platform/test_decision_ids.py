import numpy as np

from matinee_platform.decision_ids import decision_ids


def test_ids_are_distinct_over_users_days_and_pages() -> None:
    users = np.arange(400, dtype=np.int64) * 7_919
    ids = np.concatenate(
        [decision_ids(np.uint64(5), users, day, page) for day in range(10) for page in range(6)]
    )
    assert np.unique(ids).size == ids.size


def test_one_page_per_user_equals_one_page_for_all() -> None:
    users = np.array([3, 9], dtype=np.int64)
    pages = np.array([2, 2], dtype=np.int32)
    np.testing.assert_array_equal(
        decision_ids(np.uint64(1), users, 4, pages), decision_ids(np.uint64(1), users, 4, 2)
    )


def test_arms_have_ids_of_their_own() -> None:
    users = np.arange(100, dtype=np.int64)
    first = decision_ids(np.uint64(1), users, 0, 0)
    second = decision_ids(np.uint64(2), users, 0, 0)
    assert not set(first.tolist()) & set(second.tolist())
