"""The unit table: pandas over the whole log as the oracle, and what a broken log is told."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather

from matinee_platform.analysis.unit_table import UnitTable, read_unit_table
from matinee_policies.errors import DataError

DAYS, SLOTS, ARM = 12, 4, "mf_order"


def random_log(seed: int, units: int = 40) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Decisions and rewards in the shape of the log, in random order within a day."""
    rng = np.random.default_rng(seed)
    pseudonyms = rng.integers(0, 2**64, size=units, dtype=np.uint64)
    visits = rng.random((units, DAYS)) < 0.25
    unit, day = np.nonzero(visits)
    pages = rng.geometric(0.5, size=unit.size)
    unit, day = np.repeat(unit, pages), np.repeat(day, pages)
    slate = rng.integers(0, 50, size=(unit.size, SLOTS)).astype(np.int32)
    slate[rng.random(unit.size) < 0.2, SLOTS - 1] = -1
    decisions = pd.DataFrame(
        {
            "decision_id": rng.permutation(unit.size).astype(np.uint64) * np.uint64(2**40 + 1),
            "unit": pseudonyms[unit],
            "day": day.astype(np.int16),
            "slate": list(slate),
        }
    )
    decisions = decisions.iloc[np.lexsort((rng.random(unit.size), day))].reset_index(drop=True)
    clicked = np.argwhere(rng.random((unit.size, SLOTS)) < 0.3)
    rewards = [
        (decisions.decision_id[row], name, slot, value, decisions.day[row])
        for row, slot in clicked
        for name, value in (("click", 1.0), ("watch", rng.random()))
    ]
    rewards += [(one, "return_visit", -1, 1.0, 3) for one in decisions.decision_id[::3]]
    rewards += [(one, "rating", 0, 4.0, 3) for one in decisions.decision_id[::5]]
    columns = ["decision_id", "component", "slot", "value", "day"]
    return decisions, pd.DataFrame(rewards, columns=columns)


def write_log(run: Path, decisions: pd.DataFrame, rewards: pd.DataFrame, *, parts: int = 3) -> None:
    for kind, frame in (("decisions", decisions), ("rewards", rewards)):
        folder = run / kind / ARM
        folder.mkdir(parents=True)
        edges = np.linspace(0, len(frame), parts + 1).astype(int)
        for number, (start, stop) in enumerate(pairwise(edges)):
            table = arrow(kind, frame.iloc[start:stop])
            feather.write_feather(table, folder / f"part-{number:05d}.arrow", chunksize=17)


def arrow(kind: str, frame: pd.DataFrame) -> pa.Table:
    columns = {
        "decision_id": pa.array(frame.decision_id.to_numpy(np.uint64)),
        "day": pa.array(frame.day.to_numpy(np.int16)),
    }
    if kind == "decisions":
        flat = np.concatenate([np.zeros(0, np.int32), *frame.slate])
        columns["unit"] = pa.array(frame.unit.to_numpy(np.uint64))
        columns["slate"] = pa.FixedSizeListArray.from_arrays(pa.array(flat), SLOTS)
    else:
        columns["component"] = pa.array(frame.component.to_list(), pa.string()).dictionary_encode()
        columns["slot"] = pa.array(frame.slot.to_numpy(np.int16))
        columns["value"] = pa.array(frame.value.to_numpy(np.float32))
    return pa.table(columns)


def check(table: UnitTable, decisions: pd.DataFrame, rewards: pd.DataFrame) -> None:
    """Compare with a plain join and group-by."""
    shown = decisions.slate.map(lambda slate: int((slate >= 0).sum()))
    by_unit = decisions.assign(shown=shown).groupby("unit")
    joined = rewards.merge(decisions[["decision_id", "unit"]], on="decision_id")
    joined["value"] = joined.value.astype(np.float32).astype(np.float64)
    units = np.unique(decisions.unit.to_numpy(np.uint64))
    assert table.unit.tolist() == units.tolist()
    assert table.exposure_day.tolist() == by_unit.day.min().reindex(units).tolist()
    assert table.sessions.tolist() == by_unit.day.nunique().reindex(units).tolist()
    assert table.pages.tolist() == by_unit.size().reindex(units).tolist()
    assert table.impressions.tolist() == by_unit.shown.sum().reindex(units).tolist()
    clicks = joined[joined.component == "click"].groupby("unit").size()
    assert table.clicks.tolist() == clicks.reindex(units, fill_value=0).tolist()
    watched = joined[joined.component == "watch"].groupby("unit").value.sum()
    expected = watched.reindex(units, fill_value=0.0).to_numpy()
    np.testing.assert_allclose(table.engagement, expected, rtol=1e-12)
    visits = pd.crosstab(decisions.unit, decisions.day).reindex(columns=range(DAYS), fill_value=0)
    assert (table.active == (visits.to_numpy() > 0)).all()


