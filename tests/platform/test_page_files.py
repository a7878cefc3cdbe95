"""Pages on disk come back as they went, whatever the pieces they came in."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from matinee_platform import page_files
from matinee_platform.page_files import PageFiles, WaitingPages
from matinee_policies.errors import DataError

L, D = 3, 4


def _pages(first: int, n: int, *, base: bool = False) -> WaitingPages:
    rng = np.random.default_rng(first)
    return WaitingPages(
        ids=np.arange(first, first + n, dtype=np.uint64),
        features=rng.random((n, L, D)).astype(np.float32),
        shown=rng.random((n, L)) < 0.9,
        propensities=rng.random((n, L)),
        shards=rng.integers(0, 64, n).astype(np.uint8),
        items=rng.integers(0, 99, (n, L)).astype(np.int32),
        engagement=rng.random((n, L)),
        base=np.zeros(n, dtype=np.int8) if base else None,
        base_propensity=np.ones(n) if base else None,
    )


@pytest.mark.parametrize("base", [False, True])
def test_pages_come_back_in_order_and_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: bool
) -> None:
    monkeypatch.setattr(page_files, "_WRITTEN_AT_ONCE", 10)
    monkeypatch.setattr(page_files, "PAGES_AT_ONCE", 25)
    files = PageFiles(tmp_path / "arm")
    sizes = [4, 7, 1, 30, 3, 9]
    parts = [_pages(100 * k, n, base=base) for k, n in enumerate(sizes)]
    for part in parts:
        files.append(part)
    assert files.close_day(3)
    read = list(files.read(3))
    assert max(part.ids.size for part in read) < sum(sizes)
    for field in fields(WaitingPages):
        expected = [getattr(part, field.name) for part in parts]
        found = [getattr(part, field.name) for part in read]
        if expected[0] is None:
            assert found == [None] * len(read)
        else:
            assert found[0].dtype == expected[0].dtype
            np.testing.assert_array_equal(np.concatenate(found), np.concatenate(expected))


def test_a_day_without_pages_leaves_nothing(tmp_path: Path) -> None:
    files = PageFiles(tmp_path)
    assert not files.close_day(0)
    assert not list(tmp_path.iterdir())


def test_an_unfinished_day_and_days_of_no_use_are_dropped(tmp_path: Path) -> None:
    files = PageFiles(tmp_path)
    for day in range(3):
        files.append(_pages(day, 5_000))
        files.close_day(day)
    marks = files.marks([1, 2])
    files.append(_pages(9, 5_000))
    assert (tmp_path / "pages-today.partial").is_file()
    again = PageFiles(tmp_path)
    again.restore([1, 2], marks)
    np.testing.assert_array_equal(again.marks([1, 2]), marks)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["pages-00001.bin", "pages-00002.bin"]
    assert sum(part.ids.size for part in again.read(2)) == 5_000


@pytest.mark.parametrize("damage", ["missing", "short", "zeros"])
def test_pages_that_are_not_whole_are_refused(tmp_path: Path, damage: str) -> None:
    files = PageFiles(tmp_path)
    files.append(_pages(0, 20))
    files.close_day(0)
    path = tmp_path / "pages-00000.bin"
    size = path.stat().st_size
    if damage == "missing":
        path.unlink()
    elif damage == "zeros":
        # As a file system may leave a file that it had no time to fill.
        content = path.read_bytes()
        path.write_bytes(content[: size // 2] + bytes(size - size // 2))
    else:
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(DataError, match=r"pages-00000\.bin"):
            list(files.read(0))
    with pytest.raises(DataError, match=f"must have {size} bytes"):
        PageFiles(tmp_path).restore([0], files.marks([0]))
