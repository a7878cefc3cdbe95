"""Logs of actions in tables: read as written, streamed, and refused by column, row and rule."""

import gzip
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from matinee_platform.ope.inputs.action_log import ActionBatch, ActionLog
from matinee_platform.ope.inputs.log_columns import LogColumns
from matinee_platform.ope.inputs.table import table_log
from matinee_platform.ope.inputs.target_law import logged_stream
from matinee_policies.errors import ConfigError, DataError, MatineeError

ROWS = 18_000
COLUMNS = {
    "action": "item_id",
    "reward": "clicked",
    "propensity": "p",
    "position": "place",
    "unit": "visitor",
    "time": "at",
    "context": "age,country",
}


def made_up_table(seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "unread": rng.random(ROWS),
            "item_id": rng.integers(0, 12, ROWS) * 10,
            "clicked": (rng.random(ROWS) < 0.1).astype(float),
            "p": rng.uniform(0.01, 1.0, ROWS),
            "place": rng.integers(1, 4, ROWS),
            "visitor": [f"user {k}" for k in rng.integers(0, 900, ROWS).tolist()],
            "at": pa.array(1_700_000_000_000 + np.arange(ROWS) // 2 * 7).cast(
                pa.timestamp("ms", tz="UTC")
            ),
            "age": rng.normal(size=ROWS),
            "country": rng.choice(["AT", "BR", "CH"], ROWS),
        }
    )


@cache
def csv_lines() -> list[str]:
    text: str = made_up_table().to_pandas().to_csv(index=False)
    return text.splitlines()


def whole(log: ActionLog) -> ActionBatch:
    """A log in one part."""
    parts = list(log.stream())
    names = list(parts[0].arrays())
    return ActionBatch(
        first=0, **{name: np.concatenate([part.arrays()[name] for part in parts]) for name in names}
    )


