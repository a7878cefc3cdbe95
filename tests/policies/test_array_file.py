"""Arrays in one file: what is written is read, everything else is refused."""

from pathlib import Path

import numpy as np
import pytest

from matinee_policies.array_file import content_digest, read_arrays, write_arrays
from matinee_policies.errors import DataError

ARRAYS = {"x": np.arange(6.0).reshape(2, 3), "flags": np.array([True, False])}
HEADER = {"names": ["Ünï", "\x00", "\ud800"], "n": 3}


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "things.npz"
    write_arrays(path, kind="thing", arrays=ARRAYS, header=HEADER)
    return path


def test_round_trip(stored: Path) -> None:
    arrays, header = read_arrays(stored, kind="thing", names=("flags", "x"))
    assert header == HEADER
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


def test_same_content_same_bytes(stored: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.npz"
    write_arrays(again, kind="thing", arrays=ARRAYS, header=HEADER)
    assert again.read_bytes() == stored.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.npz", "things.npz"]


def test_digest_sees_every_part_and_no_order() -> None:
    digest = content_digest(ARRAYS, HEADER)
    assert len(digest) == 16
    assert digest == content_digest(dict(reversed(ARRAYS.items())), dict(reversed(HEADER.items())))
    others = [
        content_digest(ARRAYS, {**HEADER, "n": 4}),
        content_digest({**ARRAYS, "x": ARRAYS["x"].reshape(3, 2)}, HEADER),
        content_digest({**ARRAYS, "x": ARRAYS["x"].astype(np.float32)}, HEADER),
        content_digest({**ARRAYS, "x": ARRAYS["x"] + 1e-9}, HEADER),
        content_digest({"y": ARRAYS["x"], "flags": ARRAYS["flags"]}, HEADER),
        digest,
    ]
    assert len(set(others)) == len(others)


def test_digest_does_not_see_memory_layout() -> None:
    array = ARRAYS["x"]
    twin = np.asfortranarray(array).astype(array.dtype.newbyteorder(">"))
    assert content_digest({"x": array}, {}) == content_digest({"x": twin}, {})


def test_missing_foreign_and_incomplete_files_are_refused(stored: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must exist"):
        read_arrays(tmp_path / "none.npz", kind="thing", names=("x",))
    with pytest.raises(DataError, match="of kind 'other', got 'thing'"):
        read_arrays(stored, kind="other", names=("flags", "x"))
    with pytest.raises(DataError, match="must hold the arrays flags, x, y"):
        read_arrays(stored, kind="thing", names=("flags", "x", "y"))
    text = tmp_path / "text.npz"
    text.write_text("not an archive")
    with pytest.raises(DataError, match="undamaged"):
        read_arrays(text, kind="thing", names=("x",))


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "objects.npz"
    np.savez(path, header=np.array([{"kind": "thing"}], dtype=object))
    with pytest.raises(DataError, match="undamaged"):
        read_arrays(path, kind="thing", names=())


def test_damaged_bytes_never_pass_unseen(stored: Path, tmp_path: Path) -> None:
    whole = stored.read_bytes()
    damaged = tmp_path / "damaged.npz"
    random = np.random.default_rng(0)
    for place in [*random.integers(0, len(whole), 150).tolist(), *range(40)]:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(random.integers(8))
        damaged.write_bytes(flipped)
        try:
            arrays, header = read_arrays(damaged, kind="thing", names=("flags", "x"))
        except DataError:
            continue
        # A flip in the archive's own book-keeping may be harmless; what is read must be right.
        assert content_digest(arrays, header) == content_digest(ARRAYS, HEADER)
    for length in range(0, len(whole), 37):
        damaged.write_bytes(whole[:length])
        with pytest.raises(DataError):
            read_arrays(damaged, kind="thing", names=("flags", "x"))
