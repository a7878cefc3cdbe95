"""Rows of users on disk: whatever moment a process ends at, a day is whole or taken back."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from matinee_platform.offline.mapped_rows import MappedRows
from matinee_platform.offline.row_digest import row_digest_reference, row_digests
from matinee_platform.offline.user_rows import UserRows
from matinee_policies.arrays import AnyArray
from matinee_policies.errors import ConfigError, DataError

USERS, WIDTH = 50, 8
MB = 2**20


class Arm:
    """Rows of an arm with one wide, one narrow and one constant array."""

    def __init__(self, folder: Path, *, resume: bool = False, owner: str = "a", keep: int = 0):
        self.rows = UserRows(folder, owner=owner, resume=resume, keep_bytes=keep)
        storage = self.rows.under("x.")
        self.wide = storage.full("wide", (USERS, WIDTH), np.arange(WIDTH), np.float64)
        self.narrow = storage.full("narrow", (USERS,), -1, np.int32)
        self.constant = storage.full("constant", (USERS, 3), 0.5, np.float32)
        self.whole = self.rows.begin({"x.wide": self.wide, "x.narrow": self.narrow})

    def checkpoint(self) -> dict[str, AnyArray]:
        self.rows.digest()
        return {name: array.copy() for name, array in self.whole.items()}

    def play(self, day: int) -> None:
        touched = np.arange(day % 7, USERS, 3, dtype=np.int32)
        self.rows.open_day(touched, day)
        self.wide[touched] += day + 1
        self.narrow[touched] = day


def _resumed(folder: Path, checkpoint: dict[str, AnyArray], day: int) -> Arm:
    arm = Arm(folder, resume=True)
    arm.rows.take_back(day)
    for name, array in arm.whole.items():
        array[:] = checkpoint[name]
    arm.rows.check()
    return arm


def test_new_rows_are_filled_and_names_keep_apart(tmp_path: Path) -> None:
    arm = Arm(tmp_path)
    assert arm.wide[7].tolist() == list(range(WIDTH))
    assert (arm.narrow == -1).all()
    assert (arm.constant == 0.5).all()
    assert set(arm.whole) == {"x.narrow", "digests"}


def test_what_is_let_go_is_read_again(tmp_path: Path) -> None:
    mapped = MappedRows(tmp_path, owner="a", resume=False, keep_bytes=0)
    array = mapped.full("big", (4_096, 512), 0, np.int64)
    array[:] = np.arange(512)
    before = _resident_file_pages()
    mapped.release()
    assert before - _resident_file_pages() > 8 * MB
    assert (array[4_095] == np.arange(512)).all()


def test_small_rows_stay_in_memory(tmp_path: Path) -> None:
    mapped = MappedRows(tmp_path, owner="a", resume=False, keep_bytes=64 * MB)
    array = mapped.full("big", (4_096, 512), 0, np.int64)
    array[:] = 1
    before = _resident_file_pages()
    mapped.release()
    assert before - _resident_file_pages() < MB


@pytest.mark.parametrize("moment", ["before the day", "kept", "half changed", "changed", "settled"])
def test_a_day_is_whole_or_taken_back(tmp_path: Path, moment: str) -> None:
    arm = Arm(tmp_path / "run")
    expected = Arm(tmp_path / "whole")
    for one in (arm, expected):
        one.play(0)
    checkpoint, day = arm.checkpoint(), 1
    arm.rows.settle()
    if moment == "kept":
        arm.rows.open_day(np.arange(1, USERS, 3, dtype=np.int32), 1)
    elif moment == "half changed":
        arm.rows.open_day(np.arange(1, USERS, 3, dtype=np.int32), 1)
        arm.wide[4] = -7.0
        arm.narrow[:] = 99
    elif moment in ("changed", "settled"):
        arm.play(1)
        if moment == "settled":
            checkpoint, day = arm.checkpoint(), 2
            expected.play(1)
    # Another process maps the same file; what this one wrote is there.
    again = _resumed(tmp_path / "run", checkpoint, day)
    np.testing.assert_array_equal(again.wide, expected.wide)
    np.testing.assert_array_equal(again.narrow, expected.narrow)
    for one in (again, expected):
        one.play(2)
    np.testing.assert_array_equal(again.wide, expected.wide)


def test_several_days_are_taken_back_to_the_last_checkpoint(tmp_path: Path) -> None:
    arm, expected = Arm(tmp_path / "run"), Arm(tmp_path / "whole")
    for one in (arm, expected):
        one.play(0)
    checkpoint = arm.checkpoint()
    arm.rows.settle()
    # Days 1 and 4 touch the same users, day 2 others.
    for day in (1, 2, 4):
        arm.play(day)
    assert len(list((tmp_path / "run").glob("day-*.before"))) == 3
    again = _resumed(tmp_path / "run", checkpoint, 1)
    np.testing.assert_array_equal(again.wide, expected.wide)
    for one in (again, expected):
        one.play(1)
        one.play(2)
    second = again.checkpoint()
    np.testing.assert_array_equal(_resumed(tmp_path / "run", second, 3).wide, expected.wide)


def test_new_rows_are_not_those_of_a_run_that_ended_before_its_first_checkpoint(
    tmp_path: Path,
) -> None:
    arm = Arm(tmp_path)
    arm.play(0)
    arm.play(3)
    again = Arm(tmp_path)
    again.play(0)
    checkpoint, expected = again.checkpoint(), again.wide.copy()
    again.rows.settle()
    again.play(1)
    np.testing.assert_array_equal(_resumed(tmp_path, checkpoint, 1).wide, expected)


def test_a_way_back_that_was_not_finished_is_dropped(tmp_path: Path) -> None:
    arm = Arm(tmp_path)
    arm.play(0)
    checkpoint = arm.checkpoint()
    arm.rows.settle()
    (tmp_path / "day-00001.partial").write_bytes(b"half of it")
    again = _resumed(tmp_path, checkpoint, 1)
    assert not list(tmp_path.glob("day-*"))
    expected = again.wide.copy()
    again.play(1)
    np.testing.assert_array_equal(_resumed(tmp_path, checkpoint, 1).wide, expected)


def test_a_short_way_back_holds_nothing_of_a_longer_one_before_it(tmp_path: Path) -> None:
    arm = Arm(tmp_path)
    arm.rows.open_day(np.arange(USERS, dtype=np.int32), 0)
    arm.wide += 5.0
    checkpoint = arm.checkpoint()
    arm.rows.settle()
    expected = arm.wide.copy()
    arm.rows.open_day(np.array([3], dtype=np.int32), 1)
    arm.wide[3] = -1.0
    np.testing.assert_array_equal(_resumed(tmp_path, checkpoint, 1).wide, expected)


def test_rows_changed_by_anyone_else_are_refused(tmp_path: Path) -> None:
    arm = Arm(tmp_path)
    arm.play(0)
    checkpoint = arm.checkpoint()
    arm.wide[12, 3] += 1e-9
    with pytest.raises(DataError, match="user 12 of the arm"):
        _resumed(tmp_path, checkpoint, 1)


def test_constant_arrays_that_changed_are_refused(tmp_path: Path) -> None:
    arm = Arm(tmp_path)
    checkpoint = arm.checkpoint()
    arm.constant[3, 1] = 9
    with pytest.raises(DataError, match=r"x\.constant"):
        _resumed(tmp_path, checkpoint, 0)


def test_a_damaged_way_back_is_refused(tmp_path: Path) -> None:
    arm = Arm(tmp_path)
    checkpoint = arm.checkpoint()
    arm.play(0)
    path = tmp_path / "day-00000.before"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match=r"day-00000\.before"):
        _resumed(tmp_path, checkpoint, 0)


def test_state_of_another_run_is_refused(tmp_path: Path) -> None:
    Arm(tmp_path / "a", owner="a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    with pytest.raises(ConfigError, match="state of the users of another run"):
        Arm(tmp_path / "b", owner="b", resume=True)


def test_missing_state_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must exist"):
        Arm(tmp_path, resume=True)


def test_a_full_disk_is_told_before_it_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(ConfigError, match="no room on the disk for 400 MB"):
        MappedRows(tmp_path, owner="a", resume=False, keep_bytes=0).full(
            "big", (100 * MB,), 0, np.float32
        )


def test_digests_follow_the_definition_and_notice_every_bit() -> None:
    rng = np.random.default_rng(5)
    columns: dict[str, AnyArray] = {
        "b": rng.random((9, 4)),
        "a": rng.integers(0, 99, (9, 6)).astype(np.int16),
    }
    rows = np.array([8, 0, 3], dtype=np.int32)
    digests = row_digests(columns, rows)
    assert digests.tolist() == [row_digest_reference(columns, int(row)) for row in rows]
    columns["a"][3, 5] ^= 1
    assert (row_digests(columns, rows) != digests).tolist() == [False, False, True]


def _resident_file_pages() -> int:
    """Bytes of mapped files that count as memory of this process."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1_024 * int(text.split("RssFile:")[1].split()[0])
