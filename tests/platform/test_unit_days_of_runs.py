"""Sums by unit and day of a run's log: a twin in plain Python as the oracle, and bad logs."""

import math
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from matinee_platform.analysis.unit_days import part_fold
from matinee_platform.analysis.unit_days.bad_log import BadLog
from matinee_platform.analysis.unit_days.declared import DeclaredArms
from matinee_platform.analysis.unit_days.distinct_ids import DistinctIds
from matinee_platform.analysis.unit_days.gathered import with_covariate
from matinee_platform.analysis.unit_days.records import UnitDays
from matinee_platform.analysis.unit_days.run_log import read_folder_unit_days
from matinee_platform.assignment import bucket_ranges, choose_arms
from matinee_policies.errors import DataError

DAYS, SLOTS, GENRES = 9, 4, 3
ARMS = DeclaredArms(("old", "new", "spare"), (0.3, 0.7, 0.0))
START = 1_577_836_800_000
DAY = 86_400_000
Log = tuple[pd.DataFrame, pd.DataFrame]


def random_log(seed: int, *, units: int = 60, strays: int = 2) -> Log:
    """Decisions and rewards; the first units are seen in two arms."""
    draws = np.random.default_rng(seed)
    pseudonyms = draws.integers(0, 2**64, size=units, dtype=np.uint64)
    buckets = draws.integers(0, 10_000, size=units)
    arms = choose_arms(buckets.astype(np.int16), bucket_ranges(ARMS.weights))
    unit, day = np.nonzero(draws.random((units, DAYS)) < 0.3)
    pages = draws.geometric(0.5, size=unit.size)
    page = np.concatenate([np.arange(count) for count in pages])
    unit, day = np.repeat(unit, pages), np.repeat(day, pages)
    n = unit.size
    slate = draws.integers(0, 50, size=(n, SLOTS)).astype(np.int32)
    slate[draws.random(n) < 0.2, draws.integers(0, SLOTS)] = -1
    state = draws.random((n, 2 * GENRES + 2), dtype=np.float32)
    state[draws.random(n) < 0.3, :GENRES] = 0
    state[:, -1] = -1
    arm = np.array(ARMS.names)[arms[unit]]
    arm[(unit < strays) & (np.arange(n) % 2 == 1)] = "spare"
    decisions = pd.DataFrame(
        {
            "decision_id": draws.permutation(n).astype(np.uint64) * np.uint64(2**40 + 1),
            "unit": pseudonyms[unit],
            "bucket": buckets[unit],
            "day": day,
            "decided_at": START + day * DAY + page * 60_000,
            "served_by": np.where(draws.random(n) < 0.1, "fallback", "policy"),
            "slate": list(slate),
            "unit_state": list(state),
            "arm": arm,
        }
    ).iloc[np.lexsort((page, draws.permutation(units)[unit], day))]
    decisions = decisions.reset_index(drop=True)
    rows, slots = np.nonzero(draws.random((n, SLOTS)) < 0.4)
    rewards: list[Any] = [
        (row, name, slot, value)
        for row, slot in zip(rows, slots, strict=True)
        for name, value in (("click", float(draws.random() < 0.8)), ("watch", draws.random()))
    ]
    rewards += [(row, "return_visit", -1, 1.0) for row in range(0, n, 3)]
    rewards += [(row, "rating", 0, 4.5) for row in range(0, n, 5)]
    frame = pd.DataFrame(rewards, columns=["row", "component", "slot", "value"])
    for name in ("decision_id", "day", "arm"):
        frame[name] = decisions[name].to_numpy()[frame.row]
    return decisions, frame.drop(columns="row").astype({"value": np.float32})


def write_log(folder: Path, log: Log, *, form: str, by: str = "day", rows: int = 7) -> Path:
    """Write parts, a file for each arm and day."""
    for kind, frame in zip(("decisions", "rewards"), log, strict=True):
        for (arm, part), some in frame.groupby(["arm", by], sort=False):
            path = folder / kind / str(arm) / f"part-{int(str(part)):05d}.{form}"
            path.parent.mkdir(parents=True, exist_ok=True)
            table = arrow(kind, some)
            if form == "arrow":
                feather.write_feather(table, path, chunksize=rows, compression="uncompressed")
            else:
                pq.write_table(table, path, row_group_size=rows, compression="zstd")
    return folder


