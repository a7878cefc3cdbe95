"""From the log of a run to its snapshots; a log that was changed does not lead there."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

from matinee_platform.cli import app
from matinee_platform.offline.replay_run import replay_run
from matinee_platform.offline.run import run_experiment
from matinee_platform.part_writer import part_path
from matinee_platform.replay import ArmReplay
from matinee_platform.settings import parse_settings
from matinee_policies.errors import DataError
from matinee_policies.snapshot import Snapshot

DAY = 4
"""On which the log is changed."""

Edit = Callable[[pa.Table], pa.Table]


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of the run with nothing but what a replay may read."""
    copy = tmp_path / "run"
    copy.mkdir()
    for name in ("model", "decisions", "rewards", "snapshots"):
        shutil.copytree(tiny_run / name, copy / name)
    for name in ("settings.json", "results.json"):
        shutil.copy(tiny_run / name, copy)
    return copy


def change(run: Path, kind: str, edit: Edit, *, day: int = DAY) -> None:
    """Rewrite a part of the arm `lin_ucb`."""
    path = part_path(run, kind, "lin_ucb", day)
    with pa.memory_map(str(path)) as file:
        table = edit(pa.ipc.open_file(file).read_all())
        with pa.ipc.new_file(path.with_suffix(".new"), table.schema) as writer:
            writer.write_table(table)
    path.with_suffix(".new").replace(path)


def replay_one(run: Path, arm: str = "lin_ucb") -> ArmReplay:
    (found,) = replay_run(run, [arm])
    return found


def test_a_run_is_replayed_from_log_model_and_settings_alone(run: Path, tiny_run: Path) -> None:
    kept = json.loads((tiny_run / "results.json").read_text(encoding="utf-8"))["arm_runs"]
    found = {replay.arm: replay for replay in replay_run(run)}
    assert set(found) == set(kept)
    for arm, replay in found.items():
        assert replay.passed, replay
        assert replay.equal == replay.snapshots == len(kept[arm]["snapshots"])
        assert replay.decisions == kept[arm]["pages"]
        assert replay.unmatched_events == 0
    assert found["lin_ucb"].snapshots == 11


def component(table: pa.Table, name: str) -> np.ndarray:
    rows: np.ndarray = pc.equal(table["component"].cast(pa.string()), name).to_numpy()
    return np.flatnonzero(rows)


def with_column(table: pa.Table, name: str, values: np.ndarray) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values))


def last_bit_of_a_watched_fraction(table: pa.Table) -> pa.Table:
    values = table["value"].to_numpy().copy()
    row = component(table, "watch")[0]
    values[row] = np.nextafter(values[row], np.float32(0.0))
    return with_column(table, "value", values)


def without_a_return(table: pa.Table) -> pa.Table:
    keep = np.ones(table.num_rows, dtype=np.bool_)
    keep[component(table, "return_visit")[0]] = False
    return table.filter(pa.array(keep))


def event_of_nobody(table: pa.Table) -> pa.Table:
    ids = table["decision_id"].to_numpy().copy()
    ids[component(table, "watch")[0]] ^= np.uint64(1)
    return with_column(table, "decision_id", ids)


@pytest.mark.parametrize(
    ("edit", "first", "unmatched"),
    [
        (last_bit_of_a_watched_fraction, [DAY + 1], 0),
        # Learned three days after the page: today at the earliest, since the page is older.
        (without_a_return, [DAY + 1, DAY + 2, DAY + 3], 0),
        (event_of_nobody, [DAY + 1], 1),
    ],
)
def test_one_changed_reward_is_found(
    run: Path, edit: Edit, first: list[int], unmatched: int
) -> None:
    change(run, "rewards", edit)
    found = replay_one(run)
    assert not found.passed
    assert found.first_unequal in first
    assert found.equal == found.first_unequal
    assert found.unmatched_events == unmatched
    assert replay_one(run, "epsilon_greedy").passed


def test_a_changed_propensity_is_found(run: Path) -> None:
    def edit(table: pa.Table) -> pa.Table:
        column = table["propensities"].combine_chunks()
        values = column.flatten().to_numpy().copy()
        values[3] = np.nextafter(values[3], 0.0)
        listed = pa.FixedSizeListArray.from_arrays(pa.array(values), column.type.list_size)
        return table.set_column(table.column_names.index("propensities"), "propensities", listed)

    change(run, "decisions", edit)
    found = replay_one(run)
    # A ridge regression does not look at propensities.
    assert (found.passed, found.unequal_decisions, found.first_unequal) == (False, 1, None)


def test_a_lost_decision_is_found(run: Path) -> None:
    change(run, "decisions", lambda table: table.slice(1))
    found = replay_one(run)
    assert (found.passed, found.first_unequal) == (False, DAY + 1)


