"""The feature table: each column by hand, the kernel against its twin, the edge."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matinee_policies.arrays import Float32Array, IndexArray
from matinee_policies.catalogue import Catalogue, similarity_embeddings
from matinee_policies.errors import ContextError, DataError
from matinee_policies.features import (
    FEATURE_NAMES,
    FEATURES,
    ItemFeatures,
    UnitStateBatch,
    compute_features,
    compute_features_reference,
    shown_features,
    slot_feature,
)
from matinee_policies.interactions import Interactions
from matinee_policies.records import PAD
from matinee_policies.tag_table import TagTable

M, G, N = 40, 5, 30


def column(name: str) -> int:
    return FEATURE_NAMES.index(name)


@pytest.fixture(scope="module")
def data() -> tuple[Catalogue, Interactions]:
    random = np.random.default_rng(2)
    genres = random.random((M, G)) < 0.4
    genres[3] = False
    users, items = np.nonzero(random.random((N, M)) < np.linspace(0.02, 0.9, M))
    kept = items != 7
    interactions = Interactions.from_triplets(
        users[kept],
        items[kept],
        random.integers(1, 11, int(kept.sum())) / 2,
        np.arange(int(kept.sum())),
        n_users=N,
        n_items=M,
        rating_range=(0.5, 5.0),
    )
    catalogue = Catalogue(
        ids=np.arange(M, dtype=np.int64),
        titles=tuple(f"Film {row}" for row in range(M)),
        years=np.zeros(M, dtype=np.int16),
        genre_names=tuple("ABCDE"),
        genres=genres,
        people=TagTable.empty(M),
        keywords=TagTable.empty(M),
        embeddings=similarity_embeddings(random.normal(size=(M, 3)), genres),
    )
    return catalogue, interactions


@pytest.fixture(scope="module")
def items(data: tuple[Catalogue, Interactions]) -> ItemFeatures:
    return ItemFeatures.build(*data)


def random_state(n: int, *, seed: int = 0) -> UnitStateBatch:
    random = np.random.default_rng(seed)
    history = random.exponential(3.0, (n, G)) * (random.random((n, 1)) < 0.8)
    return UnitStateBatch(
        genre_history=history.astype(np.float32),
        genre_exposure=random.exponential(30.0, (n, G)).astype(np.float32),
        last_watched=random.integers(-1, M, n).astype(np.int32),
        activity=random.integers(0, 50, n).astype(np.float32),
        days_since_visit=random.integers(-1, 60, n).astype(np.float32),
    )


def random_candidates(n: int, k: int, *, seed: int = 0) -> tuple[IndexArray, Float32Array]:
    random = np.random.default_rng(seed)
    rows = np.array([random.permutation(M)[:k] for _ in range(n)], dtype=np.int32)
    rows[np.arange(k) >= random.integers(1, k + 1, n)[:, None]] = PAD
    return rows, random.random((n, k)).astype(np.float32)


def one_unit(**change: Any) -> UnitStateBatch:
    fields: dict[str, Any] = {
        "genre_history": np.zeros((1, G), dtype=np.float32),
        "genre_exposure": np.zeros((1, G), dtype=np.float32),
        "last_watched": np.array([-1], dtype=np.int32),
        "activity": np.zeros(1, dtype=np.float32),
        "days_since_visit": np.full(1, -1, dtype=np.float32),
    }
    return UnitStateBatch(**{**fields, **change})


ALL = np.arange(M, dtype=np.int32)[None]
HALF = np.full((1, M), 0.5, dtype=np.float32)


def test_kernel_equals_its_twin(items: ItemFeatures) -> None:
    for seed in range(5):
        state, (rows, scores) = random_state(50, seed=seed), random_candidates(50, 20, seed=seed)
        got = compute_features(items, state, rows, scores)
        assert got.dtype == np.float32
        np.testing.assert_allclose(
            got, compute_features_reference(items, state, rows, scores), atol=1e-6
        )


def test_rows_do_not_depend_on_their_batch(items: ItemFeatures) -> None:
    state, (rows, scores) = random_state(33), random_candidates(33, 20)
    whole = compute_features(items, state, rows, scores)
    for start, stop in ((0, 1), (5, 12), (32, 33)):
        part = UnitStateBatch(
            genre_history=state.genre_history[start:stop],
            genre_exposure=state.genre_exposure[start:stop],
            last_watched=state.last_watched[start:stop],
            activity=state.activity[start:stop],
            days_since_visit=state.days_since_visit[start:stop],
        )
        alone = compute_features(items, part, rows[start:stop], scores[start:stop])
        assert alone.tobytes() == whole[start:stop].tobytes()


def test_a_candidate_does_not_depend_on_its_neighbours(items: ItemFeatures) -> None:
    state = random_state(1)
    whole = compute_features(items, state, ALL, HALF)
    backwards = compute_features(items, state, np.ascontiguousarray(ALL[:, ::-1]), HALF)
    assert backwards[:, ::-1].tobytes() == whole.tobytes()
    few = compute_features(items, state, ALL[:, :3].copy(), HALF[:, :3].copy())
    assert few.tobytes() == whole[:, :3].tobytes()


def test_every_feature_stays_in_its_range(items: ItemFeatures) -> None:
    state, (rows, scores) = random_state(400), random_candidates(400, 30)
    table = compute_features(items, state, rows, scores)[rows != PAD]
    assert len(set(FEATURE_NAMES)) == len(FEATURES) == table.shape[1]
    for place, feature in enumerate(FEATURES):
        assert feature.low <= table[:, place].min(), feature.name
        assert table[:, place].max() <= feature.high, feature.name


def test_padding_rows_are_zero(items: ItemFeatures) -> None:
    rows, scores = random_candidates(50, 20)
    scores[rows == PAD] = np.nan
    table = compute_features(items, random_state(50), rows, scores)
    assert (table[rows == PAD] == 0).all()
    assert (table[rows != PAD][:, column("bias")] == 1).all()


def test_item_columns_by_hand(items: ItemFeatures, data: tuple[Catalogue, Interactions]) -> None:
    interactions = data[1]
    dense = interactions.matrix.toarray().astype(np.float64)
    n = (dense > 0).sum(axis=0)
    np.testing.assert_allclose(items.popularity, np.sqrt(n / n.max()), rtol=1e-6)
    assert (np.diff(items.popularity[np.argsort(n)]) >= 0).all()
    share = (n + 1) / (N + 1)
    np.testing.assert_allclose(items.novelty, -np.log2(share) / np.log2(N + 1), rtol=1e-5)
    assert items.novelty[7] == 1.0

    rated = n > 0
    mean = (dense.sum(axis=0) + 5 * dense[dense > 0].mean()) / (n + 5)
    design = np.stack([np.ones(int(rated.sum())), mean[rated]], axis=1)
    solution = np.linalg.lstsq(design, np.log(1.0 + n[rated]), rcond=None)[0]
    left = np.log(1.0 + n[rated]) - design @ solution
    expected = np.clip(left / left.std(), -3, 3) / 3
    np.testing.assert_allclose(items.popularity_residual[rated], expected, atol=1e-6)
    assert items.popularity_residual[7] == 0.0


def test_appeal_is_what_the_ratings_do_not_explain(
    items: ItemFeatures, data: tuple[Catalogue, Interactions]
) -> None:
    n = data[1].item_counts()
    mean = (data[1].item_sums() + 5 * data[1].matrix.data.mean()) / (n + 5)
    rated = n > 0
    assert np.abs(items.popularity_residual).max() < 1, "nothing is clipped here"
    assert abs(np.corrcoef(items.popularity_residual[rated], mean[rated])[0, 1]) < 1e-5


def test_genre_affinity_is_a_cosine(items: ItemFeatures) -> None:
    history = np.array([[2, 0, 1, 0, 0]], dtype=np.float32)
    for scale in (1.0, 1e-3, 1e3):
        state = one_unit(genre_history=history * np.float32(scale))
        got = compute_features(items, state, ALL, HALF)[0, :, column("genre_affinity")]
        expected = items.genres @ (history[0] / np.sqrt(5))
        np.testing.assert_allclose(got, expected, atol=1e-6)
    nothing = compute_features(items, one_unit(), ALL, HALF)[0, :, column("genre_affinity")]
    assert (nothing == 0).all()
    assert expected[3] == 0, "an item without genre fits no taste"


def test_similarity_to_last_is_a_cosine(items: ItemFeatures) -> None:
    last = np.array([11], dtype=np.int32)
    got = compute_features(items, one_unit(last_watched=last), ALL, HALF)
    similarity = got[0, :, column("similarity_to_last")]
    np.testing.assert_allclose(similarity, items.embeddings @ items.embeddings[11], atol=1e-6)
    assert abs(similarity[11] - 1) < 1e-6
    nothing = compute_features(items, one_unit(), ALL, HALF)
    assert (nothing[0, :, column("similarity_to_last")] == 0).all()


def test_unit_columns_by_hand(items: ItemFeatures) -> None:
    def value(name: str, **change: Any) -> float:
        return float(compute_features(items, one_unit(**change), ALL, HALF)[0, 0, column(name)])

    def one(number: float) -> Float32Array:
        return np.array([number], dtype=np.float32)

    assert [value("activity", activity=one(s)) for s in (0, 5, 15)] == [0.0, 0.5, 0.75]
    days = [value("days_since_visit", days_since_visit=one(w)) for w in (-1, 0, 7, 21)]
    assert days == [-1.0, 0.0, 0.5, 0.75]
    assert value("score") == 0.5
    assert value("slot") == 1.0


def test_genre_exposure_grows_with_what_was_shown(items: ItemFeatures) -> None:
    shown = np.zeros((1, G), dtype=np.float32)
    shown[0, 1] = 20
    got = compute_features(items, one_unit(genre_exposure=shown), ALL, HALF)
    exposure = got[0, :, column("genre_exposure")]
    x = 20 * items.genres[:, 1]
    np.testing.assert_allclose(exposure, x / (x + 20), rtol=1e-6)
    assert (exposure[items.genres[:, 1] == 0] == 0).all()


def test_shown_features_carry_the_slot(items: ItemFeatures) -> None:
    state, (rows, scores) = random_state(20), random_candidates(20, 12)
    features = compute_features(items, state, rows, scores)
    positions = np.full((20, 4), PAD, dtype=np.int32)
    for b in range(20):
        real = np.flatnonzero(rows[b] != PAD)[::-1][:4]
        positions[b, : real.size] = real
    before = features.copy()
    shown = shown_features(features, positions)
    assert features.tobytes() == before.tobytes(), "the decision's features stay as they were"
    for b in range(20):
        for slot in range(4):
            if positions[b, slot] == PAD:
                assert (shown[b, slot] == 0).all()
                continue
            expected = before[b, positions[b, slot]].copy()
            expected[column("slot")] = 1 / np.log2(slot + 2)
            np.testing.assert_array_equal(shown[b, slot], expected)


def test_slot_feature_falls_from_one() -> None:
    values = slot_feature(10)
    assert values[0] == 1
    assert (np.diff(values) < 0).all()
    assert values.dtype == np.float32


def test_positions_are_checked() -> None:
    features = np.zeros((2, 3, len(FEATURES)), dtype=np.float32)
    good = np.zeros((2, 2), dtype=np.int32)
    for table, positions, rule in (
        (features, good + 3, "positions must be within -1 and 2, got 3"),
        (features, good - 2, "positions must be within"),
        (features, good.astype(np.int64), "int32"),
        (features, good[:1], "B = 2"),
        (features[:, :, :-1], good, "features must be"),
        (features.astype(np.float64), good, "features must be"),
    ):
        with pytest.raises(ContextError, match=rule):
            shown_features(table, positions)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"genre_history": np.full((1, G), -1, dtype=np.float32)}, "genre_history must be finite"),
        ({"genre_exposure": np.full((1, G), np.nan, dtype=np.float32)}, "genre_exposure must be"),
        ({"activity": np.array([np.inf], dtype=np.float32)}, "activity must be finite"),
        ({"days_since_visit": np.array([-2], dtype=np.float32)}, "days_since_visit must be"),
        ({"days_since_visit": np.array([np.nan], dtype=np.float32)}, "days_since_visit must be"),
        ({"activity": np.zeros(2, dtype=np.float32)}, "activity must be a contiguous float32"),
        ({"activity": np.zeros(1)}, "activity must be a contiguous float32"),
        ({"last_watched": np.zeros(1, dtype=np.int64)}, "last_watched must be a contiguous int32"),
        ({"genre_exposure": np.zeros((1, 2), dtype=np.float32)}, "genre_exposure must be"),
        ({"genre_history": np.zeros(G, dtype=np.float32)}, "genre_history must be \\[B, G\\]"),
    ],
)
def test_unit_state_out_of_range_is_refused(change: dict[str, Any], rule: str) -> None:
    with pytest.raises(ContextError, match=rule):
        one_unit(**change)


@pytest.mark.parametrize(
    ("rows", "scores", "rule"),
    [
        ([[0, M]], [[0.5, 0.5]], f"candidates must be rows of {M} items or -1, got {M} in row 0"),
        ([[0, -2]], [[0.5, 0.5]], "candidates must be rows"),
        ([[PAD, 1]], [[0.5, 0.5]], "padding must fill candidates from the right"),
        ([[0, 1]], [[0.5, 1.5]], "scores must be within 0 and 1, got 1.5 in row 0, place 1"),
        ([[0, 1]], [[np.nan, 0.5]], "scores must be within 0 and 1, got nan in row 0, place 0"),
        ([[0, 1]], [[0.5]], "scores must be a contiguous float32"),
        ([[0], [1]], [[0.5], [0.5]], "B = 1"),
    ],
)
def test_candidates_out_of_range_are_refused(
    items: ItemFeatures, rows: list[list[int]], scores: list[list[float]], rule: str
) -> None:
    with pytest.raises(ContextError, match=rule):
        compute_features(
            items,
            one_unit(),
            np.array(rows, dtype=np.int32),
            np.array(scores, dtype=np.float32),
        )


def test_unit_state_of_another_catalogue_is_refused(items: ItemFeatures) -> None:
    for state, rule in (
        (one_unit(last_watched=np.array([M], dtype=np.int32)), "last_watched must be within"),
        (one_unit(last_watched=np.array([-2], dtype=np.int32)), "last_watched must be within"),
        (
            one_unit(
                genre_history=np.zeros((1, 2), dtype=np.float32),
                genre_exposure=np.zeros((1, 2), dtype=np.float32),
            ),
            "must have 5 genres, got 2",
        ),
    ):
        with pytest.raises(ContextError, match=rule):
            compute_features(items, state, ALL, HALF)


def test_item_features_round_trip(items: ItemFeatures, tmp_path: Path) -> None:
    items.save(tmp_path / "items.npz")
    loaded = ItemFeatures.load(tmp_path / "items.npz")
    assert loaded.version == items.version
    np.testing.assert_array_equal(loaded.genres, items.genres)
    with np.load(tmp_path / "items.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    np.savez(tmp_path / "items.npz", **{**arrays, "novelty": arrays["novelty"] + 2})
    with pytest.raises(DataError, match="novelty must be within 0 and 1"):
        ItemFeatures.load(tmp_path / "items.npz")


def test_items_must_be_those_of_the_ratings(data: tuple[Catalogue, Interactions]) -> None:
    catalogue, interactions = data
    part = catalogue.subset(np.arange(M - 1, dtype=np.int32))
    with pytest.raises(ContextError, match="same items"):
        ItemFeatures.build(part, interactions)


def test_no_ratings_at_all_is_no_error(data: tuple[Catalogue, Interactions]) -> None:
    catalogue, _ = data
    none = np.array([], dtype=np.int64)
    items = ItemFeatures.build(
        catalogue,
        Interactions.from_triplets(
            none, none, none * 1.0, none, n_users=3, n_items=M, rating_range=(0.5, 5.0)
        ),
    )
    assert (items.popularity == 0).all()
    assert (items.popularity_residual == 0).all()
    assert (items.novelty == 1).all()


def test_import_needs_neither_scipy_nor_pandas() -> None:
    # Numba itself imports the bare `scipy` package.
    program = (
        "import sys, matinee_policies.features as f; "
        "print(sorted({'scipy.sparse', 'scipy.linalg', 'pandas', 'pyarrow'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
