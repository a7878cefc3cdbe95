"""Residuals of a run from its log, and the alarms that its report and metrics tell."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from matinee_platform.analysis.drift import ALL_ITEMS, drift_of
from matinee_platform.analysis.residuals import DailyResiduals, read_residuals
from matinee_platform.cli import app
from matinee_platform.decision_log import read_parts
from matinee_platform.drift_detector import DriftConfig
from matinee_platform.log_schema import matrix, unpack_state
from matinee_platform.serving_model import load_serving_model
from matinee_platform.settings import EngagementSettings
from matinee_policies.features import compute_features_reference, slot_feature
from matinee_policies.snapshot import Snapshot


def residuals(run: Path, arm: str, kind: str, **options: Any) -> DailyResiduals:
    return read_residuals(
        run,
        arm,
        days=10,
        contexts=load_serving_model(run / "model").contexts(arm),
        policy={"kind": kind},
        engagement=EngagementSettings(),
        **options,
    )


def by_hand(run: Path, arm: str, day: int, *, learns: bool) -> tuple[float, float]:
    """Mean residual of a slot and its error, page by page, from the plain twin of the features."""
    items = load_serving_model(run / "model").items
    watched: dict[tuple[int, int], float] = {}
    for table in read_parts(run, "rewards", arm, day=day):
        for event in table.to_pylist():
            if event["component"] == "watch":
                watched[event["decision_id"], event["slot"]] = event["value"]
    sums: dict[int, list[float]] = {}
    for table in read_parts(run, "decisions", arm, day=day):
        state = unpack_state(matrix(table["unit_state"]), table["last_watched"].to_numpy())
        features = compute_features_reference(
            items, state, matrix(table["candidates"]), matrix(table["scores"])
        )
        for row, logged in enumerate(table.to_pylist()):
            theta = np.zeros(features.shape[2])
            if learns:
                version = run / "snapshots" / arm / f"{logged['snapshot']:05d}.npz"
                theta = Snapshot.load(version).arrays["theta"]
            unit = sums.setdefault(logged["unit"], [0.0, 0.0])
            for slot, item in enumerate(logged["slate"]):
                x = features[row, logged["candidates"].index(item)].astype(float)
                x[-1] = slot_feature(5)[slot]
                unit[0] += watched.get((logged["decision_id"], slot), 0.0) - float(x @ theta)
                unit[1] += 1.0
    total = np.array(list(sums.values()))
    mean = total[:, 0].sum() / total[:, 1].sum()
    gaps = (total[:, 0] - mean * total[:, 1]) / total[:, 1].mean()
    return float(mean), float(np.sqrt(gaps.var(ddof=1) / len(gaps)))


@pytest.mark.parametrize(
    ("arm", "learns"), [("lin_ucb", True), ("epsilon_greedy", True), ("mf_explored", False)]
)
def test_residuals_equal_those_by_hand(tiny_run: Path, arm: str, *, learns: bool) -> None:
    found = residuals(tiny_run, arm, arm if learns else "score_order")
    assert found.predicted == learns
    for day in (0, 4):
        mean, error = by_hand(tiny_run, arm, day, learns=learns)
        assert found.mean[day, 0] == pytest.approx(mean, abs=1e-6)
        assert found.error[day, 0] == pytest.approx(error, rel=1e-4)


def test_genres_share_the_slots(tiny_run: Path) -> None:
    found = residuals(tiny_run, "lin_ucb", "lin_ucb")
    items = load_serving_model(tiny_run / "model").traits.aspects
    assert (items.sum(axis=1) > 0).all()
    np.testing.assert_allclose(found.slots[:, 1:].sum(axis=1), found.slots[:, 0], rtol=1e-6)
    parts = np.nansum(found.mean[:, 1:] * found.slots[:, 1:], axis=1)
    np.testing.assert_allclose(parts / found.slots[:, 0], found.mean[:, 0], atol=1e-7)


def test_a_sample_of_a_day_is_drawn_by_ids(tiny_run: Path) -> None:
    some = residuals(tiny_run, "mf_order", "score_order", pages=5)
    every = residuals(tiny_run, "mf_order", "score_order")
    assert (some.slots[:, 0] < every.slots[:, 0]).all()
    again = residuals(tiny_run, "mf_order", "score_order", pages=5)
    np.testing.assert_array_equal(some.mean, again.mean)


def test_alarms_name_the_genre() -> None:
    days, size = 40, np.full((40, 3), 100.0)
    mean = np.zeros((days, 3))
    mean[20:, 2] = 1.0
    found = drift_of(
        DailyResiduals(True, mean, np.full((days, 3), 0.2), size),
        genres=("Comedy", "Drama"),
        config=DriftConfig(),
    )
    assert [alarm.what for alarm in found.alarms] == ["Drama"]
    assert 20 <= found.alarms[0].day <= 25
    mean[20:, 0] = 1.0
    both = drift_of(
        DailyResiduals(True, mean, np.full((days, 3), 0.2), size),
        genres=("Comedy", "Drama"),
        config=DriftConfig(),
    )
    assert {alarm.what for alarm in both.alarms} == {ALL_ITEMS, "Drama"}


def test_results_metrics_and_the_report_tell_of_drift(tiny_run: Path) -> None:
    results = json.loads((tiny_run / "results.json").read_text(encoding="utf-8"))
    text = (tiny_run / "metrics.prom").read_text(encoding="utf-8")
    for arm, facts in results["arms"].items():
        drift = facts["drift"]
        assert len(drift["mean"]) == len(drift["departure"]) == 10
        labels = f'{{arm="{arm}",experiment="tiny"}}'
        assert f"matinee_drift_alarms_total{labels} " in text
        last = [value for value in drift["mean"] if value is not None][-1]
        line = f'matinee_reward_residual_mean{{arm="{arm}",experiment="tiny"}} '
        told = [one for one in text.splitlines() if one.startswith(line)]
        assert float(told[0].removeprefix(line)) == last
    assert results["arms"]["lin_ucb"]["drift"]["residual_of"] == "prediction"
    assert results["arms"]["popularity"]["drift"]["residual_of"] == "engagement"
    assert "Alarms of drift" in (tiny_run / "report.html").read_text(encoding="utf-8")


def test_the_command_looks_again(tiny_run: Path) -> None:
    plain = CliRunner().invoke(app, ["drift", str(tiny_run), "--json"])
    assert plain.exit_code == 0, plain.output
    results = json.loads((tiny_run / "results.json").read_text(encoding="utf-8"))
    told = json.loads(plain.stdout)
    assert told == {arm: facts["drift"] for arm, facts in results["arms"].items()}
    eager = CliRunner().invoke(
        app,
        ["drift", str(tiny_run), "--settle-days", "0", "--threshold", "0.5", "--allowance", "0"],
    )
    assert eager.exit_code == 0, eager.output
    assert "all items" in eager.stdout
    refused = CliRunner().invoke(app, ["drift", str(tiny_run), "--threshold", "0"])
    assert refused.exit_code == 1
    assert "threshold must be > 0" in str(refused.exception)
