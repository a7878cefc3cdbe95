"""What was shown and earned from the log, and the alarms that report and metrics tell."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from matinee_platform.analysis.shown_slots import ShownSlots, read_shown_slots
from matinee_platform.cli import app
from matinee_platform.decision_log import read_parts
from matinee_platform.log_rows import unpack_state
from matinee_platform.log_schema import matrix
from matinee_platform.serving_model import load_serving_model
from matinee_platform.settings import EngagementSettings
from matinee_policies.features import compute_features_reference, slot_feature


def shown(run: Path, arm: str, day: int, **options: Any) -> ShownSlots:
    slots = read_shown_slots(
        run,
        arm,
        day,
        contexts=load_serving_model(run / "model").contexts(arm),
        engagement=EngagementSettings(),
        **options,
    )
    assert slots is not None
    return slots


@pytest.mark.parametrize("arm", ["lin_ucb", "mf_explored"])
@pytest.mark.parametrize("day", [0, 4])
def test_slots_equal_those_by_hand(tiny_run: Path, arm: str, day: int) -> None:
    """Page by page, from the plain twin of the features."""
    model = load_serving_model(tiny_run / "model")
    watched: dict[tuple[int, int], float] = {}
    for table in read_parts(tiny_run, "rewards", arm, day=day):
        for event in table.to_pylist():
            if event["component"] == "watch":
                watched[event["decision_id"], event["slot"]] = event["value"]
    units, features, rewards, genres = [], [], [], []
    for table in read_parts(tiny_run, "decisions", arm, day=day):
        state = unpack_state(matrix(table["unit_state"]), table["last_watched"].to_numpy())
        every = compute_features_reference(
            model.items, state, matrix(table["candidates"]), matrix(table["scores"])
        )
        for row, logged in enumerate(table.to_pylist()):
            for slot, item in enumerate(logged["slate"]):
                x = every[row, logged["candidates"].index(item)].copy()
                x[-1] = slot_feature(5)[slot]
                units.append(logged["unit"])
                features.append(x)
                rewards.append(watched.get((logged["decision_id"], slot), 0.0))
                genres.append(model.traits.aspects[item])
    found = shown(tiny_run, arm, day)
    assert found.units.tolist() == units
    assert 0.0 < found.rewards.mean() < 1.0
    np.testing.assert_allclose(found.features, np.array(features), atol=1e-6)
    np.testing.assert_allclose(found.rewards, rewards, atol=1e-6)
    np.testing.assert_array_equal(found.genres, np.array(genres))


def test_a_day_without_pages_has_no_slots(tiny_run: Path) -> None:
    contexts = load_serving_model(tiny_run / "model").contexts("mf_order")
    engagement = EngagementSettings()
    assert (
        read_shown_slots(tiny_run, "mf_order", 10, contexts=contexts, engagement=engagement) is None
    )


def test_a_sample_of_a_day_is_drawn_by_ids(tiny_run: Path) -> None:
    some, every = (shown(tiny_run, "mf_order", 1, **one) for one in ({"pages": 5}, {}))
    assert 0 < len(some) < len(every)
    assert set(some.units.tolist()) <= set(every.units.tolist())
    np.testing.assert_array_equal(some.features, shown(tiny_run, "mf_order", 1, pages=5).features)


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
        # A week is left out, and of the first day after it nothing is expected yet.
        known = [day for day, value in enumerate(drift["departure"]) if value is not None]
        assert known == [8, 9]
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