def arrow(kind: str, frame: pd.DataFrame) -> pa.Table:
    def numbers(name: str, dtype: Any) -> pa.Array:
        return pa.array(frame[name].to_numpy(dtype))

    def lists(name: str, dtype: Any) -> pa.Array:
        rows = np.stack(frame[name].to_list()).astype(dtype)
        return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])

    def words(name: str) -> pa.Array:
        return pa.array(frame[name].to_list(), pa.string()).dictionary_encode()

    common = {"decision_id": numbers("decision_id", np.uint64), "day": numbers("day", np.int16)}
    if kind == "rewards":
        return pa.table(
            {
                **common,
                "component": words("component"),
                "slot": numbers("slot", np.int16),
                "value": numbers("value", np.float32),
            }
        )
    return pa.table(
        {
            **common,
            "unit": numbers("unit", np.uint64),
            "bucket": numbers("bucket", np.int16),
            "decided_at": numbers("decided_at", np.int64).cast(pa.timestamp("ms", tz="UTC")),
            "served_by": words("served_by"),
            "slate": lists("slate", np.int32),
            "unit_state": lists("unit_state", np.float32),
        }
    )


def read(folder: Path, **options: Any) -> UnitDays:
    return read_folder_unit_days(folder, **{"arms": ARMS, "days": DAYS, **options})


def twin(log: Log) -> tuple[dict[int, Any], dict[tuple[int, int], Any]]:
    """Units in one arm, all days of each, by plain loops."""
    decisions, rewards = (frame.to_dict("records") for frame in log)
    by_unit: dict[int, list[Any]] = defaultdict(list)
    by_id = {row["decision_id"]: row for row in decisions}
    for row in decisions:
        by_unit[row["unit"]].append(row)
    days: dict[tuple[int, int], Any] = {}
    for row in decisions:
        start = min(one["day"] for one in by_unit[row["unit"]])
        day = days.setdefault(
            (row["unit"], row["day"] - start),
            {"calendar_day": row["day"], "sessions": 1, **dict.fromkeys(SUMS, 0)},
        )
        day["pages"] += 1
        day["impressions"] += int((row["slate"] >= 0).sum())
        day["fallbacks"] += row["served_by"] == "fallback"
        row["sums"] = day
    for event in rewards:
        if event["decision_id"] in by_id:
            day = by_id[event["decision_id"]]["sums"]
            day["clicks"] += event["component"] == "click" and event["value"] > 0
            day["engagement"] += event["value"] if event["component"] == "watch" else 0.0
    return dict(sorted(by_unit.items())), days


SUMS = ("pages", "impressions", "fallbacks", "clicks", "engagement")


def check(table: UnitDays, log: Log) -> None:
    units, days = twin(log)
    several = [unit for unit, own in units.items() if len({row["arm"] for row in own}) > 1]
    kept = {unit: own for unit, own in units.items() if unit not in several}
    first = [min(own, key=lambda row: row["day"]) for own in kept.values()]
    assert table.several_arms.tolist() == several
    assert table.unit.tolist() == list(kept)
    assert [table.arms[arm] for arm in table.arm] == [row["arm"] for row in first]
    assert table.exposed_at.tolist() == [row["decided_at"] for row in first]
    assert table.exposed_on.tolist() == [row["day"] for row in first]
    assert table.observed.tolist() == [DAYS - row["day"] for row in first]
    wanted = sorted(key for key in days if key[0] in kept)
    places = table.unit[table.row_unit].tolist()
    assert list(zip(places, table.row_day.tolist(), strict=True)) == wanted
    for row, key in enumerate(wanted):
        got = {name: getattr(table, name)[row] for name in ("sessions", *SUMS)}
        got["calendar_day"] = table.row_calendar_day[row]
        assert got == pytest.approx(days[key], rel=1e-12)
    history = [float(row["unit_state"][:GENRES].sum(dtype=np.float64)) for row in first]
    known = [one or math.nan for one in history]
    np.testing.assert_allclose(table.covariates["history"], known)
    assert table.segments["new"].tolist() == [int(not one) for one in history]
    assert table.segments["taste"].tolist() == [
        int(row["unit_state"][:GENRES].argmax()) if one else -1
        for row, one in zip(first, history, strict=True)
    ]


