"""Floats of list columns straight from Parquet pages: Arrow's reader is the oracle."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matinee_platform.analysis.unit_days.level_runs import begins_every
from matinee_platform.analysis.unit_days.list_pages import list_values
from matinee_platform.log_schema import matrix
from matinee_policies.arrays import AnyArray

PLAIN: dict[str, Any] = {"use_dictionary": False, "compression": "zstd"}


def lists(values: AnyArray) -> pa.Table:
    flat = pa.array(values.reshape(-1))
    return pa.table({"states": pa.FixedSizeListArray.from_arrays(flat, values.shape[1])})


def write(path: Path, table: pa.Table, **options: Any) -> Path:
    pq.write_table(table, path, **{**PLAIN, **options})
    return path


def read(path: Path, *, width: int, group: int = 0) -> AnyArray | None:
    with path.open("rb") as file:
        return list_values(file, pq.read_metadata(path), group=group, column=0, width=width)


@pytest.mark.parametrize("width", [1, 2, 7, 8, 38, 130])
@pytest.mark.parametrize("codec", ["zstd", "snappy", "gzip", "none"])
def test_values_are_those_of_arrow(tmp_path: Path, width: int, codec: str) -> None:
    draws = np.random.default_rng(width)
    values = draws.standard_normal((1_000, width), dtype=np.float32)
    # Small pages, so that lists lie across their ends.
    path = write(
        tmp_path / "a.parquet",
        lists(values),
        compression=codec,
        row_group_size=600,
        data_page_size=500,
        write_batch_size=64,
    )
    first, second = (read(path, width=width, group=group) for group in range(2))
    assert first is not None
    assert second is not None
    expected = matrix(pq.read_table(path).column("states"))
    np.testing.assert_array_equal(np.concatenate([first, second]), expected)


def test_every_bit_of_a_value_is_kept(tmp_path: Path) -> None:
    odd = np.array([[np.nan, -0.0, np.inf], [1e-45, -np.inf, 1.0]], dtype=np.float32)
    found = read(write(tmp_path / "a.parquet", lists(odd)), width=3)
    assert found is not None
    np.testing.assert_array_equal(found.view(np.uint32), odd.view(np.uint32))


@pytest.mark.parametrize(
    "options",
    [
        {"use_dictionary": True},
        {"use_dictionary": False, "column_encoding": {"states.list.element": "BYTE_STREAM_SPLIT"}},
        {"data_page_version": "2.0"},
        {"compression": "brotli"},
    ],
)
def test_other_shapes_of_pages_are_left_alone(tmp_path: Path, options: dict[str, Any]) -> None:
    values = np.arange(60, dtype=np.float32).reshape(-1, 3)
    assert read(write(tmp_path / "a.parquet", lists(values), **options), width=3) is None


@pytest.mark.parametrize(
    "rows",
    [
        [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0, 7.0], [8.0]],
        [[1.0, 2.0], None, [3.0, 4.0], [5.0, 6.0]],
        [[1.0, 2.0], [], [3.0, 4.0, 5.0, 6.0], [7.0, 8.0]],
        [[1.0, 2.0], [None, 4.0], [5.0, 6.0], [7.0, 8.0]],
    ],
)
def test_other_lists_are_left_alone(tmp_path: Path, rows: list[Any]) -> None:
    table = pa.table({"states": pa.array(rows, pa.list_(pa.float32()))})
    assert read(write(tmp_path / "a.parquet", table), width=2) is None


def test_of_other_numbers_nothing_is_read(tmp_path: Path) -> None:
    values = np.arange(60, dtype=np.float64).reshape(-1, 3)
    assert read(write(tmp_path / "a.parquet", lists(values)), width=3) is None
    plain = write(tmp_path / "b.parquet", pa.table({"states": np.zeros(9, dtype=np.float32)}))
    assert read(plain, width=3) is None


def test_a_damaged_page_is_left_alone(tmp_path: Path) -> None:
    """Whatever byte is changed: other values of the right shape, or nothing; never an error."""
    values = np.arange(30, dtype=np.float32).reshape(-1, 3)
    path = write(tmp_path / "a.parquet", lists(values), compression="none")
    metadata, whole = pq.read_metadata(path), path.read_bytes()
    chunk = metadata.row_group(0).column(0)
    draws = np.random.default_rng(3)
    refused = 0
    for place in range(chunk.data_page_offset, chunk.data_page_offset + 80):
        damaged = bytearray(whole)
        damaged[place] ^= int(draws.integers(1, 256))
        path.write_bytes(damaged)
        with path.open("rb") as file:
            found = list_values(file, metadata, group=0, column=0, width=3)
        refused += found is None
        assert found is None or found.shape == (10, 3)
    assert refused > 20


def begins_every_reference(levels: AnyArray, phase: int, width: int) -> bool:
    """As `begins_every`, of levels that are not coded."""
    return bool((((phase + np.arange(levels.size)) % width == 0) == (levels == 0)).all())


def coded(levels: AnyArray, draws: np.random.Generator) -> bytes:
    """Levels in runs of either kind, as chance will have it."""
    runs, at = bytearray(), 0
    while at < levels.size:
        same = 1
        while at + same < levels.size and levels[at + same] == levels[at]:
            same += 1
        if draws.random() < 0.5:
            size = int(draws.integers(1, same + 1))
            runs += varint(2 * size) + bytes([levels[at]])
            at += size
        else:
            # Only the last run may hold fewer levels than its bytes.
            size = int(draws.integers(1, 4))
            some = levels[at : at + 8 * size]
            packed = np.packbits(some, bitorder="little").tobytes()
            runs += varint(2 * size + 1) + packed.ljust(size, b"\0")
            at += 8 * size
    return bytes(runs)


def varint(number: int) -> bytes:
    small = bytearray()
    while number >= 128:
        small.append(number & 127 | 128)
        number >>= 7
    return bytes([*small, number])


@pytest.mark.parametrize("width", [1, 2, 5, 38])
def test_runs_of_levels_tell_where_lists_begin(width: int) -> None:
    draws = np.random.default_rng(width)
    outcomes = set()
    for _ in range(300):
        phase, count = int(draws.integers(width)), int(draws.integers(1, 120))
        levels = ((phase + np.arange(count)) % width != 0).astype(np.uint8)
        if draws.random() < 0.5:
            levels[draws.integers(count)] ^= 1
        runs = np.frombuffer(coded(levels, draws), dtype=np.uint8)
        outcome = begins_every(runs, count, phase, width)
        assert outcome == begins_every_reference(levels, phase, width)
        assert not begins_every(runs[:-1], count, phase, width)
        outcomes.add(outcome)
    assert outcomes == {True, False}