def assert_is_the_table(log: ActionLog, table: pa.Table) -> None:
    batch, raw = whole(log), table.to_pandas()
    assert log.items == tuple(str(10 * k) for k in range(12))
    assert (log.rows, log.positions, log.slots) == (ROWS, 3, 1)
    assert log.contexts == ("age", "country=AT", "country=BR", "country=CH")
    assert log.flags == ()
    np.testing.assert_array_equal(batch.actions[:, 0], raw["item_id"] // 10)
    np.testing.assert_array_equal(batch.rewards[:, 0], raw["clicked"])
    np.testing.assert_array_equal(batch.logged[:, 0], raw["p"])
    np.testing.assert_array_equal(batch.positions[:, 0], raw["place"] - 1)
    np.testing.assert_array_equal(batch.time, np.asarray(table["at"].cast(pa.int64())))
    hashes = [
        int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") for name in raw["visitor"]
    ]
    np.testing.assert_array_equal(batch.unit, np.array(hashes, dtype=np.uint64))
    assert batch.context is not None
    np.testing.assert_array_equal(batch.context[:, 0], raw["age"])
    for k, country in enumerate(["AT", "BR", "CH"], start=1):
        np.testing.assert_array_equal(batch.context[:, k], raw["country"] == country)


def test_a_parquet_file_and_tables_in_memory(tmp_path: Path) -> None:
    table = made_up_table()
    path = tmp_path / "log.parquet"
    parquet.write_table(table, path, row_group_size=3_001)
    for source in (path, str(path), table, table.to_pandas()):
        assert_is_the_table(table_log(source, COLUMNS), table)


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz", "log.tsv"])
def test_a_csv_file(tmp_path: Path, name: str) -> None:
    table = made_up_table()
    path = tmp_path / name
    between = "\t" if name.endswith("tsv") else ","
    text = "\n".join(csv_lines()).replace(",", between).encode()
    path.write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    assert_is_the_table(table_log(path, COLUMNS), table)


def test_a_folder_of_parts(tmp_path: Path) -> None:
    table = made_up_table()
    for k, start in enumerate(range(0, ROWS, 7_000)):
        parquet.write_table(table.slice(start, 7_000), tmp_path / f"part-{k}.parquet")
    assert_is_the_table(table_log(tmp_path, COLUMNS), table)


def test_parts_are_bounded_and_can_be_read_again(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    parquet.write_table(made_up_table(), path)
    log = table_log(path, COLUMNS)
    sizes = [len(batch) for batch in log.stream()]
    assert max(sizes) <= 16_384
    assert sum(sizes) == ROWS
    assert [batch.first for batch in log.stream()] == [0, *np.cumsum(sizes)[:-1]]


def pages() -> pd.DataFrame:
    """Pages of two slots, the second sometimes empty."""
    return pd.DataFrame(
        {
            "a1": ["x", "y", "x", "z"],
            "a2": ["y", None, "z", "x"],
            "r1": [0.0, 1.0, 0.5, -2.0],
            "r2": [1.0, 0.0, 0.0, 0.0],
            "p1": [0.5, 0.25, 0.5, 0.25],
            "p2": [0.5, 1.0, 0.75, 0.1],
            "t1": [0.0, 1.0, 0.5, 0.5],
            "t2": [0.25, 1.0, 1.0, 0.0],
        }
    )


PAGES: Mapping[str, str] = {"action": "a1,a2", "reward": "r1,r2", "propensity": "p1,p2"}


def test_pages_of_several_slots(tmp_path: Path) -> None:
    path = tmp_path / "pages.csv"
    pages().to_csv(path, index=False)
    for source in (pages(), path):
        log = table_log(source, PAGES, distinct=True)
        batch = whole(log)
        assert log.items == ("x", "y", "z")
        assert batch.actions.tolist() == [[0, 1], [1, -1], [0, 2], [2, 0]]
        assert batch.positions.tolist() == [[0, 1]] * 4
        assert batch.unit.tolist() == batch.time.tolist() == [0, 1, 2, 3]
        assert log.rewards == (-2.0, 1.0)


def test_a_policy_known_by_the_column_of_its_probabilities() -> None:
    log = table_log(pages(), {**PAGES, "target": "t1,t2"})
    (batch,) = logged_stream(log, None)()
    assert batch.target.tolist() == pages()[["t1", "t2"]].to_numpy().tolist()
    assert np.isnan(batch.unreachable[:, 0]).all()
    declared = pages().assign(u1=0.0, u2=0.125)
    log = table_log(declared, {**PAGES, "target": "t1,t2", "unreachable": "u1,u2"})
    (batch,) = logged_stream(log, None)()
    # Empty slots are reached by all.
    assert batch.unreachable.tolist() == [[0.0, 0.125], [0.0, 0.0], [0.0, 0.125], [0.0, 0.125]]


BAD: Mapping[str, tuple[str, Any, str]] = {
    "propensity 0": ("p", 0.0, r"line 17002: p must be a probability in \(0, 1\], got 0.0"),
    "propensity above 1": ("p", 1.5, r"line 17002: p must be a probability in \(0, 1\], got 1.5"),
    "propensity nan": ("p", "nan", "line 17002: p must be a finite number, got nan"),
    "propensity word": ("p", "high", "line 17002: p must be a number, got 'high'"),
    "reward missing": ("clicked", "", "line 17002: clicked must be a number, got ''"),
    "reward infinite": ("clicked", "inf", "line 17002: clicked must be a finite number, got inf"),
    "position 0": ("place", 0, "line 17002: place must be a whole number from 1 to 1000, got 0"),
    "position half": ("place", "1.5", "line 17002: place must be a whole number, got '1.5'"),
    "item missing": ("item_id", "", "line 17002: item_id must be an id of 1 to 200 characters"),
    "time falls": ("at", "2001-01-01 00:00:00.000+00:00", "line 17002: at must not fall; sort"),
    "time word": ("at", "noon", "line 17002: at must be a date or time as in the first row"),
    "context": ("age", "old", "line 17002: age must be a number, got 'old'"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_value_is_named_before_there_is_a_log(tmp_path: Path, case: str) -> None:
    column, value, words = BAD[case]
    lines = csv_lines().copy()
    values = lines[17_001].split(",")
    values[lines[0].split(",").index(column)] = str(value)
    lines[17_001] = ",".join(values)
    path = tmp_path / "log.csv"
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=words):
        table_log(path, COLUMNS)


def test_bad_values_of_columns_with_types() -> None:
    raw = made_up_table().to_pandas()
    with pytest.raises(DataError, match="row 17001: visitor must not be missing") as raised:
        table_log(raw.assign(visitor=raw["visitor"].where(raw.index != 17_000)), COLUMNS)
    assert "user" not in str(raised.value)
    with pytest.raises(DataError, match="row 3: visitor must be at least 0, got -3"):
        table_log(raw.assign(visitor=np.where(raw.index == 2, -3, raw.index)), COLUMNS)
    with pytest.raises(DataError, match="column visitor must hold units"):
        table_log(raw.assign(visitor=0.5), COLUMNS)
    with pytest.raises(DataError, match="row 17001: place must be a whole number from 1 to 2"):
        table_log(raw.assign(place=np.where(raw.index == 17_000, 3, 1)), COLUMNS, positions=2)
    with pytest.raises(DataError, match="item_id must be one of the 2 items, got"):
        table_log(raw, COLUMNS, items=["0", "10"])
    with pytest.raises(DataError, match=r"must have the column of unit.*got 'nobody'"):
        table_log(raw, {**COLUMNS, "unit": "nobody"})
    with pytest.raises(DataError, match="at least one row"):
        table_log(raw.iloc[:0], COLUMNS)
    with pytest.raises(ConfigError, match="column country of the context must hold at most 1,000"):
        table_log(raw.assign(country=[str(k) for k in range(ROWS)]), COLUMNS)


def test_a_data_frame_is_read_by_the_columns_that_are_named() -> None:
    frame = pd.DataFrame({0: [3, 4], 1: [1.0, 0.0], 2: [0.5, 0.5], "words": ["Ann", 1]})
    columns = {"action": "0", "reward": "1", "propensity": "2"}
    assert table_log(frame, columns).items == ("3", "4")
    with pytest.raises(DataError, match="column words must hold values of one type") as told:
        table_log(frame, columns | {"unit": "words"})
    assert "Ann" not in str(told.value)
    twice = pd.concat([frame, frame[[2]]], axis=1)
    for table in (twice, pa.table([[3], [1.0], [0.5], [0.5]], names=["0", "1", "2", "2"])):
        with pytest.raises(DataError, match="must have one column 2, has 2"):
            table_log(table, columns)
    with pytest.raises(ConfigError, match=r"a pandas frame, got builtins\.dict"):
        table_log({"0": [3]}, columns)


def test_bad_pages_are_refused() -> None:
    with pytest.raises(DataError, match=r"row 2: p2 must be 1 where the slot is empty, got 0.5"):
        table_log(pages().assign(p2=0.5), PAGES)
    with pytest.raises(DataError, match="row 3: a page must not show an item twice"):
        table_log(pages().assign(a1=["x", "y", "z", "z"]), PAGES, distinct=True)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"reward": "r1"}, "needs the column of action"),
        ({"action": "a1"}, "needs the column of reward"),
        ({**PAGES, "reward": "r1"}, "reward must name a column for each of 2 slots, got 1"),
        ({**PAGES, "position": "t1"}, "position must name one column"),
        ({**PAGES, "unreachable": "t1,t2"}, "unreachable goes with a column of target"),
        ({**PAGES, "unit": "r1"}, "columns must be distinct, got r1 twice"),
        ({**PAGES, "time": "t1,t2"}, "time must name one column, got 2"),
        ({**PAGES, "weight": "t1"}, "columns must be of action, reward.*got 'weight'"),
        ({"action": "a1", "reward": "r1"}, "the log has no propensities: name their column"),
    ],
)
def test_columns_that_do_not_fit_are_refused(columns: Mapping[str, str], words: str) -> None:
    with pytest.raises(MatineeError, match=words):
        table_log(pages(), columns)


def test_propensities_are_not_estimated_over_logged_ones() -> None:
    with pytest.raises(ConfigError, match="propensities are in column p1, so none are estimated"):
        table_log(pages(), PAGES, propensities="uniform")


def test_columns_by_use() -> None:
    columns = LogColumns.of(PAGES)
    assert columns.uses()["action 2"] == "a2"
    assert columns.slots == 2
