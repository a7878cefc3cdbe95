"""A table as a stream is the table as a whole, and names the same rows in errors."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from matinee_policies.arrays import FloatArray
from matinee_policies.datasets.table_columns import number_column, time_column
from matinee_policies.datasets.table_file import open_table, read_columns
from matinee_policies.datasets.table_stream import stream_columns
from matinee_policies.errors import DataError

ROWS = 40_000
TYPES = {"x": pa.float64(), "name": None}


def texts(values: FloatArray) -> list[str]:
    return ["x,name", *(f"{x!r},item {k % 7}" for k, x in enumerate(values.tolist()))]


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_parts_are_the_whole(tmp_path: Path, suffix: str) -> None:
    values = np.random.default_rng(0).normal(size=ROWS)
    path = tmp_path / f"table{suffix}"
    if suffix == ".parquet":
        names = [f"item {k % 7}" for k in range(ROWS)]
        parquet.write_table(pa.table({"x": values, "name": names}), path, row_group_size=9_999)
    else:
        content = "\n".join(texts(values)).encode()
        path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    file = open_table(path)
    whole = read_columns(file, TYPES)
    parts = list(stream_columns(file, TYPES, rows=3_000))
    assert max(len(columns["x"]) for _, columns in parts) == 3_000
    assert [part.first for part, _ in parts] == np.cumsum(
        [0, *(len(columns["x"]) for _, columns in parts[:-1])]
    ).tolist()
    for name in TYPES:
        chunks = [chunk for _, columns in parts for chunk in columns[name].chunks]
        assert pa.chunked_array(chunks).to_pylist() == whole[name].to_pylist()


def test_errors_name_the_row_of_the_file(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=ROWS)
    values[31_234] = np.inf
    path = tmp_path / "table.csv"
    path.write_text("\n".join(texts(values)))
    parts = list(stream_columns(open_table(path), TYPES, rows=3_000))
    (file, columns) = parts[31_234 // 3_000]
    assert file.first <= 31_234 < file.first + len(columns["x"])
    with pytest.raises(DataError, match=r"line 31236: x must be a finite number, got inf"):
        number_column([(file, columns["x"])], "x")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("twelve,item", r"line 30003: x must be a number, got 'twelve'"),
        ("1.5", r"line 30003: row must have 2 fields, got 1"),
        ('1.5,"item', r"line 30003: quotes must be balanced"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(tmp_path: Path, line: str, words: str) -> None:
    lines = texts(np.random.default_rng(0).normal(size=ROWS))
    lines[30_002] = line
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=words):
        list(stream_columns(open_table(path), TYPES, rows=3_000))


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    parquet.write_table(pa.table({"x": np.zeros(0), "name": pa.array([], pa.string())}), path)
    with pytest.raises(DataError, match="at least one row"):
        list(stream_columns(open_table(path), TYPES, rows=10))


def test_times_in_milliseconds(tmp_path: Path) -> None:
    path = tmp_path / "times.parquet"
    exact = pa.array([1_574_553_793_442, 0]).cast(pa.timestamp("ms", tz="UTC"))
    fine = pa.array([1_574_553_793_442_536, 0]).cast(pa.timestamp("us"))
    parquet.write_table(pa.table({"ms": exact, "us": fine, "s": [1.75, 3.0], "n": [7, 9]}), path)
    file = open_table(path)
    columns = read_columns(file, dict.fromkeys(file.names))
    found = {
        name: time_column([(file, column)], name, ticks_per_second=1_000).tolist()
        for name, column in columns.items()
    }
    assert found == {
        "ms": [1_574_553_793_442, 0],
        "us": [1_574_553_793_442, 0],
        "s": [1_750, 3_000],
        "n": [7_000, 9_000],
    }