def test_logs_that_cannot_be_replayed_are_refused(run: Path) -> None:
    def elsewhere(table: pa.Table) -> pa.Table:
        return with_column(table, "slot", table["slot"].to_numpy() + np.int16(5))

    def doubled(table: pa.Table) -> pa.Table:
        table = with_column(table, "slot", table["slot"].to_numpy() - np.int16(5))
        return pa.concat_tables([table, table])

    def once(table: pa.Table) -> pa.Table:
        return table.slice(0, table.num_rows // 2)

    def other(table: pa.Table) -> pa.Table:
        return with_column(table, "catalogue_version", table["catalogue_version"].to_numpy() + 1)

    for edit, message in (
        (elsewhere, "slots of clicks must be within 0 and 4, got"),
        (doubled, "a slot of a page must have one click at most"),
    ):
        change(run, "rewards", edit)
        with pytest.raises(DataError, match=message):
            replay_one(run)
    change(run, "rewards", once)
    assert replay_one(run).passed
    change(run, "decisions", other)
    with pytest.raises(DataError, match="must be of catalogue version"):
        replay_one(run)


def test_snapshots_that_are_missing_changed_or_too_many_are_told(run: Path) -> None:
    folder = run / "snapshots" / "lin_ucb"
    shutil.copy(folder / "00005.npz", folder / "00011.npz")
    kept = Snapshot.load(folder / "00007.npz")
    changed = Snapshot(kept.kind, kept.version, kept.arrays, {**kept.manifest, "rows": 1})
    changed.save(folder / "00007.npz")
    (folder / "00003.npz").unlink()
    found = replay_one(run)
    assert (found.passed, found.equal, found.snapshots) == (False, 9, 12)
    assert (found.first_unequal, found.reason) == (3, "the run kept no such version")


def test_the_command_tells_and_its_status_says(run: Path) -> None:
    done = CliRunner().invoke(app, ["replay", str(run)])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    assert lines[-1].startswith("lin_ucb: ok: 11 of 11 snapshots equal; ")
    change(run, "rewards", last_bit_of_a_watched_fraction)
    done = CliRunner().invoke(app, ["replay", str(run), "--arm", "lin_ucb"])
    assert done.exit_code == 1
    assert "lin_ucb: FAILED: 5 of 11 snapshots equal" in done.stdout
    assert "first unequal: version 5 (kept " in done.stdout
    done = CliRunner().invoke(app, ["replay", str(run), "--arm", "lin_ucb", "--json"])
    assert done.exit_code == 1
    (found,) = json.loads(done.stdout)
    assert (found["arm"], found["passed"], found["first_unequal"]) == ("lin_ucb", False, 5)


def test_unknown_arms_and_unfinished_runs_are_refused(run: Path) -> None:
    done = CliRunner().invoke(app, ["replay", str(run), "--arm", "lin_usb"])
    assert "arm must be one of popularity, mf_order" in str(done.exception)
    (run / "results.json").unlink()
    with pytest.raises(DataError, match="holds no finished run"):
        replay_one(run)


def test_every_component_is_replayed_and_so_is_position_bias(
    small_data: Path, tmp_path: Path
) -> None:
    kinds = {
        "lin_ucb": {"kind": "lin_ucb"},
        "lin_ucb_items": {"kind": "lin_ucb", "form": "disjoint"},
        "vowpal_wabbit": {"kind": "vowpal_wabbit"},
    }
    rewards: list[tuple[dict[str, Any], list[str]]] = [
        ({"learn_window_days": 2}, list(kinds)),
        ({"engagement": {"position_bias": "estimated"}}, ["lin_ucb"]),
    ]
    for number, (reward, arms) in enumerate(rewards):
        settings = parse_settings(
            {
                "name": "components",
                "users": 80,
                "days": 6,
                "slots": 4,
                "candidates": 15,
                "design": "paired",
                "data": str(small_data),
                "world": {"arrival_days": 1},
                "reward": {
                    "rating": {"weight": 0.3, "window_days": 2},
                    "return_visit": {"weight": 0.1, "window_days": 3},
                    **reward,
                },
                "arms": [{"name": arm, "policy": kinds[arm]} for arm in arms],
            }
        )
        run = tmp_path / str(number)
        run_experiment(settings, run, workers=1)
        for found in replay_run(run):
            assert found.passed, found
            assert found.snapshots > 4
        # Ratings count: without them, the log leads elsewhere.
        for day in range(settings.days):
            change(run, "rewards", without_ratings, day=day)
        assert not replay_one(run).passed


def without_ratings(table: pa.Table) -> pa.Table:
    keep = np.ones(table.num_rows, dtype=np.bool_)
    keep[component(table, "rating")] = False
    return table.filter(pa.array(keep))


def test_a_log_of_an_arm_that_does_not_learn_must_be_whole_too(run: Path) -> None:
    next((run / "decisions" / "popularity").glob("*.arrow")).unlink()
    found = replay_one(run, "popularity")
    assert found.equal == found.snapshots == 1
    assert not found.complete
    assert not found.passed