@pytest.mark.parametrize("form", ["arrow", "parquet"])
@pytest.mark.parametrize("seed", range(3))
def test_sums_are_those_of_the_twin(tmp_path: Path, form: str, seed: int) -> None:
    log = random_log(seed)
    table = read(write_log(tmp_path, log, form=form))
    check(table, log)
    assert (table.days, table.orphan_rewards, table.several_arms.size) == (DAYS, 0, 2)
    assert table.arms == ARMS.names


def test_full_slates_and_many_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statistics tell slates without empty slots; the tables of units grow."""
    monkeypatch.setattr(part_fold, "_FIRST_ROOM", 8)
    decisions, rewards = random_log(5, units=400)
    decisions["slate"] = decisions.slate.map(lambda slate: np.where(slate < 0, 7, slate))
    table = read(write_log(tmp_path, (decisions, rewards), form="parquet"))
    check(table, (decisions, rewards))
    assert (table.impressions == SLOTS * table.pages).all()


@pytest.mark.parametrize("form", ["arrow", "parquet"])
def test_parts_may_be_cut_anywhere(tmp_path: Path, form: str) -> None:
    """Rewards join decisions of other parts; a unit's day may lie in two parts."""
    decisions, rewards = random_log(6, strays=0)
    decisions["part"] = np.arange(len(decisions)) * 5 // len(decisions)
    rewards["part"] = (np.arange(len(rewards)) * 7 + 3) % 6
    table = read(write_log(tmp_path, (decisions, rewards), form=form, by="part"))
    check(table, (decisions, rewards))
    assert table.orphan_rewards == 0


def test_orphans_are_counted(tmp_path: Path) -> None:
    decisions, rewards = random_log(7)
    lost = decisions.decision_id.iloc[[5, 40, 41]]
    kept = decisions[~decisions.decision_id.isin(lost)]
    table = read(write_log(tmp_path, (kept, rewards), form="arrow"))
    check(table, (kept, rewards))
    counted = rewards[rewards.component.isin(["click", "watch"])]
    assert table.orphan_rewards == counted.decision_id.isin(lost).sum() > 0


def test_states_are_read_if_wanted(tmp_path: Path) -> None:
    folder = write_log(tmp_path, random_log(8), form="parquet")
    assert read(folder, states=False).covariates == {}
    table = read(folder, genre_names=["a", "b", "c"])
    assert table.segment_labels["taste"] == ("a", "b", "c")
    known = table.covariates["history"][table.segments["new"] == 0]
    thirds = table.segments["activity"][table.segments["new"] == 0]
    assert np.bincount(thirds).tolist() == pytest.approx([known.size / 3] * 3, abs=1)
    for low, high in pairwise(range(3)):
        assert known[thirds == low].max() < known[thirds == high].min()


def test_a_covariate_from_elsewhere(tmp_path: Path) -> None:
    table = read(write_log(tmp_path, random_log(9), form="arrow"))
    some = table.unit[[7, 2, 30]]
    more = with_covariate(table, "past", unit=some, values=np.array([1.0, 2.0, 3.0]))
    past = more.covariates["past"]
    assert past[[7, 2, 30]].tolist() == [1.0, 2.0, 3.0]
    assert np.isnan(past).sum() == len(table) - 3
    nobody = with_covariate(table, "past", unit=some[:0], values=np.zeros(0))
    assert np.isnan(nobody.covariates["past"]).all()


def bad_day(log: Log) -> Log:
    log[0].loc[[3, 9, 10, 11], "day"] = [-1, DAYS, DAYS + 1, 99]
    return log


def twice(log: Log) -> Log:
    return pd.concat([log[0], log[0].iloc[[4, 60]]]), log[1]


def twice_far_apart(log: Log) -> Log:
    again = log[0].iloc[[4]].assign(day=log[0].day.max())
    return pd.concat([log[0], again]), log[1]


def backwards(log: Log) -> Log:
    again = log[0][log[0].unit.duplicated()].index[-1]
    log[0].loc[again, "decided_at"] = START - DAY
    return log


def mixed(log: Log) -> Log:
    log[0].loc[log[0].index[-1], "bucket"] = (log[0].bucket.iloc[-1] + 1) % 10_000
    return log


def swapped(log: Log) -> Log:
    for frame in log:
        frame["arm"] = frame.arm.map({"old": "new", "new": "old", "spare": "spare"})
    return log


def undeclared(log: Log) -> Log:
    for frame in log:
        frame["arm"] = frame.arm.replace({"spare": "other"})
    return log


def empty(log: Log) -> Log:
    decisions, rewards = (frame[frame.arm != "old"] for frame in log)
    return decisions, rewards


