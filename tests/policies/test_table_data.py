"""Tables with named columns: what is read, how it becomes stars, and where errors point."""

import gzip
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from matinee_policies.datasets.dataset import Dataset
from matinee_policies.datasets.item_metadata import MetadataSpec
from matinee_policies.datasets.table import TableSpec, load_table
from matinee_policies.errors import ConfigError, DataError

RATINGS = """\
who,what,stars,at,extra
zoe,b-2,4.5,1000000200,"x, y"
amy,a-1,0.5,1000000000,
amy,b-2,5.0,1000000100,z
"""
PLAYS = """\
customer;sku;quantity;bought_at
7;A-01;1;2024-03-01 10:00:00
7;B-02;3;2024-03-02 10:00:00
8;A-01;2;2024-03-03 10:00:00
7;A-01;2;2024-03-04 10:00:00
"""
ITEMS = """\
id,title,genres,year,people,keywords
a-1,First,Drama| Comedy,1999,Ada Oyo|Bo Rell,slow
c-3,Never seen,War,,,
b-2,,Drama,,,
"""
NAMES = {"users": "who", "items": "what", "ratings": "stars", "timestamps": "at"}


def write(path: Path, text: str | bytes) -> Path:
    raw = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(raw) if path.name.endswith(".gz") else raw)
    return path


def load(path: Path, **changes: Any) -> Dataset:
    return load_table(TableSpec(path=path, **{**NAMES, **changes}))


def refusal(path: Path, **changes: Any) -> str:
    with pytest.raises(DataError) as caught:
        load(path, **changes)
    return str(caught.value)


def assert_small(dataset: Dataset) -> None:
    interactions = dataset.interactions
    assert dataset.item_labels == ("a-1", "b-2")
    assert dataset.catalogue.titles == ("a-1", "b-2")
    assert dataset.catalogue.ids.tolist() == [0, 1]
    assert interactions.matrix.toarray().tolist() == [[0.5, 5.0], [0.0, 4.5]]
    assert interactions.times.tolist() == [1000000000, 1000000100, 1000000200]
    assert dataset.notes == ()


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_csv_plain_and_gzip(tmp_path: Path, name: str) -> None:
    dataset = load(write(tmp_path / name, RATINGS))
    assert_small(dataset)
    assert dataset.name == "t"
    assert dataset.description == (
        f"table {name}, 2 users, 2 items, 3 ratings from 2001-09-09 to 2001-09-09"
    )


@pytest.mark.parametrize(
    "text",
    [
        RATINGS.replace("\n", "\r\n"),
        RATINGS.rstrip("\n"),
        "\ufeff" + RATINGS,
        RATINGS.replace("zoe", '"zoe"'),
        "".join(RATINGS.splitlines(keepends=True)[k] for k in (0, 3, 1, 2)),
    ],
    ids=["crlf", "no newline at the end", "byte order mark", "quoted", "another order"],
)
def test_harmless_differences(tmp_path: Path, text: str) -> None:
    assert_small(load(write(tmp_path / "t.csv", text)))


AT = (1000000200, 1000000000, 1000000100)


def small_table(**columns: Any) -> pa.Table:
    table = {
        "who": pa.array(["zoe", "amy", "amy"]),
        "what": pa.array(["b-2", "a-1", "b-2"]).dictionary_encode(),
        "stars": pa.array([4.5, 0.5, 5.0], pa.float32()),
        "at": pa.array([1000000200, 1000000000, 1000000100], pa.int32()),
    }
    return pa.table({**table, **columns})


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"who": pa.array(["zoe", "amy", "amy"], pa.large_string())},
        {"at": [datetime.fromtimestamp(1000000000 + k, tz=UTC) for k in (200, 0, 100)]},
        {"at": pa.array([1000000200, 1000000000, 1000000100], pa.timestamp("s"))},
        {"at": [1000000200.9, 1000000000.0, 1000000100.2]},
        {"at": pa.array([k * 10**9 + 987_654_321 for k in AT], pa.timestamp("ns", "UTC"))},
    ],
)
def test_parquet_of_many_types(tmp_path: Path, columns: dict[str, Any]) -> None:
    parquet.write_table(small_table(**columns), tmp_path / "t.parquet")
    assert_small(load(tmp_path / "t.parquet"))


