"""A run never says whose data it holds: no raw user id in anything that can be decoded from it."""

import gzip
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather

RAW_ID = re.compile(r"user-\d")
TEXT = {".svg", ".json", ".txt", ".html", ".prom", ".csv", ".yaml"}
IMAGES = {".png"}


def raw_ids(run: Path) -> dict[str, str]:
    """A text that holds a raw id, by the file it was found in."""
    found = {}
    for path in sorted(run.rglob("*")):
        if path.is_file():
            text = next((text for text in texts(path) if RAW_ID.search(text)), None)
            if text is not None:
                found[str(path.relative_to(run))] = text
    return found


def texts(path: Path) -> Iterator[str]:
    """The name of a file, and everything in it that can be read as words."""
    yield path.name
    if path.suffix == ".arrow":
        yield from arrow_texts(path)
    elif path.suffix == ".npz":
        yield from npz_texts(path)
    elif path.suffix in TEXT:
        yield path.read_text(encoding="utf-8")
    else:
        assert path.suffix in IMAGES or not path.suffix, f"how is {path} to be read?"
        yield path.read_bytes().decode("latin-1")


def arrow_texts(path: Path) -> Iterator[str]:
    table = feather.read_table(path, memory_map=False)
    yield str(table.schema.to_string(show_schema_metadata=True))
    for name, column in zip(table.column_names, table.columns, strict=True):
        yield from (f"{name}: {value}" for value in words(column))


def words(column: pa.ChunkedArray) -> Iterator[str]:
    """Values of a column of words, bytes or codes, nested or not."""
    for chunk in column.chunks:
        yield from array_words(chunk)


def array_words(array: pa.Array) -> Iterator[str]:
    kind = array.type
    if pa.types.is_dictionary(kind):
        # All words of the dictionary, also those that no row uses.
        yield from array_words(array.dictionary)
    elif pa.types.is_struct(kind):
        for part in array.flatten():
            yield from array_words(part)
    elif (
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    ):
        yield from array_words(array.flatten())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        yield from (value for value in array.to_pylist() if value is not None)
    elif not pa.types.is_primitive(kind):
        for value in array.to_pylist():
            yield value.decode("latin-1") if isinstance(value, bytes) else str(value)


def npz_texts(path: Path) -> Iterator[str]:
    with np.load(path, allow_pickle=False) as file:
        for name in file.files:
            array = file[name]
            yield name
            if array.dtype.kind == "U":
                yield from array.reshape(-1).tolist()
            else:
                # Bytes in an array of numbers, e.g. of JSON.
                yield array.tobytes().decode("latin-1")


def test_raw_user_ids_are_nowhere_in_a_run(tiny_run: Path) -> None:
    suffixes = {path.suffix for path in tiny_run.rglob("*") if path.is_file()}
    assert {".arrow", ".npz", ".json", ".html", ".txt"} <= suffixes
    assert raw_ids(tiny_run) == {}


def put_in_part(path: Path, column: pa.Array) -> None:
    table = feather.read_table(path, memory_map=False)
    feather.write_feather(table.append_column("owner", column), path, compression="zstd")


def test_a_raw_id_put_into_a_run_is_found(tiny_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "copy"
    shutil.copytree(tiny_run, run)
    decisions = sorted((run / "decisions" / "lin_ucb").glob("*.arrow"))[:4]
    for part, kind in zip(decisions, ("string", "dictionary", "list", "binary"), strict=True):
        rows = feather.read_table(part).num_rows
        column = pa.array([f"user-{row}" for row in range(rows)])
        columns = {
            "string": column,
            "dictionary": column.dictionary_encode(),
            "list": pa.array([[value] for value in column.to_pylist()]),
            "binary": column.cast(pa.binary()),
        }
        put_in_part(part, columns[kind])
    model = sorted((run / "model").rglob("*.npz"))[0]
    with np.load(model) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez_compressed(model, allow_pickle=False, **arrays, owner=np.array(["x", "user-12"]))
    snapshot = sorted((run / "snapshots").rglob("*.npz"))[0]
    owner = np.frombuffer(b'{"owner": "user-3"}', dtype=np.uint8)
    np.savez_compressed(snapshot, allow_pickle=False, owner=owner)
    (run / "summary.txt").write_text("best of all: user-7", encoding="utf-8")
    (run / "user-8.json").write_text("{}", encoding="utf-8")
    changed = [*decisions, model, snapshot, run / "summary.txt", run / "user-8.json"]
    assert set(raw_ids(run)) == {str(path.relative_to(run)) for path in changed}
    # As bytes on disk the compressed ones say nothing.
    assert all(b"user-1" not in path.read_bytes() for path in (model, snapshot))


def test_a_file_of_an_unknown_kind_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "log.gz").write_bytes(gzip.compress(b"user-1"))
    with pytest.raises(AssertionError, match=r"how is .* to be read"):
        raw_ids(tmp_path)
