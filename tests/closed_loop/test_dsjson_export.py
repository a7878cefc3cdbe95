"""The log of a run as dsjson: every shown slot with its propensity and what it earned."""

import json
from pathlib import Path

import numpy as np
import vowpalwabbit
from typer.testing import CliRunner

from matinee_platform.cli import app
from matinee_platform.decision_log import read_parts
from matinee_platform.dsjson_export import export_dsjson
from matinee_platform.dsjson_read import read_dsjson
from matinee_platform.log_schema import column_values
from matinee_policies.records import PAD


def exported(run: Path, out: Path, form: str) -> dict[str, int]:
    words = ["export", str(run), "--out", str(out), "--format", form, "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    rows: dict[str, int] = json.loads(done.stdout)["rows"]
    return rows


def test_pages_and_slots_are_those_of_the_log(tiny_run: Path, tmp_path: Path) -> None:
    arm = "mf_explored"
    pages = exported(tiny_run, tmp_path / "ccb", "dsjson-ccb")
    files = sorted((tmp_path / "ccb" / arm).iterdir())
    logged = [column_values(part) for part in read_parts(tiny_run, "decisions", arm)]
    propensities = np.concatenate([part["propensities"] for part in logged])
    slates = np.concatenate([part["slate"] for part in logged])
    ids = np.concatenate([part["decision_id"] for part in logged])
    events = [read_dsjson(path) for path in files]
    assert [name for part in events for name in part.ids] == [f"{int(one):016x}" for one in ids]
    units = np.concatenate([part["unit"] for part in logged])
    np.testing.assert_array_equal(np.concatenate([part.units for part in events]), units)
    shown = np.concatenate(
        [np.take_along_axis(part.items, part.chosen.clip(0), axis=1) for part in events]
    )
    np.testing.assert_array_equal(shown[slates != PAD], slates[slates != PAD])
    logged_law = np.concatenate([part.probabilities for part in events])
    np.testing.assert_array_equal(logged_law[slates != PAD], propensities[slates != PAD])
    # With the weights of the run a click earns nothing and a watched fraction all of itself.
    earned = -sum(float(part.costs.sum()) for part in events)
    watched = sum(
        float(part["value"][part["component"] == 1].sum())
        for part in map(column_values, read_parts(tiny_run, "rewards", arm))
    )
    assert earned > 1.0
    np.testing.assert_allclose(earned, watched, rtol=1e-6)
    arms = len(list((tiny_run / "decisions").iterdir()))
    assert len(list((tmp_path / "ccb").iterdir())) == arms
    assert pages["dsjson-ccb"] > len(ids)


def test_vowpal_wabbit_learns_from_the_log_of_a_run(tiny_run: Path, tmp_path: Path) -> None:
    done = export_dsjson(
        tiny_run, ["mf_explored"], tmp_path / "cb", form="dsjson-cb", report=lambda line: None
    )
    counts = 0.0
    for path in sorted((tmp_path / "cb").rglob("*.json")):
        words = ["--quiet", "--dsjson", "--cb_explore_adf", "--data", str(path)]
        workspace = vowpalwabbit.Workspace(arg_list=words)
        counts += workspace.get_weighted_examples()
        assert np.isfinite(workspace.get_sum_loss())
        workspace.finish()
    assert counts == done.rows["dsjson-cb"] > 1_000