def test_a_folder_holds_parts_of_one_table(tmp_path: Path) -> None:
    lines = RATINGS.splitlines(keepends=True)
    write(tmp_path / "part-1.csv", "".join(lines[:2]))
    write(tmp_path / "part-2.csv.gz", "".join([lines[0], *lines[2:]]))
    write(tmp_path / "README.txt", "not a part")
    assert_small(load(tmp_path))
    write(tmp_path / "part-3.csv", lines[0] + "zoe,b-2,1,2,\n")
    assert "part-3.csv, line 2: (who, what) must be unique, part-1.csv, line 2" in refusal(tmp_path)
    write(tmp_path / "part-3.csv", lines[0] + "eve,b-2,1,2,\neve,a-1,bad,2,\n")
    assert "part-3.csv, line 3: stars must be a number, got 'bad'" in refusal(tmp_path)
    write(tmp_path / "part-3.csv", "a,b\n1,2\n")
    assert "part-3.csv: parts of one table must have the columns" in refusal(tmp_path)


def test_whole_number_ids_are_kept_and_ordered_as_numbers(tmp_path: Path) -> None:
    text = "u,i,r\n10,100,1\n9,20,5\n-3,100,2\n"
    dataset = load(write(tmp_path / "t.csv", text), **numbered())
    assert dataset.interactions.user_ids.tolist() == [-3, 9, 10]
    assert dataset.catalogue.ids.tolist() == [20, 100]
    assert dataset.item_labels == ()
    assert dataset.catalogue.titles == ("20", "100")


def numbered() -> dict[str, Any]:
    return {"users": "u", "items": "i", "ratings": "r", "timestamps": None}


def test_leading_zeros_make_ids_texts_not_equal_numbers(tmp_path: Path) -> None:
    text = "u,i,r\n1,007,1\n1,7,5\n"
    dataset = load(write(tmp_path / "t.csv", text), **numbered())
    assert dataset.item_labels == ("007", "7")
    assert any("column i mixes whole numbers (7) and texts (007)" in n for n in dataset.notes)


def test_without_times_rows_count_as_oldest_first(tmp_path: Path) -> None:
    dataset = load(write(tmp_path / "t.csv", RATINGS), timestamps=None)
    assert dataset.interactions.times.tolist() == [1, 2, 0]
    assert "without times (rows count as oldest first)" in dataset.description
    assert "no column of times" in dataset.notes[0]


@pytest.mark.parametrize(("unit", "zeros"), [("ms", "000"), ("us", "000000")])
def test_units_of_time(tmp_path: Path, unit: str, zeros: str) -> None:
    text = RATINGS.replace("00,", f"00{zeros},")
    assert_small(load(write(tmp_path / "t.csv", text), time_unit=unit))


def test_times_with_an_offset(tmp_path: Path) -> None:
    text = "u,i,r,t\n1,1,1,2001-09-09T03:46:40+02:00\n1,2,2,2001-09-09T01:46:41Z\n"
    dataset = load(write(tmp_path / "t.csv", text), **{**numbered(), "timestamps": "t"})
    assert dataset.interactions.times.tolist() == [1000000000, 1000000001]


def shop(path: Path, **changes: Any) -> Dataset:
    spec: dict[str, Any] = {
        "users": "customer",
        "items": "sku",
        "ratings": "quantity",
        "timestamps": "bought_at",
        "feedback": "plays",
        "delimiter": ";",
    }
    return load_table(TableSpec(path=path, **{**spec, **changes}))


def test_plays_add_up_by_pair_and_become_stars(tmp_path: Path) -> None:
    dataset = shop(write(tmp_path / "shop.csv", PLAYS))
    # Customer 7 has 3 and 3, customer 8 has 2: each is that customer's usual number.
    assert dataset.interactions.matrix.toarray().tolist() == [[3.0, 3.0], [3.0, 0.0]]
    last = int(datetime(2024, 3, 4, 10, tzinfo=UTC).timestamp())
    assert dataset.interactions.times[0] == last
    assert "plays mapped to stars" in dataset.description
    by_row = shop(tmp_path / "shop.csv", ratings=None)
    # Rows as plays: 2 and 1 for customer 7, half an octave to each side, rounded to half stars.
    assert by_row.interactions.matrix.toarray().tolist() == [[3.5, 3.0], [3.0, 0.0]]


def test_watched_fractions_keep_the_largest(tmp_path: Path) -> None:
    text = "u,i,r\n1,1,0.2\n1,1,1.0\n1,2,0.5\n"
    dataset = load(write(tmp_path / "t.csv", text), **numbered(), feedback="watched")
    assert dataset.interactions.matrix.toarray().tolist() == [[5.0, 3.0]]
    bad = write(tmp_path / "bad.csv", text.replace("0.5", "1.5"))
    assert "bad.csv, line 4: r must be within 0 and 1, got 1.5" in refusal(
        bad, **numbered(), feedback="watched"
    )


