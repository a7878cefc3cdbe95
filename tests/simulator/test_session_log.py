"""Logs of sessions: what is read, what is refused, and the targets that follow by hand."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from matinee_policies.errors import DataError
from matinee_policies.interactions import Interactions
from matinee_simulator.calibration.log_targets import (
    active_days,
    rating_return_targets,
    session_targets,
)
from matinee_simulator.calibration.session_log import SessionLog, read_session_log
from matinee_simulator.calibration.target import Target

DAY = 86_400


def log_of(folder: Path, text: str) -> SessionLog:
    path = folder / "log.csv"
    path.write_text(text, encoding="utf-8")
    return read_session_log(path)


def test_a_gap_of_half_an_hour_begins_a_session(tmp_path: Path) -> None:
    log = log_of(
        tmp_path,
        "time,user,device\n100,b,x\n1900,b,x\n3701,b,x\n50,a,x\n40,b,x\n",
    )
    # Users by first appearance, events by time; 1,800 s still belong together, 1,801 do not.
    assert log.user.tolist() == [0, 0, 0, 0, 1]
    assert log.time.tolist() == [40, 100, 1900, 3701, 50]
    assert log.session.tolist() == [0, 0, 0, 1, 2]
    assert log.page.tolist() == [1, 2, 3, 1, 1]
    assert (log.n_users, log.n_sessions) == (2, 3)


def test_sessions_and_times_may_be_named(tmp_path: Path) -> None:
    log = log_of(
        tmp_path,
        "user,time,session\n"
        "a,2024-05-01T12:00:00Z,s1\n"
        "a,2024-05-01T14:00:00+02:00,s2\n"
        "a,2024-05-03T12:00:00.5Z,s1\n"
        "b,1714564800,s1\n",
    )
    assert log.session.tolist() == [0, 0, 1, 2]
    assert log.page.tolist() == [1, 2, 1, 1]
    assert log.time[0] == 1714564800.0


def test_positions_tell_pages_apart(tmp_path: Path) -> None:
    log = log_of(
        tmp_path,
        "user,time,position,clicked\n"
        + "".join(
            f"u,{10 + i},{p},{c}\n"
            for i, (p, c) in enumerate([(1, 0), (2, 1), (3, 0), (1, 0), (4, 1), (4, 0)])
        )
        + "u,9000,2,0\n",
    )
    assert log.page.tolist() == [1, 1, 1, 2, 2, 3, 1]
    assert log.session.tolist() == [0] * 6 + [1]
    assert log.clicked is not None
    assert log.clicked.tolist() == [False, True, False, False, True, False, False]


def test_gzip_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.csv.gz"
    path.write_bytes(gzip.compress(b"user,time\na,1\n"))
    assert read_session_log(path).n_users == 1


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("user,when\na,1\n", "line 1: header must have the column 'time'"),
        ("user,time\n", "at least one row"),
        ("user,time\na,yesterday\n", "line 2: time must be unix seconds.*got 'yesterday'"),
        ("user,time\na,2024-05-01T12:00:00\n", "line 2: time must be .* with its zone"),
        ("user,time\na,-4\n", "line 2: time must be"),
        ("user,time\na,1\n,2\n", "line 3: user must not be empty"),
        ("user,time,session\na,1, \n", "line 2: session must not be empty"),
        ("user,time,position\na,1,1\n", "line 1: column 'position' needs column 'clicked'"),
        ("user,time,clicked\na,1,1\n", "line 1: column 'clicked' needs column 'position'"),
        ("user,time,position,clicked\na,1,0,1\n", "line 2: position must be .* got '0'"),
        ("user,time,position,clicked\na,1,1,yes\n", "line 2: clicked must be 0 or 1, got 'yes'"),
        ("user,time\na,1,2\n", "line 2: row must have 2 fields, got 3"),
    ],
)
def test_what_breaks_a_rule_is_refused(tmp_path: Path, text: str, rule: str) -> None:
    with pytest.raises(DataError, match=rule):
        log_of(tmp_path, text)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must exist"):
        read_session_log(tmp_path / "nothing.csv")


def by_name(targets: tuple[Target, ...]) -> dict[str, Target]:
    return {target.name: target for target in targets}


def test_targets_of_a_drawn_log_are_those_it_was_drawn_from(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    n, days, stay, back = 1_500, 30, 0.6, 0.3
    lines = ["user,time,position,clicked"]
    ctr = 0.2 * 0.8 ** np.arange(2)
    for user in range(n):
        for day in [0, *(1 + np.flatnonzero(rng.random(days - 1) < back))]:
            time = float(day * DAY)
            for _ in range(rng.geometric(1 - stay)):
                for slot in range(2):
                    time += 5
                    clicked = int(rng.random() < ctr[slot])
                    lines.append(f"u{user},{time},{slot + 1},{clicked}")
    # One late event says that the log goes on for long enough for D28 of everyone.
    lines.append(f"late,{days * DAY},1,0")
    found = by_name(session_targets(log_of(tmp_path, "\n".join(lines) + "\n"), source="drawn"))
    expected = {
        **{f"leave_{page}": 1 - stay for page in range(1, 7)},
        "leave_unclicked": 1 - stay,
        **{f"slot_ctr_{slot}": ctr[slot - 1] for slot in (1, 2)},
        **{f"return_day_{day}": back for day in (1, 3, 7, 14, 28)},
        "once_within_16": (1 - back) ** 15,
        "return_after_1": 1 - (1 - back) ** 14,
        "return_after_4": 1 - (1 - back) ** 14,
        "return_slope": 0.0,
    }
    for name, value in expected.items():
        target = found[name]
        assert target.n is not None
        assert target.standard_error is not None
        assert target.kind == "log"
        assert abs(target.value - value) < 4 * target.standard_error, name
    # The standard error is that of a share of independent users.
    d1 = found["return_day_1"]
    assert d1.standard_error == pytest.approx((back * (1 - back) / n) ** 0.5, rel=0.05)
    assert d1.n == n


def test_errors_of_hazards_know_that_sessions_of_a_user_go_together(tmp_path: Path) -> None:
    # Every user repeats one session 25 times: the sample is that of the users.
    rng = np.random.default_rng(7)
    depths = rng.geometric(0.5, 400)
    lines = ["user,time"]
    for user, depth in enumerate(depths):
        for day in range(25):
            lines += [f"{user},{day * DAY + 10 * page}" for page in range(depth)]
    found = by_name(session_targets(log_of(tmp_path, "\n".join(lines) + "\n"), source="x"))
    share = (depths == 1).mean()
    assert found["leave_1"].value == pytest.approx(share)
    assert found["leave_1"].standard_error == pytest.approx(
        (share * (1 - share) / 400) ** 0.5, rel=0.02
    )
    assert found["leave_1"].n == 400 * 25


def test_logs_without_single_clicks_count_from_two(tmp_path: Path) -> None:
    lines = ["user,time"]
    for user in range(300):
        lines += [f"{user},{page}" for page in range(2 if user < 180 else 3)]
    found = by_name(session_targets(log_of(tmp_path, "\n".join(lines) + "\n"), source="x"))
    assert found["leave_1"].value == pytest.approx(0.6)
    assert found["leave_2"].value == pytest.approx(1.0)
    assert "return_day_1" not in found


def test_a_log_that_tells_nothing_is_refused(tmp_path: Path) -> None:
    log = log_of(tmp_path, "user,time\na,1\nb,2\n")
    with pytest.raises(DataError, match=r"sample of 100, got '2 sessions'"):
        session_targets(log, source="tiny")


def test_users_count_only_where_the_log_goes_on() -> None:
    users = np.array([0, 0, 1, 2, 2], dtype=np.int32)
    times = np.array([0.0, 1.5 * DAY, 5.0 * DAY, 0.5 * DAY, 6.0 * DAY])
    visits, watched = active_days(users, times)
    assert watched.tolist() == [6, 1, 5]
    assert [np.flatnonzero(row).tolist() for row in visits] == [[0, 1], [0], [0, 5]]


def test_returns_of_ratings_need_times() -> None:
    n = 200
    rows = np.arange(n)
    stars = np.full(2 * n, 3.0)
    times = np.concatenate([np.zeros(n), np.where(rows % 4 == 0, 1.5, 5.2) * DAY])

    def ratings(at: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Interactions:
        return Interactions.from_triplets(
            np.tile(rows, 2),
            np.repeat([0, 1], n),
            stars,
            at.astype(np.int64),
            rating_range=(1.0, 5.0),
            n_users=n,
            n_items=2,
        )

    found = by_name(rating_return_targets(ratings(times), source="ratings"))
    assert found["return_day_1"].value == pytest.approx(0.25)
    assert found["return_day_1"].kind == "ratings"
    assert "return_day_7" not in found
    assert rating_return_targets(ratings(np.zeros(2 * n)), source="ratings") == ()
