import numpy as np

from matinee_platform.log_rows import COMPONENTS, WHOLE_PAGE
from matinee_platform.reward_rows import (
    LateRatings,
    page_rewards,
    rating_rewards,
    return_rewards,
)

IDS = np.array([11, 12, 13], dtype=np.uint64)


def test_each_clicked_slot_gives_a_click_and_a_watch_row() -> None:
    clicks = np.array([[False, True], [False, False], [True, True]])
    watch = np.where(clicks, np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]), np.nan)
    rows = page_rewards(IDS, clicks, watch.astype(np.float32), day=4)
    got = [
        (int(i), COMPONENTS[c], int(s), round(float(v), 3))
        for i, c, s, v in zip(rows.decision_id, rows.component, rows.slot, rows.value, strict=True)
    ]
    assert got == [
        (11, "click", 1, 1.0),
        (11, "watch", 1, 0.2),
        (13, "click", 0, 1.0),
        (13, "watch", 0, 0.5),
        (13, "click", 1, 1.0),
        (13, "watch", 1, 0.6),
    ]
    assert rows.day.tolist() == [4] * 6


def test_rows_do_not_depend_on_how_pages_are_batched() -> None:
    rng = np.random.default_rng(1)
    ids = np.arange(20, dtype=np.uint64)
    clicks = rng.random((20, 4)) < 0.3
    watch = rng.random((20, 4)).astype(np.float32)
    whole = page_rewards(ids, clicks, watch, day=0)
    parts = [page_rewards(ids[a:b], clicks[a:b], watch[a:b], day=0) for a, b in [(0, 7), (7, 20)]]
    for name in ("decision_id", "component", "slot", "value"):
        np.testing.assert_array_equal(
            getattr(whole, name), np.concatenate([getattr(part, name) for part in parts])
        )


def test_a_return_visit_belongs_to_the_page() -> None:
    rows = return_rewards(IDS, day=9)
    assert [COMPONENTS[c] for c in rows.component] == ["return_visit"] * 3
    assert rows.slot.tolist() == [WHOLE_PAGE] * 3
    assert rows.value.tolist() == [1.0] * 3


def test_a_rating_keeps_its_slot_and_stars() -> None:
    ratings = LateRatings(
        ids=IDS[:1],
        units=np.array([0], dtype=np.int32),
        items=np.array([5], dtype=np.int32),
        slots=np.array([3], dtype=np.int16),
        stars=np.array([4.5], dtype=np.float32),
        days=np.array([2], dtype=np.int64),
    )
    rows = rating_rewards(ratings, day=2)
    assert (COMPONENTS[int(rows.component[0])], int(rows.slot[0])) == ("rating", 3)
    assert rows.value.tolist() == [4.5]