def test_other_scales_are_mapped_linearly_and_said(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "u,i,r\n1,1,0\n1,2,5\n1,3,10\n")
    dataset = load(path, **numbered())
    assert dataset.interactions.matrix.toarray().tolist() == [[0.5, 2.75, 5.0]]
    assert dataset.description.endswith("ratings from 0 to 10 mapped linearly to 0.5-5 stars")
    wide = load(path, **numbered(), rating_scale=(0.0, 100.0))
    np.testing.assert_allclose(wide.interactions.matrix.toarray(), [[0.5, 0.725, 0.95]], rtol=1e-6)
    assert "line 4: r must be within 0 and 9, got 10.0" in refusal(
        path, **numbered(), rating_scale=(0.0, 9.0)
    )


def test_metadata_describes_items(tmp_path: Path) -> None:
    metadata = MetadataSpec(path=write(tmp_path / "items.csv", ITEMS))
    dataset = load(write(tmp_path / "t.csv", RATINGS), metadata=metadata)
    catalogue = dataset.catalogue
    assert catalogue.titles == ("First", "b-2")
    assert catalogue.genre_names == ("Comedy", "Drama")
    assert catalogue.genres.tolist() == [[True, True], [False, True]]
    assert catalogue.years.tolist() == [1999, 0]
    assert catalogue.people.of(0) == ("Ada Oyo", "Bo Rell")
    assert catalogue.keywords.of(0) == ("slow",)
    assert dataset.notes == ("1 items of the metadata do not occur in the data",)


def test_metadata_as_parquet_with_lists_and_other_names(tmp_path: Path) -> None:
    table = pa.table({"sku": ["b-2"], "tags": [["Drama", "War"]], "name": ["Second"]})
    parquet.write_table(table, tmp_path / "items.parquet")
    metadata = MetadataSpec(path=tmp_path / "items.parquet", id="sku", genres="tags", title="name")
    dataset = load(write(tmp_path / "t.csv", RATINGS), metadata=metadata)
    assert dataset.catalogue.titles == ("a-1", "Second")
    assert dataset.catalogue.genres.tolist() == [[False, False], [True, True]]
    assert dataset.notes == ("1 of 2 items have no metadata",)


CASES: dict[str, tuple[str | bytes, str]] = {
    "missing column": (
        RATINGS.replace("stars", "mark"),
        "line 1: must have the column of ratings; there are who, what, mark, at, extra, "
        "got 'stars'",
    ),
    "column twice": (RATINGS.replace("extra", "who"), "columns of the header must be distinct"),
    "mixed types": (RATINGS.replace("5.0,", "five,"), "line 4: stars must be a number, got 'five'"),
    "empty rating": (RATINGS.replace("5.0,", ","), "line 4: stars must be a number, got ''"),
    "nan": (RATINGS.replace("5.0", "nan"), "line 4: stars must be a finite number, got nan"),
    "infinity": (RATINGS.replace("5.0", "1e999"), "line 4: stars must be a finite number, got inf"),
    "too few fields": (
        RATINGS.replace("amy,a-1,", "amy,"),
        "line 3: row must have 5 fields, got 4",
    ),
    "blank line": (RATINGS.replace("\nzoe", "\n\nzoe"), "line 2: row must have 5 fields, got 0"),
    "open quote": (RATINGS.replace("amy,a-1", 'amy,"a-1'), "line 3: quotes must be balanced"),
    "duplicate": (
        RATINGS + "zoe,b-2,1.0,5,\n",
        "line 5: (who, what) must be unique, line 2 already has it (feedback: plays adds up), "
        "got ('zoe', 'b-2')",
    ),
    "no user": (RATINGS.replace("zoe", ""), "line 2: who must be an id of 1 to 200 characters"),
    "milliseconds": (
        RATINGS.replace("1000000100", "1000000100000"),
        "line 4: at must be seconds since 1970, at most 4102444800 (year 2100); time_unit says",
    ),
    "negative time": (RATINGS.replace("1000000100", "-1"), "line 4: at must be seconds since"),
    "date among numbers": (
        RATINGS.replace("1000000100", "2001-09-09"),
        "line 4: at must be a whole number, got '2001-09-09'",
    ),
    "number among dates": (
        RATINGS.replace("1000000000", "2001-09-09").replace("1000000200", "2001-09-09"),
        "line 4: at must be a date or time as in the first row, got '1000000100'",
    ),
    "latin-1": (RATINGS.replace("zoe", "zoë").encode("latin-1"), "line 2: text must be UTF-8"),
    "utf-16": (RATINGS.encode("utf-16"), "line 1: text must be UTF-8"),
    "zero byte": (RATINGS.replace("zoe", "z\x00e"), "line 2: "),
    "empty file": ("", "file must not be empty"),
    "header only": ("who,what,stars,at,extra\n", "must hold at least one row"),
    "all alike": (
        RATINGS.replace("4.5", "3").replace("0.5", "3").replace("5.0", "3"),
        "ratings must differ between pairs of user and item",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_csv_is_refused_with_line_and_rule(tmp_path: Path, case: str) -> None:
    text, complaint = CASES[case]
    message = refusal(write(tmp_path / "t.csv", text))
    assert message.startswith(str(tmp_path / "t.csv"))
    assert complaint in message


def test_a_header_of_a_single_field_hints_at_the_delimiter(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", RATINGS.replace(",", ";"))
    message = refusal(path)
    assert (
        "there are who;what;stars;at;extra (a single field; set delimiter if it is not ',')"
        in message
    )
    assert "delimiter" not in refusal(write(path, RATINGS), users="client")


def test_the_line_is_found_in_a_long_file(tmp_path: Path) -> None:
    rows = [f"u{k},{k},3.5,{10**9 + k},\n" for k in range(3_000)]
    rows[2_345] = "u1,1,3.5.5,9,\n"
    path = write(tmp_path / "t.csv", RATINGS + "".join(rows))
    assert "line 2350: stars must be a number, got '3.5.5'" in refusal(path)


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"stars": ["4", "5", "1"]}, "column stars must hold numbers, got 'string'"),
        ({"stars": [True, False, True]}, "column stars must hold numbers, got 'bool'"),
        ({"stars": [1.0, None, 2.0]}, "row 2: stars must not be missing"),
        ({"stars": [1.0, float("nan"), 2.0]}, "row 2: stars must be a finite number, got nan"),
        ({"who": [1.0, 2.0, 3.0]}, "column who must hold ids: whole numbers or texts"),
        ({"who": ["a", None, "b"]}, "row 2: who must not be missing"),
        ({"at": ["x", "y", "z"]}, "column at must hold times"),
        ({"at": pa.array([0, -1, 0], pa.timestamp("ns"))}, "row 2: at must be a time from 1970"),
        ({"at": pa.array([0, 2**62, 0], pa.timestamp("ms"))}, "row 2: at must be a time from 1970"),
        ({"stars": [1, 2**53 + 1, 2]}, "stars must be within -2^53 and 2^53, got 9007199254740993"),
        ({"who": ["amy", "amy", "amy"]}, "row 3: (who, what) must be unique, row 1 already has it"),
    ],
)
def test_bad_parquet_is_refused_with_its_row(
    tmp_path: Path, columns: dict[str, Any], complaint: str
) -> None:
    parquet.write_table(small_table(**columns), tmp_path / "t.parquet")
    assert complaint in refusal(tmp_path / "t.parquet")


