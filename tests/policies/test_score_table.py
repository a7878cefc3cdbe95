"""Lists of units: order, hidden items, the fallback behind them, and the Parquet they come from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matinee_policies.candidates import score_table_file
from matinee_policies.candidates.candidate_source import fit_source
from matinee_policies.candidates.fold_in import FoldInStatistics
from matinee_policies.candidates.popularity import PopularityConfig, fit_popularity
from matinee_policies.candidates.score_table import (
    ABSENT,
    ScoreTable,
    best_first,
    build_score_table,
    rank_table,
    rank_table_reference,
)
from matinee_policies.candidates.score_table_file import ScoreTableConfig, read_score_table
from matinee_policies.candidates.seen import empty_seen, mark_seen
from matinee_policies.candidates.source_data import SourceData, Units
from matinee_policies.candidates.unit_ranker import UnitRanker
from matinee_policies.errors import ConfigError, ContextError, DataError
from matinee_policies.records import PAD

M, N = 70, 12
KNOWN_BUT_LEFT_OUT = 999

MakeData = Callable[..., SourceData]


def write(path: Path, rows: list[tuple[Any, Any, Any]], **names: str) -> Path:
    columns = {
        names.get(name, name): [row[place] for row in rows]
        for place, name in enumerate(("unit", "item", "score"))
    }
    pq.write_table(pa.table(columns), path)
    return path


def table_of(seed: int) -> ScoreTable:
    """Lists of 0 to 40 items with many ties, for every other unit."""
    rng = np.random.default_rng(seed)
    parts = [
        (key, item, int(rng.integers(1, 9)) / 10)
        for key in range(0, 2 * N, 2)
        for item in rng.permutation(M)[: rng.integers(0, 41)]
    ]
    keys, items, raw = (np.array(column) for column in zip(*parts, strict=True))
    scores = raw.astype(np.float32)
    return build_score_table(
        keys.astype(np.uint64), items.astype(np.int32), scores, scores=scores, n_items=M
    )


def test_best_first_is_the_plain_sort() -> None:
    rng = np.random.default_rng(6)
    keys = rng.integers(0, 2**64, size=20, dtype=np.uint64)[rng.integers(0, 20, size=3000)]
    items = rng.integers(0, 50, size=3000, dtype=np.int32)
    raw = (rng.integers(-3, 4, size=3000) * rng.choice([1e-30, 0.5, 1e30], size=3000)).astype("f4")
    raw[:100] = -0.0
    order, expected = best_first(keys, items, raw), np.lexsort((items, -raw, keys))
    for column in (keys, items, raw):
        np.testing.assert_array_equal(column[order], column[expected])


@pytest.mark.parametrize("k", [1, 10, 64, 100])
def test_ranking_equals_the_plain_twin_whatever_the_batch(k: int, source_data: MakeData) -> None:
    fallback = fit_popularity(source_data().interactions, PopularityConfig(), seed=0)
    table = table_of(k)
    rows = table.rows_of(np.arange(N, dtype=np.uint64))
    assert (rows == ABSENT).any()
    hidden = empty_seen(N, M)
    pairs = np.random.default_rng(1).permutation(N * M)[: 15 * N]
    mark_seen(hidden, (pairs // M).astype(np.int32), (pairs % M).astype(np.int32))
    hidden[3] = np.uint64(2**64 - 1)
    vectors = np.tile(fallback.prior, (N, 1))
    before = hidden.copy()
    got = rank_table(table, rows, fallback=fallback, vectors=vectors, hidden=hidden, k=k)
    expected = rank_table_reference(
        table, rows, fallback=fallback, vectors=vectors, hidden=hidden, k=k
    )
    np.testing.assert_array_equal(got.items, expected.items)
    np.testing.assert_allclose(got.scores, expected.scores, rtol=1e-6)
    np.testing.assert_array_equal(hidden, before)
    assert (got.items[3] == PAD).all()
    shown = got.items != PAD
    assert ((got.scores[shown] > 0) & (got.scores[shown] < 1)).all()
    assert (np.diff(got.scores, axis=1) <= 0).all()
    for b in range(N):
        alone = rank_table(
            table,
            rows[b : b + 1],
            fallback=fallback,
            vectors=vectors[b : b + 1],
            hidden=hidden[b : b + 1],
            k=k,
        )
        np.testing.assert_array_equal(alone.items[0], got.items[b])
        np.testing.assert_array_equal(alone.scores[0], got.scores[b])


def test_a_file_gives_lists_by_falling_score_with_ties_to_the_lowest_row(
    tmp_path: Path, source_data: MakeData
) -> None:
    path = write(
        tmp_path / "scores.parquet",
        [
            ("user-3", 50, 2.0),
            ("user-3", 20, 2.0),
            ("user-3", 30, 9.0),
            ("user-7", 0, -1.0),
            ("visitor", 10, 3.0),
            ("user-7", KNOWN_BUT_LEFT_OUT, 3.0),
        ],
    )
    reading = read_score_table(ScoreTableConfig(path=str(path)), source_data())
    third, seventh = reading.table.rows_of(source_data().units.key_of(["user-3", "user-7"]))
    assert reading.table.items[reading.table.starts[third] :][:3].tolist() == [3, 2, 5]
    assert (reading.rows, reading.other_units, reading.other_items) == (6, 1, 1)
    raw = np.array([9.0, 2.0, 2.0])
    every = np.array([2.0, 2.0, 9.0, -1.0, 3.0, 3.0])
    expected = 1 / (1 + np.exp(-(raw - every.mean()) / every.std()))
    got = reading.table.scores[reading.table.starts[third] :][:3]
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert reading.table.rows_of(source_data().units.key_of(["visitor"]))[0] == ABSENT
    assert seventh != ABSENT


def test_pieces_and_thinning_do_not_change_the_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source_data: MakeData
) -> None:
    rng = np.random.default_rng(2)
    pairs = rng.permutation(N * M)
    rows = [(f"user-{p // M}", int(p % M) * 10, float(rng.integers(0, 50))) for p in pairs]
    path = write(tmp_path / "scores.parquet", rows)
    config = ScoreTableConfig(path=str(path), top=15)
    whole = read_score_table(config, source_data()).table
    monkeypatch.setattr(score_table_file, "_ROWS_AT_ONCE", 17)
    monkeypatch.setattr(score_table_file, "_ROWS_HELD", 100)
    pieces = read_score_table(config, source_data()).table
    np.testing.assert_array_equal(whole.items, pieces.items)
    np.testing.assert_allclose(whole.scores, pieces.scores, rtol=1e-6)
    assert (np.diff(whole.starts) == 15).all()
    best = sorted((-score, item) for unit, item, score in rows if unit == "user-5")[:15]
    row = whole.rows_of(source_data().units.key_of(["user-5"]))[0]
    assert whole.items[whole.starts[row] :][:15].tolist() == [item // 10 for _, item in best]


def test_columns_can_be_named_and_units_be_numbers_and_items_be_texts(
    tmp_path: Path, source_data: MakeData
) -> None:
    path = write(tmp_path / "a.parquet", [(4, "i30", 0.25)], unit="u", item="film", score="p")
    config = ScoreTableConfig(
        path=str(path), unit="u", item="film", score="p", score_map="identity"
    )
    numbered = source_data(labels=True)
    numbered = SourceData(
        catalogue=numbered.catalogue,
        interactions=numbered.interactions,
        known_items=numbered.known_items,
        item_labels=numbered.item_labels,
        units=Units(numbered.units.key_of(["4"]), numbered.units.histories, numbered.units.key_of),
    )
    table = read_score_table(config, numbered).table
    assert (table.items.tolist(), table.scores.tolist()) == ([3], [0.25])


GOOD = ("user-1", 10, 0.5)


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ([GOOD, ("user-1", 11, 0.5)], {}, "1 are not, the first of them, got 11"),
        ([GOOD, ("user-1", 20, float("nan"))], {}, "scores must be finite, got nan"),
        ([GOOD, ("user-1", 20, 1e300)], {}, "scores must be finite, got inf"),
        ([GOOD, ("user-1", 20, None)], {}, "column 'score' must hold no nulls, got 1"),
        ([GOOD, (None, 20, 0.5)], {}, "column 'unit' must hold no nulls"),
        ([GOOD, GOOD], {}, "a unit must list an item once; 1 pairs come again"),
        ([("user-1", "ten", 0.5)], {}, "item ids must be whole numbers"),
        ([("user-1", 10, "high")], {}, "column 'score' must hold numbers, got 'string'"),
        ([(0.5, 10, 0.5)], {}, "column 'unit' must hold text or whole numbers, got 'double'"),
        ([GOOD], {"score": "p"}, r"must have a column 'p'; its columns are, got \['unit'"),
        ([("user-1", 10, 1.0)], {"score_map": "identity"}, "above 0 and below 1, got 1.0"),
        ([GOOD][:0], {}, "must hold"),
    ],
)
def test_bad_files_are_refused_without_naming_units(
    tmp_path: Path,
    rows: list[tuple[Any, Any, Any]],
    settings: dict[str, Any],
    message: str,
    source_data: MakeData,
) -> None:
    path = write(tmp_path / "scores.parquet", rows)
    with pytest.raises(DataError, match=message) as caught:
        read_score_table(ScoreTableConfig(path=str(path), **settings), source_data())
    assert "user-" not in str(caught.value)


def test_missing_and_damaged_files_are_refused(tmp_path: Path, source_data: MakeData) -> None:
    with pytest.raises(DataError, match="file must exist"):
        read_score_table(ScoreTableConfig(path=str(tmp_path / "none.parquet")), source_data())
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 not really PAR1")
    with pytest.raises(DataError, match="must be an undamaged Parquet file"):
        read_score_table(ScoreTableConfig(path=str(tmp_path / "broken.parquet")), source_data())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": ""}, "path must be a text"),
        ({"path": "x", "top": 0}, "top must be >= 1"),
        ({"path": "x", "score_map": "rank"}, "score_map must be one of logistic, identity"),
        ({"path": "x", "fallback": "custom"}, "fallback must be one of biased_als"),
        ({}, "missing 1 required keyword-only argument: 'path'"),
    ],
)
def test_bad_settings_are_refused(
    settings: dict[str, Any], message: str, source_data: MakeData
) -> None:
    with pytest.raises(ConfigError, match=message):
        fit_source("score_table", settings, source_data(), seed=0)


def test_rows_of_other_units_only_are_refused(tmp_path: Path, source_data: MakeData) -> None:
    path = write(tmp_path / "a.parquet", [("other", 10, 0.1), ("other", 20, 0.2)])
    with pytest.raises(ConfigError, match="all 2 rows are of others such as 'other'"):
        fit_source("score_table", {"path": str(path)}, source_data(), seed=0)


def test_the_note_says_how_many_fall_back(tmp_path: Path, source_data: MakeData) -> None:
    path = write(tmp_path / "a.parquet", [GOOD, ("user-2", 10, 0.1), ("other", 10, 0.1)])
    source = fit_source("score_table", {"path": str(path)}, source_data(), seed=0)
    assert "2 of 12 units have a list" in source.note
    assert "10 fall back to popularity; 1 of 3 rows are of other units" in source.note


def test_a_table_survives_save_and_load_and_keeps_its_rules(tmp_path: Path) -> None:
    table = table_of(3)
    table.save(tmp_path / "lists.npz")
    again = ScoreTable.load(tmp_path / "lists.npz")
    for name in ("keys", "starts", "items", "scores"):
        np.testing.assert_array_equal(getattr(again, name), getattr(table, name))
    with pytest.raises(ContextError, match="scores must fall"):
        ScoreTable(
            keys=table.keys,
            starts=table.starts,
            items=table.items,
            scores=np.sort(table.scores),
            n_items=M,
        )
    with pytest.raises(ContextError, match="items must be within 0 and 4"):
        ScoreTable(
            keys=table.keys, starts=table.starts, items=table.items, scores=table.scores, n_items=5
        )


def test_a_ranker_of_a_fitted_model_is_the_model_alone(source_data: MakeData) -> None:
    source = fit_source("popularity", {}, source_data(), seed=0)
    assert source.own is None
    assert source.note == ""
    ranker = UnitRanker(source.model, source.own, keys=source_data().units.keys)
    units = np.arange(N, dtype=np.int32)
    vectors = FoldInStatistics(source.model, N).solve(units)
    got = ranker.rank(units, vectors, empty_seen(N, M), 5)
    counts = source_data().interactions.item_counts()
    assert got.items[0].tolist() == np.argsort(-counts, kind="stable")[:5].tolist()
