"""The directions that a simulation with a known truth must show, and what arms may know of it."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matinee_platform.decision_log import read_parts
from matinee_platform.offline.prepare import load_prepared
from matinee_platform.offline.run import run_experiment
from matinee_platform.settings import ExperimentSettings, parse_settings

REAL_DATA = os.environ.get("MATINEE_DATA")
"""Read before the fixtures of this folder hide it."""


def _paired(users: int, **changes: Any) -> ExperimentSettings:
    return parse_settings(
        {
            "name": "truth",
            "seed": 11,
            "users": users,
            "days": 33,
            "design": "paired",
            "world": {"arrival_days": 1},
            "arms": [
                {"name": "mf_order", "weight": 0.5, "policy": {"kind": "score_order"}},
                {"name": "click_oracle", "weight": 0.5, "policy": {"kind": "click_oracle"}},
            ],
            **changes,
        }
    )


def test_click_oracle_wins_clicks_and_loses_visits(tmp_path: Path) -> None:
    results = run_experiment(_paired(1_200), tmp_path / "run", workers=1)
    oracle = results["arms"]["click_oracle"]
    assert oracle["reference"]
    assert not results["arms"]["mf_order"]["reference"]
    assert oracle["difference"]["ctr"]["low"] > 0
    assert oracle["difference"]["sessions_per_user"]["high"] < 0
    assert "reference" in (tmp_path / "run" / "summary.txt").read_text(encoding="utf-8")


def test_without_sensitivity_no_arm_moves_retention(tmp_path: Path) -> None:
    settings = _paired(400, world={"arrival_days": 1, "retention_sensitivity": 0.0})
    results = run_experiment(settings, tmp_path / "run", workers=1)
    arms = results["arms"]
    assert arms["click_oracle"]["retention_curve"] == arms["mf_order"]["retention_curve"]
    assert arms["click_oracle"]["difference"]["ctr"]["low"] > 0


@pytest.fixture(scope="module")
def paired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run on the synthetic catalogue."""
    run = tmp_path_factory.mktemp("runs") / "paired"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MATINEE_DATA", raising=False)
        run_experiment(_paired(150, days=2), run, workers=1)
    return run


def test_paired_arms_meet_the_same_users(paired: Path) -> None:
    units = [
        {
            (row["unit"], row["day"])
            for table in read_parts(paired, "decisions", arm, ["unit", "day"])
            for row in table.to_pylist()
            if row["day"] == 0
        }
        for arm in ("mf_order", "click_oracle")
    ]
    assert units[0] == units[1]
    assert len(units[0]) == 150


def test_split_arms_share_no_unit(tiny_run: Path) -> None:
    arms = ("popularity", "mf_order", "mf_explored", "epsilon_greedy", "lin_ucb")
    units = [
        np.unique(
            np.concatenate(
                [
                    table["unit"].to_numpy()
                    for table in read_parts(tiny_run, "decisions", arm, ["unit"])
                ]
            )
        )
        for arm in arms
    ]
    assert np.unique(np.concatenate(units)).size == sum(map(len, units)) == 240


@pytest.mark.long
@pytest.mark.real_data
@pytest.mark.skipif(REAL_DATA is None, reason="MATINEE_DATA is not set")
def test_click_oracle_on_real_ratings(tmp_path: Path) -> None:
    results = run_experiment(_paired(2_500, data=REAL_DATA), tmp_path / "run", workers=2)
    assert results["data"].startswith("MovieLens")
    oracle = results["arms"]["click_oracle"]
    assert oracle["difference"]["ctr"]["low"] > 0
    assert oracle["difference"]["sessions_per_user"]["high"] < 0


def test_the_platform_does_not_hold_the_items_of_the_truth(paired: Path) -> None:
    shared = load_prepared(paired)
    source, world = shared.model.sources["mf"], shared.world
    truth = world.item_factors
    fitted = source.item_factors[:, -truth.shape[1] :]
    assert not np.allclose(fitted, truth, atol=1e-3)
    agreement = np.corrcoef(source.item_offset, world.quality)[0, 1]
    assert 0.8 < agreement < 0.999