def test_what_arrow_cannot_cast_names_file_and_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(column: pa.ChunkedArray, kind: pa.DataType) -> None:
        raise pa.ArrowInvalid("it would overflow\nmore")

    path = tmp_path / "t.parquet"
    parquet.write_table(small_table(), path)
    monkeypatch.setattr("matinee_policies.datasets.table_columns.pc.cast", refuse)
    expected = f"{path}: column who must be readable as string (it would overflow), got 'string'"
    assert refusal(path) == expected


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    assert "must be a Parquet file" in refusal(write(tmp_path / "t.parquet", RATINGS))
    assert "name must end in one of .csv" in refusal(write(tmp_path / "t.xlsx", "x"))
    assert "must be a file or a folder that exists" in refusal(tmp_path / "no.csv")
    broken = tmp_path / "t.csv.gz"
    broken.write_bytes(gzip.compress(RATINGS.encode() * 50)[:-20])
    assert "must be a complete gzip file" in refusal(broken)
    broken.write_bytes(RATINGS.encode())
    assert "must be an undamaged gzip file" in refusal(broken)
    (tmp_path / "empty").mkdir()
    assert "folder must hold files with a name in .csv" in refusal(tmp_path / "empty")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("id\nx-9\n", "none of its ids occurs there"),
        ("sku,title\na-1,x\n", "must have the column of id; there are sku, title, got 'id'"),
        ("id,title\na-1,x\nb-2,y\na-1,z\n", "line 4: id must be unique, line 2 already has it"),
        ("id,year\na-1,19x9\n", "line 2: year must be a year from 1000 to 2100, or empty"),
        ("id,genres\na-1,War||Drama\n", "line 2: genres must be names parted by '|'"),
        ("id,title\n,x\n", "line 2: id must not be empty"),
    ],
)
def test_bad_metadata_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    metadata = MetadataSpec(path=write(tmp_path / "items.csv", text))
    assert complaint in refusal(write(tmp_path / "t.csv", RATINGS), metadata=metadata)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"ratings": None}, "must name the column of ratings"),
        ({"users": "what"}, "columns of the data must be distinct"),
        ({"time_unit": "h"}, "time_unit must be one of s, ms, us, got 'h'"),
        ({"rating_scale": (5.0, 1.0)}, "rating_scale must rise"),
        ({"delimiter": ";;"}, "delimiter must be one character"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        TableSpec(path=Path("t.csv"), **{**NAMES, **changes})