def value(wrong: float) -> Callable[[Log], Log]:
    def change(log: Log) -> Log:
        watches = log[1].index[log[1].component == "watch"]
        log[1].loc[watches[[2, 5, 6, 30]], "value"] = wrong
        return log

    return change


def slot(log: Log) -> Log:
    clicks = log[1].index[log[1].component == "click"]
    log[1].loc[clicks[[0, 1]], "slot"] = [-1, SLOTS]
    return log


def clicked_twice(log: Log) -> Log:
    clicks = log[1][log[1].component == "click"]
    return log[0], pd.concat([log[1], clicks.iloc[[3, 8]]])


def clicked_again_later(log: Log) -> Log:
    clicks = log[1][(log[1].component == "click") & (log[1].day == 0)]
    return log[0], pd.concat([log[1], clicks.iloc[[1]].assign(day=4), clicks.iloc[[1, 1]]])


@pytest.mark.parametrize("form", ["arrow", "parquet"])
@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (bad_day, rf"day must be at least 0 and below {DAYS}: 4 times, such as day .* of decision"),
        (twice, r"decision_id must occur once in the log, rows too many: 2 times, such as dec"),
        (twice_far_apart, r"decision_id must occur once in the log, rows too many: once, such"),
        (backwards, r"must not go back by more than 600 s: once, such as time \d+ of decision"),
        (mixed, r"must have one bucket .*, decisions with another: once, such as bucket \d+ of"),
        (swapped, r"must own its bucket .*, units: \d\d times, such as unit \d+ of bucket \d+ in"),
        (undeclared, r"one of old, new, spare, decisions of others: \d+ times, .* of 'other'"),
        (empty, r"every arm with a share must have units, empty arms: once, such as 'old'"),
        (value(math.nan), r"within 0 and 1: 4 times, such as nan for the watch of decision \d+, n"),
        (value(-0.25), r"within 0 and 1: 4 times, such as -0.25 for the watch of decision"),
        (value(1.5), r"within 0 and 1: 4 times, such as 1.5 for the watch of decision"),
        (slot, r"one of the slate's: 2 times, such as slot (-1|4) for the click of decision"),
        (clicked_twice, r"once a decision, rewards too many: 2 times, such as slot \d for the"),
        (clicked_again_later, r"once a decision, rewards too many: 3 times, such as slot"),
    ],
)
def test_a_bad_log_is_refused_with_counts_and_examples(
    tmp_path: Path, form: str, change: Callable[[Log], Log], rule: str
) -> None:
    folder = write_log(tmp_path, change(random_log(11)), form=form)
    with pytest.raises(DataError, match=rule) as caught:
        read(folder)
    assert str(caught.value).count(" of decision ") <= 3


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    folder = write_log(tmp_path, slot(bad_day(random_log(12))), form="arrow")
    with pytest.raises(DataError, match=r"day must be .*4 times.*; .*slate's: 2 times"):
        read(folder)


def test_damaged_and_missing_logs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a folder 'decisions'"):
        read(tmp_path)
    (tmp_path / "decisions").mkdir()
    with pytest.raises(DataError, match="must hold decisions"):
        read(tmp_path)
    folder = write_log(tmp_path, random_log(13), form="parquet")
    part = next((folder / "decisions" / "new").glob("*"))
    whole = part.read_bytes()
    part.with_suffix(".arrow").write_bytes(whole)
    with pytest.raises(DataError, match="must be there once, not also as"):
        read(folder)
    part.with_suffix(".arrow").unlink()
    part.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"part-\d+\.parquet: must be a complete part"):
        read(folder)


@pytest.mark.parametrize("at_once", [3, 10, 100])
def test_ids_of_a_long_log_are_checked_in_passes(at_once: int) -> None:
    draws = np.random.default_rng(1)
    ids = draws.permutation(60).astype(np.uint64)
    parts = np.split(np.concatenate([ids, ids[[3, 7, 7]]]), [20, 41])
    check = DistinctIds(63, at_once=at_once)
    for part in parts:
        check.add(part)
    found = BadLog()
    check.check(found, lambda: parts)
    with pytest.raises(DataError, match="rows too many: 3 times") as caught:
        found.refuse("log")
    assert {f"decision {one}" for one in ids[[3, 7]]} <= set(
        str(caught.value).split("such as ")[1].split(", ")
    )
