"""What a run logs is what it did: re-scored from disk, seen by no policy, complete."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather
from typer.testing import CliRunner

from matinee_platform.cli import app
from matinee_platform.decision_log import read_parts
from matinee_platform.log_schema import matrix
from matinee_policies.errors import MatineeError


def _found(run: Path) -> dict[str, dict[str, Any]]:
    """What `verify` tells of a run that does not pass, by arm."""
    done = CliRunner().invoke(app, ["verify", str(run), "--json"])
    assert done.exit_code == 1
    return {check["arm"]: check for check in json.loads(done.stdout)}


def test_every_logged_slot_rescores_to_ratio_one_in_a_fresh_process(tiny_run: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "matinee_platform.cli", "verify", str(tiny_run), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    checks = {check["arm"]: check for check in json.loads(done.stdout)}
    assert set(checks) == {"popularity", "mf_order", "mf_explored", "epsilon_greedy", "lin_ucb"}
    for check in checks.values():
        assert check["slots"] > 500
        assert check["complete"]
        assert check["decisions"] > 100
        assert check["unequal"] == 0
        assert check["features_unequal"] == 0
    assert sum(check["features_compared"] for check in checks.values()) > 0
    for learner in ("epsilon_greedy", "lin_ucb"):
        assert checks[learner]["snapshots"] > 5
        assert checks[learner]["neighbour_unequal"] > 0


def test_verify_finds_one_changed_propensity(tiny_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "copy"
    shutil.copytree(tiny_run, run)
    part = sorted((run / "decisions" / "lin_ucb").glob("*.arrow"))[-1]
    table = feather.read_table(part, memory_map=False)
    propensities = matrix(table["propensities"]).copy()
    propensities[0, 0] = np.nextafter(propensities[0, 0], 0.0)
    column = pa.FixedSizeListArray.from_arrays(
        pa.array(propensities.reshape(-1)), propensities.shape[1]
    )
    place = table.column_names.index("propensities")
    feather.write_feather(table.set_column(place, "propensities", column), part)
    assert _found(run)["lin_ucb"]["unequal"] == 1


@pytest.mark.parametrize("kind", ["decisions", "rewards"])
def test_verify_misses_no_part_of_the_log(tiny_run: Path, tmp_path: Path, kind: str) -> None:
    run = tmp_path / "copy"
    shutil.copytree(tiny_run, run)
    sorted((run / kind / "mf_order").glob("*.arrow"))[-1].unlink()
    checks = {arm: check["complete"] for arm, check in _found(run).items()}
    assert not checks.pop("mf_order")
    assert all(checks.values())


def test_verify_refuses_a_damaged_snapshot(tiny_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "copy"
    shutil.copytree(tiny_run, run)
    snapshot = run / "snapshots" / "lin_ucb" / "00003.npz"
    content = bytearray(snapshot.read_bytes())
    content[len(content) // 2] ^= 1
    snapshot.write_bytes(content)
    done = CliRunner().invoke(app, ["verify", str(run), "--json"])
    assert done.exit_code == 1
    assert isinstance(done.exception, MatineeError)
    assert "00003.npz" in str(done.exception)


def test_logged_propensities_are_probabilities_of_distinct_items(tiny_run: Path) -> None:
    for arm in ("mf_explored", "lin_ucb"):
        for table in read_parts(tiny_run, "decisions", arm):
            propensities, slate = matrix(table["propensities"]), matrix(table["slate"])
            assert ((propensities > 0) & (propensities <= 1)).all()
            assert (np.diff(np.sort(slate, axis=1)) > 0).all()


def test_no_session_shows_an_item_twice_and_no_unit_sees_a_watched_item_again(
    tiny_run: Path,
) -> None:
    watched: dict[int, set[int]] = {}
    clicks: dict[int, list[int]] = {}
    for table in read_parts(tiny_run, "rewards", "mf_explored"):
        for event in table.to_pylist():
            if event["component"] == "click":
                clicks.setdefault(event["decision_id"], []).append(event["slot"])
    session: dict[tuple[int, int], set[int]] = {}
    pages = 0
    for table in read_parts(tiny_run, "decisions", "mf_explored"):
        for row in table.select(["decision_id", "unit", "day", "slate"]).to_pylist():
            items = set(row["slate"])
            assert not items & session.setdefault((row["unit"], row["day"]), set())
            assert not items & watched.setdefault(row["unit"], set())
            session[row["unit"], row["day"]] |= items
            watched[row["unit"]] |= {
                row["slate"][slot] for slot in clicks.get(row["decision_id"], [])
            }
            pages += 1
    assert pages > 100
    assert sum(map(len, watched.values())) > 50


def test_rewards_belong_to_logged_decisions_and_their_windows(tiny_run: Path) -> None:
    for arm in ("mf_order", "lin_ucb"):
        days: dict[int, int] = {}
        visits: dict[int, set[int]] = {}
        unit: dict[int, int] = {}
        for table in read_parts(tiny_run, "decisions", arm, ["decision_id", "unit", "day"]):
            for row in table.to_pylist():
                days[row["decision_id"]] = row["day"]
                unit[row["decision_id"]] = row["unit"]
                visits.setdefault(row["unit"], set()).add(row["day"])
        returned = set()
        for table in read_parts(tiny_run, "rewards", arm):
            for event in table.to_pylist():
                decision = event["decision_id"]
                if event["component"] in ("click", "watch"):
                    assert event["day"] == days[decision]
                    assert 0.0 <= event["value"] <= 1.0
                elif event["component"] == "return_visit":
                    returned.add((decision, event["day"]))
        expected = set()
        for decision, day in days.items():
            later = [visit for visit in visits[unit[decision]] if visit > day]
            if later and min(later) - day <= 3:
                expected.add((decision, min(later)))
        assert returned == expected
        assert expected


@pytest.mark.parametrize("name", ["settings.json", "versions.json", "results.json"])
def test_run_folder_says_what_it_is(tiny_run: Path, name: str) -> None:
    assert json.loads((tiny_run / name).read_text(encoding="utf-8"))


def test_run_folder_has_a_summary_and_a_plot(tiny_run: Path) -> None:
    assert "lin_ucb" in (tiny_run / "summary.txt").read_text(encoding="utf-8")
    assert (tiny_run / "retention.png").read_bytes().startswith(b"\x89PNG")
