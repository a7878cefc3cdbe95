"""The spool: durable, in order, sound after crashes."""

import os
import resource
from pathlib import Path

import pytest

from matinee_platform.storage.append_plan import Record
from matinee_platform.storage.errors import SpoolFullError
from matinee_platform.storage.records import DecisionReceipt, Outcome, RewardReceipt
from matinee_platform.storage.spool import Spool
from matinee_platform.storage.testing_events import example_decision, example_reward

FILE = "events-0.spool"


def records(count: int, *, first: int = 0) -> list[Record]:
    return [
        example_decision(n, features=b"\x00\xf1MSP\xff" * 5)
        if n % 2
        else example_reward(n, decision=n, value=0.1 * n)
        for n in range(first, first + count)
    ]


def everything(spool: Spool) -> list[Record]:
    return spool.peek(10**6)[0]


def test_records_leave_in_order_and_the_file_is_emptied(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    rows = records(50)
    spool.append(rows[:20])
    spool.append(rows[20:])
    taken: list[Record] = []
    while spool.rows:
        some, place = spool.peek(15)
        taken += some
        spool.taken(len(some), place)
    assert taken == rows
    assert (tmp_path / FILE).stat().st_size == 0
    spool.append(rows[:1])
    assert everything(spool) == rows[:1]
    spool.close()


def test_records_wait_for_the_next_process(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    rows = records(10)
    spool.append(rows)
    _, place = spool.peek(4)
    spool.taken(4, place)
    spool.close()
    spool = Spool(tmp_path)
    assert spool.rows == 10, "those that were taken are offered again: their ids tell the log"
    assert everything(spool) == rows
    spool.close()


def test_repeats_and_conflicts_are_told(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    first, reward = example_decision(1), example_reward(1, decision=1)
    stored = [DecisionReceipt(Outcome.STORED, -1), RewardReceipt(Outcome.STORED, -1)]
    assert spool.append([first, reward]) == stored
    again = example_decision(1, decided_at=5)
    other = example_decision(1, body_digest=b"o" * 16)
    new = example_decision(2)
    assert spool.append([again, other, reward, new, new]) == [
        DecisionReceipt(Outcome.REPEATED, -1, first),
        DecisionReceipt(Outcome.CONFLICT, -1),
        RewardReceipt(Outcome.REPEATED, -1),
        DecisionReceipt(Outcome.STORED, -1),
        DecisionReceipt(Outcome.REPEATED, -1, new),
    ]
    assert everything(spool) == [first, reward, new]
    spool.close()


@pytest.mark.parametrize("lost", [1, 3, 11, 12, 13, 200])
def test_a_torn_last_frame_is_dropped(tmp_path: Path, lost: int) -> None:
    spool = Spool(tmp_path)
    rows = records(6)
    spool.append(rows)
    spool.close()
    path = tmp_path / FILE
    os.truncate(path, path.stat().st_size - lost)
    spool = Spool(tmp_path)
    assert everything(spool) == rows[:5]
    assert spool.damaged == 0
    spool.append(rows[5:])
    assert everything(spool) == rows
    spool.close()


def test_a_damaged_frame_costs_itself_alone(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    rows = records(9)
    spool.append(rows)
    spool.close()
    path = tmp_path / FILE
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    spool = Spool(tmp_path)
    assert spool.damaged == 1
    left = everything(spool)
    assert len(left) == 8
    assert [one for one in rows if one in left] == left
    assert (tmp_path / f"{FILE}.damaged").read_bytes() == data
    spool.close()


def test_each_process_has_a_file_and_inherits_those_left_behind(tmp_path: Path) -> None:
    rows = records(9)
    first, second, third = Spool(tmp_path), Spool(tmp_path), Spool(tmp_path)
    for spool, mine in ((first, rows[:3]), (second, rows[3:6]), (third, rows[6:])):
        spool.append(mine)
        assert everything(spool) == mine
    second.close()
    third.close()
    heir = Spool(tmp_path)
    assert everything(heir) == rows[3:]
    assert everything(first) == rows[:3]
    assert (tmp_path / "events-2.spool").stat().st_size == 0
    heir.close()
    first.close()


def test_what_cannot_be_inherited_is_told_or_stays(tmp_path: Path) -> None:
    rows = records(6)
    first, second, third = Spool(tmp_path), Spool(tmp_path), Spool(tmp_path)
    other = example_decision(1, body_digest=b"o" * 16)
    for spool, mine in ((first, rows[:2]), (second, [other, rows[2]]), (third, rows[3:])):
        spool.append(mine)
        spool.close()
    path = tmp_path / "events-2.spool"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    heir = Spool(tmp_path)
    assert everything(heir) == [*rows[:3], rows[3], rows[5]]
    assert (heir.conflicts, heir.damaged) == (1, 1)
    assert path.with_name("events-2.spool.damaged").read_bytes() == data
    heir.close()
    size = (tmp_path / FILE).stat().st_size
    another = Spool(tmp_path / "more")
    more = records(20, first=10)
    another.append(more)
    another.close()
    (tmp_path / "more" / FILE).rename(tmp_path / "events-1.spool")
    small = Spool(tmp_path, max_bytes=size + 100)
    assert len(everything(small)) == 5
    small.close()
    large = Spool(tmp_path)
    assert everything(large)[5:] == more, "it stayed until there was room"
    large.close()


def test_a_full_spool_refuses(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=5_000)
    rows = records(3)
    spool.append(rows)
    with pytest.raises(SpoolFullError, match="may hold 5000 bytes"):
        spool.append(records(20, first=10))
    assert everything(spool) == rows
    spool.close()


def test_a_disk_that_takes_no_more_leaves_the_spool_whole(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    rows = records(4)
    spool.append(rows)
    size = (tmp_path / FILE).stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 700, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            spool.append(records(5, first=10))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / FILE).stat().st_size == size
    more = records(5, first=10)
    spool.append(more)
    assert everything(spool) == rows + more
    spool.close()
