"""The log of a run as slates of the Open Bandit Pipeline: what was shown, its law, its rewards."""

import json
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from matinee_platform.cli import app
from matinee_platform.decision_log import read_parts
from matinee_platform.dsjson_export import export_dsjson
from matinee_platform.dsjson_read import read_dsjson
from matinee_platform.log_schema import column_values
from matinee_platform.ope.inputs.open_actions import open_actions
from matinee_policies.catalogue import Catalogue


def exported(run: Path, out: Path, form: str) -> None:
    words = ["export", str(run), "--out", str(out), "--format", form, "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["rows"][form] > 0


def test_pages_are_those_of_the_log_and_earn_what_dsjson_says(
    tiny_run: Path, tmp_path: Path
) -> None:
    arm = "mf_explored"
    exported(tiny_run, tmp_path / "obp", "obp")
    ccb = tmp_path / "ccb"
    export_dsjson(tiny_run, [arm], ccb, form="dsjson-ccb", report=lambda line: None)
    logs = [open_actions(tmp_path / "obp" / arm)]
    assert len(list((tmp_path / "obp" / arm).iterdir())) > 1
    batches = [batch for log in logs for batch in log.stream()]
    found = {
        name: np.concatenate([getattr(batch, name) for batch in batches])
        for name in ("unit", "time", "actions", "rewards", "logged")
    }
    logged = [column_values(part) for part in read_parts(tiny_run, "decisions", arm)]
    for name, column in {
        "unit": "unit",
        "time": "decided_at",
        "actions": "slate",
        "logged": "propensities",
    }.items():
        wanted = np.concatenate([part[column] for part in logged])
        np.testing.assert_array_equal(found[name], wanted)
    events = [read_dsjson(path) for path in sorted((ccb / arm).iterdir())]
    costs = np.concatenate([part.costs for part in events])
    np.testing.assert_array_equal(found["rewards"], -costs + 0.0)
    assert found["rewards"].any()
    catalogue = Catalogue.load(tiny_run / "model" / "catalogue.npz")
    assert logs[0].items == tuple(str(one) for one in catalogue.ids.tolist())
    assert logs[0].contexts == ("activity", "days_since_visit")
    assert logs[0].distinct
    assert logs[0].flags == ()
