"""A run that learns every component and corrects for position bias."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matinee_platform.decision_log import read_parts
from matinee_platform.log_rows import COMPONENTS
from matinee_platform.log_schema import column_values
from matinee_platform.offline.arm_run import DayReport
from matinee_platform.offline.run import run_experiment
from matinee_platform.settings import ExperimentSettings, parse_settings
from matinee_platform.verify import check_run
from matinee_policies.errors import ConfigError

SETTINGS: dict[str, Any] = {
    "name": "components",
    "seed": 4,
    "users": 250,
    "days": 7,
    "slots": 5,
    "candidates": 30,
    "world": {"arrival_days": 2, "rating_share": 0.5},
    "reward": {
        "engagement": {"position_bias": "estimated"},
        "rating": {"weight": 0.2, "window_days": 1},
        "return_visit": {"weight": 0.1, "window_days": 2},
    },
    "arms": [{"name": "lin_ucb", "policy": {"kind": "lin_ucb", "alpha": 0.3, "floor": 0.3}}],
}


def _settings(data: Path, **changes: Any) -> ExperimentSettings:
    return parse_settings({**SETTINGS, "data": str(data), **changes})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, small_data: Path) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("runs") / "components"
    return folder, run_experiment(_settings(small_data, batch_size=97), folder, workers=1)


def _told(results: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = results["arm_runs"]["lin_ucb"]
    return told


def test_the_size_of_batches_does_not_show(
    run: tuple[Path, dict[str, Any]], small_data: Path, tmp_path: Path
) -> None:
    other = run_experiment(_settings(small_data, batch_size=4_096), tmp_path / "r", workers=1)
    assert _told(other) == _told(run[1])


class _InterruptedError(Exception):
    pass


def test_an_interruption_does_not_show(
    run: tuple[Path, dict[str, Any]], small_data: Path, tmp_path: Path
) -> None:
    """Also not in what was learned of the curve, and in what waited of ratings and returns."""

    def stop(day: DayReport) -> None:
        if day.day == 3:
            raise _InterruptedError

    settings = _settings(small_data, batch_size=97, checkpoint_every=0)
    with pytest.raises(_InterruptedError):
        run_experiment(settings, tmp_path / "r", workers=1, report=stop)
    resumed = run_experiment(settings, tmp_path / "r", workers=1, resume=True)
    assert _told(resumed) == _told(run[1])


def test_snapshots_score_what_they_chose(run: tuple[Path, dict[str, Any]]) -> None:
    assert all(check.passed for check in check_run(run[0]))


def test_every_rating_and_return_of_the_log_is_accounted_for(
    run: tuple[Path, dict[str, Any]],
) -> None:
    folder, results = run
    day_of = {
        int(decision): int(day)
        for table in read_parts(folder, "decisions", "lin_ucb", ["decision_id", "day"])
        for decision, day in zip(
            table["decision_id"].to_numpy(), table["day"].to_numpy(), strict=True
        )
    }
    wanted = {name: dict.fromkeys(("joined", "late"), 0) for name in ("rating", "return_visit")}
    for table in read_parts(folder, "rewards", "lin_ucb"):
        events = column_values(table)
        for decision, component, day in zip(
            events["decision_id"].tolist(),
            events["component"].tolist(),
            events["day"].tolist(),
            strict=True,
        ):
            name = COMPONENTS[component]
            if name not in wanted:
                continue
            window = SETTINGS["reward"][name]["window_days"]
            end = day_of[decision] + window
            if day > end:
                wanted[name]["late"] += 1
            elif end < SETTINGS["days"]:
                wanted[name]["joined"] += 1
    for name, counts in wanted.items():
        found = _told(results)["reward_events"][name]
        assert {end: found[end] for end in counts} == counts
        assert found["duplicate"] == found["orphan"] == found["early"] == 0
    assert _told(results)["reward_events"]["rating"]["late"] > 0
    assert np.min([counts["joined"] for counts in wanted.values()]) > 0


def test_an_arm_that_takes_no_weights_is_refused_before_the_run(
    small_data: Path, tmp_path: Path
) -> None:
    arms = [{"name": "logistic", "policy": {"kind": "logistic"}}]
    with pytest.raises(ConfigError, match=r"arms\.logistic.*takes no weights"):
        run_experiment(_settings(small_data, arms=arms), tmp_path / "r", workers=1)
    assert not (tmp_path / "r").exists()
