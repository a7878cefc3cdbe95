"""`matinee explain` on the log of a run: what it prints, and what a changed log makes of it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

from matinee_platform.cli import app
from matinee_platform.decision_log import read_parts
from matinee_platform.log_schema import column_values
from matinee_platform.offline.explain_run import explain_logged
from matinee_platform.offline.run import run_experiment
from matinee_platform.part_writer import part_path
from matinee_platform.settings import parse_settings
from matinee_policies.datasets.movielens import load_movielens
from matinee_policies.errors import ConfigError, DataError, MatineeError

SLOTS = 5
CAPPED = {"caps": {"aspect": 2}, "floor": 0.05}


def row_of(run: Path, arm: str, day: int, row: int) -> dict[str, Any]:
    (table, *_) = read_parts(run, "decisions", arm, day=day)
    return {name: values[row] for name, values in column_values(table).items()}


def explain(*words: str) -> Result:
    return CliRunner().invoke(app, ["explain", *words])


@pytest.mark.parametrize(
    "arm", ["popularity", "mf_order", "mf_explored", "epsilon_greedy", "lin_ucb"]
)
def test_logged_decisions_follow_from_the_folder_alone(tiny_run: Path, arm: str) -> None:
    for day in (0, 4, 9):
        logged = row_of(tiny_run, arm, day, 3)
        found = explain_logged(tiny_run, int(logged["decision_id"])).decision
        assert found.explanation.follows, found.explanation.faults
        assert (found.arm, found.day, found.snapshot) == (arm, day, int(logged["snapshot"]))
        assert found.unit == int(logged["unit"])
        slots = found.explanation.slots
        assert [slot.item for slot in slots] == logged["slate"].tolist()
        assert [slot.propensity for slot in slots] == logged["propensities"].tolist()


def test_the_latest_decision_is_the_last_of_the_log(tiny_run: Path) -> None:
    found = explain_logged(tiny_run, None, arms=["lin_ucb"]).decision
    times = [
        column_values(table)["decided_at"] for table in read_parts(tiny_run, "decisions", "lin_ucb")
    ]
    assert found.decided_at == int(np.concatenate(times).max())
    everywhere = explain_logged(tiny_run, None).decision
    assert everywhere.decided_at >= found.decided_at


def test_mixtures_pins_exclusions_and_caps_are_explained(tmp_path: Path, small_data: Path) -> None:
    pinned = int(load_movielens(small_data).catalogue.ids[5])
    settings = parse_settings(
        {
            "name": "ruled",
            "users": 60,
            "days": 2,
            "slots": SLOTS,
            "candidates": 20,
            "world": {"arrival_days": 1},
            "data": str(small_data),
            "rules": {"pinned": {3: pinned}},
            "arms": [
                {
                    "name": "band",
                    "policy": {
                        "kind": "mixture",
                        "bases": [
                            {"kind": "lin_ucb", "weight": 0.5, "policy": CAPPED},
                            {"kind": "softmax", "weight": 0.5, "policy": CAPPED},
                        ],
                    },
                }
            ],
        }
    )
    run = tmp_path / "run"
    run_experiment(settings, run, workers=1)
    bases, pinned_slots = set(), 0
    for row in range(12):
        logged = row_of(run, "band", 1, row)
        found = explain_logged(run, int(logged["decision_id"])).decision.explanation
        assert found.follows, found.faults
        bases.add(found.base)
        pins = [slot.pin for slot in found.slots]
        assert pins.count(-1) >= SLOTS - 1
        pinned_slots += pins[3] != -1
    assert bases == {0, 1}
    assert pinned_slots > 0
    done = explain(str(run), "--latest")
    assert done.exit_code == 0, done.output
    assert "base 1: softmax, weight 0.5" in done.stdout
    assert "drew the slate" in done.stdout


def test_the_command_prints_a_table_for_each_slot(tiny_run: Path) -> None:
    logged = row_of(tiny_run, "lin_ucb", 6, 0)
    name = f"{int(logged['decision_id']):016x}"
    done = explain(str(tiny_run), name)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"Decision {name} of arm lin_ucb, day 6, page ")
    assert [line[:7] for line in lines if line.startswith("slot ")] == [
        f"slot {slot}:" for slot in range(SLOTS)
    ]
    assert lines[-1] == "Slate and propensities follow, bit for bit."
    assert sum(line.startswith("->") for line in lines) == SLOTS
    one = explain(str(tiny_run), str(int(logged["decision_id"])), "--slot", "2", "--top", "1")
    assert one.exit_code == 0, one.output
    assert [line[:7] for line in one.stdout.splitlines() if line.startswith("slot ")] == ["slot 2:"]


def test_json_holds_every_candidate_of_every_slot(tiny_run: Path) -> None:
    done = explain(str(tiny_run), "--latest", "--arm", "lin_ucb", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["arm"], told["follows"], told["served_by"]) == ("lin_ucb", True, "policy")
    assert len(told["slots"]) == SLOTS
    assert all(isinstance(one["title"], str) for one in told["candidates"])
    for slot in told["slots"]:
        total = sum(one["propensity"] for one in slot["candidates"])
        assert total + slot["empty"] == pytest.approx(1.0, abs=1e-12)


def test_a_changed_log_is_named_by_its_slot(tiny_run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(tiny_run, copy)
    logged = row_of(copy, "lin_ucb", 6, 0)
    path = part_path(copy, "decisions", "lin_ucb", 6)
    with pa.memory_map(str(path)) as file:
        table = pa.ipc.open_file(file).read_all()
        column = table["propensities"].combine_chunks()
        values = column.flatten().to_numpy().copy()
        values[3] = np.nextafter(values[3], 0.0)
        listed = pa.FixedSizeListArray.from_arrays(pa.array(values), SLOTS)
        place = table.column_names.index("propensities")
        table = table.set_column(place, "propensities", listed)
        with pa.ipc.new_file(path.with_suffix(".new"), table.schema) as writer:
            writer.write_table(table)
    path.with_suffix(".new").replace(path)
    done = explain(str(copy), f"{int(logged['decision_id']):016x}")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[-2] == "The log does NOT follow:"
    assert lines[-1].startswith("  slot 3: propensity is ")


def refusal(*words: str) -> str:
    done = explain(*words)
    assert isinstance(done.exception, MatineeError), done.output
    return str(done.exception)


def test_what_is_not_there_is_told(tiny_run: Path, tmp_path: Path) -> None:
    run = str(tiny_run)
    assert "holds no decision 000000000000007b" in refusal(run, "123")
    assert "decision id must be 16 hexadecimal digits" in refusal(run, "latest")
    assert "give a decision id, or --latest" in refusal(run)
    assert "give a decision id, or --latest" in refusal(run, "123", "--latest")
    assert "arm must be one of popularity, mf_order" in refusal(run, "--latest", "--arm", "x")
    assert "slot must be below 5, got 5" in refusal(run, "--latest", "--slot", "5")
    with pytest.raises(DataError, match="the folder holds no run"):
        explain_logged(tmp_path, None)
    with pytest.raises(ConfigError, match="arm must be one of"):
        explain_logged(tiny_run, None, arms=["lin_usb"])