@pytest.mark.parametrize("partition_rows", [9, 40, 10_000])
@pytest.mark.parametrize("parts", [1, 5])
def test_equals_a_join_of_the_whole_log(tmp_path: Path, parts: int, partition_rows: int) -> None:
    decisions, rewards = random_log(1)
    write_log(tmp_path, decisions, rewards, parts=parts)
    table = read_unit_table(tmp_path, ARM, days=DAYS, partition_rows=partition_rows)
    check(table, decisions, rewards)
    assert (len(table), table.days, table.orphan_rewards) == (table.unit.size, DAYS, 0)


@pytest.mark.parametrize("partition_rows", [9, 10_000])
def test_orphan_rewards_are_counted_and_join_nobody(tmp_path: Path, partition_rows: int) -> None:
    decisions, rewards = random_log(2)
    lost = decisions.decision_id.iloc[[3, 10, 11]]
    kept = decisions[~decisions.decision_id.isin(lost)]
    write_log(tmp_path, kept, rewards)
    table = read_unit_table(tmp_path, ARM, days=DAYS, partition_rows=partition_rows)
    check(table, kept, rewards)
    assert table.orphan_rewards == rewards.decision_id.isin(lost).sum() > 0


def test_an_arm_without_decisions_has_no_units(tmp_path: Path) -> None:
    decisions, rewards = random_log(3)
    write_log(tmp_path, decisions, rewards)
    table = read_unit_table(tmp_path, "nobody_came", days=DAYS)
    assert (len(table), table.days, table.sessions.size) == (0, DAYS, 0)


def test_decisions_without_any_reward(tmp_path: Path) -> None:
    decisions, rewards = random_log(4)
    write_log(tmp_path, decisions, rewards.iloc[:0], parts=1)
    check(read_unit_table(tmp_path, ARM, days=DAYS), decisions, rewards.iloc[:0])


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must hold the log of a run"):
        read_unit_table(tmp_path, ARM, days=DAYS)


def test_a_decision_logged_twice_is_refused(tmp_path: Path) -> None:
    decisions, rewards = random_log(5)
    twice = pd.concat([decisions, decisions.iloc[[4]]])
    write_log(tmp_path, twice, rewards)
    doubled = decisions.decision_id[4]
    with pytest.raises(DataError, match=f"decision_id must occur once, got .*{doubled}"):
        read_unit_table(tmp_path, ARM, days=DAYS)


@pytest.mark.parametrize("day", [-1, DAYS])
def test_a_day_outside_the_run_is_refused(tmp_path: Path, day: int) -> None:
    decisions, rewards = random_log(6)
    decisions.loc[7, "day"] = day
    write_log(tmp_path, decisions, rewards)
    with pytest.raises(DataError, match=f"below {DAYS}, got {day}"):
        read_unit_table(tmp_path, ARM, days=DAYS)


@pytest.mark.parametrize("value", [1.5, -0.25, float("nan"), float("inf")])
def test_a_watch_that_is_no_fraction_is_refused(tmp_path: Path, value: float) -> None:
    decisions, rewards = random_log(7)
    rewards.loc[rewards.index[rewards.component == "watch"][2], "value"] = value
    write_log(tmp_path, decisions, rewards)
    with pytest.raises(DataError, match=f"within 0 and 1, got {value}"):
        read_unit_table(tmp_path, ARM, days=DAYS)
