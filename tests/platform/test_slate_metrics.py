"""Slate metrics: definitions taken pair by pair, and the reader against the arrays it read."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather

from matinee_platform.analysis.exposure import read_exposure
from matinee_platform.analysis.slate_metrics import (
    coverage,
    exposure_counts,
    gini,
    intra_list_diversity,
    intra_list_diversity_reference,
    novelty,
    read_slate_metrics,
)
from matinee_policies.arrays import Float32Array, IndexArray
from matinee_policies.errors import ContextError, DataError

ITEMS, SLOTS = 40, 6


def unit_vectors(seed: int = 1) -> Float32Array:
    vectors = np.random.default_rng(seed).normal(size=(ITEMS, 9))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[3] = 0.0  # nothing is known about item 3
    return vectors.astype(np.float32)


def random_slates(pages: int, seed: int = 2) -> IndexArray:
    rng = np.random.default_rng(seed)
    slates = np.array([rng.permutation(ITEMS // 2)[:SLOTS] for _ in range(pages)], dtype=np.int32)
    filled = rng.integers(0, SLOTS + 1, size=pages)
    slates[np.arange(SLOTS) >= filled[:, None]] = -1
    return slates


def write_slates(run: Path, slates: IndexArray, cuts: list[int]) -> None:
    folder = run / "decisions" / "arm"
    folder.mkdir(parents=True)
    for number, part in enumerate(np.split(slates, cuts)):
        column = pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), SLOTS)
        path = folder / f"part-{number:05d}.arrow"
        feather.write_feather(pa.table({"slate": column}), path, chunksize=7)


def test_diversity_equals_its_definition() -> None:
    slates, vectors = random_slates(200), unit_vectors()
    found = intra_list_diversity(slates, vectors)
    np.testing.assert_allclose(
        found, intra_list_diversity_reference(slates, vectors), rtol=0, atol=1e-6
    )
    assert np.isnan(found).sum() == ((slates != -1).sum(axis=1) < 2).sum()


def test_diversity_by_hand() -> None:
    vectors = np.array([[1, 0], [0, 1], [-1, 0], [0, 0]], dtype=np.float32)
    slates = np.array([[0, 0, 0], [0, 1, -1], [0, 2, -1], [0, 3, 3], [0, 1, 2]], dtype=np.int32)
    np.testing.assert_allclose(intra_list_diversity(slates, vectors), [0, 1, 2, 1, 4 / 3])


def test_gini_equals_its_definition() -> None:
    counts = np.random.default_rng(3).geometric(0.1, size=50) - 1
    apart = np.abs(counts[:, None] - counts[None, :]).mean()
    assert gini(counts) == pytest.approx(apart / (2 * counts.mean()), rel=1e-12)
    assert math.isnan(gini(np.zeros(4, dtype=np.int64)))


def test_coverage_and_counts() -> None:
    counts = exposure_counts(np.array([[0, 2], [2, -1]], dtype=np.int32), 5)
    assert counts.tolist() == [1, 0, 2, 0, 0]
    assert coverage(counts) == 0.4


def test_novelty_by_hand() -> None:
    counts, popularity = np.array([2, 1, 1]), np.array([8, 2, 0])
    # 0 bits twice, 2 bits, and 3 bits for the item that counts as known by one of eight.
    assert novelty(counts, popularity, past_users=8) == pytest.approx((0 + 0 + 2 + 3) / 4)
    assert math.isnan(novelty(np.zeros(3, dtype=np.int64), popularity, past_users=8))
    with pytest.raises(ContextError, match="at most past_users = 7 users, got 3 up to 8"):
        novelty(counts, popularity, past_users=7)
    with pytest.raises(ContextError, match="3 counts"):
        novelty(counts, popularity[:2], past_users=8)


@pytest.mark.parametrize("cuts", [[], [10, 60], [1, 2, 3]])
def test_reader_sums_up_the_log_however_it_is_cut(tmp_path: Path, cuts: list[int]) -> None:
    slates, vectors = random_slates(100), unit_vectors()
    popularity = np.arange(ITEMS)
    write_slates(tmp_path, slates, cuts)
    found = read_slate_metrics(
        tmp_path, "arm", embeddings=vectors, popularity=popularity, past_users=50
    )
    counts = exposure_counts(slates, ITEMS)
    each = intra_list_diversity(slates, vectors)
    each = each[~np.isnan(each)]
    assert (found.pages, found.impressions) == (100, int((slates != -1).sum()))
    assert found.intra_list_diversity == math.fsum(each) / each.size
    assert (found.coverage, found.gini) == (coverage(counts), gini(counts))
    assert found.novelty == novelty(counts, popularity, past_users=50)


def test_an_arm_without_pages_has_no_diversity(tmp_path: Path) -> None:
    (tmp_path / "decisions").mkdir()
    found = read_slate_metrics(
        tmp_path,
        "arm",
        embeddings=unit_vectors(),
        popularity=np.ones(ITEMS, dtype=np.int64),
        past_users=1,
    )
    assert (found.pages, found.impressions, found.coverage) == (0, 0, 0.0)
    assert math.isnan(found.intra_list_diversity)
    assert math.isnan(found.gini)


@pytest.mark.parametrize("wrong", [ITEMS, -2])
def test_items_outside_the_catalogue_are_refused(tmp_path: Path, wrong: int) -> None:
    slates = random_slates(5)
    slates[4, 0] = wrong
    write_slates(tmp_path, slates, [])
    with pytest.raises(DataError, match=f"catalogue rows below {ITEMS}, got {wrong}"):
        read_slate_metrics(
            tmp_path,
            "arm",
            embeddings=unit_vectors(),
            popularity=np.ones(ITEMS, dtype=np.int64),
            past_users=1,
        )
    with pytest.raises(DataError, match=f"catalogue rows below {ITEMS}, got {wrong}"):
        read_exposure(tmp_path, "arm", items=ITEMS)
